"""What a test looks at in the ledger's tables, beside what the store itself answers."""

import asyncpg

from protocol.tip_activated import TipActivated
from server.store.database import Connection
from server.store.store import Store
from tests.store.books import check_ledger


async def fetch(store: Store, query: str, *args: object) -> list[asyncpg.Record]:
    async def read(connection: Connection) -> list[asyncpg.Record]:
        return await connection.fetch(query, *args)

    return await store._database.run(read)


async def unguarded(store: Store, statement: str, *args: object) -> None:
    """As somebody with all rights changes what our triggers guard."""

    async def change(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(statement, *args)

    await store._database.run(change)


async def legs(store: Store, source_ref: str) -> dict[str, int]:
    rows = await fetch(
        store,
        "SELECT account_id, amount FROM entries JOIN transfers USING (transfer_id) "
        "WHERE source_ref = $1",
        source_ref,
    )
    return {row["account_id"]: row["amount"] for row in rows}


async def event_ids(store: Store) -> list[str]:
    return [each.tip_id for each in await store.events.events_after(0, 100)]


async def pending_events(store: Store, consumer: str, limit: int = 1_000) -> list[TipActivated]:
    """What the consumer has not done, at most one page of it."""
    return [*(await store.events.pending_events(consumer, 0, limit)).events]


async def wallet(store: Store, user_id: str = "alex") -> int | None:
    return (await store.members.load_viewer(user_id)).balance


async def check(store: Store) -> None:
    await check_ledger(store._database)
