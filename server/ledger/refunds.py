"""Refunds after settlement, in their order: never more than was settled, from those who got it, to
the one who paid, and loyalty points in the same proportion."""

import msgspec

from protocol.shares import model_part_of_refund
from server.ledger.findings import Code, Findings
from server.ledger.records import (
    Content,
    HeldPurchaseContent,
    Leg,
    RefundContent,
    TipContent,
    content_of,
    legs_of,
)
from server.ledger.settled import REVENUE
from server.store.ledger_snapshot import Row


class _Refund(msgspec.Struct, frozen=True):
    """One row of queries.AUDIT_REFUNDS; the first three name the transfer that it gives back."""

    refunds: bytes
    kind: bytes
    content: bytes
    first_legs: bytes
    held: bytes
    holder: bytes
    earned: bytes
    transfer_id: bytes
    source_ref: bytes
    own_content: bytes
    own_legs: bytes
    points: bytes


class _Original(msgspec.Struct):
    """What is given back. `model` and `model_tokens` are None when its entries were moved away."""

    wallet: str
    amount: int
    model: str | None
    model_tokens: int | None
    earned: int | None
    refunded: int = 0
    points_taken: int = 0
    is_all_taken: bool = True


class Refunds:
    """`take` rows of queries.AUDIT_REFUNDS in their order, then `end`."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._refunds: bytes | None = None
        self._original: _Original | None = None

    def take(self, rows: list[Row]) -> None:
        for each in rows:
            row = _Refund(*each)
            if row.refunds != self._refunds:
                self.end()
                self._refunds = row.refunds
                self._original = _original_of(row)
                if self._original is None:
                    self._add(Code.REFUND_TARGET, "what it refunds is no tip or purchase", row)
            content = content_of("refund", row.own_content)
            # What is wrong with it was found where every transfer is looked at.
            if self._original is not None and isinstance(content, RefundContent):
                self._check(row, self._original, content.tokens)

    def end(self) -> None:
        """After the last row."""
        original, self._original = self._original, None
        if original is None or original.earned is None:
            return
        due = original.refunded * original.earned // original.amount
        taken = original.points_taken
        if taken > due or (original.is_all_taken and taken != due):
            self._findings.add(
                Code.POINTS_AMOUNT,
                f"of {original.earned} points {taken} were taken back, {due} are due",
                source=self._refunds,
            )

    def _check(self, row: _Refund, original: _Original, tokens: int) -> None:
        before = original.refunded
        original.refunded += tokens
        if tokens <= 0 or original.refunded > original.amount:
            self._add(
                Code.REFUND_EXCEEDS,
                f"with this {original.refunded} of {original.amount} tokens are given back",
                row,
            )
            return
        if row.points:
            original.points_taken -= int(row.points)
        else:
            original.is_all_taken = False
        legs = legs_of(row.own_legs)
        if legs is None:
            return
        found = {leg.account_id: leg.amount for leg in legs}
        if original.model is None or original.model_tokens is None:
            if found.get(original.wallet) != tokens:
                self._add(Code.REFUND_ENTRIES, f"its entries give not {tokens} to the payer", row)
            return
        hers = model_part_of_refund(original.amount, original.model_tokens, before, tokens)
        sides = {original.wallet: tokens, original.model: -hers, REVENUE: hers - tokens}
        if found != {account: amount for account, amount in sides.items() if amount}:
            self._add(
                Code.REFUND_ENTRIES,
                f"its entries are not {tokens} to the payer, {hers} from the model and"
                f" {tokens - hers} from the platform",
                row,
            )

    def _add(self, code: Code, text: str, row: _Refund) -> None:
        self._findings.add(
            code, text, transfer=row.transfer_id, source=row.source_ref, refunds=row.refunds
        )


def _original_of(row: _Refund) -> _Original | None:
    if row.kind not in (b"tip", b"purchase"):
        return None
    paid = _paid(content_of(row.kind.decode(), row.content), row)
    if paid is None:
        return None
    wallet, amount = paid
    model = _model_leg(legs_of(row.first_legs) or [])
    return _Original(
        wallet=wallet,
        amount=amount,
        model=None if model is None else model.account_id,
        model_tokens=None if model is None else model.amount,
        earned=int(row.earned) if row.earned else None,
    )


def _paid(content: Content | None, row: _Refund) -> tuple[str, int] | None:
    """Who paid how much; None where that cannot be told."""
    match content:
        case TipContent(user_id=user_id, amount=amount) if amount > 0:
            return f"user:{user_id}", amount
        case HeldPurchaseContent(refund_tokens=refunded) if row.held and row.holder:
            amount = int(row.held) - refunded
            return (f"user:{row.holder.decode()}", amount) if amount > 0 else None
        case _:
            return None


def _model_leg(legs: list[Leg]) -> Leg | None:
    return next((leg for leg in legs if leg.account_id.startswith("model:")), None)
