"""Messaging as it runs: tier delays to the moment, one thanks for each tip whatever crashes, and
messages that find their recipient."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.consumers.relay import run_relay
from actors.messaging.ports import RoomMood
from actors.messaging.post_office import SWEEP_INTERVAL_S
from actors.messaging.postbox_actor import IDLE_S, PostboxActor
from actors.ports import SessionId, StoreUnavailable
from actors.room.actor import MAILBOX_LIMIT
from actors.room.messages import Leave
from protocol import frames
from protocol.mood_messages import (
    TIERS,
    FailureReason,
    MessageState,
    MessageType,
    Mood,
)
from protocol.tip_activated import MembershipTier, TipActivated
from tests.actors.house import House, on_virtual_clock, open_house
from tests.actors.messages import Messages, Post, after, open_post, private
from tests.actors.ports import STARTED_AT_UTC, Database, Sockets
from tests.actors.rooms import MODEL, MODEL_PAGE, ROOM, SteppedRoom, events, record, viewer_join

ANN, BOB = 5, 6
WITHIN_S = 1e-5
"""Moments are written down in whole microseconds."""


class TimedSockets(Sockets):
    """Keeps also when each frame came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[tuple[float, SessionId, object]] = []

    def send(self, session_id: SessionId, frame: object) -> None:
        self.times.append((trio.current_time(), session_id, frame))
        super().send(session_id, frame)

    def when(self, kind: type[Any], session_id: SessionId) -> list[float]:
        return [at for at, to, frame in self.times if to == session_id and isinstance(frame, kind)]


def settled(count: int = 1, tier: MembershipTier = MembershipTier.FREE) -> list[TipActivated]:
    room = SteppedRoom()
    room.join_viewer(ANN, "ann", tier=tier)
    for number in range(count):
        room.tip(ANN, f"tip-{number}", 50)
    return events(room)


Test = Callable[[House, Post], Awaitable[None]]


def with_post(test: Test) -> Callable[[], None]:
    """A test in a house with post, on a clock that jumps whenever everyone waits."""

    async def main() -> None:
        async with (
            open_house(Database([record()], {"ann": 1_000}), TimedSockets()) as house,
            open_post(house, Messages()) as post,
        ):
            await test(house, post)

    def run() -> None:
        on_virtual_clock(main)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def times(house: House) -> TimedSockets:
    assert isinstance(house.sockets, TimedSockets)
    return house.sockets


def hand(post: Post, *given: TipActivated) -> None:
    post.store.settled(*given)
    for event in given:
        post.thanks.hand(event)


# ---- thanks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", MembershipTier)
def test_thanks_come_when_the_tier_says(tier: MembershipTier) -> None:
    @with_post
    async def main(house: House, post: Post) -> None:
        await house.join_viewer(ANN, "ann")
        await house.join_viewer(BOB, "bob")
        began_s = trio.current_time()
        hand(post, *settled(1, tier))
        await trio.sleep(60)
        for session_id in (ANN, BOB):
            [came_s] = times(house).when(frames.PublicMessage, session_id)
            assert came_s - began_s == pytest.approx(TIERS[tier].delay_s, abs=WITHIN_S)

    main()


@with_post
async def test_a_slow_database_does_not_add_to_the_delay(house: House, post: Post) -> None:
    await house.join_viewer(ANN, "ann")

    async def slow(call: str) -> None:
        await trio.sleep(2 if call in ("load_facts", "record_thanks") else 0)

    post.store.before = slow
    began_s = trio.current_time()
    hand(post, *settled(1, MembershipTier.VIP_SILVER))
    await trio.sleep(60)
    [came_s] = times(house).when(frames.PublicMessage, ANN)
    assert came_s - began_s == pytest.approx(5, abs=WITHIN_S)


