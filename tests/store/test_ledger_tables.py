"""What the database itself refuses, whoever asks: changes of what is written, in the tables and in
each of their months; and a hold's rows that contradict themselves."""

import asyncpg
import pytest
import trio
from structlog.testing import capture_logs

from actors.ports import UserRecord
from actors.transfers import Release
from protocol.tip_activated import MembershipTier
from server.store.database import Connection
from server.store.months import keep_months_ahead
from server.store.store import Store
from tests.store.books import check_ledger
from tests.store.rows import pending_events
from tests.store.settlements import tip
from tests.store.transfers import held, hold, post_first, refund_of, settlement_of

MONTHLY = ("entries", "outbox", "activation_audit")
IMMUTABLE = (*MONTHLY, "transfers", "event_done", "points_entries")


@pytest.fixture
async def written(store: Store) -> Store:
    """Rows in every table: `held`, `released` and `settled` are holds, `t` is a tip."""
    await store.members.save_user(UserRecord("alex", "Alex", MembershipTier.FREE))
    await store.ledger.deposit("d", "alex", 100)
    await post_first(store, tip("t"), hold("held", amount=1))
    await post_first(store, Release(await held(store, hold("released", amount=2))))
    await post_first(store, settlement_of(await held(store, hold("settled", amount=3))))
    await store.loyalty.credit_points(await pending_events(store, "loyalty", 10))
    await post_first(store, await refund_of(store, "r", "tip:t", 2))
    return store


async def execute(store: Store, command: str) -> None:
    async def run(connection: Connection) -> None:
        await connection.execute(command)

    await store._database.run(run)


async def names(store: Store, query: str, *args: object) -> list[str]:
    async def run(connection: Connection) -> list[str]:
        return [row[0] for row in await connection.fetch(query, *args)]

    return await store._database.run(run)


async def partitions(store: Store, *tables: str) -> list[str]:
    return await names(
        store,
        "SELECT inhrelid::regclass::text FROM pg_inherits "
        "WHERE inhparent::regclass::text = ANY ($1) ORDER BY 1",
        list(tables),
    )


async def test_what_is_written_never_changes_in_any_table_or_month(written: Store) -> None:
    months = await partitions(written, *MONTHLY)
    assert len(months) == 3 * 4  # three months, and one for all other times
    for table in (*IMMUTABLE, *months):
        [column] = await names(
            written,
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum = 1",
            table,
        )
        for command in (
            f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
        ):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never change"):
                await execute(written, command)
    for table in ("holds", "accounts"):
        for command in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never change"):
                await execute(written, command)
    await check_ledger(written._database)


