"""What a soak says of its figures: whether memory is flat, and how sure that is."""

import random
from pathlib import Path

import pytest

from bench.distribution import distribution
from bench.picture_soak import draw_soak
from bench.placement import machine, place
from bench.results_soak import SoakResult, SoakSample
from bench.scenario_soak import GROWTH_MB_PER_MIN_MAX, SoakPlan
from bench.soak_lines import soak_lines
from bench.trend import Trend, trend


def test_a_line_is_found_exactly_and_for_sure() -> None:
    found = trend([0, 1, 2, 3, 4], [7, 9, 11, 13, 15])
    assert found is not None
    assert found.slope == pytest.approx(2)
    assert found.within == pytest.approx(0)


def test_too_few_values_say_nothing() -> None:
    assert trend([0, 1, 2, 3], [1, 2, 3, 4]) is None


@pytest.mark.parametrize("growth", [0.0, 0.3, -0.2])
def test_the_true_slope_is_nearly_always_within_what_is_said(growth: float) -> None:
    """Noise whose neighbours resemble each other, as those of memory do."""
    draw, hits = random.Random(7), 0
    times = [number / 6 for number in range(60)]
    for _ in range(200):
        noise, values = 0.0, []
        for time in times:
            noise = 0.6 * noise + draw.gauss(0, 0.5)
            values.append(100 + growth * time + noise)
        found = trend(times, values)
        assert found is not None
        hits += abs(found.slope - growth) <= found.within
    assert hits >= 180


@pytest.mark.parametrize(
    ("slope", "within", "verdict"),
    [(0.02, 0.05, "flat"), (-1.0, 0.2, "flat"), (0.05, 0.2, "not known"), (0.5, 0.2, "grows")],
)
def test_a_verdict_is_given_only_where_it_is_sure(
    slope: float, within: float, verdict: str
) -> None:
    assert Trend(slope, within).verdict(GROWTH_MB_PER_MIN_MAX) == verdict


@pytest.mark.slow  # draws a picture
def test_table_and_picture_show_everything(tmp_path: Path) -> None:
    samples = [
        SoakSample(
            at_s=10.0 * number,
            rss_mb=120.0,
            pss_mb=110.0,
            own_mb=100.0 + 0.001 * number,
            descriptors=5010,
            tasks=5040,
            sockets=5000,
            outbox_mb=0.5,
            server_cpu_percent=40,
            others_cpu_percent=3,
            tip_to_settled=distribution([5_000_000] * 50),
            tip_to_command=distribution([]),
        )
        for number in range(1, 13)
    ]
    result = SoakResult(
        command="python -m bench.soak",
        seed=1,
        started_at_utc="2026-01-01T00:00:00+00:00",
        machine=machine(),
        placement=place(),
        members=5000,
        minutes=2,
        tips_per_s=5,
        reconnects_per_s=5,
        samples=samples,
        rss_trend=None,
        own_trend=trend([each.at_s / 60 for each in samples], [each.own_mb for each in samples]),
        verdict="flat",
        tips_sent=600,
        tips_settled=600,
        tip_to_settled=distribution([5_000_000] * 600),
        tip_to_command=distribution([6_000_000]),
        notices_delivered=3_000_000,
        drop_outs=600,
        returns=120,
        late_events=40,
        lost_events=0,
        slow_ends=3,
        closes={"1006": 600},
        left_out={"latest_only": 70},
        failures={"odd": 1},
    )
    table = "\n".join(soak_lines(result))
    for said in ("flat: +0.006", "600 settled of 600", "ended 3 times", "1 x odd", "5,010"):
        assert said in table
    draw_soak(result, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").stat().st_size > 10_000


def test_a_plan_leaves_most_to_watch() -> None:
    assert SoakPlan(5000, 10, 1).watchers == 4919
