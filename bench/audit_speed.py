"""How long an auditor waits: `python -m bench.audit_speed --entries 1000000`.

Fills an embedded ledger with tips, holds, settlements and releases through the ledger's own door,
then times `tiproom ledger verify` and `export` as an operator runs them, in processes of their own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import asyncpg
import trio

from actors.runtime.moment import Chance
from actors.transfers import Transfer
from bench.ledger_stock import Stock
from bench.progress import Progress
from bench.room_setup import fill_wallets
from server.store.bridge import Bridge, open_bridge
from server.store.embedded import SETTINGS, EmbeddedServer
from server.store.migrate import migrate
from server.store.store import Store, open_store

USERS: Final = 500
BATCH: Final = 1_000
MIXED_SHARE: Final = 10
"""Every tenth batch is of holds, too."""
FILL_TIMEOUT_S: Final = 600.0
CREDIT_POINTS: Final = """
WITH credited AS (
    INSERT INTO points_entries (source_ref, user_id, points)
    SELECT CASE WHEN starts_with(tip_id, 'purchase:') THEN tip_id ELSE 'tip:' || tip_id END,
           event -> 'tipper' ->> 'userId', (event -> 'item' ->> 'bonusPoints')::bigint
    FROM outbox
    RETURNING user_id, points
)
INSERT INTO points_accounts SELECT user_id, sum(points) FROM credited GROUP BY user_id"""
"""As the loyalty consumer would have, in one statement."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--data-dir", help="keep the ledger there; one that is there is taken")
    parser.add_argument("--rounds", type=int, default=3, help="of verify")
    options = parser.parse_args()
    if options.data_dir is not None:
        _measure(Path(options.data_dir), options.entries, options.rounds)
        return
    with tempfile.TemporaryDirectory(prefix="tiproom-audit-") as folder:
        _measure(Path(folder), options.entries, options.rounds)


def _measure(folder: Path, entries: int, rounds: int) -> None:
    # Filling is not what is measured.
    settings = {**SETTINGS, "fsync": "off", "max_wal_size": "8GB"}
    is_filled = (folder / "postgres").exists()
    server = EmbeddedServer(folder / "postgres", settings)
    dsn = trio.run(server.start)
    try:
        trio.run(_prepare, dsn, 0 if is_filled else entries)
        for job in (
            *[("verify",)] * rounds,
            ("export", "--format=csv", f"--output={folder}/entries.csv"),
            ("export", "--format=parquet", f"--output={folder}/entries.parquet"),
        ):
            _time(job, folder)
    finally:
        trio.run(server.stop)


async def _prepare(dsn: str, entries: int) -> None:
    """`entries`: to fill it with; 0 for a ledger that has them."""
    async with open_bridge() as bridge:
        await migrate(bridge, dsn)
        if entries:
            await _fill(bridge, dsn, entries)


async def _fill(bridge: Bridge, dsn: str, entries: int) -> None:
    progress = Progress()
    progress.step(f"filling a ledger with {entries:,} entries")
    async with open_store(dsn, bridge) as store:
        await fill_wallets(store, USERS)
        stock = Stock(USERS, Chance())
        written, batches = 2 * USERS, 0
        while written < entries:
            batch = await _batch(store, stock, mixed=batches % MIXED_SHARE == 0)
            await store.ledger.post(batch)
            batches += 1
            written += 3 * len(batch)
            progress.advance(written / entries, f"{written:,}")
    progress.step("crediting points")
    await bridge.run(_credit_points, dsn, timeout_s=FILL_TIMEOUT_S)
    progress.done()


async def _batch(store: Store, stock: Stock, *, mixed: bool) -> list[Transfer]:
    if not mixed:
        return [stock.tip() for _ in range(BATCH)]
    holds = [stock.hold() for _ in range(BATCH // 2)]
    await store.ledger.post(holds)
    records = [await store.accounts.load_hold(hold.hold_id) for hold in holds]
    return stock.mixed(BATCH, [record for record in records if record is not None])


async def _credit_points(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(CREDIT_POINTS)
        await connection.execute("VACUUM ANALYZE")  # as autovacuum has long done
    finally:
        await connection.close()


def _time(job: tuple[str, ...], folder: Path) -> None:
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "server.cli", "ledger", *job, f"--data-dir={folder}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.read().strip()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began_s
    print(
        f"{job[0]:8} {seconds:6.1f} s  CPU {used.ru_utime + used.ru_stime:5.1f} s"
        f"  {used.ru_maxrss / 1024:5.0f} MB  exit {process.returncode}  {said}"
    )


if __name__ == "__main__":
    main()
