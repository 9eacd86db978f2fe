"""The ledger in a few lines, and the requests that it is asked with: what the real one must answer
(spec 2). A `Request` is one transfer as the model sees it."""

from collections import Counter
from dataclasses import dataclass, field

from actors.transfers import HoldState, SettledTransfer
from protocol.errors import ErrorCode

UNLIMITED = ("issuance", "escrow")
"""Issuance may go below zero; whether the escrow has the tokens is what the hold says."""


@dataclass(frozen=True)
class Request:
    ref: str
    content: object
    wallet: str
    legs: dict[str, int]
    conflict: ErrorCode = ErrorCode.TRANSFER_CONFLICT
    uncovered: ErrorCode = ErrorCode.INSUFFICIENT_TOKENS
    asks_only: ErrorCode | None = None
    """Answer this unless it is known."""
    makes_hold: str | None = None
    expired: bool = False
    ends_hold: str | None = None
    ends_as: HoldState = HoldState.HELD
    refunds: str | None = None
    refunded_before: int = 0
    emits: str | None = None
    """The tipId of its event."""
    settles: SettledTransfer | None = None


@dataclass
class Model:
    """`balances`: of every account that there is."""

    balances: dict[str, int]
    known: dict[str, tuple[object, int]] = field(default_factory=dict)
    holds: dict[str, tuple[HoldState, bool]] = field(default_factory=dict)
    refunded: Counter[str] = field(default_factory=Counter)
    settled: dict[str, SettledTransfer] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def post(self, batch: list[Request]) -> list[object]:
        """(balance, first) or a code, for each."""
        refunded_now: set[str] = set()
        return [self._post(request, refunded_now) for request in batch]

    def _post(self, request: Request, refunded_now: set[str]) -> object:
        if request.ref in self.known:
            content, balance = self.known[request.ref]
            return (balance, False) if content == request.content else request.conflict
        if request.asks_only:
            return request.asks_only
        if request.wallet not in self.balances:
            return ErrorCode.USER_UNKNOWN
        for account, tokens in request.legs.items():
            if self.balances.get(account, 0) + tokens < 0 and account not in UNLIMITED:
                return request.uncovered
        if request.refunds:
            moved = request.refunded_before != self.refunded[request.refunds]
            if moved or request.refunds in refunded_now:
                return ErrorCode.REFUND_MOVED
            refunded_now.add(request.refunds)
            self.refunded[request.refunds] += request.legs[request.wallet]
        if request.ends_hold:
            if request.ends_hold not in self.holds:
                return ErrorCode.HOLD_UNKNOWN
            state, expired = self.holds[request.ends_hold]
            if state is not HoldState.HELD or (
                expired and request.ends_as is not HoldState.REFUNDED
            ):
                return ErrorCode.HOLD_ENDED
            self.holds[request.ends_hold] = request.ends_as, expired
        if request.makes_hold:
            self.holds[request.makes_hold] = HoldState.HELD, request.expired
        for account, tokens in request.legs.items():
            self.balances[account] = self.balances.get(account, 0) + tokens
        if request.emits and request.settles:
            self.events.append(request.emits)
            self.settled[request.ref] = request.settles
        self.known[request.ref] = request.content, self.balances[request.wallet]
        return (self.balances[request.wallet], True)
