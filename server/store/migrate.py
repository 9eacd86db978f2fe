"""Plain SQL files, applied once, in the order of their names, forward only."""

import hashlib
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from server.store import queries
from server.store.bridge import Bridge

MIGRATE_TIMEOUT_S: Final = 600.0
"""Of the whole run, the wait for another starter's included."""


class MigrationRefused(Exception):
    """The files and the database do not fit together; nothing was changed."""


class Migration(msgspec.Struct, frozen=True):
    """One file. `checksum` is SHA-256 over its bytes, in hex."""

    name: str
    sql: str
    checksum: str


def migrations_dir() -> Path:
    """Where the SQL files lie: beside the package `server`."""
    return Path(__file__).resolve().parents[2] / "migrations"


def read_migrations(directory: Path) -> list[Migration]:
    """Every `*.sql` of the folder, by name. Raises MigrationRefused if there is none."""
    found = [_read(path) for path in sorted(directory.glob("*.sql"))]
    if not found:
        raise MigrationRefused(f"no SQL files in {directory}")
    return found


async def migrate(bridge: Bridge, dsn: str, directory: Path | None = None) -> list[str]:
    """Bring the database up to date; the names of the files applied now, none if it was.

    Each file is one transaction. A second starter waits for the first and finds nothing to do.
    Raises MigrationRefused when an applied file was changed or removed, or when a new one sorts
    before an applied one; what the driver raises when a file fails.
    """
    files = read_migrations(directory or migrations_dir())
    return await bridge.run(_migrate, dsn, files, timeout_s=MIGRATE_TIMEOUT_S)


async def pending_migrations(bridge: Bridge, dsn: str, directory: Path | None = None) -> list[str]:
    """The names of the files that `migrate` would apply. Changes nothing. Raises MigrationRefused
    as it does, and what the driver raises when nobody answers."""
    files = read_migrations(directory or migrations_dir())
    return await bridge.run(_find_pending, dsn, files)


async def _find_pending(dsn: str, files: list[Migration]) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        applied: dict[str, str] = {}
        if await connection.fetchval(queries.HAS_MIGRATIONS):
            rows = await connection.fetch(queries.LIST_MIGRATIONS)
            applied = {row["name"]: row["checksum"] for row in rows}
        return [file.name for file in _pending(files, applied)]
    finally:
        await connection.close(timeout=5)


async def _migrate(dsn: str, files: list[Migration]) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        # Of the session: it ends with the connection, whatever happens here.
        await connection.execute(queries.LOCK_MIGRATIONS)
        await connection.execute(queries.CREATE_MIGRATIONS)
        applied = {
            row["name"]: row["checksum"] for row in await connection.fetch(queries.LIST_MIGRATIONS)
        }
        pending = _pending(files, applied)
        for file in pending:
            async with connection.transaction():
                await connection.execute(file.sql)
                await connection.execute(queries.RECORD_MIGRATION, file.name, file.checksum)
        return [file.name for file in pending]
    finally:
        await connection.close(timeout=5)


def _pending(files: list[Migration], applied: dict[str, str]) -> list[Migration]:
    names = {file.name for file in files}
    if removed := sorted(applied.keys() - names):
        raise MigrationRefused(f"applied, but there is no such file: {', '.join(removed)}")
    for file in files:
        if applied.get(file.name, file.checksum) != file.checksum:
            raise MigrationRefused(f"{file.name} was changed after it had been applied")
    pending = [file for file in files if file.name not in applied]
    if pending and applied and pending[0].name < max(applied):
        raise MigrationRefused(f"{pending[0].name} comes before an applied file")
    return pending


def _read(path: Path) -> Migration:
    data = path.read_bytes()
    return Migration(path.name, data.decode(), hashlib.sha256(data).hexdigest())
