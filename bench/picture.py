"""The picture of a run: percentiles and the course of the measured time."""

import math
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.distribution import Distribution
from bench.picture_style import AMBER, BLUE, GREEN, PALE_BLUE, QUIET, ROSE, RULE, STYLE
from bench.report import NOISE_PERCENT, noise_percent
from bench.results import RoomResult, Run

_LEFT: Final = 0.04
_WIDTH: Final = 0.93
_GAP: Final = 0.055
_COLUMN: Final = (_WIDTH - 2 * _GAP) / 3
"""Of the figure's width."""


def draw(run: Run, path: Path) -> None:
    """A PNG; needs the result of the room."""
    room = run.room
    assert room is not None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 8.2), dpi=150, facecolor="white")
        _draw_percentiles(figure.add_axes((_LEFT, 0.49, _WIDTH, 0.31)), room)
        for number, draw_timeline in enumerate((_draw_settling, _draw_frames, _draw_cpu)):
            left = _LEFT + number * (_COLUMN + _GAP)
            draw_timeline(figure.add_axes((left, 0.12, _COLUMN, 0.24)), room)
        _write_texts(figure, run, room)
        figure.savefig(path)


def _write_texts(figure: Figure, run: Run, room: RoomResult) -> None:
    figure.text(_LEFT, 0.935, "Tiproom under load", fontsize=19, fontweight="bold")
    figure.text(
        _LEFT,
        0.9,
        f"one room, {room.viewers:,} viewers, {room.tips_per_s:g} tips a second, each settled on "
        "disk and shown to all",
        fontsize=10.5,
        color=QUIET,
    )
    missing = room.notices_due - room.notices_delivered
    facts = (
        (f"{room.tips_settled:,}", "tips settled"),
        (f"{room.notices_delivered / 1e6:.2f} M", f"notices, {missing:,} missing"),
        (f"{room.memory.idle_per_viewer / 1024:.1f} kB", "per idle viewer"),
        (f"{sum(room.failures.values()):,}", "failures"),
    )
    for number, (value, label) in enumerate(facts):
        left = _LEFT + _WIDTH - (len(facts) - number) * 0.098 + 0.03
        figure.text(left, 0.937, value, fontsize=15, fontweight="bold")
        figure.text(left, 0.909, label, fontsize=8.5, color=QUIET)
    machine, noise = run.machine, noise_percent(run)
    noisy = noise > NOISE_PERCENT
    figure.text(
        _LEFT,
        0.022,
        f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python}; "
        f"server alone on core {run.placement.server[0]}; seed {run.seed}, "
        f"{run.started_at_utc[:10]}; processes outside the bench took up to {noise:.0f} % of a core"
        + (": not to be relied on" if noisy else ""),
        fontsize=8,
        color=ROSE if noisy else QUIET,
    )


def _draw_percentiles(axes: Axes, room: RoomResult) -> None:
    rows: list[tuple[str, Distribution]] = [
        ("tip → settled", room.tip_to_settled),
        ("tip → command at the model", room.tip_to_command),
        ("tip → activated", room.tip_to_activated),
        ("fan-out, first to last member", room.fan_out_spread),
    ]
    marks = (("p50", BLUE, 85), ("p95", AMBER, 60), ("p99", ROSE, 60), ("max", QUIET, 34))
    axes.set_title("Latency percentiles, milliseconds")
    axes.set_xscale("log")
    for at, (_, values) in enumerate(rows):
        points = [getattr(values, name) for name, _, _ in marks]
        known = [value for value in points if value is not None and value > 0]
        if not known:
            continue
        axes.plot((min(known), max(known)), (at, at), color=RULE, linewidth=5, zorder=1)
        for (name, color, size), value in zip(marks, points, strict=True):
            if value is None or value <= 0:
                continue
            label = name if at == 0 else None
            axes.scatter(value, at, s=size, color=color, zorder=2, linewidths=0, label=label)
        for value, color in ((values.p50, BLUE), (values.p99, ROSE)):
            if value is not None and value > 0:
                axes.annotate(
                    _short(value), (value, at), xytext=(0, 9), textcoords="offset points",
                    ha="center", fontsize=9, color=color, fontweight="bold",
                )  # fmt: skip
        axes.text(
            0, at, f"{rows[at][0]}", transform=axes.get_yaxis_transform(), fontsize=10, va="center"
        )
    low, high = axes.get_xlim()
    # A third of the width is for the names.
    axes.set_xlim(low * (low / high) ** 0.45, high * 1.2)
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.xaxis.set_major_locator(FixedLocator(_round_values(low * 0.9, high * 1.1)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, columnspacing=1.2,
                handletextpad=0.1)  # fmt: skip


def _draw_settling(axes: Axes, room: RoomResult) -> None:
    axes.set_title("Tip → settled, ms, each second")
    seconds = [each.at_s for each in room.timeline]
    for name, color in (("max", PALE_BLUE), ("p95", AMBER), ("p50", BLUE)):
        values = [getattr(each.tip_to_settled, name) for each in room.timeline]
        gaps = [float("nan") if value is None else value for value in values]
        axes.plot(seconds, gaps, color=color, linewidth=1.8, label=name)
    _finish_timeline(axes, room)


def _draw_frames(axes: Axes, room: RoomResult) -> None:
    axes.set_title("Frames delivered, thousands a second")
    seconds = [each.at_s for each in room.timeline]
    delivered = [each.frames_per_s / 1000 for each in room.timeline]
    axes.fill_between(seconds, delivered, color=PALE_BLUE, alpha=0.45, linewidth=0)
    axes.plot(seconds, delivered, color=BLUE, linewidth=1.8, label="delivered")
    due = room.tips_per_s * (room.viewers + 1) / 1000
    axes.axhline(due, color=QUIET, linewidth=1, linestyle=(0, (2, 3)), label="mean of the tips due")
    _finish_timeline(axes, room)


def _draw_cpu(axes: Axes, room: RoomResult) -> None:
    axes.set_title("CPU, percent of a core")
    seconds = [each.at_s for each in room.timeline]
    for label, color, values in (
        ("server", BLUE, [each.server_cpu_percent for each in room.timeline]),
        ("load client", QUIET, [each.client_cpu_percent for each in room.timeline]),
        ("PostgreSQL", GREEN, [each.database_cpu_percent for each in room.timeline]),
    ):
        axes.plot(seconds, values, color=color, linewidth=1.8, label=label)
    _finish_timeline(axes, room)


def _finish_timeline(axes: Axes, room: RoomResult) -> None:
    """From 0; the legend above, where no line can cross it."""
    axes.set_xlim(1, max(room.seconds, 2))
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    axes.set_xlabel("seconds")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.99), ncols=3, fontsize=8.5, handlelength=1.2,
                borderaxespad=0, borderpad=0, columnspacing=1.2)  # fmt: skip


def _round_values(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20 ... within a range above 0: the ticks of a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = (step * 10.0**decade for decade in decades for step in (1, 2, 5))
    return [value for value in values if low <= value <= high]


def _short(value: float) -> str:
    """Two significant figures are enough in a picture."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
