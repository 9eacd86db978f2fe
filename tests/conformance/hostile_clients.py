"""Clients that mean harm, or are broken: each kind is one connection, from beginning to end.

A kind returns how it ended; what the server says meanwhile must be whole frames, or HTTP. Nothing
here has a library between itself and the socket.
"""

import json
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from typing import Final

import trio

from protocol.codec import JSON, MSGPACK
from tests.conformance.frame_cases import CASES
from tests.conformance.hostile_messages import hostile_messages
from tests.conformance.wire import BINARY, PING, TEXT, each_byte, frame, frames_of, text

SERVER_ENDS_S: Final = 15.0
"""By then the server has ended what is its to end; longer than all its deadlines together."""
_RESET: Final = struct.pack("ii", 1, 0)
_ADDRESSES: Final = [f"127.0.0.{last}" for last in range(2, 42)]
"""Where they come from: the whole of 127/8 is this machine."""
_CROWD_ADDRESS: Final = "127.0.1.1"
_CROWD: Final = 150
"""More than one address may have."""


class End(StrEnum):
    CLOSED = "closed by the server with a code"
    REFUSED = "refused over HTTP"
    ENDED = "ended by the server without a word"
    RESET = "reset by the server"
    LEFT = "left by the client"


class Target:
    """Where they go, and with what. `tokens`: of viewers whom the room knows."""

    def __init__(self, port: int, room: str, tokens: Sequence[str]) -> None:
        self._port = port
        self._room = room
        self.tokens = tokens
        self.connections = 0
        """Made."""
        self.left_open = 0
        """Of them, those that the server did not end when it should have."""

    async def connect(self, chance: random.Random, address: str | None = None) -> trio.SocketStream:
        sock = trio.socket.socket()
        try:
            await sock.bind((address or chance.choice(_ADDRESSES), 0))
            await sock.connect(("127.0.0.1", self._port))
            self.connections += 1
            return trio.SocketStream(sock)
        except BaseException:
            sock.close()
            raise

    def upgrade(self, subprotocol: str = JSON) -> bytes:
        return (
            f"GET /rooms/{self._room} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
        ).encode()

    async def opened(self, chance: random.Random, subprotocol: str = JSON) -> trio.SocketStream:
        """Hands are shaken. Raises trio.BrokenResourceError where it does not come to that."""
        stream = await self.connect(chance)
        answer = b""
        with _closed_on_failure(stream):
            await stream.send_all(self.upgrade(subprotocol))
            while not answer.endswith(b"\r\n\r\n"):
                more = await stream.receive_some(4096)
                if not more:
                    raise trio.BrokenResourceError
                answer += more
        return stream

    async def joined(self, chance: random.Random) -> trio.SocketStream:
        """In the room, or on the way: the answer is not awaited."""
        stream = await self.opened(chance)
        connect = {"type": "connect", "ref": 1, "token": chance.choice(self.tokens)}
        with _closed_on_failure(stream):
            await stream.send_all(text(json.dumps(connect).encode()))
        return stream

    async def end_of(self, stream: trio.SocketStream, *, upgraded: bool) -> End:
        """What the server says until it ends, and how. Raises AssertionError where that is neither
        HTTP nor whole frames."""
        said = b""
        with trio.move_on_after(SERVER_ENDS_S) as patience:
            try:
                async for chunk in stream:
                    said += chunk
            except trio.BrokenResourceError:
                return End.RESET
        if patience.cancelled_caught:
            self.left_open += 1
            return End.LEFT
        if not said:
            return End.ENDED
        if not upgraded:
            head, _, said = said.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 "), head[:50]
            if not head.startswith(b"HTTP/1.1 101 "):
                return End.REFUSED
        frames = frames_of(said)
        return End.CLOSED if frames and frames[-1][0] == 0x8 else End.ENDED


Kind = Callable[[Target, random.Random], Awaitable[End]]


# ---- before hands are shaken -------------------------------------------------------------------


async def leaves_at_once(target: Target, chance: random.Random) -> End:
    stream = await target.connect(chance)
    return await _leave(stream, chance)


async def leaves_in_the_request(target: Target, chance: random.Random) -> End:
    stream = await target.connect(chance)
    request = target.upgrade()
    await _say(stream, [request[: chance.randrange(1, len(request))]])
    return await _leave(stream, chance)


