"""The comparison's arithmetic: medians, ratios of the same rounds, goals, the table."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench import picture_comparison, report
from bench.comparison import SHORT, in_turn, ratios
from bench.contenders import CONTENDERS, LIMIT, SOCKETIO, SOCKETS, WHOLE, Running, chosen
from bench.crowd import Answer, Measured
from bench.distribution import Spread, distribution, spread
from bench.goals import goals
from bench.meter import Used
from bench.placement import machine, place
from bench.progress import Progress
from bench.results import Run
from bench.results_comparison import (
    BusyRoomResult,
    FanOutResult,
    GoalResult,
    LatencyResult,
    Load,
    MemoryResult,
    StormResult,
)
from bench.scenario_fan_out import round_of
from bench.server import BenchFailed

LOAD = Load(100.0, 50.0, 0.0, 1.0)


def one(value: float) -> Spread:
    return Spread(value, value, value)


def fan_out(server: str, due: int, by_socketio: float, cpu_s: float) -> FanOutResult:
    return FanOutResult(
        server=server,
        members=1000,
        due=due,
        rounds=3,
        frame_bytes=206,
        frames_per_s=one(100_000 * by_socketio),
        cpu_s_per_million_frames=one(cpu_s),
        frames_ratios={SOCKETIO: one(by_socketio), LIMIT: one(by_socketio / 4)},
        load=LOAD,
        failures={},
    )


def latency(server: str, p99_us: float) -> LatencyResult:
    return LatencyResult(
        server=server,
        members=1000,
        per_s=100,
        rounds=3,
        sent=300,
        received=300,
        p50_us=one(100),
        p99_us=one(p99_us),
        load=LOAD,
        failures={},
    )


STORM = StormResult(
    server=WHOLE,
    established=1000,
    storming=1000,
    rounds=3,
    handshakes_per_s=one(950),
    cpu_ms_per_handshake=one(1.0),
    p50_ms=one(500),
    p99_ms=one(1000),
    established_lost=1,
    load=LOAD,
    failures={"HTTP 503": 2},
)
MEMORY = MemoryResult(
    server=WHOLE,
    members=949,
    rounds=3,
    rss_kb=one(19.9),
    pss_kb=one(19.8),
    kernel_kb=one(4.0),
    failures={},
)
BUSY = BusyRoomResult(
    viewers=1000,
    tippers=120,
    seconds=30,
    lines_per_s=10,
    tips_per_s=50,
    vibrations_per_s=5,
    reconnect_share=0.3,
    tips_sent=1800,
    tips_settled=1800,
    tip_to_settled=distribution(range(1800)),
    tip_to_command=distribution([9_000_000] * 149 + [31_000_000] * 2),
    settled_to_command=distribution(range(150)),
    reconnects=300,
    reconnect=distribution(range(300)),
    frames_per_s=60_000,
    delivered_share=0.999,
    server_rss_mb=80,
    load=LOAD,
    read_lag=distribution(range(300)),
    failures={},
)


def test_a_spread_is_median_lowest_and_highest() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([]) is None


def test_ratios_are_of_the_same_rounds() -> None:
    assert ratios([10.0, 40.0], {"a": [5.0, 10.0], "b": [10.0, 10.0]}) == {
        "a": Spread(3.0, 2.0, 4.0),
        "b": Spread(2.5, 1.0, 4.0),
    }


@pytest.mark.parametrize("base", [[5.0], [5.0, 0.0], []])
def test_a_base_that_does_not_fit_gives_no_ratio(base: list[float]) -> None:
    assert ratios([10.0, 40.0], {"a": base}) == {}


def test_cpu_is_counted_per_million_frames() -> None:
    used = Used(2.0, 75.0, 40.0, 0.0, 1.0)
    answer = Answer(2.0, 0.8, 1000, 300_000, 0, 60_000_000, 300_000, 300, 0, {}, [])
    found = round_of(Measured(answer, used))
    assert found.frames_per_s == 150_000
    assert found.cpu_s_per_million_frames == pytest.approx(5.0)
    assert found.frame_bytes == 200


def test_a_window_in_which_nothing_came_is_a_failure_and_not_a_rate() -> None:
    answer = Answer(2.0, 0.8, 1000, 0, 0, 0, 0, 300, 0, {}, [])
    with pytest.raises(BenchFailed):
        round_of(Measured(answer, Used(2.0, 1.0, 1.0, 0.0, 1.0)))


def test_each_goal_stands_beside_what_was_measured() -> None:
    found = goals(
        [fan_out(SOCKETS, 1, 2.2, 8.9), fan_out(WHOLE, 16, 9.9, 1.6), fan_out("ws", 1, 9, 1)],
        [latency(SOCKETS, 1900), latency(SOCKETIO, 1000)],
        [STORM],
        [MEMORY],
        [BUSY],
    )
    assert [(each.goal, each.measured, each.met) for each in found] == [
        (">= 2.2 x", "2.2 x", True),
        (">= 0.6 x", "0.55 x", False),
        ("< 9 s", "8.9 s", True),
        (">= 10 x", "9.9 x", False),
        ("< 1.5 s", "1.6 s", False),
        ("< 2 ms", "1.9 ms", True),
        ("< 1 x", "1.9 x", False),
        (">= 900", "950", True),
        ("0", "1", False),
        ("< 20 kB", "19.9 kB", True),
        ("< 10 ms", "9 ms", True),
        ("< 30 ms", "31 ms", False),
    ]


def test_a_server_that_breaks_down_is_left_out_and_the_others_go_on() -> None:
    opened: list[str] = []

    @contextmanager
    def broken(_placement: Any, _members: int) -> Iterator[Running]:
        opened.append("broken")
        raise BenchFailed("no such thing")
        yield

    [limit] = chosen([LIMIT])
    gone = type(limit)("gone", "Gone", broken)

    def measure(_running: Running, _crowd: Any) -> Mapping[int, tuple[str, Mapping[str, int]]]:
        return {1: ("round", {"odd": 1})}

    plan = type(SHORT)(members=(2,), rounds=2, warm_up_s=0.1, round_s=0.1)
    found = in_turn(plan, [gone, limit], 2, place(), Progress(), "test", [1], measure)
    assert opened == ["broken"]
    assert found["gone", 1].measured == []
    assert found["gone", 1].failures == {"broke down: no such thing": 1}
    assert found[LIMIT, 1].measured == ["round", "round"]
    assert found[LIMIT, 1].failures == {"odd": 2}


def test_an_unknown_server_is_named() -> None:
    assert chosen([]) == list(CONTENDERS)
    with pytest.raises(BenchFailed, match="no such server: nginx"):
        chosen(["nginx", LIMIT])


def test_table_and_picture_show_everything(tmp_path: Path) -> None:
    compared = [fan_out(SOCKETIO, 1, 1.0, 10), fan_out(SOCKETS, 1, 2.5, 5)]
    broken = FanOutResult(
        server="ws",
        members=1000,
        due=1,
        rounds=0,
        frame_bytes=0,
        frames_per_s=None,
        cpu_s_per_million_frames=None,
        frames_ratios={},
        load=None,
        failures={"broke down: x": 1},
    )
    run = Run(
        command="bench",
        seed=1,
        started_at_utc="2026-01-01T00:00:00+00:00",
        machine=machine(),
        placement=place(),
        room=None,
        fan_out=[*compared, broken],
        ledger=None,
        latency=[latency(SOCKETS, 900)],
        storm=[STORM],
        memory=[MEMORY],
        busy=[BUSY],
        goals=[GoalResult("something", "1", "2", False)],
    )
    table = report.table(run)
    for said in (
        "250,000",
        "2.50",
        "300/300",
        "2 x HTTP 503",
        "19.9",
        "99.90% of notices",
        "MISSED",
        "ws (Node.js): 1 x broke down: x",
    ):
        assert said in table
    assert report.failures(run) == 3
    assert picture_comparison.drawable(run.fan_out)
    picture_comparison.draw_comparison(run, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
