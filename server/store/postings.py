"""What each kind of transfer writes: its key, its content, its legs. The arguments of
`post_transfers` (migrations/0006_auditable_ledger.sql), and what its rows mean."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID, uuid4

import asyncpg
import msgspec

from actors.transfers import (
    Deposit,
    HoldState,
    NewHold,
    Outcome,
    Posted,
    Refund,
    Release,
    Settled,
    SettledHold,
    Settlement,
    Transfer,
)
from protocol import tip_activated
from protocol.errors import ErrorCode, Refusal
from protocol.frames import TipReceipt
from protocol.shares import model_part_of_refund
from protocol.tip_activated import Item

ESCROW: Final = "escrow"
REVENUE: Final = "revenue"
ISSUANCE: Final = "issuance"


def user_account(user_id: str) -> str:
    return f"user:{user_id}"


def model_account(model_id: str) -> str:
    return f"model:{model_id}"


class Leg(msgspec.Struct, frozen=True):
    """One entry to be: `tokens` into the account, or out of it where negative."""

    account: str
    tokens: int
    entry_id: UUID | str


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One transfer as rows. `legs` sum to zero; no account is in two of them."""

    source_ref: str
    content: bytes
    """JSON; the same transfer always gives the same bytes."""
    answer: bytes = b"{}"
    wallet: str
    """The account whose balance is answered."""
    transfer_id: UUID | str | None
    """None: only asks whether it is known."""
    legs: tuple[Leg, ...] = ()
    refunds: str | None = None
    refunded_before: int | None = None
    hold_id: str | None = None
    hold_state: HoldState | None = None
    event: tip_activated.TipActivated | None = None


# ---- content and answers, as they are stored ---------------------------------------------------


class _Json(msgspec.Struct, frozen=True, rename="camel"):
    """Fields in this order for ever: what is stored is compared as text."""


class _TipContent(_Json, frozen=True):
    room_id: str
    broadcast_id: str
    user_id: str
    amount: int


class _HeldPurchaseContent(_Json, frozen=True):
    refund_tokens: int


class _TipAnswer(_Json, frozen=True):
    item_name: str
    timestamp: str


class _DepositContent(_Json, frozen=True):
    user_id: str
    amount: int


class _HoldContent(_Json, frozen=True):
    user_id: str
    room_id: str
    amount: int
    item: Item


class _HoldAnswer(_Json, frozen=True):
    broadcast_id: str
    model_id: str
    expires_at: datetime | None


class _RefundContent(_Json, frozen=True):
    refunds: str
    tokens: int


_encode = msgspec.json.Encoder().encode


# ---- from a transfer to its rows ---------------------------------------------------------------


def posting(transfer: Transfer) -> Posting:
    """Its rows. Raises ValueError for a settlement whose parts do not fit together."""
    match transfer:
        case Settlement():
            return _settlement(transfer)
        case Deposit():
            return _deposit(transfer)
        case NewHold():
            return _hold(transfer)
        case Release():
            return _release(transfer)
        case Refund():
            return _refund(transfer)
        case _:
            assert_never(transfer)


def _settlement(request: Settlement) -> Posting:
    wallet = user_account(request.tipper_id)
    content = _encode(
        _TipContent(request.room_id, request.broadcast_id, request.tipper_id, request.amount)
        if request.hold is None
        else _HeldPurchaseContent(request.hold.refund_tokens)
    )
    if request.unless_known is not None:
        return Posting(
            source_ref=request.source_ref, content=content, wallet=wallet, transfer_id=None
        )
    event = request.event
    if event is None:
        raise ValueError("a settlement needs its event")
    _check_event(request, event)
    # Its ids stay text: the driver reads them five times as fast as UUID does.
    ledger = event.ledger
    model_leg = Leg(model_account(request.model_id), request.model_tokens, ledger.credit_ref)
    legs = [*_debit(request, wallet, ledger.debit_ref), model_leg]
    if request.revenue_ref is not None:
        legs.append(Leg(REVENUE, request.amount - request.model_tokens, request.revenue_ref))
    return Posting(
        source_ref=request.source_ref,
        content=content,
        answer=_encode(_TipAnswer(event.item.item_name, event.timestamp)),
        wallet=wallet,
        transfer_id=ledger.ledger_id,
        legs=tuple(legs),
        hold_id=None if request.hold is None else request.hold.hold_id,
        hold_state=None if request.hold is None else _end_of(request.hold),
        event=event,
    )