@with_post
async def test_what_a_thanks_says_and_to_whom(house: House, post: Post) -> None:
    await house.join_viewer(ANN, "ann")
    await house.join_viewer(BOB, "bob")
    post.store.moods[ROOM] = RoomMood(ROOM, Mood.HAPPY, 70, STARTED_AT_UTC, None)
    hand(post, *settled(1, MembershipTier.VIP_DIAMOND))
    await wait_all_tasks_blocked()
    [thanks] = house.sent(BOB, frames.PublicMessage)
    assert (thanks.message_type, thanks.mood) == (MessageType.PUBLIC_MICRO, Mood.HAPPY)
    assert thanks.content.startswith("Thank you, Ann! (")
    # Only the tipper is asked for receipts, and nobody learns an id of his.
    [wanted] = house.sent(ANN, frames.ReceiptWanted)
    assert wanted.message_id == thanks.message_id
    assert house.sent(BOB, frames.ReceiptWanted) == []
    assert "ann" not in msgspec.json.encode(thanks).decode()
    [snapshot] = house.sent(BOB, frames.Snapshot)
    assert (thanks.epoch, thanks.offset > snapshot.offset) == (snapshot.epoch, True)


@with_post
async def test_a_tip_that_is_handed_over_again_is_thanked_for_once(
    house: House, post: Post
) -> None:
    await house.join_viewer(ANN, "ann")
    given = settled(3, MembershipTier.VIP_DIAMOND)
    hand(post, *given, *given)
    await wait_all_tasks_blocked()
    hand(post, *given)
    await trio.sleep(60)
    assert len(house.sent(ANN, frames.PublicMessage)) == 3
    assert {each.tip_id for each in post.store.messages.values()} == {"tip-0", "tip-1", "tip-2"}


@with_post
async def test_a_tipper_is_not_thanked_in_the_same_words_within_five(
    house: House, post: Post
) -> None:
    await house.join_viewer(ANN, "ann")
    hand(post, *settled(12, MembershipTier.VIP_DIAMOND))
    await trio.sleep(1)
    used = [each.template_id for each in post.store.messages.values()]
    assert len(used) == 12
    for place, template_id in enumerate(used):
        assert template_id not in used[max(0, place - 5) : place]


@with_post
async def test_a_thanks_wakes_a_room_that_sleeps(house: House, post: Post) -> None:
    hand(post, *settled(1, MembershipTier.VIP_DIAMOND))
    await wait_all_tasks_blocked()
    assert house.rooms.awake(ROOM) is not None
    assert set(post.store.states.values()) == {MessageState.SENT}


@with_post
async def test_without_a_template_a_tip_is_done_and_not_thanked_for(
    house: House, post: Post
) -> None:
    post.store.templates.clear()
    await post.book.load()
    hand(post, *settled())
    await trio.sleep(60)
    assert (post.store.done, post.store.messages) == ({"tip-0"}, {})
    assert house.sent(ANN, frames.PublicMessage) == []


@with_post
async def test_no_tip_goes_unthanked_because_templates_could_not_be_read(
    house: House, post: Post
) -> None:
    del house
    post.book._templates = None

    async def away(call: str) -> None:
        if call == "load_templates":
            raise StoreUnavailable

    present, post.store.before = post.store.before, away
    hand(post, *settled())
    await wait_all_tasks_blocked()
    assert post.store.done == set()
    post.store.before = present
    hand(post, *settled())
    await trio.sleep(60)
    assert len(post.store.messages) == 1


# ---- crashes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["load_facts", "record_thanks", "change_messages"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("tier", [MembershipTier.FREE, MembershipTier.VIP_DIAMOND])
def test_one_thanks_for_each_tip_when_the_database_fails(
    call: str, before: bool, tier: MembershipTier
) -> None:
    """Before the commit or after it, where the outcome is unknown; the relay hands over again."""

    @with_post
    async def main(house: House, post: Post) -> None:
        await house.join_viewer(ANN, "ann")
        failures = 3

        async def failing(called: str) -> None:
            nonlocal failures
            if called == call and failures:
                failures -= 1
                raise StoreUnavailable

        setattr(post.store, "before" if before else "after", failing)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_relay, post.store, [post.thanks])
            hand(post, *settled(3, tier))
            await trio.sleep(200)
            nursery.cancel_scope.cancel()
        assert failures < 3 or (call, before) == ("load_facts", False)  # a reading has no after
        assert sorted(each.tip_id or "" for each in post.store.messages.values()) == [
            "tip-0",
            "tip-1",
            "tip-2",
        ]
        assert len(house.sent(ANN, frames.PublicMessage)) == 3
        assert set(post.store.states.values()) == {MessageState.SENT}

    main()


