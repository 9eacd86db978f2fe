"""Payments: what the moves of all stages owe, paid one after the other for each purchase.

What is owed was written with the move that owes it, so a crash at any instruction forgets nothing,
and the ledger takes each payment once. A database that does not answer is waited for; what is
refused is tried three times and becomes a dead letter, which somebody has to decide (spec 5).
"""

from typing import Final
from uuid import UUID

import structlog
import trio

from actors.ports import StoreUnavailable
from actors.runtime.moment import Chance
from actors.stage.ports import OwedPayment, PaymentStore
from actors.stage.till import Till
from protocol.errors import ErrorCode

ATTEMPTS_MAX: Final = 3
BACKOFF_S: Final = (2.0, 12.0)
"""After the first and the second refusal: a room that has failed rests for ten seconds."""
OUTAGE_PAUSE_S: Final = 2.0
_NO_ATTEMPT: Final = frozenset({ErrorCode.LEDGER_UNAVAILABLE, ErrorCode.ROOM_BUSY})
"""Nobody knows, or nobody was there to ask; without the database no room comes up."""
LOOK_INTERVAL_S: Final = 15.0
"""For what an earlier process owes, and for dead letters that are to be tried again."""
PURCHASES_PER_LOOK: Final = 256


class Payments:
    """`owe` after each move that owes something; run it in a nursery of the application."""

    def __init__(self, store: PaymentStore, till: Till, chance: Chance) -> None:
        self._store = store
        self._till = till
        self._chance = chance
        self._paying: dict[UUID, trio.Event] = {}
        """Set when there is nothing to wait for: it is paid, or does not go well."""
        self._owed_again: set[UUID] = set()
        self._idle = trio.Event()
        self._idle.set()
        self._draining = False
        self._nursery: trio.Nursery | None = None
        self._log = structlog.get_logger("tiproom.stage.payments")

    def owe(self, purchase_id: UUID) -> None:
        """It owes something new. Never waits; before `run` and after `drain` the next look finds
        it."""
        if purchase_id in self._paying:
            self._owed_again.add(purchase_id)
        elif self._nursery is not None and not self._draining:
            self._paying[purchase_id] = trio.Event()
            self._idle = trio.Event()
            self._nursery.start_soon(self._pay_all, purchase_id)

    async def attempted(self, purchase_id: UUID) -> None:
        """Return when all that it owes is paid, or an attempt has not gone well."""
        under_way = self._paying.get(purchase_id)
        if under_way is not None:
            await under_way.wait()

    async def drain(self) -> None:
        """Begin nothing, and return when what is under way has ended or rests."""
        self._draining = True
        await self._idle.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            while not self._draining:
                try:
                    for purchase_id in await self._store.owing_purchases(PURCHASES_PER_LOOK):
                        self.owe(purchase_id)
                except StoreUnavailable:
                    self._log.warning("payments_wait")
                await trio.sleep(LOOK_INTERVAL_S)

    async def _pay_all(self, purchase_id: UUID) -> None:
        try:
            await self._pay_in_order(purchase_id)
        except Exception:
            # A fault of ours: this purchase waits for the next look, and nobody else for it.
            self._log.exception("payment_crashed", purchase_id=str(purchase_id))
        finally:
            self._paying.pop(purchase_id).set()
            if not self._paying:
                self._idle.set()
            if purchase_id in self._owed_again:
                self._owed_again.remove(purchase_id)
                self.owe(purchase_id)

    async def _pay_in_order(self, purchase_id: UUID) -> None:
        while True:
            try:
                owed = await self._store.owed(purchase_id)
                if owed is None:
                    return
                pause_s = await self._pay(owed)
            except StoreUnavailable:
                pause_s = OUTAGE_PAUSE_S
            if pause_s:
                self._paying[purchase_id].set()
            if self._draining:
                return
            await trio.sleep(pause_s)

    async def _pay(self, owed: OwedPayment) -> float:
        """Once; how long to wait before looking what it owes now."""
        refusal = await self._till.pay(owed)
        if refusal is None:
            await self._store.payment_done(owed.purchase_id, owed.step)
            return 0.0
        if refusal.code in _NO_ATTEMPT:
            return OUTAGE_PAUSE_S
        failures = owed.failures + 1
        last = failures >= ATTEMPTS_MAX
        letter_id = self._chance.uuid7(self._chance.now()) if last else None
        log = self._log.error if last else self._log.warning
        log("payment_refused", purchase_id=str(owed.purchase_id), code=refusal.code, dead=last)
        await self._store.payment_failed(owed.purchase_id, owed.step, refusal.code, letter_id)
        return 0.0 if last else BACKOFF_S[failures - 1]
