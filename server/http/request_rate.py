"""How often one user may ask for what moves money (spec 5, job side)."""

from collections import deque
from math import ceil
from typing import Final

import trio

from protocol.errors import ErrorCode, Refused

_WINDOW_S: Final = 60.0
USERS_MAX: Final = 50_000
"""Remembered at once. Fails closed: who does not fit is refused, not let through uncounted."""


class RequestRate:
    """A sliding window for each user, on trio's clock."""

    def __init__(self, per_min_max: int, users_max: int = USERS_MAX) -> None:
        self._per_min_max = per_min_max
        self._users_max = users_max
        self._times_s: dict[str, deque[float]] = {}
        self._swept_at_s = -_WINDOW_S

    def __len__(self) -> int:
        """Users who are remembered."""
        return len(self._times_s)

    def count(self, user_id: str) -> None:
        """Raises Refused with RATE_LIMITED, and counts nothing then."""
        oldest_s = trio.current_time() - _WINDOW_S
        times = self._times_s.get(user_id)
        if times is None:
            times = self._room_for(user_id, oldest_s)
        while times and times[0] <= oldest_s:
            times.popleft()
        if len(times) >= self._per_min_max:
            wait_s = ceil((times[0] - oldest_s) * 10) / 10
            raise Refused(ErrorCode.RATE_LIMITED, retry_after_s=wait_s)
        times.append(trio.current_time())

    def _room_for(self, user_id: str, oldest_s: float) -> deque[float]:
        if self._swept_at_s <= oldest_s or len(self._times_s) >= self._users_max:
            self._swept_at_s = trio.current_time()
            self._times_s = {
                each: times for each, times in self._times_s.items() if times[-1] > oldest_s
            }
        if len(self._times_s) >= self._users_max:
            raise Refused(ErrorCode.RATE_LIMITED, retry_after_s=1.0)
        times: deque[float] = deque()
        self._times_s[user_id] = times
        return times
