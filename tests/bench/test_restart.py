"""`python -m bench.restart`, as short as it gets: what it counts, not how fast."""

from pathlib import Path

import pytest

from bench.placement import machine, place
from bench.progress import Progress
from bench.restart import restart_lines
from bench.scenario_restart import RestartPlan, run_restarts

PLAN = RestartPlan(
    members=6, tippers=3, tips_per_s=10.0, restarts=1, seed=1, before_s=0.5, after_s=0.5
)


@pytest.mark.slow  # a PostgreSQL and two servers, one after the other, and tips before and after
def test_a_restart_under_load_loses_no_tip_and_no_member(data_dir: Path) -> None:
    result = run_restarts(PLAN, "bench.restart", machine(), place(), Progress(), data_dir)
    assert result.failures == {}
    assert result.tips_sent == result.tips_answered == result.tips_settled >= 10
    assert result.notices_due == 6 * result.tips_settled
    assert (result.settled_twice, result.notices_doubled, result.missed_in_silence) == (0, 0, 0)
    assert result.lost_nothing
    [only] = result.rounds
    assert only.back.samples == 6
    table = "\n".join(restart_lines(result))
    for said in ("ready -> a member is back", "0 of them in silence", "failures            none"):
        assert said in table
