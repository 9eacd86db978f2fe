"""Transfers to test with, beside the tips of settlements.py: complete requests out of the few
fields that a test is about."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from actors.transfers import (
    HoldRecord,
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
from protocol.errors import Refusal
from protocol.tip_activated import Item, ItemType
from server.store.store import Store
from tests.store.settlements import tip

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)
"""The database has its own clock: an expiry is far on either side of it."""


def show(bonus_points: int = 6, item_name: str = "Private show") -> Item:
    return Item(ItemType.MENU_ITEM, "show", item_name, "Ten minutes", None, bonus_points)


def hold(
    hold_id: str,
    user_id: str = "alex",
    amount: int = 20,
    *,
    room_id: str = "room-1",
    model_id: str = "model-1",
    item: Item | None = None,
    expires_at: datetime | None = None,
    unless_known: Refusal | None = None,
) -> NewHold:
    return NewHold(
        hold_id=hold_id,
        user_id=user_id,
        room_id=room_id,
        amount=amount,
        item=item or show(),
        broadcast_id="broadcast-1",
        model_id=model_id,
        expires_at=expires_at,
        unless_known=unless_known,
    )


def settlement_of(
    held: HoldRecord, refund_tokens: int = 0, *, share_percent: int = 50
) -> Settlement:
    """As the room submits it."""
    whole = tip(
        f"purchase:{held.hold_id}",
        held.user_id,
        held.amount - refund_tokens,
        room_id=held.room_id,
        broadcast_id=held.broadcast_id,
        model_id=held.model_id,
        share_percent=share_percent,
    )
    assert whole.event is not None
    ledger = msgspec.structs.replace(whole.event.ledger, debit_ref=str(held.debit_ref))
    return msgspec.structs.replace(
        whole,
        event=msgspec.structs.replace(whole.event, ledger=ledger, item=held.item),
        hold=SettledHold(held.hold_id, refund_tokens, uuid4(), uuid4() if refund_tokens else None),
    )


async def held(store: Store, request: NewHold) -> HoldRecord:
    """The record of a hold posted now."""
    await post_first(store, request)
    return await hold_record(store, request.hold_id)


async def hold_record(store: Store, hold_id: str) -> HoldRecord:
    record = await store.accounts.load_hold(hold_id)
    assert record is not None
    return record


async def release_of(store: Store, hold_id: str) -> Release:
    return Release(await hold_record(store, hold_id))


async def refund_of(store: Store, refund_id: str, source_ref: str, tokens: int) -> Refund:
    settled = await store.accounts.load_settled(source_ref)
    assert settled is not None
    return Refund(refund_id, settled, tokens)


async def post(store: Store, *batch: Transfer) -> list[object]:
    return brief(await store.ledger.post(batch))


async def post_first(store: Store, *batch: Transfer) -> list[Settled | Posted]:
    """Each is written, now and for the first time."""
    outcomes = await store.ledger.post(batch)
    posted = [each for each in outcomes if not isinstance(each, Refusal) and each.first]
    assert len(posted) == len(batch), outcomes
    return posted


def brief(outcomes: Sequence[Outcome]) -> list[object]:
    """(balance, first) of what stands, else the refusal's code."""
    return [
        (each.balance, each.first) if isinstance(each, Settled | Posted) else each.code
        for each in outcomes
    ]
