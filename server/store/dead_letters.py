"""Dead letters: targets that got no command through, and what an admin decided about them.

A letter is written with the audit record that says DEAD, in one transaction; so is the outcome of
what was requeued. Each is decided once.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog

from actors.ports import Requeued
from protocol import tip_activated
from protocol.audit import FINAL_STATES, AuditRecord, TargetRecord, TargetState
from protocol.errors import ErrorCode, Refused
from server.store import queries
from server.store.database import Connection, Database, is_storable

_log = structlog.get_logger("tiproom.store.dead_letters")


class DeadLetterState(StrEnum):
    OPEN = "open"
    REQUEUED = "requeued"
    DISMISSED = "dismissed"


class DeadLetter(msgspec.Struct, frozen=True, rename="camel"):
    """One dead target of one tip. `requeue`: how often it had been requeued when it died.
    `outcome`: the final state of what was requeued, null while it is under way. `broadcastId` is
    null once the month of the tip was moved away. Times are UTC."""

    record_id: UUID
    tip_id: str
    room_id: str
    broadcast_id: str | None
    target_type: str
    target_id: str
    requeue: int
    attempts: int
    reason: str | None
    died_at: datetime
    state: DeadLetterState
    decided_by: str | None
    decided_at: datetime | None
    note: str | None
    outcome: TargetState | None


class PostgresDeadLetters:
    """What an admin sees of them. A requeue is the room's: `PostgresRooms.requeue`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_page(
        self, state: DeadLetterState, after: UUID | None, limit: int
    ) -> list[DeadLetter]:
        """The oldest first, from the one behind `after` on."""
        rows = await self._database.run(_fetch, queries.LIST_DEAD_LETTERS, state, after, limit)
        return [_letter(row) for row in rows]

    async def load(self, letter_id: UUID) -> DeadLetter:
        """Raises Refused with DEAD_LETTER_UNKNOWN."""
        rows = await self._database.run(_fetch, queries.LOAD_DEAD_LETTER, letter_id)
        if not rows:
            raise Refused(ErrorCode.DEAD_LETTER_UNKNOWN)
        return _letter(rows[0])

    async def dismiss(self, letter_id: UUID, who: str, note: str) -> None:
        """Raises Refused: DEAD_LETTER_UNKNOWN, DEAD_LETTER_DECIDED; INVALID_FIELD for a note that
        PostgreSQL cannot hold."""
        await self._database.run(_dismiss, letter_id, who, note)


async def follow_audit(connection: Connection, appended: Sequence[AuditRecord]) -> None:
    """In the transaction that has appended these: what died becomes a letter, what was requeued
    and has ended is the outcome of one."""
    records = [each for each in appended if isinstance(each, TargetRecord)]
    died = [each for each in records if each.state is TargetState.DEAD]
    if died:
        ids, times = [each.record_id for each in died], [each.at_utc for each in died]
        await connection.execute(queries.ADD_DEAD_LETTERS, ids, times)
    ended = [each for each in records if each.requeue > 0 and each.state in FINAL_STATES]
    if ended:
        await connection.execute(
            queries.END_REQUEUES,
            [each.tip_id for each in ended],
            [each.target_type for each in ended],
            [each.target_id for each in ended],
            [each.requeue for each in ended],
            [each.state for each in ended],
        )


async def requeue(
    connection: Connection, letter_id: UUID, decision_id: UUID, who: str, note: str
) -> Requeued:
    """See actors.ports.RoomStore.requeue."""
    _check_note(note)
    async with connection.transaction():  # an event that cannot be read leaves the letter open
        await connection.execute(queries.REQUEUE_DEAD_LETTER, letter_id, decision_id, who, note)
        row = await connection.fetchrow(queries.LOAD_REQUEUED, letter_id, decision_id)
        if row is None:
            await _raise_if_decided(connection, letter_id)
            raise Refused(ErrorCode.BROADCAST_STALE)
        return _requeued(row)


async def readable_requeues(
    connection: Connection, rows: Sequence[asyncpg.Record]
) -> list[Requeued]:
    """Those whose event can be read. The others end SKIPPED here: they must not keep their room
    down."""
    found: list[Requeued] = []
    unreadable: list[UUID] = []
    for row in rows:
        try:
            found.append(_requeued(row))
        except msgspec.DecodeError:
            unreadable.append(row["record_id"])
            _log.error("requeue_skipped", record_id=str(row["record_id"]), tip_id=row["tip_id"])
    if unreadable:
        await connection.execute(queries.SKIP_REQUEUED, unreadable)
    return found


def _requeued(row: asyncpg.Record) -> Requeued:
    return Requeued(
        letter_id=row["record_id"],
        event=tip_activated.decode(row["event"]),
        target_type=row["target_type"],
        target_id=row["target_id"],
        number=row["requeue"] + 1,
        requeued_at_utc=row["decided_at"],
    )


async def _dismiss(connection: Connection, letter_id: UUID, who: str, note: str) -> None:
    _check_note(note)
    if not await connection.fetchval(queries.DISMISS_DEAD_LETTER, letter_id, who, note):
        await _raise_if_decided(connection, letter_id)


async def _raise_if_decided(connection: Connection, letter_id: UUID) -> None:
    state = await connection.fetchval(queries.STATE_OF_DEAD_LETTER, letter_id)
    if state is None:
        raise Refused(ErrorCode.DEAD_LETTER_UNKNOWN)
    if state != DeadLetterState.OPEN:
        raise Refused(ErrorCode.DEAD_LETTER_DECIDED)


def _check_note(note: str) -> None:
    if not is_storable(note):
        raise Refused(ErrorCode.INVALID_FIELD, "note")


def _letter(row: asyncpg.Record) -> DeadLetter:
    return DeadLetter(
        **{
            **dict(row),
            "state": DeadLetterState(row["state"]),
            "outcome": None if row["outcome"] is None else TargetState(row["outcome"]),
        }
    )


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)
