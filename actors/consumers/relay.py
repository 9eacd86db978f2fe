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
EVENTS_PER_PAGE: Final = 1_000
PAGE_PAUSE_S: Final = 1.0
"""Between two pages of a long backlog: a consumer is to have most of one done before the next."""


async def run_relay(
    store: EventStore,
    consumers: Sequence[Consumer],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """At once, and every `INTERVAL_S`, until cancelled; for each consumer by itself, so that none
    waits for what another has to catch up with. An event that is only still under way is handed
    over again too; to its consumer that is a no-op."""
    async with trio.open_nursery() as nursery:
        for consumer in consumers:
            nursery.start_soon(_relay_to, consumer, store)
        task_status.started()


async def _relay_to(consumer: Consumer, store: EventStore) -> None:
    """Page by page through all that is undone, and then from the beginning: events that stay
    undone (a room that cannot come up) keep none behind them."""
    log = structlog.get_logger("tiproom.relay").bind(consumer=consumer.name)
    after = 0
    while True:
        try:
            page = await store.pending_events(consumer.name, after, EVENTS_PER_PAGE)
        except Exception as error:  # whatever it is, the next pass may do better
            log.error("relay_pass_failed", reason=type(error).__name__)
            await trio.sleep(INTERVAL_S)
            continue
        for event in page.events:
            consumer.hand(event)
        after = page.last or 0
        await trio.sleep(PAGE_PAUSE_S if after else INTERVAL_S)
