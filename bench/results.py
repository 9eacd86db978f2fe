"""What a run found, as it is written to JSON."""

import msgspec

from bench.distribution import Distribution, Spread
from bench.placement import Machine, Placement
from bench.results_comparison import (
    BusyRoomResult,
    FanOutResult,
    GoalResult,
    LatencyResult,
    MemoryResult,
    StormResult,
)


class Connecting(msgspec.Struct, frozen=True):
    """From a TCP connection over the upgrade, the token check and `connect` to the snapshot."""

    members: int
    at_once: int
    seconds: float
    members_per_s: float
    duration: Distribution
    server_cpu_ms_per_member: float


class Memory(msgspec.Struct, frozen=True):
    """Resident bytes of the server process; what the kernel holds for sockets is not in it."""

    empty: int
    idle: int
    """All joined, nobody has tipped."""
    after_load: int
    idle_per_viewer: int
    after_load_per_viewer: int


class Second(msgspec.Struct, frozen=True):
    """One second of the measured time. CPU in percent of one core."""

    at_s: int
    frames_per_s: float
    server_cpu_percent: float
    client_cpu_percent: float
    database_cpu_percent: float
    tip_to_settled: Distribution


class ClientHealth(msgspec.Struct, frozen=True):
    """Whether the load client was fast enough to be believed."""

    cpu_percent: float
    read_lag: Distribution
    """The kernel had the bytes; so much later the client read them."""
    timer_lateness: Distribution


class RoomResult(msgspec.Struct, frozen=True, kw_only=True):
    """The whole server under tips. Durations in ms, see `Distribution`."""

    viewers: int
    seconds: float
    tips_per_s: float
    vibrations_per_s: float
    tips_sent: int
    tips_settled: int
    tips_per_commit: float
    connecting: Connecting
    tip_to_settled: Distribution
    """The tipper's `ok`."""
    tip_to_command: Distribution
    """At the model's socket."""
    settled_to_command: Distribution
    """Their difference, tip by tip; both arrive at this one process, at sockets of their own, so it
    may come out a little below zero."""
    tip_to_activated: Distribution
    """The server has the page's word that the toy reacts: the time in the audit."""
    tip_to_done: Distribution
    """The tipper's page knows that the toy has reacted."""
    fan_out_spread: Distribution
    """From the first member's notice to the last member's."""
    notices_due: int
    notices_delivered: int
    frames_per_s: float
    """Of all kinds, at all members."""
    server_cpu_percent: float
    server_cpu_idle_percent: float
    server_cpu_s_per_million_frames: float
    database_cpu_percent: float
    others_cpu_percent: float
    """Of one core: what processes outside this bench took. Above a few percent: a noisy run."""
    memory: Memory
    client: ClientHealth
    failures: dict[str, int]
    timeline: list[Second]


class LedgerLoad(msgspec.Struct, frozen=True, kw_only=True):
    """So many tippers, each with one request at a time, into one room. Durations in ms."""

    way: str
    """GROUP_COMMIT, ONE_BY_ONE or NO_ACTOR, and what is posted if that is not tips alone."""
    tippers: int
    connections: int
    """Of the pool that posts."""
    per_s: Spread
    """Transfers that stand in the ledger, answered."""
    latency: Distribution
    """All rounds together."""
    latency_p50: Spread
    per_commit: float
    """Transfers in one commit."""
    commits_per_s: float
    trio_cpu_percent: float
    """Of one core: the actor, the tippers, and what is made for the database."""
    bridge_cpu_percent: float
    """The database's driver, in its thread."""
    database_cpu_percent: float
    others_cpu_percent: float
    python_us_per_transfer: float
    """CPU, both threads."""
    database_us_per_transfer: float
    """CPU."""


class SyncLimit(msgspec.Struct, frozen=True):
    """What the disk allows: 8 kB written and fdatasync, one after the other."""

    per_s: float
    duration: Distribution


class LedgerResult(msgspec.Struct, frozen=True, kw_only=True):
    """One hot room: group commit beside one transaction for each settlement, in turn."""

    rounds: int
    round_s: float
    sync: SyncLimit
    loads: list[LedgerLoad]
    ratios: dict[int, Spread]
    """Tippers -> group commit's throughput by the best of the ways one by one, of each round."""
    p50_ratio_alone: Spread
    """One tipper: p50 of group commit by p50 of one by one, both asked of the actor, of each
    round."""
    p50_ratio_no_actor: Spread
    """By that of a task which posts by itself, as no room can."""
    others_cpu_percent: float
    """The most of any load."""
    failures: dict[str, int]


