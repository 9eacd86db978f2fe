"""One line that says how far the bench is; where nobody watches, a line for each step."""

import sys
from typing import Final

_CLEAR_LINE: Final = "\r\x1b[2K"
_BAR_WIDTH: Final = 24


class Progress:
    """Writes to stderr: the table on stdout stays clean."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._step = ""

    def step(self, text: str) -> None:
        """A new part of the work."""
        self._step = text
        if self._live:
            self._write(f"{_CLEAR_LINE}  {text} ...")
        else:
            self._write(f"  {text} ...\n")

    def advance(self, share: float, detail: str) -> None:
        """How much of the step is done, 0..1."""
        if self._live:
            full = round(min(share, 1.0) * _BAR_WIDTH)
            bar = "█" * full + "░" * (_BAR_WIDTH - full)
            self._write(f"{_CLEAR_LINE}  {self._step}  {bar} {share:4.0%}  {detail}")

    def done(self) -> None:
        """Leave no line behind."""
        if self._live:
            self._write(_CLEAR_LINE)

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
