"""What changed of a user elsewhere reaches the rooms in which he is, and waits for none."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
import trio
from trio.testing import wait_all_tasks_blocked

from actors.ledger import Post
from actors.room.actor import MAILBOX_LIMIT, RoomActor
from actors.room.messages import Leave, MemberFrame
from actors.room.user_news import UserNews
from actors.transfers import NewHold, Release
from protocol import frames
from protocol.tip_activated import Item, ItemType
from tests.actors.house import House, in_house, on_virtual_clock, open_house
from tests.actors.ports import Database
from tests.actors.rooms import BROADCAST, GOLD, MODEL, ROOM, Inbox, record, viewer_join

ANN, ELSEWHERE, ELSEWHERE_TOO, BOB = 5, 6, 7, 8
OTHER_ROOM = "room-2"
DANCE = Item(ItemType.MENU_ITEM, "dance", "Private dance", "A dance for one", None, 0)


def new_hold(amount: int) -> NewHold:
    return NewHold(
        hold_id="hold-1",
        user_id="ann",
        room_id=ROOM,
        amount=amount,
        item=DANCE,
        broadcast_id=BROADCAST,
        model_id=MODEL,
        expires_at=None,
    )


def balances(house: House, session_id: int = ANN) -> list[int | None]:
    return [each.self.balance for each in house.sent(session_id, frames.SelfChanged)]


async def enter(house: House, room_id: str, session_id: int, user_id: str = "ann") -> RoomActor:
    room = await house.rooms.open(room_id)
    room.tell(viewer_join(session_id, user_id))
    await wait_all_tasks_blocked()
    return room


def two_rooms(test: Callable[[House], Awaitable[None]]) -> Callable[[], None]:
    async def main() -> None:
        other = msgspec.structs.replace(record(), room_id=OTHER_ROOM)
        database = Database([record(), other], {"ann": 1_000, "bob": 1_000})
        async with open_house(database) as house:
            await test(house)

    def run() -> None:
        on_virtual_clock(main)

    run.__name__ = test.__name__
    return run


@in_house
async def test_every_first_transfer_reaches_the_owners_page(house: House) -> None:
    await house.join_viewer(ANN, "ann")
    for _ in range(2):
        house.ledger.tell(Post(new_hold(100), Inbox()))
        await wait_all_tasks_blocked()
    assert balances(house) == [900]
    await house.tip(ANN, "tip-1", 2, amount=50)
    house.ledger.tell(Post(Release(house.database.books.holds["hold-1"]), Inbox()))
    await wait_all_tasks_blocked()
    assert balances(house) == [900, 850, 950]


@two_rooms
async def test_a_tip_in_one_room_reaches_the_tippers_pages_in_all_others(house: House) -> None:
    await enter(house, ROOM, ANN)
    await enter(house, OTHER_ROOM, ELSEWHERE)
    await enter(house, OTHER_ROOM, ELSEWHERE_TOO)
    await enter(house, OTHER_ROOM, BOB, "bob")
    await house.tip(ANN, "tip-1", 2, amount=50)
    await house.tip(ANN, "tip-1", 3, amount=50)  # a repeat changes nothing
    await house.tip(ANN, "tip-2", 4, amount=20)
    for session_id in (ANN, ELSEWHERE, ELSEWHERE_TOO):
        assert balances(house, session_id) == [950, 930]
    assert balances(house, BOB) == []


@two_rooms
async def test_changes_that_are_posted_together_arrive_in_the_order_of_posting(
    house: House,
) -> None:
    room = await enter(house, ROOM, ANN)
    await enter(house, OTHER_ROOM, ELSEWHERE)
    for number in range(3):
        tip = frames.Tip(number, f"tip-{number}", BROADCAST, 10)
        room.tell(MemberFrame(ANN, tip))
    house.ledger.tell(Post(new_hold(100), Inbox()))
    await wait_all_tasks_blocked()
    assert balances(house, ELSEWHERE)[-1] == house.database.books.balances["ann"] == 870
    assert balances(house, ANN) == balances(house, ELSEWHERE)


@in_house
async def test_what_changes_while_a_member_arrives_is_in_the_snapshot(house: House) -> None:
    """The database was read before the transfer, the room hears of the member after it."""
    room = await house.room()
    with house.rooms.arriving("ann") as arrival, house.rooms.arriving("ann") as other:
        read = await house.database.load_viewer("ann")
        house.ledger.tell(Post(new_hold(100), Inbox()))
        await wait_all_tasks_blocked()
        viewer = arrival.brought_up_to_date(read)
        assert other.brought_up_to_date(read) == viewer
        assert house.rooms.whereabouts.rooms_of("ann") == []
        room.tell(viewer_join(ANN, "ann", balance=viewer.balance))
        # From here on the room is told, although it has not let her in yet.
        UserNews(house.rooms.whereabouts).balance_changed("ann", 77)
    assert house.rooms.whereabouts.arrivals_of("ann") == []
    await wait_all_tasks_blocked()
    [snapshot] = house.sent(ANN, frames.Snapshot)
    assert snapshot.self.balance == 900
    assert balances(house) == [77]


@in_house
async def test_who_is_found_after_the_room_has_crashed(house: House) -> None:
    news, room = UserNews(house.rooms.whereabouts), await house.room()
    await house.join_viewer(ANN, "ann")
    nonsense: Any = object()
    room.tell(nonsense)
    await trio.sleep(1)  # on a virtual clock: it is up again
    assert room.restarts == 1
    news.balance_changed("ann", 7)
    news.tier_registered("ann", GOLD)
    await wait_all_tasks_blocked()
    own = house.sent(ANN, frames.SelfChanged)[-1].self
    assert (own.balance, own.membership_tier) == (7, GOLD)


@in_house
async def test_who_has_left_is_in_no_room(house: House) -> None:
    room, whereabouts = await house.room(), house.rooms.whereabouts
    await house.join_viewer(ANN, "ann")
    await house.join_viewer(ELSEWHERE, "ann")
    assert whereabouts.rooms_of("ann") == [room]
    await house.leave(ANN)
    assert whereabouts.rooms_of("ann") == [room]
    await house.leave(ELSEWHERE)
    assert whereabouts.rooms_of("ann") == whereabouts.rooms_of("bob") == []


@in_house
async def test_a_room_that_has_ended_has_nobody(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    room.mailbox.close()
    await wait_all_tasks_blocked()
    assert house.rooms.whereabouts.rooms_of("ann") == []
    again = await house.room()
    await house.join_viewer(ANN, "ann")
    assert again is not room
    assert house.rooms.whereabouts.rooms_of("ann") == [again]


@in_house
async def test_a_full_room_hears_of_a_balance_and_not_of_a_tier(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    for _ in range(MAILBOX_LIMIT):
        room.tell(Leave(999))
    news = UserNews(house.rooms.whereabouts)
    with structlog.testing.capture_logs() as lines:
        news.balance_changed("ann", 7)
        news.tier_registered("ann", GOLD)
    assert [line["event"] for line in lines] == ["tier_not_told"]
    await wait_all_tasks_blocked()
    assert balances(house) == [7]
