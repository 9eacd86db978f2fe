"""The outbox: every TipActivated in the order of its settlement, for the consumers.

A consumer of ours asks for what it has not *done*, never for what comes after the last: it may do
the later before the earlier. An outside one (a webhook, a stream of server-sent events) reads by
`seq`, which is safe because settlements are single file: a smaller one never commits later.
"""

from typing import Final

import asyncpg
import msgspec

from actors.ports import PendingEvents
from protocol.errors import ErrorCode, Refused
from server.store import queries
from server.store.database import Connection, Database
from server.store.skipped_events import readable, skip_events

PAGE_BYTES_MAX: Final = 1 << 20
"""Of events read at once; a single one may be longer. Each reader holds a page."""


class FedEvent(msgspec.Struct, frozen=True):
    """One row of the outbox. `event`: the very bytes that were stored."""

    seq: int
    tip_id: str
    event: bytes


def events_archived(archived_seq: int, field: str) -> Refused:
    """Who asks for what was moved away is told so, and from where on there is something."""
    detail = (
        f"Events up to {archived_seq} were moved away; ask for what comes after {archived_seq}."
    )
    return Refused(ErrorCode.EVENTS_ARCHIVED, field, detail)


class PostgresEvents:
    """Reads the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pending_events(self, consumer: str, after: int, limit: int) -> PendingEvents:
        """See actors.ports.EventStore. An event that cannot be read is skipped for this consumer
        (skipped_events.py)."""
        return await self._database.run(_pending, consumer, after, limit)

    async def events_after(self, seq: int, limit: int) -> list[FedEvent]:
        """The next events after `seq` (0: from the first one), in order; all are committed, and
        none will ever come in between. At most `limit`, and PAGE_BYTES_MAX. Raises Refused:
        EVENTS_ARCHIVED, when some of them have been moved away by now."""
        rows = await self._database.run(_events_after, seq, limit)
        return [FedEvent(row["seq"], row["tip_id"], row["event"].encode()) for row in rows]

    async def last_seq(self) -> int:
        """Of the newest event, also if its month was moved away; 0 before the first."""
        return await self._database.run(_seq, queries.LAST_EVENT_SEQ)

    async def archived_seq(self) -> int:
        """Of the last event that was moved away with its month; 0: there is none."""
        return await self._database.run(_seq, queries.ARCHIVED_EVENT_SEQ)


async def _pending(connection: Connection, consumer: str, after: int, limit: int) -> PendingEvents:
    """The cursor moves up to what is still undone first, so that the search stays short."""
    async with connection.transaction():
        await connection.execute(queries.LOCK_CONSUMER, consumer)
        await connection.execute(queries.ADVANCE_CURSOR, consumer)
    rows = await connection.fetch(queries.PENDING_EVENTS, consumer, after, limit)
    events, unreadable = readable(rows)
    await skip_events(connection, consumer, unreadable)
    return PendingEvents(tuple(events), rows[-1]["seq"] if len(rows) == limit else None)


async def _seq(connection: Connection, query: str) -> int:
    seq: int = await connection.fetchval(query)
    return seq


async def _events_after(connection: Connection, seq: int, limit: int) -> list[asyncpg.Record]:
    rows = await connection.fetch(queries.EVENTS_AFTER, seq, limit, PAGE_BYTES_MAX)
    # Afterwards: what went before the page was read is noticed.
    archived = await connection.fetchval(queries.ARCHIVED_EVENT_SEQ)
    if seq < archived:
        raise events_archived(archived, "after")
    return rows
