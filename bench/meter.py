"""CPU of the parts over a stretch of time."""

import os
import time
from collections.abc import Sequence

import msgspec

from bench.placement import cpu_s, machine_busy_s


class Used(msgspec.Struct, frozen=True):
    """Percent of one core, over `seconds`."""

    seconds: float
    server_percent: float
    client_percent: float
    database_percent: float
    others_percent: float
    """Every process that is none of these three."""


class Meter:
    """Each `lap` tells what was used since the one before, `total` since the beginning. Cheap
    enough for the load client's loop: a dozen small files of /proc."""

    def __init__(
        self,
        server_pid: int | None,
        database_pids: Sequence[int] = (),
        client_pid: int | None = None,
    ) -> None:
        """`server_pid`: None where this process is all that there is beside the database.
        `client_pid`: None where this process is the load client."""
        self._server_pid = server_pid
        self._database_pids = tuple(database_pids)
        self._client_pid = os.getpid() if client_pid is None else client_pid
        self._first = self._last = self._read()

    def lap(self) -> Used:
        before, self._last = self._last, self._read()
        return _difference(before, self._last)

    def total(self) -> Used:
        return _difference(self._first, self._read())

    def _read(self) -> tuple[float, ...]:
        """Seconds: of the clock, the server, the client, the database, and all processes."""
        return (
            time.perf_counter(),
            0.0 if self._server_pid is None else cpu_s(self._server_pid),
            cpu_s(self._client_pid),
            sum(cpu_s(pid) for pid in self._database_pids),
            machine_busy_s(),
        )


def _difference(before: tuple[float, ...], after: tuple[float, ...]) -> Used:
    seconds, server, client, database, machine = (
        late - early for early, late in zip(before, after, strict=True)
    )
    percent = 100 / seconds
    return Used(
        seconds=seconds,
        server_percent=server * percent,
        client_percent=client * percent,
        database_percent=database * percent,
        others_percent=max(0.0, (machine - server - client - database) * percent),
    )
