"""The desk: sells items of performance menus. A purchase is written down before the ledger is
asked, and confirmed when it has answered, so that a crash in between loses neither tokens nor a
place: what was left behind is looked up in the ledger (`resolve_stale`).

A user's purchases are single file; those of different users are begun, and confirmed, in batches.
Each runs to its end, also when whoever asked has hung up.
"""

from collections.abc import Sequence
from typing import Final
from weakref import WeakValueDictionary

import structlog
import trio

from actors.batches import Batches
from actors.ports import StoreUnavailable
from actors.room.messages import ReplyTo
from actors.runtime.mailbox import MailboxFull
from actors.runtime.moment import Chance
from actors.stage.messages import Joined
from actors.stage.ports import Begun, Paid, PurchaseOrder, PurchaseStore
from actors.stage.registry import StageRegistry
from actors.stage.till import Till
from protocol.errors import ErrorCode, Refusal
from protocol.performance_menu import MenuQueueMode
from protocol.stage import PurchaseReceipt, StageItem

ORDERS_MAX: Final = 1_000
"""Under way at once; what is more is refused before anything is done."""
LOOK_INTERVAL_S: Final = 15.0
STALE_PER_LOOK: Final = 100
CONFIRM_ATTEMPTS: Final = 3
CONFIRM_PAUSE_S: Final = 0.5

_UNKNOWN: Final = Refusal(ErrorCode.LEDGER_UNAVAILABLE)


class PurchaseDesk:
    """`buy`, with an answer of `PurchaseReceipt | Refusal`; run it in a nursery of the
    application."""

    def __init__(
        self,
        store: PurchaseStore,
        till: Till,
        stages: StageRegistry,
        nursery: trio.Nursery,
        chance: Chance,
    ) -> None:
        self._store = store
        self._till = till
        self._stages = stages
        self._nursery = nursery
        self._node = chance.uuid7(chance.now())
        self._begins: Batches[PurchaseOrder, Begun] = Batches(self._begin)
        self._confirms: Batches[Paid, tuple[PurchaseReceipt, StageItem]] = Batches(store.confirm)
        self._under_way = 0
        self._ended = trio.Event()
        self._one_of_user: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()
        self._log = structlog.get_logger("tiproom.desk")

    def buy(self, order: PurchaseOrder, reply_to: ReplyTo) -> None:
        """Raises MailboxFull."""
        if self._under_way >= ORDERS_MAX:
            raise MailboxFull
        self._under_way += 1
        self._nursery.start_soon(self._buy, order, reply_to)

    async def drain(self) -> None:
        """Return when what is under way has ended. Nothing new is expected any more."""
        while self._under_way:
            await self._ended.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        while True:
            try:
                for model_id, item in await self._store.resolve_stale(STALE_PER_LOOK):
                    self._log.warning("purchase_resolved", purchase_id=str(item.purchase_id))
                    self._join(model_id, item)
            except StoreUnavailable:
                self._log.warning("stale_purchases_wait")
            except Exception:
                self._log.exception("stale_purchases_wait")  # a fault of ours; the others go on
            await trio.sleep(LOOK_INTERVAL_S)

    async def _buy(self, order: PurchaseOrder, reply_to: ReplyTo) -> None:
        result: PurchaseReceipt | Refusal = _UNKNOWN
        lock = self._one_of_user.setdefault(order.user_id, trio.Lock())
        try:
            async with lock:
                result = await self._buy_now(order)
        except StoreUnavailable:
            self._log.warning("purchase_unknown", purchase_id=str(order.purchase_id))
        except Exception:
            self._log.exception("purchase_failed", purchase_id=str(order.purchase_id))
        finally:
            self._under_way -= 1
            self._ended.set()
            self._ended = trio.Event()
        reply_to.answer(result)

    async def _buy_now(self, order: PurchaseOrder) -> PurchaseReceipt | Refusal:
        begun = await self._begins.do(order)
        if isinstance(begun, PurchaseReceipt | Refusal):
            return begun
        paid = await self._till.buy(begun, order)
        if isinstance(paid, Refusal):
            if paid.code is not ErrorCode.LEDGER_UNAVAILABLE:
                await self._store.fail(begun.purchase_id, paid.code)
            return paid
        receipt, item = await self._confirm(Paid(begun.purchase_id, paid))
        self._join(begun.model_id, item)
        return receipt

    async def _begin(self, orders: Sequence[PurchaseOrder]) -> list[Begun]:
        return await self._store.begin(orders, self._node)

    async def _confirm(self, paid: Paid) -> tuple[PurchaseReceipt, StageItem]:
        """Its tokens are taken: worth more than one try. Raises StoreUnavailable; `resolve_stale`
        confirms it then."""
        for _ in range(CONFIRM_ATTEMPTS - 1):
            try:
                return await self._confirms.do(paid)
            except StoreUnavailable:
                await trio.sleep(CONFIRM_PAUSE_S)
        return await self._confirms.do(paid)

    def _join(self, model_id: str, item: StageItem) -> None:
        if item.queue_mode is MenuQueueMode.OFF:
            return
        try:
            self._stages.tell(model_id, Joined(item))
        except MailboxFull:  # it stands in the database, where the stage's next life finds it
            self._log.error("join_not_told", purchase_id=str(item.purchase_id))
