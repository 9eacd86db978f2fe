"""Purchases from performance menus: begun, paid or not, and answered once for ever.

A purchase is written before the ledger is asked and confirmed after it has answered, so that one
whose server dies in between is found, and ends as the ledger says.
"""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from actors.stage.ports import LEASE_S, Purchase, PurchaseOrder
from protocol.errors import ErrorCode, Refusal
from protocol.performance_menu import MenuItem, MenuQueueMode, Visibility, may_see
from protocol.stage import (
    DEPTH_MAX,
    AbandonKind,
    AbandonTerms,
    PurchaseReceipt,
    StageItem,
    StageOrder,
    StageState,
    places,
)
from protocol.tip_activated import Item
from server.store import stage_queries as queries
from server.store.database import Connection, Database
from server.store.menu_store import menu_item

_UNDER_WAY: Final = Refusal(
    ErrorCode.LEDGER_UNAVAILABLE,
    detail="This purchase is under way; send the same idempotencyKey again.",
    retry_after_s=1.0,
)


class PostgresPurchases:
    """Implements actors.stage.ports.PurchaseStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, order: PurchaseOrder, node: UUID) -> Purchase | PurchaseReceipt | Refusal:
        """See the port."""
        return await self._database.run(_begin, order, node)

    async def confirm(self, purchase_id: UUID, balance: int) -> tuple[PurchaseReceipt, StageItem]:
        """See the port."""
        return await self._database.run(_confirm, purchase_id, balance)

    async def fail(self, purchase_id: UUID, code: ErrorCode) -> None:
        """See the port."""
        await self._database.run(_fail, purchase_id, code)

    async def resolve_stale(self, limit: int) -> list[tuple[str, StageItem]]:
        """See the port."""
        return await self._database.run(_resolve_stale, limit)


# ---- begin -----------------------------------------------------------------------------------


async def _begin(
    connection: Connection, order: PurchaseOrder, node: UUID
) -> Purchase | PurchaseReceipt | Refusal:
    async with connection.transaction():
        if await connection.fetchrow(queries.LOCK_BUYER, order.user_id) is None:
            return Refusal(ErrorCode.USER_UNKNOWN)
        offer = await connection.fetchrow(
            queries.LOOK, order.menu_id, order.item_id, order.user_id, order.idempotency_key
        )
        assert offer is not None
        if offer["known_id"] is not None:
            return await _go_on(connection, order, node, offer["known_id"])
        if not offer["found"]:
            return Refusal(ErrorCode.MENU_UNKNOWN, "menuId")
        if offer["version"] is None:
            return Refusal(ErrorCode.MENU_ITEM_UNKNOWN, "itemId")
        item = menu_item({**dict(offer), "active": offer["item_active"]})
        refusal = _refuse(order, offer, item)
        if refusal is not None:
            return refusal
        if offer["queue_mode"] == MenuQueueMode.ON:
            await connection.fetchrow(queries.LOCK_STAGE, offer["model_id"])
        purchase = Purchase(
            purchase_id=order.purchase_id,
            user_id=order.user_id,
            room_id=order.room_id,
            broadcast_id=offer["broadcast_id"],
            model_id=offer["model_id"],
            item=item.bought(),
            tokens=item.token_value,
            queue_mode=MenuQueueMode(offer["queue_mode"]),
            start_offset_ms=item.start_offset_ms,
        )
        added = await connection.execute(
            queries.ADD_PURCHASE,
            purchase.purchase_id,
            purchase.user_id,
            order.username,
            order.idempotency_key,
            purchase.model_id,
            purchase.room_id,
            purchase.broadcast_id,
            order.menu_id,
            order.item_id,
            msgspec.json.encode(purchase.item).decode(),
            purchase.tokens,
            purchase.queue_mode,
            purchase.start_offset_ms,
            item.duration_sec,
            node,
            DEPTH_MAX,
        )
        return purchase if added == "INSERT 0 1" else Refusal(ErrorCode.STAGE_FULL)


def _refuse(order: PurchaseOrder, offer: asyncpg.Record, item: MenuItem) -> Refusal | None:
    """In the specification's order; the balance is the ledger's to look at."""
    if offer["room_id"] != order.room_id:
        return Refusal(ErrorCode.WRONG_ROOM)
    if not offer["active"]:
        return Refusal(ErrorCode.MENU_ITEM_INACTIVE)
    seen = may_see(
        Visibility(offer["visibility"]),
        is_subscriber=offer["is_subscriber"],
        is_listed=offer["is_listed"],
    )
    if not seen:
        return Refusal(ErrorCode.MENU_HIDDEN)
    if item.version != order.version:
        return Refusal(ErrorCode.MENU_ITEM_CHANGED, "version")
    limit = item.max_daily_purchases
    if limit is not None and offer["bought_today"] >= limit:
        return Refusal(ErrorCode.DAILY_LIMIT_REACHED)
    if offer["broadcast_id"] is None:
        return Refusal(ErrorCode.ROOM_OFFLINE)
    return None


async def _go_on(
    connection: Connection, order: PurchaseOrder, node: UUID, purchase_id: UUID
) -> Purchase | PurchaseReceipt | Refusal:
    """With a purchase of this key."""
    known = await connection.fetchrow(queries.LOAD_PURCHASE_BEGUN, purchase_id, node, LEASE_S)
    assert known is not None
    if (known["menu_id"], known["item_id"]) != (order.menu_id, order.item_id):
        return Refusal(ErrorCode.PURCHASE_CONFLICT, "idempotencyKey")
    if known["state"] != StageState.CREATED:
        return msgspec.json.decode(known["answer"], type=PurchaseReceipt)
    if not known["free"]:
        return _UNDER_WAY
    taken = await connection.execute(queries.TAKE_PURCHASE, known["purchase_id"], node)
    if taken == "UPDATE 0":  # what became of it is being written down
        return _UNDER_WAY
    return Purchase(
        purchase_id=known["purchase_id"],
        user_id=known["user_id"],
        room_id=known["room_id"],
        broadcast_id=known["broadcast_id"],
        model_id=known["model_id"],
        item=msgspec.json.decode(known["item"], type=Item),
        tokens=known["tokens"],
        queue_mode=MenuQueueMode(known["queue_mode"]),
        start_offset_ms=known["start_offset_ms"],
        again=True,
    )


# ---- confirm, fail ---------------------------------------------------------------------------


async def _confirm(
    connection: Connection, purchase_id: UUID, balance: int
) -> tuple[PurchaseReceipt, StageItem]:
    async with connection.transaction():
        confirmed = await connection.fetchrow(queries.CONFIRM_PURCHASE, purchase_id)
        if confirmed is None:
            item = await _item(connection, purchase_id)
            answer = await connection.fetchval(queries.LOAD_ANSWER, purchase_id)
            return msgspec.json.decode(answer, type=PurchaseReceipt), item
        if confirmed["queue_mode"] == MenuQueueMode.OFF:
            item, place = await _item(connection, purchase_id), None
        else:
            rows = await connection.fetch(queries.ITEMS_ON_STAGE, confirmed["model_id"])
            items = {row["purchase_id"]: stage_item(row) for row in rows}
            item, order = items[purchase_id], StageOrder(confirmed["stage_order"])
            line = places(tuple(items.values()), order, datetime.now(UTC))
            place = next(each for each in line if each.purchase_id == purchase_id)
        receipt = PurchaseReceipt(
            purchase_id=purchase_id,
            item_id=item.item_id,
            item_name=item.item_name,
            tokens=item.tokens,
            balance=balance,
            queue_mode=item.queue_mode,
            position=None if place is None else place.position,
            wait_sec=None if place is None else place.wait_s,
            purchased_at=confirmed["created_at"],
        )
        answer = msgspec.json.encode(receipt).decode()
        await connection.execute(queries.SAVE_ANSWER, purchase_id, answer)
    return receipt, item


async def _item(connection: Connection, purchase_id: UUID) -> StageItem:
    row = await connection.fetchrow(queries.LOAD_STAGE_ITEM, purchase_id)
    assert row is not None
    return stage_item(row)


async def _fail(connection: Connection, purchase_id: UUID, code: ErrorCode) -> None:
    await connection.execute(queries.FAIL_PURCHASE, purchase_id, code)


async def _resolve_stale(connection: Connection, limit: int) -> list[tuple[str, StageItem]]:
    ready = []
    async with connection.transaction():
        for row in await connection.fetch(queries.STALE_PURCHASES, LEASE_S, limit):
            if row["balance"] is None:
                await _fail(connection, row["purchase_id"], ErrorCode.LEDGER_UNAVAILABLE)
            else:
                _, item = await _confirm(connection, row["purchase_id"], row["balance"])
                ready.append((row["model_id"], item))
    return ready


def stage_item(row: Any) -> StageItem:
    """A row of menu_purchases as the stage sees it; not one that was never READY."""
    item = msgspec.json.decode(row["item"], type=Item)
    kind = row["abandon_kind"]
    return StageItem(
        purchase_id=row["purchase_id"],
        user_id=row["user_id"],
        username=row["username"],
        item_id=row["item_id"],
        item_name=item.item_name,
        tokens=row["tokens"],
        queue_mode=MenuQueueMode(row["queue_mode"]),
        drives_toy=item.vibration is not None,
        duration_sec=row["duration_sec"],
        state=StageState(row["state"]),
        settled=row["settled"],
        ready_at=row["ready_at"],
        started_at=row["started_at"],
        terms=None if kind is None else AbandonTerms(AbandonKind(kind), row["abandon_tokens"]),
    )
