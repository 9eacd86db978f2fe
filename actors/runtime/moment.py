"""Time, chance and ids, given to whoever needs them, so that a seed repeats a run."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import trio


class Moment(msgspec.Struct, frozen=True):
    """Now, twice: `clock_s` for waiting (trio's clock), `utc` for writing down."""

    clock_s: float
    utc: datetime

    @property
    def epoch_ms(self) -> int:
        return int(self.utc.timestamp() * 1000)


class Chance:
    """The one source of time and randomness of a process, or of a simulation. No secret is made of
    it: who has seen many ids can tell the next one."""

    def __init__(
        self,
        rng: random.Random | None = None,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._rng = rng or random.Random()  # seeded by the system, which is asked once
        self._utc_now = utc_now

    def now(self) -> Moment:
        """Inside a trio run only."""
        return Moment(trio.current_time(), self._utc_now())

    def uuid7(self, moment: Moment) -> UUID:
        """A time-ordered id (RFC 9562): neighbours in time are neighbours in an index."""
        random_bits = self._rng.getrandbits(74)
        value = (moment.epoch_ms & (1 << 48) - 1) << 80
        value |= 0x7 << 76 | (random_bits >> 62) << 64
        value |= 0b10 << 62 | random_bits & (1 << 62) - 1
        return UUID(int=value)

    def draw(self) -> float:
        """Uniform in [0, 1)."""
        return self._rng.random()

    def jitter(self, seconds: float, share: float = 0.2) -> float:
        """`seconds`, up to `share` more or less, so that many do not come back at once."""
        return seconds * (1 + share * (2 * self.draw() - 1))
