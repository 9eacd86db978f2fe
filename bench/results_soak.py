"""What a soak found, as it is written to JSON. Durations in ms, memory in MB (2^20 bytes)."""

import msgspec

from bench.distribution import Distribution
from bench.placement import Machine, Placement
from bench.trend import Trend, Verdict


class SoakSample(msgspec.Struct, frozen=True, kw_only=True):
    """The server at one moment, and what was asked of it since the moment before."""

    at_s: float
    rss_mb: float
    pss_mb: float
    own_mb: float
    """Anonymous memory, which no other process shares."""
    descriptors: int
    tasks: int
    sockets: int
    outbox_mb: float
    server_cpu_percent: float
    others_cpu_percent: float
    tip_to_settled: Distribution
    """The tipper's `ok`."""
    tip_to_command: Distribution
    """At the model's socket."""


class SoakResult(msgspec.Struct, frozen=True, kw_only=True):
    command: str
    seed: int
    started_at_utc: str
    machine: Machine
    placement: Placement
    members: int
    minutes: float
    tips_per_s: float
    reconnects_per_s: float
    """Of viewers who drop out without a word and come back at once."""
    samples: list[SoakSample]
    rss_trend: Trend | None
    """MB a minute, of the second half."""
    own_trend: Trend | None
    verdict: Verdict
    tips_sent: int
    tips_settled: int
    tip_to_settled: Distribution
    tip_to_command: Distribution
    notices_delivered: int
    """To the viewers."""
    drop_outs: int
    returns: int
    """Of those who left in order and came back."""
    late_events: int
    """What they had missed, and got."""
    lost_events: int
    """What members were told that they would not get."""
    slow_ends: int
    """Connections of slow readers that were ended; they come back."""
    closes: dict[str, int]
    """Of all members, by code, as the server counts them."""
    left_out: dict[str, int]
    """Frames that never left for somebody who was too slow, by class."""
    failures: dict[str, int]
