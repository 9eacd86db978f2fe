"""How far a long look at the ledger is, on standard error: one line that changes where someone
watches, a new line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from server.ledger.watcher import Watcher

_CLEAR_LINE: Final = "\r\x1b[2K"
LIVE_INTERVAL_S: Final = 0.1
LINE_INTERVAL_S: Final = 5.0


class Progress(Watcher):
    """Share, rows per second and seconds left of the step that runs."""

    def __init__(
        self, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._live = stream.isatty()
        self._interval_s = LIVE_INTERVAL_S if self._live else LINE_INTERVAL_S
        self._step = ""
        self._total = self._rows = 0
        self._began_s = self._shown_s = clock()

    def begin(self, step: str, total: int) -> None:
        self._step, self._total, self._rows = step, total, 0
        self._began_s = self._clock()
        if self._live:
            self._show()

    def advance(self, rows: int) -> None:
        self._rows += rows
        if self._clock() - self._shown_s >= self._interval_s:
            self._show()

    def end(self) -> None:
        """Leave no half a line behind."""
        if self._live:
            self._write(_CLEAR_LINE)

    def _show(self) -> None:
        self._shown_s = self._clock()
        text = f"{self._step} ..."
        if self._rows and self._total:
            share = min(self._rows / self._total, 1.0)
            per_s = self._rows / max(self._shown_s - self._began_s, 1e-9)
            left_s = max(self._total - self._rows, 0) / per_s
            text = (
                f"{self._step}  {share:4.0%}  {self._rows:,} of {self._total:,}"
                f"  {per_s:,.0f}/s  {left_s:.0f} s left"
            )
        self._write(f"{_CLEAR_LINE}{text}" if self._live else f"{text}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
