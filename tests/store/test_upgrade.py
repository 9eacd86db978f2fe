"""A database as the version before 0006 left it, written by that version's own functions, brought
up to date: all of it is taken over, and nothing is answered otherwise than before."""

import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from actors.transfers import Posted, Settled, Settlement
from protocol import tip_activated
from protocol.audit import TargetState
from protocol.errors import ErrorCode, Refusal
from server.ledger.verify import Verified, verify
from server.ledger.watcher import Watcher
from server.store.bridge import Bridge
from server.store.database import Connection, Database, open_database
from server.store.ledger_snapshot import LedgerSnapshot, read_snapshot
from server.store.migrate import migrate, migrations_dir, read_migrations
from server.store.store import Store, open_store
from tests.actors.ports import receipt_of
from tests.store.books import check_chains, check_ledger, read_tables
from tests.store.rows import pending_events
from tests.store.settlements import NOW, only_if_known, tip
from tests.store.transfers import (
    brief,
    hold,
    hold_record,
    post,
    post_first,
    refund_of,
    settlement_of,
)

AnyConnection = Connection | asyncpg.Connection  # of a pool, or alone
BEFORE = [file.name for file in read_migrations(migrations_dir()) if file.name < "0006"]


@pytest.fixture
async def old(bridge: Bridge, empty_database_dsn: str, tmp_path: Path) -> AsyncIterator[Database]:
    """Migrated up to 0005; alex and sam have empty wallets."""
    for name in BEFORE:
        shutil.copy(migrations_dir() / name, tmp_path)
    assert await migrate(bridge, empty_database_dsn, tmp_path) == BEFORE
    async with open_database(empty_database_dsn, bridge, 3) as database:
        await execute(
            database,
            "INSERT INTO accounts (account_id, kind, owner_id) "
            "VALUES ('user:alex', 'user', 'alex'), ('user:sam', 'user', 'sam')",
        )
        yield database


async def execute(database: Database, command: str, *args: object) -> None:
    async def run(connection: Connection) -> None:
        await connection.execute(command, *args)

    await database.run(run)


async def fetch(database: Database, query: str, *args: object) -> list[asyncpg.Record]:
    async def run(connection: Connection) -> list[asyncpg.Record]:
        return await connection.fetch(query, *args)

    return await database.run(run)


async def deposit(database: Database, deposit_id: str, user_id: str, tokens: int) -> asyncpg.Record:
    query = "SELECT * FROM deposit_tokens($1, $2, $3)"
    [row] = await fetch(database, query, user_id, tokens, f"deposit:{deposit_id}")
    assert row["outcome"] == "settled"
    return row


async def settle(connection: AnyConnection, *tips: Settlement) -> list[int]:
    """The wallet after each, in one batch, as the old version settled them."""
    arguments = _arguments(tips)
    numbers = ", ".join(f"${number}" for number in range(1, len(arguments) + 1))
    query = f"SELECT outcome, balance FROM settle_tips({numbers})"
    rows = await connection.fetch(query, *arguments)
    assert {row["outcome"] for row in rows} == {"settled"}
    return [row["balance"] for row in rows]


def _arguments(tips: Sequence[Settlement]) -> list[list[Any]]:
    wallets = [f"user:{each.tipper_id}" for each in tips]
    models = [f"model:{each.model_id}" for each in tips]
    touched = sorted({*wallets, *models})
    ledgers = [each.event.ledger for each in tips if each.event is not None]
    return [
        touched,
        [each.tip_id for each in tips],
        list(range(1, len(tips) + 1)),
        [each.room_id for each in tips],
        [each.broadcast_id for each in tips],
        [each.tipper_id for each in tips],
        [each.model_id for each in tips],
        [each.amount for each in tips],
        [each.model_tokens for each in tips],
        [touched.index(account) + 1 for account in wallets],
        [touched.index(account) + 1 for account in models],
        [f"tip:{each.tip_id}" for each in tips],  # whatever the tipId
        [UUID(each.ledger_id) for each in ledgers],
        [UUID(each.debit_ref) for each in ledgers],
        [UUID(each.credit_ref) for each in ledgers],
        [each.revenue_ref for each in tips],
        [tip_activated.encode(each.event).decode() for each in tips if each.event is not None],
    ]


