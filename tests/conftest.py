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
def demo_server(data_dir: Path) -> Iterator[ServerProcess]:
    """A demo server of its own, on free ports; stopped as Ctrl-C stops it."""
    server = start_demo(data_dir)
    yield server
    server.stop()


pytest_plugins = ["tests.fixtures_postgres"]
