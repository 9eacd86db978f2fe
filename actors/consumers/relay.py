"""The relay: hands over again what a consumer has not done, after a crash or a refusal.

It asks for *undone* events, never for "id greater than the last": a transaction that commits late
would be missed that way.
"""

from collections.abc import Sequence
from typing import Final

import structlog
import trio

from actors.ledger import Consumer
from actors.ports import EventStore

INTERVAL_S: Final = 15.0
EVENTS_PER_PASS: Final = 1_000


async def run_relay(
    store: EventStore,
    consumers: Sequence[Consumer],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """At once, and every `INTERVAL_S`, until cancelled. An event that is only still under way is
    handed over again too; to its consumer that is a no-op."""
    log = structlog.get_logger("tiproom.relay")
    task_status.started()
    while True:
        for consumer in consumers:
            try:
                events = await store.pending_events(consumer.name, EVENTS_PER_PASS)
            except Exception as error:  # whatever it is, the next pass may do better
                reason = type(error).__name__
                log.error("relay_pass_failed", consumer=consumer.name, reason=reason)
                continue
            for event in events:
                consumer.hand(event)
        await trio.sleep(INTERVAL_S)
