"""Intake: takes the plain messages out of what a peer sends. Pure; read `feed`.

Nearly all that a page sends is one whole, final, masked frame for each message, or a pong, of which
nothing matters but that it came. Those are read here, without wsproto's objects. Everything else is
passed on to wsproto as it came: other control frames, messages in fragments or in several reads,
and all that the protocol forbids, from there on with all that follows.
"""

from typing import Final

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_CONTINUATION: Final = 0x0
_TEXT: Final = 0x1
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA
_CONTROL_BYTES_MAX: Final = 125


class Intake:
    """The frames of one peer from its first on. `messages`: the plain ones, to be taken out in
    order; `passed`: bytes for wsproto; `messages_passed`: how many whole messages those hold. A
    message that comes behind one of these goes the same way, until somebody has taken them and
    counted `messages_passed` down: so their order is kept."""

    __slots__ = (
        "_bytes_max",
        "_fragmented",
        "_left",
        "_left_ends",
        "_rest",
        "foreign",
        "messages",
        "messages_passed",
        "passed",
    )

    def __init__(self, message_bytes_max: int) -> None:
        self._bytes_max = message_bytes_max
        self.foreign = False
        """All that comes is passed on, whatever it is."""
        self._fragmented = False
        """A message in fragments is under way."""
        self._left = 0
        """Bytes still to come of a frame that is passed on."""
        self._left_ends = False
        """With them a message is whole."""
        self._rest = b""
        """The beginning of a frame: until its header is complete, then of a binary message."""
        self.messages: list[bytes | str] = []  # an empty deque takes 760 bytes, of every member
        self.passed = b""
        self.messages_passed = 0

    @property
    def between_messages(self) -> bool:
        """Nothing that was passed on has a rest to come."""
        return not (self.foreign or self._fragmented or self._left)

    def feed(self, data: bytes) -> None:
        """The next bytes, as many as have come."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, size = 0, len(data)
        while at < size:
            if self.foreign:
                self.passed += data[at:]
                return
            if self._left:
                taken = min(self._left, size - at)
                self.passed += data[at : at + taken]
                at += taken
                self._pass_left(self._left - taken)
                continue
            payload_at = _payload_at(data, at)
            if size >= at + 2 and not self._allowed(data[at], data[at + 1]):
                self.foreign = True
            elif payload_at > size:
                self._rest = data[at:]
                return
            else:
                at = self._frame(data, at, payload_at)

    def _frame(self, data: bytes, at: int, payload_at: int) -> int:
        """One frame whose header is complete; where the next one begins, or the data end."""
        first, length = data[at], _length(data, at)
        opcode, end = first & 0x0F, payload_at + length
        if length > self._bytes_max or not _shortest(data[at + 1], length):
            self.foreign = True
            return at
        ends_message = bool(first & _FIN) and opcode < _CLOSE
        if ends_message and opcode != _CONTINUATION and not self.messages_passed:
            if end <= len(data):
                payload = _unmasked(data, payload_at, end)
                try:
                    self.messages.append(payload if opcode == _BINARY else payload.decode())
                except UnicodeDecodeError:
                    self.foreign = True  # the answer to this is wsproto's
                    return at
                return end
            if opcode == _BINARY:  # text that is none is refused at its first wrong byte
                self._rest = data[at:]
                return len(data)
        if opcode == _PONG and end <= len(data):
            return end
        if opcode < _CLOSE:
            self._fragmented = not ends_message
        elif opcode == _CLOSE:
            self.foreign = True
        taken = min(end, len(data))
        self.passed += data[at:taken]
        self._left_ends = ends_message
        self._pass_left(end - taken)
        return taken

    def _pass_left(self, left: int) -> None:
        self._left = left
        if left == 0 and self._left_ends:
            self.messages_passed += 1

    def _allowed(self, first: int, second: int) -> bool:
        """RFC 6455, 5.2, 5.4 and 5.5, of a client without extensions, by a frame's two first
        bytes."""
        opcode = first & 0x0F
        if first & _RESERVED or not second & _MASKED:
            return False
        if opcode in (_CLOSE, _PING, _PONG):
            return bool(first & _FIN) and second & 0x7F <= _CONTROL_BYTES_MAX
        return opcode == _CONTINUATION if self._fragmented else opcode in (_TEXT, _BINARY)


def _payload_at(data: bytes, at: int) -> int:
    """Where the payload begins, behind a mask; past the end while the header is incomplete."""
    if len(data) < at + 2:
        return len(data) + 1
    code = data[at + 1] & 0x7F
    return at + 6 + (2 if code == 126 else 8 if code == 127 else 0)


def _length(data: bytes, at: int) -> int:
    code = data[at + 1] & 0x7F
    if code < 126:
        return code
    return int.from_bytes(data[at + 2 : at + (4 if code == 126 else 10)], "big")


def _shortest(second: int, length: int) -> bool:
    """A length must not be written in more bytes than it needs."""
    code = second & 0x7F
    return code < 126 or length >= (126 if code == 126 else 1 << 16)


def _unmasked(data: bytes, at: int, end: int) -> bytes:
    """As one large number, for Python is slow at bytes one by one."""
    size = end - at
    mask = (data[at - 4 : at] * (size // 4 + 1))[:size]
    return (int.from_bytes(data[at:end], "little") ^ int.from_bytes(mask, "little")).to_bytes(
        size, "little"
    )
