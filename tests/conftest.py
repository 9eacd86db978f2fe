"""Fixtures that several kinds of tests share: a real PostgreSQL, a real server process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, start_demo


@pytest.fixture
def demo_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A demo server of its own, on free ports; stopped as Ctrl-C stops it."""
    server = start_demo(tmp_path / "data")
    yield server
    server.stop()


pytest_plugins = ["tests.fixtures_postgres"]
