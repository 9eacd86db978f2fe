"""The picture of the comparison: frames a second as ratios, by Socket.IO and by the limit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench import goals
from bench.contenders import CONTENDERS, LIMIT, LIMIT_COALESCED, SOCKETIO, SOCKETS, WHOLE
from bench.picture_style import AMBER, BLUE, INK, PALE_BLUE, QUIET, ROSE, STYLE
from bench.results import Run
from bench.results_comparison import FanOutResult

_NAMES: Final = {each.key: each.name for each in CONTENDERS}
_COLORS: Final = {WHOLE: BLUE, SOCKETS: BLUE, LIMIT: AMBER, LIMIT_COALESCED: AMBER}
_PANEL_INCHES: Final = 3.3
_BEHIND_TEXT: Final = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
_TICKS: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


def draw_comparison(run: Run, path: Path) -> None:
    """A PNG; needs results of the fan-out with Socket.IO among them."""
    loads = sorted({(each.members, each.due) for each in run.fan_out})
    sizes = sorted({members for members, _ in loads})
    dues = sorted({due for _, due in loads})
    height = _PANEL_INCHES * len(sizes) + 1.3
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, height), dpi=150, facecolor="white")
        panels = figure.subplots(len(sizes), len(dues), squeeze=False)
        figure.subplots_adjust(
            left=0.15,
            right=0.97,
            top=1 - 1.25 / height,
            bottom=0.6 / height,
            hspace=0.42,
            wspace=0.55,
        )
        for line, members in enumerate(sizes):
            for column, due in enumerate(dues):
                rows = [e for e in run.fan_out if (e.members, e.due) == (members, due)]
                _draw(panels[line][column], rows, members, due)
        figure.text(
            0.04,
            1 - 0.45 / height,
            "One room, everyone gets everything",
            fontsize=19,
            weight="bold",
        )
        figure.text(
            0.04,
            1 - 0.72 / height,
            "frames delivered a second by the server's one core, as a multiple of Socket.IO's in "
            "the same rounds (x C: of a server in C with one send per frame)",
            fontsize=10.5,
            color=QUIET,
        )
        machine = run.machine
        figure.text(
            0.04,
            0.18 / height,
            f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, Python "
            f"{machine.python}; median of {run.fan_out[0].rounds} rounds, lines from lowest to "
            f"highest; {run.started_at_utc[:10]}",
            fontsize=8,
            color=QUIET,
        )
        figure.savefig(path)


def drawable(results: Sequence[FanOutResult]) -> bool:
    return any(SOCKETIO in each.frames_ratios for each in results)


def _draw(axes: Axes, rows: Sequence[FanOutResult], members: int, due: int) -> None:
    what = "one message after the other" if due == 1 else f"{due} messages due at any time"
    axes.set_title(f"{members:,} members, {what}")
    axes.set_xscale("log")
    known = [each for each in rows if SOCKETIO in each.frames_ratios]
    for at, each in enumerate(known):
        ratio, color = each.frames_ratios[SOCKETIO], _COLORS.get(each.server, PALE_BLUE)
        axes.barh(at, ratio.median - 1, height=0.5, left=1, color=color)
        axes.plot((ratio.low, ratio.high), (at, at), color=INK, linewidth=1)
        by_limit = each.frames_ratios.get(LIMIT)
        label = f"{ratio.median:.2g} x" if ratio.median < 10 else f"{ratio.median:.0f} x"
        if by_limit is not None:
            label += f"   ({by_limit.median:.2g} x C)"
        axes.annotate(label, (max(1, ratio.high), at), xytext=(6, 0), textcoords="offset points",
                      va="center", fontsize=9, bbox=_BEHIND_TEXT)  # fmt: skip
        axes.text(-0.01, at, _NAMES[each.server], transform=axes.get_yaxis_transform(),
                  va="center", ha="right", fontsize=9)  # fmt: skip
    goal = goals.BY_SOCKETIO_MIN if due == 1 else goals.BY_SOCKETIO_SEVERAL_DUE_MIN
    axes.axvline(1, color=QUIET, linewidth=1, linestyle=(0, (2, 3)))
    axes.axvline(goal, color=ROSE, linewidth=1.2, zorder=0)
    axes.text(goal, -0.75, f"goal {goal:g} x", color=ROSE, fontsize=8.5, ha="center", va="bottom")
    medians = [each.frames_ratios[SOCKETIO] for each in known]
    low = min([0.8, *(each.low for each in medians)])
    high = max([1.2 * goal, *(each.high for each in medians)])
    axes.set_xlim(low * 0.7, high * (high / low) ** 0.28)
    axes.set_ylim(len(known) - 0.4, -0.75)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(FixedLocator(_TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
