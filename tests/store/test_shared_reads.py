"""Reads that share a query: who is answered by which, and what a cancelled or failed one leaves."""

from collections.abc import Mapping, Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.ports import StoreUnavailable
from server.store.shared_reads import SharedReads


class Table:
    """Answers a query when the test says so, with the number of that query."""

    def __init__(self) -> None:
        self.queries: list[list[str]] = []
        self.failing = False
        self._answers = trio.Semaphore(0)

    async def read_all(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.queries.append(list(keys))
        number = len(self.queries)
        await self._answers.acquire()
        if self.failing:
            raise StoreUnavailable
        return dict.fromkeys(keys, number)

    async def answer(self) -> None:
        self._answers.release()
        await wait_all_tasks_blocked()


class Asked:
    """Who has asked, and what each was told."""

    def __init__(self, reads: SharedReads[int], nursery: trio.Nursery) -> None:
        self.told: dict[str, int | str] = {}
        self._reads = reads
        self._nursery = nursery

    async def ask(self, *keys: str) -> list[trio.CancelScope]:
        scopes = [trio.CancelScope() for _ in keys]
        for key, scope in zip(keys, scopes, strict=True):
            self._nursery.start_soon(self._ask, key, scope)
            await wait_all_tasks_blocked()
        return scopes

    async def _ask(self, key: str, scope: trio.CancelScope) -> None:
        with scope:
            try:
                self.told[key] = await self._reads.read(key)
            except StoreUnavailable:
                self.told[key] = "unavailable"


async def test_who_asks_meanwhile_is_read_together(nursery: trio.Nursery) -> None:
    table = Table()
    asked = Asked(SharedReads(table.read_all, 10), nursery)
    await asked.ask("a")
    assert table.queries == [["a"]], "alone, and at once"
    await asked.ask("b", "c", "b2")
    assert table.queries == [["a"]], "one at a time"
    await table.answer()
    assert asked.told == {"a": 1}
    assert table.queries == [["a"], ["b", "c", "b2"]]
    await table.answer()
    assert asked.told == {"a": 1, "b": 2, "c": 2, "b2": 2}
    await asked.ask("d")
    await table.answer()
    assert table.queries[2:] == [["d"]]


async def test_what_was_read_before_it_was_asked_is_no_answer(nursery: trio.Nursery) -> None:
    table = Table()
    reads = SharedReads(table.read_all, 10)
    one, two = Asked(reads, nursery), Asked(reads, nursery)
    await one.ask("a")
    await two.ask("a")
    await table.answer()
    assert (one.told, two.told) == ({"a": 1}, {})
    await table.answer()
    assert two.told == {"a": 2}


async def test_no_query_is_for_more_than_it_may(nursery: trio.Nursery) -> None:
    table = Table()
    asked = Asked(SharedReads(table.read_all, 2), nursery)
    await asked.ask("a", "b", "c", "d", "e", "f")
    for _ in range(4):
        await table.answer()
    assert table.queries == [["a"], ["b", "c"], ["d", "e"], ["f"]]
    assert asked.told == {"a": 1, "b": 2, "c": 2, "d": 3, "e": 3, "f": 4}


@pytest.mark.parametrize("reading", [False, True], ids=["while it waits", "while it reads"])
async def test_the_others_are_read_when_who_reads_for_them_is_cancelled(
    nursery: trio.Nursery, reading: bool
) -> None:
    table = Table()
    asked = Asked(SharedReads(table.read_all, 10), nursery)
    await asked.ask("a")
    leader, *_ = await asked.ask("b", "c", "d")
    if reading:
        await table.answer()
    leader.cancel()
    await wait_all_tasks_blocked()
    for _ in range(2):
        await table.answer()
    assert asked.told == {"a": 1, "c": len(table.queries), "d": len(table.queries)}
    assert sorted(table.queries[-1]) == ["c", "d"]


async def test_who_waits_may_be_cancelled(nursery: trio.Nursery) -> None:
    table = Table()
    asked = Asked(SharedReads(table.read_all, 10), nursery)
    await asked.ask("a")
    _, follower = await asked.ask("b", "c")
    follower.cancel()
    await table.answer()
    await table.answer()
    assert asked.told == {"a": 1, "b": 2}


async def test_a_query_that_fails_fails_those_who_shared_it(nursery: trio.Nursery) -> None:
    table = Table()
    asked = Asked(SharedReads(table.read_all, 10), nursery)
    await asked.ask("a", "b", "c")
    await table.answer()
    table.failing = True
    await table.answer()
    assert asked.told == {"a": 1, "b": "unavailable", "c": "unavailable"}
    table.failing = False
    await asked.ask("d")
    await table.answer()
    assert asked.told["d"] == 3
