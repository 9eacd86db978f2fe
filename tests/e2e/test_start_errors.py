"""A server that cannot start says why in one line, and ends with the status that fits."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import SECRET, query
from tests.server_process import start_demo

END_TIMEOUT_S = 30.0
DEMO = {"TIPROOM_DEMO": "true", "TIPROOM_HTTP_PORT": "0", "TIPROOM_SOCKET_PORT": "0"}

pytestmark = pytest.mark.slow  # each test starts a process of its own


def start(data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it until it has given up."""
    clean = {name: value for name, value in os.environ.items() if "TIPROOM" not in name}
    return subprocess.run(
        [sys.executable, "-m", "server.cli", "run"],
        env=clean | DEMO | {"TIPROOM_DATA_DIR": str(data_dir)} | environment,
        capture_output=True,
        text=True,
        timeout=END_TIMEOUT_S,
        check=False,
    )


def check_one_line(ended: subprocess.CompletedProcess[str], status: int, *parts: str) -> None:
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("tiproom: ")
    for part in parts:
        assert part in lines[0]
    assert ended.returncode == status
    assert ended.stdout == ""


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("which", ["HTTP", "SOCKET"])
def test_a_port_in_use(data_dir: Path, database_dsn: str, taken_port: int, which: str) -> None:
    port = {f"TIPROOM_{which}_PORT": str(taken_port)}
    ended = start(data_dir, DATABASE_URL=database_dsn, **port)
    check_one_line(ended, 1, f"127.0.0.1:{taken_port}", "in use")


def test_a_host_that_is_not_ours(data_dir: Path, database_dsn: str) -> None:
    ended = start(
        data_dir,
        DATABASE_URL=database_dsn,
        TIPROOM_DEMO="false",
        TIPROOM_TOKEN_SECRET=SECRET,
        TIPROOM_SOCKET_HOST="192.0.2.1",
    )
    check_one_line(ended, 1, "192.0.2.1")


def test_a_database_that_nobody_answers_at(data_dir: Path) -> None:
    secret = "the-password"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        unused = listening.getsockname()[1]
    url = f"postgresql://tiproom:{secret}@127.0.0.1:{unused}/tiproom"
    ended = start(data_dir, DATABASE_URL=url)
    check_one_line(ended, 1, "database")
    assert secret not in ended.stderr


def test_a_database_that_is_not_there(data_dir: Path, postgres_dsn: str) -> None:
    url = postgres_dsn.replace("/postgres?", "/no_such_database?")
    check_one_line(start(data_dir, DATABASE_URL=url), 1, "no_such_database")


def test_a_database_url_that_is_none(data_dir: Path) -> None:
    ended = start(data_dir, DATABASE_URL="postgresql://user:the-password@host:port/x")
    check_one_line(ended, 1, "DATABASE_URL")
    assert "the-password" not in ended.stderr


def test_a_migration_that_was_changed(data_dir: Path, database_dsn: str) -> None:
    change = "UPDATE schema_migrations SET checksum = 'other' WHERE name = '0001_ledger.sql'"
    query(database_dsn, change)
    check_one_line(start(data_dir, DATABASE_URL=database_dsn), 1, "0001_ledger.sql", "changed")


def test_a_missing_secret(data_dir: Path) -> None:
    check_one_line(start(data_dir, TIPROOM_DEMO="false"), 2, "token_secret", "TIPROOM_TOKEN_SECRET")


def test_bad_settings_are_all_named(data_dir: Path) -> None:
    ended = start(data_dir, TIPROOM_HTTP_PORT="x", TIPROOM_LOG_LEVEL="loud", TIPROOM_NONE="1")
    names = {line.split(": ")[1] for line in ended.stderr.splitlines()}
    assert names == {"http_port", "log_level", "none"}
    assert ended.returncode == 2


def test_a_data_folder_that_cannot_be_made(data_dir: Path) -> None:
    (data_dir / "file").write_text("in the way")
    check_one_line(start(data_dir / "file"), 1, "file")


def test_a_second_server_over_the_same_data_leaves_the_first_alone(data_dir: Path) -> None:
    first = start_demo(data_dir)
    try:
        check_one_line(start(data_dir), 1, "in use by another process")
        with socket.create_connection(("127.0.0.1", int(first.http_url.rsplit(":", 1)[1]))) as http:
            http.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert http.recv(64).startswith(b"HTTP/1.1 200")
    finally:
        assert first.stop() == 0
