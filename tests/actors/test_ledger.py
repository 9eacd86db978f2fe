"""The ledger actor: group commit, outcomes, and one emission of each event."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio
from trio.testing import wait_all_tasks_blocked

from actors.ledger import BATCH_MAX, LedgerActor, Post
from actors.ports import StoreUnavailable
from actors.transfers import Settled, Settlement
from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import TipActivated
from tests.actors.house import on_virtual_clock
from tests.actors.ports import Database
from tests.actors.rooms import Inbox, SteppedRoom, record


class Collector:
    """A consumer that writes down what it is handed."""

    name = "collector"

    def __init__(self) -> None:
        self.tip_ids: list[str] = []

    def hand(self, event: TipActivated) -> None:
        self.tip_ids.append(event.tip_id)


class Bench:
    """A ledger actor at work, with its database and one consumer."""

    def __init__(self) -> None:
        self.database = Database([record()], {"ann": 1_000, "cara": 1_000})
        self.consumer = Collector()
        self.actor = LedgerActor(self.database, [self.consumer])

    def submit(self, *settlements: Settlement) -> list[Inbox]:
        inboxes = [Inbox() for _ in settlements]
        for settlement, inbox in zip(settlements, inboxes, strict=True):
            self.actor.tell(Post(settlement, inbox))
        return inboxes


@asynccontextmanager
async def at_work() -> AsyncIterator[Bench]:
    bench = Bench()
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.actor.run)
        yield bench
        nursery.cancel_scope.cancel()


def settlements(
    count: int, amount: int = 10, prefix: str = "tip", tippers: Sequence[str] = ("ann",)
) -> list[Settlement]:
    """As a room submits them, of the tippers in turn."""
    room = SteppedRoom()
    room.holds_answers = True
    for number in range(count):
        session = 10 + number
        room.join_viewer(session, tippers[number % len(tippers)])
        room.state.purchases.clear()
        room.tip(session, f"{prefix}-{number}", amount)
    return [effect.transfer for effect in room.settlements]


def slowly(seconds: float) -> Callable[[str], object]:
    async def wait(call: str) -> None:
        await trio.sleep(seconds if call == "post" else 0)

    return wait


def test_a_tip_alone_waits_for_nothing() -> None:
    async def main() -> None:
        async with at_work() as bench:
            [inbox] = bench.submit(*settlements(1))
            await wait_all_tasks_blocked()
            assert trio.current_time() == 0
            assert isinstance(inbox.only, Settled)
            assert inbox.only.balance == 990
            assert bench.consumer.tip_ids == ["tip-0"]

    on_virtual_clock(main)


def test_what_queues_up_during_a_commit_goes_together_in_the_next() -> None:
    async def main() -> None:
        async with at_work() as bench:
            bench.database.before = slowly(1)  # type: ignore[assignment]
            requests = settlements(8)
            inboxes = bench.submit(requests[0])
            await trio.sleep(0.5)
            inboxes += bench.submit(*requests[1:])
            assert bench.actor.statistics().waiting == 7
            await trio.sleep(2)
            assert bench.database.batches == [1, 7]
            assert [inbox.only.balance for inbox in inboxes] == list(range(990, 910, -10))
            assert bench.consumer.tip_ids == [f"tip-{number}" for number in range(8)]
            statistics = bench.actor.statistics()
            assert (statistics.batches, statistics.settled, statistics.last_batch) == (2, 8, 7)

    on_virtual_clock(main)


def test_another_wallets_batch_is_under_way_meanwhile_and_no_wallet_is_in_two() -> None:
    async def main() -> None:
        async with at_work() as bench:
            bench.database.before = slowly(1)  # type: ignore[assignment]
            requests = settlements(5, tippers=("ann", "cara"))
            inboxes = bench.submit(*requests[:2])
            await trio.sleep(0.25)
            inboxes += bench.submit(*requests[2:])
            await trio.sleep(0.5)
            assert bench.actor.statistics().batches == 2
            await trio.sleep(0.5)
            assert bench.actor.statistics().batches == 4
            assert [inbox.only.balance for inbox in inboxes[:2]] == [990, 990]
            await trio.sleep(1)
            assert [inbox.only.balance for inbox in inboxes[2:]] == [980, 980, 970]

    on_virtual_clock(main)


def test_a_batch_is_bounded() -> None:
    async def main() -> None:
        async with at_work() as bench:
            bench.database.before = slowly(1)  # type: ignore[assignment]
            one = settlements(1)[0]
            bench.submit(*[one] * (BATCH_MAX + 5))
            await trio.sleep(3)
            assert bench.database.batches == [BATCH_MAX, 5]

    on_virtual_clock(main)


def test_one_bad_request_fails_alone() -> None:
    async def main() -> None:
        async with at_work() as bench:
            bench.database.before = slowly(1)  # type: ignore[assignment]
            small, large = settlements(2, 10), settlements(1, 5_000, "large")
            inboxes = bench.submit(small[0], large[0], small[1])
            await trio.sleep(2)
            assert bench.database.batches == [3]
            assert inboxes[1].only.code is ErrorCode.INSUFFICIENT_TOKENS
            assert [inboxes[0].only.balance, inboxes[2].only.balance] == [990, 980]
            assert bench.consumer.tip_ids == ["tip-0", "tip-1"]

    on_virtual_clock(main)


def test_a_repeat_is_answered_and_not_emitted_in_one_batch_or_later() -> None:
    async def main() -> None:
        async with at_work() as bench:
            [one] = settlements(1)
            inboxes = bench.submit(one, one)
            await wait_all_tasks_blocked()
            inboxes += bench.submit(one)
            await wait_all_tasks_blocked()
            assert [inbox.only.first for inbox in inboxes] == [True, False, False]
            assert {inbox.only.receipt for inbox in inboxes} == {inboxes[0].only.receipt}
            assert bench.consumer.tip_ids == ["tip-0"]

    on_virtual_clock(main)


def test_an_unknown_outcome_is_told_as_such_and_nothing_is_emitted() -> None:
    async def lost(call: str) -> None:
        if call == "post":
            raise StoreUnavailable

    async def main() -> None:
        async with at_work() as bench:
            bench.database.after = lost  # it is committed, and nobody hears of it
            requests = settlements(2)
            inboxes = bench.submit(*requests)
            await wait_all_tasks_blocked()
            assert {inbox.only.code for inbox in inboxes} == {ErrorCode.LEDGER_UNAVAILABLE}
            assert bench.consumer.tip_ids == []
            bench.database.after = slowly(0)  # type: ignore[assignment]
            [again] = bench.submit(requests[0])
            await wait_all_tasks_blocked()
            assert (again.only.balance, again.only.first) == (990, False)
            assert bench.consumer.tip_ids == [], "the relay's to hand over: it may be done already"

    on_virtual_clock(main)


def test_a_fault_in_the_store_ends_one_batch_and_not_the_ledger() -> None:
    faults = [ValueError("no such thing")]

    async def broken_once(_call: str) -> None:
        if faults:
            raise faults.pop()

    async def main() -> None:
        async with at_work() as bench:
            bench.database.before = broken_once
            requests = settlements(2)
            [first] = bench.submit(requests[0])
            await wait_all_tasks_blocked()
            [second] = bench.submit(requests[1])
            await wait_all_tasks_blocked()
            assert first.only == Refusal(ErrorCode.LEDGER_UNAVAILABLE)
            assert isinstance(second.only, Settled)

    on_virtual_clock(main)


def test_drain_settles_what_waits_and_takes_no_more() -> None:
    async def main() -> None:
        async with at_work() as bench:
            bench.database.before = slowly(1)  # type: ignore[assignment]
            inboxes = bench.submit(*settlements(3))
            await bench.actor.drain()
            assert all(isinstance(inbox.only, Settled) for inbox in inboxes)

    on_virtual_clock(main)
