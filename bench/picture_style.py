"""Colours and type of the pictures, and what several of them draw in the same way."""

from collections.abc import Sequence
from typing import Any, Final

from matplotlib.axes import Axes

INK: Final = "#1f2430"
QUIET: Final = "#7a8194"
RULE: Final = "#e3e6ec"
BLUE: Final = "#2f5fd0"
PALE_BLUE: Final = "#a9c0f2"
ROSE: Final = "#d1426f"
AMBER: Final = "#d98a1f"
GREEN: Final = "#2b8a6e"

STYLE: Final[Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 20,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "grid.color": RULE,
    "legend.frameon": False,
}


def gaps(values: Sequence[float | None]) -> list[float]:
    """For matplotlib, which leaves out what is not a number."""
    return [float("nan") if value is None else value for value in values]


def finish(axes: Axes) -> None:
    """From zero, with quiet lines and the legend between title and values."""
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.99), ncols=3, fontsize=8.5, handlelength=1.2,
                borderaxespad=0, borderpad=0, columnspacing=1.2)  # fmt: skip
