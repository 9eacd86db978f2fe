"""Migrations: from empty, step by step, by two starters, and with files that do not fit."""

import shutil
from pathlib import Path

import asyncpg
import pytest
import trio

from server.store.bridge import Bridge
from server.store.migrate import MigrationRefused, migrate, migrations_dir, read_migrations

NAMES = [file.name for file in read_migrations(migrations_dir())]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small files of our own."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (x int)")
    (tmp_path / "0002_b.sql").write_text("CREATE TABLE b (x int)")
    return tmp_path


async def schema(bridge: Bridge, dsn: str) -> list[tuple[object, ...]]:
    """Every column, constraint, index, trigger and function of the database."""

    async def read() -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(dsn)
        try:
            rows = await connection.fetch(
                """
                SELECT 'column', table_name::text, column_name::text, concat(data_type, is_nullable)
                FROM information_schema.columns WHERE table_schema = 'public'
                UNION ALL
                SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
                FROM pg_constraint WHERE connamespace = 'public'::regnamespace
                UNION ALL
                SELECT 'index', tablename, indexname, indexdef
                FROM pg_indexes WHERE schemaname = 'public'
                UNION ALL
                SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid)
                FROM pg_trigger WHERE NOT tgisinternal
                UNION ALL
                SELECT 'function', proname, '', pg_get_functiondef(oid)
                FROM pg_proc WHERE pronamespace = 'public'::regnamespace
                ORDER BY 1, 2, 3, 4"""
            )
        finally:
            await connection.close()
        return [tuple(row) for row in rows]

    return await bridge.run(read)


async def test_from_empty_and_then_nothing_to_do(bridge: Bridge, empty_database_dsn: str) -> None:
    assert await migrate(bridge, empty_database_dsn) == NAMES
    assert await migrate(bridge, empty_database_dsn) == []


async def test_step_by_step_ends_at_the_same_schema(
    bridge: Bridge, empty_database_dsn: str, database_dsn: str, tmp_path: Path
) -> None:
    """`database_dsn` had them all at once."""
    for name in NAMES:
        shutil.copy(migrations_dir() / name, tmp_path)
        assert await migrate(bridge, empty_database_dsn, tmp_path) == [name]
    stepped = await schema(bridge, empty_database_dsn)
    assert stepped == await schema(bridge, database_dsn)
    assert len(stepped) > 100


async def test_two_starters_at_once(bridge: Bridge, empty_database_dsn: str) -> None:
    applied: list[list[str]] = []

    async def start() -> None:
        applied.append(await migrate(bridge, empty_database_dsn))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start)
        nursery.start_soon(start)
    assert sorted(applied) == [[], NAMES]


async def test_a_changed_file_is_refused(
    bridge: Bridge, empty_database_dsn: str, folder: Path
) -> None:
    await migrate(bridge, empty_database_dsn, folder)
    (folder / "0001_a.sql").write_text("CREATE TABLE a (x bigint)")
    (folder / "0003_c.sql").write_text("CREATE TABLE c (x int)")
    before = await schema(bridge, empty_database_dsn)
    with pytest.raises(MigrationRefused, match=r"0001_a\.sql was changed"):
        await migrate(bridge, empty_database_dsn, folder)
    assert await schema(bridge, empty_database_dsn) == before


async def test_a_removed_file_is_refused(
    bridge: Bridge, empty_database_dsn: str, folder: Path
) -> None:
    await migrate(bridge, empty_database_dsn, folder)
    (folder / "0002_b.sql").unlink()
    with pytest.raises(MigrationRefused, match=r"no such file: 0002_b\.sql"):
        await migrate(bridge, empty_database_dsn, folder)


async def test_a_file_out_of_order_is_refused(
    bridge: Bridge, empty_database_dsn: str, folder: Path
) -> None:
    await migrate(bridge, empty_database_dsn, folder)
    (folder / "0001_late.sql").write_text("CREATE TABLE late (x int)")
    with pytest.raises(MigrationRefused, match=r"0001_late\.sql comes before"):
        await migrate(bridge, empty_database_dsn, folder)


async def test_a_file_that_fails_leaves_nothing_and_may_be_mended(
    bridge: Bridge, empty_database_dsn: str, folder: Path
) -> None:
    (folder / "0002_b.sql").write_text("CREATE TABLE b (x int); CREATE TABLE a (y int)")
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(bridge, empty_database_dsn, folder)
    tables = {row[1] for row in await schema(bridge, empty_database_dsn)}
    assert tables == {"a", "schema_migrations"}
    (folder / "0002_b.sql").write_text("CREATE TABLE b (x int)")
    assert await migrate(bridge, empty_database_dsn, folder) == ["0002_b.sql"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationRefused, match="no SQL files"):
        read_migrations(tmp_path)
