"""A real server in a process of its own, stopped as an operator does.

To import the server's modules is four fifths of its start. One process of a test run does so, and
every server is forked from it; tests/e2e/test_start_errors.py and tests/bench start theirs anew.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

from server import cli

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0

_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["__main__", "server.cli"])


class ServerProcess:
    """`http_url` and `socket_url` are known once it is ready. `log` holds its log lines."""

    def __init__(self, data_dir: Path, environment: dict[str, str]) -> None:
        self.data_dir = data_dir
        self.http_url = ""
        self.socket_url = ""
        self.log: list[dict[str, Any]] = []
        self._environment = {**os.environ, **environment}
        self._process: ForkServerProcess | None = None
        self._ready = threading.Event()
        self._news = threading.Condition()

    def start(self, http_port: int = 0, socket_port: int = 0) -> None:
        """Until it takes requests. Raises AssertionError with its log if it does not."""
        # Of this process alone: the end of an earlier one is noticed at any time.
        self._ready = threading.Event()
        self.http_url = self.socket_url = ""
        arguments = [
            *("run", "--demo", "--data-dir", str(self.data_dir)),
            *("--http-port", str(http_port), "--socket-port", str(socket_port)),
        ]
        reading, writing = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(
            target=_serve, args=(arguments, self._environment, writing), daemon=True
        )
        self._process.start()
        writing.close()  # the child's copy is the only one: its end is the end of the lines
        following = (reading, self._ready)
        threading.Thread(target=self._read, args=following, daemon=True).start()
        assert self._ready.wait(READY_TIMEOUT_S), self.last_lines
        assert self.http_url, self.last_lines

    @property
    def pid(self) -> int:
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def database_dsn(self) -> str:
        """Of the PostgreSQL that it was given, or of its own while that runs."""
        socket_dir = self.data_dir / "postgres" / "cluster"
        own = f"postgresql://postgres@/postgres?host={socket_dir}"
        return self._environment.get("DATABASE_URL", own)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def last_lines(self) -> list[dict[str, Any]]:
        """Enough of its log to see why."""
        return self.log[-20:]

    def logged(self, event: str) -> int:
        """How many lines of this event there are, of all its lives."""
        return sum(line.get("event") == event for line in self.log)

    def wait_for_line(self, event: str, **fields: Any) -> None:
        """Raises AssertionError with its log if no line of this event with these values comes."""
        wanted = {"event": event, **fields}.items()
        with self._news:
            came = self._news.wait_for(
                lambda: any(wanted <= line.items() for line in self.log), READY_TIMEOUT_S
            )
        assert came, self.last_lines

    def wait_until_logged(self, event: str, times: int) -> None:
        """Raises AssertionError with its log if it does not say so often enough in time."""
        with self._news:
            came = self._news.wait_for(lambda: self.logged(event) >= times, READY_TIMEOUT_S)
        assert came, self.last_lines

    def stop(self, by: signal.Signals = signal.SIGINT) -> int:
        """As Ctrl-C does. The exit status; an ended process gives its own."""
        if self.is_running:
            os.kill(self.pid, by)
        return self._ended()

    def kill(self) -> None:
        """As a power cut does: no clean-up of any kind."""
        assert self._process is not None
        self._process.kill()
        self._ended()

    @property
    def ports(self) -> tuple[int, int]:
        """Of HTTP and of sockets; of its last life, when it has ended."""
        http_port, socket_port = (
            int(url.rsplit(":", 1)[1]) for url in (self.http_url, self.socket_url)
        )
        return http_port, socket_port

    def restart(self) -> None:
        """On the same ports, so that pages find it again."""
        self.start(*self.ports)

    def _ended(self) -> int:
        """Its exit status. Raises AssertionError with its log if it does not end in time."""
        assert self._process is not None
        self._process.join(STOP_TIMEOUT_S)
        assert self._process.exitcode is not None, self.last_lines
        return self._process.exitcode

    def _read(self, reading: Connection, ready: threading.Event) -> None:
        with reading, open(reading.fileno(), encoding="utf-8", closefd=False) as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    entry = {"text": line.rstrip()}
                with self._news:
                    self.log.append(entry)
                    self._news.notify_all()
                if entry.get("event") == "ready":
                    self.http_url, self.socket_url = entry["http_url"], entry["socket_url"]
                    ready.set()
        ready.set()  # it has ended: whoever waits must see that


def _serve(arguments: Sequence[str], environment: Mapping[str, str], log: Connection) -> None:
    """In the new process, which has nothing of the test's but what it is given here."""
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    os.dup2(log.fileno(), sys.stderr.fileno())
    log.close()
    sys.exit(cli.main(arguments))


def start_demo(data_dir: Path, **environment: str) -> ServerProcess:
    """A seeded demo server on free ports. `environment`: TIPROOM_... settings."""
    server = ServerProcess(data_dir, environment)
    server.start()
    return server
