"""Outbox: the only writer of one socket. Read `send`, then `drain`.

OPEN -> BACKED_UP -> OPEN ..., and from either -> ENDED (the last frame is queued, nothing after
it is taken) or BROKEN (the peer is gone, everything is thrown away).
"""

import socket
from collections import deque
from itertools import islice
from typing import Final, Protocol

import trio

WRITE_BYTES_MAX: Final = 64 * 1024
"""Frames joined into one system call; about what a loopback or LAN socket takes at once."""


class OutboxOwner(Protocol):
    """Told synchronously, possibly in the middle of a broadcast: must not touch the audience."""

    def backed_up(self) -> None:
        """The kernel takes no more: run `drain` in a task."""
        ...

    def overflowed(self) -> None:
        """The member is too slow; what had not begun to leave is gone. End the outbox."""
        ...


class Outbox:
    """Bytes leave in the order of `send`, never interleaved. While nothing waits, `send` is one
    non-blocking system call; what the kernel does not take waits here, at most `bytes_max`."""

    __slots__ = (
        "_backlog",
        "_broken",
        "_bytes_max",
        "_drained_total",
        "_ended",
        "_head_begun",
        "_indirect",
        "_lot",
        "_owner",
        "_queued_total",
        "_sock",
        "_sock_send",
    )

    def __init__(self, sock: socket.socket, bytes_max: int, owner: OutboxOwner) -> None:
        """`sock`: connected and non-blocking; still the caller's to close."""
        self._sock = sock
        self._sock_send = sock.send
        self._bytes_max = bytes_max
        self._owner = owner
        # Made when first needed: an empty deque takes 760 bytes, and most members never need one.
        self._backlog: deque[bytes | memoryview] | None = None
        self._head_begun = False
        self._queued_total = 0
        self._drained_total = 0
        self._lot: trio.lowlevel.ParkingLot | None = None
        self._indirect = False
        self._ended = False
        self._broken = False

    @property
    def backlog_bytes(self) -> int:
        """What waits here, not counting the kernel's part."""
        return self._queued_total - self._drained_total

    @property
    def ended(self) -> bool:
        """The last frame was given, or the peer is gone."""
        return self._ended or self._broken

    @property
    def broken(self) -> bool:
        return self._broken

    def send(self, data: bytes) -> None:
        """Never waits, never fails. `data` must hold whole frames. After the end it is dropped."""
        if self._indirect:
            self._queue(data)
            return
        try:
            sent = self._sock_send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abandon()
            return
        if sent < len(data):
            self._back_up(data, sent)

    def finish(self, data: bytes) -> None:
        """The last frame: goes out behind all that is due, past the bound. Only the first call
        counts."""
        if self.ended:
            return
        if self._indirect:
            self._append(data)
        else:
            self.send(data)
        self._indirect = self._ended = True

    def abandon(self) -> None:
        """Throw everything away, now and from now on: nobody is there to take it."""
        self._indirect = self._broken = True
        self._backlog = None
        self._drained_total = self._queued_total
        self._wake()

    async def drain(self) -> None:
        """Write until nothing waits or the peer is gone. One task at a time; when cancelled,
        calling it again goes on with the very next byte."""
        while self._backlog:
            await trio.lowlevel.wait_writable(self._sock)
            self._write_joined()

    async def flushed(self) -> None:
        """Wait until the kernel has what was given before this call. Somebody must `drain`.

        Raises trio.BrokenResourceError when the peer is gone.
        """
        target = self._queued_total
        if self._drained_total >= target:
            await trio.lowlevel.checkpoint()
        while self._drained_total < target:
            if self._lot is None:
                self._lot = trio.lowlevel.ParkingLot()
            await self._lot.park()
        if self._broken:
            raise trio.BrokenResourceError

    def _back_up(self, data: bytes, sent: int) -> None:
        self._indirect = True
        self._backlog = deque((memoryview(data)[sent:],))
        self._head_begun = sent > 0
        self._queued_total += len(data) - sent
        self._owner.backed_up()
        if self.backlog_bytes > self._bytes_max:
            self._overflow()

    def _queue(self, data: bytes) -> None:
        if self.ended:
            return
        if self.backlog_bytes + len(data) > self._bytes_max:
            self._overflow()
        else:
            self._append(data)

    def _append(self, data: bytes) -> None:
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(data)
        self._queued_total += len(data)

    def _overflow(self) -> None:
        """Only a frame whose first bytes are with the peer must still be completed; without the
        rest, memory is free at once and the close frame has less to wait for."""
        begun = self._backlog.popleft() if self._backlog and self._head_begun else None
        self._backlog = None if begun is None else deque((begun,))
        self._drained_total = self._queued_total - (0 if begun is None else len(begun))
        self._owner.overflowed()

    def _write_joined(self) -> None:
        backlog = self._backlog
        if backlog is None:
            return
        chunk = _join_up_to(WRITE_BYTES_MAX, backlog)
        try:
            sent = self._sock_send(chunk)
        except BlockingIOError:
            return
        except OSError:
            self.abandon()
            return
        self._drained_total += sent
        while sent:
            head = backlog[0]
            self._head_begun = sent < len(head)
            if self._head_begun:
                backlog[0] = memoryview(head)[sent:]
                break
            sent -= len(head)
            backlog.popleft()
        if not backlog:
            self._backlog = None
            self._indirect = self._ended
        self._wake()

    def _wake(self) -> None:
        if self._lot is not None:
            self._lot.unpark_all()


def _join_up_to(bytes_max: int, frames: deque[bytes | memoryview]) -> bytes | memoryview:
    """The first frames as one piece, at least one frame, about `bytes_max` at most."""
    if len(frames[0]) >= bytes_max or len(frames) == 1:
        return frames[0]
    total = count = 0
    for frame in frames:
        total += len(frame)
        count += 1
        if total >= bytes_max:
            break
    return b"".join(islice(frames, count))
