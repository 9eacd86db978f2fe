"""Consumers and the relay: each event once for each, whatever is handed over how often."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.consumers import relay
from actors.consumers.relay import INTERVAL_S, PAGE_PAUSE_S
from actors.ports import PendingEvents, RoomRecord, StoreUnavailable
from actors.room.actor import MAILBOX_LIMIT
from actors.room.messages import Inspect, Leave
from protocol import frames
from protocol.tip_activated import TipActivated
from tests.actors.house import House, in_house, on_virtual_clock, open_house
from tests.actors.ports import Database
from tests.actors.rooms import MODEL_PAGE, ROOM, Inbox, SteppedRoom, events, record

ANN = 5


def settled(*tip_ids: str) -> Database:
    """A database with tips that no consumer has heard of."""
    room = SteppedRoom()
    room.join_viewer(ANN, "ann")
    for tip_id in tip_ids:
        room.tip(ANN, tip_id, 50)
    database = Database([record()], {"ann": 1_000})
    for event in events(room):
        for waiting in database.undone.values():
            waiting[event.tip_id] = event
    return database


@in_house
async def test_loyalty_credits_each_tip_once(house: House) -> None:
    await house.join_viewer(ANN, "ann")
    await house.tip(ANN, "tip-1", 2)
    [event] = [event for _, event, _ in house.database.books.tips.values()]
    house.loyalty.hand(event)
    house.loyalty.hand(event)
    await wait_all_tasks_blocked()
    assert house.database.points == {"tip-1": 5}
    assert house.database.undone["loyalty"] == {}


def test_loyalty_hands_its_store_each_tip_once_in_a_batch() -> None:
    async def main() -> None:
        database = settled("tip-1", "tip-2")
        seen: list[int] = []
        credit = database.credit_points

        async def counting(batch: object) -> None:
            seen.append(len(batch))  # type: ignore[arg-type]
            await credit(batch)  # type: ignore[arg-type]

        database.credit_points = counting  # type: ignore[method-assign,assignment]
        async with open_house(database) as house:
            for event in [*database.undone["loyalty"].values()] * 3:
                house.loyalty.hand(event)
            await wait_all_tasks_blocked()
        assert seen == [2]

    on_virtual_clock(main)


def test_the_relay_brings_what_loyalty_could_not_store() -> None:
    async def main() -> None:
        database = Database([record()], {"ann": 1_000})
        failures = [StoreUnavailable(), ValueError("a fault of ours")]

        async def failing(call: str) -> None:
            if call == "credit_points" and failures:
                raise failures.pop()

        database.before = failing
        async with open_house(database, relay=True) as house:
            await house.join_viewer(ANN, "ann")
            await house.tip(ANN, "tip-1", 2)
            assert database.points == {}
            await trio.sleep(2 * INTERVAL_S + 1)
            assert database.points == {"tip-1": 5}

    on_virtual_clock(main)


def test_after_a_crash_between_commit_and_emission_each_consumer_gets_the_event_once() -> None:
    async def main() -> None:
        database = settled("tip-1")
        async with open_house(database, relay=True) as house:
            await wait_all_tasks_blocked()
            assert database.points == {"tip-1": 5}
            await house.join_model()
            [command] = house.sent(MODEL_PAGE, frames.Command)
            await trio.sleep(3 * INTERVAL_S)
            commands = house.sent(MODEL_PAGE, frames.Command)
            assert {each.command_id for each in commands} == {command.command_id}
            assert database.undone == {"room": {}, "loyalty": {}}

    on_virtual_clock(main)


def test_the_relay_goes_on_when_the_database_comes_back() -> None:
    async def main() -> None:
        database = settled("tip-1")

        async def away(_call: str) -> None:
            raise StoreUnavailable

        present, database.before = database.before, away
        async with open_house(database, relay=True):
            await trio.sleep(INTERVAL_S / 2)
            database.before = present
            await trio.sleep(INTERVAL_S)
            assert database.points == {"tip-1": 5}

    on_virtual_clock(main)


def test_a_consumer_that_the_relay_waits_for_delays_no_other() -> None:
    async def main() -> None:
        database = settled("tip-1")
        read = database.pending_events

        async def slow_for_rooms(consumer: str, after: int, limit: int) -> PendingEvents:
            if consumer == "room":
                await trio.sleep(3_600)
            return await read(consumer, after, limit)

        database.pending_events = slow_for_rooms  # type: ignore[method-assign]
        async with open_house(database, relay=True):
            await wait_all_tasks_blocked()
            assert database.points == {"tip-1": 5}

    on_virtual_clock(main)


def test_a_page_of_events_that_stay_undone_keeps_none_behind_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "EVENTS_PER_PAGE", 2)
    stuck = [f"stuck-{number}" for number in range(4)]

    async def main() -> None:
        database = settled(*stuck, "tip-1")
        credit = database.credit_points

        async def refusing(batch: Sequence[TipActivated]) -> None:
            await credit([each for each in batch if each.tip_id not in stuck])

        database.credit_points = refusing  # type: ignore[method-assign]
        async with open_house(database, relay=True):
            await trio.sleep(2 * PAGE_PAUSE_S + 0.1)
            assert database.points == {"tip-1": 5}
            database.credit_points = credit  # type: ignore[method-assign]
            await trio.sleep(INTERVAL_S + 2 * PAGE_PAUSE_S)
            assert sorted(database.points) == [*stuck, "tip-1"], "and they are asked for again"

    on_virtual_clock(main)


def test_a_room_that_is_being_woken_is_told_of_all_that_settles_meanwhile() -> None:
    async def main() -> None:
        database = settled("tip-1", "tip-2", "tip-3")
        early, *late = database.undone["room"].values()
        database.undone["room"] = {early.tip_id: early}
        loads: list[str] = []
        load = database.load_room

        async def slowly(room_id: str) -> RoomRecord | None:
            loads.append(room_id)
            record = await load(room_id)
            await trio.sleep(1)  # what is settled from here on is not in the record
            return record

        database.load_room = slowly  # type: ignore[method-assign]
        async with open_house(database) as house:
            house.toys.hand(early)
            await trio.sleep(0.5)
            for event in (*late, *late, early):
                house.toys.hand(event)
            await trio.sleep(1)
            room = house.rooms.awake(ROOM)
            assert room is not None
            inbox = Inbox()
            room.tell(Inspect(inbox))
            await wait_all_tasks_blocked()
            assert inbox.only.queue_waiting == 3
            assert loads == [ROOM]

    on_virtual_clock(main)


def test_an_event_wakes_the_room_that_sleeps() -> None:
    async def main() -> None:
        database = settled("tip-1", "tip-2")
        async with open_house(database) as house:
            assert house.rooms.awake(ROOM) is None
            for event in list(database.undone["room"].values()):
                house.toys.hand(event)
            await wait_all_tasks_blocked()
            room = house.rooms.awake(ROOM)
            assert room is not None
            inbox = Inbox()
            room.tell(Inspect(inbox))
            await wait_all_tasks_blocked()
            assert inbox.only.queue_waiting == 2

    on_virtual_clock(main)


@in_house
async def test_an_event_that_a_busy_room_cannot_take_is_left_to_the_relay(house: House) -> None:
    room = await house.room()
    [event] = settled("tip-1").undone["room"].values()
    for _ in range(MAILBOX_LIMIT):
        room.tell(Leave(999))
    house.toys.hand(event)
    await wait_all_tasks_blocked()
    assert room.mailbox.statistics().waiting == 0
    assert room.mailbox.statistics().refused == 1


def test_an_event_of_a_room_that_cannot_come_up_harms_nobody() -> None:
    async def main() -> None:
        database = settled("tip-1")
        del database.rooms[ROOM]
        async with open_house(database, relay=True):
            await trio.sleep(INTERVAL_S * 2)
            assert database.points == {"tip-1": 5}
            assert list(database.undone["room"]) == ["tip-1"]

    on_virtual_clock(main)


@in_house
async def test_loyalty_drains(house: House) -> None:
    await house.join_viewer(ANN, "ann")

    async def slow(call: str) -> None:
        await trio.sleep(1 if call == "credit_points" else 0)

    house.database.before = slow
    await house.tip(ANN, "tip-1", 2)
    await house.loyalty.drain()
    assert house.database.points == {"tip-1": 5}