@pytest.mark.slow  # it migrates twice
async def test_all_that_was_settled_is_taken_over(
    bridge: Bridge, old: Database, empty_database_dsn: str
) -> None:
    tips = [
        tip("a", "alex", 15),
        tip("b", "sam", 1, username='Ünï "q" \\ \U0001f600'),
        tip("c", "alex", 20, share_percent=100, room_id="room-2", model_id="model-2"),
        tip("d", "alex", 5, share_percent=0),
    ]
    deposits = [await deposit(old, "d1", "alex", 100), await deposit(old, "d2", "sam", 50)]
    after = await old.run(settle, *tips[:2]) + await old.run(settle, *tips[2:])
    deposits.append(await deposit(old, "d3", "alex", 7))
    assert after == [85, 49, 65, 60]
    await execute(
        old,
        "UPDATE event_deliveries SET done_at = '2026-01-02' "
        "WHERE (consumer, tip_id) IN (('room', 'b'), ('room', 'c'), ('loyalty', 'a'))",
    )
    await execute(
        old,
        "WITH earned AS (INSERT INTO points_entries (tip_id, user_id, points) "
        "VALUES ('a', 'alex', 3)) INSERT INTO points_accounts VALUES ('alex', 3)",
    )
    await execute(
        old,
        "INSERT INTO activation_audit (record_id, tip_id, event_id, ledger_id, room_id, "
        "target_type, target_id, attempt, state, call, at_utc) "
        "SELECT gen_random_uuid(), 'a', $1, 'l', 'room-1', 'MODEL_TOY', 'model-1', n, $2, "
        '\'{"said": [1, "x"]}\', $3 FROM generate_series(0, 2) n',
        uuid4(),
        TargetState.QUEUED,
        NOW,
    )
    queries = {
        "accounts": "SELECT account_id, kind, owner_id, balance, created_at FROM accounts "
        "ORDER BY 1",
        "entries": "SELECT entry_id, transfer_id, account_id, amount, balance_after, created_at "
        "FROM entries ORDER BY 1",
        "transfers": "SELECT transfer_id, kind, source_ref, created_at FROM transfers ORDER BY 1",
        "events": "SELECT seq, tip_id, room_id, event::text, created_at FROM outbox ORDER BY seq",
        "audit": "SELECT record_id, seq, attempt, state, call::text, at_utc FROM activation_audit "
        "ORDER BY seq",
        "points": "SELECT * FROM points_accounts",
    }
    before = {name: await fetch(old, query) for name, query in queries.items()}

    await migrate(bridge, empty_database_dsn)

    for name, query in queries.items():
        assert await fetch(old, query) == before[name], name
    await check_ledger(old)
    async with open_store(empty_database_dsn, bridge) as store:
        await check_answers(store, tips, after, deposits)
        await check_consumers(store)
        await check_that_it_goes_on(store)
    await check_ledger(old)


async def check_answers(
    store: Store, tips: list[Settlement], after: list[int], deposits: list[asyncpg.Record]
) -> None:
    """A repeat of what was settled then is answered now as it was then."""
    receipts = [
        receipt_of(each.event, balance)
        for each, balance in zip(tips, after, strict=True)
        if each.event is not None
    ]
    again = [
        tip("a", "alex", 15, username="Renamed"),
        tip("b", "sam", 1),
        tip("c", "alex", 20, room_id="room-2"),
        tip("d", "alex", 5),
    ]
    assert await store.ledger.post(again) == [Settled(receipt, first=False) for receipt in receipts]
    assert await post(store, tip("a", "alex", 16), tip("c", "alex", 20)) == [
        ErrorCode.TIP_CONFLICT,
        ErrorCode.TIP_CONFLICT,
    ]
    for deposit_id, user_id, tokens, row in (
        ("d1", "alex", 100, deposits[0]),
        ("d2", "sam", 50, deposits[1]),
        ("d3", "alex", 7, deposits[2]),
    ):
        assert await store.ledger.deposit(deposit_id, user_id, tokens) == Posted(
            row["transfer_id"], row["balance"], first=False
        )


async def check_consumers(store: Store) -> None:
    """What was done stays done; the rest is still to be done, and no points are lost or doubled."""

    async def pending(consumer: str) -> list[str]:
        return [each.tip_id for each in await pending_events(store, consumer, 10)]

    assert await pending("room") == ["a", "d"]
    assert await pending("loyalty") == ["b", "c", "d"]
    assert await pending("messaging") == []
    trace = await store.traces.load_tip("b")
    assert trace is not None
    assert [(each["consumer"], each["done"]) for each in trace.consumers] == [
        ("loyalty", False),
        ("messaging", True),  # nobody is thanked for what was tipped before
        ("room", True),
    ]
    every = [tip_activated.decode(fed.event) for fed in await store.events.events_after(0, 10)]
    await store.loyalty.credit_points(every)
    assert await store.loyalty.load_points("alex") == 9
    assert await pending("loyalty") == []


