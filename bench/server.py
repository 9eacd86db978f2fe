"""The processes under load: the real server, and the PostgreSQL that it works with."""

import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

import trio

from bench.placement import family, pin
from server.store.embedded import SETTINGS, EmbeddedServer

READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 15.0
HTTP_TIMEOUT_S: Final = 30.0
LOG_TAIL_CHARACTERS: Final = 2000


class BenchFailed(Exception):
    """There is nothing to measure; the text says why."""


def allow_sockets(needed: int) -> None:
    """In this process and in those that it starts. Raises BenchFailed above the machine's limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed > hard:
        raise BenchFailed(
            f"{needed:,} sockets in one process are more than this machine allows ({hard:,}, "
            "ulimit -Hn)"
        )
    if needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class DatabaseProcess:
    """An embedded PostgreSQL of its own, so that it can have its own core."""

    def __init__(self, dsn: str, postmaster_pid: int, cores: list[int]) -> None:
        self.dsn = dsn
        self._postmaster_pid = postmaster_pid
        for pid in family(postmaster_pid):
            pin(pid, cores)

    def pids(self) -> list[int]:
        """Its processes of this moment; a pool's connections keep theirs."""
        return family(self._postmaster_pid)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside the block it answers nobody, and nobody is told so: the worst way to be down."""
        pids = self.pids()
        try:
            for pid in pids:
                _signal_if_there(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                _signal_if_there(pid, signal.SIGCONT)


@contextmanager
def run_database(
    data_dir: Path,
    cores: list[int],
    connections_max: int | None = None,
    *,
    keep_commit_times: bool = False,
) -> Iterator[DatabaseProcess]:
    """Empty at first; its folder is the caller's to remove. `connections_max`: None as always.
    `keep_commit_times`: of each transaction, for pg_xact_commit_timestamp."""
    more = {} if connections_max is None else {"max_connections": str(connections_max)}
    if keep_commit_times:
        more["track_commit_timestamp"] = "on"
    server = EmbeddedServer(data_dir, {**SETTINGS, **more})
    dsn = trio.run(server.start)
    try:
        postmaster = (data_dir / "cluster" / "postmaster.pid").read_text().split("\n", 1)[0]
        yield DatabaseProcess(dsn, int(postmaster), cores)
    finally:
        trio.run(server.stop)


class ServerProcess:
    """`tiproom run --demo` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, Any], token: str) -> None:
        """`token`: an admin's."""
        self._process = process
        self._token = token
        http_url, socket_url = urlsplit(ready["http_url"]), urlsplit(ready["socket_url"])
        assert http_url.port is not None
        assert socket_url.port is not None
        self.socket_port = socket_url.port
        self.http_port = http_url.port

    @property
    def pid(self) -> int:
        return self._process.pid

    def get(self, path: str) -> Any:
        """JSON, asked as an admin. Raises BenchFailed unless the answer is 200."""
        return json.loads(self._request("GET", path))

    def patch(self, path: str, change: dict[str, Any]) -> None:
        self._request("PATCH", path, json.dumps(change))

    def metrics(self) -> dict[str, float]:
        """/metrics: name with its labels -> value."""
        lines = self._request("GET", "/metrics").decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def _request(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=HTTP_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except OSError as error:
            raise BenchFailed(f"{method} {path}: the server does not answer") from error
        finally:
            connection.close()
        if response.status != 200:
            raise BenchFailed(f"{method} {path}: {response.status} {answer[:200]!r}")
        return answer


@contextmanager
def run_server(
    data_dir: Path,
    cores: list[int],
    dsn: str,
    token_secret: str,
    admin_token: str,
    settings: Mapping[str, str] | None = None,
    *,
    http_port: int = 0,
    socket_port: int = 0,
    on_standby: Callable[[], object] | None = None,
) -> Iterator[ServerProcess]:
    """Ready inside the block. `settings`: more TIPROOM_... of its environment. `on_standby`: called
    from another thread once it waits for another server to end. Raises BenchFailed
    when it does not come up or does not stop cleanly; a BenchFailed out of the block tells the end
    of its log, too."""
    data_dir.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "server.cli", "run", "--demo", "--data-dir", str(data_dir)),
            *("--http-port", str(http_port), "--socket-port", str(socket_port)),
        ],
        env={
            **os.environ,
            **(settings or {}),
            "DATABASE_URL": dsn,
            "TIPROOM_TOKEN_SECRET": token_secret,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = data_dir / "server.log"
    try:
        pin(process.pid, cores)
        yield ServerProcess(process, _wait_until_ready(process, log, on_standby), admin_token)
        process.terminate()
        status = process.wait(STOP_TIMEOUT_S)
        if status != 0:
            raise BenchFailed(f"the server ended with status {status}")
    except BenchFailed as error:
        said = log.read_text()[-LOG_TAIL_CHARACTERS:] if log.exists() else ""
        raise BenchFailed(f"{error}\nthe end of the server's log:\n{said}") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _signal_if_there(pid: int, number: signal.Signals) -> None:
    """PostgreSQL's workers come and go by themselves."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_until_ready(
    process: subprocess.Popen[str], log: Path, on_standby: Callable[[], object] | None
) -> dict[str, Any]:
    """The `ready` entry of the server's log. The rest of the log goes to a file by a thread that
    sleeps as long as nothing is logged."""
    assert process.stderr is not None
    found: dict[str, Any] = {}
    settled = threading.Event()

    def read(lines: IO[str]) -> None:
        with lines, log.open("w") as file:
            for line in lines:
                file.write(line)
                file.flush()
                if on_standby is not None and '"stands_by"' in line:
                    on_standby()
                if not found and '"ready"' in line:
                    found.update(json.loads(line))
                    settled.set()
        settled.set()

    threading.Thread(target=read, args=[process.stderr], daemon=True).start()
    if not settled.wait(READY_TIMEOUT_S) or not found:
        raise BenchFailed("the server did not come up")
    return found
