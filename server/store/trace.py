"""The whole life of one tip, from the ledger's entries to each target's last attempt."""

from typing import Any

import asyncpg
import msgspec

from actors.ports import TipTrace
from protocol import tip_activated
from protocol.tip_activated import TipActivated
from server.store import queries
from server.store.database import Connection, Database, is_storable
from server.store.room_store import audit_record


class PostgresTraces:
    """Answers `GET /admin/tips/{tipId}`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_tip(self, tip_id: str) -> TipTrace | None:
        """None: no such tip was ever settled."""
        if not is_storable(tip_id):
            return None
        return await self._database.run(_load_tip, tip_id)


async def _load_tip(connection: Connection, tip_id: str) -> TipTrace | None:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        tip = await connection.fetchrow(queries.TRACE_TIP, tip_id)
        if tip is None:
            return None
        entries = await connection.fetch(queries.TRACE_ENTRIES, tip["source_ref"])
        points = await connection.fetch(queries.TRACE_POINTS, tip["source_ref"])
        consumers = await connection.fetch(queries.TRACE_CONSUMERS, tip_id)
        audit = await connection.fetch(queries.AUDIT_OF_TIPS, [tip_id])
    event = _event_or_none(tip["event"])
    return TipTrace(
        tip_id=tip_id,
        settled_at=tip["created_at"],
        event=event,
        unreadable=tip["event"] if event is None else None,
        entries=[_entry(row) for row in entries],
        points=[
            {
                "sourceRef": row["source_ref"],
                "userId": row["user_id"],
                "points": row["points"],
                "createdAt": row["created_at"],
            }
            for row in points
        ],
        consumers=[
            {
                "consumer": row["consumer"],
                "done": row["done"],
                "doneAt": row["done_at"],
                "skipped": row["skipped"],
            }
            for row in consumers
        ],
        targets=[_target(row) for row in audit],
    )


def _event_or_none(stored: str) -> TipActivated | None:
    try:
        return tip_activated.decode(stored)
    except msgspec.DecodeError:
        return None


def _entry(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "entryId": str(row["entry_id"]),
        "accountId": row["account_id"],
        "transfer": row["kind"],
        "sourceRef": row["source_ref"],
        "amount": row["amount"],
        "balanceAfter": row["balance_after"],
        "createdAt": row["created_at"],
    }


def _target(row: asyncpg.Record) -> dict[str, Any]:
    record = audit_record(row)
    return {
        "targetType": record.target_type,
        "targetId": record.target_id,
        "attempt": record.attempt,
        "state": record.state,
        "reason": record.reason,
        "code": record.code,
        "call": record.call,
        "fit": record.fit,
        "mergedInto": record.merged_into,
        "requeue": record.requeue,
        "at": record.at_utc,
    }