async def check_that_it_goes_on(store: Store) -> None:
    """Chains, numbers and refunds go on from there, and what was taken over never changes."""
    last = await store.events.last_seq()
    assert brief(await post_first(store, tip("e", "alex", 10))) == [(57, True)]
    [fed] = await store.events.events_after(last, 10)
    assert fed.tip_id == "e"
    await post_first(store, await refund_of(store, "r", "tip:a", 15))
    assert await store.loyalty.take_back_points(10) == 1
    for table in ("transfers", "entries", "outbox", "activation_audit", "event_done"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never change"):
            await execute(store._database, f"DELETE FROM {table}")


@pytest.mark.slow  # it migrates twice
async def test_a_tip_that_was_named_as_a_purchase_is_today(
    bridge: Bridge, old: Database, empty_database_dsn: str
) -> None:
    await deposit(old, "d", "alex", 100)
    named = tip("purchase:x1", "alex", 15)
    assert named.event is not None
    ledger = msgspec.structs.replace(named.event.ledger, source_ref="tip:purchase:x1")
    event = msgspec.structs.replace(named.event, ledger=ledger)
    await old.run(settle, msgspec.structs.replace(named, event=event))
    await migrate(bridge, empty_database_dsn)

    await check_ledger(old)
    async with open_store(empty_database_dsn, bridge) as store:
        known = Settled(receipt_of(event, 85), first=False)
        offline = Refusal(ErrorCode.ROOM_OFFLINE)
        assert await store.ledger.post([only_if_known(offline, "purchase:x1", amount=15)]) == [
            known
        ]
        # A purchase of that name would have the same tipId: there is no second event of it.
        assert await post(store, hold("x1"), hold("x2")) == [
            ErrorCode.TRANSFER_CONFLICT,
            (65, True),
        ]
        await post_first(store, settlement_of(await hold_record(store, "x2")))

        await store.loyalty.credit_points(await pending_events(store, "loyalty", 10))
        await post_first(store, await refund_of(store, "r", "purchase:x1", 15))
        assert await store.loyalty.take_back_points(10) == 1
        assert await store.loyalty.load_points("alex") == 6
        trace = await store.traces.load_tip("purchase:x1")
        assert trace is not None
        assert trace.event == event
        assert [entry["transfer"] for entry in trace.entries] == ["tip"] * 3 + ["refund"] * 3
    await check_ledger(old)

    async def audited(snapshot: LedgerSnapshot) -> Verified:
        return await verify(snapshot, Watcher())

    assert (await read_snapshot(bridge, empty_database_dsn, audited)).findings.listed == []


@pytest.mark.slow  # it migrates twice
async def test_entries_are_chained_in_the_order_of_their_commits(
    bridge: Bridge, old: Database, empty_database_dsn: str
) -> None:
    """The old version noted when a transaction began: one that waited for the other has the earlier
    time and the later balance."""
    await deposit(old, "d", "alex", 100)

    async def begin_and_be_late(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("SELECT now()")
            beside = await asyncpg.connect(empty_database_dsn)
            try:
                await settle(beside, tip("first", "alex", 30))
                await settle(beside, tip("second", "alex", 10))
            finally:
                await beside.close()
            await settle(connection, tip("late", "alex", 20))

    await old.run(begin_and_be_late)
    query = "SELECT entry_id, amount, balance_after, created_at FROM entries ORDER BY 1"
    before = await fetch(old, query)
    await migrate(bridge, empty_database_dsn)

    assert await fetch(old, query) == before
    tables = await read_tables(old)
    check_chains(tables["accounts"], tables["entries"])
    wallet = [row["source_ref"] for row in tables["entries"] if row["account_id"] == "user:alex"]
    assert wallet == ["deposit:d", "tip:first", "tip:second", "tip:late"]
    moments = {row["source_ref"]: row["created_at"] for row in tables["transfers"]}
    assert moments["tip:late"] < moments["tip:first"]


@pytest.mark.slow  # it migrates twice
async def test_an_empty_database_has_nothing_to_take_over(
    bridge: Bridge, old: Database, empty_database_dsn: str
) -> None:
    await migrate(bridge, empty_database_dsn)
    await check_ledger(old)
    async with open_store(empty_database_dsn, bridge) as store:
        assert await store.events.last_seq() == 0
        await store.ledger.deposit("d", "alex", 100)
        await post_first(store, tip("a"))
        assert await store.events.last_seq() == 1
    await check_ledger(old)