@pytest.mark.parametrize("crash_after_s", [0.0, 0.5, 10.0, 29.9, 30.1])
def test_one_thanks_for_each_tip_when_the_process_is_killed(crash_after_s: float) -> None:
    async def main() -> None:
        database, store = Database([record()], {"ann": 1_000}), Messages()
        shown: list[frames.PublicMessage] = []
        for life in range(2):
            sockets = TimedSockets()
            async with open_house(database, sockets) as house, open_post(house, store) as post:
                await house.join_viewer(ANN, "ann")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run_relay, store, [post.thanks])
                    if life == 0:
                        hand(post, *settled(2))
                        await trio.sleep(crash_after_s)
                    else:
                        await trio.sleep(100)
                    nursery.cancel_scope.cancel()
                shown += house.sent(ANN, frames.PublicMessage)
        assert {each.tip_id for each in store.messages.values()} == {"tip-0", "tip-1"}
        assert len(store.messages) == 2
        # A page shows an id once; here it came once.
        assert len(shown) == len({each.message_id for each in shown}) == 2
        assert set(store.states.values()) == {MessageState.SENT}

    on_virtual_clock(main)


def test_a_kill_between_the_room_and_the_database_repeats_the_same_message() -> None:
    """The one moment at which a room may get a thanks twice: its id is the same, and pages show an
    id once."""

    async def main() -> None:
        database, store = Database([record()], {"ann": 1_000}), Messages()
        shown: list[frames.PublicMessage] = []

        async def never(call: str) -> None:
            if call == "change_messages":
                await trio.sleep_forever()

        present, store.before = store.before, never
        for _ in range(2):
            async with (
                open_house(database, TimedSockets()) as house,
                open_post(house, store) as post,
            ):
                await house.join_viewer(ANN, "ann")
                hand(post, *settled(1, MembershipTier.VIP_DIAMOND))
                await trio.sleep(1)
                shown += house.sent(ANN, frames.PublicMessage)
            store.before = present
        assert len(shown) == 2
        assert shown[0].message_id == shown[1].message_id
        assert len(store.messages) == 1

    on_virtual_clock(main)


def test_a_postbox_that_crashes_sends_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    crashes = 0
    carry_out = PostboxActor._carry_out

    def crashing(self: PostboxActor, effects: Any) -> None:
        nonlocal crashes
        carry_out(self, effects)
        if effects and crashes < 3:
            crashes += 1
            raise ValueError("a fault of ours")

    monkeypatch.setattr(PostboxActor, "_carry_out", crashing)

    @with_post
    async def main(house: House, post: Post) -> None:
        await house.join_viewer(ANN, "ann")
        for event in settled(3, MembershipTier.VIP_GOLD):
            hand(post, event)
            await trio.sleep(3)
        await trio.sleep(100)
        assert len(house.sent(ANN, frames.PublicMessage)) == 3
        assert set(post.store.states.values()) == {MessageState.SENT}

    main()
    assert crashes == 3


@with_post
async def test_a_sweep_that_reads_before_the_database_knows_sends_nothing_twice(
    house: House, post: Post
) -> None:
    await house.join_viewer(ANN, "ann")

    async def slow(call: str) -> None:
        await trio.sleep(3 * SWEEP_INTERVAL_S if call == "change_messages" else 0)

    post.store.before = slow
    hand(post, *settled(1, MembershipTier.VIP_DIAMOND))
    await trio.sleep(10 * SWEEP_INTERVAL_S)
    assert len(house.sent(ANN, frames.PublicMessage)) == 1


@with_post
async def test_a_room_that_is_too_full_is_asked_again(house: House, post: Post) -> None:
    await house.join_viewer(ANN, "ann")
    room = await house.room()
    for _ in range(MAILBOX_LIMIT):
        room.tell(Leave(999))
    post.office.post([private(1)])
    await trio.sleep(10)
    assert len(house.sent(ANN, frames.PrivateMessage)) == 1


def test_a_room_that_cannot_come_up_makes_a_dead_letter() -> None:
    @with_post
    async def main(house: House, post: Post) -> None:
        del house.database.rooms[ROOM]
        hand(post, *settled(1, MembershipTier.VIP_DIAMOND))
        await trio.sleep(60)
        [message] = post.store.messages
        assert post.store.states[message] is MessageState.FAILED
        assert post.store.reasons[message] is FailureReason.ROOM_UNAVAILABLE
        assert post.store.attempts[message] == 4

    main()


