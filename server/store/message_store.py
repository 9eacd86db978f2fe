"""Mood messages: what the actors of messaging write and take up again."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from actors.messaging.ports import (
    Message,
    MessageChange,
    Parties,
    RoomMood,
    ThanksFacts,
    UnreadMessage,
)
from protocol.errors import ErrorCode, Refused
from protocol.message_templates import RECENT_MAX, Template
from protocol.mood_messages import (
    FORWARD,
    NEUTRAL,
    OFFLINE_DAYS_MAX,
    DetectedMood,
    MessageState,
    Mood,
)
from protocol.tip_activated import TipActivated
from server.store import message_queries as queries
from server.store.database import Connection, Database
from server.store.rows import read_rows
from server.store.skipped_events import skip_events
from server.store.template_store import read_templates

MESSAGING: Final = "messaging"
"""Its name in the table event_consumers."""

_BEFORE: Final = {
    new: [old for old, followers in FORWARD.items() if new in followers] for new in MessageState
}


class PostgresMessages:
    """Implements actors.messaging.ports.MessageStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_templates(self) -> list[Template]:
        return read_templates(await self._database.run(_fetch, queries.LOAD_TEMPLATES))

    async def load_facts(self, user_ids: Sequence[str], room_ids: Sequence[str]) -> ThanksFacts:
        return await self._database.run(_load_facts, user_ids, room_ids)

    async def record_thanks(
        self, events: Sequence[TipActivated], thanks: Sequence[Message]
    ) -> set[str]:
        """See the port. An event that the database refuses is found in parts and skipped alone
        (skipped_events.py)."""
        try:
            rows = await self._database.run(
                _count_templates,
                queries.RECORD_THANKS,
                _json(thanks),
                [event.tip_id for event in events],
                [event.model.model_id for event in events],
                [event.tipper.user_id for event in events],
            )
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.exceptions.DataError) as error:
            if len(events) == 1:
                reason = f"refused by the database: {type(error).__name__}"
                await self._database.run(skip_events, MESSAGING, {events[0].tip_id: reason})
                return set()
            half = len(events) // 2
            first = await self.record_thanks(events[:half], _of(events[:half], thanks))
            return first | await self.record_thanks(events[half:], _of(events[half:], thanks))
        return {row["tip_id"] for row in rows}

    async def load_parties(self, author_id: str, recipient_id: str) -> Parties:
        rows = await self._database.run(_fetch, queries.LOAD_PARTIES, author_id, recipient_id)
        return read_rows(rows, Parties)[0]

    async def add_message(self, message: Message, per_min_max: int | None) -> Message:
        return await self._database.run(_add_message, message, per_min_max)

    async def load_request(self, author_id: str, request_id: str) -> Message | None:
        rows = await self._database.run(_fetch, queries.LOAD_REQUEST, author_id, request_id)
        return next(iter(read_rows(rows, Message)), None)

    async def load_unsent(self, overdue_s: float | None, limit: int) -> list[Message]:
        rows = await self._database.run(_fetch, queries.LOAD_UNSENT, overdue_s, limit)
        return read_rows(rows, Message)

    async def load_waiting(self, user_ids: Sequence[str], now_utc: datetime) -> list[Message]:
        rows = await self._database.run(_fetch, queries.LOAD_WAITING, user_ids, now_utc)
        return read_rows(rows, Message)

    async def change_messages(self, changes: Sequence[MessageChange]) -> None:
        await self._database.run(_change_messages, changes)

    async def expire_waiting(self) -> int:
        return len(await self._database.run(_fetch, queries.EXPIRE_WAITING, OFFLINE_DAYS_MAX))

    async def load_unread(self, wait_s: float, limit: int) -> list[UnreadMessage]:
        rows = await self._database.run(_fetch, queries.LOAD_UNREAD, wait_s, limit)
        return read_rows(rows, UnreadMessage)

    async def record_escalations(
        self, unread: Sequence[UUID], escalations: Sequence[Message]
    ) -> set[UUID]:
        rows = await self._database.run(
            _count_templates, queries.RECORD_ESCALATIONS, _json(escalations), unread
        )
        return {row["message_id"] for row in rows}

    async def load_running_moods(self) -> list[RoomMood]:
        rows = read_rows(await self._database.run(_fetch, queries.RUNNING_MOODS), RoomMood)
        return [mood for mood in rows if mood.expires_at is not None]


def _of(events: Sequence[TipActivated], thanks: Sequence[Message]) -> list[Message]:
    tip_ids = {event.tip_id for event in events}
    return [message for message in thanks if message.tip_id in tip_ids]


async def _load_facts(
    connection: Connection, user_ids: Sequence[str], room_ids: Sequence[str]
) -> ThanksFacts:
    recent = await connection.fetch(queries.RECENT_TEMPLATES, user_ids, RECENT_MAX)
    moods = await connection.fetch(queries.ROOM_MOODS, room_ids)
    return ThanksFacts(
        recent={
            user_id: tuple(row["template_id"] for row in rows)
            for user_id, rows in groupby(recent, key=lambda row: row["user_id"])
        },
        moods={
            row["room_id"]: DetectedMood(Mood(row["mood"]), row["confidence"])
            if row["holds"]
            else NEUTRAL
            for row in moods
        },
    )


async def _add_message(
    connection: Connection, message: Message, per_min_max: int | None
) -> Message:
    async with connection.transaction():
        await connection.execute(queries.LOCK_AUTHOR, message.author_id)
        if message.request_id is not None:
            rows = await connection.fetch(
                queries.LOAD_REQUEST, message.author_id, message.request_id
            )
            if rows:
                return read_rows(rows, Message)[0]
        if per_min_max is not None:
            recent = await connection.fetchrow(
                queries.RECENT_OF_AUTHOR, message.author_id, per_min_max
            )
            assert recent is not None  # an aggregate
            if recent["messages"] >= per_min_max:
                wait_s = max(0.0, recent["free_in_s"])
                raise Refused(ErrorCode.RATE_LIMITED, retry_after_s=wait_s)
        if message.template_id is not None:
            await connection.execute(queries.LOCK_TEMPLATE_COUNTS)
        await connection.execute(queries.ADD_MESSAGE, _json([message]))
    return message


async def _change_messages(connection: Connection, changes: Sequence[MessageChange]) -> None:
    async with connection.transaction():
        await connection.execute(queries.LOCK_TEMPLATE_COUNTS)
        await connection.executemany(
            queries.CHANGE_MESSAGE,
            [
                (
                    change.message_id,
                    change.state,
                    change.at_utc,
                    change.recipient_id,
                    change.reason,
                    change.attempts,
                    [MessageState.PENDING] if change.state is None else _BEFORE[change.state],
                )
                for change in changes
            ],
        )


async def _count_templates(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    async with connection.transaction():
        await connection.execute(queries.LOCK_TEMPLATE_COUNTS)
        return await connection.fetch(query, *args)


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)


def _json(messages: Sequence[Message]) -> str:
    return msgspec.json.encode(messages).decode()
