"""A model's stage on the real database: what she sells, what is bought, and what moves owe."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec

from actors.ports import Broadcast, UserRecord
from actors.stage.ports import OwedPayment, Purchase, PurchaseOrder
from actors.transfers import NewHold, Posted
from protocol import performance_menu_edit as edit
from protocol.errors import Refusal
from protocol.pattern_library import Library
from protocol.performance_menu import MenuQueueMode, Menus
from protocol.performance_menu_edit import ItemDraft, MenuDraft
from protocol.stage import PaymentKind
from protocol.tip_activated import LovenseMode, MembershipTier
from protocol.toy_settings import ModelSettings
from server.store.store import Store
from tests.store.transfers import hold_record, post_first, refund_of, release_of, settlement_of

ON_MENU = MenuDraft(name="Queue", queue_mode=MenuQueueMode.ON)


async def go_live(store: Store) -> None:
    """model-1 is live in room-1 and sells a dance for 50 tokens; ann and bob have 1,000."""
    await store.rooms.add_model("model-1", "Ruby Rain", ModelSettings())
    await store.rooms.add_room("room-1", "model-1")
    await store.rooms.start_broadcast("room-1", Broadcast("live-1", LovenseMode.EXTENSION))
    for user_id in ("ann", "bob"):
        await store.members.save_user(UserRecord(user_id, user_id, MembershipTier.FREE))
        await store.ledger.deposit(user_id, user_id, 1_000)
    await edit_menus(store, lambda menus: edit.add_menu(menus, "menu", ON_MENU))
    dance = ItemDraft(name="Dance", token_value=50)
    await edit_menus(store, lambda menus: edit.add_item(menus, "menu", "dance", dance, ()))


async def edit_menus(store: Store, change: Callable[[Menus], Menus | list[Refusal]]) -> None:
    def apply(menus: Menus, _library: Library) -> Menus | list[Refusal]:
        return change(menus)

    assert isinstance(await store.menus.edit("model-1", apply, "ruby"), tuple)


def order_of(key: str = "key-1", **fields: Any) -> PurchaseOrder:
    """Ann's, for a dance as it was first shown."""
    plain = PurchaseOrder(
        purchase_id=uuid4(),
        user_id="ann",
        username="Ann",
        membership_tier=MembershipTier.FREE,
        room_id="room-1",
        idempotency_key=key,
        menu_id="menu",
        item_id="dance",
        version=1,
    )
    return msgspec.structs.replace(plain, **fields)


async def hold_for(store: Store, purchase: Purchase) -> Posted:
    """As the room has the ledger do it."""
    [outcome] = await store.ledger.post([new_hold(purchase)])
    assert isinstance(outcome, Posted), outcome
    return outcome


def new_hold(purchase: Purchase) -> NewHold:
    return NewHold(
        hold_id=str(purchase.purchase_id),
        user_id=purchase.user_id,
        room_id=purchase.room_id,
        amount=purchase.tokens,
        item=purchase.item,
        broadcast_id=purchase.broadcast_id,
        model_id=purchase.model_id,
        expires_at=None,
    )


async def pay_owed(store: Store) -> None:
    """All that moves owe, as the payments have the ledger do it."""
    for purchase_id in await store.stages.owing_purchases(100):
        while (owed := await store.stages.owed(purchase_id)) is not None:
            await _pay(store, owed)
            await store.stages.payment_done(purchase_id, owed.step)


async def _pay(store: Store, owed: OwedPayment) -> None:
    tokens = owed.payment.refund_tokens
    match owed.payment.kind:
        case PaymentKind.RELEASE:
            await post_first(store, await release_of(store, owed.hold_id))
        case PaymentKind.SETTLE:
            held = await hold_record(store, owed.hold_id)
            await post_first(store, settlement_of(held, tokens))
        case PaymentKind.REFUND:
            refund_id = f"stage:{owed.purchase_id}"
            await post_first(store, await refund_of(store, refund_id, owed.tip_id, tokens))
