"""Settlements to test with: complete requests out of the few fields that a test is about."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from actors.transfers import Settlement
from protocol.errors import Refusal
from protocol.tip_activated import (
    Item,
    ItemType,
    Ledger,
    LovenseMode,
    MembershipTier,
    Model,
    ModelToy,
    Room,
    Routing,
    TipActivated,
    Tipper,
    Transaction,
    ViewerSync,
    ViewerSyncMode,
    format_timestamp,
    source_ref_of,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def tip(
    tip_id: str,
    tipper_id: str = "alex",
    amount: int = 10,
    *,
    room_id: str = "room-1",
    broadcast_id: str = "broadcast-1",
    model_id: str = "model-1",
    share_percent: int = 50,
    bonus_points: int = 3,
    username: str = "Alex",
) -> Settlement:
    model_tokens = amount * share_percent // 100
    event = TipActivated(
        event_name="TipActivated",
        event_id=uuid4(),
        tip_id=tip_id,
        timestamp=format_timestamp(NOW),
        ledger=Ledger(str(uuid4()), source_ref_of(tip_id), str(uuid4()), str(uuid4()), "SETTLED"),
        room=Room(room_id, broadcast_id),
        model=Model(model_id, "Ruby Rain", LovenseMode.EXTENSION, ViewerSyncMode.OFF),
        tipper=Tipper(tipper_id, username, MembershipTier.FREE, is_vip=False),
        transaction=Transaction("TOKENS", amount),
        item=Item(ItemType.TIP, "tip", "Tip", f"{amount} tokens", None, bonus_points),
        viewer_sync=ViewerSync(False, False, False),
        routing=Routing((ModelToy(model_id),)),
    )
    return Settlement(
        tip_id=tip_id,
        room_id=room_id,
        broadcast_id=broadcast_id,
        tipper_id=tipper_id,
        amount=amount,
        model_id=model_id,
        model_tokens=model_tokens,
        revenue_ref=None if model_tokens == amount else uuid4(),
        event=event,
    )


def only_if_known(refusal: Refusal, tip_id: str, **content: Any) -> Settlement:
    """Asks for a tip that may have been settled; else `refusal`."""
    whole = tip(tip_id, **content)
    return Settlement(
        tip_id=whole.tip_id,
        room_id=whole.room_id,
        broadcast_id=whole.broadcast_id,
        tipper_id=whole.tipper_id,
        amount=whole.amount,
        model_id=whole.model_id,
        model_tokens=0,
        revenue_ref=None,
        event=None,
        unless_known=refusal,
    )