class ActivationLevel(msgspec.Struct, frozen=True, kw_only=True):
    """One offered load over all rooms, every tip buying a vibration. Durations in ms."""

    offered_per_s: float
    seconds: float
    tips_sent: int
    activated_per_s: float
    """While the load lasted; what came after it does not count."""
    tip_to_settled: Distribution
    tip_to_activated: Distribution
    """The time in the audit."""
    success_percent: float
    """Of the tips sent: ACTIVATED in the audit, in the end."""
    error_percent: float
    """Of the tips sent: refused, or without an answer."""
    server_cpu_percent: float
    client_cpu_percent: float
    database_cpu_percent: float
    others_cpu_percent: float


class VipTips(msgspec.Struct, frozen=True, kw_only=True):
    """One tip at a time to everyone's toy. Durations in ms, from the tip's sending."""

    tips: int
    to_settled: Distribution
    to_command: Distribution
    """At each socket."""
    to_last_command: Distribution
    """At the last socket of each tip."""
    to_audited: Distribution
    """Of each tip: the commit with the last of its SENT rows. Shorter than the truth by that
    commit's own sync."""
    echo: Distribution
    """A viewer's question to the same room, answered, all the while."""
    read_lag: Distribution
    """Of the load client, see ClientHealth."""


class Stops(msgspec.Struct, frozen=True, kw_only=True):
    """The model's stop while everyone's toy plays. Durations in ms, from her click."""

    clicks: int
    waiting_min: int
    """The fewest activations that waited at any click."""
    to_stop: Distribution
    """At each socket that has a toy."""
    to_last_stop: Distribution
    """At the last socket of each click."""


class ActivationResult(msgspec.Struct, frozen=True, kw_only=True):
    """Toys, platform-wide and in one room of VIPs."""

    rooms: int
    tippers: int
    """In each room."""
    levels: list[ActivationLevel]
    """Up to the first that misses a target."""
    held: ActivationLevel | None
    """The highest that met them all, once more and for long."""
    vips: int
    vip_tips: VipTips
    stops: Stops
    stops_without_database: Stops
    others_cpu_percent: float
    """The most of any level."""
    failures: dict[str, int]


class StageLevel(msgspec.Struct, frozen=True, kw_only=True):
    """One offered load of purchases with escrow, over all models. Durations in ms."""

    offered_per_s: float
    seconds: float
    asked: int
    joined: int
    """Purchases whose place came to their buyers, in the end."""
    bought_per_s: float
    """Answered while the load lasted."""
    to_answer: Distribution
    to_joined: Distribution
    """From asking to the place in the line, at the buyer's socket."""
    server_cpu_percent: float
    client_cpu_percent: float
    database_cpu_percent: float
    others_cpu_percent: float


class ThanksOfTier(msgspec.Struct, frozen=True):
    """How late the thanks came to the tippers of a tier: after the tip's `ok` and the delay, ms.
    Below zero where the thanks overtook the `ok`."""

    tier: str
    delay_s: float
    lateness: Distribution


class StageResult(msgspec.Struct, frozen=True, kw_only=True):
    """Purchases, performances and thanks over many rooms. Durations in ms."""

    models: int
    buyers: int
    """Of each model."""
    levels: list[StageLevel]
    """Up to the first that misses a wish."""
    performances_per_s: float
    start_to_settled: Distribution
    """From a start that settles to its answer, with all that it owes paid."""
    finish_to_settled: Distribution
    tips_per_s: float
    thanks: list[ThanksOfTier]
    others_cpu_percent: float
    """The most of any level."""
    failures: dict[str, int]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    command: str
    seed: int
    started_at_utc: str
    machine: Machine
    placement: Placement
    room: RoomResult | None
    fan_out: list[FanOutResult]
    ledger: LedgerResult | None
    activation: ActivationResult | None = None
    stage: StageResult | None = None
    latency: list[LatencyResult] = []
    storm: list[StormResult] = []
    memory: list[MemoryResult] = []
    busy: list[BusyRoomResult] = []
    goals: list[GoalResult] = []
