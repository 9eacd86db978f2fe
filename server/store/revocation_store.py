"""Revoked tokens, kept over a restart."""

from typing import Any

from protocol.errors import ErrorCode, Refused
from server.store import queries
from server.store.database import Connection, Database, is_storable


class PostgresRevocations:
    """Of each user the newest; raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_all(self) -> dict[str, int]:
        """userId -> up to which second of issue its tokens are void."""
        rows = await self._database.run(_fetch, queries.LIST_REVOCATIONS)
        return {row["user_id"]: row["void_until_s"] for row in rows}

    async def save(self, user_id: str, void_until_s: int, who: str, reason: str) -> None:
        """The same again changes nothing, an older one neither. Raises Refused with INVALID_FIELD
        for a reason that PostgreSQL cannot hold."""
        if not is_storable(reason):
            raise Refused(ErrorCode.INVALID_FIELD, "reason")
        await self._database.run(
            _execute, queries.SAVE_REVOCATION, user_id, void_until_s, who, reason
        )


async def _fetch(connection: Connection, sql: str) -> list[Any]:
    return list(await connection.fetch(sql))


async def _execute(connection: Connection, sql: str, *args: Any) -> None:
    await connection.execute(sql, *args)
