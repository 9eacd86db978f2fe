"""Viewers: who they are, what they wish, what they have."""

import asyncpg

from actors.ports import UserRecord, ViewerRecord
from protocol.gating import Preferences
from protocol.tip_activated import MembershipTier
from server.store import queries
from server.store.database import Connection, Database, is_storable
from server.store.device_store import load_overrides


class PostgresMembers:
    """Implements actors.ports.MemberStore, and registers users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_viewer(self, user_id: str) -> ViewerRecord:
        """See the port."""
        return await self._database.run(_load_viewer, user_id)

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


async def _load_viewer(connection: Connection, user_id: str) -> ViewerRecord:
    row = await connection.fetchrow(queries.LOAD_VIEWER, user_id)
    assert row is not None  # the query always gives one
    wishes = (
        Preferences()
        if row["react_to_my_tips"] is None
        else Preferences(row["react_to_my_tips"], row["feel_all_tips"])
    )
    return ViewerRecord(wishes, row["balance"], await load_overrides(connection, user_id))


async def _fetch_row(connection: Connection, query: str, user_id: str) -> asyncpg.Record | None:
    return await connection.fetchrow(query, user_id)


async def _execute(connection: Connection, query: str, *args: str) -> None:
    await connection.execute(query, *args)
