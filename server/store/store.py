"""All repositories and their connections: what the application opens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from server.store.bridge import Bridge
from server.store.database import Connection, Database, open_database
from server.store.ledger_store import PostgresLedger, PostgresLoyalty
from server.store.member_store import PostgresMembers
from server.store.room_store import PostgresRooms
from server.store.settings_store import PostgresSettings
from server.store.trace import PostgresTraces

SETTLING_CONNECTIONS: Final = 2
AUDITING_CONNECTIONS: Final = 1
"""Reserved: neither a burst of joins nor of rooms coming up can make a settlement wait."""


class Store:
    """The repositories; each may be handed on alone, as the port that it implements."""

    def __init__(self, database: Database, settling: Database, auditing: Database) -> None:
        self._database = database
        self.ledger = PostgresLedger(database, settling)
        self.loyalty = PostgresLoyalty(database)
        self.rooms = PostgresRooms(database, auditing)
        self.members = PostgresMembers(database)
        self.settings = PostgresSettings(database)
        self.traces = PostgresTraces(database)

    async def check(self) -> None:
        """Raises StoreUnavailable unless the database answers; for /readyz."""
        await self._database.run(_answer)


@asynccontextmanager
async def open_store(dsn: str, bridge: Bridge) -> AsyncIterator[Store]:
    """The store of a migrated database, as long as the block. Raises StoreUnavailable when nobody
    answers at `dsn`."""
    async with (
        open_database(dsn, bridge) as database,
        open_database(dsn, bridge, SETTLING_CONNECTIONS) as settling,
        open_database(dsn, bridge, AUDITING_CONNECTIONS) as auditing,
    ):
        yield Store(database, settling, auditing)


async def _answer(connection: Connection) -> None:
    await connection.fetchval("SELECT 1")
