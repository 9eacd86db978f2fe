"""What the comparison with other servers found, as it is written to JSON. `server` is a key of
bench.contenders. Where a server could not be measured, `failures` says why and there are no rounds.
"""

import msgspec

from bench.distribution import Distribution, Spread


class Load(msgspec.Struct, frozen=True):
    """Percent of one core; the most of any round. A client near 100 may be what is slow."""

    server_percent: float
    client_percent: float
    database_percent: float
    others_percent: float


class FanOutResult(msgspec.Struct, frozen=True, kw_only=True):
    """Messages to everyone in one room, so many under way at any time."""

    server: str
    members: int
    due: int
    """1: the next is sent once everyone has the one before."""
    rounds: int
    frame_bytes: float
    """All that a member receives, by the frames that are counted: own answers included."""
    frames_per_s: Spread | None
    cpu_s_per_million_frames: Spread | None
    """Of the server's process, kernel included."""
    frames_ratios: dict[str, Spread]
    """Frames a second, by those of SOCKETIO and of LIMIT, of each round."""
    load: Load | None
    failures: dict[str, int]


class LatencyResult(msgspec.Struct, frozen=True, kw_only=True):
    """Messages to a few members of a room, evenly spaced; from the send to the first of them."""

    server: str
    members: int
    per_s: float
    rounds: int
    sent: int
    received: int
    p50_us: Spread | None
    p99_us: Spread | None
    load: Load | None
    failures: dict[str, int]


class StormResult(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody at the same moment, to a room that has members already."""

    server: str
    established: int
    storming: int
    rounds: int
    handshakes_per_s: Spread | None
    cpu_ms_per_handshake: Spread | None
    p50_ms: Spread | None
    p99_ms: Spread | None
    """Of one member: from the TCP connection to being in."""
    established_lost: int
    load: Load | None
    failures: dict[str, int]


class MemoryResult(msgspec.Struct, frozen=True, kw_only=True):
    """kB (1,024 bytes) for one more idle member, in the server's process; what the kernel holds for
    its socket comes on top."""

    server: str
    members: int
    rounds: int
    rss_kb: Spread | None
    pss_kb: Spread | None
    kernel_kb: Spread | None
    """Half of what the kernel's own memory (slab) grew by, the other half being the client's. The
    whole machine is in it."""
    failures: dict[str, int]


class BusyRoomResult(msgspec.Struct, frozen=True, kw_only=True):
    """One room of the whole server: lines, tips, and viewers who drop out and come back. Durations
    in ms."""

    viewers: int
    tippers: int
    """Beside the viewers: they tip, and say the lines."""
    seconds: float
    lines_per_s: float
    tips_per_s: float
    vibrations_per_s: float
    reconnect_share: float
    """Of the viewers, over the measured time."""
    tips_sent: int
    tips_settled: int
    tip_to_settled: Distribution
    tip_to_command: Distribution
    """At the model's socket, settled on disk before."""
    settled_to_command: Distribution
    """Their difference, tip by tip: the part outside the database."""
    reconnects: int
    reconnect: Distribution
    """From the TCP connection to the snapshot."""
    frames_per_s: float
    """Of all members."""
    delivered_share: float
    """Frames delivered to the viewers, by notices times viewers: those who are away miss some."""
    server_rss_mb: float
    load: Load
    read_lag: Distribution
    """Of the client that measures, see ClientHealth."""
    failures: dict[str, int]


class GoalResult(msgspec.Struct, frozen=True):
    """What was aimed at, and what came of it in this run."""

    what: str
    goal: str
    measured: str
    met: bool
