"""Entries as files: exact, complete, in the order of the chains, and whole or not there."""

import csv
import hashlib
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from server.ledger.export import COLUMNS, Format, OutputFailed, export
from server.ledger.watcher import Watcher
from server.store.bridge import Bridge
from server.store.ledger_snapshot import LedgerSnapshot, read_snapshot
from server.store.store import Store
from tests.ledger.months import backdate, execute
from tests.ledger.whole_ledger import ALEX, fill
from tests.store.settlements import tip
from tests.store.transfers import post_first

pytestmark = pytest.mark.slow  # a ledger of all kinds is filled

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Export = Callable[..., Awaitable[int]]


@pytest.fixture
def write(bridge: Bridge, database_dsn: str) -> Export:
    async def write(
        kind: Format, output: Path, begin: datetime | None = None, end: datetime | None = None
    ) -> int:
        async def work(snapshot: LedgerSnapshot) -> int:
            return await export(snapshot, kind, output, begin, end, Watcher())

        return await read_snapshot(bridge, database_dsn, work)

    return write


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row |= {name: int(row[name]) for name in ("seq", "amount", "balance_after")}
        row["created_at"] = datetime.fromisoformat(row["created_at"])
    return rows


def read_parquet(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


READ = {Format.CSV: read_csv, Format.PARQUET: read_parquet}


@pytest.mark.parametrize("kind", Format)
async def test_every_entry_as_it_stands(
    bridge: Bridge, store: Store, database_dsn: str, write: Export, tmp_path: Path, kind: Format
) -> None:
    await fill(store)
    output = tmp_path / "entries"
    assert await write(kind, output) == 54
    rows = READ[kind](output)

    assert tuple(rows[0]) == COLUMNS
    stored = await execute(
        bridge,
        database_dsn,
        "SELECT e.*, t.kind, t.source_ref FROM entries e JOIN transfers t USING (transfer_id)"
        ' ORDER BY account_id COLLATE "C", seq',
    )
    assert rows == [
        {
            **{name: row[name] for name in ("account_id", "seq", "kind", "source_ref")},
            **{name: row[name] for name in ("amount", "balance_after", "created_at")},
            **{name: str(row[name]) for name in ("entry_id", "transfer_id")},
            "hash": row["hash"].hex(),
        }
        for row in stored
    ]
    assert os.listdir(tmp_path) == [output.name]
    assert output.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", Format)
async def test_the_file_alone_proves_the_chains(
    store: Store, write: Export, tmp_path: Path, kind: Format
) -> None:
    await fill(store)
    await write(kind, tmp_path / "entries")
    last: dict[str, bytes] = {}
    for row in READ[kind](tmp_path / "entries"):
        text = "|".join(
            str(row[name])
            for name in (
                *("account_id", "seq", "entry_id", "transfer_id", "source_ref", "amount"),
                "balance_after",
            )
        )
        text += f"|{(row['created_at'] - EPOCH) // timedelta(microseconds=1)}"
        before = last.get(row["account_id"], bytes(32))
        last[row["account_id"]] = hashlib.sha256(before + text.encode()).digest()
        assert row["hash"] == last[row["account_id"]].hex()
    assert len(last) == 7


@pytest.mark.parametrize("kind", Format)
async def test_days(
    bridge: Bridge, store: Store, database_dsn: str, write: Export, tmp_path: Path, kind: Format
) -> None:
    await fill(store)
    month = await backdate(bridge, database_dsn, 2)
    await post_first(store, tip("new", ALEX, 2))
    second_day = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC) + timedelta(days=1)
    next_day = second_day + timedelta(days=1)
    output = tmp_path / "entries"
    for begin, end, count in (
        (second_day, next_day, 54),
        (None, next_day, 54),
        (next_day, None, 3),
        (None, None, 57),
        (None, second_day, 0),
    ):
        assert await write(kind, output, begin, end) == count
        assert len(READ[kind](output)) == count


@pytest.mark.parametrize("kind", Format)
async def test_what_fails_leaves_the_old_file_and_nothing_else(
    store: Store, bridge: Bridge, database_dsn: str, write: Export, tmp_path: Path, kind: Format
) -> None:
    await fill(store)
    output = tmp_path / "entries"
    output.write_text("of last year")
    # A value that is no integer of 64 bits and no time: the row cannot be sent.
    await execute(
        bridge,
        database_dsn,
        "ALTER TABLE entries RENAME TO real_entries",
        """CREATE VIEW entries AS SELECT account_id, seq, entry_id, transfer_id,
            amount / (CASE WHEN seq = 5 THEN 0 ELSE 1 END) AS amount, balance_after, hash,
            created_at FROM real_entries""",
        "SELECT",
    )
    with pytest.raises(Exception, match="division by zero"):
        await write(kind, output)
    assert output.read_text() == "of last year"
    assert os.listdir(tmp_path) == [output.name]


async def test_a_folder_that_is_not_there(store: Store, write: Export, tmp_path: Path) -> None:
    assert await store.months.add_ahead() == 0
    with pytest.raises(OutputFailed, match=r"entries.csv.: No such file"):
        await write(Format.CSV, tmp_path / "none" / "entries.csv")
