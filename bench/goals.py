"""What the comparison aims at, as ratios of one run, and what came of it."""

from collections.abc import Iterable, Iterator
from typing import Final

from bench.contenders import LIMIT, SOCKETIO, SOCKETS, WHOLE
from bench.results_comparison import (
    BusyRoomResult,
    FanOutResult,
    GoalResult,
    LatencyResult,
    MemoryResult,
    StormResult,
)

BY_SOCKETIO_MIN: Final = 2.2
BY_LIMIT_MIN: Final = 0.6
BY_SOCKETIO_SEVERAL_DUE_MIN: Final = 10.0
CPU_S_MAX: Final = 9.0
CPU_S_SEVERAL_DUE_MAX: Final = 1.5
"""Of the server, per million frames delivered."""
MEMBER_KB_MAX: Final = 20.0
COMMAND_P50_MS_MAX: Final = 10.0
COMMAND_P99_MS_MAX: Final = 30.0
ROUTED_P99_MS_MAX: Final = 2.0
HANDSHAKES_PER_S_MIN: Final = 900.0


def goals(
    fan_out: Iterable[FanOutResult],
    latency: Iterable[LatencyResult],
    storm: Iterable[StormResult],
    memory: Iterable[MemoryResult],
    busy: Iterable[BusyRoomResult],
) -> list[GoalResult]:
    """Those that these results can say something about."""
    return [
        *_fan_out(fan_out),
        *_latency(list(latency)),
        *_storm(storm),
        *_memory(memory),
        *_busy(busy),
    ]


def _fan_out(results: Iterable[FanOutResult]) -> Iterator[GoalResult]:
    for each in results:
        if each.server not in (WHOLE, SOCKETS):
            continue
        what = f"{each.server}, {each.members:,} members, {each.due} due"
        one = each.due == 1
        by_socketio = each.frames_ratios.get(SOCKETIO)
        by_limit = each.frames_ratios.get(LIMIT)
        if by_socketio is not None:
            least = BY_SOCKETIO_MIN if one else BY_SOCKETIO_SEVERAL_DUE_MIN
            yield _at_least(f"{what}: frames/s by Socket.IO", by_socketio.median, least, " x")
        if one and by_limit is not None:
            yield _at_least(f"{what}: frames/s by C", by_limit.median, BY_LIMIT_MIN, " x")
        if each.cpu_s_per_million_frames is not None:
            most = CPU_S_MAX if one else CPU_S_SEVERAL_DUE_MAX
            cpu_s = each.cpu_s_per_million_frames.median
            yield _under(f"{what}: CPU per million frames", cpu_s, most, " s")


def _latency(results: list[LatencyResult]) -> Iterator[GoalResult]:
    theirs = {each.per_s: each.p99_us for each in results if each.server == SOCKETIO}
    for each in results:
        if each.server != SOCKETS or each.p99_us is None:
            continue
        what = f"{each.server}, {each.per_s:g} messages/s: p99"
        yield _under(what, each.p99_us.median / 1000, ROUTED_P99_MS_MAX, " ms")
        other = theirs.get(each.per_s)
        if other is not None:
            yield _under(f"{what} by Socket.IO's", each.p99_us.median / other.median, 1.0, " x")


def _storm(results: Iterable[StormResult]) -> Iterator[GoalResult]:
    for each in results:
        if each.server != WHOLE or each.handshakes_per_s is None:
            continue
        rate = each.handshakes_per_s.median
        yield _at_least(f"{WHOLE}: handshakes/s with token and snapshot", rate,
                        HANDSHAKES_PER_S_MIN, "")  # fmt: skip
        yield GoalResult(
            f"{WHOLE}: members lost in the storm",
            "0",
            str(each.established_lost),
            each.established_lost == 0,
        )


def _memory(results: Iterable[MemoryResult]) -> Iterator[GoalResult]:
    for each in results:
        if each.server == WHOLE and each.rss_kb is not None:
            yield _under(
                f"{WHOLE}: memory per idle member", each.rss_kb.median, MEMBER_KB_MAX, " kB"
            )


def _busy(results: Iterable[BusyRoomResult]) -> Iterator[GoalResult]:
    for each in results:
        what = f"{WHOLE}, {each.viewers:,} viewers, {each.tips_per_s:g} tips/s: tip -> command"
        p50, p99 = each.tip_to_command.p50, each.tip_to_command.p99
        if p50 is not None:
            yield _under(f"{what} p50", p50, COMMAND_P50_MS_MAX, " ms")
        if p99 is not None:
            yield _under(f"{what} p99", p99, COMMAND_P99_MS_MAX, " ms")


def _at_least(what: str, value: float, least: float, unit: str) -> GoalResult:
    return GoalResult(what, f">= {_short(least)}{unit}", f"{_short(value)}{unit}", value >= least)


def _under(what: str, value: float, most: float, unit: str) -> GoalResult:
    return GoalResult(what, f"< {_short(most)}{unit}", f"{_short(value)}{unit}", value < most)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
