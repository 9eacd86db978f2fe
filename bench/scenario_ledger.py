"""One hot room: the ledger's group commit beside the same settlements one transaction each.

Tippers each have a wallet, and one request at a time. The ways take turns, round by round, on one
embedded PostgreSQL with fsync on, so that what else the machine does meets all of them. One by one
is tried in three ways: asked of the actor, as a room does, with batches of one; straight from each
tipper's task, with the production's pool; and with a connection for each of 64 tippers. The best is
the baseline. The limits are measured in the same run: what the disk syncs, who used which CPU.
"""

import gc
import os
import statistics
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from actors.ledger import LedgerActor, Post
from actors.runtime.ask import Ask
from actors.runtime.moment import Chance
from actors.transfers import (
    HoldRecord,
    Outcome,
    Posted,
    Settled,
    Settlement,
    Transfer,
    wallet_owner,
)
from bench.distribution import NS_PER_MS, Spread, distribution
from bench.ledger_stock import Stock
from bench.load import NS_PER_S
from bench.meter import Meter, Used
from bench.progress import Progress
from bench.results import LedgerLoad, LedgerResult, SyncLimit
from bench.room_setup import fill_wallets
from bench.server import DatabaseProcess
from server.store.bridge import open_bridge
from server.store.database import Connection, Database, open_database
from server.store.ledger_store import PostgresLedger
from server.store.migrate import migrate
from server.store.store import SETTLING_CONNECTIONS, Store, open_store

GROUP_COMMIT: Final = "group commit"
ONE_BY_ONE: Final = "one by one"
NO_ACTOR: Final = "one by one, no actor"
TIPPERS: Final = (1, 8, 64, 256)
WALLETS: Final = 256
HOT_TIPPERS: Final = 64
"""At which the goal is set, and the mixed load runs."""
WIDE_CONNECTIONS: Final = 64
DATABASE_CONNECTIONS_MAX: Final = WIDE_CONNECTIONS + 40
"""Of the server: the wide pool's beside the store's own."""

_ANSWER_TIMEOUT_S: Final = 30.0
_STOCK_SPARE: Final = 1.5
"""Of requests, over what the round before used up in its time: some wallets are quicker."""
_FIRST_RATE_PER_S: Final = 3_000
_SYNCS: Final = 2_000
_SYNC_BYTES: Final = 8 * 1024
"""A page of PostgreSQL's log."""


class LedgerPlan(msgspec.Struct, frozen=True):
    rounds: int
    round_s: float
    tippers: tuple[int, ...] = TIPPERS
    """At once, ascending from 1."""


Posting = Callable[[Transfer], Awaitable[Outcome]]


@dataclass(slots=True)
class _Way:
    """One way to post, and what its rounds found."""

    name: str
    tippers: int
    connections: int
    post: Posting
    commits: Callable[[], int] | None
    """So far; None: each transfer is one."""
    rate_per_s: float = _FIRST_RATE_PER_S
    rounds: list["_Round"] = field(default_factory=list)


class _Round(msgspec.Struct, frozen=True):
    durations_ns: list[int]
    commits: int
    trio_cpu_s: float
    used: Used

    @property
    def per_s(self) -> float:
        return len(self.durations_ns) / self.used.seconds

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.durations_ns) / NS_PER_MS


def run_ledger(
    plan: LedgerPlan, database: DatabaseProcess, folder: Path, progress: Progress
) -> LedgerResult:
    """`folder`: on the database's disk."""
    return trio.run(_run, plan, database, folder, progress)


async def _run(
    plan: LedgerPlan, database: DatabaseProcess, folder: Path, progress: Progress
) -> LedgerResult:
    progress.step("ledger: the disk alone")
    sync = _sync_limit(folder)
    async with open_bridge() as bridge:
        await migrate(bridge, database.dsn)
        async with (
            open_store(database.dsn, bridge) as store,
            open_database(database.dsn, bridge, WIDE_CONNECTIONS) as wide,
            trio.open_nursery() as nursery,
        ):
            progress.step(f"ledger: {WALLETS} wallets are filled")
            await fill_wallets(store, WALLETS)
            group, single = (
                LedgerActor(store.ledger, []),
                LedgerActor(store.ledger, [], batch_max=1),
            )
            for actor in (group, single):
                await nursery.start(actor.run)
            bench = _Bench(plan, database, store, wide, group, single, progress)
            for tippers in plan.tippers:
                await bench.compare(tippers)
            await bench.mix()
            for actor in (group, single):
                await actor.drain()
            await bench.check_books()
    return bench.result(sync)


