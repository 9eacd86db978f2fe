"""Stages: their moves, what these owe, dead letters, and what people see of it all."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from actors.stage.ports import OwedPayment, StageRecord
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.performance_menu import MenuQueueMode
from protocol.stage import (
    DEPTH_MAX,
    AbandonKind,
    AbandonTerms,
    Move,
    Payment,
    PaymentKind,
    StageHealth,
    StageItem,
    StageOrder,
    StageState,
    health,
)
from protocol.tip_activated import Item
from server.store import stage_queries as queries
from server.store.database import Connection, Database
from server.store.purchase_store import stage_item
from server.store.settings_store import record_changes

_STEP: Final = {PaymentKind.SETTLE: 1, PaymentKind.RELEASE: 1, PaymentKind.REFUND: 2}


class StageMove(msgspec.Struct, frozen=True, rename="camel"):
    """`who`: a userId, or `system`."""

    before: StageState
    after: StageState
    who: str
    at: datetime


class PurchaseRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A purchase as it stands. `paymentDue`: tokens that a move has ordered to go somewhere are not
    there yet. Times are UTC."""

    purchase_id: UUID
    user_id: str
    username: str
    model_id: str
    menu_id: str
    item_id: str
    item_name: str
    tokens: int
    queue_mode: MenuQueueMode
    duration_sec: int
    drives_toy: bool
    state: StageState
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    terms: AbandonTerms | None
    payment_due: bool


class StageLetterState(StrEnum):
    OPEN = "open"
    RETRIED = "retried"
    DISMISSED = "dismissed"


