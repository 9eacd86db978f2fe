"""Each transfer against all that belongs to it: its entries, its content, its one event, its hold,
its points."""

from typing import Final, assert_never

import msgspec

from protocol.tip_activated import source_ref_of
from server.ledger.findings import Code, Findings
from server.ledger.records import (
    Content,
    DepositContent,
    Event,
    HeldPurchaseContent,
    Hold,
    HoldAnswer,
    HoldContent,
    Leg,
    NoContent,
    RefundContent,
    TipAnswer,
    TipContent,
    content_of,
    decode_or_none,
    event_of,
    hold_of,
    legs_of,
)
from server.store.ledger_snapshot import Row

ESCROW: Final = "escrow"
REVENUE: Final = "revenue"
ISSUANCE: Final = "issuance"
_FIELDS: Final = (
    "tipId",
    "tipId",
    "ledger.ledgerId",
    "ledger.sourceRef",
    "ledger.debitRef",
    "ledger.creditRef",
    "room.roomId",
    "model.modelId",
    "tipper.userId",
    "transaction.amount",
)
"""Of an event, that the ledger knows, too."""
_EMITTING: Final = (b"tip", b"purchase")
"""Kinds of transfers with an event."""


class _Settled(msgspec.Struct, frozen=True):
    """One row of queries.AUDIT_SETTLED that is a transfer. Empty from `legs` on: there is none."""

    transfer_id: bytes
    source_ref: bytes
    kind: bytes
    content: bytes
    answer: bytes
    balance: bytes
    refunds: bytes
    created_us: bytes
    legs: bytes
    tip_id: bytes
    event_room: bytes
    event: bytes
    event_us: bytes
    hold: bytes
    points_user: bytes
    points: bytes


