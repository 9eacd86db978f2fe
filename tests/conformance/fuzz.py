"""`python -m tests.conformance.fuzz --connections 100000 --seed 1`: so many hostile connections, of
many kinds, to a real server in a process of its own, while a member who does nothing wrong is in
the room. Exit status 1 if anything is wrong at the end.

The seed gives the same kinds with the same bytes in the same order; what meets in the server at one
moment it does not repeat.
"""

import argparse
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from prometheus_client.parser import text_string_to_metric_families

from server.store.demo import VIEWERS
from tests.conformance.hostile_clients import KINDS, SERVER_ENDS_S, End, Kind, Target
from tests.conformance.witness import Witness
from tests.e2e.site import ROOM, Site, new_data_dir, running_site, token
from tests.server_process import ServerProcess

AT_ONCE: Final = 64
"""Hostile connections, a crowd counted as one."""
HEARTBEAT_S: Final = 5.0
SETTINGS: Final = {
    "TIPROOM_SOCKETS__HANDSHAKE_TIMEOUT_S": "3",
    "TIPROOM_SOCKETS__CONNECT_TIMEOUT_S": "3",
    "TIPROOM_SOCKETS__JOIN_WAIT_S": "2",
    "TIPROOM_SOCKETS__CLOSE_TIMEOUT_S": "2",
    "TIPROOM_SOCKETS__HEARTBEAT_S": str(HEARTBEAT_S),
    "TIPROOM_SOCKETS__CONNECTIONS_PER_USER_MAX": "40",
}
"""Deadlines are shorter than by default, so that those that wait them out do not take an hour."""
SAMPLES: Final = 200
WITNESS: Final = "dee"
ATTACKERS: Final = [name for name in VIEWERS if name != WITNESS]
RSS_GROWTH_MAX: Final = 0.02
"""Of the last quarter's median over the third's; for both, the server has long been warm."""
MORE_MAX: Final = {"descriptors": 8, "tasks": 8, "MB": float("inf")}
"""Connections to the database may have been added under load, and stay; memory has a rule of its
own. Of the rest there must be no more after than before."""


class Sample(msgspec.Struct, frozen=True):
    connections: int
    rss_mb: float


class Report(msgspec.Struct, kw_only=True):
    connections: int
    ends: dict[str, int]
    samples: list[Sample]
    before: dict[str, float]
    after: dict[str, float]
    closes: dict[str, int]
    """By the server's own count, by close code."""
    log: dict[str, int]
    witness: Witness
    problems: list[str]
    seconds: float


def run_fuzz(
    connections: int,
    seed: str,
    say: Callable[[str], None],
    data_dir: Path,
    **environment: str,
) -> Report:
    """Over an empty `data_dir`. `say` is told how it goes."""
    with running_site(data_dir, **{**SETTINGS, **environment}) as site:
        attack = Attack(site, connections, seed, say)
        trio.run(attack.run)
        report = attack.report()
    report.problems += _problems_of_log(site.server)
    return report


