"""What changed of a user elsewhere reaches the rooms in which he is, and waits for none."""

from typing import Any

import structlog
import trio
from trio.testing import wait_all_tasks_blocked

from actors.ledger import Post
from actors.room.actor import MAILBOX_LIMIT
from actors.room.messages import Leave
from actors.room.user_news import UserNews
from actors.transfers import NewHold, Release
from protocol import frames
from protocol.tip_activated import Item, ItemType
from tests.actors.house import House, in_house
from tests.actors.rooms import BROADCAST, GOLD, MODEL, ROOM, Inbox

ANN = 5
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


def balances(house: House) -> list[int | None]:
    return [each.self.balance for each in house.sent(ANN, frames.SelfChanged)]


@in_house
async def test_every_first_transfer_that_is_no_tip_reaches_the_owners_page(house: House) -> None:
    house.ledger.watch_wallets(UserNews(house.rooms))
    await house.join_viewer(ANN, "ann")
    for _ in range(2):
        house.ledger.tell(Post(new_hold(100), Inbox()))
        await wait_all_tasks_blocked()
    assert balances(house) == [900]
    await house.tip(ANN, "tip-1", 2, amount=50)
    house.ledger.tell(Post(Release(house.database.books.holds["hold-1"]), Inbox()))
    await wait_all_tasks_blocked()
    assert balances(house) == [900, 850, 950]


@in_house
async def test_who_is_found_after_the_room_has_crashed(house: House) -> None:
    news, room = UserNews(house.rooms), await house.room()
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
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    assert room.has_viewer("ann")
    await house.leave(ANN)
    assert not room.has_viewer("ann")
    assert not room.has_viewer("bob")


@in_house
async def test_a_room_that_is_too_full_is_left_alone(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    for _ in range(MAILBOX_LIMIT):
        room.tell(Leave(999))
    with structlog.testing.capture_logs() as lines:
        UserNews(house.rooms).balance_changed("ann", 7)
    assert [(line["event"], line["room_id"]) for line in lines] == [("news_not_told", ROOM)]
    await wait_all_tasks_blocked()
    assert balances(house) == []
