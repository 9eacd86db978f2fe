"""Messages to every member of one room: as many as the server can, with one under way at a time,
and with several. The same load for every server: members send, the server passes on, and the next
message is sent once one has reached everybody."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from bench.comparison import FIRST, ComparisonPlan, Rounds, heaviest, in_turn, ratios
from bench.contenders import LIMIT, SOCKETIO, Contender, Running
from bench.crowd import Crowd, Measured
from bench.distribution import spread
from bench.meter import Used
from bench.placement import Placement
from bench.progress import Progress
from bench.results_comparison import FanOutResult
from bench.server import BenchFailed

JOINS_AT_ONCE: Final = 64


class Round(msgspec.Struct, frozen=True):
    frames_per_s: float
    cpu_s_per_million_frames: float
    frame_bytes: float
    used: Used


def run_fan_out(
    plan: ComparisonPlan, contenders: Sequence[Contender], placement: Placement, progress: Progress
) -> list[FanOutResult]:
    results: list[FanOutResult] = []
    for members in plan.members:
        found = in_turn(
            plan,
            contenders,
            members,
            placement,
            progress,
            "fan-out",
            plan.due,
            partial(_measure, plan, members),
        )
        results += [_result(key, members, due, found) for key, due in found]
    return results


def _measure(
    plan: ComparisonPlan, members: int, running: Running, crowd: Crowd
) -> dict[int, tuple[Round, Mapping[str, int]]]:
    crowd.fill(members, FIRST, JOINS_AT_ONCE)
    found: dict[int, tuple[Round, Mapping[str, int]]] = {}
    for due in plan.due:
        message = running.dialect.everyone(due)
        measured = crowd.window(message, due, plan.warm_up_s, plan.round_s)
        found[due] = round_of(measured), measured.answer.failures
    return found


def round_of(measured: Measured) -> Round:
    """Raises BenchFailed where nothing came: that is no rate, but a server that does not answer."""
    answer, used = measured.answer, measured.used
    if not answer.frames:
        raise BenchFailed("no message reached anybody")
    return Round(
        frames_per_s=answer.frames / answer.seconds,
        cpu_s_per_million_frames=used.server_percent / 100 * used.seconds / answer.frames * 1e6,
        frame_bytes=answer.bytes / answer.frames,
        used=used,
    )


def _result(
    key: str, members: int, due: int, found: Mapping[tuple[str, int], Rounds[Round]]
) -> FanOutResult:
    rounds = found[key, due]
    rates = [each.frames_per_s for each in rounds.measured]
    bases = {
        base: [each.frames_per_s for each in found[base, due].measured]
        for base in (SOCKETIO, LIMIT)
        if (base, due) in found
    }
    return FanOutResult(
        server=key,
        members=members,
        due=due,
        rounds=len(rounds.measured),
        frame_bytes=rounds.measured[-1].frame_bytes if rounds.measured else 0.0,
        frames_per_s=spread(rates),
        cpu_s_per_million_frames=spread([r.cpu_s_per_million_frames for r in rounds.measured]),
        frames_ratios=ratios(rates, bases),
        load=heaviest([each.used for each in rounds.measured]),
        failures=dict(rounds.failures),
    )
