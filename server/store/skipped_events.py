"""Events that one consumer cannot take: recorded with the reason, so that they hold up no others,
and seen by `tiproom ledger verify` and by an admin until they are retried."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from protocol import tip_activated
from protocol.codec import field_path
from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import TipActivated
from server.store import queries
from server.store.database import Connection, Database, is_storable

REASON_LENGTH_MAX: Final = 200

_log = structlog.get_logger("tiproom.store.events")


class SkippedEvent(msgspec.Struct, frozen=True, rename="camel"):
    """`seq`: its place in the outbox, null once its month was moved away; then it cannot be
    retried any more."""

    consumer: str
    tip_id: str
    seq: int | None
    reason: str
    skipped_at: datetime


class PostgresSkippedEvents:
    """What an admin sees of them, and does about them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, after: tuple[str, str], limit: int) -> list[SkippedEvent]:
        """By consumer and tipId, those after `after`."""
        rows = await self._database.run(_fetch, queries.LIST_SKIPPED_EVENTS, *after, limit)
        return [SkippedEvent(**dict(row)) for row in rows]

    async def retry(self, consumer: str, tip_id: str) -> None:
        """Hand it to the consumer again, with the relay's next pass. Raises Refused:
        SKIPPED_EVENT_UNKNOWN, also when its month was moved away."""
        if not (is_storable(consumer) and is_storable(tip_id)):
            raise Refused(ErrorCode.SKIPPED_EVENT_UNKNOWN)
        await self._database.run(_retry, consumer, tip_id)


def readable(rows: Iterable[asyncpg.Record]) -> tuple[list[TipActivated], dict[str, str]]:
    """Of rows of the outbox: the events, and by tipId why the others are none."""
    events: list[TipActivated] = []
    reasons: dict[str, str] = {}
    for row in rows:
        try:
            event = tip_activated.decode(row["event"])
        except msgspec.ValidationError as error:  # its text may quote what is stored
            reasons[row["tip_id"]] = f"no TipActivated: {field_path(error) or 'no object'}"
        except msgspec.DecodeError:
            reasons[row["tip_id"]] = "no TipActivated: it cannot be decoded"
        else:
            if event.tip_id == row["tip_id"]:
                events.append(event)
            else:
                reasons[row["tip_id"]] = "the TipActivated of another tip"
    return events, reasons


async def skip_events(connection: Connection, consumer: str, reasons: Mapping[str, str]) -> None:
    """Record, by tipId, why `consumer` does not get these events. The same again changes
    nothing."""
    if not reasons:
        return
    for tip_id, reason in reasons.items():
        _log.error("event_skipped", consumer=consumer, tip_id=tip_id, reason=reason)
    texts = [reason[:REASON_LENGTH_MAX] for reason in reasons.values()]
    await connection.execute(queries.SKIP_EVENTS, consumer, list(reasons), texts)


async def _retry(connection: Connection, consumer: str, tip_id: str) -> None:
    async with connection.transaction():
        # Before anything is looked at: the relay moves the cursor under the same lock.
        await connection.execute(queries.LOCK_CONSUMER, consumer)
        seq = await connection.fetchval(queries.RETRY_SKIPPED_EVENT, consumer, tip_id)
        if seq is None:
            raise Refused(ErrorCode.SKIPPED_EVENT_UNKNOWN)
        await connection.execute(queries.LOWER_CURSOR, consumer, seq - 1)


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)
