"""Everybody comes back at once: a room with members, and as many new ones at the same moment.

A handshake is TCP, the upgrade, and for Tiproom also the token, the join and the snapshot. Who is
turned away tries again at once, as an impatient page would; it is counted."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from bench.comparison import FIRST, ComparisonPlan, Rounds, heaviest, in_turn
from bench.contenders import Contender, Running
from bench.crowd import Crowd
from bench.distribution import percentile_ms, spread
from bench.meter import Meter, Used
from bench.placement import Placement
from bench.progress import Progress
from bench.results_comparison import StormResult

JOINS_AT_ONCE: Final = 64


class Round(msgspec.Struct, frozen=True):
    joined: int
    seconds: float
    durations_ns: list[int]
    """Sorted."""
    established_lost: int
    used: Used


def run_storm(
    plan: ComparisonPlan, contenders: Sequence[Contender], placement: Placement, progress: Progress
) -> list[StormResult]:
    size = plan.members[0]
    found = in_turn(
        plan,
        contenders,
        2 * size,
        placement,
        progress,
        "storm",
        [None],
        partial(_measure, size),
    )
    return [_result(key, size, rounds) for (key, _), rounds in found.items()]


def _measure(
    size: int, running: Running, crowd: Crowd
) -> dict[None, tuple[Round, Mapping[str, int]]]:
    """Those who are there came the same way: they warmed the server."""
    crowd.fill(size, FIRST, JOINS_AT_ONCE)
    meter = Meter(running.pid, running.database_pids, crowd.pid)
    answer = crowd.join(size, size)
    used = meter.total()
    one = Round(
        joined=answer.joined,
        seconds=answer.seconds,
        durations_ns=sorted(answer.samples_ns),
        established_lost=max(0, size + answer.joined - answer.members),
        used=used,
    )
    return {None: (one, answer.failures)}


def _result(key: str, size: int, rounds: Rounds[Round]) -> StormResult:
    measured = rounds.measured
    return StormResult(
        server=key,
        established=size,
        storming=size,
        rounds=len(measured),
        handshakes_per_s=spread([each.joined / each.seconds for each in measured]),
        cpu_ms_per_handshake=spread(
            [10 * r.used.server_percent * r.used.seconds / max(1, r.joined) for r in measured]
        ),
        p50_ms=spread(_each_ms(measured, 50)),
        p99_ms=spread(_each_ms(measured, 99)),
        established_lost=sum(each.established_lost for each in measured),
        load=heaviest([each.used for each in measured]),
        failures=dict(rounds.failures),
    )


def _each_ms(measured: Sequence[Round], percent: int) -> list[float]:
    found = (percentile_ms(each.durations_ns, percent) for each in measured)
    return [each for each in found if each is not None]