@pytest.mark.parametrize(
    "change",
    [
        # it ends once
        "state = 'REFUNDED', refunded = 2, ended_at = now() WHERE hold_id = 'released'",
        "state = 'SETTLED', refunded = 0, ended_at = now() WHERE hold_id = 'released'",
        "state = 'HELD', refunded = 0, ended_at = NULL WHERE hold_id = 'settled'",
        "ended_at = now() WHERE hold_id = 'settled'",
        # nothing but its end is a change
        "amount = 2 WHERE hold_id = 'held'",
        "state = 'SETTLED', ended_at = now(), amount = 2 WHERE hold_id = 'held'",
        "state = 'SETTLED', ended_at = now(), user_id = 'sam' WHERE hold_id = 'held'",
        "state = 'SETTLED', ended_at = now(), item = '{}' WHERE hold_id = 'held'",
        "state = 'SETTLED', ended_at = now(), expires_at = now() WHERE hold_id = 'held'",
        # its parts say the same
        "state = 'SETTLED' WHERE hold_id = 'held'",
        "state = 'SETTLED', ended_at = now(), refunded = 1 WHERE hold_id = 'held'",
        "state = 'REFUNDED', ended_at = now() WHERE hold_id = 'held'",
        "state = 'PARTIALLY_REFUNDED', ended_at = now() WHERE hold_id = 'held'",
        "state = 'PARTIALLY_REFUNDED', ended_at = now(), refunded = 1 WHERE hold_id = 'held'",
        "state = 'LOST', ended_at = now() WHERE hold_id = 'held'",
    ],
)
async def test_a_hold_changes_once_and_only_into_what_an_end_can_be(
    written: Store, change: str
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await execute(written, f"UPDATE holds SET {change}")
    await check_ledger(written._database)


@pytest.mark.parametrize(
    ("account_id", "tokens"), [("user:alex", "-1"), ("escrow", "-2"), ("revenue", "-9")]
)
async def test_no_balance_goes_below_zero(written: Store, account_id: str, tokens: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await execute(
            written, f"UPDATE accounts SET balance = {tokens} WHERE account_id = '{account_id}'"
        )


# ---- months ------------------------------------------------------------------------------------


async def test_months_are_added_once(store: Store) -> None:
    before = await partitions(store, *MONTHLY)
    assert await store.months.add_ahead() == 0
    assert await names(store, "SELECT add_months('2031-11-30 23:59:59-05', 2)::text") == ["6"]
    assert await names(store, "SELECT add_months('2031-12-31', 1)::text") == ["0"]
    added = set(await partitions(store, *MONTHLY)) - set(before)
    assert added == {f"{table}_{month}" for table in MONTHLY for month in ("2031_12", "2032_01")}


async def test_a_month_begins_and_ends_in_utc(store: Store) -> None:
    await execute(store, "SET LOCAL timezone = 'Asia/Tokyo'; SELECT add_months('2031-12-15', 1)")
    [bounds] = await names(
        store,
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'entries_2031_12'",
    )
    assert "'2031-12-01 00:00:00+00'" in bounds
    assert "'2032-01-01 00:00:00+00'" in bounds


async def test_a_time_without_a_month_has_a_place_all_the_same(store: Store) -> None:
    """Money never waits for an operator."""
    await execute(
        store,
        "INSERT INTO outbox (tip_id, room_id, event, created_at) "
        "VALUES ('old', 'room-1', '{}', '2001-01-01'), ('new', 'room-1', '{}', '2101-01-01')",
    )
    query = "SELECT tableoid::regclass::text FROM outbox"
    assert await names(store, query) == ["outbox_default"] * 2
    assert [each.tip_id for each in await store.events.events_after(0, 10)] == ["old", "new"]


async def test_a_month_that_is_added_late_takes_its_rows_out_of_the_default(store: Store) -> None:
    await execute(
        store,
        "INSERT INTO outbox (tip_id, room_id, event, created_at) "
        "VALUES ('first', 'r', '{}', '2031-12-01'), ('last', 'r', '{}', '2031-12-31 23:59'), "
        "('after', 'r', '{}', '2032-01-01');"
        "INSERT INTO entries VALUES ('revenue', 1, gen_random_uuid(), gen_random_uuid(), 0, 0, "
        "sha256(''), '2031-12-05');"
        "INSERT INTO activation_audit (record_id, tip_id, event_id, ledger_id, room_id, "
        "target_type, target_id, attempt, state, at_utc) VALUES (gen_random_uuid(), 't', "
        "gen_random_uuid(), 'l', 'r', 'MODEL_TOY', 'm', 0, 'QUEUED', '2031-12-31')",
    )
    rows = "SELECT to_json(t)::text FROM (SELECT * FROM {} ORDER BY seq) t"
    before = {table: await names(store, rows.format(table)) for table in MONTHLY}

    assert await names(store, "SELECT add_months('2031-12-15', 1)::text") == ["3"]

    assert {table: await names(store, rows.format(table)) for table in MONTHLY} == before
    places = "SELECT DISTINCT tableoid::regclass::text FROM {} WHERE seq < 3"
    for table in MONTHLY:
        assert await names(store, places.format(table)) == [f"{table}_2031_12"]
    outbox = "SELECT tip_id FROM {} ORDER BY seq"
    assert await names(store, outbox.format("outbox_2031_12")) == ["first", "last"]
    assert await names(store, outbox.format("outbox_default")) == ["after"]
    for table in ("outbox_default", "outbox_2031_12", "entries_default"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never change"):
            await execute(store, f"DELETE FROM {table}")
    # And once more, with what is left.
    assert await names(store, "SELECT add_months('2032-01-15', 1)::text") == ["3"]
    assert await names(store, outbox.format("outbox_2032_01")) == ["after"]
    assert await names(store, outbox.format("outbox_default")) == []


async def test_months_that_cannot_be_added_end_nothing(store: Store) -> None:
    """Whatever hinders it: an error of ours, here, that no server's restart would take away."""
    await execute(store, "INSERT INTO monthly_tables VALUES ('no_such_table', 'created_at')")
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            await nursery.start(keep_months_ahead, store.months)
            assert nursery.child_tasks, "it would be tried again"
            nursery.cancel_scope.cancel()
    assert [(line["event"], line["reason"]) for line in lines] == [
        ("months_not_added", "UndefinedTableError")
    ]
