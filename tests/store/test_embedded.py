"""The embedded PostgreSQL: restarted, taken over after a kill, kept from a second owner."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import trio

from server.store.bridge import Bridge
from server.store.embedded import EmbeddedFailed, EmbeddedServer, embedded

pytestmark = pytest.mark.slow  # starts and stops real servers


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Not under pytest's own folder: see `postgres_dsn`."""
    folder = Path(tempfile.mkdtemp(prefix="tiproom-embedded-"))
    yield folder / "data"
    shutil.rmtree(folder)


async def execute(bridge: Bridge, dsn: str, command: str) -> object:
    async def work() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(command)
        finally:
            await connection.close()

    return await bridge.run(work)


async def test_data_survive_a_restart(bridge: Bridge, data_dir: Path) -> None:
    async with embedded(data_dir) as dsn:
        await execute(bridge, dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        with pytest.raises(EmbeddedFailed, match="in use by another process"):
            await EmbeddedServer(data_dir).start()
    with pytest.raises(OSError, match=r"No such file|refused"):
        await execute(bridge, dsn, "SELECT 1")
    async with embedded(data_dir) as dsn:
        assert await execute(bridge, dsn, "SELECT answer FROM kept") == 42
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await execute(bridge, dsn, f"SHOW {setting}") == "on"


async def test_the_folder_is_free_again_after_a_failed_start(data_dir: Path) -> None:
    cluster = data_dir / "cluster"
    cluster.mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(EmbeddedFailed, match="pg_ctl failed"):
            await EmbeddedServer(data_dir).start()


KILLED = """
import os, signal, sys, trio
from pathlib import Path
from server.store.embedded import EmbeddedServer
trio.run(EmbeddedServer(Path(sys.argv[1])).start)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_server_left_by_a_killed_process_is_taken_over(
    bridge: Bridge, data_dir: Path
) -> None:
    killed = await trio.run_process([sys.executable, "-c", KILLED, str(data_dir)], check=False)
    assert killed.returncode == -signal.SIGKILL
    left = postmaster(data_dir)
    async with embedded(data_dir) as dsn:
        assert postmaster(data_dir) == left
        assert await execute(bridge, dsn, "SELECT 1") == 1
    assert not (data_dir / "cluster" / "postmaster.pid").exists()


async def test_a_postgresql_that_was_killed_itself_is_started_again(
    bridge: Bridge, data_dir: Path
) -> None:
    server = EmbeddedServer(data_dir)
    dsn = await server.start()
    await execute(bridge, dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    # An immediate shutdown: the next start replays the log.
    os.kill(postmaster(data_dir), signal.SIGQUIT)
    await server.stop()
    async with embedded(data_dir) as dsn:
        assert await execute(bridge, dsn, "SELECT answer FROM kept") == 42


async def test_a_pid_file_that_names_someone_else_is_removed(
    bridge: Bridge, data_dir: Path
) -> None:
    """As after a restart of the machine: the number lives, and is another program's."""
    async with embedded(data_dir):
        pid_file = data_dir / "cluster" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    async with embedded(data_dir) as dsn:
        assert await execute(bridge, dsn, "SELECT 1") == 1


async def test_a_socket_lock_that_names_someone_else_is_removed(
    bridge: Bridge, data_dir: Path
) -> None:
    """As of a PostgreSQL that was killed, and is a zombie still."""
    async with embedded(data_dir):
        pass
    lock = data_dir / "cluster" / ".s.PGSQL.5432.lock"
    lock.write_text(f"{os.getpid()}\n")
    async with embedded(data_dir) as dsn:
        assert await execute(bridge, dsn, "SELECT 1") == 1


async def test_a_postgresql_that_stays_down_ends_the_block(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How it is brought up again is in tests/chaos: here it cannot be."""
    monkeypatch.setattr("server.store.embedded.RESTART_TIMEOUT_S", 0.5)
    with pytest.RaisesGroup(pytest.RaisesExc(EmbeddedFailed, match="pg_ctl failed")):
        async with embedded(data_dir):
            (data_dir / "cluster" / "global" / "pg_control").unlink()
            os.kill(postmaster(data_dir), signal.SIGQUIT)
            await trio.sleep_forever()
    with pytest.raises(EmbeddedFailed, match="pg_ctl failed"):  # and the folder is free again
        await EmbeddedServer(data_dir).start()


async def test_a_long_path_gets_a_short_socket(
    bridge: Bridge, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(data_dir.parent))
    async with embedded(data_dir / ("x" * 100)) as dsn:
        assert await execute(bridge, dsn, "SELECT 1") == 1


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "cluster" / "postmaster.pid").read_text().splitlines()[0])
