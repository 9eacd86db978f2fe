"""Where the processes run, what they used, and what else the machine was doing. Linux: /proc."""

import os
import platform
from pathlib import Path
from typing import Final

import msgspec

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Machine(msgspec.Struct, frozen=True):
    cpu: str
    cores: int
    """Those that this process may use."""
    kernel: str
    python: str
    load_average_before: float
    """Of the last minute: above 0 somebody else was busy."""


class Placement(msgspec.Struct, frozen=True):
    """Cores of each part. With two cores the database and the load client share one."""

    server: list[int]
    client: list[int]
    database: list[int]


def machine() -> Machine:
    return Machine(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        python=platform.python_version(),
        load_average_before=os.getloadavg()[0],
    )


def place() -> Placement:
    """The server alone on the first core, the client on the second, the database on the rest; with
    fewer cores the later ones share the last."""
    cores = sorted(os.sched_getaffinity(0))
    return Placement(
        server=cores[:1],
        client=cores[1:2] or cores[:1],
        database=cores[2:] or cores[-1:],
    )


def pin(pid: int, cores: list[int]) -> None:
    """A process that has just begun, its threads and children to come included. 0: this one."""
    os.sched_setaffinity(pid, cores)


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, that a process has used with all its threads; 0.0 once it is
    gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else 0.0


def rss_bytes(pid: int) -> int:
    """Resident memory of a live process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def pss_bytes(pid: int) -> int:
    """Its share of memory: what several processes map is divided among them."""
    return _named_bytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def own_bytes(pid: int) -> int:
    """Its anonymous memory, which nobody shares: what other processes do does not change it."""
    return _named_bytes(Path(f"/proc/{pid}/smaps_rollup"), "Anonymous:")


def slab_bytes() -> int:
    """What the kernel holds for its own objects, sockets among them, on the whole machine."""
    return _named_bytes(Path("/proc/meminfo"), "Slab:")


def family(pid: int) -> list[int]:
    """A process and its children of this moment (not theirs)."""
    found = [pid]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def machine_busy_s() -> float:
    """CPU seconds that all cores together have been busy since boot, other guests' included."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _idle, _iowait, irq, soft_irq, steal = (int(each) for each in first[1:9])
    return (user + nice + system + irq + soft_irq + steal) / _TICKS_PER_S


def _named_bytes(path: Path, name: str) -> int:
    """Of a line such as `Pss:   214 kB`."""
    found = next(line for line in path.read_text().splitlines() if line.startswith(name))
    return int(found.split()[1]) * 1024


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third, the state, on; empty for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 2 :].split()


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.split(":", 1)[1].split())
    return platform.machine()