def _debit(request: Settlement, wallet: str, debit_ref: str) -> list[Leg]:
    """Out of the wallet; or all of the hold out of escrow, and what is refunded into the wallet."""
    hold = request.hold
    if hold is None:
        return [Leg(wallet, -request.amount, debit_ref)]
    held = request.amount + hold.refund_tokens
    legs = [Leg(ESCROW, -held, hold.escrow_ref)]
    if hold.refund_ref is not None:
        legs.append(Leg(wallet, hold.refund_tokens, hold.refund_ref))
    return legs


def _end_of(hold: SettledHold) -> HoldState:
    return HoldState.PARTIALLY_REFUNDED if hold.refund_tokens else HoldState.SETTLED


def _check_event(request: Settlement, event: tip_activated.TipActivated) -> None:
    said = (
        event.tip_id,
        event.room.room_id,
        event.room.broadcast_id,
        event.tipper.user_id,
        event.model.model_id,
        event.transaction.amount,
        event.ledger.source_ref,
    )
    if said != (
        request.tip_id,
        request.room_id,
        request.broadcast_id,
        request.tipper_id,
        request.model_id,
        request.amount,
        request.source_ref,
    ):
        raise ValueError("the event and its settlement do not say the same")
    if not 0 <= request.model_tokens <= request.amount:
        raise ValueError("model_tokens must be within 0..amount")
    if (request.revenue_ref is None) is not (request.model_tokens == request.amount):
        raise ValueError("revenue_ref belongs to a revenue entry, and to nothing else")
    hold = request.hold
    if hold is not None and (hold.refund_ref is None) is not (hold.refund_tokens == 0):
        raise ValueError("refund_ref belongs to a refund's entry, and to nothing else")


def _deposit(request: Deposit) -> Posting:
    wallet = user_account(request.user_id)
    return Posting(
        source_ref=request.source_ref,
        content=_encode(_DepositContent(request.user_id, request.amount)),
        wallet=wallet,
        transfer_id=uuid4(),
        legs=_two_legs(ISSUANCE, wallet, request.amount),
    )


def _hold(request: NewHold) -> Posting:
    wallet = user_account(request.user_id)
    return Posting(
        source_ref=request.source_ref,
        content=_encode(
            _HoldContent(request.user_id, request.room_id, request.amount, request.item)
        ),
        answer=_encode(_HoldAnswer(request.broadcast_id, request.model_id, request.expires_at)),
        wallet=wallet,
        transfer_id=uuid4() if request.unless_known is None else None,
        legs=() if request.unless_known else _two_legs(wallet, ESCROW, request.amount),
        hold_id=request.hold_id,
        hold_state=HoldState.HELD,
    )


def _release(request: Release) -> Posting:
    wallet = user_account(request.hold.user_id)
    return Posting(
        source_ref=request.source_ref,
        content=b"{}",
        wallet=wallet,
        transfer_id=uuid4(),
        legs=_two_legs(ESCROW, wallet, request.hold.amount),
        hold_id=request.hold.hold_id,
        hold_state=HoldState.REFUNDED,
    )


