"""Any transfers, in any batches, over any connections: the real ledger answers as the model does.

One batch after the other, the answers are the model's exactly. At the same time over several
connections, they are the model's in *some* order of the batches: in the order in which the database
wrote them, with those that wrote nothing fitted in between.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.ports import UserRecord
from actors.transfers import HoldState, Outcome, Transfer
from protocol.errors import Refusal
from protocol.tip_activated import MembershipTier
from server.store.bridge import Bridge
from server.store.database import Connection, open_database
from server.store.ledger_store import PostgresLedger
from server.store.store import Store
from tests.store.books import check_ledger
from tests.store.ledger_model import Model, Request
from tests.store.ledger_requests import Ask, AskRelease, Requests, batches
from tests.store.transfers import brief

FUNDED = {"ann": 60, "bob": 60}
CLIENTS_MAX = 4
_numbers = count(1)

EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "0"))
"""Set it for a long search, with new examples in each run; else they are few, and the same."""


def search(few: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=EXAMPLES or few,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.slow  # sixty examples of some forty requests each
async def test_batches_one_after_the_other_are_answered_as_by_the_model(store: Store) -> None:
    @search(60)
    @given(asked=batches(batches_max=10))
    def examples(asked: list[list[Ask]]) -> None:
        trio.from_thread.run(one_after_the_other, store, asked)

    await trio.to_thread.run_sync(examples)
    await check_ledger(store._database)


@pytest.mark.slow  # sixty examples of some forty requests each
async def test_batches_at_the_same_time_are_answered_as_by_the_model_in_some_order(
    store: Store, bridge: Bridge, database_dsn: str
) -> None:
    @search(60)
    @given(asked=batches(batches_max=16), clients=st.integers(2, CLIENTS_MAX))
    def examples(asked: list[list[Ask]], clients: int) -> None:
        turns = [asked[at::clients] for at in range(clients)]
        trio.from_thread.run(at_the_same_time, store, ledgers[:clients], turns)

    async with AsyncExitStack() as opened:
        ledgers = [
            PostgresLedger(await opened.enter_async_context(open_database(database_dsn, bridge, 1)))
            for _ in range(CLIENTS_MAX)
        ]
        await trio.to_thread.run_sync(examples)
    await check_ledger(store._database)


# ---- one example -------------------------------------------------------------------------------


@dataclass
class Posted:
    """One batch, and what was answered."""

    client: int
    transfers: list[Transfer]
    requests: list[Request]
    outcomes: list[Outcome]

    @property
    def firsts(self) -> list[str]:
        """The keys that it wrote."""
        return [
            transfer.source_ref
            for transfer, outcome in zip(self.transfers, self.outcomes, strict=True)
            if not isinstance(outcome, Refusal) and outcome.first
        ]


async def one_after_the_other(store: Store, asked: list[list[Ask]]) -> None:
    requests, model = await begin(store)
    done: list[Posted] = []
    for asks in asked:
        done.append(await post(0, asks, requests, store, store.ledger))
        assert brief(done[-1].outcomes) == model.post(done[-1].requests), asks
    check_repeats(done)
    await check_stand(store, requests, model)
    await release_all(store, requests, model)


async def at_the_same_time(
    store: Store, ledgers: list[PostgresLedger], turns: list[list[list[Ask]]]
) -> None:
    """`turns`: of each client its batches; it waits for the answer to one before the next."""
    requests, model = await begin(store)
    done: list[Posted] = []

    async def run(client: int) -> None:
        for asks in turns[client]:
            done.append(await post(client, asks, requests, store, ledgers[client]))

    async with trio.open_nursery() as nursery:
        for client in range(len(turns)):
            nursery.start_soon(run, client)
    check_repeats(done)
    fit_together(done, await written_at(store, done), model)
    await check_stand(store, requests, model)
    await release_all(store, requests, model)


async def begin(store: Store) -> tuple[Requests, Model]:
    """The example's own users with their first tokens, and a model that knows them."""
    requests = Requests(f"x{next(_numbers)}")
    for name, tokens in FUNDED.items():
        user_id = requests.named(name)
        await store.members.save_user(UserRecord(user_id, name, MembershipTier.FREE))
        await store.ledger.deposit(f"{user_id}-first", user_id, tokens)
    return requests, Model(await balances(store, requests))


