"""The consumer `loyalty`: credits an item's bonus points, once for ever for each tipId."""

from typing import Final

import structlog
import trio

from actors.ports import LoyaltyStore, StoreUnavailable
from actors.runtime.mailbox import Mailbox, MailboxClosed, MailboxFull
from protocol.tip_activated import TipActivated

MAILBOX_LIMIT: Final = 10_000
BATCH_MAX: Final = 256


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
        while (first := await self._mailbox.get()) is not None:
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
        self._ended.set()
