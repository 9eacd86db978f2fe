"""Rounds in turn: every server once, then every server again, so that what else the machine does
meets all of them. Each round is a process that has just begun and was warmed."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from bench.contenders import Contender, Running
from bench.crowd import Crowd, open_crowd
from bench.distribution import Spread, spread
from bench.meter import Used
from bench.peers import FELT_BY
from bench.placement import Placement
from bench.progress import Progress
from bench.results_comparison import Load
from bench.server import BenchFailed

FIRST: Final = FELT_BY
"""Join one after the other, so that they are the first."""

RoundT = TypeVar("RoundT")
KeyT = TypeVar("KeyT")


@dataclass(frozen=True)
class ComparisonPlan:
    members: tuple[int, ...]
    """Sizes of the room, each measured by itself; latency, storm and memory take the first."""
    rounds: int
    warm_up_s: float
    round_s: float
    due: tuple[int, ...] = (1, 16)
    rates_per_s: tuple[float, ...] = (100.0, 1000.0)


NORMAL: Final = ComparisonPlan(members=(1000, 5000), rounds=3, warm_up_s=1.5, round_s=3.0)
SHORT: Final = ComparisonPlan(members=(1000,), rounds=1, warm_up_s=1.0, round_s=1.5)


@dataclass
class Rounds(Generic[RoundT]):
    """Of one server under one load."""

    measured: list[RoundT] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)


def in_turn(
    plan: ComparisonPlan,
    contenders: Sequence[Contender],
    members: int,
    placement: Placement,
    progress: Progress,
    what: str,
    loads: Sequence[KeyT],
    measure: Callable[[Running, Crowd], Mapping[KeyT, tuple[RoundT, Mapping[str, int]]]],
) -> dict[tuple[str, KeyT], Rounds[RoundT]]:
    """By server and load. `measure` gives the round of each of `loads`, and its failures; the room
    is empty when it begins. A server that breaks down is left out from then on, and that is a
    failure of its first load: a comparison of many goes on without one."""
    found: dict[tuple[str, KeyT], Rounds[RoundT]] = {}
    broken: set[str] = set()
    for number in range(1, plan.rounds + 1):
        for contender in contenders:
            if contender.key in broken:
                continue
            progress.step(f"{what}: {contender.name}, {members:,} members, round {number}")
            try:
                with (
                    contender.open(placement, members) as running,
                    open_crowd(running, members, placement.client) as crowd,
                ):
                    for load, (one, failures) in measure(running, crowd).items():
                        rounds = found.setdefault((contender.key, load), Rounds())
                        rounds.measured.append(one)
                        rounds.failures.update(failures)
            except BenchFailed as error:
                broken.add(contender.key)
                rounds = found.setdefault((contender.key, loads[0]), Rounds())
                rounds.failures[f"broke down: {error}"] += 1
    return found


def heaviest(used: Sequence[Used]) -> Load | None:
    if not used:
        return None
    return Load(
        server_percent=max(each.server_percent for each in used),
        client_percent=max(each.client_percent for each in used),
        database_percent=max(each.database_percent for each in used),
        others_percent=max(each.others_percent for each in used),
    )


def ratios(values: Sequence[float], bases: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    """Round by round, by each of the bases: those rounds were next to each other in time. A base
    with other rounds than these is left out."""
    found: dict[str, Spread] = {}
    for name, base in bases.items():
        if len(base) == len(values) and all(each > 0 for each in base):
            by = spread([value / each for value, each in zip(values, base, strict=True)])
            if by is not None:
                found[name] = by
    return found
