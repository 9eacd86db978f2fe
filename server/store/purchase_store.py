"""Purchases from performance menus: begun, paid or not, and answered once for ever.

A purchase is written before the ledger is asked and confirmed after it has answered, so that one
whose server dies in between is found, and ends as the ledger says.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from actors.stage.ports import LEASE_S, Begun, Paid, Purchase, PurchaseOrder
from protocol.errors import ErrorCode, Refusal
from protocol.performance_menu import MenuItem, MenuQueueMode, Visibility, may_see
from protocol.stage import (
    DEPTH_MAX,
    AbandonKind,
    AbandonTerms,
    InLine,
    Place,
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

    async def begin(self, orders: Sequence[PurchaseOrder], node: UUID) -> list[Begun]:
        """See the port."""
        return await self._database.run(_begin, orders, node)

    async def confirm(self, paid: Sequence[Paid]) -> list[tuple[PurchaseReceipt, StageItem]]:
        """See the port."""
        return await self._database.run(_confirm, paid)

    async def fail(self, purchase_id: UUID, code: ErrorCode) -> None:
        """See the port."""
        await self._database.run(_fail, purchase_id, code)

    async def resolve_stale(self, limit: int) -> list[tuple[str, StageItem]]:
        """See the port."""
        return await self._database.run(_resolve_stale, limit)


# ---- begin -----------------------------------------------------------------------------------


async def _begin(
    connection: Connection, orders: Sequence[PurchaseOrder], node: UUID
) -> list[Begun]:
    async with connection.transaction():
        users = [order.user_id for order in orders]
        buyers = {row["user_id"] for row in await connection.fetch(queries.LOCK_BUYERS, users)}
        offers = await connection.fetchmany(
            queries.LOOK,
            [(each.menu_id, each.item_id, each.user_id, each.idempotency_key) for each in orders],
        )
        begun: list[Begun] = []
        new: list[tuple[Any, ...]] = []
        stages: set[str] = set()
        for order, offer in zip(orders, offers, strict=True):
            if order.user_id not in buyers:
                begun.append(Refusal(ErrorCode.USER_UNKNOWN))
            elif offer["known_id"] is not None:
                begun.append(await _go_on(connection, order, node, offer["known_id"]))
            else:
                found = _look(order, offer)
                if isinstance(found, Purchase):
                    new.append(_row(order, found, offer, node))
                    if found.queue_mode is MenuQueueMode.ON:
                        stages.add(found.model_id)
                begun.append(found)
        if stages:
            await connection.fetch(queries.LOCK_STAGES, list(stages))
        rows = await connection.fetchmany(queries.ADD_PURCHASE, new) if new else []
    added = {row["purchase_id"] for row in rows}
    return [
        Refusal(ErrorCode.STAGE_FULL)
        if isinstance(each, Purchase) and not each.again and each.purchase_id not in added
        else each
        for each in begun
    ]


def _look(order: PurchaseOrder, offer: asyncpg.Record) -> Purchase | Refusal:
    """What is on offer, as a purchase of it."""
    if not offer["found"]:
        return Refusal(ErrorCode.MENU_UNKNOWN, "menuId")
    if offer["version"] is None:
        return Refusal(ErrorCode.MENU_ITEM_UNKNOWN, "itemId")
    item = menu_item({**dict(offer), "active": offer["item_active"]})
    refusal = _refuse(order, offer, item)
    if refusal is not None:
        return refusal
    return Purchase(
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


def _row(
    order: PurchaseOrder, purchase: Purchase, offer: asyncpg.Record, node: UUID
) -> tuple[Any, ...]:
    """Of menu_purchases; the arguments of ADD_PURCHASE."""
    return (
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
        offer["duration_sec"],
        node,
        DEPTH_MAX,
    )


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
    connection: Connection, paid: Sequence[Paid]
) -> list[tuple[PurchaseReceipt, StageItem]]:
    ids = [each.purchase_id for each in paid]
    async with connection.transaction():
        rows = {row["purchase_id"]: row for row in await connection.fetch(queries.LOCK_PAID, ids)}
        items = {each: _ready_item(row) for each, row in rows.items()}
        new = [each for each in ids if rows[each]["state"] == StageState.CREATED]
        stood = await _stand(connection, [(rows[each]["model_id"], items[each]) for each in new])
        balances = {each.purchase_id: each.balance for each in paid}
        answers = {
            each: _answer(rows[each], items[each], balances[each], stood.get(each)) for each in new
        }
        await connection.executemany(queries.CONFIRM_PURCHASE, answers.items())
    return [
        (
            msgspec.json.decode(answers.get(each) or rows[each]["answer"], type=PurchaseReceipt),
            items[each],
        )
        for each in ids
    ]


def _ready_item(row: asyncpg.Record) -> StageItem:
    """What is CREATED, as it will be."""
    if row["state"] != StageState.CREATED:
        return stage_item(row)
    settled = row["queue_mode"] == MenuQueueMode.OFF
    ready = {"state": StageState.READY, "ready_at": row["now"], "settled": settled}
    return stage_item({**dict(row), **ready})


async def _stand(
    connection: Connection, joining: Iterable[tuple[str, StageItem]]
) -> dict[UUID, Place]:
    """Where they stand, each on its model's stage, that is held then: who looks at a line after
    somebody has joined it sees all of it."""
    lines: dict[str, list[InLine]] = {}
    for model_id, item in joining:
        if item.queue_mode is MenuQueueMode.ON:
            lines.setdefault(model_id, []).append(item)
    if not lines:
        return {}
    stages = await connection.fetch(queries.LOCK_STAGES, list(lines))
    for row in await connection.fetch(queries.LINES, list(lines)):
        lines[row["model_id"]].append(_in_line(row))
    now = datetime.now(UTC)
    return {
        place.purchase_id: place
        for stage in stages
        for place in places(tuple(lines[stage["model_id"]]), StageOrder(stage["stage_order"]), now)
    }


def _in_line(row: asyncpg.Record) -> InLine:
    _, purchase_id, item_id, tokens, duration_sec, state, ready_at, started_at = row
    return InLine(
        purchase_id=purchase_id,
        item_id=item_id,
        tokens=tokens,
        duration_sec=duration_sec,
        state=StageState(state),
        ready_at=ready_at,
        started_at=started_at,
    )


def _answer(row: asyncpg.Record, item: StageItem, balance: int, place: Place | None) -> str:
    """JSON of the PurchaseReceipt."""
    receipt = PurchaseReceipt(
        purchase_id=item.purchase_id,
        item_id=item.item_id,
        item_name=item.item_name,
        tokens=item.tokens,
        balance=balance,
        queue_mode=item.queue_mode,
        position=None if place is None else place.position,
        wait_sec=None if place is None else place.wait_s,
        purchased_at=row["created_at"],
    )
    return msgspec.json.encode(receipt).decode()


async def _fail(connection: Connection, purchase_id: UUID, code: ErrorCode) -> None:
    await connection.execute(queries.FAIL_PURCHASE, purchase_id, code)


async def _resolve_stale(connection: Connection, limit: int) -> list[tuple[str, StageItem]]:
    async with connection.transaction():
        paid = {}
        for row in await connection.fetch(queries.STALE_PURCHASES, LEASE_S, limit):
            if row["balance"] is None:
                await _fail(connection, row["purchase_id"], ErrorCode.LEDGER_UNAVAILABLE)
            else:
                paid[Paid(row["purchase_id"], row["balance"])] = row["model_id"]
        confirmed = await _confirm(connection, list(paid))
    return [(model_id, item) for model_id, (_, item) in zip(paid.values(), confirmed, strict=True)]


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
