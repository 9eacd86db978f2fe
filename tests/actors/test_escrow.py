"""Holds that expire: given back in time, whatever happens to the database meanwhile."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
import trio
from trio.testing import wait_all_tasks_blocked

from actors.escrow import HOLDS_PER_PAGE, INTERVAL_S, KEPT_REST_S, _Sweep, run_hold_expiry
from actors.ledger import LedgerActor, Post
from actors.ports import ExpiredHold, StoreUnavailable
from actors.transfers import HoldState, NewHold, Release
from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import Item, ItemType
from tests.actors.house import on_virtual_clock, utc_now
from tests.actors.ports import ESCROW, Database
from tests.actors.rooms import BROADCAST, MODEL, ROOM, Inbox, record

DANCE = Item(ItemType.MENU_ITEM, "dance", "Private dance", "A dance for one", None, 0)


class Escrow(Database):
    """Finds expired holds, too; `found` is how many each time."""

    def __init__(self) -> None:
        super().__init__([record()], {"ann": 1_000})
        self.found: list[int] = []
        self.ledger = LedgerActor(self, [])

    async def expired_holds(self, after: ExpiredHold | None, limit: int) -> list[ExpiredHold]:
        await self.before("expired_holds")
        expired = [
            ExpiredHold(
                hold_id=each.hold_id,
                user_id=each.user_id,
                amount=each.amount,
                expires_at=each.expires_at,
            )
            for each in self.books.holds.values()
            if each.state is HoldState.HELD
            and each.expires_at is not None
            and each.expires_at <= utc_now()
        ]
        expired.sort(key=_place)
        page = [each for each in expired if after is None or _place(each) > _place(after)][:limit]
        self.found.append(len(page))
        return page

    async def hold(self, hold_id: str, expires_in_s: float | None, amount: int = 1) -> None:
        in_time = None if expires_in_s is None else timedelta(seconds=expires_in_s)
        [outcome] = await self.post(
            [
                NewHold(
                    hold_id=hold_id,
                    user_id="ann",
                    room_id=ROOM,
                    amount=amount,
                    item=DANCE,
                    broadcast_id=BROADCAST,
                    model_id=MODEL,
                    expires_at=None if in_time is None else utc_now() + in_time,
                )
            ]
        )
        assert not isinstance(outcome, Refusal)

    def states(self) -> dict[str, HoldState]:
        return {each.hold_id: each.state for each in self.books.holds.values()}


def _place(hold: ExpiredHold) -> tuple[datetime, str]:
    return hold.expires_at, hold.hold_id


@asynccontextmanager
async def at_work(database: Escrow) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(database.ledger.run)
        await nursery.start(run_hold_expiry, database, database.ledger)
        yield
        nursery.cancel_scope.cancel()


def test_an_expired_hold_goes_back_and_others_stay() -> None:
    async def main() -> None:
        database = Escrow()
        await database.hold("short", 12, 300)
        await database.hold("long", 1_000, 30)
        await database.hold("for ever", None, 7)
        async with at_work(database):
            await trio.sleep(11)
            assert database.books.balances["ann"] == 663
            await trio.sleep(1 + INTERVAL_S)
            assert database.books.balances["ann"] == 963
            assert database.books.balances[ESCROW] == 37
        held = HoldState.HELD
        assert database.states() == {"short": HoldState.REFUNDED, "long": held, "for ever": held}

    on_virtual_clock(main)


def test_what_expired_while_no_server_ran_goes_back_at_once() -> None:
    async def main() -> None:
        database = Escrow()
        await database.hold("hold", 1)
        await trio.sleep(3_600)
        async with at_work(database):
            await wait_all_tasks_blocked()
            assert database.states() == {"hold": HoldState.REFUNDED}

    on_virtual_clock(main)


def test_a_full_page_is_followed_by_the_next_at_once() -> None:
    async def main() -> None:
        database = Escrow()
        for number in range(HOLDS_PER_PAGE + 10):
            await database.hold(f"hold-{number}", 1)
        await trio.sleep(1)
        began_s = trio.current_time()
        async with at_work(database):
            while HoldState.HELD in database.states().values():
                await wait_all_tasks_blocked()
            assert trio.current_time() == began_s
        assert database.found == [HOLDS_PER_PAGE, 10]
        assert database.books.balances["ann"] == 1_000

    on_virtual_clock(main)


def test_a_database_that_fails_is_asked_again() -> None:
    """Once it cannot be read; once the outcome of the release is not heard of."""

    async def main() -> None:
        database = Escrow()
        await database.hold("hold", 1, 300)
        await trio.sleep(1)
        failing = ["expired_holds", "post"]
        before, after = database.before, database.after

        async def fail_reading(call: str) -> None:
            if call == "expired_holds" and call in failing:
                failing.remove(call)
                raise StoreUnavailable
            await before(call)

        async def fail_posted(call: str) -> None:
            if call in failing:
                failing.remove(call)
                raise StoreUnavailable
            await after(call)

        database.before, database.after = fail_reading, fail_posted
        with structlog.testing.capture_logs() as lines:
            async with at_work(database):
                await trio.sleep(3 * INTERVAL_S)
        assert failing == []
        assert database.books.balances["ann"] == 1_000
        assert database.states() == {"hold": HoldState.REFUNDED}
        told = [line["event"] for line in lines if line["event"].startswith("expired_hold")]
        assert told == ["expired_holds_wait", "expired_hold_kept"]

    on_virtual_clock(main)


def test_a_hold_that_ended_in_between_is_no_error() -> None:
    """Another server, or the platform itself, was faster."""

    async def main() -> None:
        database = Escrow()
        await database.hold("hold", 1)
        await trio.sleep(1)
        stale = await database.expired_holds(None, 1)
        held = database.books.holds["hold"]
        database.books.holds["hold"] = msgspec.structs.replace(held, state=HoldState.SETTLED)
        balances = dict(database.books.balances)

        async def as_it_was(_after: ExpiredHold | None, _limit: int) -> list[ExpiredHold]:
            return stale

        database.expired_holds = as_it_was  # type: ignore[method-assign]
        with structlog.testing.capture_logs() as lines:
            async with at_work(database):
                await trio.sleep(2 * INTERVAL_S)
        assert [line for line in lines if line["event"].startswith("expired_hold")] == []
        assert database.states() == {"hold": HoldState.SETTLED}
        assert database.books.balances == balances

    on_virtual_clock(main)


def refuse_to_release(database: Escrow, refused: Callable[[str], bool]) -> None:
    post = database.post

    async def refusing(batch: Any) -> list[Any]:
        outcomes = []
        for each in batch:
            bad = isinstance(each, Release) and refused(each.hold.hold_id)
            outcomes += [Refusal(ErrorCode.INTERNAL)] if bad else await post([each])
        return outcomes

    database.post = refusing  # type: ignore[method-assign]


def test_more_holds_than_a_page_that_cannot_go_back_do_not_keep_the_others() -> None:
    async def main() -> None:
        database = Escrow()
        for number in range(HOLDS_PER_PAGE + 1):
            await database.hold(f"bad-{number}", 1)
        await database.hold("good", 2)  # expires behind all of them
        await trio.sleep(2)
        refuse_to_release(database, lambda hold_id: hold_id.startswith("bad"))
        async with at_work(database):
            await wait_all_tasks_blocked()
            assert database.states()["good"] is HoldState.REFUNDED
        assert list(database.states().values()).count(HoldState.HELD) == HOLDS_PER_PAGE + 1

    on_virtual_clock(main)


def test_a_hold_that_was_refused_is_tried_again_later() -> None:
    async def main() -> None:
        database = Escrow()
        for number in range(3):
            await database.hold(f"hold-{number}", 1)
        await trio.sleep(1)
        healed: list[str] = []
        refuse_to_release(database, lambda hold_id: hold_id == "hold-1" and not healed)
        with structlog.testing.capture_logs() as lines:
            async with at_work(database):
                await trio.sleep(KEPT_REST_S - 1)
                assert [each for each, state in database.states().items() if state == "HELD"] == [
                    "hold-1"
                ]
                healed.append("hold-1")
                await trio.sleep(INTERVAL_S + 1)
        assert database.states()["hold-1"] is HoldState.REFUNDED
        kept = [line["hold_id"] for line in lines if line["event"] == "expired_hold_kept"]
        assert kept == ["hold-1"], "tried once, and not every few seconds"

    on_virtual_clock(main)


def test_a_hold_that_was_refused_and_ended_in_another_way_is_forgotten() -> None:
    async def main() -> None:
        database = Escrow()
        await database.hold("hold", 1)
        await trio.sleep(1)
        refuse_to_release(database, lambda _: True)
        sweep = _Sweep(database.ledger)
        async with at_work(database):
            await sweep.give_back(await database.expired_holds(None, 1))
            assert list(sweep._rests_until_s) == ["hold"]
            await trio.sleep(KEPT_REST_S + 1)
            await sweep.give_back([])
            assert not sweep._rests_until_s

    on_virtual_clock(main)


def test_a_fault_of_ours_ends_no_server() -> None:
    async def main() -> None:
        database = Escrow()
        await database.hold("hold", 1)
        await trio.sleep(1)
        faults = [ValueError("a fault of ours")]

        async def fail(call: str) -> None:
            if call == "expired_holds" and faults:
                raise faults.pop()

        database.before = fail
        async with at_work(database):
            await trio.sleep(INTERVAL_S + 1)
            assert database.states() == {"hold": HoldState.REFUNDED}

    on_virtual_clock(main)


# ---- whom the ledger tells of a wallet ---------------------------------------------------------


class Watcher:
    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def balance_changed(self, user_id: str, balance: int) -> None:
        self.told.append((user_id, balance))


def test_the_owner_of_a_wallet_is_told_of_a_release_once() -> None:
    async def main() -> None:
        database, watcher = Escrow(), Watcher()
        database.ledger.watch_wallets(watcher)
        await database.hold("hold", None, 300)
        release = Release(database.books.holds["hold"])
        async with at_work(database):
            inboxes = [Inbox(), Inbox()]
            for inbox in inboxes:
                database.ledger.tell(Post(release, inbox))
            await wait_all_tasks_blocked()
        assert [inbox.only.first for inbox in inboxes] == [True, False]
        assert watcher.told == [("ann", 1_000)]

    on_virtual_clock(main)
