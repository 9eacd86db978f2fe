"""Mood messages as people see them: page by page, the dead letters, and in numbers."""

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from protocol.errors import ErrorCode, Refused
from protocol.mood_messages import AuthorKind, MessageState, MessageType, Mood
from protocol.tip_activated import MembershipTier
from server.store import message_queries as queries
from server.store.database import Connection, Database
from server.store.rows import read_rows


class MoodMessage(msgspec.Struct, frozen=True, rename="camel"):
    """One message. Of a thanks (`public_micro`) `recipientId` is the tipper. `answers`: the unread
    message that an `escalation_auto` follows. `reason`: why it failed. Times are UTC; null: it has
    not come to it."""

    message_id: UUID
    message_type: MessageType
    author_kind: AuthorKind
    author_id: str
    author_name: str
    recipient_id: str
    room_id: str | None
    model_id: str | None
    tip_id: str | None
    answers: UUID | None
    tier: MembershipTier
    priority: int
    mood: Mood
    mood_confidence: int
    content: str
    template_id: str | None
    template_version: int | None
    state: MessageState
    reason: str | None
    attempts: int
    created_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    failed_at: datetime | None


class DeadMessage(msgspec.Struct, frozen=True, rename="camel"):
    """A message that could not be sent. Who has looked into it, and what came of that; null:
    nobody has."""

    message: MoodMessage
    dismissed_by: str | None
    dismissed_at: datetime | None
    note: str | None


class MessageFilter(msgspec.Struct, frozen=True):
    message_type: MessageType | None = None
    mood: Mood | None = None


class MessageAnalytics(msgspec.Struct, frozen=True, rename="camel"):
    """Messages that were taken in the window. `deliverySuccess`: of those whose fate is known
    (delivered, read, failed) the share that arrived, 0..1; null where there are none."""

    total: int
    by_mood: dict[str, int]
    by_tier: dict[str, int]
    by_state: dict[str, int]
    delivery_success: float | None


class PostgresMessageReads:
    """Answers `GET /mood-messages` and what belongs to it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_page(
        self, user_id: str, wanted: MessageFilter, before: UUID | None, limit: int
    ) -> list[MoodMessage]:
        """By this user and to him, the newest first, from the one behind `before` on; nothing for
        an unknown `before`. What is still to come to him is not among them."""
        rows = await self._database.run(
            _fetch,
            queries.LIST_MESSAGES,
            user_id,
            before,
            wanted.message_type,
            wanted.mood,
            limit,
        )
        return read_rows(rows, MoodMessage)

    async def load(self, message_id: UUID, user_id: str | None) -> MoodMessage:
        """`user_id`: whose it must be; None: staff. Raises Refused with MESSAGE_UNKNOWN."""
        rows = await self._database.run(_fetch, queries.LOAD_MESSAGE, message_id, user_id)
        if not rows:
            raise Refused(ErrorCode.MESSAGE_UNKNOWN)
        return read_rows(rows, MoodMessage)[0]

    async def load_failed(
        self, after: UUID | None, limit: int, *, dismissed: bool = False
    ) -> list[DeadMessage]:
        """The dead letters that nobody has looked into yet, or else those that somebody has; the
        oldest first."""
        rows = await self._database.run(
            _fetch, queries.LIST_FAILED_MESSAGES, after, limit, dismissed
        )
        return _dead(rows)

    async def dismiss_failed(self, message_id: UUID, who: str, note: str) -> DeadMessage:
        """Once. Raises Refused: DEAD_LETTER_UNKNOWN, DEAD_LETTER_DECIDED."""
        decided = await self._database.run(
            _fetch, queries.DISMISS_FAILED_MESSAGE, message_id, who, note
        )
        found = await self._database.run(_fetch, queries.LOAD_FAILED_MESSAGE, message_id)
        if not found:
            raise Refused(ErrorCode.DEAD_LETTER_UNKNOWN)
        if not decided:
            raise Refused(ErrorCode.DEAD_LETTER_DECIDED)
        return _dead(found)[0]

    async def load_analytics(self, from_utc: datetime, to_utc: datetime) -> MessageAnalytics:
        """Of `from_utc` <= taken < `to_utc`."""
        rows = await self._database.run(_fetch, queries.COUNT_MESSAGES, from_utc, to_utc)
        counts: dict[str, Counter[str]] = {"mood": Counter(), "tier": Counter(), "state": Counter()}
        for row in rows:
            for name, counter in counts.items():
                counter[row[name]] += row["messages"]
        states = counts["state"]
        arrived = states[MessageState.DELIVERED] + states[MessageState.READ]
        known = arrived + states[MessageState.FAILED]
        return MessageAnalytics(
            total=states.total(),
            by_mood=_sorted(counts["mood"]),
            by_tier=_sorted(counts["tier"]),
            by_state=_sorted(states),
            delivery_success=arrived / known if known else None,
        )


def _dead(rows: list[asyncpg.Record]) -> list[DeadMessage]:
    return [
        DeadMessage(message, row["dismissed_by"], row["dismissed_at"], row["note"])
        for row, message in zip(rows, read_rows(rows, MoodMessage), strict=True)
    ]


def _sorted(counted: Counter[str]) -> dict[str, int]:
    return {name: counted[name] for name in sorted(counted) if counted[name]}


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)