async def post(
    client: int, asks: list[Ask], requests: Requests, store: Store, ledger: PostgresLedger
) -> Posted:
    prepared = await requests.prepare(asks, store.accounts)
    transfers = [transfer for transfer, _ in prepared]
    return Posted(client, transfers, [each for _, each in prepared], await ledger.post(transfers))


# ---- what must hold ----------------------------------------------------------------------------


def check_repeats(done: Iterable[Posted]) -> None:
    """Each key was written once, and all else that was answered to it is that first answer: text,
    balance and ids."""
    answers = [
        (transfer.source_ref, outcome)
        for each in done
        for transfer, outcome in zip(each.transfers, each.outcomes, strict=True)
        if not isinstance(outcome, Refusal)
    ]
    firsts = [(ref, outcome) for ref, outcome in answers if outcome.first]
    first = dict(firsts)
    assert len(first) == len(firsts)
    for ref, outcome in answers:
        assert msgspec.structs.replace(outcome, first=True) == first[ref]


def fit_together(done: list[Posted], written: dict[str, datetime], model: Model) -> None:
    """Leave `model` as it is after all of them. A batch that wrote nothing changed nothing: it fits
    where the model answers the same, between its client's other batches."""
    writing = sorted(
        (each for each in done if each.firsts), key=lambda each: written[each.firsts[0]]
    )
    stands = [deepcopy(model)]
    for each in writing:
        assert brief(each.outcomes) == model.post(each.requests)
        stands.append(deepcopy(model))
    reached: dict[int, int] = {}
    for each in done:  # of one client: in its order
        since = reached.get(each.client, 0)
        if each.firsts:
            now = 1 + next(at for at, other in enumerate(writing) if other is each)
            assert now > since
        else:
            answers = brief(each.outcomes)
            fitting = (
                at
                for at in range(since, len(stands))
                if deepcopy(stands[at]).post(each.requests) == answers
            )
            found = next(fitting, None)
            assert found is not None, (answers, each.requests)
            now = found
        reached[each.client] = now


async def check_stand(store: Store, requests: Requests, model: Model) -> None:
    """Balances, holds, refunds and events are those of the model."""
    assert await balances(store, requests) == model.balances
    for hold_id, (state, _) in model.holds.items():
        record = await store.accounts.load_hold(hold_id)
        assert record is not None
        assert record.state is state
    for ref, settled in model.settled.items():
        expected = msgspec.structs.replace(settled, refunded=model.refunded[ref])
        assert await store.accounts.load_settled(ref) == expected
    emitted = "SELECT tip_id FROM outbox WHERE room_id = $1 ORDER BY seq"
    assert [row["tip_id"] for row in await fetch(store, emitted, requests.own)] == model.events


async def release_all(store: Store, requests: Requests, model: Model) -> None:
    """Leave nothing in escrow that could hide what another example takes too much of."""
    held = [hold_id for hold_id, (state, _) in model.holds.items() if state is HoldState.HELD]
    asks: list[Ask] = [AskRelease(int(hold_id.partition("-h")[2])) for hold_id in held]
    posted = await post(0, asks, requests, store, store.ledger)
    assert brief(posted.outcomes) == model.post(posted.requests)
    assert (await balances(store, requests))["escrow"] == 0


async def balances(store: Store, requests: Requests) -> dict[str, int]:
    """Of the example's own accounts, and of those that all examples share."""
    rows = await fetch(
        store,
        "SELECT account_id, balance FROM accounts WHERE owner_id IS NULL OR owner_id LIKE $1",
        f"{requests.own}-%",
    )
    return {row["account_id"]: row["balance"] for row in rows}


async def written_at(store: Store, done: list[Posted]) -> dict[str, datetime]:
    refs = [ref for each in done for ref in each.firsts]
    rows = await fetch(
        store, "SELECT source_ref, created_at FROM transfers WHERE source_ref = ANY ($1)", refs
    )
    return {row["source_ref"]: row["created_at"] for row in rows}


async def fetch(store: Store, query: str, *args: object) -> list[Any]:
    async def read(connection: Connection) -> list[Any]:
        return await connection.fetch(query, *args)

    return await store._database.run(read)
