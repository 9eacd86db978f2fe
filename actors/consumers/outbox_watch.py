"""Wakes those who read the outbox by its seq: webhooks and streams of server-sent events.

It says only that there may be news. What there is, and in which order, a reader asks the outbox,
from its own position on; so nothing is lost with a wake-up that nobody heard.
"""

from typing import Final

import structlog
import trio

from actors.ports import OutboxPosition, StoreUnavailable
from protocol.tip_activated import TipActivated

INTERVAL_S: Final = 1.0
"""How late an event of another server is noticed: one question in this time, for all readers."""


class OutboxWatch:
    """Implements actors.ledger.Consumer, though it consumes nothing: no consumer of the database,
    and none for the relay. A publisher to Redis Streams is one more reader, beside the others: it
    waits for `next_news` and reads the same pages."""

    name: Final = "outbox_watch"

    def __init__(self, outbox: OutboxPosition) -> None:
        self._outbox = outbox
        self._next = trio.Event()
        self._log = structlog.get_logger("tiproom.consumers.outbox_watch")

    @property
    def next_news(self) -> trio.Event:
        """Set by the first news after now. Take it before reading, and wait for it if there was
        nothing to read: what comes in between is not missed."""
        return self._next

    def hand(self, event: TipActivated) -> None:  # noqa: ARG002 - readers ask the outbox
        self.wake()

    def wake(self) -> None:
        """Let all readers look again."""
        self._next.set()
        self._next = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """For what other servers settle; until cancelled."""
        seen = 0
        task_status.started()
        while True:
            try:
                last = await self._outbox.last_seq()
            except StoreUnavailable:
                self._log.warning("outbox_unavailable")
            else:
                if last != seen:
                    seen = last
                    self.wake()
            await trio.sleep(INTERVAL_S)
