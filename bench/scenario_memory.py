"""What one more idle member costs: the server's memory before and after so many have come."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from bench.comparison import FIRST, ComparisonPlan, Rounds, in_turn
from bench.contenders import Contender, Running
from bench.crowd import Crowd
from bench.distribution import spread
from bench.placement import Placement, pss_bytes, rss_bytes, slab_bytes
from bench.progress import Progress
from bench.results_comparison import MemoryResult
from bench.server import BenchFailed

JOINS_AT_ONCE: Final = 64
REST_S: Final = 1.0
"""Until the last presence counts have gone out and what is late has been freed."""
KB: Final = 1024


class Round(msgspec.Struct, frozen=True):
    """kB for each."""

    rss: float
    pss: float
    kernel: float


def run_memory(
    plan: ComparisonPlan, contenders: Sequence[Contender], placement: Placement, progress: Progress
) -> list[MemoryResult]:
    members = plan.members[-1]
    found = in_turn(
        plan,
        contenders,
        members,
        placement,
        progress,
        "memory",
        [None],
        partial(_measure, members),
    )
    return [_result(key, members - FIRST, rounds) for (key, _), rounds in found.items()]


def _measure(
    members: int, running: Running, crowd: Crowd
) -> dict[None, tuple[Round, Mapping[str, int]]]:
    """The first have brought up what a server makes once, for all."""
    crowd.join(FIRST, 1)
    before = _bytes(running)
    answer = crowd.join(members - FIRST, JOINS_AT_ONCE)
    if answer.members != members:
        raise BenchFailed(f"{answer.members} of {members} are in: {answer.failures}")
    after = _bytes(running)
    rss, pss, slab = (
        (late - early) / (members - FIRST) / KB for early, late in zip(before, after, strict=True)
    )
    return {None: (Round(rss, pss, slab / 2), answer.failures)}


def _bytes(running: Running) -> tuple[int, int, int]:
    time.sleep(REST_S)
    return rss_bytes(running.pid), pss_bytes(running.pid), slab_bytes()


def _result(key: str, members: int, rounds: Rounds[Round]) -> MemoryResult:
    return MemoryResult(
        server=key,
        members=members,
        rounds=len(rounds.measured),
        rss_kb=spread([each.rss for each in rounds.measured]),
        pss_kb=spread([each.pss for each in rounds.measured]),
        kernel_kb=spread([each.kernel for each in rounds.measured]),
        failures=dict(rounds.failures),
    )
