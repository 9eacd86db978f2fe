"""What rolling restarts under load came to, as it is written to JSON."""

import msgspec

from bench.distribution import Distribution
from bench.placement import Machine, Placement


class RestartRound(msgspec.Struct, frozen=True, kw_only=True):
    drain_s: float
    """From the signal to the end of the process."""
    take_over_s: float
    """From there until the next one, which stood by, takes requests."""
    back: Distribution
    """Of every member, from there to its snapshot, ms."""
    silent_s: float
    """The longest in which no tip was answered."""


class RestartResult(msgspec.Struct, frozen=True, kw_only=True):
    command: str
    seed: int
    started_at_utc: str
    machine: Machine
    placement: Placement
    members: int
    tips_per_s: float
    rounds: list[RestartRound]
    tips_sent: int
    tips_answered: int
    tips_settled: int
    """As the ledger has it."""
    settled_twice: int
    notices_due: int
    """A member hears of every tip that settles while he is there, once."""
    notices_missed: int
    """While a member was away: a new process remembers no events, and says so."""
    missed_in_silence: int
    """Of them, by members who were never told that something is missing."""
    notices_doubled: int
    snapshots_with_a_gap: int
    """In which a member was told so."""
    failures: dict[str, int]

    @property
    def lost_nothing(self) -> bool:
        return not self.failures and (
            self.tips_sent == self.tips_answered == self.tips_settled
            and self.settled_twice == self.missed_in_silence == self.notices_doubled == 0
        )
