"""When a client comes back after a lost connection. The server spreads a crowd over a window, by
the close reason or, should it be gone without a word, by what it said before; attempts that fail
are repeated exponentially, with full jitter. Pure: clock and draw are arguments."""

import re
from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.5
CEILING_S: Final = 20.0
STABLE_AFTER_S: Final = 10.0
"""A connection that lasted this long was good: the next loss starts again with short waits."""
LOST_WITHOUT_A_WORD: Final = 1006
"""No close frame came (RFC 6455, 7.4.1; never on the wire)."""

_TOLD: Final = re.compile(r"; in (\d+(?:\.\d+)?) s\Z", re.ASCII)


def read_reason(reason: str) -> tuple[str, float | None]:
    """Of a close frame (protocol.reconnect.close_reason): what can be shown, and in how many
    seconds to come back where it says so."""
    found = _TOLD.search(reason)
    return (reason, None) if found is None else (reason[: found.start()], float(found[1]))


def come_back_s(attempt: int, told_s: float | None, window_s: float, draw: float) -> float:
    """Seconds to wait: as told the first time, later never less; otherwise uniform in
    [0, min(20 s, 0.5 s * 2^attempt)), or in the window if that is larger.

    `attempt`: lost connections in a row, from 0. `told_s`: it was drawn for this client alone.
    `window_s`: to spread over, 0 for none. `draw`: uniform in [0, 1).
    """
    if told_s is not None and attempt == 0:
        return told_s
    ceiling_s = max(min(CEILING_S, FIRST_S * 2.0 ** min(attempt, 10)), window_s)
    return max(draw * ceiling_s, told_s or 0.0)


class Backoff:
    """The attempts of one client."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._attempt = 0
        self._online_since_s: float | None = None
        self.window_s = 0.0
        """To spread over after a loss without a word, as the server said last: it may have gone,
        and everyone with it."""

    def online(self, now_s: float) -> None:
        if self._online_since_s is None:
            self._online_since_s = now_s

    def lost(self, code: int, told_s: float | None, now_s: float, *, alone: bool) -> float:
        """Seconds until the next attempt. `alone`: no crowd comes with this client, as it is its
        room's model, or has a toy to stop."""
        since_s, self._online_since_s = self._online_since_s, None
        if since_s is not None and now_s - since_s >= STABLE_AFTER_S:
            self._attempt = 0
        spread = since_s is not None and code == LOST_WITHOUT_A_WORD and not alone
        wait_s = come_back_s(self._attempt, told_s, self.window_s if spread else 0.0, self._draw())
        self._attempt += 1
        return wait_s
