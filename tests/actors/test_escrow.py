"""Holds that expire: given back in time, whatever happens to the database meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import structlog
import trio
from trio.testing import wait_all_tasks_blocked

from actors.escrow import HOLDS_PER_PASS, INTERVAL_S, run_hold_expiry
from actors.ledger import LedgerActor, Post
from actors.ports import StoreUnavailable
from actors.transfers import HoldRecord, HoldState, NewHold, Release
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

    async def expired_holds(self, limit: int) -> list[HoldRecord]:
        await self.before("expired_holds")
        expired = [
            each
            for each in self.books.holds.values()
            if each.state is HoldState.HELD
            and each.expires_at is not None
            and each.expires_at <= utc_now()
        ]
        self.found.append(len(expired[:limit]))
        return expired[:limit]

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
        for number in range(HOLDS_PER_PASS + 10):
            await database.hold(f"hold-{number}", 1)
        await trio.sleep(1)
        began_s = trio.current_time()
        async with at_work(database):
            while HoldState.HELD in database.states().values():
                await wait_all_tasks_blocked()
            assert trio.current_time() == began_s
        assert database.found == [HOLDS_PER_PASS, 10]
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
        stale = [*database.books.holds.values()]
        settled = msgspec.structs.replace(stale[0], state=HoldState.SETTLED)
        database.books.holds["hold"] = settled
        balances = dict(database.books.balances)

        async def as_it_was(_limit: int) -> list[HoldRecord]:
            return stale

        database.expired_holds = as_it_was  # type: ignore[method-assign]
        with structlog.testing.capture_logs() as lines:
            async with at_work(database):
                await trio.sleep(2 * INTERVAL_S)
        assert [line for line in lines if line["event"].startswith("expired_hold")] == []
        assert database.states() == {"hold": HoldState.SETTLED}
        assert database.books.balances == balances

    on_virtual_clock(main)


def test_a_hold_that_cannot_go_back_does_not_keep_the_others() -> None:
    async def main() -> None:
        database = Escrow()
        for number in range(HOLDS_PER_PASS):
            await database.hold(f"hold-{number}", 1)
        await trio.sleep(1)
        post = database.post

        async def refusing(batch: Any) -> list[Any]:
            outcomes = []
            for each in batch:
                bad = isinstance(each, Release) and each.hold.hold_id == "hold-3"
                outcomes += [Refusal(ErrorCode.INTERNAL)] if bad else await post([each])
            return outcomes

        database.post = refusing  # type: ignore[method-assign]
        with structlog.testing.capture_logs() as lines:
            async with at_work(database):
                await trio.sleep(2 * INTERVAL_S + 1)
        assert [hold_id for hold_id, state in database.states().items() if state == "HELD"] == [
            "hold-3"
        ]
        kept = [line["hold_id"] for line in lines if line["event"] == "expired_hold_kept"]
        assert kept == ["hold-3"] * 3, "tried once in each interval, not in a loop"

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
