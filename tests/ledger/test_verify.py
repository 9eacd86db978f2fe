"""`verify` on a ledger of all kinds: as it was written it holds, and whatever is changed behind the
ledger's back is found and named. Each change is made as a superuser, with all triggers off, and is
rolled back."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import asyncpg
import pytest
import trio

from actors.transfers import Deposit
from server.ledger.commands import report
from server.ledger.findings import LISTED_MAX, Code, Finding
from server.ledger.verify import Verified, verify
from server.ledger.watcher import Watcher
from server.store.bridge import Bridge, open_bridge
from server.store.ledger_snapshot import LedgerSnapshot
from server.store.store import Store, open_store
from tests.fixtures_postgres import create_database, drop_database
from tests.ledger.whole_ledger import audit, fill, open_wallets
from tests.store.settlements import tip
from tests.store.transfers import post_first


@pytest.fixture(scope="module")
def filled_dsn(postgres_dsn: str, template_database: str) -> Iterator[str]:
    """A database with every kind of transfer, that no test changes for good."""
    dsn = create_database(postgres_dsn, "filled_ledger", template_database)

    async def prepare() -> None:
        async with open_bridge() as bridge, open_store(dsn, bridge) as store:
            await fill(store)

    trio.run(prepare)
    yield dsn
    drop_database(postgres_dsn, "filled_ledger")


class Auditor:
    """Changes rows, verifies, and takes the changes back."""

    def __init__(self, bridge: Bridge, dsn: str) -> None:
        self._bridge = bridge
        self._dsn = dsn

    async def after(self, *changes: str) -> Verified:
        async def unit() -> Verified:
            connection = await asyncpg.connect(self._dsn)
            try:
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute("SET LOCAL session_replication_role = replica")
                for change in changes:
                    touched = await connection.execute(change)
                    assert not touched.endswith(" 0"), f"nothing changed by {change}"
                verified = await verify(LedgerSnapshot(connection), Watcher())
                await transaction.rollback()
                return verified
            finally:
                await connection.close()

        return await self._bridge.run(unit)

    async def findings(self, *changes: str) -> list[Finding]:
        return (await self.after(*changes)).findings.listed

    async def value(self, query: str) -> Any:
        async def unit() -> Any:
            connection = await asyncpg.connect(self._dsn)
            try:
                return await connection.fetchval(query)
            finally:
                await connection.close()

        return await self._bridge.run(unit)


@pytest.fixture
async def auditor(bridge: Bridge, filled_dsn: str) -> Auditor:
    return Auditor(bridge, filled_dsn)


def codes(found: Sequence[Finding]) -> set[Code]:
    return {each.code for each in found}


def named(found: Sequence[Finding], code: Code, *places: str) -> bool:
    """Whether one finding of that code names all of these."""
    return any(each.code is code and all(place in str(each) for place in places) for each in found)


async def test_what_the_ledger_wrote_holds(auditor: Auditor) -> None:
    verified = await auditor.after()
    assert [str(each) for each in verified.findings.listed] == []
    counts = (verified.entries, verified.accounts, verified.transfers, verified.events)
    assert counts == (54, 7, 21, 8)
    assert verified.holds == 5
    assert list(report(verified)) == [
        "verified: 54 entries of 7 accounts, 21 transfers, 8 events, 5 holds; all of it holds"
    ]


@pytest.mark.slow  # several looks while batch after batch is posted
async def test_a_ledger_that_is_being_written_holds(
    bridge: Bridge, store: Store, database_dsn: str
) -> None:
    await open_wallets(store)
    await post_first(store, Deposit("enough", "alex", 1_000_000))
    looks: list[Verified] = []

    async def keep_posting() -> None:
        for number in count():
            await store.ledger.post([tip(f"t-{number}-{each}", amount=1) for each in range(10)])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_posting)
        while len(looks) < 4 or looks[0].transfers == looks[-1].transfers:
            looks.append(await audit(bridge, database_dsn))
        nursery.cancel_scope.cancel()
    assert [look.findings.listed for look in looks] == [[]] * len(looks)
    assert all(look.transfers == look.events + 3 for look in looks)


# ---- entries ---------------------------------------------------------------------------------

NEXT_DIGIT = (
    "translate(left({0}::text, 1), '0123456789abcdef', '123456789abcdef0') || substr({0}::text, 2)"
)
FLIPS = {
    "amount": "amount + 1",
    "balance_after": "balance_after + 10",
    "seq": "seq + 100",
    "hash": "set_byte(hash, 31, get_byte(hash, 31) # 1)",
    "entry_id": f"({NEXT_DIGIT.format('entry_id')})::uuid",
    "transfer_id": f"({NEXT_DIGIT.format('transfer_id')})::uuid",
    "account_id": "account_id || '1'",
    "created_at": "created_at + interval '1 microsecond'",
}
EXPECTED = {
    "amount": {Code.ENTRY_HASH, Code.ENTRY_BALANCE, Code.TRANSFER_SUM},
    "balance_after": {Code.ENTRY_HASH, Code.ENTRY_BALANCE},
    "seq": {Code.ENTRY_MISSING},
    "hash": {Code.ENTRY_HASH},
    "entry_id": {Code.ENTRY_HASH},
    "transfer_id": {Code.ENTRY_WITHOUT_TRANSFER, Code.TRANSFER_SUM, Code.TRANSFER_ENTRIES},
    "account_id": {Code.ENTRY_MISSING, Code.ACCOUNT_MISSING, Code.TRANSFER_ENTRIES},
    "created_at": {Code.ENTRY_HASH, Code.TRANSFER_TIME},
}


@pytest.mark.parametrize("column", FLIPS)
async def test_one_changed_column_of_an_entry(auditor: Auditor, column: str) -> None:
    """Of the third entry of a wallet, a tip; found at that entry."""
    third = "account_id = 'user:alex' AND seq = 3"
    entry_id = await auditor.value(f"SELECT entry_id FROM entries WHERE {third}")
    found = await auditor.findings(f"UPDATE entries SET {column} = {FLIPS[column]} WHERE {third}")
    assert codes(found) >= EXPECTED[column]
    if column != "entry_id":
        assert any(f"entry={entry_id}" in each.where for each in found), found
    if Code.ENTRY_HASH in EXPECTED[column]:
        assert [each.where for each in found if each.code is Code.ENTRY_HASH] == [
            next(each.where for each in found if "account=user:alex seq=3 " in each.where)
        ]


@pytest.mark.slow  # a look at the whole ledger for each column in each account
async def test_one_changed_column_of_the_last_entry_of_each_account(auditor: Auditor) -> None:
    """Where no later entry gives it away."""
    entries = await auditor.value(
        "SELECT array_agg(e.entry_id || ' account=' || account_id || ' seq=' || e.seq)"
        " FROM entries e JOIN accounts a USING (account_id) WHERE e.seq = a.last_seq"
    )
    assert len(entries) == 7
    for entry in entries:
        entry_id, _, place = entry.partition(" ")
        for column, flipped in FLIPS.items():
            found = await auditor.findings(
                f"UPDATE entries SET {column} = {flipped} WHERE entry_id = '{entry_id}'"
            )
            where = f"{place} " if column == "entry_id" else entry_id
            assert any(where in each.where for each in found), (entry, column, found)


async def test_an_entry_in_another_account(auditor: Auditor) -> None:
    found = await auditor.findings(
        "UPDATE entries SET account_id = 'user:sam' WHERE account_id = 'user:alex' AND seq = 3"
    )
    assert named(found, Code.ENTRY_MISSING, "account=user:alex seq=4")
    assert named(found, Code.ENTRY_NUMBER, "account=user:sam seq=3")
    assert named(found, Code.TRANSFER_ENTRIES, "user:sam -100")


@pytest.mark.parametrize(
    ("seq", "place"), [(1, "seq=2"), (4, "seq=5"), (12, "seq=12")], ids=["first", "middle", "last"]
)
async def test_a_missing_entry(auditor: Auditor, seq: int, place: str) -> None:
    last = await auditor.value("SELECT last_seq FROM accounts WHERE account_id = 'user:alex'")
    assert last == 12
    found = await auditor.findings(
        f"DELETE FROM entries WHERE account_id = 'user:alex' AND seq = {seq}"
    )
    assert named(found, Code.ENTRY_MISSING, "account=user:alex", place)
    assert Code.TRANSFER_SUM in codes(found)
    assert Code.ENTRY_HASH not in codes(found)


async def test_a_transfer_without_any_of_its_entries(auditor: Auditor) -> None:
    found = await auditor.findings(
        "DELETE FROM entries e USING transfers t WHERE e.transfer_id = t.transfer_id"
        " AND t.source_ref = 'tip:t-1'"
    )
    assert named(found, Code.TRANSFER_WITHOUT_ENTRIES, "source=tip:t-1")
    assert Code.ENTRY_MISSING in codes(found)


async def test_entries_without_their_transfer(auditor: Auditor) -> None:
    found = await auditor.findings("DELETE FROM transfers WHERE source_ref = 'tip:t-4'")
    lost = [each for each in found if each.code is Code.ENTRY_WITHOUT_TRANSFER]
    assert [each.where.split()[0] for each in lost] == [
        "account=model:model-2",
        "account=user:alex",
    ]
    assert named(found, Code.EVENT_WITHOUT_TRANSFER, "tip=t-4")
    assert named(found, Code.POINTS_WITHOUT_TRANSFER, "source=tip:t-4")


async def test_a_transfer_that_does_not_sum_to_zero_though_all_chains_hold(
    auditor: Auditor,
) -> None:
    """The last entry of the model, rewritten with a fresh hash by someone who knows how."""
    found = await auditor.findings(
        """UPDATE entries e SET amount = e.amount + 1, balance_after = e.balance_after + 1,
            hash = entry_hash(p.hash, e.account_id, e.seq, e.entry_id, e.transfer_id,
                              t.source_ref, e.amount + 1, e.balance_after + 1,
                              epoch_us(e.created_at))
        FROM entries p, transfers t, accounts a
        WHERE a.account_id = 'model:model-1' AND e.account_id = a.account_id
          AND e.seq = a.last_seq AND p.account_id = e.account_id AND p.seq = e.seq - 1
          AND t.transfer_id = e.transfer_id""",
        """UPDATE accounts a SET balance = e.balance_after, last_hash = e.hash FROM entries e
        WHERE a.account_id = 'model:model-1' AND e.account_id = a.account_id
          AND e.seq = a.last_seq""",
    )
    assert codes(found) == {Code.TRANSFER_SUM, Code.REFUND_ENTRIES, Code.BALANCES_SUM}
    assert named(found, Code.TRANSFER_SUM, "source=refund:r-3", "sum to 1")


async def test_a_balance_below_zero(auditor: Auditor) -> None:
    found = await auditor.findings(
        "UPDATE entries SET balance_after = -1 WHERE account_id = 'user:sam' AND seq = 2"
    )
    assert named(found, Code.ENTRY_NEGATIVE, "account=user:sam seq=2")


# ---- accounts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code", "place"),
    [
        ("balance = balance + 1", Code.ACCOUNT_BALANCE, "account=user:sam"),
        ("last_seq = last_seq + 1", Code.ENTRY_MISSING, "account=user:sam"),
        ("last_seq = last_seq - 1", Code.ACCOUNT_LAST_ENTRY, "account=user:sam"),
        ("last_hash = sha256(last_hash)", Code.ACCOUNT_LAST_ENTRY, "account=user:sam"),
    ],
)
async def test_a_changed_account(auditor: Auditor, change: str, code: Code, place: str) -> None:
    found = await auditor.findings(f"UPDATE accounts SET {change} WHERE account_id = 'user:sam'")
    assert named(found, code, place)
    assert codes(found) <= {code, Code.BALANCES_SUM}


async def test_tokens_out_of_nowhere(auditor: Auditor) -> None:
    """An account that nobody opened, with tokens that nobody issued."""
    found = await auditor.findings(
        "INSERT INTO accounts (account_id, kind, owner_id, balance)"
        " VALUES ('user:mallory', 'user', 'mallory', 500)"
    )
    assert codes(found) == {Code.ACCOUNT_BALANCE, Code.BALANCES_SUM}
    assert named(found, Code.ACCOUNT_BALANCE, "account=user:mallory", "500")
    assert named(found, Code.BALANCES_SUM, "500")


async def test_an_account_that_is_gone(auditor: Auditor) -> None:
    found = await auditor.findings("DELETE FROM accounts WHERE account_id = 'model:model-2'")
    assert named(found, Code.ACCOUNT_MISSING, "account=model:model-2")
    assert Code.BALANCES_SUM in codes(found)


# ---- transfers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source_ref", "change", "code"),
    [
        ("tip:t-1", "source_ref = 'tip:t-9'", Code.ENTRY_HASH),
        ("deposit:alex-1", "source_ref = 'deposit:alex-2'", Code.ENTRY_HASH),
        ("tip:t-1", "balance = balance + 1", Code.TRANSFER_ANSWER),
        ("hold:h-held", "balance = balance - 1", Code.TRANSFER_ANSWER),
        ("tip:t-1", "created_at = created_at + interval '1 day'", Code.TRANSFER_TIME),
        ("tip:t-1", "content = replace(content::text, '15', '16')::json", Code.TRANSFER_ENTRIES),
        ("tip:t-1", "content = replace(content::text, 'alex', 'sam')::json", Code.TRANSFER_ENTRIES),
        ("tip:t-1", "content = replace(content::text, 'room-1', 'room-2')::json", Code.EVENT_FIELD),
        (
            "tip:t-1",
            "content = replace(content::text, 'broadcast-1', 'broadcast-2')::json",
            Code.EVENT_FIELD,
        ),
        ("tip:t-1", "content = replace(content::text, ',', ', ')::json", Code.TRANSFER_CONTENT),
        ("tip:t-1", "content = '{}'", Code.TRANSFER_CONTENT),
        ("tip:t-1", "answer = replace(answer::text, 'Tip', 'Top')::json", Code.TRANSFER_ANSWER),
        ("tip:t-1", "kind = 'refund', refunds = 'tip:t-2'", Code.TRANSFER_CONTENT),
        (
            "deposit:alex-1",
            "content = replace(content::text, '1000', '2000')::json",
            Code.TRANSFER_ENTRIES,
        ),
        (
            "hold:h-held",
            "content = replace(content::text, '33', '32')::json",
            Code.TRANSFER_ENTRIES,
        ),
        ("hold:h-held", "content = replace(content::text, 'show', 'film')::json", Code.HOLD_FIELD),
        ("hold:h-held", "answer = replace(answer::text, 'model-1', 'x')::json", Code.HOLD_FIELD),
        ("hold:h-held", "answer = replace(answer::text, '2100', '2101')::json", Code.HOLD_FIELD),
        ("hold:h-held", "answer = '{}'", Code.TRANSFER_ANSWER),
        (
            "purchase:h-partly",
            "content = replace(content::text, '7', '8')::json",
            Code.TRANSFER_ENTRIES,
        ),
        (
            "purchase:h-partly",
            "content = replace(content::text, '7', '21')::json",
            Code.TRANSFER_CONTENT,
        ),
        ("release:h-released", "content = '{\"a\":1}'", Code.TRANSFER_CONTENT),
        ("refund:r-0", "refunds = 'tip:t-1'", Code.TRANSFER_CONTENT),
        (
            "refund:r-0",
            "content = replace(content::text, '33', '34')::json",
            Code.REFUND_ENTRIES,
        ),
    ],
)
async def test_a_changed_transfer(
    auditor: Auditor, source_ref: str, change: str, code: Code
) -> None:
    if change.startswith("kind"):  # with the rest of what the table itself asks for
        change += ", source_ref = 'refund:x'"
    transfer_id = await auditor.value(
        f"SELECT transfer_id FROM transfers WHERE source_ref = '{source_ref}'"
    )
    found = await auditor.findings(
        f"UPDATE transfers SET {change} WHERE source_ref = '{source_ref}'"
    )
    assert named(found, code, f"transfer={transfer_id}"), found


async def test_a_changed_source_is_found_at_each_of_its_entries(auditor: Auditor) -> None:
    found = await auditor.findings(
        "UPDATE transfers SET source_ref = 'tip:t-9' WHERE source_ref = 'tip:t-1'"
    )
    hashes = [each for each in found if each.code is Code.ENTRY_HASH]
    assert [each.where.split()[0] for each in hashes] == [
        "account=model:model-1",
        "account=revenue",
        "account=user:alex",
    ]
    assert named(found, Code.EVENT_MISSING, "source=tip:t-9")
    assert named(found, Code.EVENT_WITHOUT_TRANSFER, "tip=t-1")
    assert named(found, Code.REFUND_TARGET, "refunds=tip:t-1")


async def test_a_refund_beyond_what_was_settled(auditor: Auditor) -> None:
    found = await auditor.findings(
        "UPDATE transfers SET content = replace(content::text, '57', '58')::json"
        " WHERE source_ref = 'refund:r-2'"
    )
    assert named(found, Code.REFUND_EXCEEDS, "source=refund:r-2", "101 of 100")


# ---- events ----------------------------------------------------------------------------------


async def test_a_missing_event(auditor: Auditor) -> None:
    found = await auditor.findings("DELETE FROM outbox WHERE tip_id = 'purchase:h-partly'")
    assert [str(each) for each in found if each.code is Code.EVENT_MISSING] == [str(found[0])]
    assert "source=purchase:h-partly" in found[0].where


async def test_an_event_that_nobody_settled(auditor: Auditor) -> None:
    found = await auditor.findings(
        "INSERT INTO outbox (tip_id, room_id, event)"
        " SELECT 't-99', room_id, event FROM outbox WHERE tip_id = 't-1'"
    )
    assert codes(found) == {Code.EVENT_WITHOUT_TRANSFER}
    assert found[0].where == "tip=t-99"


async def test_two_events_of_one_tip(auditor: Auditor) -> None:
    found = await auditor.findings(
        "INSERT INTO outbox (tip_id, room_id, event, created_at)"
        " SELECT tip_id, room_id, event, created_at FROM outbox WHERE tip_id = 't-1'"
    )
    assert codes(found) == {Code.EVENT_TWICE}
    assert "tip=t-1" in found[0].where


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('"amount":15', '"amount":16', "transaction.amount"),
        ('"tipId":"t-1"', '"tipId":"t-2"', "tipId"),
        ('"userId":"alex"', '"userId":"sam"', "tipper.userId"),
        ('"modelId":"model-1"', '"modelId":"model-2"', "model.modelId"),
        ('"roomId":"room-1"', '"roomId":"room-2"', "room.roomId"),
        ('"broadcastId":"broadcast-1"', '"broadcastId":"b"', "room.broadcastId"),
        ('"sourceRef":"tip:t-1"', '"sourceRef":"tip:t-2"', "ledger.sourceRef"),
        ('"ledgerId":"', '"ledgerId":"0', "ledger.ledgerId"),
        ('"debitRef":"', '"debitRef":"0', "ledger.debitRef"),
        ('"creditRef":"', '"creditRef":"0', "ledger.creditRef"),
    ],
)
async def test_an_event_that_says_something_else(
    auditor: Auditor, old: str, new: str, field: str
) -> None:
    found = await auditor.findings(
        f"UPDATE outbox SET event = replace(event::text, '{old}', '{new}')::json"
        " WHERE tip_id = 't-1'"
    )
    points = {Code.POINTS_AMOUNT} if field == "tipper.userId" else set()
    assert codes(found) == {Code.EVENT_FIELD} | points
    assert named(found, Code.EVENT_FIELD, "source=tip:t-1", "tip=t-1", f"field={field}")


async def test_the_debit_of_a_held_purchase_is_that_of_its_hold(auditor: Auditor) -> None:
    found = await auditor.findings(
        """UPDATE outbox SET event = replace(event::text, '"debitRef":"', '"debitRef":"0')::json
        WHERE tip_id = 'purchase:h-settled'"""
    )
    assert codes(found) == {Code.EVENT_FIELD}
    assert named(found, Code.EVENT_FIELD, "tip=purchase:h-settled", "field=ledger.debitRef")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("SETTLED", "PENDING", "field=ledger.status"),
        ('"eventName":"TipActivated",', "", "source=tip:t-1"),
        ('"currency"', '"more":1,"currency"', "field=transaction"),
    ],
)
async def test_an_event_that_is_none(auditor: Auditor, old: str, new: str, place: str) -> None:
    found = await auditor.findings(
        f"UPDATE outbox SET event = replace(event::text, '{old}', '{new}')::json"
        " WHERE tip_id = 't-1'"
    )
    assert codes(found) == {Code.EVENT_INVALID}
    assert named(found, Code.EVENT_INVALID, "source=tip:t-1", place)


@pytest.mark.parametrize(
    ("change", "code", "place"),
    [
        ("room_id = 'room-2'", Code.EVENT_FIELD, "tip=t-1 field=room.roomId"),
        ("created_at = created_at + interval '1 second'", Code.TRANSFER_TIME, "tip=t-1"),
        ("seq = 1000", Code.EVENT_NUMBER, "event=1000 tips=t-1"),
        ("seq = seq + 1", Code.EVENT_NUMBER, "tips=t-1,t-2"),
    ],
)
async def test_a_changed_place_of_an_event(
    auditor: Auditor, change: str, code: Code, place: str
) -> None:
    # t-2 was settled in the same batch: without another moment its number would be no other row.
    apart = "UPDATE outbox SET created_at = created_at + interval '1 hour' WHERE tip_id = 't-2'"
    found = await auditor.findings(
        *([apart] if "seq + 1" in change else []),
        f"UPDATE outbox SET {change} WHERE tip_id = 't-1'",
    )
    assert named(found, code, place), found


async def test_an_event_that_a_consumer_has_skipped(auditor: Auditor) -> None:
    [finding] = await auditor.findings(
        "DELETE FROM event_done WHERE consumer = 'loyalty' AND tip_id = 't-1'",
        "INSERT INTO skipped_events (consumer, tip_id, reason)"
        " VALUES ('loyalty', 't-1', 'it could not be read')",
    )
    assert str(finding) == (
        "EVENT_SKIPPED consumer=loyalty tip=t-1: the consumer did not get it: it could not be read"
    )


# ---- escrow, points, archive -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected", "place"),
    [
        (
            "UPDATE holds SET amount = amount + 1 WHERE hold_id = 'h-held'",
            {Code.ESCROW_BALANCE, Code.HOLD_FIELD},
            "account=escrow",
        ),
        (
            "UPDATE holds SET state = 'SETTLED', ended_at = now() WHERE hold_id = 'h-held'",
            {Code.ESCROW_BALANCE, Code.HOLD_STATE},
            "hold=h-held",
        ),
        (
            "UPDATE holds SET state = 'HELD', ended_at = NULL WHERE hold_id = 'h-settled'",
            {Code.ESCROW_BALANCE, Code.HOLD_STATE},
            "hold=h-settled",
        ),
        (
            "UPDATE holds SET state = 'REFUNDED', refunded = amount WHERE hold_id = 'h-settled'",
            {Code.HOLD_STATE},
            "hold=h-settled",
        ),
        (
            "UPDATE holds SET refunded = 6 WHERE hold_id = 'h-partly'",
            {Code.HOLD_STATE},
            "source=purchase:h-partly",
        ),
        (
            "DELETE FROM holds WHERE hold_id = 'h-released'",
            {Code.HOLD_MISSING},
            "source=release:h-released",
        ),
        (
            "UPDATE holds SET hold_id = 'h-other' WHERE hold_id = 'h-also-held'",
            {Code.HOLD_MISSING, Code.HOLD_STATE},
            "hold=h-other",
        ),
        (
            "UPDATE holds SET debit_ref = gen_random_uuid() WHERE hold_id = 'h-held'",
            {Code.HOLD_FIELD},
            "source=hold:h-held",
        ),
        (
            "UPDATE holds SET user_id = 'alex' WHERE hold_id = 'h-partly'",
            {Code.HOLD_FIELD, Code.TRANSFER_ENTRIES, Code.EVENT_FIELD, Code.REFUND_ENTRIES},
            "source=hold:h-partly",
        ),
    ],
)
async def test_a_changed_hold(
    auditor: Auditor, change: str, expected: set[Code], place: str
) -> None:
    found = await auditor.findings(change)
    assert codes(found) == expected
    assert any(place in each.where for each in found)


@pytest.mark.parametrize(
    ("change", "expected", "place"),
    [
        (
            "UPDATE points_entries SET points = points + 1 WHERE source_ref = 'tip:t-1'",
            {Code.POINTS_AMOUNT, Code.POINTS_BALANCE},
            "source=tip:t-1",
        ),
        (
            "UPDATE points_accounts SET balance = balance + 1 WHERE user_id = 'sam'",
            {Code.POINTS_BALANCE},
            "user=sam",
        ),
        (
            "UPDATE points_entries SET points = points - 1 WHERE source_ref = 'refund:r-2'",
            {Code.POINTS_AMOUNT, Code.POINTS_BALANCE},
            "source=tip:t-3",
        ),
        (
            "INSERT INTO points_entries VALUES ('deposit:sam-1', 'sam', 5)",
            {Code.POINTS_WITHOUT_TRANSFER, Code.POINTS_BALANCE},
            "source=deposit:sam-1",
        ),
        (
            "UPDATE points_entries SET user_id = 'sam' WHERE source_ref = 'refund:r-2'",
            {Code.POINTS_AMOUNT, Code.POINTS_BALANCE},
            "source=refund:r-2",
        ),
        (
            "DELETE FROM points_entries WHERE source_ref = 'tip:t-2'",
            {Code.POINTS_MISSING, Code.POINTS_BALANCE},
            "tip=t-2",
        ),
        (
            "DELETE FROM points_entries WHERE source_ref = 'purchase:h-settled'",
            {Code.POINTS_MISSING, Code.POINTS_BALANCE},
            "tip=purchase:h-settled",
        ),
    ],
)
async def test_changed_points(
    auditor: Auditor, change: str, expected: set[Code], place: str
) -> None:
    found = await auditor.findings(change)
    assert codes(found) == expected
    assert any(place in each.where for each in found)


async def test_an_archive_that_is_made_up(auditor: Auditor) -> None:
    """Entries deleted, and said to be moved away."""
    found = await auditor.findings(
        """INSERT INTO archived_accounts
        SELECT account_id, seq, hash, balance_after, now() + interval '1 day' FROM entries
        WHERE account_id = 'user:alex' AND seq = 3""",
        "DELETE FROM entries WHERE account_id = 'user:alex' AND seq <= 3",
    )
    assert Code.ARCHIVE_DATE in codes(found)
    assert Code.TRANSFER_SUM in codes(found)


# ---- the list --------------------------------------------------------------------------------


async def test_the_list_ends_and_the_count_does_not(auditor: Auditor) -> None:
    verified = await auditor.after(
        "INSERT INTO outbox (tip_id, room_id, event)"
        " SELECT 'more-' || n, 'room-1', '{}' FROM generate_series(1, 250) n"
    )
    assert verified.findings.counts == {Code.EVENT_WITHOUT_TRANSFER: 250}
    lines = list(report(verified))
    assert len(lines) == LISTED_MAX + 2
    assert lines[-2] == f"EVENT_WITHOUT_TRANSFER: {250 - LISTED_MAX} more"
    assert lines[-1].startswith("NOT VERIFIED: 250 findings in 54 entries")


async def test_what_someone_wrote_into_the_database_cannot_write_lines(auditor: Auditor) -> None:
    found = await auditor.findings(
        "INSERT INTO outbox (tip_id, room_id, event)"
        " VALUES (E't\\nverified: all of it holds \\x1b[2K\\\\', 'room-1', '{}')"
    )
    assert str(found[0]).splitlines() == [str(found[0])]
    assert "\x1b" not in str(found[0])
    assert found[0].where == r"tip='t\nverified: all of it holds \x1b[2K\\'"