class SettledTransfers:
    """`take` rows of queries.AUDIT_SETTLED, in any order. What was created before `archived_us`
    (microseconds since 1970) may have lost its entries and its event to an archive."""

    def __init__(self, findings: Findings, archived_us: int) -> None:
        self.transfers = 0
        self.events = 0
        self._findings = findings
        self._archived_us = archived_us

    def take(self, rows: list[Row]) -> None:
        for row in rows:
            if not row[0]:
                self.events += 1
                self._findings.add(
                    Code.EVENT_WITHOUT_TRANSFER, "nothing was settled by this id", tip=row[9]
                )
            else:
                self._take(_Settled(*row))

    def _take(self, row: _Settled) -> None:
        self.events += row.event != b""
        self.transfers += 1
        moved_away = int(row.created_us) < self._archived_us
        legs = legs_of(row.legs)
        if legs is not None:
            self._check_entries(row, legs)
        elif not moved_away:
            self._add(Code.TRANSFER_WITHOUT_ENTRIES, "it has none", row)
        content = content_of(row.kind.decode(), row.content)
        if content is None:
            self._add(Code.TRANSFER_CONTENT, "it is not what such a transfer has", row)
        hold = self._hold_of(row)
        event = self._event_of(row, moved_away)
        if content is not None:
            self._check_content(row, content, legs, hold, event)

    # ---- entries ---------------------------------------------------------------------------

    def _check_entries(self, row: _Settled, legs: list[Leg]) -> None:
        total = sum(leg.amount for leg in legs)
        if total:
            self._add(Code.TRANSFER_SUM, f"its entries sum to {total}", row)
        moment = int(row.created_us)
        if any(leg.created_us != moment for leg in legs) or (
            row.event_us and row.event_us != row.created_us
        ):
            self._add(Code.TRANSFER_TIME, "its rows are not all of the same moment", row)
        for leg in legs:
            is_wallet = leg.account_id.startswith("user:")
            if is_wallet and leg.balance_after != int(row.balance):
                self._add(
                    Code.TRANSFER_ANSWER,
                    f"it was answered with a balance of {row.balance.decode()},"
                    f" the wallet's entry has {leg.balance_after}",
                    row,
                )

    def _check_legs(
        self, row: _Settled, legs: list[Leg] | None, due: dict[str, int], shared: int = 0
    ) -> None:
        """They are those of `due`; and `shared` tokens for a model and the platform, of which the
        model has an entry always, the platform where it gets anything."""
        if legs is None:
            return
        found = {leg.account_id: leg.amount for leg in legs}
        models = [account for account in found if account.startswith("model:")]
        wanted = dict(due)
        if shared and len(models) == 1 and 0 <= found[models[0]] <= shared:
            wanted[models[0]] = found[models[0]]
            if found[models[0]] < shared:
                wanted[REVENUE] = shared - found[models[0]]
        elif shared:
            wanted["model:*"] = shared
        if found != wanted or len(found) != len(legs):
            self._add(
                Code.TRANSFER_ENTRIES,
                f"its entries are {_sides(found)}; its content asks for {_sides(wanted)}",
                row,
            )

    # ---- content ---------------------------------------------------------------------------

    def _check_content(
        self,
        row: _Settled,
        content: Content,
        legs: list[Leg] | None,
        hold: Hold | None,
        event: Event | None,
    ) -> None:
        match content:
            case TipContent():
                wallet = f"user:{content.user_id}"
                self._check_legs(row, legs, {wallet: -content.amount}, content.amount)
                self._check_event(row, event, content.amount, content.user_id, legs, None)
                if event is not None:
                    self._compare_event(
                        row,
                        ("room.roomId", event.room.room_id, content.room_id),
                        ("room.broadcastId", event.room.broadcast_id, content.broadcast_id),
                    )
            case HeldPurchaseContent():
                self._check_held_purchase(row, content.refund_tokens, legs, hold, event)
            case DepositContent():
                wallet = f"user:{content.user_id}"
                due = {ISSUANCE: -content.amount, wallet: content.amount}
                self._check_legs(row, legs, due)
            case HoldContent():
                due = {f"user:{content.user_id}": -content.amount, ESCROW: content.amount}
                self._check_legs(row, legs, due)
                self._check_hold(row, content, legs, hold)
            case NoContent():
                if hold is not None:
                    due = {ESCROW: -hold.amount, f"user:{hold.user_id}": hold.amount}
                    self._check_legs(row, legs, due)
            case RefundContent():
                # Whose tokens they are is a matter of all refunds of the same: refunds.py.
                if row.refunds != content.refunds.encode():
                    self._add(Code.TRANSFER_CONTENT, "it names another transfer to refund", row)
            case _:
                assert_never(content)

    def _check_held_purchase(
        self,
        row: _Settled,
        refund_tokens: int,
        legs: list[Leg] | None,
        hold: Hold | None,
        event: Event | None,
    ) -> None:
        if hold is None:
            return
        amount = hold.amount - refund_tokens
        if amount <= 0 or refund_tokens < 0:
            self._add(
                Code.TRANSFER_CONTENT,
                f"it gives back {refund_tokens} tokens of a hold of {hold.amount}",
                row,
            )
            return
        due = {ESCROW: -hold.amount}
        if refund_tokens:
            due[f"user:{hold.user_id}"] = refund_tokens
        self._check_legs(row, legs, due, amount)
        if hold.refunded != refund_tokens:
            self._add(
                Code.HOLD_STATE,
                f"by the hold {hold.refunded} tokens went back, by the transfer {refund_tokens}",
                row,
            )
        self._check_event(row, event, amount, hold.user_id, legs, str(hold.debit_ref))
        if event is not None:
            self._compare_event(
                row,
                ("room.roomId", event.room.room_id, hold.room_id),
                ("room.broadcastId", event.room.broadcast_id, hold.broadcast_id),
                ("model.modelId", event.model.model_id, hold.model_id),
            )

    def _check_hold(
        self, row: _Settled, content: HoldContent, legs: list[Leg] | None, hold: Hold | None
    ) -> None:
        if hold is None:
            return
        said: list[tuple[str, object, object]] = [
            ("user_id", hold.user_id, content.user_id),
            ("room_id", hold.room_id, content.room_id),
            ("amount", hold.amount, content.amount),
            ("item", hold.item, content.item),
        ]
        answer = decode_or_none(HoldAnswer, row.answer)
        if answer is None:
            self._add(Code.TRANSFER_ANSWER, "it is not what such a transfer has", row)
        else:
            said += [
                ("broadcast_id", hold.broadcast_id, answer.broadcast_id),
                ("model_id", hold.model_id, answer.model_id),
                ("expires_at", hold.expires_us, answer.expires_us),
            ]
        debits = [leg.entry_id for leg in legs or () if leg.account_id.startswith("user:")]
        if debits:
            said.append(("debit_ref", str(hold.debit_ref), debits[0]))
        for name, stands, due in said:
            if stands != due:
                self._add(Code.HOLD_FIELD, f"the hold's {name} is not the transfer's", row)

    def _hold_of(self, row: _Settled) -> Hold | None:
        needed = row.kind in (b"hold", b"release") or (
            row.kind == b"purchase" and b'"refundTokens"' in row.content
        )
        if not needed:
            return None
        try:
            hold = hold_of(row.hold)
        except msgspec.DecodeError:
            self._add(Code.HOLD_FIELD, "the hold is not what a hold is", row)
            return None
        if hold is None:
            self._add(Code.HOLD_MISSING, "there is no such hold", row)
        return hold

    # ---- event -----------------------------------------------------------------------------

    def _event_of(self, row: _Settled, moved_away: bool) -> Event | None:
        if row.kind not in _EMITTING:
            return None
        if not row.event:
            if not moved_away:
                self._add(Code.EVENT_MISSING, "it has no event", row)
            return None
        try:
            return event_of(row.event)
        except msgspec.DecodeError as error:
            path = str(error).rpartition(" - at ")[2].strip("`$.") if " - at " in str(error) else ""
            self._add(Code.EVENT_INVALID, "it is no TipActivated", row, field=path)
            return None

    def _check_event(
        self,
        row: _Settled,
        event: Event | None,
        amount: int,
        user_id: str,
        legs: list[Leg] | None,
        held_debit_ref: str | None,
    ) -> None:
        """`held_debit_ref`: the entry that took the tokens from the user when they were held."""
        if event is None:
            return
        source_ref = row.source_ref.decode()
        # Before 0006 a tip could be named as a purchase is today.
        due_ref = f"tip:{event.tip_id}" if row.kind == b"tip" else source_ref_of(event.tip_id)
        ledger = event.ledger
        debit_ref, credit_ref, model = held_debit_ref, None, None
        for leg in legs or ():
            if leg.account_id.startswith("model:"):
                credit_ref, model = leg.entry_id, leg.account_id
            elif debit_ref is None and leg.account_id.startswith("user:"):
                debit_ref = leg.entry_id
        in_event = (
            event.tip_id,
            due_ref,
            ledger.ledger_id,
            ledger.source_ref,
            ledger.debit_ref,
            ledger.credit_ref,
            event.room.room_id,
            f"model:{event.model.model_id}",
            event.tipper.user_id,
            event.transaction.amount,
        )
        in_ledger = (
            row.tip_id.decode(),
            source_ref,
            row.transfer_id.decode(),
            source_ref,
            debit_ref or ledger.debit_ref,  # not there any more: nothing to compare
            credit_ref or ledger.credit_ref,
            row.event_room.decode(),
            model or f"model:{event.model.model_id}",
            user_id,
            amount,
        )
        if in_event != in_ledger:
            self._compare_event(row, *zip(_FIELDS, in_event, in_ledger, strict=True))
        answer = decode_or_none(TipAnswer, row.answer)
        if answer != TipAnswer(event.item.item_name, event.timestamp):
            self._add(Code.TRANSFER_ANSWER, "it is not what its event says", row)
        if row.points:
            points_due = (event.item.bonus_points, event.tipper.user_id)
            if (int(row.points), row.points_user.decode()) != points_due:
                self._add(
                    Code.POINTS_AMOUNT,
                    f"{row.points.decode()} points were credited, its event says {points_due[0]}"
                    f" to its tipper",
                    row,
                )

    def _compare_event(self, row: _Settled, *said: tuple[str, object, object]) -> None:
        for field, in_event, in_ledger in said:
            if in_event != in_ledger:
                self._add(
                    Code.EVENT_FIELD,
                    f"the event says {in_event}, the ledger {in_ledger}",
                    row,
                    field=field,
                )

    def _add(self, code: Code, text: str, row: _Settled, field: str = "") -> None:
        self._findings.add(
            code,
            text,
            transfer=row.transfer_id,
            source=row.source_ref,
            tip=row.tip_id,
            field=field,
        )


def _sides(legs: dict[str, int]) -> str:
    """`user:alex -10, model:model-1 +5`."""
    return ", ".join(f"{account} {amount:+}" for account, amount in legs.items()) or "none"
