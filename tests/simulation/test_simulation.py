"""Hundreds of seeded runs of the whole system; and the proof that the checks can fail.

`SIMULATION_SEEDS=5000 pytest tests/simulation` runs more; `SIMULATION_SEED=17` runs that one
alone. A failure names its seed.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec
import pytest
import trio

from actors.audit_writer import AuditWriter
from actors.consumers.relay import INTERVAL_S
from actors.ledger import Consumer, LedgerActor, Post
from actors.ports import StoreUnavailable
from actors.target_step import AuditEntry, TargetStep, record_of
from actors.transfers import Outcome, Settlement, Transfer
from tests.actors.ports import Books, Database
from tests.simulation.world import World

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "150"))
SEEDS_PER_TEST = 10
CONTROL_SEEDS = 12
"""A broken system must be found within this many runs."""


def blocks() -> Iterator[range]:
    if "SIMULATION_SEED" in os.environ:
        seed = int(os.environ["SIMULATION_SEED"])
        yield range(seed, seed + 1)
        return
    for first in range(0, SEEDS, SEEDS_PER_TEST):
        yield range(first, min(first + SEEDS_PER_TEST, SEEDS))


@pytest.mark.slow  # ten runs of a quarter of an hour of virtual time each
@pytest.mark.parametrize(
    "seeds", list(blocks()), ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}"
)
def test_every_run_ends_well(seeds: range) -> None:
    for seed in seeds:
        world = World(seed)
        try:
            world.run()
        except BaseException as error:
            error.add_note(f"SIMULATION_SEED={seed}")
            raise
        assert world.problems() == [], f"SIMULATION_SEED={seed}"


@pytest.mark.slow  # several whole runs
def test_the_runs_have_faults_and_effects_worth_checking() -> None:
    worlds = [_run(World(seed)) for seed in range(24, 32)]  # three of them requeue
    assert sum(world.kills for world in worlds) >= 4
    assert sum(world.room_crashes for world in worlds) >= 8
    assert sum(len(world.database.books.tips) for world in worlds) >= 80
    states = {each.state for world in worlds for each in world.database.audit}
    assert len(states) >= 7, states
    # One run in six has one.
    more = (_run(World(seed)) for seed in range(8, 60))
    assert any(each.requeue for world in chain(worlds, more) for each in world.database.audit)
    assert sum(page.recovered for world in worlds for page in world.pages) >= 8


@pytest.mark.slow  # two whole runs
def test_a_seed_repeats_its_run() -> None:
    first, second = (_run(World(3)) for _ in range(2))
    assert first.database.audit == second.database.audit
    assert first.database.books.tips == second.database.books.tips
    assert first.database.batches == second.database.batches
    assert _run(World(4)).database.audit != first.database.audit


# ---- negative controls: systems that are broken, and must be found out -----------------------


class EmitsBeforeCommit(LedgerActor):
    """The event goes out while the transaction may still fail."""

    async def _post(self, batch: list[Post]) -> None:
        for request in batch:
            transfer = request.transfer
            for consumer in self._consumers:
                if isinstance(transfer, Settlement) and transfer.event is not None:
                    consumer.hand(transfer.event)
        await super()._post(batch)


class RelaysAfterLast:
    """Remembers, over crashes too, how far it has handed over, and asks for what came later: what
    a consumer was handed and did not finish never comes again."""

    def __init__(self) -> None:
        self._handed: Counter[str] = Counter()

    async def __call__(
        self,
        store: Database,
        consumers: Sequence[Consumer],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        task_status.started()
        while True:
            for consumer in consumers:
                events = [event for _, event, _ in store.books.tips.values()]
                for event in events[self._handed[consumer.name] :]:
                    consumer.hand(event)
                self._handed[consumer.name] = len(events)
            await trio.sleep(INTERVAL_S)


class ChargesRepeats(Books):
    """The same tipId again is settled again."""

    def post(self, request: Transfer) -> Outcome:
        assert isinstance(request, Settlement)
        self.tips.pop(request.tip_id, None)
        return super().post(request)


class LosesCommits(Books):
    """Acknowledges what it does not keep, as a database without fsync: every seventh tip."""

    def post(self, request: Transfer) -> Outcome:
        assert isinstance(request, Settlement)
        outcome = super().post(request)
        if len(self.tips) % 7 == 0 and request.event is not None:
            self.tips.pop(request.tip_id, None)
        return outcome


class MintsTokens(Books):
    def post(self, request: Transfer) -> Outcome:
        assert isinstance(request, Settlement)
        if request.event is not None:
            self.balances[request.model_id] = self.balances.get(request.model_id, 0) + 1
        return super().post(request)


class GivesUpAudit(AuditWriter):
    """What the database does not take at once is dropped."""

    async def _write_some(self) -> None:
        entries, finished = self._waiting.pop(0)
        records = [record_of(each, self._chance) for each in entries]
        self._durable += 1
        try:
            await self._store.append_audit(records, finished)
        except StoreUnavailable:
            self._log.error("dropped")
        self._written.unpark_all()


class FinishesTwice(AuditWriter):
    """Writes a final record once more, as a consumer would that took the event twice."""

    def write(
        self, entries: Sequence[AuditEntry], finished: Sequence[str], *, logged: bool = False
    ) -> None:
        again = [
            msgspec.structs.replace(each, attempt=each.attempt + 1)
            for each in entries
            if isinstance(each, TargetStep)
        ]
        super().write([*entries, *again] if finished else entries, finished, logged=logged)


@pytest.mark.slow  # whole runs, until one is found out
@pytest.mark.parametrize(
    ("broken", "symptom"),
    [
        ({"ledger_type": EmitsBeforeCommit}, "reached a consumer and is not settled"),
        ({"new_relay": RelaysAfterLast}, "loyalty has not done"),
        ({"books_type": ChargesRepeats}, "has not paid exactly"),
        ({"books_type": LosesCommits}, "was acknowledged and is not settled"),
        ({"books_type": MintsTokens}, "tokens are not conserved"),
        ({"audit_type": GivesUpAudit}, "final targets of"),
        ({"audit_type": FinishesTwice}, "final states"),
        ({"forgetful_toys": True}, "overlaps"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_broken_system_is_found_out(broken: dict[str, object], symptom: str) -> None:
    for seed in range(CONTROL_SEEDS):
        problems = _run(World(seed, **broken)).problems()  # type: ignore[arg-type]
        if any(symptom in problem for problem in problems):
            return
    raise AssertionError(f"{CONTROL_SEEDS} runs of a broken system, and nobody noticed")


def _run(world: World) -> World:
    world.run()
    return world
