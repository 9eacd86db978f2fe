"""The consumer `loyalty`: credits an item's bonus points, once for ever for each tipId, and takes
them back when the tip is refunded."""

from typing import Final

import structlog
import trio

from actors.ports import LoyaltyStore, StoreUnavailable
from actors.runtime.mailbox import Mailbox, MailboxClosed, MailboxFull
from protocol.tip_activated import TipActivated

MAILBOX_LIMIT: Final = 10_000
BATCH_MAX: Final = 256
CREDIT_INTERVAL_S: Final = 0.05
"""Between two transactions: under load fewer and larger ones. At rest points come at once."""
REFUNDS_INTERVAL_S: Final = 15.0
"""A refund emits no event: the ledger is asked for those whose points are not taken back yet."""


class LoyaltyConsumer:
    """Implements actors.ledger.Consumer; an actor of its own, so that it delays nobody."""

    name: Final = "loyalty"

    def __init__(self, store: LoyaltyStore) -> None:
        self._store = store
        self._mailbox: Mailbox[TipActivated] = Mailbox(MAILBOX_LIMIT)
        self._ended = trio.Event()
        self._log = structlog.get_logger("tiproom.consumers.loyalty")

    def hand(self, event: TipActivated) -> None:
        try:
            self._mailbox.put(event)
        except (MailboxFull, MailboxClosed):
            self._log.warning("left_to_relay", tip_id=event.tip_id)

    async def drain(self) -> None:
        """Take no more, and return when what waits is credited and `run` has ended."""
        self._mailbox.close()
        await self._ended.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        async with trio.open_nursery() as beside:
            beside.start_soon(self._take_back)
            await self._credit()
            beside.cancel_scope.cancel()
        self._ended.set()

    async def _credit(self) -> None:
        while (first := await self._mailbox.get()) is not None:
            began_s = trio.current_time()
            batch = {first.tip_id: first}  # the relay may have handed over what already waited
            while len(batch) < BATCH_MAX and (event := self._mailbox.get_nowait()) is not None:
                batch[event.tip_id] = event
            try:
                await self._store.credit_points(list(batch.values()))
            except StoreUnavailable:
                self._log.error("left_to_relay", tips=len(batch))
            except Exception:
                # A fault of ours: points come late, and nothing else of the server stops for it.
                self._log.exception("left_to_relay", tips=len(batch))
            if not self._mailbox.closed:
                await trio.sleep_until(began_s + CREDIT_INTERVAL_S)

    async def _take_back(self) -> None:
        while True:
            try:
                while await self._store.take_back_points(BATCH_MAX) == BATCH_MAX:
                    pass
            except StoreUnavailable:
                self._log.warning("refunds_wait")
            except Exception:
                self._log.exception("refunds_wait")  # a fault of ours, as above
            await trio.sleep(REFUNDS_INTERVAL_S)
