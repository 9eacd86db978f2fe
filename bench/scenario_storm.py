"""Everybody comes back at once: a room with members, and as many new ones at the same moment.

A handshake is TCP, the upgrade, and for Tiproom also the token, the join and the snapshot. Who is
turned away tries again at once, as an impatient page would; it is counted. The whole server pings
everybody once a second instead of every half minute: were it too busy to hear who is there already,
or to say so, it would close them within the storm or right after it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from bench.comparison import FIRST, ComparisonPlan, Rounds, heaviest, in_turn
from bench.contenders import WHOLE, Contender, Running, whole_tiproom
from bench.crowd import Crowd
from bench.distribution import percentile_ms, spread
from bench.meter import Meter, Used
from bench.placement import Placement
from bench.progress import Progress
from bench.results_comparison import StormResult

JOINS_AT_ONCE: Final = 64
HEARTBEATS: Final = {"TIPROOM_SOCKETS__HEARTBEAT_S": "1"}
"""Of the whole server. Who is not heard for 2.5 s is closed."""
AFTERMATH_S: Final = 3.0
"""Until everybody who was not heard in the storm has been closed."""


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
    whole = partial(whole_tiproom, more_settings=HEARTBEATS)
    found = in_turn(
        plan,
        [replace(each, open=whole) if each.key == WHOLE else each for each in contenders],
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
    time.sleep(AFTERMATH_S)
    members = crowd.leave(0, 0).members
    one = Round(
        joined=answer.joined,
        seconds=answer.seconds,
        durations_ns=sorted(answer.samples_ns),
        established_lost=max(0, size + answer.joined - members),
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
