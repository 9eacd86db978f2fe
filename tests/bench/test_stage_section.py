"""The bench's section "stage", as short as it gets: what it measures, not how fast."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import report
from bench.picture_stage import draw_stage
from bench.placement import machine, place
from bench.progress import Progress
from bench.results import Run, StageResult
from bench.room_setup import TokenBooth
from bench.scenario_stage import SETTINGS, StagePlan, run_stage
from bench.whole_server import open_whole_server
from protocol.tip_activated import MembershipTier

TIERS = (MembershipTier.VIP_DIAMOND, MembershipTier.VIP_GOLD)
PLAN = StagePlan(
    models=2,
    buyers=5,
    levels_per_s=(20.0,),
    level_s=0.5,
    performances=2,
    performances_per_s=100.0,  # far faster than one after the other: who is due waits
    tips=6,
    tips_per_s=20.0,
    tiers=TIERS,
)


@pytest.fixture(scope="module")
def result() -> Iterator[StageResult]:
    booth = TokenBooth()
    with open_whole_server(place(), booth, SETTINGS) as (database, server):
        yield run_stage(PLAN, server, database, booth, Progress())


@pytest.mark.slow  # a server and a PostgreSQL of its own, and a thanks that waits for a second
def test_every_purchase_joins_and_every_performance_settles(result: StageResult) -> None:
    assert result.failures == {}
    [level] = result.levels
    assert level.asked == level.joined == 10
    assert level.to_answer.samples == level.to_joined.samples == 10
    assert result.start_to_settled.samples == result.finish_to_settled.samples == 2


@pytest.mark.slow  # the same run
def test_every_tip_is_thanked_after_its_delay(result: StageResult) -> None:
    assert [(each.tier, each.delay_s) for each in result.thanks] == [
        ("VIP_DIAMOND", 0.0),
        ("VIP_GOLD", 1.0),
    ]
    assert [each.lateness.samples for each in result.thanks] == [3, 3]


@pytest.mark.slow  # the same run
def test_table_and_picture_stand_beside_the_wishes(result: StageResult, tmp_path: Path) -> None:
    run = Run(
        command="bench",
        seed=1,
        started_at_utc="2026-01-01T00:00:00+00:00",
        machine=machine(),
        placement=place(),
        room=None,
        fan_out=[],
        ledger=None,
        stage=result,
    )
    table = report.table(run)
    for said in ("500/s, joined p99 < 100 ms", "VIP_GOLD, after 1 s", "failures            none"):
        assert said in table
    assert report.failures(run) == 0
    draw_stage(result, run, tmp_path / "stage.png")
    assert (tmp_path / "stage.png").stat().st_size > 10_000
