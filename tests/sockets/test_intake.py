"""Intake against wsproto: whatever comes, in whatever pieces, the same messages in the same order,
and the same end."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import RemoteProtocolError

from server.sockets.intake import Intake

BYTES_MAX = 1 << 16
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"\1\2\3\4") -> bytes:
    size = len(payload)
    first = bytes([opcode | (0x80 if final else 0)])
    if size < 126:
        head = first + bytes([0x80 | size])
    elif size < 1 << 16:
        head = first + b"\xfe" + size.to_bytes(2, "big")
    else:
        head = first + b"\xff" + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


class Library:
    """What wsproto makes of bytes. A pong is nothing to anybody."""

    def __init__(self) -> None:
        self._connection = Connection(ConnectionType.SERVER)
        self._part: list[bytes | str] = []
        self.controls: list[object] = []
        self.ended = False

    def read(self, data: bytes) -> Iterator[bytes | str]:
        if self.ended or not data:
            return
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                match event:
                    case TextMessage() | BytesMessage():
                        self._part.append(
                            event.data if isinstance(event.data, str) else bytes(event.data)
                        )
                        if event.message_finished:
                            whole, self._part = self._part, []
                            yield (
                                "".join(map(str, whole))
                                if isinstance(whole[0], str)
                                else b"".join(each for each in whole if isinstance(each, bytes))
                            )
                    case Ping():
                        self.controls.append(bytes(event.payload))
                    case Pong():
                        pass
                    case CloseConnection():
                        self.controls.append((event.code, event.reason))
                        self.ended = True
        except RemoteProtocolError as error:
            self.controls.append(getattr(error.event_hint, "code", None))
            self.ended = True


def taken_in(pieces: list[bytes], lazy: bool) -> tuple[list[bytes | str], list[object]]:
    """`lazy`: what was passed on is read only when all has come."""
    intake, library, messages = Intake(BYTES_MAX), Library(), list[bytes | str]()

    def take() -> None:
        messages.extend(intake.messages)
        intake.messages.clear()
        passed, intake.passed = intake.passed, b""
        for message in library.read(passed):
            messages.append(message)
            if not intake.foreign:
                intake.messages_passed -= 1

    for piece in pieces:
        intake.feed(piece)
        if not lazy:
            take()
            assert intake.foreign or library.ended or intake.messages_passed == 0
    take()
    return messages, library.controls


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(each % (len(data) + 1) for each in at)})
    return [data[one:two] for one, two in pairwise(edges)]


TEXTS = st.text(max_size=40).map(lambda text: [frame(TEXT, text.encode())])
BINARIES = st.binary(max_size=300).map(lambda data: [frame(BINARY, data)])
CONTROLS = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)).map(
    lambda each: [frame(*each)]
)
FRAGMENTS = st.tuples(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=9)).map(
    lambda each: [
        frame(BINARY, each[0], final=False),
        frame(PING, each[2]),
        frame(CONTINUATION, each[1]),
    ]
)
CLOSES = st.just([frame(CLOSE, b"\x03\xe8bye")])
NONSENSE = st.binary(min_size=1, max_size=20).map(lambda data: [data])
STREAMS = st.lists(st.one_of(TEXTS, BINARIES, BINARIES, CONTROLS, FRAGMENTS), max_size=8).flatmap(
    lambda some: st.one_of(st.just([]), CLOSES, NONSENSE).map(
        lambda last: b"".join(one for each in [*some, last, [frame(TEXT, b"z")]] for one in each)
    )
)


@given(STREAMS, st.lists(st.integers(0, 2000), max_size=12), st.booleans())
@example(frame(TEXT, b"\xff") + frame(TEXT, b"a"), [], False)
@example(frame(BINARY, b"a", final=False) + frame(TEXT, b"b"), [], False)
@example(frame(PING, bytes(126)), [], False)
@example(frame(BINARY, bytes(70_000))[:100], [], False)
@example(b"\x81\x01a", [], False)
@example(b"\x82\xfe\x00\x03\0\0\0\0abc", [], False)
@example(b"\x81\xff\0\0\0\0\0\0\0\x7e\0\0\0\0" + b"a" * 126, [], False)
def test_the_same_messages_come_out_of_the_same_bytes(
    data: bytes, at: list[int], lazy: bool
) -> None:
    library = Library()
    messages = list(library.read(data))
    assert taken_in(cut(data, at), lazy) == (messages, library.controls)


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_plain_message_goes_nowhere_else(size: int) -> None:
    intake = Intake(BYTES_MAX)
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for piece in cut(frame(BINARY, payload), list(range(0, size, 1000))):
        intake.feed(piece)
    assert list(intake.messages) == [payload]
    assert (intake.passed, intake.messages_passed, intake.foreign) == (b"", 0, False)


def test_what_is_too_long_is_not_kept() -> None:
    intake = Intake(100)
    long = frame(BINARY, bytes(101))
    intake.feed(long[:20])
    assert (intake.foreign, intake.passed) == (True, long[:20])
