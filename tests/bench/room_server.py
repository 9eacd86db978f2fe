"""The server's side of a room, written by hand, over streams in memory: for the Python client on a
clock that jumps."""

from collections import deque
from collections.abc import Callable
from typing import Any

import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from protocol.codec import CODECS, MSGPACK
from protocol.errors import ErrorCode
from protocol.frames import (
    ClientFrame,
    Connect,
    Error,
    Ok,
    RoomView,
    SelfView,
    ServerFrame,
    Snapshot,
)
from protocol.gating import Gates
from protocol.tip_activated import MembershipTier, ViewerSyncMode

SERVER_TIME_MS = 1_800_000_000_000

ROOM = RoomView(
    "room-1", "luna", "Luna", True, "b-1", None, ViewerSyncMode.OFF, True, False, True, ()
)
SELF = SelfView(
    "kim", "kim", "viewer", MembershipTier.FREE, 50, True, False, False, Gates(True, False), False
)


def snapshot(**changes: Any) -> Snapshot:
    fields: dict[str, Any] = {
        "epoch": "e1",
        "offset": 7,
        "recovered": False,
        "server_time": SERVER_TIME_MS,
        "room": ROOM,
        "self": SELF,
        "viewers": 3,
    }
    return Snapshot(**fields | changes)


class RoomServer:
    """`frames`: all that it has received, of each connection. Each new one gets the snapshot that
    is next, the last one again and again; and each question `ok`, as long as `answers`."""

    def __init__(self, nursery: trio.Nursery, subprotocol: str = MSGPACK) -> None:
        self.frames: list[list[ClientFrame]] = []
        self.snapshots = deque([snapshot()])
        self.refusals: deque[tuple[ErrorCode, int]] = deque()
        """Of `connect`: the error, and the close code after it."""
        self.answers = True
        self.results: Callable[[ClientFrame], Any] = lambda _frame: None
        self.reachable = True
        self.upgrades = True
        """Otherwise it goes away in the middle of the handshake."""
        self.goodbyes: list[int] = []
        """Close codes that the client sent."""
        self._nursery = nursery
        self._codec = CODECS[subprotocol]
        self._sockets: list[tuple[WebSocketConnection, trio.abc.Stream]] = []

    @property
    def last(self) -> list[ClientFrame]:
        return self.frames[-1]

    def said(self, kind: type) -> list[Any]:
        """Frames of a kind on the newest connection."""
        return [frame for frame in self.last if isinstance(frame, kind)]

    async def open_stream(self) -> trio.abc.Stream:
        """For a client. Raises OSError while it cannot be reached."""
        if not self.reachable:
            raise OSError("nobody is there")
        ours, theirs = memory_stream_pair()
        self._nursery.start_soon(self._serve, ours)
        return theirs

    async def send(self, frame: ServerFrame) -> None:
        """On the newest connection; taken when this returns."""
        await self._send(self._sockets[-1][0], frame)
        await wait_all_tasks_blocked()

    async def say(self, data: bytes) -> None:
        """As it is, on the newest connection."""
        await self._sockets[-1][1].send_all(data)

    async def close(self, code: int, reason: str = "") -> None:
        await self._sockets[-1][0].aclose(code, reason)
        await wait_all_tasks_blocked()

    async def break_off(self) -> None:
        """Without a word."""
        await trio.aclose_forcefully(self._sockets[-1][1])
        await wait_all_tasks_blocked()

    async def _serve(self, stream: trio.abc.Stream) -> None:
        if not self.upgrades:
            await stream.receive_some(1)
            await trio.aclose_forcefully(stream)
            return
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            assert request.proposed_subprotocols == (self._codec.subprotocol,)
            socket = await request.accept(subprotocol=self._codec.subprotocol)
            self._sockets.append((socket, stream))
            self.frames.append([])
            try:
                await self._talk(socket, self.frames[-1])
            except ConnectionClosed as closed:
                self.goodbyes.append(closed.reason.code if closed.reason else 0)

    async def _talk(self, socket: WebSocketConnection, frames: list[ClientFrame]) -> None:
        while True:
            frame = self._codec.decode(await socket.get_message())
            frames.append(frame)
            ref = getattr(frame, "ref", None)
            if isinstance(frame, Connect):
                await self._let_in(socket, frame.ref)
            elif ref is not None and self.answers:
                await self._send(socket, Ok(ref, self.results(frame)))

    async def _let_in(self, socket: WebSocketConnection, ref: int) -> None:
        if self.refusals:
            code, close_code = self.refusals.popleft()
            await self._send(socket, Error(ref, code, "Open elsewhere.", False))
            await socket.aclose(close_code, "closed")
            return
        await self._send(socket, Ok(ref))
        await self._send(socket, self.snapshots[0])
        if len(self.snapshots) > 1:
            self.snapshots.popleft()

    async def _send(self, socket: WebSocketConnection, frame: ServerFrame) -> None:
        data = self._codec.encode(frame)
        await socket.send_message(data if self._codec.binary else data.decode())
