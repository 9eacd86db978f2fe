"""The outbox on a real socket pair: nothing lost, nothing torn, nothing beyond its bound."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from server.sockets.framing import close_frame
from server.sockets.limits import SocketLimits
from server.sockets.outbox import Outbox
from server.sockets.stream import OutboxStream


class Owner:
    """Ends the outbox when it overflows, as a connection does."""

    def __init__(self) -> None:
        self.backed_up_times = 0
        self.outbox: Outbox

    def backed_up(self) -> None:
        self.backed_up_times += 1

    def overflowed(self) -> None:
        self.outbox.finish(b"<end>")


class Pair:
    def __init__(self, bytes_max: int) -> None:
        self.ours, self.theirs = socket.socketpair()
        for sock in (self.ours, self.theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock.setblocking(False)
        self.owner = Owner()
        self.outbox = self.owner.outbox = Outbox(self.ours, bytes_max, self.owner)

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


async def test_a_close_frame_of_the_library_is_the_last_to_leave(pair: Pair) -> None:
    stream = OutboxStream(pair.ours, pair.outbox, lambda: None)
    await stream.send_all(b"\x8a\x00")
    await stream.send_all(close_frame(1000, ""))
    pair.outbox.send(b"broadcast")
    assert pair.read() == b"\x8a\x00\x88\x02\x03\xe8"


@pytest.mark.parametrize("name", ["heartbeat_s", "connections_max", "outbox_bytes_max"])
def test_limits_that_cannot_work_are_refused(name: str) -> None:
    limits: Any = {name: 0}
    with pytest.raises(ValueError, match=name):
        SocketLimits(**limits)
