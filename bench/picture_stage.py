"""The picture of the section "stage": how soon purchases join, and how late thanks come."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.distribution import Distribution
from bench.picture_style import BLUE, PALE_BLUE, QUIET, ROSE, STYLE, finish, gaps
from bench.results import Run, StageResult
from bench.scenario_stage import WISH_JOIN_P99_MS, WISH_SETTLED_P99_MS


def draw_stage(result: StageResult, run: Run, path: Path) -> None:
    """A PNG."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 4.6), dpi=150, facecolor="white")
        panels = figure.subplots(1, 3, width_ratios=(5, 3, 4))
        figure.subplots_adjust(left=0.05, right=0.97, top=0.66, bottom=0.2, wspace=0.3)
        _draw_joined(panels[0], result)
        _draw_settled(panels[1], result)
        _draw_thanks(panels[2], result)
        buyers = result.models * result.buyers
        figure.text(
            0.05,
            0.9,
            f"Purchases with escrow from {result.models} models",
            fontsize=19,
            weight="bold",
        )
        figure.text(
            0.05,
            0.83,
            f"{buyers:,} buyers; milliseconds; every purchase holds its tokens, on disk",
            fontsize=10.5,
            color=QUIET,
        )
        figure.text(0.05, 0.04, _machine(run), fontsize=8, color=QUIET)
        figure.savefig(path)


def _draw_joined(axes: Axes, result: StageResult) -> None:
    axes.set_title("From asking to the place in the line")
    offered = [each.offered_per_s for each in result.levels]
    for label, color, values in (
        ("p50", PALE_BLUE, [each.to_joined.p50 for each in result.levels]),
        ("p99", BLUE, [_p99(each.to_joined) for each in result.levels]),
    ):
        axes.plot(offered, gaps(values), marker="o", markersize=4, color=color, label=label)
    axes.axhline(WISH_JOIN_P99_MS, color=ROSE, linewidth=1, label="wish for p99")
    axes.set_xlabel("purchases offered a second")
    axes.set_xlim(left=0)
    finish(axes)


def _draw_settled(axes: Axes, result: StageResult) -> None:
    axes.set_title("To tokens that have moved")
    found = {"start": result.start_to_settled, "finish": result.finish_to_settled}
    _bars(axes, found)
    axes.axhline(WISH_SETTLED_P99_MS, color=ROSE, linewidth=1, label="wish for p99")
    finish(axes)


def _draw_thanks(axes: Axes, result: StageResult) -> None:
    axes.set_title("Thanks, later than their tier's delay")
    _bars(
        axes,
        {
            f"{each.tier.removeprefix('VIP_').lower()}\n{each.delay_s:g} s": each.lateness
            for each in result.thanks
        },
    )
    finish(axes)


def _bars(axes: Axes, found: dict[str, Distribution]) -> None:
    places = range(len(found))
    for shift, label, color, values in (
        (-0.19, "p50", PALE_BLUE, [each.p50 for each in found.values()]),
        (0.19, "p99", BLUE, [_p99(each) for each in found.values()]),
    ):
        at = [place + shift for place in places]
        axes.bar(at, gaps(values), 0.36, color=color, label=label)
    axes.set_xticks(list(places), list(found))


def _p99(found: Distribution) -> float | None:
    """The highest, of too few for a p99."""
    return found.max if found.p99 is None else found.p99


def _machine(run: Run) -> str:
    machine = run.machine
    return (
        f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python}; "
        f"{run.command}; {run.started_at_utc[:10]}"
    )