# ---- private messages ------------------------------------------------------------------------


@with_post
async def test_a_private_message_reaches_every_tab_of_its_recipient_alone(
    house: House, post: Post
) -> None:
    await house.join_viewer(ANN, "ann")
    await house.join_viewer(ANN + 10, "ann")
    await house.join_viewer(BOB, "bob")
    await house.join_model()
    post.store._add(private(1))
    post.office.post([private(1)])
    await wait_all_tasks_blocked()
    for session_id in (ANN, ANN + 10):
        [message] = house.sent(session_id, frames.PrivateMessage)
        assert (message.content, message.author_name) == ("Hello, you.", "Aurora")
    assert house.sent(BOB, frames.PrivateMessage) == []
    assert house.sent(MODEL_PAGE, frames.PrivateMessage) == []
    assert set(post.store.states.values()) == {MessageState.SENT}


@with_post
async def test_a_message_to_the_model_reaches_her_page(house: House, post: Post) -> None:
    await house.join_model()
    await house.join_viewer(ANN, "ann")
    post.office.post([private(1, recipient_id=MODEL, author_id="ann", recipient_is_model=True)])
    await wait_all_tasks_blocked()
    assert len(house.sent(MODEL_PAGE, frames.PrivateMessage)) == 1
    assert house.sent(ANN, frames.PrivateMessage) == []


@with_post
async def test_a_message_waits_for_the_next_connection(house: House, post: Post) -> None:
    message = private(1)
    post.store._add(message)
    post.office.post([message])
    await trio.sleep(3600)
    assert post.store.messages[message.message_id].due_at is None
    assert post.office.statistics().waiting == 0
    await house.join_viewer(ANN, "ann")
    post.office.connected("ann")
    await wait_all_tasks_blocked()
    assert len(house.sent(ANN, frames.PrivateMessage)) == 1
    post.office.connected("ann")
    await trio.sleep(100)
    assert len(house.sent(ANN, frames.PrivateMessage)) == 1


@with_post
async def test_what_waits_follows_the_join_into_a_room_that_is_busy(
    house: House, post: Post
) -> None:
    """The room has not let him in when the message is handed over: it comes behind the Join."""
    message = private(1, due_at=None)
    post.store._add(message)
    room = await house.room()
    for _ in range(1_000):
        room.tell(Leave(999))
    room.tell(viewer_join(ANN, "ann"))
    post.office.connected("ann")
    await wait_all_tasks_blocked()
    assert len(house.sent(ANN, frames.PrivateMessage)) == 1


@with_post
async def test_a_message_waits_for_a_day(house: House, post: Post) -> None:
    post.store._add(private(1))
    post.office.post([private(1)])
    await trio.sleep(24 * 3600 - 20)
    assert set(post.store.states.values()) == {MessageState.PENDING}
    await trio.sleep(40)
    assert set(post.store.states.values()) == {MessageState.FAILED}
    assert set(post.store.reasons.values()) == {FailureReason.EXPIRED}
    await house.join_viewer(ANN, "ann")
    post.office.connected("ann")
    await trio.sleep(60)
    assert house.sent(ANN, frames.PrivateMessage) == []


@with_post
async def test_arrivals_while_the_database_is_away_are_looked_for_later(
    house: House, post: Post
) -> None:
    post.store._add(private(1, due_at=None))
    await house.join_viewer(ANN, "ann")

    async def away(_call: str) -> None:
        raise StoreUnavailable

    present, post.store.before = post.store.before, away
    post.office.connected("ann")
    await trio.sleep(5)
    assert house.sent(ANN, frames.PrivateMessage) == []
    post.store.before = present
    await trio.sleep(2)
    assert len(house.sent(ANN, frames.PrivateMessage)) == 1


# ---- receipts --------------------------------------------------------------------------------


