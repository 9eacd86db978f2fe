"""Rooms' moods: the newest counts until it expires."""

import asyncpg

from actors.messaging.ports import RoomMood
from protocol.errors import ErrorCode, Refused
from protocol.mood_messages import MOOD_CHANGES_PER_HOUR_MAX, Mood, MoodDraft
from server.store import message_queries as queries
from server.store.database import Connection, Database


class PostgresMoods:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def set_mood(self, room_id: str, draft: MoodDraft, who: str) -> RoomMood:
        """Raises Refused: ROOM_UNKNOWN; RATE_LIMITED past MOOD_CHANGES_PER_HOUR_MAX."""
        return await self._database.run(_set_mood, room_id, draft, who)

    async def load_mood(self, room_id: str) -> RoomMood | None:
        """The one in force; None: nobody has set one, or it has expired. Raises Refused with
        ROOM_UNKNOWN."""
        return await self._database.run(_load_mood, room_id)


async def _set_mood(connection: Connection, room_id: str, draft: MoodDraft, who: str) -> RoomMood:
    async with connection.transaction():
        # Changes of one room that come together: each counts those before it.
        if await connection.fetchval(queries.LOCK_MOOD, room_id) is None:
            raise Refused(ErrorCode.ROOM_UNKNOWN)
        recent = await connection.fetchrow(queries.RECENT_MOODS, room_id, MOOD_CHANGES_PER_HOUR_MAX)
        assert recent is not None  # an aggregate
        if recent["changes"] >= MOOD_CHANGES_PER_HOUR_MAX:
            raise Refused(ErrorCode.RATE_LIMITED, retry_after_s=max(0.0, recent["free_in_s"]))
        row = await connection.fetchrow(
            queries.SET_MOOD, room_id, draft.mood, draft.confidence, who, draft.expires_in_s
        )
        assert row is not None
    return RoomMood(room_id, draft.mood, draft.confidence, row["set_at"], row["expires_at"])


async def _load_mood(connection: Connection, room_id: str) -> RoomMood | None:
    if await connection.fetchval(queries.MOOD_OWNER, room_id) is None:
        raise Refused(ErrorCode.ROOM_UNKNOWN)
    row = await connection.fetchrow(queries.ROOM_MOODS, [room_id])
    assert row is not None  # one for each room
    return _mood(row) if row["holds"] else None


def _mood(row: asyncpg.Record) -> RoomMood:
    return RoomMood(
        row["room_id"], Mood(row["mood"]), row["confidence"], row["set_at"], row["expires_at"]
    )
