"""Colours and type of the pictures."""

from typing import Any, Final

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
