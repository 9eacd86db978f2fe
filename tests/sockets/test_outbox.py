"""The outbox on a real socket pair: nothing lost, nothing torn, nothing beyond its bound."""

import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from protocol.delivery import COMMAND, NEVER_DROPPED, SAMPLED, Delivery, DeliveryClass
from server.sockets.limits import SocketLimits
from server.sockets.outbox import Outbox


class Owner:
    """Ends the outbox when it overflows, as a connection does."""

    def __init__(self) -> None:
        self.backed_up_times = 0
        self.outbox: Outbox

    def backed_up(self) -> None:
        self.backed_up_times += 1

    def overflowed(self) -> None:
        self.outbox.finish(b"<end>")

    def gap_frame(self, sampled: int, latest_only: int) -> bytes:
        return b"<gap %d %d>" % (sampled, latest_only)


class Pair:
    def __init__(self, bytes_max: int) -> None:
        self.ours, self.theirs = socket.socketpair()
        for sock in (self.ours, self.theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock.setblocking(False)
        self.owner = Owner()
        self.left_out: Counter[DeliveryClass] = Counter()
        self.outbox = self.owner.outbox = Outbox(
            self.ours, bytes_max, 30_000, self.owner, self.left_out
        )

    def read(self) -> bytes:
        got = b""
        try:
            while chunk := self.theirs.recv(65536):
                got += chunk
        except BlockingIOError:
            return got
        return got

    async def read_all(self) -> bytes:
        """While the outbox drains."""
        got = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.outbox.drain)
            while self.outbox.backlog_bytes:
                await trio.lowlevel.wait_readable(self.theirs)
                got += self.read()
        return got + self.read()

    def fill(self) -> bytes:
        """Frames until the kernel takes no more."""
        sent = b""
        while not self.outbox.backlog_bytes:
            frame = b"<%d>" % len(sent) + b"." * 10_000  # the last one is taken in part
            self.outbox.send(frame)
            sent += frame
        return sent

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    one = Pair(bytes_max=100_000)
    yield one
    one.close()


async def test_an_open_socket_gets_it_at_once(pair: Pair) -> None:
    pair.outbox.send(b"one")
    pair.outbox.send(b"two")
    assert pair.read() == b"onetwo"
    assert (pair.outbox.backlog_bytes, pair.owner.backed_up_times) == (0, 0)


async def test_what_the_kernel_does_not_take_follows_in_order(pair: Pair) -> None:
    for _ in range(3):
        sent = pair.fill()
        for number in range(500):
            pair.outbox.send(b"[%d]" % number)
            sent += b"[%d]" % number
        assert await pair.read_all() == sent
    assert pair.owner.backed_up_times == 3


async def test_a_drain_that_was_cancelled_goes_on_with_the_next_byte(pair: Pair) -> None:
    sent = pair.fill()
    rest = bytes(range(256)) * 300
    pair.outbox.send(rest)
    got = b""
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.outbox.drain)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        got += pair.read()
    assert pair.outbox.backlog_bytes > 0
    assert got + await pair.read_all() == sent + rest


async def test_overflow_keeps_the_frame_that_had_begun_and_then_ends(pair: Pair) -> None:
    begun = pair.fill()
    while not pair.outbox.ended:
        pair.outbox.send(b"x" * 1000)
    pair.outbox.send(b"never")
    assert pair.outbox.backlog_bytes < 11_000, "memory is not free at once"
    assert await pair.read_all() == begun + b"<end>"


async def test_the_last_frame_goes_past_the_bound_and_nothing_after_it(pair: Pair) -> None:
    sent = pair.fill()
    filler = b"x" * (100_000 - pair.outbox.backlog_bytes)
    pair.outbox.send(filler)
    pair.outbox.finish(b"<last>")
    pair.outbox.finish(b"<again>")
    pair.outbox.send(b"<after>")
    assert await pair.read_all() == sent + filler + b"<last>"


async def test_flushed_waits_for_its_own_bytes_only(pair: Pair) -> None:
    pair.fill()
    flushed = False

    async def wait() -> None:
        nonlocal flushed
        await pair.outbox.flushed()
        flushed = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert not flushed
        pair.outbox.send(b"x" * 90_000)  # later than the wait, and more than the kernel takes
        nursery.start_soon(pair.outbox.drain)
        await trio.testing.wait_all_tasks_blocked()
        pair.read()
        await trio.testing.wait_all_tasks_blocked()
        assert flushed
        assert pair.outbox.backlog_bytes > 0
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("backed_up", [False, True])
async def test_a_peer_that_is_gone_breaks_it_without_an_error(pair: Pair, backed_up: bool) -> None:
    if backed_up:
        pair.fill()
    pair.theirs.close()
    pair.outbox.send(b"x")
    await pair.outbox.drain()
    assert pair.outbox.broken
    assert pair.outbox.backlog_bytes == 0
    with pytest.raises(trio.BrokenResourceError):
        await pair.outbox.flushed()


