"""Outbox: the only writer of one socket. Read `write`, then `drain`.

OPEN -> BACKED_UP -> OPEN ..., and from either -> ENDED (the last frame is queued, nothing after
it is taken) or BROKEN (the peer is gone, everything is thrown away).

Of what waits, the order is kept, but for two: a stop goes ahead of all, and a state that is only
wanted in its newest form leaves where its newest one stands.
"""

import socket
from collections import Counter, OrderedDict
from collections.abc import Sequence
from itertools import count
from typing import Final, Protocol

import trio

from protocol.delivery import NEVER_DROPPED, Delivery, DeliveryClass

WRITE_BYTES_MAX: Final = 64 * 1024
"""Frames joined into one system call; about what a loopback or LAN socket takes at once."""

Frame = tuple[Delivery, bytes]
"""One whole WebSocket frame."""

_numbers: Final = count()
"""Keys of frames that nothing may replace."""


class OutboxOwner(Protocol):
    """Told synchronously, possibly in the middle of a broadcast: must not touch the audience."""

    def backed_up(self) -> None:
        """The kernel takes no more: run `drain` in a task."""
        ...

    def overflowed(self) -> None:
        """The member is too slow; what had not begun to leave is gone. End the outbox."""
        ...

    def gap_frame(self, sampled: int, latest_only: int) -> bytes:
        """What tells the member how much was left out."""
        ...


class _Nobody:
    """The owner of an outbox that is given up."""

    def backed_up(self) -> None: ...

    def overflowed(self) -> None: ...

    def gap_frame(self, _sampled: int, _latest_only: int) -> bytes:
        raise AssertionError("nothing waits in an outbox that is given up")


_NOBODY: Final = _Nobody()