class StageLetter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Tokens that could not be moved. `code`: why, the last time; `refundTokens`: what goes back of
    `tokens`; `paid`: they have been moved since."""

    letter_id: UUID
    purchase_id: UUID
    model_id: str
    user_id: str
    kind: PaymentKind
    refund_tokens: int
    tokens: int
    code: str
    died_at: datetime
    state: StageLetterState
    decided_by: str | None
    decided_at: datetime | None
    note: str | None
    paid: bool


class PostgresStages:
    """Implements actors.stage.ports.StageStore and PaymentStore, and answers what HTTP asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- the actor's ----

    async def load_stage(self, model_id: str) -> StageRecord | None:
        """See the port."""
        return await self._database.run(_load_stage, model_id)

    async def busy_stages(self) -> list[str]:
        """See the port."""
        rows = await self._database.run(_fetch, queries.BUSY_STAGES)
        return [row["model_id"] for row in rows]

    async def move(self, purchase_id: UUID, move: Move, who: str) -> datetime | Refusal:
        """See the port."""
        try:
            return await self._database.run(_move, purchase_id, move, who)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "menu_purchases_one_started":
                raise
            return Refusal(ErrorCode.STAGE_BUSY)

    async def save_order(self, model_id: str, order: StageOrder, who: str) -> None:
        """See the port."""
        await self._database.run(_save_order, model_id, order, who)

    # ---- payments ----

    async def owing_purchases(self, limit: int) -> list[UUID]:
        """See the port."""
        rows = await self._database.run(_fetch, queries.OWING_PURCHASES, limit)
        return [row["purchase_id"] for row in rows]

    async def owed(self, purchase_id: UUID) -> OwedPayment | None:
        """See the port."""
        rows = await self._database.run(_fetch, queries.LOAD_OWED, purchase_id)
        if not rows:
            return None
        [row] = rows
        payment = Payment(PaymentKind(row["kind"]), row["refund_tokens"])
        return OwedPayment(
            purchase_id=purchase_id,
            step=row["step"],
            payment=payment,
            failures=row["failures"],
            start_offset_ms=row["start_offset_ms"],
        )

    async def payment_done(self, purchase_id: UUID, step: int) -> None:
        """See the port."""
        await self._database.run(_execute, queries.PAYMENT_DONE, purchase_id, step)

    async def payment_failed(
        self, purchase_id: UUID, step: int, code: ErrorCode, letter_id: UUID | None
    ) -> None:
        """See the port."""
        await self._database.run(_payment_failed, purchase_id, step, code, letter_id)

    # ---- for people ----

    async def load_purchase(self, purchase_id: UUID) -> PurchaseRecord | None:
        """None: there is no such purchase, or it was never paid."""
        rows = await self._database.run(_fetch, queries.LOAD_PURCHASE, purchase_id)
        return _purchase(rows[0]) if rows else None

    async def load_item(self, purchase_id: UUID) -> StageItem | None:
        """As the stage sees it. None: there is none, or it is not paid yet."""
        rows = await self._database.run(_fetch, queries.LOAD_STAGE_ITEM, purchase_id)
        return stage_item(rows[0]) if rows and rows[0]["ready_at"] is not None else None

    async def purchases_of(
        self, user_id: str, before: UUID | None, limit: int
    ) -> list[PurchaseRecord]:
        """The newest first, from the one before `before` on."""
        rows = await self._database.run(_fetch, queries.PURCHASES_OF_USER, user_id, before, limit)
        return [_purchase(row) for row in rows]

    async def purchases_on(self, model_id: str) -> list[PurchaseRecord]:
        """What waits or is performed, in no order."""
        rows = await self._database.run(_fetch, queries.PURCHASES_ON_STAGE, model_id)
        return [_purchase(row) for row in rows]

    async def moves_of(self, purchase_id: UUID) -> list[StageMove]:
        rows = await self._database.run(_fetch, queries.STAGE_MOVES, purchase_id)
        return [
            StageMove(StageState(row["before"]), StageState(row["after"]), row["who"], row["at"])
            for row in rows
        ]

    async def health(self) -> StageHealth:
        """Of all stages."""
        [row] = await self._database.run(_fetch, queries.STAGE_MEASURES)
        return health(row["depth"] * 100 // DEPTH_MAX, row["failures"], row["letters"])

    async def load_letters(
        self, state: StageLetterState, after: UUID | None, limit: int
    ) -> list[StageLetter]:
        """The oldest first, from the one behind `after` on."""
        rows = await self._database.run(_fetch, queries.LIST_STAGE_LETTERS, state, after, limit)
        return [_letter(row) for row in rows]

    async def decide_letter(
        self, letter_id: UUID, state: StageLetterState, who: str, note: str
    ) -> StageLetter:
        """RETRIED or DISMISSED, once. Raises Refused: DEAD_LETTER_UNKNOWN, DEAD_LETTER_DECIDED."""
        return await self._database.run(_decide_letter, letter_id, state, who, note)


async def _load_stage(connection: Connection, model_id: str) -> StageRecord | None:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        stage = await connection.fetchrow(queries.LOAD_STAGE, model_id)
        if stage is None:
            return None
        items = await connection.fetch(queries.ITEMS_ON_STAGE, model_id)
    return StageRecord(
        model_id=model_id,
        room_id=stage["room_id"],
        order=StageOrder(stage["stage_order"]),
        items=tuple(stage_item(item) for item in items),
        last_moved_at=stage["last_moved_at"],
    )


async def _move(
    connection: Connection, purchase_id: UUID, move: Move, who: str
) -> datetime | Refusal:
    payment, terms = move.payment, move.terms
    row = await connection.fetchrow(
        queries.MOVE_PURCHASE,
        purchase_id,
        move.before,
        move.after,
        who,
        None if payment is None else payment.kind,
        None if payment is None else _STEP[payment.kind],
        None if payment is None else payment.refund_tokens,
        None if terms is None else terms.kind,
        None if terms is None else terms.tokens,
    )
    assert row is not None
    if not row["may_start"]:
        return Refusal(ErrorCode.ROOM_OFFLINE)
    moved_at: datetime | None = row["moved_at"]
    return Refusal(ErrorCode.STAGE_WRONG_STATE) if moved_at is None else moved_at


async def _save_order(connection: Connection, model_id: str, order: StageOrder, who: str) -> None:
    async with connection.transaction():
        old = await connection.fetchval(queries.SAVE_STAGE_ORDER, model_id, order)
        if old != order:
            changes: dict[str, tuple[Any, Any]] = {"stageOrder": (old, order)}
            await record_changes(connection, "model", model_id, changes, who)


async def _payment_failed(
    connection: Connection, purchase_id: UUID, step: int, code: ErrorCode, letter_id: UUID | None
) -> None:
    async with connection.transaction():
        await connection.execute(queries.RECORD_FAILURE, purchase_id, step, code)
        if letter_id is not None:
            await connection.execute(queries.ADD_STAGE_LETTER, letter_id, purchase_id, step, code)


async def _decide_letter(
    connection: Connection, letter_id: UUID, state: StageLetterState, who: str, note: str
) -> StageLetter:
    decided = await connection.fetchval(queries.DECIDE_STAGE_LETTER, letter_id, state, who, note)
    row = await connection.fetchrow(queries.LOAD_STAGE_LETTER, letter_id)
    if row is None:
        raise Refused(ErrorCode.DEAD_LETTER_UNKNOWN)
    if not decided:
        raise Refused(ErrorCode.DEAD_LETTER_DECIDED)
    return _letter(row)


def _letter(row: asyncpg.Record) -> StageLetter:
    return StageLetter(
        **{
            **dict(row),
            "kind": PaymentKind(row["kind"]),
            "state": StageLetterState(row["state"]),
        }
    )


def _purchase(row: asyncpg.Record) -> PurchaseRecord:
    fields = dict(row)
    item = msgspec.json.decode(fields.pop("item"), type=Item)
    kind, tokens = fields.pop("abandon_kind"), fields.pop("abandon_tokens")
    fields |= {
        "item_name": item.item_name,
        "drives_toy": item.vibration is not None,
        "queue_mode": MenuQueueMode(row["queue_mode"]),
        "state": StageState(row["state"]),
        "terms": None if kind is None else AbandonTerms(AbandonKind(kind), tokens),
    }
    return PurchaseRecord(**fields)


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)


async def _execute(connection: Connection, query: str, *args: Any) -> None:
    await connection.execute(query, *args)
