"""Fixtures that several kinds of tests share: a real PostgreSQL, a real server process."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, start_demo


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty folder for a server's data; not below pytest's own, which another session closes to
    the system user that PostgreSQL runs as."""
    folder = Path(tempfile.mkdtemp(prefix="tiproom-data-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def demo_server(data_dir: Path, database_dsn: str) -> Iterator[ServerProcess]:
    """A demo server of its own, on free ports; stopped as Ctrl-C stops it. Its database is a fresh
    one on the session's PostgreSQL: a start of its own would be most of a page test's time."""
    server = start_demo(data_dir, DATABASE_URL=database_dsn)
    yield server
    server.stop()


pytest_plugins = ["tests.fixtures_postgres"]
