"""Frames that others hand to a room: delivered as they are, in their place, and answered for."""

import msgspec
from trio.testing import wait_all_tasks_blocked

from actors.room.actor import MAILBOX_LIMIT
from actors.room.messages import PublishEvent, SendToUser
from protocol import frames
from protocol.errors import Refusal
from protocol.mood_messages import MessageType, Mood
from tests.actors.house import House, in_house
from tests.actors.rooms import MODEL, MODEL_PAGE, Inbox, viewer_join

ANN, BOB = 5, 6
MOOD = frames.MoodChanged("", 0, Mood.HAPPY, 80, None)
THANKS = frames.PublicMessage(
    "", 0, "m-1", MessageType.PUBLIC_MICRO, "Aurora", Mood.HAPPY, "Thank you!", 0
)
WANTED = frames.ReceiptWanted("m-1")


@in_house
async def test_an_event_takes_its_place_among_the_rooms_own(house: House) -> None:
    await house.join_viewer(ANN, "ann")
    await house.join_model()
    room, inbox = await house.room(), Inbox()
    room.tell(PublishEvent(MOOD, inbox))
    room.tell(PublishEvent(MOOD))
    room.tell(PublishEvent(THANKS))
    await wait_all_tasks_blocked()
    assert inbox.only is None
    for session_id in (ANN, MODEL_PAGE):
        shared = [each for each in house.sockets.frames[session_id] if hasattr(each, "offset")]
        offsets = [each.offset for each in shared]
        assert offsets == sorted(offsets)
        told = house.sent(session_id, frames.MoodChanged)
        assert [each.epoch for each in told] == [shared[0].epoch] * 2
        assert told[0].offset == told[1].offset  # of a state the newest says all
        [thanks] = house.sent(session_id, frames.PublicMessage)
        assert thanks.offset == told[1].offset + 1


@in_house
async def test_who_returns_gets_the_messages_that_he_missed(house: House) -> None:
    await house.join_viewer(ANN, "ann")
    [snapshot] = house.sent(ANN, frames.Snapshot)
    await house.leave(ANN)
    (await house.room()).tell(PublishEvent(THANKS))
    again = viewer_join(ANN + 1, "ann")
    seen = frames.Resume(snapshot.epoch, snapshot.offset)
    (await house.room()).tell(msgspec.structs.replace(again, resume=seen))
    await wait_all_tasks_blocked()
    [snapshot] = house.sent(ANN + 1, frames.Snapshot)
    assert [each.message_id for each in snapshot.missed] == ["m-1"]


@in_house
async def test_a_frame_goes_to_all_that_one_member_has_open(house: House) -> None:
    for session_id, user_id in ((ANN, "ann"), (ANN + 10, "ann"), (BOB, "bob")):
        await house.join_viewer(session_id, user_id)
    await house.join_model()
    room = await house.room()
    counts = []
    for user_id in ("ann", MODEL, "nobody"):
        inbox = Inbox()
        room.tell(SendToUser(user_id, WANTED, inbox))
        await wait_all_tasks_blocked()
        counts.append(inbox.only)
    assert counts == [2, 1, 0]
    got = {each: len(house.sent(each, frames.ReceiptWanted)) for each in house.sockets.frames}
    assert got == {ANN: 1, ANN + 10: 1, BOB: 0, MODEL_PAGE: 1}


@in_house
async def test_a_room_that_has_ended_refuses_what_it_was_handed(house: House) -> None:
    room, inbox = await house.room(), Inbox()
    for _ in range(MAILBOX_LIMIT - 1):
        room.tell(PublishEvent(MOOD))
    room.tell(SendToUser("ann", WANTED, inbox))
    room.mailbox.close()
    await wait_all_tasks_blocked()
    assert inbox.only == 0 or isinstance(inbox.only, Refusal)
