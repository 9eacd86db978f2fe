"""Rooms, their broadcasts and menus, what they have not finished, and their audit."""

import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from actors.ports import Broadcast, ModelToySent, PendingActivation, Requeued, RoomRecord
from protocol.audit import AuditRecord, Reason, TargetRecord, TargetState, ToyTestRecord
from protocol.errors import ErrorCode, Refused
from protocol.gating import Preferences
from protocol.tip_activated import LovenseMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import ModelSettings, PlatformSettings
from server.store import queries
from server.store.database import Connection, Database, is_storable
from server.store.dead_letters import follow_audit, readable_requeues, requeue
from server.store.device_store import load_overrides
from server.store.skipped_events import readable, skip_events
from server.store.tip_menu_store import load_menu, save_menu

ROOM: Final = "room"
"""The toy layer's name in the table event_consumers."""
_KEPT_ON_AIR: Final = "TR001"
"""SQLSTATE of refuse_end_while_performing() (migrations/0011_menus_and_stage.sql)."""

_AUDIT_COLUMNS: Final = (
    "record_id",
    "tip_id",
    "event_id",
    "ledger_id",
    "room_id",
    "target_type",
    "target_id",
    "attempt",
    "state",
    "reason",
    "code",
    "call",
    "fit",
    "merged_into",
    "tipper_id",
    "latency_ms",
    "requeue",
    "test_id",
    "menu_row_id",
    "at_utc",
)


class PostgresRooms:
    """Implements actors.ports.RoomStore, and registers models and rooms."""

    def __init__(self, database: Database, auditing: Database) -> None:
        """`auditing`: connections that only the audit uses."""
        self._database = database
        self._auditing = auditing

    async def load_room(self, room_id: str) -> RoomRecord | None:
        """See the port."""
        return await self._database.run(_load_room, room_id)

    async def start_broadcast(self, room_id: str, broadcast: Broadcast) -> None:
        """The same start again is no error. Raises Refused: BROADCAST_ACTIVE while another one is
        open, BROADCAST_STALE for an id that was used before, ROOM_UNKNOWN."""
        try:
            await self._database.run(_start_broadcast, room_id, broadcast)
        except asyncpg.UniqueViolationError as error:
            raise Refused(ErrorCode.BROADCAST_ACTIVE) from error
        except asyncpg.ForeignKeyViolationError as error:
            raise Refused(ErrorCode.ROOM_UNKNOWN) from error

    async def end_broadcast(self, room_id: str, broadcast_id: str) -> None:
        """The same end again is no error. Raises Refused with STAGE_PERFORMING."""
        try:
            await self._database.run(_execute, queries.END_BROADCAST, room_id, broadcast_id)
        except asyncpg.PostgresError as error:
            if error.sqlstate != _KEPT_ON_AIR:
                raise
            raise Refused(ErrorCode.STAGE_PERFORMING) from error

    async def save_toys_paused(self, broadcast_id: str, paused: bool) -> None:
        """See the port."""
        await self._database.run(_execute, queries.SAVE_TOYS_PAUSED, broadcast_id, paused)

    async def save_preferences(self, user_id: str, preferences: Preferences) -> None:
        """Of any user; they hold in every room."""
        await self._database.run(
            _execute,
            queries.SAVE_PREFERENCES,
            user_id,
            preferences.react_to_my_tips,
            preferences.feel_all_tips,
        )

    async def requeue(self, letter_id: UUID, decision_id: UUID, who: str, note: str) -> Requeued:
        """See the port."""
        return await self._database.run(requeue, letter_id, decision_id, who, note)

    async def append_audit(self, records: Sequence[AuditRecord], finished: Sequence[str]) -> None:
        """See the port."""
        await self._auditing.run(_append_audit, records, finished)

    async def add_model(self, model_id: str, display_name: str, settings: ModelSettings) -> None:
        """A model who is there already keeps what she has."""
        await self._database.run(
            _execute, queries.ADD_MODEL, model_id, display_name, _json(settings)
        )

    async def add_room(self, room_id: str, model_id: str) -> None:
        """A room that is there already stays as it is."""
        await self._database.run(_execute, queries.ADD_ROOM, room_id, model_id)

    async def save_tip_menu(self, model_id: str, rows: Sequence[TipMenuRow]) -> None:
        """The whole menu, in place of the old one. Two active rows of one amount violate a
        constraint."""
        await self._database.run(_save_tip_menu, model_id, rows)


async def _execute(connection: Connection, query: str, *args: Any) -> None:
    await connection.execute(query, *args)


