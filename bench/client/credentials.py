"""A member's token, and when it is replaced. Pure."""

import math
from typing import Final

import msgspec

REFRESH_MARGIN_S: Final = 60.0
"""How long before its end a token is replaced, or half its life if that is less."""
REFRESH_FLOOR_S: Final = 5.0
"""But not more often than this, should an issuer give tokens that end at once."""


class Credentials(msgspec.Struct, frozen=True):
    """`expires_at_ms`: since 1970, by the server's clock; None: not known."""

    token: str
    expires_at_ms: int | None = None

    def left_s(self, server_now_ms: float) -> float:
        """How long it is still good; inf if nobody knows."""
        if self.expires_at_ms is None:
            return math.inf
        return (self.expires_at_ms - server_now_ms) / 1000


class NoCredentials(Exception):
    """There are none now; the issuer is asked again later."""


def refresh_in_s(left_s: float) -> float:
    """When a token that is good for `left_s` is replaced; inf for one without an end."""
    if math.isinf(left_s):
        return left_s
    return max(left_s - min(REFRESH_MARGIN_S, left_s / 2), REFRESH_FLOOR_S)