class Attack:
    def __init__(self, site: Site, connections: int, seed: str, say: Callable[[str], None]) -> None:
        self._site = site
        self._wanted = connections
        self._seed = seed
        self._say = say
        port = int(site.server.socket_url.rsplit(":", 1)[1])
        self._target = Target(port, ROOM, [token("viewer", name) for name in ATTACKERS])
        self._witness = Witness(port, ROOM, token("viewer", WITNESS), HEARTBEAT_S)
        self._admin = token("admin", "root", room=None)
        self._drawn = 0
        self._ends: Counter[str] = Counter()
        self._problems: list[str] = []
        self._samples: list[Sample] = []
        self._before: dict[str, float] = {}
        self._after: dict[str, float] = {}
        self._began_s = time.monotonic()
        self._took_s = 0.0

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._witness.run)
            self._before = self._state()
            async with trio.open_nursery() as attackers:
                for _ in range(AT_ONCE):
                    attackers.start_soon(self._attack)
            self._took_s = time.monotonic() - self._began_s
            self._after = await self._come_to_rest()
            nursery.cancel_scope.cancel()
        self._witness.finish()

    async def _attack(self) -> None:
        while self._target.connections < self._wanted:
            number, self._drawn = self._drawn, self._drawn + 1
            chance = random.Random(f"{self._seed}:{number}")
            [kind] = chance.choices(list(KINDS), list(KINDS.values()))
            await self._one(number, kind, chance)
            self._sample()

    async def _one(self, number: int, kind: Kind, chance: random.Random) -> None:
        try:
            end = await kind(self._target, chance)
        except trio.BrokenResourceError:
            end = End.RESET
        except (AssertionError, OSError) as error:
            self._problems.append(f"connection {number}, {kind.__name__}: {error!r}")
            return
        self._ends[f"{kind.__name__}: {end}"] += 1

    def _sample(self) -> None:
        due = len(self._samples) * self._wanted / SAMPLES
        if self._target.connections >= due:
            rss_mb = _memory(self._site.server)
            self._samples.append(Sample(self._target.connections, rss_mb))
            if len(self._samples) % 10 == 1:
                took_s = time.monotonic() - self._began_s
                self._say(f"{self._target.connections} in {took_s:.0f} s, server {rss_mb:.0f} MB")

    async def _come_to_rest(self) -> dict[str, float]:
        """Once nobody but the witness is there, or it has been waited for long enough."""
        state = self._state()
        with trio.move_on_after(2 * SERVER_ENDS_S):
            while state["connections"] > self._before["connections"]:
                await trio.sleep(0.2)
                state = self._state()
        await trio.sleep(1.0)  # for what the witness has asked, and what tasks leave behind
        return self._state()

    def _state(self) -> dict[str, float]:
        """What the server has in use."""
        found = self._metrics()
        return {
            "connections": found["tiproom_connections"],
            "sessions": found["tiproom_sockets"],
            "joining": found["tiproom_joins_under_way"] + found["tiproom_joins_waiting"],
            "outbox bytes": found["tiproom_outbox_bytes"],
            "tasks": found["tiproom_tasks"],
            "descriptors": len(list(Path(f"/proc/{self._site.server.pid}/fd").iterdir())),
            "MB": _memory(self._site.server),
        }

    def _metrics(self) -> dict[str, float]:
        headers = {"Authorization": f"Bearer {self._admin}"}
        answer = self._site.http.get("/metrics", headers=headers)
        assert answer.status_code == 200, answer.status_code
        return {
            sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    def report(self) -> Report:
        metrics = self._metrics()
        closes = {
            name.split()[1]: int(count)
            for name, count in metrics.items()
            if name.startswith("tiproom_closes_total ")
        }
        problems = [*self._problems, *self._witness.problems, *self._problems_at_rest()]
        return Report(
            connections=self._target.connections,
            ends=dict(self._ends),
            samples=self._samples,
            before=self._before,
            after=self._after,
            closes=closes,
            log=dict(Counter(str(line.get("event")) for line in self._site.server.log)),
            witness=self._witness,
            problems=problems,
            seconds=self._took_s,
        )

    def _problems_at_rest(self) -> list[str]:
        problems = []
        if self._target.left_open:
            problems.append(f"{self._target.left_open} connections were not ended in time")
        for name, before in self._before.items():
            after = self._after[name]
            if after > before + MORE_MAX.get(name, 0):
                problems.append(f"{name}: {before:.0f} before, {after:.0f} after")
        third, last = self.quarters()
        if third and last > third * (1 + RSS_GROWTH_MAX):
            problems.append(f"memory grows: {third:.1f} MB, then {last:.1f} MB")
        return problems

    def quarters(self) -> tuple[float, float]:
        """The server's memory in the third and in the last quarter, MB; 0 for a short run."""
        return quarters(self._samples)


def quarters(samples: Sequence[Sample]) -> tuple[float, float]:
    quarter = len(samples) // 4
    if quarter < SAMPLES // 8:
        return 0.0, 0.0
    third = [sample.rss_mb for sample in samples[2 * quarter : 3 * quarter]]
    last = [sample.rss_mb for sample in samples[3 * quarter :]]
    return statistics.median(third), statistics.median(last)


def _memory(server: ServerProcess) -> float:
    """Resident, MB."""
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the server is not running")


def _problems_of_log(server: ServerProcess) -> list[str]:
    """Errors, and what is no line of its log: a traceback."""
    bad: list[dict[str, Any]] = [
        line for line in server.log if "text" in line or line.get("level") in ("error", "critical")
    ]
    return [f"log: {line}" for line in bad[:10]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.fuzz")
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--seed", default=None, help="default: a new one, which is printed")
    options = parser.parse_args(arguments)
    seed = options.seed or str(random.SystemRandom().randrange(10**9))
    print(f"{options.connections} connections, seed {seed}", flush=True)
    with new_data_dir() as data_dir:
        report = run_fuzz(options.connections, seed, partial(print, flush=True), data_dir)
    print_report(report)
    return 1 if report.problems else 0


def print_report(report: Report) -> None:
    witness = report.witness
    after_ms = sorted(1000 * each for each in witness.answered_after_s)
    print(f"\nconnections   {report.connections} in {report.seconds:.0f} s")
    by_end: Counter[str] = Counter()
    for name, count in report.ends.items():
        by_end[name.partition(": ")[2]] += count
    for end, count in by_end.most_common():
        print(f"  {count:>7}  {end}")
    closes = ", ".join(f"{code} {count}" for code, count in sorted(report.closes.items()))
    print(f"close codes   {closes}")
    for name, before in report.before.items():
        print(f"{name:<13} {before:.0f} before, {report.after[name]:.0f} after")
    third, last = quarters(report.samples)
    print(f"memory        third quarter {third:.1f} MB, last {last:.1f} MB (medians)")
    print(f"log           {report.log}")
    print(
        f"witness       {witness.tips} tips, {witness.notices} heard of, "
        f"answered after {statistics.median(after_ms):.1f} ms (p50), "
        f"{after_ms[int(0.99 * len(after_ms))]:.1f} ms (p99), {after_ms[-1]:.1f} ms (max)"
    )
    longest_s = witness.longest_without_ping_s
    print(f"heartbeats    {witness.pings}, at most {longest_s:.1f} s apart")
    print(f"problems      {len(report.problems)}")
    for problem in report.problems[:20]:
        print(f"  {problem}")


if __name__ == "__main__":
    sys.exit(main())
