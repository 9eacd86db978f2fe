"""What queues up goes together: who is served with whom, and what one that fails or is cancelled
leaves to the others."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.batches import Batches
from actors.ports import StoreUnavailable

FAULTY = 13


class Desk:
    """Serves a batch when the test says so; the answer is the number of that batch."""

    def __init__(self, nursery: trio.Nursery, batch_max: int = 64) -> None:
        self.served: list[list[int]] = []
        self.away = False
        self.answers: dict[int, object] = {}
        self._nursery = nursery
        self._batches: Batches[int, int] = Batches(self._serve, batch_max)
        self._turns = trio.Semaphore(0)

    async def _serve(self, requests: Sequence[int]) -> list[int]:
        self.served.append(list(requests))
        number = len(self.served)
        await self._turns.acquire()
        if self.away:
            raise StoreUnavailable("away")
        if FAULTY in requests:
            raise ValueError(FAULTY)
        return [number] * len(requests)

    async def ask(self, *requests: int) -> list[trio.CancelScope]:
        scopes = [trio.CancelScope() for _ in requests]
        for request, scope in zip(requests, scopes, strict=True):
            self._nursery.start_soon(self._ask, request, scope)
            await wait_all_tasks_blocked()
        return scopes

    async def _ask(self, request: int, scope: trio.CancelScope) -> None:
        with scope:
            try:
                self.answers[request] = await self._batches.do(request)
            except (StoreUnavailable, ValueError) as error:
                self.answers[request] = type(error)

    async def answer(self, batches: int = 1) -> None:
        for _ in range(batches):
            self._turns.release()
            await wait_all_tasks_blocked()


async def test_who_asks_meanwhile_is_served_together(nursery: trio.Nursery) -> None:
    desk = Desk(nursery)
    await desk.ask(1)
    assert desk.served == [[1]], "alone, and at once"
    await desk.ask(2, 3, 4)
    assert desk.served == [[1]], "one batch at a time"
    await desk.answer()
    assert desk.answers == {1: 1}
    assert desk.served == [[1], [2, 3, 4]]
    await desk.answer()
    assert desk.answers == {1: 1, 2: 2, 3: 2, 4: 2}
    await desk.ask(5)
    assert desk.served[2:] == [[5]]


async def test_what_began_before_it_was_asked_is_no_answer(nursery: trio.Nursery) -> None:
    desk = Desk(nursery)
    await desk.ask(1, 1)
    await desk.answer()
    assert desk.served == [[1], [1]]


async def test_no_batch_is_larger_than_it_may_be(nursery: trio.Nursery) -> None:
    desk = Desk(nursery, batch_max=2)
    await desk.ask(1, 2, 3, 4, 5, 6)
    await desk.answer(4)
    assert desk.served == [[1], [2, 3], [4, 5], [6]]
    assert desk.answers == {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4}


async def test_who_is_at_fault_answers_alone_for_it(nursery: trio.Nursery) -> None:
    desk = Desk(nursery)
    await desk.ask(1, 2, FAULTY, 3)
    await desk.answer(5)
    assert desk.served[:2] == [[1], [2, FAULTY, 3]]
    assert sorted(desk.served[2:]) == [[2], [3], [FAULTY]]
    assert desk.answers.pop(FAULTY) is ValueError
    assert set(map(type, desk.answers.values())) == {int}


async def test_what_nobody_knows_nobody_is_told(nursery: trio.Nursery) -> None:
    desk = Desk(nursery)
    await desk.ask(1, 2, 3)
    await desk.answer()
    desk.away = True
    await desk.answer()
    assert desk.served == [[1], [2, 3]], "not again one by one"
    assert desk.answers == {1: 1, 2: StoreUnavailable, 3: StoreUnavailable}
    desk.away = False
    await desk.ask(4)
    await desk.answer()
    assert desk.answers[4] == 3


@pytest.mark.parametrize("serving", [False, True], ids=["while it waits", "while it is served"])
async def test_the_others_are_served_when_who_leads_them_is_cancelled(
    nursery: trio.Nursery, serving: bool
) -> None:
    desk = Desk(nursery)
    await desk.ask(1)
    leader, *_ = await desk.ask(2, 3, 4)
    if serving:
        await desk.answer()
    leader.cancel()
    await wait_all_tasks_blocked()
    await desk.answer(2)
    assert sorted(desk.served[-1]) == [3, 4]
    assert desk.answers == {1: 1, 3: len(desk.served), 4: len(desk.served)}


async def test_who_waits_may_be_cancelled(nursery: trio.Nursery) -> None:
    desk = Desk(nursery)
    await desk.ask(1)
    _, follower = await desk.ask(2, 3)
    follower.cancel()
    await desk.answer(2)
    assert desk.served == [[1], [2, 3]]
    assert desk.answers == {1: 1, 2: 2}
