"""From one member's message to another's receipt, evenly spaced, in a room that is else silent.

A message of 100 bytes goes to the model and to 50 VIPs; what is measured is the model's. There is
no database in it: transport and routing alone. The whole server has rules for what reaches a toy:
its figure is the section "busy".
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from bench.comparison import FIRST, ComparisonPlan, Rounds, heaviest, in_turn
from bench.contenders import WHOLE, Contender, Running
from bench.crowd import Crowd
from bench.distribution import percentile_ms, spread
from bench.meter import Used
from bench.placement import Placement
from bench.progress import Progress
from bench.results_comparison import LatencyResult

JOINS_AT_ONCE: Final = 64
US_PER_MS: Final = 1000


class Round(msgspec.Struct, frozen=True):
    sent: int
    durations_ns: list[int]
    """Sorted."""
    used: Used


def run_latency(
    plan: ComparisonPlan, contenders: Sequence[Contender], placement: Placement, progress: Progress
) -> list[LatencyResult]:
    members = plan.members[0]
    found = in_turn(
        plan,
        [each for each in contenders if each.key != WHOLE],
        members,
        placement,
        progress,
        "latency",
        plan.rates_per_s,
        partial(_measure, plan, members),
    )
    return [_result(key, members, per_s, rounds) for (key, per_s), rounds in found.items()]


def _measure(
    plan: ComparisonPlan, members: int, running: Running, crowd: Crowd
) -> dict[float, tuple[Round, Mapping[str, int]]]:
    crowd.fill(members, FIRST, JOINS_AT_ONCE)
    message = running.dialect.routed
    assert message is not None
    found: dict[float, tuple[Round, Mapping[str, int]]] = {}
    for per_s in plan.rates_per_s:
        measured = crowd.rate(message, per_s, plan.warm_up_s, plan.round_s)
        answer = measured.answer
        one = Round(answer.published, sorted(answer.samples_ns), measured.used)
        found[per_s] = one, answer.failures
        if len(one.durations_ns) < one.sent:
            break  # it cannot keep up: what is left would be taken for the next load's
    return found


def _result(key: str, members: int, per_s: float, rounds: Rounds[Round]) -> LatencyResult:
    return LatencyResult(
        server=key,
        members=members,
        per_s=per_s,
        rounds=len(rounds.measured),
        sent=sum(each.sent for each in rounds.measured),
        received=sum(len(each.durations_ns) for each in rounds.measured),
        p50_us=spread(_each_us(rounds, 50)),
        p99_us=spread(_each_us(rounds, 99)),
        load=heaviest([each.used for each in rounds.measured]),
        failures=dict(rounds.failures),
    )


def _each_us(rounds: Rounds[Round], percent: int) -> list[float]:
    found = (percentile_ms(each.durations_ns, percent) for each in rounds.measured)
    return [each * US_PER_MS for each in found if each is not None]