@with_post
async def test_receipts_move_a_message_forward(house: House, post: Post) -> None:
    await house.join_viewer(ANN, "ann")
    hand(post, *settled(1, MembershipTier.VIP_DIAMOND))
    await wait_all_tasks_blocked()
    message = post.store.only()
    text = str(message.message_id)
    for user_id, wrong in (("bob", text), ("ann", "no id"), ("ann", text.replace("-", "")[:-1])):
        post.office.read(user_id, wrong)
    await wait_all_tasks_blocked()
    assert post.store.states[message.message_id] is MessageState.SENT
    post.office.delivered("ann", text)
    await wait_all_tasks_blocked()
    assert post.store.states[message.message_id] is MessageState.DELIVERED
    post.office.read("ann", text)
    post.office.read("ann", text)
    await wait_all_tasks_blocked()
    assert post.store.states[message.message_id] is MessageState.READ
    assert post.store.read_counts == {message.template_id: 1}


@with_post
async def test_a_change_that_cannot_be_stored_keeps_no_other(house: House, post: Post) -> None:
    del house
    bad, good = private(1), private(2)
    for each in (bad, good):
        post.store._add(each)
    change = post.store._change

    def refusing(message: Any, wanted: Any) -> None:
        if message.message_id == bad.message_id:
            raise ValueError("a fault of ours")
        change(message, wanted)

    post.store._change = refusing  # type: ignore[method-assign]
    for each in (bad, good):
        post.office.delivered("ann", str(each.message_id))
    await wait_all_tasks_blocked()
    assert post.store.states[good.message_id] is MessageState.DELIVERED
    assert post.log.waiting == 0


# ---- moods -----------------------------------------------------------------------------------


@with_post
async def test_a_rooms_mood_is_told_and_ends(house: House, post: Post) -> None:
    await house.join_viewer(ANN, "ann")
    began_s = trio.current_time()
    post.office.mood_set(RoomMood(ROOM, Mood.HAPPY, 80, STARTED_AT_UTC, after(60)))
    await trio.sleep(100)
    told = house.sent(ANN, frames.MoodChanged)
    assert [(each.mood, each.confidence) for each in told] == [
        (Mood.HAPPY, 80),
        (Mood.NEUTRAL, 100),
    ]
    first_s, last_s = times(house).when(frames.MoodChanged, ANN)
    assert (first_s - began_s, last_s - began_s) == (0, pytest.approx(60, abs=WITHIN_S))


@with_post
async def test_the_last_mood_alone_ends(house: House, post: Post) -> None:
    await house.join_viewer(ANN, "ann")
    post.office.mood_set(RoomMood(ROOM, Mood.HAPPY, 80, STARTED_AT_UTC, after(60)))
    post.office.mood_set(RoomMood(ROOM, Mood.SAD, 80, STARTED_AT_UTC, None))
    await trio.sleep(100)
    assert [each.mood for each in house.sent(ANN, frames.MoodChanged)] == [Mood.HAPPY, Mood.SAD]


def test_after_a_crash_a_mood_still_ends() -> None:
    async def main() -> None:
        store = Messages()
        store.moods[ROOM] = RoomMood(ROOM, Mood.HAPPY, 80, STARTED_AT_UTC, after(60))
        async with (
            open_house(Database([record()], {"ann": 1_000}), TimedSockets()) as house,
            open_post(house, store),
        ):
            await house.join_viewer(ANN, "ann")
            await trio.sleep(100)
            assert [each.mood for each in house.sent(ANN, frames.MoodChanged)] == [Mood.NEUTRAL]

    on_virtual_clock(main)


# ---- the end ---------------------------------------------------------------------------------


@with_post
async def test_postboxes_with_nothing_in_them_are_put_away(house: House, post: Post) -> None:
    await house.join_viewer(ANN, "ann")
    hand(post, *settled(1))
    await trio.sleep(31)
    assert post.office.statistics().postboxes == 1
    await trio.sleep(IDLE_S + 1)
    assert post.office.statistics().postboxes == 0
    assert len(house.sent(ANN, frames.PublicMessage)) == 1


@with_post
async def test_thanks_drain(house: House, post: Post) -> None:
    del house

    async def slow(call: str) -> None:
        await trio.sleep(1 if call == "record_thanks" else 0)

    post.store.before = slow
    hand(post, *settled(2))
    await post.thanks.drain()
    assert post.store.done == {"tip-0", "tip-1"}