async def ends_its_side_early(target: Target, chance: random.Random) -> End:
    stream = await target.connect(chance)
    async with stream:
        request = target.upgrade()
        await stream.send_all(request[: chance.choice([0, 5, len(request) - 1, len(request)])])
        await stream.send_eof()
        return await target.end_of(stream, upgraded=False)


async def is_no_http(target: Target, chance: random.Random) -> End:
    stream = await target.connect(chance)
    async with stream:
        await _say(stream, [chance.randbytes(chance.randrange(1, 3000)) + b"\r\n\r\n"])
        return await target.end_of(stream, upgraded=False)


async def damages_the_request(target: Target, chance: random.Random) -> End:
    stream = await target.connect(chance)
    async with stream:
        await _say(stream, [_damaged(target.upgrade(), chance) + b"\r\n\r\n"])
        await _end_our_side(stream)
        return await target.end_of(stream, upgraded=False)


async def never_ends_the_request(target: Target, chance: random.Random) -> End:
    stream = await target.connect(chance)
    async with stream:
        request = target.upgrade()
        await stream.send_all(request[: chance.randrange(len(request))])
        return await target.end_of(stream, upgraded=False)


async def sends_endless_headers(target: Target, chance: random.Random) -> End:
    stream = await target.connect(chance)
    async with stream:
        await _say(stream, [target.upgrade()[:-2] + b"X: " + b"y" * 40_000])
        return await target.end_of(stream, upgraded=False)


async def comes_as_a_crowd(target: Target, chance: random.Random) -> End:
    """From one address, more than it may have: some are turned away."""
    refused = 0
    streams: list[trio.SocketStream] = []
    try:
        for _ in range(_CROWD):
            streams.append(await target.connect(chance, _CROWD_ADDRESS))
        for stream in streams[-10:]:
            with trio.move_on_after(1):
                refused += (await stream.receive_some(4096)).startswith(b"HTTP/1.1 503")
    except trio.BrokenResourceError:
        refused += 1
    finally:
        for stream in streams:
            await trio.aclose_forcefully(stream)
    return End.REFUSED if refused else End.LEFT


# ---- with frames -------------------------------------------------------------------------------


async def says_nothing(target: Target, chance: random.Random) -> End:
    async with await target.opened(chance) as stream:
        return await target.end_of(stream, upgraded=True)


async def sends_garbage(target: Target, chance: random.Random) -> End:
    async with await target.opened(chance) as stream:
        await _say(stream, [chance.randbytes(chance.randrange(1, 4000))])
        await _end_our_side(stream)
        return await target.end_of(stream, upgraded=True)


async def sends_damaged_frames(target: Target, chance: random.Random) -> End:
    """A byte changed, put in or taken out of valid or invalid streams."""
    async with await target.opened(chance) as stream:
        await _say(stream, _cut(_damaged(_some_frames(chance), chance), chance))
        await _end_our_side(stream)
        return await target.end_of(stream, upgraded=True)


async def breaks_a_rule(target: Target, chance: random.Random) -> End:
    async with await target.opened(chance) as stream:
        await _say(stream, _cut(_some_frames(chance), chance))
        await _end_our_side(stream)
        return await target.end_of(stream, upgraded=True)


async def lies_of_a_length(target: Target, chance: random.Random) -> End:
    length = chance.choice([126, 65_536, 70_000, 1 << 31, (1 << 63) - 1, 1 << 63])
    async with await target.opened(chance) as stream:
        data = frame(chance.choice([TEXT, BINARY]), b"x" * chance.randrange(100), length=length)
        await _say(stream, [data])
        await _end_our_side(stream)
        return await target.end_of(stream, upgraded=True)


async def says_what_is_nearly_a_frame(target: Target, chance: random.Random) -> End:
    subprotocol = chance.choice([JSON, MSGPACK])
    async with await target.opened(chance, subprotocol) as stream:
        for _ in range(chance.randrange(1, 20)):
            message = _hostile(subprotocol, chance)
            kind, data = (
                (BINARY, message)
                if isinstance(message, bytes)
                else (TEXT, message.encode("utf-8", "surrogatepass"))
            )
            if not await _say(stream, [frame(kind, data)]):
                break
        await _end_our_side(stream)
        return await target.end_of(stream, upgraded=True)


# ---- as members --------------------------------------------------------------------------------


async def joins_and_is_gone(target: Target, chance: random.Random) -> End:
    return await _leave(await target.joined(chance), chance)


