"""The picture of a soak: memory, latency, and what else must not grow, over its minutes."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.picture_style import AMBER, BLUE, GREEN, PALE_BLUE, QUIET, ROSE, STYLE, finish, gaps
from bench.results_soak import SoakResult
from bench.soak_lines import verdict_text


def draw_soak(result: SoakResult, path: Path) -> None:
    """A PNG."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 7.4), dpi=150, facecolor="white")
        panels = figure.subplots(2, 2)
        figure.subplots_adjust(
            left=0.06, right=0.97, top=0.8, bottom=0.12, hspace=0.55, wspace=0.16
        )
        _draw_memory(panels[0][0], result)
        _draw_latency(panels[0][1], result)
        _draw_counts(panels[1][0], result)
        _draw_cpu(panels[1][1], result)
        machine = result.machine
        figure.text(
            0.06,
            0.935,
            f"{result.members:,} members for {result.minutes:g} minutes",
            fontsize=19,
            weight="bold",
        )
        figure.text(0.06, 0.895, verdict_text(result), fontsize=10.5, color=QUIET)
        figure.text(
            0.06,
            0.025,
            f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, Python "
            f"{machine.python}; {result.tips_per_s:g} tips/s, {result.reconnects_per_s:g} "
            f"members/s drop out and come back; {result.started_at_utc[:10]}",
            fontsize=8,
            color=QUIET,
        )
        figure.savefig(path)


def _draw_memory(axes: Axes, result: SoakResult) -> None:
    axes.set_title("Memory of the server, MB")
    minutes = _minutes(result)
    axes.plot(minutes, [each.rss_mb for each in result.samples], color=PALE_BLUE, label="RSS")
    own = [each.own_mb for each in result.samples]
    axes.plot(minutes, own, color=BLUE, label="its own (anonymous)")
    if result.own_trend is not None:
        half_at = len(minutes) // 2
        half = minutes[half_at:]
        middle, mean = sum(half) / len(half), sum(own[half_at:]) / len(half)
        line = [mean + result.own_trend.slope * (minute - middle) for minute in half]
        axes.plot(half, line, color=ROSE, linewidth=1, label="trend of the second half")
    _finish(axes)


def _draw_latency(axes: Axes, result: SoakResult) -> None:
    axes.set_title("Latency, ms, of each ten seconds")
    for label, color, values in (
        ("tip → settled, p95", AMBER, [each.tip_to_settled.p95 for each in result.samples]),
        ("p50", BLUE, [each.tip_to_settled.p50 for each in result.samples]),
        ("tip → command, p50", GREEN, [each.tip_to_command.p50 for each in result.samples]),
    ):
        axes.plot(_minutes(result), gaps(values), color=color, label=label)
    _finish(axes)


def _draw_counts(axes: Axes, result: SoakResult) -> None:
    axes.set_title("Sockets, descriptors and tasks")
    for label, color, values in (
        ("tasks", BLUE, [each.tasks for each in result.samples]),
        ("descriptors", AMBER, [each.descriptors for each in result.samples]),
        ("sockets", GREEN, [each.sockets for each in result.samples]),
    ):
        axes.plot(_minutes(result), values, color=color, label=label)
    _finish(axes)


def _draw_cpu(axes: Axes, result: SoakResult) -> None:
    axes.set_title("CPU, percent of a core")
    server = [each.server_cpu_percent for each in result.samples]
    others = [each.others_cpu_percent for each in result.samples]
    axes.plot(_minutes(result), server, color=BLUE, label="server")
    axes.plot(_minutes(result), others, color=QUIET, label="others on the machine")
    _finish(axes)


def _minutes(result: SoakResult) -> list[float]:
    return [each.at_s / 60 for each in result.samples]


def _finish(axes: Axes) -> None:
    axes.set_xlabel("minutes")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    finish(axes)
