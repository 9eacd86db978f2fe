"""One event after the other to every member of one room, as fast as the members take them.

The same load client against each peer of `bench.peers`; nothing else of ours runs, so that the
client has its core to itself. During the warm-up it reads every frame; while it measures it only
counts bytes, all frames being of one size: so it stays well ahead of the server.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from bench.load import NS_PER_S, LoadClient, Member
from bench.meter import Meter
from bench.placement import pin
from bench.progress import Progress
from bench.results import FanOutResult
from bench.room_setup import TokenBooth
from bench.server import BenchFailed
from protocol.codec import MSGPACK
from protocol.frames import Connect, Ok, ServerFrame
from server.store.demo import ROOM_ID

MEASURED_S: Final = 5.0
WARM_UP_S: Final = 1.5
JOINS_AT_ONCE: Final = 64
JOIN_TIMEOUT_S: Final = 60.0


class Peer(msgspec.Struct, frozen=True):
    name: str
    module: str
    connects: bool
    """Members introduce themselves as in tiproom; otherwise the upgrade is all."""


PEERS: Final = (
    Peer("tiproom, FanOut", "bench.peers.tiproom_fan_out", True),
    Peer("trio-websocket, naive loop", "bench.peers.naive_trio_websocket", False),
)


class _Crowd:
    """Opens all members, a few at a time."""

    def __init__(self, peer: Peer, port: int, members: int, tokens: list[str]) -> None:
        self.client = LoadClient(port, self)
        self.joined = 0
        self._peer = peer
        self._tokens = tokens
        self._members = members
        self._next = 0

    def join_all(self) -> None:
        """Raises BenchFailed."""
        for _ in range(min(JOINS_AT_ONCE, self._members)):
            self._connect_next()
        if not self.client.run_until(_from_now(JOIN_TIMEOUT_S), self._all_joined):
            raise BenchFailed(f"{self._peer.name}: {self.joined} joined, {self.client.failures}")

    def on_upgraded(self, member: Member) -> None:
        if self._peer.connects:
            self.client.send(member, Connect(1, self._tokens[member.number]))
        else:
            self._count_joined()

    def on_frame(self, _member: Member, frame: ServerFrame, _now_ns: int) -> None:
        if isinstance(frame, Ok):
            self._count_joined()
        else:
            self.client.failures[f"unexpected {type(frame).__name__}"] += 1

    def _all_joined(self) -> bool:
        return self.joined == self._members

    def _count_joined(self) -> None:
        self.joined += 1
        self._connect_next()

    def _connect_next(self) -> None:
        if self._next < self._members:
            self.client.connect(self._next, f"/rooms/{ROOM_ID}", MSGPACK)
            self._next += 1


def run_fan_out(peer: Peer, members: int, cores: list[int], progress: Progress) -> FanOutResult:
    """Raises BenchFailed when the peer does not even fill."""
    booth = TokenBooth()
    tokens = [booth.viewer(number) for number in range(members)] if peer.connects else []
    progress.step(f"fan-out: {peer.name}")
    with _run_peer(peer, cores, booth.secret) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        crowd = _Crowd(peer, int(process.stdout.readline()), members, tokens)
        client = crowd.client
        try:
            crowd.join_all()
            process.stdin.write("go\n")
            process.stdin.flush()
            client.run_until(_from_now(WARM_UP_S))
            frame_bytes = _frame_bytes(client)
            meter = Meter(process.pid)
            received_bytes = client.count_bytes(_from_now(MEASURED_S))
            used = meter.total()
        finally:
            client.close()
    frames_per_s = received_bytes / frame_bytes / used.seconds
    return FanOutResult(
        server=peer.name,
        members=members,
        seconds=used.seconds,
        frame_bytes=frame_bytes,
        frames_per_s=frames_per_s,
        cpu_s_per_million_frames=used.server_percent / 100 / frames_per_s * 1e6,
        server_cpu_percent=used.server_percent,
        client_cpu_percent=used.client_percent,
        others_cpu_percent=used.others_percent,
        failures=dict(client.failures),
    )


def _frame_bytes(client: LoadClient) -> int:
    """The size of every event, as the warm-up saw them. Raises BenchFailed if it saw none."""
    sizes = {seen.size for seen in client.seen()}
    if len(sizes) != 1:
        raise BenchFailed(f"events of one size were expected, not of {sorted(sizes)} bytes")
    return sizes.pop()


def _from_now(seconds: float) -> int:
    return time.perf_counter_ns() + int(seconds * NS_PER_S)


@contextmanager
def _run_peer(peer: Peer, cores: list[int], secret: str) -> Iterator[subprocess.Popen[str]]:
    """Its port is the first line of its stdout. It is killed at the end: it holds nothing, and the
    naive one would say goodbye to every member first."""
    with subprocess.Popen(
        [sys.executable, "-m", peer.module],
        env={**os.environ, "TIPROOM_TOKEN_SECRET": secret},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        pin(process.pid, cores)
        try:
            yield process
        finally:
            process.kill()
