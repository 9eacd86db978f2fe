"""What restarts under load came to, as it is written to JSON."""

import msgspec

from bench.distribution import Distribution
from bench.placement import Machine, Placement


class RestartRound(msgspec.Struct, frozen=True, kw_only=True):
    drain_s: float
    """From the signal to the end of the process."""
    start_s: float
    """From there to the next one, ready."""
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
    """Every member hears of every tip that settled, once."""
    notices_missed: int
    notices_doubled: int
    snapshots_with_a_gap: int
    """In which a member was told that something is missing."""
    failures: dict[str, int]

    @property
    def lost_nothing(self) -> bool:
        return not self.failures and (
            self.tips_sent == self.tips_answered == self.tips_settled
            and self.settled_twice == self.notices_missed == self.notices_doubled == 0
        )
