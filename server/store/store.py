"""All repositories and their connections: what the application opens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from actors.ledger import LANES
from server.store.account_store import PostgresAccounts
from server.store.bridge import Bridge
from server.store.database import Connection, Database, open_database
from server.store.dead_letters import PostgresDeadLetters
from server.store.device_store import PostgresDevices
from server.store.directory_store import PostgresDirectory
from server.store.event_feed import PostgresEvents
from server.store.history import PostgresHistory
from server.store.ledger_store import PostgresLedger
from server.store.loyalty_store import PostgresLoyalty
from server.store.member_store import PostgresMembers
from server.store.menu_store import PostgresMenus
from server.store.message_reads import PostgresMessageReads
from server.store.message_store import PostgresMessages
from server.store.months import PostgresMonths
from server.store.mood_store import PostgresMoods
from server.store.purchase_store import PostgresPurchases
from server.store.revocation_store import PostgresRevocations
from server.store.room_store import PostgresRooms
from server.store.settings_store import PostgresSettings
from server.store.skipped_events import PostgresSkippedEvents
from server.store.stage_store import PostgresStages
from server.store.template_store import PostgresTemplates
from server.store.tip_menu_store import PostgresTipMenus
from server.store.trace import PostgresTraces
from server.store.webhook_store import PostgresWebhooks

SETTLING_CONNECTIONS: Final = LANES
AUDITING_CONNECTIONS: Final = 1
FEEDING_CONNECTIONS: Final = 2
"""Reserved: neither a burst of joins nor of rooms coming up can make a settlement wait, and
outside systems that read events make nobody wait but each other."""


class Store:
    """The repositories; each may be handed on alone, as the port that it implements."""

    def __init__(
        self, database: Database, settling: Database, auditing: Database, feeding: Database
    ) -> None:
        self._database = database
        self.ledger = PostgresLedger(settling)
        self.accounts = PostgresAccounts(database)
        self.events = PostgresEvents(database)
        self.dead_letters = PostgresDeadLetters(database)
        self.skipped_events = PostgresSkippedEvents(database)
        self.devices = PostgresDevices(database)
        self.history = PostgresHistory(database)
        self.loyalty = PostgresLoyalty(database)
        self.menus = PostgresMenus(database)
        self.months = PostgresMonths(database)
        self.messages = PostgresMessages(database)
        self.message_reads = PostgresMessageReads(database)
        self.templates = PostgresTemplates(database)
        self.moods = PostgresMoods(database)
        self.purchases = PostgresPurchases(database)
        self.rooms = PostgresRooms(database, auditing)
        self.members = PostgresMembers(database)
        self.directory = PostgresDirectory(database)
        self.revocations = PostgresRevocations(database)
        self.settings = PostgresSettings(database)
        self.stages = PostgresStages(database)
        self.tip_menus = PostgresTipMenus(database)
        self.traces = PostgresTraces(database)
        self.feed = PostgresEvents(feeding)
        self.webhooks = PostgresWebhooks(feeding)

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
        open_database(dsn, bridge, FEEDING_CONNECTIONS) as feeding,
    ):
        yield Store(database, settling, auditing, feeding)


async def _answer(connection: Connection) -> None:
    await connection.fetchval("SELECT 1")
