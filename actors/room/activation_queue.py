"""The activation queue of one room, as a pure state machine: time comes in, decisions come out.

One activation plays at a time, all of its targets together, so that model and viewers share the
moment. The queue is bounded; the rate is a sliding window; what waited too long expires; a pause
holds everything. It neither sleeps nor sends. Spec 3, the activation queue.

Modes: `fifo`, by arrival; `priority`, the larger first, where waiting raises it; `batch`, all that
waits when the toys become free plays together.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from protocol.tip_activated import TipActivated
from protocol.toy_settings import QueueMode

QUEUE_LIMIT: Final = 200
RATE_WINDOW_S: Final = 60.0
WAIT_S_MAX: Final = 600.0
AGING_S: Final = 15.0
"""Waiting so long raises a priority by one: the least waits at most 285 s longer than the most,
less than half of `WAIT_S_MAX`."""


class Requeue(msgspec.Struct, frozen=True):
    """An admin's decision to send a dead target again. `number`: the target's how many-th, from
    1."""

    letter_id: UUID
    number: int


def activation_key(tip_id: str, letter_id: UUID | None) -> str:
    """See `Activation.key`; `letter_id`: of a requeue. No tipId has a `#`."""
    return tip_id if letter_id is None else f"{tip_id}#{letter_id}"


def tip_id_of(key: str) -> str:
    """The tip of an `Activation.key`."""
    return key.partition("#")[0]


class Activation(msgspec.Struct, frozen=True):
    """One settled tip on its way to the toys. `done`: target ids that need nothing more (known
    after a restart). `queued_at_utc` is the event's own time, so that waiting survives one."""

    event: TipActivated
    queued_at_utc: datetime
    priority: int = 1
    """1..20"""
    done: frozenset[tuple[str, str]] = frozenset()
    sent_before: bool = False
    """By an earlier life of the room. A page may have run its command: it plays for no other."""
    requeue: Requeue | None = None
    """It is one dead target of the tip, sent again; `done` names all others."""

    @property
    def tip_id(self) -> str:
        return self.event.tip_id

    @property
    def key(self) -> str:
        """Unlike the tipId it is one activation's own."""
        return activation_key(self.tip_id, self.requeue.letter_id if self.requeue else None)

    @property
    def duration_s(self) -> float:
        vibration = self.event.item.vibration
        return float(vibration.duration_sec) if vibration is not None else 0.0


class _Waiting(msgspec.Struct, frozen=True):
    activation: Activation
    arrival: int

    def order(self, mode: QueueMode) -> tuple[float, int]:
        """The smaller plays first. A priority that grows as time passes keeps the order of what
        waits: so a moment's priority less the arrival's time is compared, once and for all."""
        if mode is not QueueMode.PRIORITY:
            return 0.0, self.arrival
        queued_at_s = self.activation.queued_at_utc.timestamp()
        return queued_at_s / AGING_S - self.activation.priority, self.arrival


