"""What holds of the whole ledger whatever happened, recomputed from its rows (spec 2,
invariants)."""

import hashlib
from collections import Counter, defaultdict
from datetime import datetime, timedelta

import asyncpg

from protocol import tip_activated
from protocol.tip_activated import source_ref_of
from server.store.database import Connection, Database

NO_HASH = bytes(32)
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_TABLES = {
    "accounts": "SELECT * FROM accounts ORDER BY account_id",
    "entries": "SELECT e.*, t.source_ref FROM entries e LEFT JOIN transfers t USING (transfer_id) "
    "ORDER BY e.account_id, e.seq",
    "transfers": "SELECT * FROM transfers ORDER BY created_at",
    "outbox": "SELECT * FROM outbox ORDER BY seq",
    "holds": "SELECT * FROM holds",
}
Rows = list[asyncpg.Record]


async def check_ledger(database: Database) -> None:
    """Raises AssertionError with the row that contradicts the others."""
    tables = await read_tables(database)
    check_chains(tables["accounts"], tables["entries"])
    check_transfers(tables["transfers"], tables["entries"])
    check_events(tables["transfers"], tables["entries"], tables["outbox"])
    check_holds(tables["accounts"], tables["transfers"], tables["holds"])


async def read_tables(database: Database) -> dict[str, Rows]:
    """All of one moment."""

    async def read(connection: Connection) -> dict[str, Rows]:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return {name: await connection.fetch(query) for name, query in _TABLES.items()}

    return await database.run(read)


def check_chains(accounts: Rows, entries: Rows) -> None:
    """Each account's entries count from 1, add up, never go below zero, and hash into each other up
    to what the account says; and tokens are conserved."""
    assert sum(row["balance"] for row in accounts) == 0
    of_account = defaultdict(list)
    for row in entries:
        of_account[row["account_id"]].append(row)
    assert of_account.keys() <= {row["account_id"] for row in accounts}
    for account in accounts:
        seq, balance, last_hash = 0, 0, NO_HASH
        for row in of_account[account["account_id"]]:
            seq += 1
            balance += row["amount"]
            last_hash = entry_hash(last_hash, row)
            assert (row["seq"], row["balance_after"], row["hash"]) == (seq, balance, last_hash), row
            assert balance >= 0 or account["kind"] == "issuance", row
        assert (account["last_seq"], account["balance"], account["last_hash"]) == (
            seq,
            balance,
            last_hash,
        ), account


def entry_hash(previous: bytes, row: asyncpg.Record) -> bytes:
    """migrations/0006_auditable_ledger.sql: entry_hash."""
    created_us = (row["created_at"] - _EPOCH) // timedelta(microseconds=1)
    fields = (
        row["account_id"],
        row["seq"],
        row["entry_id"],
        row["transfer_id"],
        row["source_ref"],
        row["amount"],
        row["balance_after"],
        created_us,
    )
    return hashlib.sha256(previous + "|".join(map(str, fields)).encode()).digest()


def check_transfers(transfers: Rows, entries: Rows) -> None:
    """Two entries or more, a sum of zero, the answered balance among them; and refunds give back
    no more than was settled."""
    of_transfer = defaultdict(list)
    for row in entries:
        of_transfer[row["transfer_id"]].append(row)
    assert of_transfer.keys() == {row["transfer_id"] for row in transfers}
    refunded: Counter[str] = Counter()
    settled: dict[str, int] = {}
    for row in transfers:
        legs = of_transfer[row["transfer_id"]]
        assert len(legs) >= 2, row
        assert sum(leg["amount"] for leg in legs) == 0, row
        assert {leg["created_at"] for leg in legs} == {row["created_at"]}, row
        wallets = {leg["balance_after"] for leg in legs if leg["account_id"].startswith("user:")}
        assert wallets <= {row["balance"]}, row
        incoming = sum(leg["amount"] for leg in legs if leg["amount"] > 0)
        if row["kind"] == "refund":
            refunded[row["refunds"]] += incoming
        elif row["kind"] in ("tip", "purchase"):
            settled[row["source_ref"]] = sum(
                leg["amount"]
                for leg in legs
                if leg["account_id"] == "revenue" or leg["account_id"].startswith("model:")
            )
    assert refunded.keys() <= settled.keys()
    assert all(tokens <= settled[ref] for ref, tokens in refunded.items()), refunded


def check_events(transfers: Rows, entries: Rows, outbox: Rows) -> None:
    """One event for each settlement and none without, in the order of their settlement, and the
    ledger rows that an event names are what it says they are."""
    by_ref = {row["source_ref"]: row for row in transfers}
    by_id = {str(row["entry_id"]): row for row in entries}
    returned: Counter[object] = Counter()  # of a hold, by transfer
    for row in entries:
        if row["account_id"].startswith("user:"):
            returned[row["transfer_id"]] += max(row["amount"], 0)
    settled = [row["source_ref"] for row in transfers if row["kind"] in ("tip", "purchase")]
    refs = [tip_activated.decode(row["event"]).ledger.source_ref for row in outbox]
    assert Counter(settled) == Counter(refs)
    assert len({row["tip_id"] for row in outbox}) == len(outbox)
    moments = [by_ref[ref]["created_at"] for ref in refs]
    assert moments == sorted(moments)
    for row in outbox:
        event = tip_activated.decode(row["event"])
        transfer = by_ref[event.ledger.source_ref]
        transfer_id = transfer["transfer_id"]
        credit, debit = by_id[event.ledger.credit_ref], by_id[event.ledger.debit_ref]
        # Before 0006 a tip could be named as a purchase is today.
        due = f"tip:{event.tip_id}" if transfer["kind"] == "tip" else source_ref_of(event.tip_id)
        assert event.ledger.source_ref == due
        assert (event.tip_id, event.room.room_id) == (row["tip_id"], row["room_id"])
        assert event.ledger.ledger_id == str(transfer_id)
        assert credit["account_id"] == f"model:{event.model.model_id}"
        assert credit["transfer_id"] == transfer_id
        assert debit["account_id"] == f"user:{event.tipper.user_id}"
        assert event.transaction.amount == -debit["amount"] - returned[transfer_id], row


def check_holds(accounts: Rows, transfers: Rows, holds: Rows) -> None:
    """Each hold was made by its transfer and ended by at most one; the escrow has what is held."""
    refs = {row["source_ref"] for row in transfers}
    answers = {row["source_ref"]: row["content"] for row in transfers}
    assert {row["source_ref"] for row in transfers if row["kind"] == "hold"} == {
        f"hold:{row['hold_id']}" for row in holds
    }
    for row in holds:
        released = f"release:{row['hold_id']}" in refs
        settled = "refundTokens" in answers.get(f"purchase:{row['hold_id']}", "")
        assert (released, settled) == {
            "HELD": (False, False),
            "REFUNDED": (True, False),
            "SETTLED": (False, True),
            "PARTIALLY_REFUNDED": (False, True),
        }[row["state"]], row
    [escrow] = [row["balance"] for row in accounts if row["kind"] == "escrow"]
    assert escrow == sum(row["amount"] for row in holds if row["state"] == "HELD")