class _Bench:
    def __init__(
        self,
        plan: LedgerPlan,
        database: DatabaseProcess,
        store: Store,
        wide: Database,
        group: LedgerActor,
        single: LedgerActor,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._database = database
        self._store = store
        self._wide = wide
        self._wide_ledger = PostgresLedger(wide)
        self._group = group
        self._single = single
        self._progress = progress
        self._stock = Stock(WALLETS, Chance())
        self._ways: list[_Way] = []
        self._settled = 0
        self._failures: Counter[str] = Counter()

    # ---- loads ---------------------------------------------------------------------------

    async def compare(self, tippers: int) -> None:
        """Every way with so many tippers, in turn; the first round of each is a warm-up."""
        ways = [
            _asked(self._group, GROUP_COMMIT, tippers),
            _asked(self._single, ONE_BY_ONE, tippers),
            _straight(self._store.ledger, tippers, SETTLING_CONNECTIONS),
        ]
        if tippers > SETTLING_CONNECTIONS:
            ways.append(_straight(self._wide_ledger, tippers, WIDE_CONNECTIONS))
        self._progress.step(f"ledger: tips of {tippers} at once")
        for number in range(self._plan.rounds + 1):
            first = number % len(ways)
            for way in ways[first:] + ways[:first]:
                stock = self._stock.of(tippers)
                tips = [stock.tip() for _ in range(self._size(way))]
                await self._round(way, tips, is_warm_up=number == 0)
            self._progress.advance(number / self._plan.rounds, f"round {number}")
        self._ways += ways

    async def mix(self) -> None:
        """Group commit alone: tips, holds, their settlements and releases in equal parts."""
        way = _asked(self._group, f"{GROUP_COMMIT}, mixed", HOT_TIPPERS)
        self._progress.step(f"ledger: tips and holds of {HOT_TIPPERS} at once")
        for number in range(self._plan.rounds + 1):
            size = self._size(way)
            stock = self._stock.of(way.tippers)
            holds = await self._held(stock, -(-size // 2) + 2)
            await self._round(way, stock.mixed(size, holds), is_warm_up=number == 0)
            self._progress.advance(number / self._plan.rounds, f"round {number}")
        self._ways.append(way)

    def _size(self, way: _Way) -> int:
        return way.tippers + int(way.rate_per_s * self._plan.round_s * _STOCK_SPARE)

    async def _round(
        self, way: _Way, requests: Sequence[Transfer], *, is_warm_up: bool = False
    ) -> None:
        """Until its time is over, or the stock."""
        stocks: defaultdict[str, deque[Transfer]] = defaultdict(deque)
        for request in requests:
            stocks[wallet_owner(request)].append(request)
        durations_ns: list[int] = []
        clock = time.perf_counter_ns

        async def tipper(stock: deque[Transfer]) -> None:
            while stock and clock() < deadline_ns:
                request = stock.popleft()
                began_ns = clock()
                outcome = await way.post(request)
                durations_ns.append(clock() - began_ns)
                self._count(request, outcome)

        # The stock is there before the clock runs; no collection is to go through it meanwhile.
        gc.collect()
        gc.freeze()
        commits = way.commits() if way.commits is not None else 0
        cpu_s, meter = time.thread_time(), Meter(None, self._database.pids())
        deadline_ns = clock() + int(self._plan.round_s * NS_PER_S)
        async with trio.open_nursery() as nursery:
            for stock in stocks.values():
                nursery.start_soon(tipper, stock)
        used = meter.total()
        found = _Round(
            durations_ns,
            way.commits() - commits if way.commits is not None else len(durations_ns),
            time.thread_time() - cpu_s,
            used,
        )
        gc.unfreeze()
        way.rate_per_s = found.per_s
        if not is_warm_up:
            way.rounds.append(found)

    def _count(self, request: Transfer, outcome: Outcome) -> None:
        if not isinstance(outcome, Settled | Posted):
            self._failures[f"{type(request).__name__} refused, {outcome.code}"] += 1
        elif not outcome.first:
            self._failures[f"{type(request).__name__} taken for a repeat"] += 1
        elif isinstance(request, Settlement):
            self._settled += 1

    async def _held(self, stock: Stock, size: int) -> list[HoldRecord]:
        """So many new holds, as they stand in the ledger."""
        requests = [stock.hold() for _ in range(size)]
        async with trio.open_nursery() as nursery:
            for request in requests:
                nursery.start_soon(self._post_unmeasured, request)
        holds = [await self._store.accounts.load_hold(each.hold_id) for each in requests]
        return [hold for hold in holds if hold is not None]

    async def _post_unmeasured(self, request: Transfer) -> None:
        self._count(request, await _ask(self._group, request))

    # ---- what came of it -----------------------------------------------------------------

    async def check_books(self) -> None:
        """What the clients were told, and what the ledger has."""
        [[events, tokens]] = await self._wide.run(
            _fetch,
            "SELECT (SELECT count(*) FROM outbox), (SELECT sum(balance)::bigint FROM accounts)",
        )
        if events != self._settled:
            self._failures["settlement without its event, or an event without"] += abs(
                events - self._settled
            )
        if tokens != 0:
            self._failures["tokens from nowhere, or lost"] += abs(tokens)

    def result(self, sync: SyncLimit) -> LedgerResult:
        loads = [_load(way) for way in self._ways]
        ratios = {tippers: self._ratio(tippers) for tippers in self._plan.tippers}
        return LedgerResult(
            rounds=self._plan.rounds,
            round_s=self._plan.round_s,
            sync=sync,
            loads=loads,
            ratios=ratios,
            p50_ratio_alone=self._p50_ratio(ONE_BY_ONE),
            p50_ratio_no_actor=self._p50_ratio(NO_ACTOR),
            others_cpu_percent=max(each.others_cpu_percent for each in loads),
            failures=dict(self._failures),
        )

    def _ratio(self, tippers: int) -> Spread:
        """Throughput, over the best of the others."""
        group = self._way(GROUP_COMMIT, tippers)
        others = [
            way
            for way in self._ways
            if way.tippers == tippers and way.name in (ONE_BY_ONE, NO_ACTOR)
        ]
        best = max(others, key=lambda way: _spread_per_s(way).median)
        return _spread(
            ours.per_s / theirs.per_s
            for ours, theirs in zip(group.rounds, best.rounds, strict=True)
        )

    def _p50_ratio(self, name: str) -> Spread:
        """Of one tipper, over this other way."""
        group, other = self._way(GROUP_COMMIT, 1), self._way(name, 1)
        return _spread(
            ours.p50_ms / theirs.p50_ms
            for ours, theirs in zip(group.rounds, other.rounds, strict=True)
        )

    def _way(self, name: str, tippers: int) -> _Way:
        return next(way for way in self._ways if (way.name, way.tippers) == (name, tippers))


def _asked(actor: LedgerActor, name: str, tippers: int) -> _Way:
    """As the rooms and HTTP do."""
    return _Way(
        name,
        tippers,
        SETTLING_CONNECTIONS,
        partial(_ask, actor),
        lambda: actor.statistics().batches,
    )


def _straight(ledger: PostgresLedger, tippers: int, connections: int) -> _Way:
    async def post(transfer: Transfer) -> Outcome:
        [outcome] = await ledger.post([transfer])
        return outcome

    return _Way(NO_ACTOR, tippers, connections, post, None)


async def _ask(actor: LedgerActor, transfer: Transfer) -> Outcome:
    ask: Ask[Outcome] = Ask()
    actor.tell(Post(transfer, ask))
    return await ask.wait(_ANSWER_TIMEOUT_S)


def _load(way: _Way) -> LedgerLoad:
    rounds = way.rounds
    transfers = sum(len(each.durations_ns) for each in rounds)
    seconds = sum(each.used.seconds for each in rounds)
    commits = sum(each.commits for each in rounds)
    trio_s = sum(each.trio_cpu_s for each in rounds)
    python_s = sum(each.used.client_percent / 100 * each.used.seconds for each in rounds)
    database_s = sum(each.used.database_percent / 100 * each.used.seconds for each in rounds)
    others_s = sum(each.used.others_percent / 100 * each.used.seconds for each in rounds)
    return LedgerLoad(
        way=way.name,
        tippers=way.tippers,
        connections=way.connections,
        per_s=_spread_per_s(way),
        latency=distribution(each for one in rounds for each in one.durations_ns),
        latency_p50=_spread(each.p50_ms for each in rounds),
        per_commit=transfers / commits,
        commits_per_s=commits / seconds,
        trio_cpu_percent=trio_s / seconds * 100,
        bridge_cpu_percent=max(0.0, python_s - trio_s) / seconds * 100,
        database_cpu_percent=database_s / seconds * 100,
        others_cpu_percent=others_s / seconds * 100,
        python_us_per_transfer=python_s / transfers * 1e6,
        database_us_per_transfer=database_s / transfers * 1e6,
    )


def _spread_per_s(way: _Way) -> Spread:
    return _spread(each.per_s for each in way.rounds)


def _spread(values: Iterable[float]) -> Spread:
    ordered = sorted(values)
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])


def _sync_limit(folder: Path) -> SyncLimit:
    """In a file that is as long as it gets from the start, as a segment of PostgreSQL's log is."""
    path, page = folder / "sync-limit", os.urandom(_SYNC_BYTES)
    path.write_bytes(bytes(_SYNC_BYTES * _SYNCS))
    durations_ns: list[int] = []
    file = os.open(path, os.O_WRONLY)
    try:
        os.fsync(file)
        for number in range(_SYNCS):
            began_ns = time.perf_counter_ns()
            os.pwrite(file, page, number * _SYNC_BYTES)
            os.fdatasync(file)
            durations_ns.append(time.perf_counter_ns() - began_ns)
    finally:
        os.close(file)
        path.unlink()
    return SyncLimit(_SYNCS / (sum(durations_ns) / NS_PER_S), distribution(durations_ns))


async def _fetch(connection: Connection, query: str) -> list[Any]:
    return await connection.fetch(query)