async def _load_room(connection: Connection, room_id: str) -> RoomRecord | None:
    """Several statements, one view of the data: menu, settings and pending events fit together. An
    event that cannot be read is skipped: it must not keep its room down."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        room = await connection.fetchrow(queries.LOAD_ROOM, room_id)
        if room is None:
            return None
        menu = await load_menu(connection, room["model_id"])
        events = await connection.fetch(queries.PENDING_EVENTS_OF_ROOM, room_id)
        tip_ids = [row["tip_id"] for row in events]
        audit = await connection.fetch(queries.AUDIT_OF_TIPS, tip_ids) if tip_ids else []
        sent = await connection.fetchrow(queries.LAST_MODEL_TOY_SENT, room_id)
        requeued = await connection.fetch(queries.REQUEUED_OF_ROOM, room_id)
        model_overrides = await load_overrides(connection, room["model_id"])
    pending, unreadable = readable(events)
    await skip_events(connection, ROOM, unreadable)
    requeues = await readable_requeues(connection, requeued)
    records: dict[str, list[TargetRecord]] = {tip_id: [] for tip_id in tip_ids}
    for row in audit:
        records[row["tip_id"]].append(audit_record(row))
    stored = room["platform_settings"]
    return RoomRecord(
        room_id=room_id,
        model_id=room["model_id"],
        model_display_name=room["display_name"],
        broadcast=None
        if room["broadcast_id"] is None
        else Broadcast(room["broadcast_id"], LovenseMode(room["lovense_mode"])),
        model_settings=msgspec.json.decode(room["settings"], type=ModelSettings),
        platform_settings=PlatformSettings()
        if stored is None
        else msgspec.json.decode(stored, type=PlatformSettings),
        tip_menu=menu,
        pending=tuple(PendingActivation(event, tuple(records[event.tip_id])) for event in pending),
        toys_paused=room["toys_paused"],
        model_toy_sent=None
        if sent is None
        else ModelToySent(sent["tip_id"], sent["at_utc"], sent["seconds"]),
        requeued=tuple(requeues),
        model_overrides=model_overrides,
    )


async def _start_broadcast(connection: Connection, room_id: str, broadcast: Broadcast) -> None:
    key = (broadcast.broadcast_id, room_id, broadcast.lovense_mode)
    if await connection.fetchval(queries.START_BROADCAST, *key):
        return
    if not await connection.fetchval(queries.IS_BROADCAST_OPEN, *key):
        raise Refused(ErrorCode.BROADCAST_STALE)


async def _append_audit(
    connection: Connection, records: Sequence[AuditRecord], finished: Sequence[str]
) -> None:
    try:
        async with connection.transaction():
            if records:
                await connection.copy_records_to_table(
                    "activation_audit",
                    records=[_audit_row(record) for record in records],
                    columns=_AUDIT_COLUMNS,
                )
                await follow_audit(connection, records)
            if finished:
                await connection.execute(queries.FINISH_EVENTS, ROOM, list(finished))
    except asyncpg.UniqueViolationError as error:
        # Of whichever month's partition.
        if not re.fullmatch(r"activation_audit_\w+_pkey", error.constraint_name or ""):
            raise
        # The same write again, because its success was not heard of: all of it is there.


async def _save_tip_menu(connection: Connection, model_id: str, rows: Sequence[TipMenuRow]) -> None:
    async with connection.transaction():
        await save_menu(connection, model_id, rows)


def _audit_row(record: AuditRecord) -> tuple[Any, ...]:
    if isinstance(record, ToyTestRecord):
        return _toy_test_row(record)
    return (
        record.record_id,
        record.tip_id,
        record.event_id,
        record.ledger_id,
        record.room_id,
        record.target_type,
        record.target_id,
        record.attempt,
        record.state,
        record.reason,
        _page_code(record.code),
        None if record.call is None else _json(record.call),
        None if record.fit is None else _json(record.fit),
        record.merged_into,
        record.tipper_id,
        record.latency_ms,
        record.requeue,
        None,
        None,
        record.at_utc,
    )


def _toy_test_row(record: ToyTestRecord) -> tuple[Any, ...]:
    return (
        record.record_id,
        None,
        None,
        None,
        record.room_id,
        "MODEL_TOY",
        record.model_id,
        1,
        record.state,
        record.reason,
        _page_code(record.code),
        None if record.call is None else _json(record.call),
        None if record.fit is None else _json(record.fit),
        None,
        None,
        None,
        0,
        record.test_id,
        record.row_id,
        record.at_utc,
    )


def _page_code(code: str | None) -> str | None:
    """A page may report anything; it must not keep the records beside it from being written."""
    if code is None or is_storable(code):
        return code
    return code.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def audit_record(row: asyncpg.Record) -> TargetRecord:
    return TargetRecord(
        record_id=row["record_id"],
        tip_id=row["tip_id"],
        event_id=row["event_id"],
        ledger_id=row["ledger_id"],
        room_id=row["room_id"],
        target_type=row["target_type"],
        target_id=row["target_id"],
        attempt=row["attempt"],
        state=TargetState(row["state"]),
        reason=None if row["reason"] is None else Reason(row["reason"]),
        code=row["code"],
        call=None if row["call"] is None else msgspec.json.decode(row["call"]),
        fit=None if row["fit"] is None else msgspec.json.decode(row["fit"]),
        merged_into=row["merged_into"],
        tipper_id=row["tipper_id"],
        latency_ms=row["latency_ms"],
        requeue=row["requeue"],
        at_utc=row["at_utc"],
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
