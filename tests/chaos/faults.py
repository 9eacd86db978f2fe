"""What is done to a running system: nobody is asked, nothing is tidied up."""

import os
import select
import signal
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from tests.server_process import ServerProcess

RESTARTED: Final = "embedded_postgresql_restarted"
"""What the server logs when it has brought its PostgreSQL up again."""
DEATH_TIMEOUT_S: Final = 10.0


class Fault(StrEnum):
    SERVER = "server"
    """SIGKILL of the server's process; PostgreSQL lives on."""
    DATABASE_STOP = "database stop"
    """PostgreSQL's immediate stop, while the server runs."""
    DATABASE_KILL = "database kill"
    """SIGKILL of all of PostgreSQL's processes, while the server runs."""
    MACHINE = "machine"
    """Both at once, as when the power goes. What the kernel was told to write, it writes."""

    @property
    def hits_server(self) -> bool:
        return self in (Fault.SERVER, Fault.MACHINE)

    @property
    def hits_database(self) -> bool:
        return self is not Fault.SERVER


def strike(fault: Fault, server: ServerProcess) -> None:
    """Return when whoever was hit is dead."""
    if fault is Fault.DATABASE_STOP:
        stop_database(server.data_dir / "postgres")
    elif fault.hits_database:
        kill_database(server.data_dir / "postgres")
    if fault.hits_server:
        server.kill()


def recover(fault: Fault, server: ServerProcess, restarts_before: int) -> None:
    """What an operator has to do: start a dead server. A dead PostgreSQL is the server's affair:
    returns when it has brought that up. `restarts_before`: how often it had, before the fault."""
    if fault.hits_server:
        server.restart()
    else:
        server.wait_until_logged(RESTARTED, restarts_before + 1)


def stop_database(data_dir: Path) -> None:
    """`pg_ctl stop -m immediate`: no checkpoint, no goodbye; the next start replays the log."""
    _end([(postmaster(data_dir), signal.SIGQUIT)])


def kill_database(data_dir: Path) -> None:
    """The postmaster first: it would begin a recovery when it sees its children die."""
    parent = postmaster(data_dir)
    _end([(pid, signal.SIGKILL) for pid in (parent, *_children(parent))])


def postmaster(data_dir: Path) -> int:
    """The process id of the embedded PostgreSQL over `data_dir`."""
    return int((data_dir / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
            # The name, in brackets, may hold anything; the parent is the second field after it.
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def _end(signals: list[tuple[int, signal.Signals]]) -> None:
    """Send them all, then wait until all those processes are dead. They are no children of ours,
    and a number is soon someone else's: each is held by its descriptor."""
    held: list[tuple[int, signal.Signals]] = []
    try:
        for pid, number in signals:
            try:
                held.append((os.pidfd_open(pid), number))
            except ProcessLookupError:  # it has just ended
                continue
        for process, number in held:
            with suppress(ProcessLookupError):  # dead by itself, now that its parent is
                signal.pidfd_send_signal(process, number)
        for process, _ in held:
            poll = select.poll()
            poll.register(process, select.POLLIN)
            assert poll.poll(DEATH_TIMEOUT_S * 1_000), "it does not die"
    finally:
        for process, _ in held:
            os.close(process)
