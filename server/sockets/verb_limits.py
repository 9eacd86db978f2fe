"""How often each verb may be said: by one connection, by one user over all of his, and from one
address. A refused frame costs nothing in any of the three."""

from collections import OrderedDict
from typing import Final

import msgspec

from protocol import frames
from server.sockets.rate_limit import TokenBucket


class VerbRate(msgspec.Struct, frozen=True):
    """Of one connection: `per_s` sustained, `burst` at once."""

    per_s: float
    burst: int


VERB_RATES: Final[dict[type, VerbRate]] = {
    frames.Tip: VerbRate(10, 40),
    frames.SetPreferences: VerbRate(2, 20),
    frames.ReportToys: VerbRate(5, 30),
    frames.ReportSettings: VerbRate(2, 20),
    frames.SetPresence: VerbRate(1, 20),
    frames.Typing: VerbRate(2, 10),
    frames.ListMembers: VerbRate(5, 20),
    frames.RefreshToken: VerbRate(0.5, 5),
    frames.ResumeToys: VerbRate(2, 20),
    frames.StartBroadcast: VerbRate(1, 10),
    frames.EndBroadcast: VerbRate(1, 10),
    frames.ToyTest: VerbRate(2, 10),
    frames.MessageDelivered: VerbRate(5, 100),
    frames.MessageRead: VerbRate(5, 100),
}
"""A stop is not here: it has a limit of its own and waits for no other. Nor are answers to
commands: the room asked for them."""

USER_FACTOR: Final = 2.0
"""A user with many tabs says twice as much as one with one."""
ADDRESS_FACTOR: Final = 20.0
"""A household, an office, a mobile network's gateway."""
FULL_AGAIN_S: Final = max(rate.burst / rate.per_s for rate in VERB_RATES.values())
"""Who has been gone for so long would find every bucket full."""
IDLE_KEPT_MAX: Final = 10_000
"""Users and addresses that went within it: coming back does not fill a bucket."""


class Allowance:
    """What one connection, user or address may still say."""

    __slots__ = ("_buckets", "_factor", "holders")

    def __init__(self, factor: float = 1.0) -> None:
        self._factor = factor
        self._buckets: dict[type, TokenBucket] = {}
        self.holders = 0

    @property
    def used(self) -> bool:
        """Something was said."""
        return bool(self._buckets)

    def wait_s(self, verb: type, rate: VerbRate, now_s: float) -> float:
        """0.0: it may be said now."""
        return self._bucket(verb, rate, now_s).wait_s(now_s)

    def take(self, verb: type, rate: VerbRate, now_s: float) -> None:
        self._bucket(verb, rate, now_s).take(now_s)

    def _bucket(self, verb: type, rate: VerbRate, now_s: float) -> TokenBucket:
        found = self._buckets.get(verb)
        if found is None:
            per_s, burst = rate.per_s * self._factor, int(rate.burst * self._factor)
            found = self._buckets[verb] = TokenBucket(per_s, burst, now_s)
        return found


class Allowances:
    """Shared ones, by user or by address; those without a connection are kept a while."""

    def __init__(self, factor: float, idle_max: int = IDLE_KEPT_MAX) -> None:
        self._factor = factor
        self._idle_max = idle_max
        self._held: dict[str, Allowance] = {}
        self._idle: OrderedDict[str, tuple[Allowance, float]] = OrderedDict()
        """And when the last of their connections went; the first to have gone come first."""

    def hold(self, key: str) -> Allowance:
        """Until `release`."""
        allowance = self._held.get(key)
        if allowance is None:
            known = self._idle.pop(key, None)
            allowance = self._held[key] = Allowance(self._factor) if known is None else known[0]
        allowance.holders += 1
        return allowance

    def release(self, key: str, now_s: float) -> None:
        allowance = self._held[key]
        allowance.holders -= 1
        if not allowance.holders:
            del self._held[key]
            if allowance.used:
                self._idle[key] = allowance, now_s
            self._forget(now_s)

    def _forget(self, now_s: float) -> None:
        while self._idle:
            _, gone_at_s = next(iter(self._idle.values()))
            if gone_at_s + FULL_AGAIN_S > now_s and len(self._idle) <= self._idle_max:
                return
            self._idle.popitem(last=False)

    def __len__(self) -> int:
        return len(self._held) + len(self._idle)


class VerbLimits:
    """All that limits one connection, by scope."""

    __slots__ = ("_scopes",)

    def __init__(self, connection: Allowance, user: Allowance, address: Allowance | None) -> None:
        """`address`: None for one that is exempt."""
        scopes = {"connection": connection, "user": user, "address": address}
        self._scopes = {name: each for name, each in scopes.items() if each is not None}

    def take(self, verb: type, now_s: float) -> tuple[float, str]:
        """Seconds to wait, and whose limit it is; 0.0: taken."""
        rate = VERB_RATES.get(verb)
        if rate is None:
            return 0.0, ""
        longest = max((each.wait_s(verb, rate, now_s), name) for name, each in self._scopes.items())
        if longest[0] == 0:
            for each in self._scopes.values():
                each.take(verb, rate, now_s)
        return longest