class ActivationQueue:
    """`paused` is set by whoever owns the queue."""

    def __init__(self, limit: int = QUEUE_LIMIT, mode: QueueMode = QueueMode.FIFO) -> None:
        self._limit = limit
        self._mode = mode
        self._waiting: list[_Waiting] = []
        """In the order in which they play."""
        self._arrivals = 0
        self._expires_at_utc: datetime | None = None
        """When the oldest that waits does."""
        self._started_at_s: deque[float] = deque()
        self.paused = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return len(self._waiting) >= self._limit

    @property
    def mode(self) -> QueueMode:
        return self._mode

    @property
    def head_tip_id(self) -> str | None:
        """Of what plays next."""
        return self._waiting[0].activation.tip_id if self._waiting else None

    def change_mode(self, mode: QueueMode) -> None:
        """What waits is put into the new order."""
        if mode is not self._mode:
            self._mode = mode
            self._waiting.sort(key=self._order)

    def add(self, activation: Activation) -> bool:
        """False if the queue is full; nothing changes then."""
        if self.full:
            return False
        self.add_again(activation)
        return True

    def add_again(self, activation: Activation) -> None:
        """One that the queue, or the slot, held before a restart, or that is requeued: past the
        limit, too."""
        insort(self._waiting, _Waiting(activation, self._arrivals), key=self._order)
        self._arrivals += 1
        expires_at_utc = activation.queued_at_utc + timedelta(seconds=WAIT_S_MAX)
        if self._expires_at_utc is None or expires_at_utc < self._expires_at_utc:
            self._expires_at_utc = expires_at_utc

    def take_expired(self, utc: datetime) -> list[Activation]:
        """Remove and return what has waited longer than `WAIT_S_MAX`: nothing plays long after
        its tip."""
        if self._expires_at_utc is None or self._expires_at_utc > utc:
            return []
        oldest = utc - timedelta(seconds=WAIT_S_MAX)
        expired = [each.activation for each in self._waiting]
        expired = [each for each in expired if each.queued_at_utc <= oldest]
        self._waiting = [each for each in self._waiting if each.activation.queued_at_utc > oldest]
        self._find_next_expiry()
        return expired

    def take_all(self) -> list[Activation]:
        """Empty the queue, for a room whose broadcast has ended."""
        everything = [each.activation for each in self._waiting]
        self._waiting.clear()
        self._expires_at_utc = None
        return everything

    @property
    def expires_at_utc(self) -> datetime | None:
        """When `take_expired` has something to take; None while nothing waits."""
        return self._expires_at_utc

    def next_start_s(self, now_s: float, rate_per_min: int) -> float | None:
        """When the head may start by pause and rate; None while there is none or it is paused."""
        if self.paused or not self._waiting:
            return None
        return max(now_s, self._rate_allows_at_s(now_s, rate_per_min))

    def rate_allows_at_s(self, now_s: float, rate_per_min: int) -> float:
        """When one more may start by the rate alone; not before `now_s`."""
        return max(now_s, self._rate_allows_at_s(now_s, rate_per_min))

    def take(self) -> tuple[Activation, ...]:
        """What plays next, removed: the head, or in batch mode all that can play together. It
        counts against the rate, as one, only once `started` is told."""
        together = self._together()
        taken = tuple(each.activation for each in self._waiting[:together])
        del self._waiting[:together]
        self._find_next_expiry()
        return taken

    def started(self, now_s: float) -> None:
        """An activation went out to at least one toy."""
        self._started_at_s.append(now_s)

    def recent_starts_s(self) -> tuple[float, ...]:
        """For the next life of a room: the rate holds across a crash."""
        return tuple(self._started_at_s)

    def started_within_window(self, now_s: float) -> int:
        """Activations of the last 60 s: the rate window as inspected."""
        self._forget_old_starts(now_s)
        return len(self._started_at_s)

    def forecast(
        self, now_s: float, free_at_s: float, rate_per_min: int
    ) -> Iterator[tuple[Activation, int, float | None]]:
        """Each waiting activation with its position (from 1) and the seconds until it plays if
        nothing comes in its way: until the toys are free, then the durations ahead of it, and the
        rate. None while the queue is paused: nobody knows for how long."""
        self._forget_old_starts(now_s)
        starts_s = list(self._started_at_s)
        start_at_s, together = free_at_s, self._together()
        for position, each in enumerate(self._waiting, start=1):
            if position == 1 or position > together:
                over = len(starts_s) - rate_per_min
                start_at_s = (
                    free_at_s if over < 0 else max(free_at_s, starts_s[over] + RATE_WINDOW_S)
                )
                starts_s.append(start_at_s)
                free_at_s = start_at_s
            yield each.activation, position, None if self.paused else start_at_s - now_s
            if position >= together:
                free_at_s += each.activation.duration_s

    def _together(self) -> int:
        """How many of those that wait play at once, from the head on."""
        if self._mode is not QueueMode.BATCH or not self._waiting:
            return min(1, len(self._waiting))
        if self._waiting[0].activation.sent_before:
            return 1
        alone = (at for at, each in enumerate(self._waiting) if each.activation.sent_before)
        return next(alone, len(self._waiting))

    def _order(self, each: _Waiting) -> tuple[float, int]:
        return each.order(self._mode)

    def _find_next_expiry(self) -> None:
        oldest = min((each.activation.queued_at_utc for each in self._waiting), default=None)
        self._expires_at_utc = oldest and oldest + timedelta(seconds=WAIT_S_MAX)

    def _rate_allows_at_s(self, now_s: float, rate_per_min: int) -> float:
        self._forget_old_starts(now_s)
        over = len(self._started_at_s) - rate_per_min
        return now_s if over < 0 else self._started_at_s[over] + RATE_WINDOW_S

    def _forget_old_starts(self, now_s: float) -> None:
        while self._started_at_s and self._started_at_s[0] <= now_s - RATE_WINDOW_S:
            self._started_at_s.popleft()
