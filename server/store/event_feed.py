"""The outbox: every TipActivated in the order of its settlement, for the consumers.

A consumer of ours asks for what it has not *done*, never for what comes after the last: it may do
the later before the earlier. An outside one (a webhook, a stream of server-sent events) reads by
`seq`, which is safe because settlements are single file: a smaller one never commits later.
"""

from typing import Any, Final

import asyncpg
import msgspec
import structlog

from protocol import tip_activated
from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import TipActivated
from server.store import queries
from server.store.database import Connection, Database

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
        self._log = structlog.get_logger("tiproom.store.events")

    async def pending_events(self, consumer: str, limit: int) -> list[TipActivated]:
        """See actors.ports.EventStore. An event that cannot be decoded is logged and set aside, so
        that the others come through."""
        rows = await self._database.run(_fetch_pending, consumer, limit)
        events: list[TipActivated] = []
        for row in rows:
            try:
                events.append(tip_activated.decode(row["event"]))
            except msgspec.DecodeError as error:
                reason = type(error).__name__
                self._log.error("event_set_aside", tip_id=row["tip_id"], reason=reason)
        return events

    async def events_after(self, seq: int, limit: int) -> list[FedEvent]:
        """The next events after `seq` (0: from the first one), in order; all are committed, and
        none will ever come in between. At most `limit`, and PAGE_BYTES_MAX."""
        rows = await self._database.run(_fetch, queries.EVENTS_AFTER, seq, limit, PAGE_BYTES_MAX)
        return [FedEvent(row["seq"], row["tip_id"], row["event"].encode()) for row in rows]

    async def last_seq(self) -> int:
        """Of the newest event, also if its month was moved away; 0 before the first."""
        return await self._database.run(_seq, queries.LAST_EVENT_SEQ)

    async def archived_seq(self) -> int:
        """Of the last event that was moved away with its month; 0: there is none."""
        return await self._database.run(_seq, queries.ARCHIVED_EVENT_SEQ)


async def _fetch_pending(connection: Connection, consumer: str, limit: int) -> list[asyncpg.Record]:
    """The cursor moves up to what is still undone first, so that the search stays short."""
    await connection.execute(queries.ADVANCE_CURSOR, consumer)
    return await connection.fetch(queries.PENDING_EVENTS, consumer, limit)


async def _seq(connection: Connection, query: str) -> int:
    seq: int = await connection.fetchval(query)
    return seq


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)
