"""What the stage needs from the world, and the values that pass there.

Every method of a store waits; none is called inside a stage's mailbox loop. A store raises
StoreUnavailable when the outcome of a call is unknown or the database cannot be reached.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import msgspec

from actors.transfers import HoldRecord, SettledTransfer
from protocol.errors import ErrorCode, Refusal
from protocol.frames import OwnFrame
from protocol.performance_menu import MenuQueueMode
from protocol.stage import (
    Move,
    Payment,
    PurchaseReceipt,
    StageItem,
    StageOrder,
)
from protocol.tip_activated import PURCHASE_PREFIX, Item, MembershipTier

# ---- purchases -------------------------------------------------------------------------------


class PurchaseOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer wants to buy. `version` is that of the item as it was shown, `room_id` the
    room in which the viewer is."""

    purchase_id: UUID
    user_id: str
    username: str
    membership_tier: MembershipTier
    room_id: str
    idempotency_key: str
    menu_id: str
    item_id: str
    version: int


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """A purchase that is to be paid: as the menu said when it was made. `again`: it was begun
    before, and the ledger may have been asked already."""

    purchase_id: UUID
    user_id: str
    room_id: str
    broadcast_id: str
    model_id: str
    item: Item
    tokens: int
    queue_mode: MenuQueueMode
    start_offset_ms: int
    again: bool = False


Begun = Purchase | PurchaseReceipt | Refusal
"""The purchase to be paid, new or begun before by this server; the first answer of one that is
known; or the refusal, with nothing written."""


class Paid(msgspec.Struct, frozen=True):
    """`balance`: the buyer's tokens right after it."""

    purchase_id: UUID
    balance: int


LEASE_S: Final = 60.0
"""What a server has begun, nobody else goes on with for so long: longer than any question to a room
or the database may take."""


class PurchaseStore(Protocol):
    """`node` is this server."""

    async def begin(self, orders: Sequence[PurchaseOrder], node: UUID) -> list[Begun]:
        """One transaction that holds the buyers, all of them different."""
        ...

    async def confirm(self, paid: Sequence[Paid]) -> list[tuple[PurchaseReceipt, StageItem]]:
        """They are paid, or their tokens are held: CREATED -> READY, with the answer for ever, in
        one transaction. The same again answers the same."""
        ...

    async def fail(self, purchase_id: UUID, code: ErrorCode) -> None:
        """It was certainly not paid: the key is free again. Nothing, where it is READY by now."""
        ...

    async def resolve_stale(self, limit: int) -> list[tuple[str, StageItem]]:
        """Purchases whose server has not said for LEASE_S what became of them: READY where the
        ledger has their tokens, else FAILED. Those that are READY now, each with its modelId."""
        ...


# ---- stages ----------------------------------------------------------------------------------


class StageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that a stage's actor starts from. `last_moved_at`: of the last start or end."""

    model_id: str
    room_id: str
    order: StageOrder
    items: tuple[StageItem, ...]
    last_moved_at: datetime | None


class StageStore(Protocol):
    async def load_stage(self, model_id: str) -> StageRecord | None:
        """READY and STARTED ones. None: there is no such model."""
        ...

    async def busy_stages(self) -> list[str]:
        """modelIds of the stages on which something waits or is performed."""
        ...

    async def move(self, purchase_id: UUID, move: Move, who: str) -> datetime | Refusal:
        """Compare and set, with what the move owes, in one transaction; when it was made. Refused:
        STAGE_WRONG_STATE, STAGE_BUSY; ROOM_OFFLINE for a start without a broadcast."""
        ...

    async def load_item(self, purchase_id: UUID) -> StageItem | None:
        """As it is stored now. None: there is none, or it is not paid yet."""
        ...

    async def save_order(self, model_id: str, order: StageOrder, who: str) -> None: ...


class Pages(Protocol):
    """A user's open pages, in whatever room."""

    def own_frame(self, user_id: str, frame: OwnFrame) -> None:
        """Never waits, never fails: a page that misses one reads the rest over HTTP."""
        ...


# ---- payments --------------------------------------------------------------------------------


class OwedPayment(msgspec.Struct, frozen=True, kw_only=True):
    """`failures`: how often it was refused since it was last owed."""

    purchase_id: UUID
    step: int
    payment: Payment
    failures: int
    start_offset_ms: int = 0
    """Of the vibration that a SETTLE starts."""

    @property
    def hold_id(self) -> str:
        """Of the ledger."""
        return str(self.purchase_id)

    @property
    def tip_id(self) -> str:
        """Of what settles."""
        return f"{PURCHASE_PREFIX}{self.purchase_id}"


class Accounts(Protocol):
    """What the ledger has."""

    async def load_hold(self, hold_id: str) -> HoldRecord | None:
        """None: there is no such hold."""
        ...

    async def load_settled(self, source_ref: str) -> SettledTransfer | None:
        """None: it was never settled, or its month was moved away."""
        ...


class ToyDelays(Protocol):
    """See actors.consumers.toys.ToyConsumer."""

    def delay(self, tip_id: str, seconds: float) -> None: ...

    def forget_delay(self, tip_id: str) -> None: ...


class PaymentStore(Protocol):
    async def owing_purchases(self, limit: int) -> list[UUID]:
        """Purchases that owe something that may be tried, the longest overdue first."""
        ...

    async def owed(self, purchase_id: UUID) -> OwedPayment | None:
        """The next thing that it owes. None: nothing, or nothing before somebody decides a dead
        letter."""
        ...

    async def payment_done(self, purchase_id: UUID, step: int) -> None: ...

    async def payment_failed(
        self, purchase_id: UUID, step: int, code: ErrorCode, letter_id: UUID | None
    ) -> None:
        """It was refused; with `letter_id` for the last time, and becomes a dead letter."""
        ...
