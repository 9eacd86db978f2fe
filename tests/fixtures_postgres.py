"""Fixtures of every test that needs a database: one real PostgreSQL for the session, and a fresh
migrated database for each test, copied from a template."""

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
import pytest
import trio

from server.store.bridge import Bridge, open_bridge
from server.store.embedded import SETTINGS, EmbeddedServer
from server.store.migrate import migrate
from server.store.store import Store, open_store

MEMORY: Final = Path("/dev/shm")
MEMORY_FREE_BYTES_MIN: Final = 1 << 30
"""For the clusters of three test processes, of 200 MB at most each."""
SETTINGS_OF_TESTS: Final = {
    **SETTINGS,
    # Its data are thrown away: a disk that syncs for each new database would be half of the time.
    "fsync": "off",
    "full_page_writes": "off",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
}

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """An embedded server's DSN, its database `postgres`; no migrations applied there."""
    # Not pytest's own folder: it takes away the permission to pass through that the system user
    # needs, each time another session starts.
    data_dir = Path(tempfile.mkdtemp(prefix="tiproom-postgres-", dir=_memory()))
    server = EmbeddedServer(data_dir, SETTINGS_OF_TESTS)
    try:
        dsn = trio.run(server.start)
        try:
            yield dsn
        finally:
            trio.run(server.stop)
    finally:
        shutil.rmtree(data_dir)


def _memory() -> Path | None:
    """A folder in memory with room for it: a new database is hundreds of files, and some disks take
    ten times as long to make them. None where there is none, as in most containers."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_FREE_BYTES_MIN:
        return MEMORY
    return None


@pytest.fixture(scope="session")
def template_database(postgres_dsn: str) -> str:
    """The name of a migrated database that nobody is connected to."""
    dsn = create_database(postgres_dsn, "tiproom_template")

    async def apply() -> None:
        async with open_bridge() as bridge:
            await migrate(bridge, dsn)

    trio.run(apply)
    return "tiproom_template"


NewDatabase = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def new_database(postgres_dsn: str, template_database: str) -> NewDatabase:
    """`with new_database() as dsn`: a migrated, empty database for the block, for fixtures that
    outlive a test. A server on it starts in half the time of one with a PostgreSQL of its own."""
    return partial(_database, postgres_dsn, template_database)


@pytest.fixture
def database_dsn(new_database: NewDatabase) -> Iterator[str]:
    """The DSN of a migrated, empty database of this test's own."""
    with new_database() as dsn:
        yield dsn


@pytest.fixture
def empty_database_dsn(postgres_dsn: str) -> Iterator[str]:
    """The DSN of a database of this test's own, without any table."""
    with _database(postgres_dsn, "template1") as dsn:
        yield dsn


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    async with open_bridge() as bridge:
        yield bridge


@pytest.fixture
async def store(bridge: Bridge, database_dsn: str) -> AsyncIterator[Store]:
    """All repositories, on this test's own database."""
    async with open_store(database_dsn, bridge) as store:
        yield store


@contextmanager
def _database(postgres_dsn: str, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    yield create_database(postgres_dsn, name, template)
    drop_database(postgres_dsn, name)


def create_database(postgres_dsn: str, name: str, template: str = "template1") -> str:
    """Its DSN. Its files are copied: to write them to the log, too, takes twice as long."""
    _run(postgres_dsn, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return postgres_dsn.replace("/postgres?", f"/{name}?")


def drop_database(postgres_dsn: str, name: str) -> None:
    _run(postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)")


def _run(dsn: str, command: str) -> None:
    """In a thread of its own: the page tests' browser driver keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, _execute(dsn, command)).result()


async def _execute(dsn: str, command: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(command)
    finally:
        await connection.close()
