"""What a peer says from the first frame on. Read `next_message`.

Plain messages, nearly all, are read by `Intake`. Whatever it passes on (pings, close frames,
messages in fragments or in several reads, and all that the protocol forbids) is wsproto's, made
when it is needed and let go with the last of these; its answers leave through the outbox, so that
they never interleave with frames of ours.
"""

import socket
from typing import Any, Final

import trio
from wsproto.connection import Connection as FrameParser
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from server.sockets.intake import Intake
from server.sockets.outbox import Outbox

ABNORMAL: Final = 1006
"""Lost without a close frame (RFC 6455, 7.4.1; never on the wire)."""
MESSAGE_TOO_BIG: Final = 1009


class PeerEnded(Exception):
    """By a close frame, which was answered; by what the protocol forbids, which is not; or without
    a word: ABNORMAL."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Incoming:
    """Of one socket, once hands are shaken."""

    __slots__ = (
        "_bytes_max",
        "_end_code",
        "_intake",
        "_outbox",
        "_parser",
        "_parts",
        "_parts_size",
        "_read_bytes",
        "_sock",
        "last_heard_s",
    )

    def __init__(
        self,
        sock: socket.socket,
        outbox: Outbox,
        *,
        message_bytes_max: int,
        read_bytes: int,
    ) -> None:
        """`read_bytes`: at once."""
        self.last_heard_s = trio.current_time()
        """The peer's last sign of life."""
        self._sock = sock
        self._outbox = outbox
        self._bytes_max = message_bytes_max
        self._read_bytes = read_bytes
        self._intake = Intake(message_bytes_max)
        self._parser: FrameParser | None = None
        self._parts: list[Any] | None = None
        """Of a message that wsproto has not seen the end of."""
        self._parts_size = 0
        self._end_code: int | None = None
        """The peer has ended it; what it said before comes first."""

    async def next_message(self) -> bytes | str:
        """Raises PeerEnded behind the last."""
        intake = self._intake
        while not intake.messages:
            if intake.passed or self._parser is not None:
                message = await self._parse()
                if message is not None:
                    return message
            if self._end_code is not None:
                raise PeerEnded(self._end_code)
            await trio.lowlevel.wait_readable(self._sock)
            self._read()
        return intake.messages.pop(0)

    def _read(self) -> None:
        """What has arrived."""
        try:
            data = self._sock.recv(self._read_bytes)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # reset: as ended as it can be
        if data:
            self.last_heard_s = trio.current_time()
            self._intake.feed(data)
        else:
            self._end_code = ABNORMAL

    async def _parse(self) -> bytes | str | None:
        """Of what was passed on, the next message; None if that is not whole, or there is none.
        Each event is answered before the next is looked at, and each message before what follows
        it."""
        intake, parser = self._intake, self._parser
        if parser is None:
            parser = self._parser = FrameParser(ConnectionType.SERVER)
        passed, intake.passed = intake.passed, b""
        parser.receive_data(passed)
        for event in parser.events():
            match event:
                case Ping():
                    await self._answer(parser.send(event.response()))
                case CloseConnection(code=code):
                    if parser.state is ConnectionState.REMOTE_CLOSING:
                        # The last to leave: what the room says after it is dropped.
                        self._outbox.finish(parser.send(event.response()))
                    self._end_code = int(code)
                case TextMessage() | BytesMessage():
                    message = self._whole(event)
                    if message is not None:
                        return message
                case _:
                    pass  # a pong: the peer was heard
            if self._end_code is not None:
                return None
        intake.messages_passed = 0
        if intake.between_messages:
            self._parser = None
        return None

    async def _answer(self, frame: bytes) -> None:
        """And wait until it is out: a peer that sends pings and takes no pongs is no longer read,
        instead of filling the outbox."""
        self._outbox.send(frame)
        try:
            await self._outbox.flushed()
        except trio.BrokenResourceError:
            self._end_code = ABNORMAL

    def _whole(self, event: TextMessage | BytesMessage) -> bytes | str | None:
        """With this part of it; None if that is not its last."""
        if self._parts is None:
            self._parts = []
        parts = self._parts
        if event.data:  # so many empty fragments take no memory
            parts.append(event.data)
            self._parts_size += len(event.data)
        if self._parts_size > self._bytes_max:
            self._end_code = MESSAGE_TOO_BIG
        elif event.message_finished:
            self._parts, self._parts_size = None, 0
            return "".join(parts) if isinstance(event, TextMessage) else b"".join(parts)
        return None