class Outbox:
    """Bytes leave in whole frames, never interleaved. While nothing waits, a write is one
    non-blocking system call for all that is due; what the kernel does not take waits here, each
    frame by its class (`protocol.delivery`)."""

    __slots__ = (
        "_begun",
        "_broken",
        "_bytes_max",
        "_drained_total",
        "_ended",
        "_gathered",
        "_indirect",
        "_left_out",
        "_lot",
        "_owed_bytes",
        "_owner",
        "_queued_total",
        "_sampled_bytes_max",
        "_sock",
        "_sock_send",
        "_stops",
        "_unsaid",
        "_waiting",
    )

    def __init__(
        self,
        sock: socket.socket,
        bytes_max: int,
        sampled_bytes_max: int,
        owner: OutboxOwner,
        left_out: Counter[DeliveryClass],
    ) -> None:
        """`sock`: connected and non-blocking; still the caller's to close. `bytes_max`: of what is
        never dropped. `sampled_bytes_max`: of all that waits, above it no more is sampled.
        `left_out`: counts what never leaves, of all outboxes that share it."""
        self._sock = sock
        self._sock_send = sock.send
        self._bytes_max = bytes_max
        self._sampled_bytes_max = sampled_bytes_max
        self._owner = owner
        self._left_out = left_out
        # Containers are made when first needed: most members never need one.
        self._gathered: list[Frame] | None = None
        self._begun: memoryview | None = None
        """The rest of a frame whose first bytes are with the peer."""
        self._stops: list[bytes] | None = None
        self._waiting: OrderedDict[object, Frame] | None = None
        self._owed_bytes = 0
        self._unsaid: Counter[DeliveryClass] | None = None
        """Left out, and the member has not been told."""
        self._queued_total = 0
        self._drained_total = 0
        self._lot: trio.lowlevel.ParkingLot | None = None
        self._indirect = False
        self._ended = False
        self._broken = False

    @property
    def backlog_bytes(self) -> int:
        """What waits here because the kernel did not take it."""
        return self._queued_total - self._drained_total

    @property
    def ended(self) -> bool:
        """The last frame was given, or the peer is gone."""
        return self._ended or self._broken

    @property
    def broken(self) -> bool:
        return self._broken

    # ---- giving it frames: nothing here waits or fails; after the end all is dropped ----------

    def gather(self, delivery: Delivery, data: bytes) -> bool:
        """One frame that leaves with the next write or `flush`. True: the first of these, so that
        somebody must see to a `flush`."""
        if self._gathered is None:
            self._gathered = [(delivery, data)]
            return True
        self._gathered.append((delivery, data))
        return False

    def flush(self) -> None:
        """Write what was gathered."""
        gathered = self._gathered
        if gathered is not None:
            self._gathered = None
            self._write(gathered, _joined(gathered))

    def write(self, frames: Sequence[Frame], joined: bytes) -> None:
        """Frames, behind what was gathered. `joined`: the same in one piece, which many outboxes
        may share."""
        if self._gathered is not None:
            frames = [*self._gathered, *frames]
            joined = _joined(frames)
            self._gathered = None
        self._write(frames, joined)

    def send(self, data: bytes) -> None:
        """Frames that are never dropped, now."""
        self.write(((NEVER_DROPPED, data),), data)

    def send_stop(self, data: bytes) -> None:
        """A frame that overtakes all that has not begun to leave. Commands that it overtakes are
        void, and must not come after it."""
        if not self._indirect:
            others = [each for each in self._gathered or () if not each[0].stoppable]
            self._gathered = None
            frames = [(NEVER_DROPPED, data), *others]
            self._write(frames, _joined(frames))
        elif not self.ended:
            for key, (delivery, _) in list((self._waiting or {}).items()):
                if delivery.stoppable:
                    self._drop(key)
            self._stops = [*(self._stops or ()), data]
            self._owed_bytes += len(data)
            self._queued_total += len(data)

    def finish(self, data: bytes) -> None:
        """The last frame: goes out behind all that is due, past the bound. Only the first call
        counts."""
        if self.ended:
            return
        self.flush()
        if self.ended:
            return
        if self._indirect:
            self._put(NEVER_DROPPED, data)
        else:
            self.send(data)
        self._indirect = self._ended = True

    def abandon(self) -> None:
        """Throw everything away, now and from now on: nobody is there to take it."""
        self._indirect = self._broken = True
        self._owner = _NOBODY  # who owns this: a cycle would wait for the collector, which is rare
        self._gathered = self._begun = self._stops = self._waiting = None
        self._drained_total = self._queued_total
        self._wake()

    # ---- for tasks that may wait ---------------------------------------------------------

    async def drain(self) -> None:
        """Write until nothing waits or the peer is gone. One task at a time; when cancelled,
        calling it again goes on with the very next byte."""
        while self._queued_total > self._drained_total:
            await trio.lowlevel.wait_writable(self._sock)
            self._write_waiting()

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

    # ---- while the kernel takes what is given ----------------------------------------------

    def _write(self, frames: Sequence[Frame], joined: bytes) -> None:
        if self._indirect:
            for delivery, data in frames:
                self._queue(delivery, data)
            return
        try:
            sent = self._sock_send(joined)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abandon()
            return
        if sent < len(joined):
            self._back_up(frames, sent)

    def _back_up(self, frames: Sequence[Frame], sent: int) -> None:
        self._indirect = True
        for delivery, data in frames:
            if sent >= len(data):
                sent -= len(data)
            elif sent > 0:
                self._begun = memoryview(data)[sent:]
                self._owed_bytes += len(self._begun)
                self._queued_total += len(self._begun)
                sent = 0
            else:
                self._queue(delivery, data)
        if not self.ended:
            self._owner.backed_up()

    # ---- while something waits ---------------------------------------------------------------

    def _queue(self, delivery: Delivery, data: bytes) -> None:
        if self.ended:
            return
        match delivery.delivery_class:
            case DeliveryClass.LATEST_ONLY:
                if self._waiting is not None and delivery in self._waiting:
                    self._drop(delivery)
                    self._leave_out(delivery)
                self._put(delivery, data)
            case DeliveryClass.SAMPLED:
                if self.backlog_bytes + len(data) > self._sampled_bytes_max:
                    self._leave_out(delivery)
                else:
                    self._put_gap()
                    self._put(delivery, data)
            case DeliveryClass.NEVER_DROPPED:
                self._put(delivery, data)
                if self._owed_bytes > self._bytes_max:
                    self._overflow()

    def _put(self, delivery: Delivery, data: bytes) -> None:
        if self._waiting is None:
            self._waiting = OrderedDict()
        latest_only = delivery.delivery_class is DeliveryClass.LATEST_ONLY
        self._waiting[delivery if latest_only else next(_numbers)] = (delivery, data)
        self._queued_total += len(data)
        if delivery.delivery_class is DeliveryClass.NEVER_DROPPED:
            self._owed_bytes += len(data)

    def _drop(self, key: object) -> None:
        assert self._waiting is not None
        delivery, data = self._waiting.pop(key)
        self._drained_total += len(data)
        if delivery.delivery_class is DeliveryClass.NEVER_DROPPED:
            self._owed_bytes -= len(data)

    def _leave_out(self, delivery: Delivery) -> None:
        self._left_out[delivery.delivery_class] += 1
        if self._unsaid is None:
            self._unsaid = Counter()
        self._unsaid[delivery.delivery_class] += 1

    def _put_gap(self) -> None:
        """Tell the member what was left out by now."""
        if self._unsaid is not None:
            unsaid, self._unsaid = self._unsaid, None
            sampled, latest = unsaid[DeliveryClass.SAMPLED], unsaid[DeliveryClass.LATEST_ONLY]
            self._put(NEVER_DROPPED, self._owner.gap_frame(sampled, latest))

    def _overflow(self) -> None:
        """Only what has begun to leave must still be completed, and a stop still arrives; without
        the rest, memory is free at once and the close frame has less to wait for."""
        for delivery, _ in (self._waiting or {}).values():
            self._left_out[delivery.delivery_class] += 1
        self._waiting = self._unsaid = None
        kept = [*(self._stops or ()), self._begun or b""]
        self._owed_bytes = sum(map(len, kept))
        self._drained_total = self._queued_total - self._owed_bytes
        self._owner.overflowed()

    def _write_waiting(self) -> None:
        chunk = self._next_chunk()
        try:
            sent = self._sock_send(chunk)
        except BlockingIOError:
            return
        except OSError:
            self.abandon()
            return
        self._take_out(sent)
        if self._queued_total == self._drained_total and not self._ended:
            self._put_gap()
        if self._queued_total == self._drained_total:
            self._waiting = None
            self._indirect = self._ended
        self._wake()

    def _next_chunk(self) -> bytes:
        """The first of what waits as one piece, at least one frame, about WRITE_BYTES_MAX."""
        parts: list[bytes | memoryview] = [] if self._begun is None else [self._begun]
        parts += self._stops or ()
        total = sum(map(len, parts))
        for _, data in (self._waiting or {}).values():
            if total >= WRITE_BYTES_MAX:
                break
            parts.append(data)
            total += len(data)
        return b"".join(parts)

    def _take_out(self, sent: int) -> None:
        """The first `sent` bytes are with the kernel."""
        self._drained_total += sent
        if self._begun is not None:
            taken = min(sent, len(self._begun))
            self._begun = self._begun[taken:] if taken < len(self._begun) else None
            self._owed_bytes -= taken
            sent -= taken
        while sent:
            delivery, data = self._pop_first()
            taken = min(sent, len(data))
            rest = len(data) - taken
            if rest:
                self._begun = memoryview(data)[taken:]
            if delivery.delivery_class is DeliveryClass.NEVER_DROPPED:
                self._owed_bytes -= taken
            else:
                self._owed_bytes += rest  # begun, it is owed whole
            sent -= taken

    def _pop_first(self) -> Frame:
        if self._stops:
            data = self._stops.pop(0)
            self._stops = self._stops or None
            return NEVER_DROPPED, data
        assert self._waiting is not None
        return self._waiting.popitem(last=False)[1]

    def _wake(self) -> None:
        if self._lot is not None:
            self._lot.unpark_all()


def _joined(frames: Sequence[Frame]) -> bytes:
    return frames[0][1] if len(frames) == 1 else b"".join([data for _, data in frames])
