"""What queues up goes together, and each request answers for itself."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
from trio.testing import wait_all_tasks_blocked

from actors.batches import Batches
from actors.ports import StoreUnavailable


class Doubling:
    """Serves the first request at once, and what queues up behind it once the gate is open."""

    def __init__(self, batches_max: int) -> None:
        self.gate = trio.Event()
        self.served: list[list[int]] = []
        self.away = False
        self.answers: dict[int, object] = {}
        self.batches = Batches(self._serve, batches_max)

    async def _serve(self, numbers: Sequence[int]) -> list[int]:
        await self.gate.wait()
        self.served.append(list(numbers))
        if self.away:
            raise StoreUnavailable("away")
        if 13 in numbers:
            raise ValueError("13")
        return [2 * number for number in numbers]

    async def ask(self, number: int) -> None:
        try:
            self.answers[number] = await self.batches.do(number)
        except (ValueError, StoreUnavailable) as error:
            self.answers[number] = type(error)


@asynccontextmanager
async def asked(*numbers: int, batch_max: int = 64) -> AsyncIterator[Doubling]:
    """All at once; answered after the block."""
    doubling = Doubling(batch_max)
    async with trio.open_nursery() as serving:
        await serving.start(doubling.batches.run)
        async with trio.open_nursery() as asking:
            for number in numbers:
                asking.start_soon(doubling.ask, number)
                await wait_all_tasks_blocked()
            yield doubling
            doubling.gate.set()
        serving.cancel_scope.cancel()


async def test_what_queues_up_goes_together_in_its_order() -> None:
    async with asked(1, 2, 3, 4, 5, batch_max=3) as doubling:
        pass
    assert doubling.served == [[1], [2, 3, 4], [5]]
    assert doubling.answers == {1: 2, 2: 4, 3: 6, 4: 8, 5: 10}


async def test_who_is_at_fault_answers_alone_for_it() -> None:
    async with asked(1, 2, 13, 3) as doubling:
        pass
    assert doubling.served == [[1], [2, 13, 3], [2], [13], [3]]
    assert doubling.answers == {1: 2, 2: 4, 13: ValueError, 3: 6}


async def test_what_nobody_knows_nobody_is_told() -> None:
    async with asked(1, 2, 3) as doubling:
        doubling.away = True
    assert doubling.served == [[1], [2, 3]], "not again one by one"
    assert set(doubling.answers.values()) == {StoreUnavailable}


async def test_who_has_hung_up_is_served_all_the_same() -> None:
    async with asked(1) as doubling:
        with trio.move_on_after(0):
            await doubling.batches.do(2)
    assert doubling.served == [[1], [2]]
