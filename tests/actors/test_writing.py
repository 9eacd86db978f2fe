"""Writing to a member: who may, what becomes of the words, and escalation."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.messaging.escalation import LOOK_INTERVAL_S, run_escalation
from actors.messaging.ports import RoomMood
from actors.messaging.writing import SYSTEM_NAME, Author, WritingDesk
from actors.runtime.moment import Chance
from protocol import frames
from protocol.errors import ErrorCode, Refused
from protocol.mood_messages import (
    MESSAGES_PER_MIN_MAX,
    AuthorKind,
    DetectedMood,
    MessageDraft,
    MessageState,
    MessageType,
    Mood,
)
from protocol.tip_activated import MembershipTier
from tests.actors.house import House, in_house, utc_now
from tests.actors.messages import Messages, Post, open_post
from tests.actors.ports import STARTED_AT_UTC
from tests.actors.rooms import GOLD, MODEL, MODEL_PAGE, ROOM

ANN = 5
HER = Author(AuthorKind.MODEL, MODEL, "Mia", MembershipTier.FREE, ROOM)
HIM = Author(AuthorKind.VIEWER, "ann", "Ann", MembershipTier.FREE, ROOM)
SYSTEM = Author(AuthorKind.SYSTEM, "platform", "platform", MembershipTier.FREE, None)
ESCALATION_S = 60.0


class Shouting:
    """Implements MoodDetector: capitals are anger."""

    def detect(self, text: str) -> DetectedMood:
        return DetectedMood(Mood.ANGRY, 90) if text.isupper() else DetectedMood(Mood.UNKNOWN, 0)


class Desk:
    def __init__(self, house: House, post: Post) -> None:
        self.house, self.post, self.store = house, post, post.store
        self._desk = WritingDesk(
            post.store, house.rooms, post.book, post.office, Shouting(), Chance(utc_now=utc_now)
        )

    async def write(self, author: Author, recipient_id: str, **draft: Any) -> Any:
        return await self._desk.write(author, MessageDraft(recipient_id, **draft))

    async def refused(self, author: Author, recipient_id: str, **draft: Any) -> Any:
        with pytest.raises(Refused) as caught:
            await self.write(author, recipient_id, **draft)
        refusal = caught.value.refusal
        return refusal.code, refusal.field


def at_desk(test: Callable[[Desk], Awaitable[None]]) -> Callable[[], None]:
    async def main(house: House) -> None:
        async with open_post(house, Messages()) as post:
            await test(Desk(house, post))

    main.__name__, main.__doc__ = test.__name__, test.__doc__
    return in_house(main)


# ---- who may ---------------------------------------------------------------------------------


@at_desk
async def test_a_model_writes_to_who_is_in_her_room(desk: Desk) -> None:
    assert await desk.refused(HER, "ann", content="Hi") == (ErrorCode.FORBIDDEN, "recipientId")
    await desk.house.join_viewer(ANN, "ann")
    message = await desk.write(HER, "ann", content="Hi")
    assert (message.author_name, message.model_id) == ("Aurora", MODEL)
    await desk.house.leave(ANN)
    assert (await desk.refused(HER, "ann", content="Hi"))[0] is ErrorCode.FORBIDDEN


@at_desk
async def test_a_model_writes_to_who_has_tipped_her(desk: Desk) -> None:
    desk.store.tipped.add((MODEL, "ann"))
    await desk.write(HER, "ann", content="Hi")
    assert (await desk.refused(HER, MODEL, content="Hi"))[0] is ErrorCode.FORBIDDEN


@at_desk
async def test_a_viewer_writes_to_the_model_he_tipped(desk: Desk) -> None:
    await desk.house.join_viewer(ANN, "ann")
    await desk.house.join_viewer(ANN + 1, "bob")
    assert (await desk.refused(HIM, MODEL, content="Hi"))[0] is ErrorCode.FORBIDDEN
    assert (await desk.refused(HIM, "bob", content="Hi"))[0] is ErrorCode.FORBIDDEN
    desk.store.tipped.add((MODEL, "ann"))
    await desk.write(HIM, MODEL, content="Hi")
    assert (await desk.refused(HIM, "bob", content="Hi"))[0] is ErrorCode.FORBIDDEN


@at_desk
async def test_the_system_writes_to_anyone_there_is(desk: Desk) -> None:
    assert (await desk.refused(SYSTEM, "ann", content="Hi"))[0] is ErrorCode.USER_UNKNOWN
    desk.store.tiers["ann"] = GOLD
    message = await desk.write(SYSTEM, "ann", content="Hi")
    assert (message.author_name, message.model_id) == (SYSTEM_NAME, None)
    assert (await desk.write(SYSTEM, MODEL, content="Hi")).model_id == MODEL


# ---- what becomes of it ----------------------------------------------------------------------


@at_desk
async def test_the_tier_is_the_viewers_and_nobodys_choice(desk: Desk) -> None:
    desk.store.tipped.add((MODEL, "ann"))
    message = await desk.write(HER, "ann", content="Hi")
    assert (message.tier, message.priority) == (MembershipTier.FREE, 3)
    desk.store.tiers["ann"] = GOLD
    for author, recipient_id in ((HER, "ann"), (HIM, MODEL), (SYSTEM, "ann")):
        message = await desk.write(author, recipient_id, content="Hi")
        assert (message.tier, message.priority) == (GOLD, 8)
        assert (message.due_at - message.created_at).total_seconds() == 1


@at_desk
async def test_it_arrives_after_its_delay(desk: Desk) -> None:
    desk.store.tiers["ann"] = MembershipTier.VIP_SILVER
    await desk.house.join_viewer(ANN, "ann")
    await desk.write(HER, "ann", content="Hi")
    await trio.sleep(4.9)
    assert desk.house.sent(ANN, frames.PrivateMessage) == []
    await trio.sleep(0.2)
    [arrived] = desk.house.sent(ANN, frames.PrivateMessage)
    assert (arrived.content, arrived.author_kind) == ("Hi", AuthorKind.MODEL)


@at_desk
async def test_moods_of_what_is_written(desk: Desk) -> None:
    desk.store.tipped.add((MODEL, "ann"))
    message = await desk.write(HIM, MODEL, content="ANSWER ME")
    assert (message.mood, message.mood_confidence) == (Mood.ANGRY, 90)
    assert (await desk.write(HIM, MODEL, content="hm")).mood is Mood.UNKNOWN
    assert (await desk.write(HER, "ann", content="Hi")).mood is Mood.NEUTRAL
    desk.store.moods[ROOM] = RoomMood(ROOM, Mood.HAPPY, 60, STARTED_AT_UTC, None)
    message = await desk.write(HER, "ann", content="Hi")
    assert (message.mood, message.mood_confidence) == (Mood.HAPPY, 60)
    assert (await desk.write(HER, "ann", content="Hi", mood=Mood.SAD)).mood is Mood.SAD


@at_desk
async def test_without_words_a_template_is_taken(desk: Desk) -> None:
    desk.store.tiers["ann"] = GOLD
    made = [await desk.write(SYSTEM, "ann") for _ in range(6)]
    assert len({message.template_id for message in made}) == 6
    assert all(message.content.startswith("Thank you, ann!") for message in made)
    assert all(message.message_type is MessageType.PRIVATE_CUSTOM for message in made)
    desk.store.templates.clear()
    await desk.post.book.load()
    assert (await desk.refused(SYSTEM, "ann"))[0] is ErrorCode.NO_TEMPLATE


@at_desk
async def test_a_viewer_writes_himself(desk: Desk) -> None:
    desk.store.tipped.add((MODEL, "ann"))
    assert await desk.refused(HIM, MODEL) == (ErrorCode.INVALID_FIELD, "content")
    refused = await desk.refused(HIM, MODEL, content="Hi", mood=Mood.HAPPY)
    assert refused == (ErrorCode.INVALID_FIELD, "mood")


@at_desk
async def test_the_same_request_is_one_message(desk: Desk) -> None:
    desk.store.tipped.add((MODEL, "ann"))
    first = await desk.write(HER, "ann", content="Hi", request_id="r1")
    desk.store.tipped.clear()
    assert await desk.write(HER, "ann", content="Hi", request_id="r1") == first
    for other in ({"content": "Ho"}, {}):
        refused = await desk.refused(HER, "ann", request_id="r1", **other)
        assert refused == (ErrorCode.MESSAGE_CONFLICT, "requestId")
    assert len(desk.store.messages) == 1


@at_desk
async def test_requests_that_come_together_are_one_message(desk: Desk) -> None:
    desk.store.tipped.add((MODEL, "ann"))
    answers: list[Any] = []

    async def write() -> None:
        answers.append(await desk.write(HER, "ann", content="Hi", request_id="r1"))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(write)
    assert len({answer.message_id for answer in answers}) == len(desk.store.messages) == 1


@at_desk
async def test_people_write_so_often_the_system_as_it_likes(desk: Desk) -> None:
    desk.store.tipped.add((MODEL, "ann"))
    desk.store.tiers["ann"] = GOLD
    for _ in range(MESSAGES_PER_MIN_MAX):
        await desk.write(HER, "ann", content="Hi")
    assert (await desk.refused(HER, "ann", content="Hi"))[0] is ErrorCode.RATE_LIMITED
    for _ in range(MESSAGES_PER_MIN_MAX + 1):
        await desk.write(SYSTEM, "ann", content="Hi")
    await trio.sleep(61)
    await desk.write(HER, "ann", content="Hi")


# ---- escalation ------------------------------------------------------------------------------


def with_escalation(test: Callable[[Desk], Awaitable[None]]) -> Callable[[], None]:
    @at_desk
    async def main(desk: Desk) -> None:
        desk.store.tipped.add((MODEL, "ann"))
        desk.store.tiers["ann"] = MembershipTier.VIP_DIAMOND
        await desk.house.join_viewer(ANN, "ann")
        async with trio.open_nursery() as nursery:
            await nursery.start(
                run_escalation,
                desk.store,
                desk.post.book,
                desk.post.office,
                Chance(utc_now=utc_now),
                ESCALATION_S,
            )
            await test(desk)
            nursery.cancel_scope.cancel()

    main.__name__ = test.__name__
    return main


@with_escalation
async def test_a_viewer_hears_once_that_she_has_not_read_it(desk: Desk) -> None:
    asked = await desk.write(HIM, MODEL, content="ANSWER ME")
    await trio.sleep(ESCALATION_S - 1)
    assert desk.house.sent(ANN, frames.PrivateMessage) == []
    await trio.sleep(1 + LOOK_INTERVAL_S)
    [told] = desk.house.sent(ANN, frames.PrivateMessage)
    assert (told.message_type, told.mood) == (MessageType.ESCALATION_AUTO, Mood.ANGRY)
    await trio.sleep(10 * ESCALATION_S)
    assert len(desk.house.sent(ANN, frames.PrivateMessage)) == 1
    escalation = desk.store.only(message_type=MessageType.ESCALATION_AUTO)
    assert escalation.answers == asked.message_id


@with_escalation
async def test_what_she_has_read_does_not_escalate(desk: Desk) -> None:
    await desk.house.join_model()
    asked = await desk.write(HIM, MODEL, content="hello")
    await wait_all_tasks_blocked()
    [arrived] = desk.house.sent(MODEL_PAGE, frames.PrivateMessage)
    desk.post.office.read(MODEL, arrived.message_id)
    await trio.sleep(10 * ESCALATION_S)
    assert desk.house.sent(ANN, frames.PrivateMessage) == []
    assert desk.store.states[asked.message_id] is MessageState.READ


@with_escalation
async def test_without_a_template_nobody_hears_and_it_is_not_tried_for_ever(desk: Desk) -> None:
    desk.store.templates.clear()
    await desk.post.book.load()
    asked = await desk.write(HIM, MODEL, content="hello")
    await trio.sleep(ESCALATION_S + LOOK_INTERVAL_S)
    assert desk.store.escalated == {asked.message_id}
    assert desk.store.all(message_type=MessageType.ESCALATION_AUTO) == []


@with_escalation
async def test_her_own_messages_do_not_escalate(desk: Desk) -> None:
    await desk.write(HER, "ann", content="Hi")
    await trio.sleep(10 * ESCALATION_S)
    assert len(desk.house.sent(ANN, frames.PrivateMessage)) == 1
