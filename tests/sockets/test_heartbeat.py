"""The timer wheel: each member once in an interval; the silent are closed."""

import math
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio
from trio.testing import MockClock

from protocol.errors import CloseCode
from server.sockets.connection import Connection
from server.sockets.framing import PING_FRAME
from server.sockets.heartbeat import SILENT_INTERVALS_MAX, SLOTS, HeartbeatWheel
from server.sockets.limits import SocketLimits

INTERVAL_S = 30.0
Members = list[tuple[Connection, socket.socket]]
Test = Callable[[HeartbeatWheel, Members], Awaitable[None]]


@contextmanager
def members(count: int) -> Iterator[Members]:
    """Connections, and the peers that read them."""
    pairs = [socket.socketpair() for _ in range(count)]
    for ours, theirs in pairs:
        ours.setblocking(False)
        theirs.setblocking(False)
    made = [
        (Connection(number, ours, SocketLimits(), Counter(), "", lambda _: None), theirs)
        for number, (ours, theirs) in enumerate(pairs, 1)
    ]
    for connection, _ in made:
        connection.opened = True
    try:
        yield made
    finally:
        for ours, theirs in pairs:
            ours.close()
            theirs.close()


def received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(4096)
    except BlockingIOError:
        return b""


def on_wheel(test: Test, count: int) -> None:
    """Nothing here waits for a socket, so that the clock may jump."""

    async def main() -> None:
        wheel = HeartbeatWheel(INTERVAL_S)
        with members(count) as made:
            async with trio.open_nursery() as nursery:
                for connection, _ in made:
                    wheel.add(connection)
                nursery.start_soon(wheel.turn)
                await test(wheel, made)
                nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_each_member_is_pinged_once_in_an_interval_and_no_slot_has_a_crowd() -> None:
    async def test(wheel: HeartbeatWheel, made: Members) -> None:
        assert len(wheel) == len(made)
        per_slot = []
        await trio.sleep(INTERVAL_S / SLOTS / 2)
        for _ in range(SLOTS):
            got = [received(peer) for _, peer in made]
            per_slot.append(sum(each == PING_FRAME for each in got))
            assert set(got) <= {b"", PING_FRAME}
            await trio.sleep(INTERVAL_S / SLOTS)
        assert sum(per_slot) == len(made)
        assert max(per_slot) <= 2 * len(made) / SLOTS

    on_wheel(test, 2 * SLOTS)


def test_the_silent_are_closed_and_those_who_left_are_not_pinged() -> None:
    async def test(wheel: HeartbeatWheel, made: Members) -> None:
        (silent, _), (lively, _), (gone, gone_peer) = made
        wheel.remove(gone)
        wheel.remove(gone)
        for _ in range(int(SILENT_INTERVALS_MAX) + 2):
            await trio.sleep(INTERVAL_S)
            lively.incoming.last_heard_s = trio.current_time()
        assert silent.close_code == CloseCode.HEARTBEAT_LOST
        assert lively.close_code is None
        assert (received(gone_peer), gone.close_code) == (b"", None)

    on_wheel(test, 3)


def test_a_deadline_is_kept_to_the_moment_and_is_not_trios_while_it_is_far() -> None:
    async def test(_wheel: HeartbeatWheel, made: Members) -> None:
        [(connection, _)] = made
        connection.incoming.last_heard_s = math.inf
        deadline_s = trio.current_time() + 1000.3
        async with trio.open_nursery() as nursery:
            connection.attach(nursery)
            connection.close_at(deadline_s, CloseCode.TOKEN_EXPIRED)
            assert nursery.cancel_scope.deadline == math.inf
            await trio.sleep_until(deadline_s - INTERVAL_S)
            assert nursery.cancel_scope.deadline == deadline_s
            await trio.sleep_forever()
        assert trio.current_time() == deadline_s
        connection.settle(nursery.cancel_scope)
        assert connection.close_code == CloseCode.TOKEN_EXPIRED

    on_wheel(test, 1)
