"""The activation queue of one room, as a pure state machine: time comes in, decisions come out.

One activation plays at a time, all of its targets together, so that model and viewers share the
moment. The queue is bounded; the rate is a sliding window; what waited too long expires; a pause
holds everything. It neither sleeps nor sends. Spec 3, the activation queue.
"""

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec

from protocol.tip_activated import TipActivated

QUEUE_LIMIT: Final = 200
RATE_WINDOW_S: Final = 60.0
WAIT_S_MAX: Final = 600.0


class Activation(msgspec.Struct, frozen=True):
    """One settled tip on its way to the toys. `done`: target ids that need nothing more (known
    after a restart). `queued_at_utc` is the event's own time, so that waiting survives one."""

    event: TipActivated
    queued_at_utc: datetime
    done: frozenset[tuple[str, str]] = frozenset()

    @property
    def tip_id(self) -> str:
        return self.event.tip_id

    @property
    def duration_s(self) -> float:
        vibration = self.event.item.vibration
        return float(vibration.duration_sec) if vibration is not None else 0.0


class ActivationQueue:
    """First in, first out. `paused` is set by whoever owns the queue."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._limit = limit
        self._waiting: deque[Activation] = deque()
        self._expires_at_utc: datetime | None = None
        """When the oldest that waits does."""
        self._started_at_s: deque[float] = deque()
        self.paused = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def head_tip_id(self) -> str | None:
        """Of what plays next."""
        return self._waiting[0].tip_id if self._waiting else None

    def add(self, activation: Activation) -> bool:
        """False if the queue is full; nothing changes then."""
        if len(self._waiting) >= self._limit:
            return False
        self.add_again(activation)
        return True

    def add_again(self, activation: Activation) -> None:
        """One that the queue, or the slot, held before a restart: past the limit, too."""
        self._waiting.append(activation)
        expires_at_utc = activation.queued_at_utc + timedelta(seconds=WAIT_S_MAX)
        if self._expires_at_utc is None or expires_at_utc < self._expires_at_utc:
            self._expires_at_utc = expires_at_utc

    def take_expired(self, utc: datetime) -> list[Activation]:
        """Remove and return what has waited longer than `WAIT_S_MAX`: nothing plays long after
        its tip."""
        if self._expires_at_utc is None or self._expires_at_utc > utc:
            return []
        oldest = utc - timedelta(seconds=WAIT_S_MAX)
        expired = [each for each in self._waiting if each.queued_at_utc <= oldest]
        self._waiting = deque(each for each in self._waiting if each.queued_at_utc > oldest)
        self._find_next_expiry()
        return expired

    def take_all(self) -> list[Activation]:
        """Empty the queue, for a room whose broadcast has ended."""
        everything = list(self._waiting)
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

    def take(self) -> Activation:
        """The head, removed. It counts against the rate only once `started` is told."""
        activation = self._waiting.popleft()
        self._find_next_expiry()
        return activation

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

    def forecast(self, playing_for_s: float) -> Iterator[tuple[Activation, int, float]]:
        """Each waiting activation with its position (from 1) and the seconds until it plays if
        nothing comes in its way: what still plays, and the durations ahead of it."""
        wait_s = playing_for_s
        for position, activation in enumerate(self._waiting, start=1):
            yield activation, position, wait_s
            wait_s += activation.duration_s

    def _find_next_expiry(self) -> None:
        oldest = min((each.queued_at_utc for each in self._waiting), default=None)
        self._expires_at_utc = oldest and oldest + timedelta(seconds=WAIT_S_MAX)

    def _rate_allows_at_s(self, now_s: float, rate_per_min: int) -> float:
        self._forget_old_starts(now_s)
        over = len(self._started_at_s) - rate_per_min
        return now_s if over < 0 else self._started_at_s[over] + RATE_WINDOW_S

    def _forget_old_starts(self, now_s: float) -> None:
        while self._started_at_s and self._started_at_s[0] <= now_s - RATE_WINDOW_S:
            self._started_at_s.popleft()
