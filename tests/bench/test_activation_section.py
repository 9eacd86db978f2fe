"""The bench's section "activation", as short as it gets: what it measures, not how fast."""

from collections.abc import Iterator

import pytest

from bench import report
from bench.placement import machine, place
from bench.progress import Progress
from bench.results import ActivationResult, Run
from bench.room_setup import TokenBooth
from bench.scenario_activation import ActivationPlan, run_activation
from bench.scenario_vip_room import VipPlan
from bench.whole_server import open_whole_server

LEVELS_PER_S = (20.0, 30.0)
VIPS, TIPS, WAITING, CLICKS = 4, 1, 3, 2
HELD_TIPS = 12
PLAN = ActivationPlan(3, 2, LEVELS_PER_S, 0.3, VipPlan(VIPS, TIPS, 1.2, WAITING, CLICKS), HELD_TIPS)
TOYS = VIPS + 1
"""The model's, too."""


@pytest.fixture(scope="module")
def result() -> Iterator[ActivationResult]:
    booth = TokenBooth()
    with open_whole_server(place(), booth, keep_commit_times=True) as (database, server):
        yield run_activation(PLAN, server, database, booth, Progress())


@pytest.mark.slow  # a server and a PostgreSQL of its own, and a toy that plays for a second
def test_every_tip_moves_a_toy(result: ActivationResult) -> None:
    assert result.failures == {}
    assert result.levels[0].offered_per_s == LEVELS_PER_S[0]
    assert result.held is not None
    assert result.held.tips_sent == HELD_TIPS
    for level in (*result.levels, result.held):
        assert level.tips_sent == int(level.offered_per_s * level.seconds)
        assert level.tip_to_settled.samples == level.tip_to_activated.samples == level.tips_sent
        assert (level.success_percent, level.error_percent) == (100, 0)


@pytest.mark.slow  # the same run
def test_every_socket_gets_the_tip_and_every_row_is_found(result: ActivationResult) -> None:
    tips = result.vip_tips
    assert tips.to_command.samples == TIPS * TOYS
    assert tips.to_settled.samples == tips.to_last_command.samples == TIPS
    assert tips.to_audited.samples == TIPS
    assert tips.to_last_command.max == tips.to_command.max
    assert tips.echo.samples >= 10


@pytest.mark.slow  # the same run
def test_every_socket_gets_each_stop_with_and_without_a_database(
    result: ActivationResult,
) -> None:
    assert result.stops.waiting_min == WAITING
    assert result.stops_without_database.waiting_min == WAITING - CLICKS + 1
    for stops in (result.stops, result.stops_without_database):
        assert stops.to_stop.samples == CLICKS * TOYS
        assert stops.to_last_stop.samples == CLICKS


@pytest.mark.slow  # the same run
def test_the_table_stands_beside_the_targets(result: ActivationResult) -> None:
    run = Run(
        command="bench",
        seed=1,
        started_at_utc="2026-01-01T00:00:00+00:00",
        machine=machine(),
        placement=place(),
        room=None,
        fan_out=[],
        ledger=None,
        activation=result,
    )
    table = report.table(run)
    for said in (
        "100/s, p99 < 500 ms",
        "stop, no database",
        "none failed",
        "failures            none",
    ):
        assert said in table
    assert report.failures(run) == 0