async def joins_then_sends_garbage(target: Target, chance: random.Random) -> End:
    async with await target.joined(chance) as stream:
        typing = text(b'{"type":"typing"}')
        await _say(stream, [typing * 3 + chance.randbytes(chance.randrange(6, 400))])
        await _end_our_side(stream)
        return await target.end_of(stream, upgraded=True)


async def joins_and_breaks_a_rule(target: Target, chance: random.Random) -> End:
    async with await target.joined(chance) as stream:
        await _say(stream, _cut(_some_frames(chance), chance))
        await _end_our_side(stream)
        return await target.end_of(stream, upgraded=True)


async def joins_and_says_what_is_nearly_a_frame(target: Target, chance: random.Random) -> End:
    async with await target.joined(chance) as stream:
        for _ in range(chance.randrange(1, 14)):
            message = _hostile(JSON, chance)
            assert isinstance(message, str)
            data = message.encode("utf-8", "surrogatepass")
            if not await _say(stream, [frame(TEXT, data)]):
                break
        await _end_our_side(stream)
        return await target.end_of(stream, upgraded=True)


async def floods(target: Target, chance: random.Random) -> End:
    said = chance.choice([b'{"type":"typing"}', b'{"type":"listMembers","ref":7}', b"{"])
    async with await target.joined(chance) as stream:
        await _say(stream, [text(said) * 400])
        await _end_our_side(stream)
        return await target.end_of(stream, upgraded=True)


async def pings_and_reads_nothing(target: Target, chance: random.Random) -> End:
    """Until the server reads no more of it; then it is gone."""
    stream = await target.joined(chance)
    with trio.move_on_after(1.0):
        await _say(stream, [frame(PING, bytes(125)) * 500] * 40)
    return await _leave(stream, chance)


# ---- how ---------------------------------------------------------------------------------------


async def _say(stream: trio.SocketStream, pieces: Sequence[bytes]) -> bool:
    """False: the server takes no more."""
    for piece in pieces:
        try:
            await stream.send_all(piece)
        except trio.BrokenResourceError:
            return False
    return True


@contextmanager
def _closed_on_failure(stream: trio.SocketStream) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stream.socket.close()
        raise


async def _end_our_side(stream: trio.SocketStream) -> None:
    """What was sent is all: the server need not wait for the rest of a frame."""
    try:
        await stream.send_eof()
    except (trio.BrokenResourceError, OSError):
        return  # it has ended already


async def _leave(stream: trio.SocketStream, chance: random.Random) -> End:
    """In order, or by a reset."""
    if chance.random() < 0.5:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    stream.socket.close()
    return End.LEFT


def _hostile(subprotocol: str, chance: random.Random) -> bytes | str:
    return chance.choice(hostile_messages(subprotocol)).message


@cache
def _short_cases() -> list[bytes]:
    return [case.sent for case in CASES if len(case.sent) < 5000]


def _some_frames(chance: random.Random) -> bytes:
    return b"".join(chance.choices(_short_cases(), k=chance.randrange(1, 4)))


def _damaged(data: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(damaged))
        match chance.randrange(3):
            case 0:
                damaged[at] ^= 1 << chance.randrange(8)
            case 1:
                damaged[at:at] = chance.randbytes(chance.randrange(1, 4))
            case _ if len(damaged) > 1:
                del damaged[at]
    return bytes(damaged)


def _cut(data: bytes, chance: random.Random) -> list[bytes]:
    """In one piece, in two, or byte by byte."""
    match chance.randrange(4):
        case 0 if len(data) < 200:
            return each_byte(data)
        case 1:
            at = chance.randrange(len(data))
            return [data[:at], data[at:]]
        case _:
            return [data]


KINDS: Final[dict[Kind, float]] = {
    leaves_at_once: 15,
    leaves_in_the_request: 10,
    ends_its_side_early: 5,
    is_no_http: 8,
    damages_the_request: 8,
    never_ends_the_request: 1,
    sends_endless_headers: 2,
    comes_as_a_crowd: 0.05,
    says_nothing: 1,
    sends_garbage: 10,
    sends_damaged_frames: 10,
    breaks_a_rule: 10,
    lies_of_a_length: 4,
    says_what_is_nearly_a_frame: 4,
    joins_and_is_gone: 4,
    joins_then_sends_garbage: 3,
    joins_and_breaks_a_rule: 3,
    joins_and_says_what_is_nearly_a_frame: 3,
    floods: 1,
    pings_and_reads_nothing: 1,
}
"""How often a kind is drawn. Few are those that wait out a deadline of the server and those that
cost it most; a crowd is 150 connections."""
