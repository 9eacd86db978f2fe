"""The database of menus and stages, in memory: purchases, moves, payments and dead letters, with
the rules that the real one keeps. Faults come by `before` and `after`, as in `ports.Database`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from actors.ports import RoomRecord, UserRecord
from actors.stage.ports import (
    LEASE_S,
    Begun,
    OwedPayment,
    Paid,
    Purchase,
    PurchaseOrder,
    StageRecord,
)
from actors.transfers import HoldRecord, HoldState, SettledTransfer
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.performance_menu import MenuQueueMode
from protocol.stage import (
    DEPTH_MAX,
    ENDED,
    Move,
    Payment,
    PaymentKind,
    PurchaseReceipt,
    StageItem,
    StageOrder,
    StageState,
    moved,
    places,
)
from protocol.tip_activated import Item, ItemType, MembershipTier
from protocol.vibration import level
from tests.actors.house import utc_now
from tests.actors.ports import Database
from tests.actors.rooms import BROADCAST, MODEL, ROOM, record

STEPS = {PaymentKind.SETTLE: 1, PaymentKind.RELEASE: 1, PaymentKind.REFUND: 2}


@dataclass
class Offer:
    item: Item
    tokens: int
    queue_mode: MenuQueueMode = MenuQueueMode.ON
    duration_sec: int = 60
    start_offset_ms: int = 0


def offer(name: str = "song", tokens: int = 100, toy: bool = False, **fields: Any) -> Offer:
    vibration = level(10, 5) if toy else None
    return Offer(Item(ItemType.MENU_ITEM, name, name.title(), "", vibration, 0), tokens, **fields)


OFFERS = {
    "song": offer(),
    "buzz": offer("buzz", toy=True),
    "wave": offer("wave", toy=True, queue_mode=MenuQueueMode.OFF),
}


@dataclass
class Row:
    """One of menu_purchases."""

    purchase: Purchase
    key: str
    node: UUID
    attempted_at: datetime
    duration_sec: int
    username: str
    failed: bool = False
    item: StageItem | None = None
    receipt: PurchaseReceipt | None = None
    ended_at: datetime | None = None
    moves: list[tuple[StageState, str]] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    """Indexes of `payments`."""
    failures: int = 0
    letter: str | None = None
    """`open` or `dismissed`; a retry takes it away."""


class StageDatabase(Database):
    """Implements PurchaseStore, StageStore, PaymentStore, Accounts, and all that a house needs."""

    def __init__(
        self,
        rooms: list[RoomRecord] | None = None,
        balances: dict[str, int] | None = None,
        offers: dict[str, Offer] | None = None,
    ) -> None:
        super().__init__(rooms or [record()], balances or {"ann": 1_000, "bob": 1_000})
        self.offers = offers or OFFERS
        self.rows: dict[UUID, Row] = {}
        self.order = StageOrder.FIFO

    # ---- members and accounts ----

    async def load_user(self, user_id: str) -> UserRecord | None:
        await self.before("load_user")
        return UserRecord(user_id, user_id.title(), MembershipTier.FREE)

    async def load_hold(self, hold_id: str) -> HoldRecord | None:
        await self.before("load_hold")
        return self.books.holds.get(hold_id)

    async def load_settled(self, source_ref: str) -> SettledTransfer | None:
        await self.before("load_settled")
        if source_ref not in self.books.tips:
            return None
        _, event, _ = self.books.tips[source_ref]
        return SettledTransfer(
            source_ref=source_ref,
            user_id=event.tipper.user_id,
            model_id=event.model.model_id,
            amount=event.transaction.amount,
            model_tokens=event.transaction.amount // 2,
            refunded=self.books.refunded.get(source_ref, 0),
        )

    # ---- purchases ----

    async def begin(self, orders: Sequence[PurchaseOrder], node: UUID) -> list[Begun]:
        assert len({order.user_id for order in orders}) == len(orders)
        await self.before("begin")
        found = [self._begin(order, node) for order in orders]
        await self.after("begin")
        return found

    def _begin(self, order: PurchaseOrder, node: UUID) -> Begun:
        for row in self.rows.values():
            same = (row.purchase.user_id, row.key) == (order.user_id, order.idempotency_key)
            if not same or row.failed:
                continue
            if row.receipt is not None:
                return row.receipt
            if row.node != node and not self._silent(row):
                return Refusal(ErrorCode.LEDGER_UNAVAILABLE)
            row.node, row.attempted_at = node, utc_now()
            return msgspec.structs.replace(row.purchase, again=True)
        broadcast = self.rooms[ROOM].broadcast
        if broadcast is None:
            return Refusal(ErrorCode.ROOM_OFFLINE)
        wanted = self.offers[order.item_id]
        deep = [row for row in self.rows.values() if self._on_stage(row)]
        if wanted.queue_mode is MenuQueueMode.ON and len(deep) >= DEPTH_MAX:
            return Refusal(ErrorCode.STAGE_FULL)
        purchase = Purchase(
            purchase_id=order.purchase_id,
            user_id=order.user_id,
            room_id=ROOM,
            broadcast_id=BROADCAST,
            model_id=MODEL,
            item=wanted.item,
            tokens=wanted.tokens,
            queue_mode=wanted.queue_mode,
            start_offset_ms=wanted.start_offset_ms,
        )
        self.rows[purchase.purchase_id] = Row(
            purchase, order.idempotency_key, node, utc_now(), wanted.duration_sec, order.username
        )
        return purchase

    def _on_stage(self, row: Row) -> bool:
        if row.failed or row.purchase.queue_mode is MenuQueueMode.OFF:
            return False
        return row.item is None or row.item.state not in ENDED

    def _silent(self, row: Row) -> bool:
        return (utc_now() - row.attempted_at).total_seconds() > LEASE_S

    async def confirm(self, paid: Sequence[Paid]) -> list[tuple[PurchaseReceipt, StageItem]]:
        await self.before("confirm")
        found = [self._confirm(self.rows[each.purchase_id], each.balance) for each in paid]
        await self.after("confirm")
        return found

    def _confirm(self, row: Row, balance: int) -> tuple[PurchaseReceipt, StageItem]:
        purchase = row.purchase
        if row.receipt is None:
            assert not row.failed, "it has been paid"
            off = purchase.queue_mode is MenuQueueMode.OFF
            row.item = StageItem(
                purchase_id=purchase.purchase_id,
                user_id=purchase.user_id,
                username=row.username,
                item_id=purchase.item.item_id,
                item_name=purchase.item.item_name,
                tokens=purchase.tokens,
                queue_mode=purchase.queue_mode,
                drives_toy=purchase.item.vibration is not None,
                duration_sec=row.duration_sec,
                state=StageState.READY,
                settled=off,
                ready_at=utc_now(),
            )
            line = (
                {}
                if off
                else {p.purchase_id: p for p in places(self._items(), self.order, utc_now())}
            )
            place = line.get(purchase.purchase_id)
            row.receipt = PurchaseReceipt(
                purchase_id=purchase.purchase_id,
                item_id=purchase.item.item_id,
                item_name=purchase.item.item_name,
                tokens=purchase.tokens,
                balance=balance,
                queue_mode=purchase.queue_mode,
                position=None if place is None else place.position,
                wait_sec=None if place is None else place.wait_s,
                purchased_at=utc_now(),
            )
        assert row.item is not None
        return row.receipt, row.item

    async def fail(self, purchase_id: UUID, _code: ErrorCode) -> None:
        await self.before("fail")
        row = self.rows[purchase_id]
        if row.receipt is None and self._taken(row) is None:
            row.failed = True
        await self.after("fail")

    def _taken(self, row: Row) -> int | None:
        """Something that only the ledger knows: the buyer's balance after it."""
        hold_id = str(row.purchase.purchase_id)
        if hold_id in self.books.holds or f"purchase:{hold_id}" in self.books.tips:
            return self.books.balances[row.purchase.user_id]
        return None

    async def resolve_stale(self, _limit: int) -> list[tuple[str, StageItem]]:
        await self.before("resolve_stale")
        ready = []
        for row in self.rows.values():
            if row.failed or row.receipt is not None or not self._silent(row):
                continue
            balance = self._taken(row)
            if balance is None:
                row.failed = True
            else:
                ready.append((MODEL, self._confirm(row, balance)[1]))
        await self.after("resolve_stale")
        return ready

    # ---- stages ----

    def _items(self) -> tuple[StageItem, ...]:
        return tuple(
            row.item
            for row in self.rows.values()
            if row.item is not None
            and row.item.state not in ENDED
            and row.item.queue_mode is MenuQueueMode.ON
        )

    async def load_stage(self, model_id: str) -> StageRecord | None:
        await self.before("load_stage")
        ended = [row.ended_at for row in self.rows.values() if row.ended_at is not None]
        started = [
            row.item.started_at for row in self.rows.values() if row.item and row.item.started_at
        ]
        return StageRecord(
            model_id=model_id,
            room_id=ROOM,
            order=self.order,
            items=self._items(),
            last_moved_at=max([*ended, *started], default=None),
        )

    async def busy_stages(self) -> list[str]:
        await self.before("busy_stages")
        return [MODEL] if self._items() else []

    async def load_item(self, purchase_id: UUID) -> StageItem | None:
        await self.before("load_item")
        return self.rows[purchase_id].item

    async def move(self, purchase_id: UUID, move: Move, who: str) -> datetime | Refusal:
        await self.before("move")
        found = self._move(self.rows[purchase_id], move, who)
        await self.after("move")
        return found

    def _move(self, row: Row, move: Move, who: str) -> datetime | Refusal:
        assert row.item is not None
        if move.after is StageState.STARTED:
            if self.rooms[ROOM].broadcast is None:
                return Refusal(ErrorCode.ROOM_OFFLINE)
            if any(item.state is StageState.STARTED for item in self._items()):
                return Refusal(
                    ErrorCode.STAGE_BUSY
                    if row.item.state is move.before
                    else ErrorCode.STAGE_WRONG_STATE
                )
        if row.item.state is not move.before:
            return Refusal(ErrorCode.STAGE_WRONG_STATE)
        row.item = moved(row.item, move, utc_now())
        row.moves.append((move.after, who))
        if row.item.state in ENDED:
            row.ended_at = utc_now()
        if move.payment is not None:
            row.payments.append(move.payment)
        return utc_now()

    async def save_order(self, _model_id: str, order: StageOrder, _who: str) -> None:
        await self.before("save_order")
        self.order = order
        await self.after("save_order")

    async def end_broadcast(self, room_id: str, broadcast_id: str) -> None:
        if any(item.state is StageState.STARTED for item in self._items()):
            raise Refused(ErrorCode.STAGE_PERFORMING)
        await super().end_broadcast(room_id, broadcast_id)

    # ---- payments ----

    def _next_owed(self, row: Row) -> int | None:
        left = [index for index in range(len(row.payments)) if index not in row.done]
        return left[0] if left and row.letter is None else None

    async def owing_purchases(self, _limit: int) -> list[UUID]:
        await self.before("owing_purchases")
        return [each for each, row in self.rows.items() if self._next_owed(row) is not None]

    async def owed(self, purchase_id: UUID) -> OwedPayment | None:
        await self.before("owed")
        row = self.rows[purchase_id]
        index = self._next_owed(row)
        if index is None:
            return None
        payment = row.payments[index]
        return OwedPayment(
            purchase_id=purchase_id,
            step=STEPS[payment.kind],
            payment=payment,
            failures=row.failures,
            start_offset_ms=row.purchase.start_offset_ms,
        )

    async def payment_done(self, purchase_id: UUID, step: int) -> None:
        await self.before("payment_done")
        row = self.rows[purchase_id]
        row.done |= {i for i, each in enumerate(row.payments) if STEPS[each.kind] == step}
        await self.after("payment_done")

    async def payment_failed(
        self, purchase_id: UUID, _step: int, _code: ErrorCode, letter_id: UUID | None
    ) -> None:
        await self.before("payment_failed")
        row = self.rows[purchase_id]
        row.failures += 1
        if letter_id is not None:
            row.letter, row.failures = "open", 0
        await self.after("payment_failed")

    # ---- what must hold ----

    def check_tokens(self, *, at_rest: bool) -> None:
        """Of each purchase every token is held, settled or refunded; at rest, as its state says."""
        assert sum(self.books.balances.values()) == self.books.total
        escrow = 0
        for purchase_id, row in self.rows.items():
            hold = self.books.holds.get(str(purchase_id))
            source_ref = f"purchase:{purchase_id}"
            settled = 0
            if source_ref in self.books.tips:
                settled = self.books.tips[source_ref][1].transaction.amount
            back = self.books.refunded.get(source_ref, 0)
            is_held = hold is not None and hold.state is HoldState.HELD
            if is_held:
                escrow += row.purchase.tokens
            if at_rest:
                self._check_row(row, hold, settled, back, is_held)
        assert escrow == self.books.balances["escrow"], "held = settled + refunded + open"

    def _check_row(
        self, row: Row, hold: HoldRecord | None, settled: int, back: int, is_held: bool
    ) -> None:
        tokens = row.purchase.tokens
        if row.failed:
            assert (hold, settled) == (None, 0), "what was refused took nothing"
            return
        assert row.item is not None, "nobody was forgotten on the way"
        assert row.letter is None
        released = 0 if hold is None or is_held else hold.refunded
        assert tokens * is_held + settled + released == tokens
        match row.item:
            case StageItem(queue_mode=MenuQueueMode.OFF):
                kept = tokens
            case StageItem(state=StageState.READY):
                kept = None
            case StageItem(state=StageState.STARTED):
                kept = tokens if row.item.drives_toy else None
            case StageItem(state=StageState.FINISHED):
                kept = tokens
            case StageItem(state=StageState.CANCELLED):
                kept = 0
            case StageItem(terms=terms):
                assert terms is not None
                kept = {"FULL_REFUND": 0, "FULL_SETTLE": tokens}.get(
                    terms.kind, tokens - (terms.tokens or 0)
                )
        assert is_held is (kept is None), row.item
        assert settled - back == (kept or 0), row.item
