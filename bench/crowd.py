"""The members of one server, all in the load client in C (bench/native)."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec

from bench.contenders import Message, Running
from bench.meter import Meter, Used
from bench.native import NotCompiled, program
from bench.placement import pin
from bench.server import BenchFailed

JOIN_TIMEOUT_S: Final = 90.0


class Answer(msgspec.Struct, frozen=True):
    """Of one order, since it began to be measured. `cpu_s`: of the load client."""

    seconds: float
    cpu_s: float
    members: int
    """In now."""
    frames: int
    """With the marker, at all members."""
    others: int
    bytes: int
    reads: int
    published: int
    joined: int
    failures: dict[str, int]
    samples_ns: list[int]
    """Of a join or watch: from the TCP connection on; of a rate: from the send."""


class Measured(msgspec.Struct, frozen=True):
    answer: Answer
    used: Used


class Crowd:
    """Made by `open_crowd`. Each order returns when it is done; raises BenchFailed if the load
    client has ended."""

    def __init__(self, process: "subprocess.Popen[str]", running: Running, folder: Path) -> None:
        self._process = process
        self._running = running
        self._folder = folder

    @property
    def pid(self) -> int:
        return self._process.pid

    def join(self, count: int, at_once: int, timeout_s: float = JOIN_TIMEOUT_S) -> Answer:
        self._order(f"join {count} {at_once} {timeout_s}")
        return self._answer()

    def fill(self, members: int, first: int, at_once: int) -> Answer:
        """The `first` ones one after the other, then the rest. Raises BenchFailed if anybody is
        not in."""
        self.join(first, 1)
        joined = self.join(members - first, at_once)
        if joined.members != members:
            raise BenchFailed(f"{joined.members} of {members} are in: {joined.failures}")
        return joined

    def leave(self, first: int, count: int) -> Answer:
        self._order(f"leave {first} {count}")
        return self._answer()

    def window(self, message: Message, due: int, warm_up_s: float, s: float) -> Measured:
        """`due` messages are on their way to everyone at any time."""
        return self._measured(f"window {self._prepared(message)} {due} {warm_up_s} {s}")

    def rate(self, message: Message, per_s: float, warm_up_s: float, s: float) -> Measured:
        """Evenly spaced messages; how long each took to member 0."""
        return self._measured(f"rate {self._prepared(message)} {per_s} {warm_up_s} {s}")

    def begin_watch(
        self, marker: bytes, s: float, reconnects_per_s: float, first: int, count: int
    ) -> None:
        """Only receive, while these members drop out and come back in turn; `watched` waits. What
        comes once this has returned is counted."""
        self._order(f"watch {marker.hex()} {s} {reconnects_per_s} {first} {count}")
        self._line()  # "begun"

    def watched(self) -> Answer:
        return self._answer()

    def _measured(self, order: str) -> Measured:
        self._order(order)
        self._line()  # "begun"
        meter = Meter(self._running.pid, self._running.database_pids, self.pid)
        answer = self._answer()
        return Measured(answer, meter.total())

    def _prepared(self, message: Message) -> str:
        """FILE FIRST COUNT MARKER of an order."""
        path, dialect = self._folder / "message", self._running.dialect
        path.write_bytes(message.frame)
        return f"{path} {dialect.first_sender} {dialect.senders} {message.marker.hex()}"

    def _order(self, text: str) -> None:
        try:
            stream = _there(self._process.stdin)
            stream.write(text + "\n")
            stream.flush()
        except BrokenPipeError as error:
            raise BenchFailed("the load client has ended") from error

    def _answer(self) -> Answer:
        return msgspec.json.decode(self._line(), type=Answer)

    def _line(self) -> str:
        line = _there(self._process.stdout).readline()
        if not line:
            raise BenchFailed("the load client has ended; what it said is above")
        return line


@contextmanager
def open_crowd(running: Running, members: int, cores: list[int]) -> Iterator[Crowd]:
    """Nobody is in yet. Raises BenchFailed."""
    try:
        client = program("load_client")
    except NotCompiled as error:
        raise BenchFailed(str(error)) from error
    dialect = running.dialect
    with tempfile.TemporaryDirectory(prefix="tiproom-crowd-") as name:
        folder = Path(name)
        file = folder / "members"
        upgrade = dialect.upgrade(running.port)
        file.write_bytes(
            b"".join(
                len(part).to_bytes(4, "little") + part
                for number in range(members)
                for part in (upgrade, dialect.hello(number))
            )
        )
        command = [str(client), str(running.port), str(file), dialect.ready.hex()]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            pin(process.pid, cores)
            try:
                yield Crowd(process, running, folder)
            finally:
                process.kill()


def _there(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
