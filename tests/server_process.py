"""A real server in a process of its own, started and stopped as an operator does."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0


class ServerProcess:
    """`http_url` and `socket_url` are known once it is ready. `log` holds its log lines."""

    def __init__(self, data_dir: Path, environment: dict[str, str]) -> None:
        self.data_dir = data_dir
        self.http_url = ""
        self.socket_url = ""
        self.log: list[dict[str, Any]] = []
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[str] | None = None
        self._ready = threading.Event()
        self._news = threading.Condition()

    def start(self, http_port: int = 0, socket_port: int = 0) -> None:
        """Until it takes requests. Raises AssertionError with its log if it does not."""
        # Of this process alone: the end of an earlier one is noticed at any time.
        self._ready = threading.Event()
        self.http_url = self.socket_url = ""
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "server.cli", "run", "--demo"),
                *("--data-dir", str(self.data_dir)),
                *("--http-port", str(http_port), "--socket-port", str(socket_port)),
            ],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        reading = (self._process.stderr, self._ready)
        threading.Thread(target=self._read, args=reading, daemon=True).start()
        assert self._ready.wait(READY_TIMEOUT_S), self.last_lines
        assert self.http_url, self.last_lines

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def database_dsn(self) -> str:
        """Of the PostgreSQL that it was given, or of its own while that runs."""
        socket_dir = self.data_dir / "postgres" / "cluster"
        own = f"postgresql://postgres@/postgres?host={socket_dir}"
        return self._environment.get("DATABASE_URL", own)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

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
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(by)
        return self._process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """As a power cut does: no clean-up of any kind."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)

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

    def _read(self, lines: IO[str], ready: threading.Event) -> None:
        with lines:
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


def start_demo(data_dir: Path, **environment: str) -> ServerProcess:
    """A seeded demo server on free ports. `environment`: TIPROOM_... settings."""
    server = ServerProcess(data_dir, environment)
    server.start()
    return server
