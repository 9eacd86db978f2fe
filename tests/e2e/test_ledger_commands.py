"""`tiproom ledger` as an auditor runs it: beside a running server, and without one."""

import asyncio
import csv
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import trio

from server.store.bridge import open_bridge
from server.store.embedded import running_or_started
from tests.e2e.site import new_tip_id, running_site
from tests.ledger.months import backdate

END_TIMEOUT_S = 60.0

pytestmark = pytest.mark.slow  # each test starts processes of its own


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if "TIPROOM" not in name}
    return subprocess.Popen(
        [sys.executable, "-m", "server.cli", "ledger", *map(str, arguments)],
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: object, **environment: str) -> tuple[int, str, str]:
    """Status, output, errors."""
    process = start(*arguments, **environment)
    output, errors = process.communicate(timeout=END_TIMEOUT_S)
    return process.returncode, output, errors


def test_beside_a_running_server_and_without_it(data_dir: Path) -> None:
    """No secret is asked for, the server goes on, and what is wrong stays wrong."""
    folder = f"--data-dir={data_dir}"
    tip_id = new_tip_id()
    with running_site(data_dir) as site:
        assert site.post_tip(site.demo_token("jo"), tip_id, 15).is_success
        assert run("verify", folder) == (
            0,
            "verified: 13 entries of 9 accounts, 6 transfers, 1 events, 0 holds; all of it holds\n",
            "",
        )

        output = data_dir / "entries.csv"
        today = datetime.now(UTC).date()
        days = ("--from", today, "--to", today)
        status, said, _ = run("export", "--format=csv", "--output", output, *days, folder)
        assert (status, said) == (0, f"13 entries in {output}\n")
        with output.open(newline="", encoding="utf-8") as file:
            amounts = {row["account_id"]: row["amount"] for row in csv.DictReader(file)}
        assert amounts["model:model-1"] == "7"

        site.query("ALTER TABLE entries DISABLE TRIGGER USER")
        site.query(f"ALTER TABLE entries_{today:%Y_%m} DISABLE TRIGGER USER")
        [row] = site.query(
            "UPDATE entries SET amount = amount + 1 WHERE account_id = 'model:model-1' AND seq = 1"
            " RETURNING entry_id"
        )
        check_found(run("verify", folder), tip_id, row["entry_id"])
        assert site.post_tip(site.demo_token("jo"), new_tip_id(), 15).is_success

    check_found(run("verify", folder), tip_id, row["entry_id"])
    with running_site(data_dir) as site:
        assert site.request("GET", "/readyz").status_code == 200


def test_what_archive_prints_is_run_as_it_stands(data_dir: Path, tmp_path: Path) -> None:
    """With the programs of the embedded PostgreSQL, on the one in use."""
    folder = f"--data-dir={data_dir}"

    async def move_back() -> str:
        async with running_or_started(data_dir / "postgres") as (dsn, _), open_bridge() as bridge:
            return await backdate(bridge, dsn, 1)

    with running_site(data_dir):
        pass
    month = trio.run(move_back)
    status, said, _ = run("archive", month, folder)
    assert status == 0
    assert "here, while a server of this data folder runs:" in said
    with running_site(data_dir) as site:
        for command in [line for line in said.splitlines() if line.startswith("  ")]:
            subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)
        table = f"entries_{month.replace('-', '_')}"
        assert site.query(f"SELECT to_regclass('{table}') AS it")[0]["it"] is None
    assert (tmp_path / f"ledger-{month}.dump").read_bytes().startswith(b"PGDMP")


def check_found(ended: tuple[int, str, str], tip_id: str, entry_id: object) -> None:
    status, output, errors = ended
    assert (status, errors) == (1, "")
    *found, summary = output.splitlines()
    place = f"account=model:model-1 seq=1 entry={entry_id}"
    assert any(line.startswith(f"ENTRY_HASH {place}") for line in found)
    assert any(f"source=tip:{tip_id}" in line and line.startswith("TRANSFER_SUM") for line in found)
    assert summary.startswith(f"NOT VERIFIED: {len(found)} findings in ")


def test_parquet_without_its_extra(data_dir: Path, database_dsn: str) -> None:
    """A module that cannot be imported stands in for one that is not installed."""
    (data_dir / "pyarrow.py").write_text("raise ImportError")
    output = data_dir / "entries.parquet"
    status, said, errors = run(
        *("export", "--format=parquet", "--output", output),
        DATABASE_URL=database_dsn,
        PYTHONPATH=f"{data_dir}{os.pathsep}{Path.cwd()}",
    )
    assert (status, said) == (2, "")
    assert "pip install 'tiproom[export]'" in errors
    assert not output.exists()


def test_ctrl_c_while_it_waits_for_a_table(database_dsn: str) -> None:
    async def interrupt() -> tuple[int, str, str]:
        connection = await asyncpg.connect(database_dsn)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE archived_accounts IN ACCESS EXCLUSIVE MODE")
                process = start("verify", DATABASE_URL=database_dsn)
                # Of this database alone: other tests' servers may wait in theirs.
                waiting = (
                    "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
                    "WHERE NOT l.granted AND d.datname = current_database()"
                )
                while not await connection.fetchval(waiting):
                    assert process.poll() is None
                process.send_signal(signal.SIGINT)
                output, errors = process.communicate(timeout=END_TIMEOUT_S)
        finally:
            await connection.close()
        return process.returncode, output, errors

    assert asyncio.run(interrupt()) == (130, "", "tiproom: interrupted; nothing was changed\n")