@pytest.mark.parametrize("name", ["heartbeat_s", "connections_max", "outbox_bytes_max"])
def test_limits_that_cannot_work_are_refused(name: str) -> None:
    limits: Any = {name: 0}
    with pytest.raises(ValueError, match=name):
        SocketLimits(**limits)


# ---- classes of delivery -------------------------------------------------------------------------

COUNT = Delivery(DeliveryClass.LATEST_ONLY)
GOAL = Delivery(DeliveryClass.LATEST_ONLY)


def give(pair: Pair, delivery: Delivery, data: bytes) -> None:
    pair.outbox.write(((delivery, data),), data)


def test_what_is_gathered_leaves_in_one_piece(pair: Pair) -> None:
    assert pair.outbox.gather(NEVER_DROPPED, b"[1]")
    assert not pair.outbox.gather(COUNT, b"[2]")
    assert pair.read() == b""
    give(pair, SAMPLED, b"[3]")
    assert pair.read() == b"[1][2][3]"
    assert pair.outbox.gather(NEVER_DROPPED, b"[4]")
    pair.outbox.flush()
    pair.outbox.flush()
    assert pair.read() == b"[4]"


async def test_of_a_state_the_newest_alone_waits_in_its_own_place(pair: Pair) -> None:
    sent = pair.fill()
    for delivery, data in (
        (COUNT, b"[count 1]"),
        (NEVER_DROPPED, b"[money]"),
        (GOAL, b"[goal 1]"),
        (COUNT, b"[count 2]"),
        (NEVER_DROPPED, b"[more]"),
        (COUNT, b"[count 3]"),
    ):
        give(pair, delivery, data)
    assert await pair.read_all() == sent + b"[money][goal 1][more][count 3]<gap 0 2>"
    assert pair.left_out == {DeliveryClass.LATEST_ONLY: 2}
    give(pair, COUNT, b"[count 4]")
    assert pair.read() == b"[count 4]"


async def test_chat_is_left_out_under_pressure_and_the_gap_is_marked(pair: Pair) -> None:
    sent = pair.fill()
    lines = [b"[%d]" % number + b"." * 500 for number in range(100)]
    for line in lines:
        give(pair, SAMPLED, line)
    kept = len(lines) - pair.left_out[DeliveryClass.SAMPLED]
    assert 0 < kept < len(lines)
    give(pair, NEVER_DROPPED, b"[money]")
    expected = sent + b"".join(lines[:kept]) + b"[money]<gap %d 0>" % (len(lines) - kept)
    assert await pair.read_all() == expected
    give(pair, SAMPLED, b"[later]")
    assert pair.read() == b"[later]"


async def test_the_gap_is_marked_where_it_is(pair: Pair) -> None:
    """Chat goes on while other things still wait: the mark stands before its next line."""
    pair.fill()
    give(pair, NEVER_DROPPED, b"x" * 40_000)
    give(pair, SAMPLED, b"[lost]")
    got = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.outbox.drain)
        while pair.outbox.backlog_bytes > 25_000:
            await trio.lowlevel.wait_readable(pair.theirs)
            got += pair.read()
        give(pair, SAMPLED, b"[next]")
        nursery.cancel_scope.cancel()
    assert (got + await pair.read_all()).endswith(b"<gap 1 0>[next]")


async def test_only_what_is_never_dropped_counts_against_the_bound(pair: Pair) -> None:
    sent = pair.fill()
    for number in range(1_000):
        give(pair, COUNT, b"[%d]" % number + b"." * 1_000)
    assert not pair.outbox.ended
    assert (await pair.read_all()).startswith(sent + b"[999]")


async def test_a_stop_overtakes_all_and_what_it_makes_void_does_not_follow(pair: Pair) -> None:
    sent = pair.fill()
    rest = pair.outbox.backlog_bytes
    give(pair, NEVER_DROPPED, b"[money]")
    give(pair, COMMAND, b"[old command]")
    pair.outbox.send_stop(b"[stop]")
    give(pair, COMMAND, b"[new command]")
    pair.outbox.send_stop(b"[stop]")
    give(pair, COMMAND, b"[newest command]")
    assert rest > 0, "a frame has begun to leave: it is completed first"
    expected = sent + b"[stop][stop][money][newest command]"
    assert await pair.read_all() == expected


def test_a_stop_leaves_before_what_was_gathered(pair: Pair) -> None:
    for delivery, data in ((COMMAND, b"[command]"), (NEVER_DROPPED, b"[money]")):
        pair.outbox.gather(delivery, data)
    pair.outbox.send_stop(b"[stop]")
    assert pair.read() == b"[stop][money]"


async def test_a_stop_survives_an_overflow(pair: Pair) -> None:
    begun = pair.fill()
    pair.outbox.send_stop(b"[stop]")
    while not pair.outbox.ended:
        pair.outbox.send(b"x" * 1000)
    assert await pair.read_all() == begun + b"[stop]<end>"
    assert pair.left_out[DeliveryClass.NEVER_DROPPED] > 0
