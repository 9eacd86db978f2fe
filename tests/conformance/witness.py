"""A member who does nothing wrong, and tips all along: what does it lose while others attack?"""

import json
from collections.abc import Callable
from typing import Any, Final

import trio

from protocol.codec import JSON
from tests.conformance.wire import CLOSE, PING, PONG, TEXT, frame, take_frame, text

TIP_EVERY_S: Final = 1.25
"""A user may tip 60 times a minute."""


class Witness:
    """`run` until cancelled; then `problems` says what went wrong."""

    def __init__(self, port: int, room: str, token: str, heartbeat_s: float) -> None:
        self._port = port
        self._room = room
        self._token = token
        self._heartbeat_s = heartbeat_s
        self._pinged_s = 0.0
        self._broadcast_id = ""
        self._offset = 0
        self._asked_at_s: dict[int, float] = {}
        self.answered_after_s: list[float] = []
        self._turn = trio.Lock()
        self.tips = 0
        self.notices = 0
        self.pings = 0
        self.longest_without_ping_s = 0.0
        self.problems: list[str] = []

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", self._port) as stream:
            await stream.send_all(self._upgrade())
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += await stream.receive_some(1)  # what follows is frames
            self._pinged_s = trio.current_time()
            await self._send(stream, type="connect", ref=1, token=self._token)
            joined = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, stream, joined.set)
                await joined.wait()
                task_status.started()
                while True:
                    await self._tip(stream)
                    await trio.sleep(TIP_EVERY_S)

    def finish(self) -> None:
        """Once it was left alone for a moment: nothing is on the way any more."""
        if self._asked_at_s:
            self.problems.append(f"{len(self._asked_at_s)} tips of the witness have no answer")
        if self.notices != self.tips:
            self.problems.append(
                f"the witness tipped {self.tips} times, and heard of it {self.notices}"
            )
        self._note_ping(trio.current_time())
        if self.longest_without_ping_s > 1.5 * self._heartbeat_s + 1:
            self.problems.append(f"no ping for {self.longest_without_ping_s:.1f} s")

    async def _tip(self, stream: trio.SocketStream) -> None:
        self.tips += 1
        ref = self.tips + 1
        self._asked_at_s[ref] = trio.current_time()
        tip = {"tipId": f"witness-{ref}", "broadcastId": self._broadcast_id, "amount": 1}
        await self._send(stream, type="tip", ref=ref, **tip)

    async def _listen(self, stream: trio.SocketStream, joined: Callable[[], None]) -> None:
        heard = bytearray()
        async for chunk in stream:
            heard += chunk
            while (said := take_frame(heard)) is not None:
                match said:
                    case (opcode, payload) if opcode == PING:
                        self._note_ping(trio.current_time())
                        self.pings += 1
                        await self._put(stream, frame(PONG, payload))
                    case (opcode, payload) if opcode == CLOSE:
                        self.problems.append(f"the witness was closed: {payload!r}")
                    case (opcode, payload) if opcode == TEXT:
                        self._hear(json.loads(payload), joined)
                    case _:
                        self.problems.append(f"the witness heard opcode {said[0]}")
        self.problems.append("the witness lost its connection")

    def _hear(self, message: dict[str, Any], joined: Callable[[], None]) -> None:
        match message["type"]:
            case "snapshot":
                self._offset = message["offset"]
                self._broadcast_id = message["room"]["broadcastId"]
                joined()
            case "ok" if message["ref"] in self._asked_at_s:
                asked_s = self._asked_at_s.pop(message["ref"])
                self.answered_after_s.append(trio.current_time() - asked_s)
            case "error" | "gap" as kind:
                self.problems.append(f"the witness heard {kind}: {message}")
            case "tipNotice":
                self.notices += 1
        offset = message.get("offset")
        if offset is not None and message["type"] != "snapshot":
            if offset not in (self._offset, self._offset + 1):
                self.problems.append(f"events from {self._offset} to {offset} are missing")
            self._offset = offset

    def _note_ping(self, now_s: float) -> None:
        self.longest_without_ping_s = max(self.longest_without_ping_s, now_s - self._pinged_s)
        self._pinged_s = now_s

    async def _send(self, stream: trio.SocketStream, **fields: Any) -> None:
        await self._put(stream, text(json.dumps(fields).encode()))

    async def _put(self, stream: trio.SocketStream, data: bytes) -> None:
        async with self._turn:
            try:
                await stream.send_all(data)
            except trio.BrokenResourceError:
                self.problems.append("the witness lost its connection while it said something")

    def _upgrade(self) -> bytes:
        return (
            f"GET /rooms/{self._room} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {JSON}\r\n\r\n"
        ).encode()
