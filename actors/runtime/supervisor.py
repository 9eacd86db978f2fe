"""One-for-one supervision: a crashed actor starts again, until it has done so too often."""

from collections import deque
from typing import Final

RESTARTS_MAX: Final = 5
RESTART_WINDOW_S: Final = 60.0


class RestartBudget:
    """At most `restarts_max` restarts in any `window_s`; what is over it is the parent's."""

    def __init__(
        self, restarts_max: int = RESTARTS_MAX, window_s: float = RESTART_WINDOW_S
    ) -> None:
        self._restarts_max = restarts_max
        self._window_s = window_s
        self._at_s: deque[float] = deque()
        self.total = 0

    def spend(self, now_s: float) -> bool:
        """Whether one more restart is allowed now; if so it is counted."""
        while self._at_s and self._at_s[0] <= now_s - self._window_s:
            self._at_s.popleft()
        if len(self._at_s) >= self._restarts_max:
            return False
        self._at_s.append(now_s)
        self.total += 1
        return True
