"""A user's token of a vendor, kept for a short time, and asked for with measure.

A page that reloads gets the same token, several pages of one user ask once, and a vendor that
fails is not asked again by every reload.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocol.errors import ErrorCode, Refused
from server.sockets.rate_limit import TokenBucket

KEPT_S: Final = 60.0
"""The vendor does not say how long a token lasts."""
USERS_MAX: Final = 10_000
ASKS_BURST: Final = 5
ASKS_PER_S: Final = 0.1
"""Per user; tokens that are kept are not asked for and do not count."""


class UserTokens:
    """By user. Beyond `users_max` those go who have not come for the longest time."""

    def __init__(self, users_max: int = USERS_MAX) -> None:
        self._users: OrderedDict[str, _User] = OrderedDict()
        self._users_max = users_max

    def __len__(self) -> int:
        return len(self._users)

    async def get(self, user: str, ask: Callable[[], Awaitable[str]]) -> str:
        """The kept token, else what `ask` gives. Raises Refused: RATE_LIMITED, or as `ask`."""
        known = self._users.get(user)
        if known is None:
            known = self._users[user] = _User()
            while len(self._users) > self._users_max:
                self._users.popitem(last=False)
        else:
            self._users.move_to_end(user)
        return await known.token(ask)


class _User:
    def __init__(self) -> None:
        now_s = trio.current_time()
        self._one_at_a_time = trio.Lock()
        self._asks = TokenBucket(ASKS_PER_S, ASKS_BURST, now_s)
        self._token = ""
        self._kept_until_s = now_s

    async def token(self, ask: Callable[[], Awaitable[str]]) -> str:
        async with self._one_at_a_time:
            now_s = trio.current_time()
            if self._kept_until_s <= now_s:
                wait_s = self._asks.take(now_s)
                if wait_s > 0:
                    raise Refused(ErrorCode.RATE_LIMITED, retry_after_s=wait_s)
                self._token = await ask()
                self._kept_until_s = trio.current_time() + KEPT_S
            return self._token