def _refund(request: Refund) -> Posting:
    settled = request.settled
    wallet = user_account(settled.user_id)
    content = _encode(_RefundContent(settled.source_ref, request.tokens))
    if request.unless_known is not None:
        return Posting(
            source_ref=request.source_ref, content=content, wallet=wallet, transfer_id=None
        )
    hers = model_part_of_refund(
        settled.amount, settled.model_tokens, settled.refunded, request.tokens
    )
    sides = (
        (model_account(settled.model_id), -hers),
        (REVENUE, hers - request.tokens),
        (wallet, request.tokens),
    )
    return Posting(
        source_ref=request.source_ref,
        content=content,
        wallet=wallet,
        transfer_id=uuid4(),
        legs=tuple(Leg(account, tokens, uuid4()) for account, tokens in sides if tokens),
        refunds=settled.source_ref,
        refunded_before=settled.refunded,
    )


def _two_legs(source: str, target: str, tokens: int) -> tuple[Leg, ...]:
    return Leg(source, -tokens, uuid4()), Leg(target, tokens, uuid4())


# ---- to the database and back ------------------------------------------------------------------


def columns(postings: Sequence[Posting]) -> tuple[list[Any], ...]:
    """The arguments of post_transfers for a batch, in its order. A model's account comes into being
    with her first tokens; every other account must be there."""
    touched = sorted({account for each in postings for account in _accounts(each)})
    slots = {account: at for at, account in enumerate(touched, start=1)}
    first_ats: dict[str, int] = {}
    requests: list[tuple[Any, ...]] = []
    legs: list[tuple[Any, ...]] = []
    for at, each in enumerate(postings, start=1):
        legs += [(slots[leg.account], leg.tokens, leg.entry_id) for leg in each.legs]
        event = each.event
        requests.append(
            (
                each.source_ref,
                first_ats.setdefault(each.source_ref, at),
                each.transfer_id,
                each.content.decode(),
                each.answer.decode(),
                slots[each.wallet],
                each.refunds,
                each.refunded_before,
                each.hold_id,
                each.hold_state,
                None if event is None else event.tip_id,
                None if event is None else event.room.room_id,
                None if event is None else tip_activated.encode(event).decode(),
                len(legs),
            )
        )
    return (
        touched,
        [account.startswith("model:") for account in touched],
        *map(list, zip(*requests, strict=True)),
        *(map(list, zip(*legs, strict=True)) if legs else ([], [], [])),
    )


def _accounts(each: Posting) -> Iterable[str]:
    return (each.wallet, *(leg.account for leg in each.legs))


def outcome(transfer: Transfer, row: asyncpg.Record) -> Outcome:
    """What a row of post_transfers says of `transfer`."""
    match row["outcome"]:
        case "posted":
            return _posted(transfer, row, first=True)
        case "repeat":
            return _posted(transfer, row, first=False)
        case "not_known":
            assert isinstance(transfer, Settlement | NewHold | Refund)
            assert transfer.unless_known is not None
            return transfer.unless_known
        case "account_unknown":
            return Refusal(ErrorCode.USER_UNKNOWN)
        case "insufficient" if isinstance(transfer, Refund):
            return Refusal(ErrorCode.REFUND_UNCOVERED)
        case "insufficient":
            return Refusal(ErrorCode.INSUFFICIENT_TOKENS)
        case "hold_ended":
            return Refusal(ErrorCode.HOLD_ENDED)
        case "refund_moved":
            return Refusal(ErrorCode.REFUND_MOVED)
        case said:
            assert said == "conflict"
            is_tip = isinstance(transfer, Settlement) and transfer.hold is None
            return Refusal(ErrorCode.TIP_CONFLICT if is_tip else ErrorCode.TRANSFER_CONFLICT)


def _posted(transfer: Transfer, row: asyncpg.Record, *, first: bool) -> Outcome:
    if not isinstance(transfer, Settlement):
        return Posted(row["transfer_id"], row["balance"], first)
    if first:
        assert transfer.event is not None
        item_name, timestamp = transfer.event.item.item_name, transfer.event.timestamp
    else:
        said = msgspec.json.decode(row["answer"], type=_TipAnswer)
        item_name, timestamp = said.item_name, said.timestamp
    receipt = TipReceipt(transfer.tip_id, transfer.amount, row["balance"], item_name, timestamp)
    return Settled(receipt, first)
