"""Viewers: who they are, what they wish, what they have."""

from collections.abc import Sequence
from typing import Final

import asyncpg
import msgspec

from actors.batches import Batches
from actors.ports import UserRecord, ViewerRecord
from protocol.devices import Overrides
from protocol.gating import Preferences
from protocol.tip_activated import MembershipTier
from server.store import queries
from server.store.database import Connection, Database, is_storable

_decode_overrides: Final = msgspec.json.Decoder(Overrides).decode


class PostgresMembers:
    """Implements actors.ports.MemberStore, and registers users."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._viewers = Batches(self._load_viewers)

    async def load_viewer(self, user_id: str) -> ViewerRecord:
        """See the port. Members who join together are read together."""
        return await self._viewers.do(user_id)

    async def _load_viewers(self, user_ids: Sequence[str]) -> list[ViewerRecord]:
        return await self._database.run(_load_viewers, user_ids)

    async def load_user(self, user_id: str) -> UserRecord | None:
        """None: the platform never registered such a user."""
        row = await self._database.run(_fetch_row, queries.LOAD_USER, user_id)
        if row is None:
            return None
        return UserRecord(user_id, row["username"], MembershipTier(row["membership_tier"]))

    async def save_user(self, user: UserRecord) -> None:
        """Register a user, with an empty wallet, or change name and tier. Raises ValueError for a
        username that PostgreSQL cannot hold (NUL)."""
        if not is_storable(user.username):
            raise ValueError("a username must not contain NUL")
        await self._database.run(
            _execute, queries.SAVE_USER, user.user_id, user.username, user.membership_tier
        )


async def _load_viewers(connection: Connection, user_ids: Sequence[str]) -> list[ViewerRecord]:
    rows = await connection.fetch(queries.LOAD_VIEWERS, user_ids)
    viewers = {row["user_id"]: _viewer(row) for row in rows}
    return [viewers[user_id] for user_id in user_ids]


def _viewer(row: asyncpg.Record) -> ViewerRecord:
    wishes = (
        Preferences()
        if row["react_to_my_tips"] is None
        else Preferences(row["react_to_my_tips"], row["feel_all_tips"])
    )
    overrides = {} if row["overrides"] is None else _decode_overrides(row["overrides"])
    return ViewerRecord(wishes, row["balance"], overrides)


async def _fetch_row(connection: Connection, query: str, user_id: str) -> asyncpg.Record | None:
    return await connection.fetchrow(query, user_id)


async def _execute(connection: Connection, query: str, *args: str) -> None:
    await connection.execute(query, *args)
