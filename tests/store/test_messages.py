"""Mood messages on the real database: one thanks for each tip, states forward, who sees what."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import trio

from actors.messaging.ports import Message, MessageChange
from actors.ports import UserRecord
from protocol.errors import ErrorCode, Refused
from protocol.message_templates import TemplateDraft, check
from protocol.mood_messages import (
    MOOD_CHANGES_PER_HOUR_MAX,
    NEUTRAL,
    DetectedMood,
    FailureReason,
    MessageState,
    MessageType,
    Mood,
    MoodDraft,
)
from protocol.tip_activated import MembershipTier, TipActivated
from protocol.toy_settings import ModelSettings
from server.shipped_templates import WHO, shipped_templates
from server.store.bridge import Bridge
from server.store.message_reads import MessageFilter, MoodMessage
from server.store.store import Store, open_store
from tests.store.messages import from_viewer, private, thanks
from tests.store.rows import fetch, pending_events
from tests.store.settlements import tip

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DRAFT = TemplateDraft("Thanks", MessageType.PUBLIC_MICRO, None, None, "Thanks, {{username}}!")


@pytest.fixture
async def room(store: Store) -> Store:
    """room-1 of model-1, and alex with tokens."""
    await store.rooms.add_model("model-1", "Ruby Rain", ModelSettings())
    await store.rooms.add_room("room-1", "model-1")
    await store.members.save_user(UserRecord("alex", "Alex", MembershipTier.VIP_GOLD))
    await store.ledger.deposit("alex", "alex", 1_000)
    return store


async def settle(store: Store, *tip_ids: str) -> list[TipActivated]:
    requests = [tip(tip_id) for tip_id in tip_ids]
    await store.ledger.post(requests)
    return [request.event for request in requests if request.event is not None]


async def page_of(store: Store, user_id: str) -> list[MoodMessage]:
    return await store.message_reads.load_page(user_id, MessageFilter(), None, 100)


async def change(
    store: Store, message: Message, *states: MessageState | None, by: str | None = None
) -> MoodMessage:
    changes = [MessageChange(message.message_id, state, NOW, by) for state in states]
    await store.messages.change_messages(changes)
    return await store.message_reads.load(message.message_id, None)


# ---- thanks ----------------------------------------------------------------------------------


async def test_each_tip_is_thanked_for_once(room: Store) -> None:
    events = await settle(room, "t1", "t2")
    assert await pending_events(room, "messaging", 10) == events
    first = await room.messages.record_thanks(events, [thanks("t1"), thanks("t2")])
    again = await room.messages.record_thanks(events, [thanks("t1"), thanks("t2")])
    assert (first, again) == ({"t1", "t2"}, set())
    assert await pending_events(room, "messaging", 10) == []
    assert sorted(each.tip_id or "" for each in await page_of(room, "alex")) == ["t1", "t2"]


async def test_of_writers_that_come_together_one_thanks(room: Store) -> None:
    events = await settle(room, "t1")
    stored: list[set[str]] = []

    async def record() -> None:
        stored.append(await room.messages.record_thanks(events, [thanks("t1")]))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(record)
    assert sorted(stored, key=len)[:-1] == [set()] * 7
    assert len(await page_of(room, "alex")) == 1


async def test_a_tip_for_which_no_template_fitted_is_done_too(room: Store) -> None:
    events = await settle(room, "t1")
    assert await room.messages.record_thanks(events, []) == set()
    assert await room.messages.record_thanks(events, [thanks("t1")]) == set()
    assert await page_of(room, "alex") == []


async def test_a_tip_that_the_database_refuses_is_skipped_alone(room: Store) -> None:
    events = await settle(room, "t1", "t2", "t3")
    bad = thanks("t2", content="")
    stored = await room.messages.record_thanks(events, [thanks("t1"), bad, thanks("t3")])
    assert stored == {"t1", "t3"}
    [skipped] = await fetch(room, "SELECT consumer, tip_id FROM skipped_events")
    assert tuple(skipped) == ("messaging", "t2")
    assert await pending_events(room, "messaging", 10) == []


async def test_who_has_tipped_is_remembered(room: Store) -> None:
    before = await room.messages.load_parties("model-1", "alex")
    await room.messages.record_thanks(await settle(room, "t1"), [])
    hers = await room.messages.load_parties("model-1", "alex")
    his = await room.messages.load_parties("alex", "model-1")
    assert (before.recipient_tipped, hers.recipient_tipped, hers.author_tipped) == (
        False,
        True,
        False,
    )
    assert (his.author_tipped, his.recipient_tipped) == (True, False)
    assert (hers.recipient_username, hers.recipient_tier) == ("Alex", MembershipTier.VIP_GOLD)
    assert (hers.author_model_name, hers.recipient_model_name) == ("Ruby Rain", None)
    assert (his.author_tier, his.recipient_tier) == (MembershipTier.VIP_GOLD, None)


async def test_facts_for_the_choice(room: Store) -> None:
    for number in range(7):
        template = await room.templates.add(DRAFT, "staff")
        events = await settle(room, f"t{number}")
        made = thanks(f"t{number}", template_id=template.template_id, template_version=1)
        await room.messages.record_thanks(events, [made])
    in_order = [each.template_id for each in await page_of(room, "alex")]
    facts = await room.messages.load_facts(["alex", "nobody"], ["room-1", "room-2"])
    assert facts.recent == {"alex": tuple(in_order[:5])}
    assert facts.moods == {"room-1": NEUTRAL, "room-2": NEUTRAL}


# ---- states ----------------------------------------------------------------------------------

S, D, R, F = (
    MessageState.SENT,
    MessageState.DELIVERED,
    MessageState.READ,
    MessageState.FAILED,
)


async def test_states_move_forward_only(room: Store) -> None:
    message = await room.messages.add_message(private(), None)
    shown = await change(room, message, S)
    assert (shown.state, shown.sent_at, shown.delivered_at) == (S, NOW, None)
    shown = await change(room, message, D, S, D)
    assert (shown.state, shown.delivered_at, shown.read_at) == (D, NOW, None)
    assert (await change(room, message, F)).state is D
    shown = await change(room, message, R, D, S, F)
    assert (shown.state, shown.read_at, shown.reason) == (R, NOW, None)


async def test_a_state_that_was_passed_over_has_its_time(room: Store) -> None:
    message = await room.messages.add_message(private(), None)
    shown = await change(room, message, R)
    assert (shown.sent_at, shown.delivered_at, shown.read_at) == (NOW, NOW, NOW)


async def test_only_the_recipient_says_that_it_arrived(room: Store) -> None:
    message = await room.messages.add_message(private(), None)
    assert (await change(room, message, S, by="sam")).state is MessageState.PENDING
    assert (await change(room, message, S)).state is S
    assert (await change(room, message, D, R, by="sam")).state is S
    assert (await change(room, message, D, by="alex")).state is D


async def test_a_message_that_is_read_counts_once_for_its_template(room: Store) -> None:
    template = await room.templates.add(DRAFT, "staff")
    made = private(template_id=template.template_id, template_version=1)
    message = await room.messages.add_message(made, None)
    await change(room, message, S, D, R, R)
    [counted] = await room.messages.load_templates()
    assert (counted.usage, counted.successes) == (1, 1)
    assert counted.last_used_at is not None


async def test_a_failed_one_is_a_dead_letter_with_its_reason(room: Store) -> None:
    message = await room.messages.add_message(private(), None)
    failed = MessageChange(
        message.message_id, F, NOW, reason=FailureReason.ROOM_UNAVAILABLE, attempts=4
    )
    await room.messages.change_messages([failed])
    [letter] = await room.message_reads.load_failed(None, 10)
    dead = letter.message
    assert (dead.message_id, dead.reason, dead.attempts) == (
        message.message_id,
        "ROOM_UNAVAILABLE",
        4,
    )
    assert await room.message_reads.load_failed(dead.message_id, 10) == []
    dismissed = await room.message_reads.dismiss_failed(dead.message_id, "boss", "looked into")
    assert (dismissed.message, dismissed.dismissed_by, dismissed.note) == (
        dead,
        "boss",
        "looked into",
    )
    assert await room.message_reads.load_failed(None, 10) == []
    assert await room.message_reads.load_failed(None, 10, dismissed=True) == [dismissed]
    with pytest.raises(Refused, match="DEAD_LETTER_DECIDED"):
        await room.message_reads.dismiss_failed(dead.message_id, "boss", "again")
    well = await room.messages.add_message(private(), None)
    with pytest.raises(Refused, match="DEAD_LETTER_UNKNOWN"):
        await room.message_reads.dismiss_failed(well.message_id, "boss", "it is not dead")


# ---- what is taken up again ------------------------------------------------------------------


async def test_what_is_unsent_and_who_it_waits_for(room: Store) -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    due = await room.messages.add_message(private(), None)
    coming = await room.messages.add_message(private(due_at=later), None)
    parked = await room.messages.add_message(private(), None)
    await change(room, parked, None)
    unsent = await room.messages.load_unsent(None, 10)
    assert unsent == [due, coming]
    assert await room.messages.load_unsent(0.5, 10) == [due]
    assert await room.messages.load_unsent(60, 10) == []
    waiting = await room.messages.load_waiting(["alex", "sam"], datetime.now(UTC))
    assert [each.message_id for each in waiting] == [due.message_id, parked.message_id]
    assert await room.messages.load_waiting(["sam"], datetime.now(UTC)) == []
    await change(room, parked, S, None)
    waiting = await room.messages.load_waiting(["alex"], datetime.now(UTC))
    assert [each.message_id for each in waiting] == [due.message_id]


async def test_a_message_waits_for_a_day(room: Store) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1, seconds=1)
    old = await room.messages.add_message(private(created_at=long_ago), None)
    young = await room.messages.add_message(private(), None)
    assert await room.messages.expire_waiting() == 0  # neither is known to wait
    await change(room, old, None)
    await change(room, young, None)
    assert await room.messages.expire_waiting() == 1
    [letter] = await room.message_reads.load_failed(None, 10)
    assert (letter.message.message_id, letter.message.reason) == (old.message_id, "EXPIRED")


# ---- writing ---------------------------------------------------------------------------------


async def test_a_request_is_taken_once(room: Store) -> None:
    first = private(request_id="r1")
    assert await room.messages.add_message(first, 1) == first
    assert await room.messages.add_message(private(request_id="r1"), 1) == first
    assert await room.messages.load_request("model-1", "r1") == first
    assert await room.messages.load_request("alex", "r1") is None


async def test_an_author_writes_so_often_a_minute(room: Store) -> None:
    for _ in range(3):
        await room.messages.add_message(private(), 3)
    with pytest.raises(Refused) as refused:
        await room.messages.add_message(private(), 3)
    assert refused.value.refusal.code is ErrorCode.RATE_LIMITED
    assert 0 < (refused.value.refusal.retry_after_s or 0) <= 60
    await room.messages.add_message(from_viewer(), 3)
    await room.messages.add_message(private(), None)


async def test_what_the_tables_refuse(room: Store) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await room.messages.add_message(private(room_id="room-1"), None)
    with pytest.raises(asyncpg.CheckViolationError):
        await room.messages.add_message(private(answers=uuid4(), content=""), None)


# ---- escalation ------------------------------------------------------------------------------


async def test_an_unread_message_of_a_viewer_escalates_once(room: Store) -> None:
    asked = from_viewer(created_at=datetime.now(UTC) - timedelta(seconds=100))
    await room.messages.add_message(asked, None)
    await room.messages.add_message(private(created_at=asked.created_at), None)  # not hers
    assert await room.messages.load_unread(200, 10) == []
    [unread] = await room.messages.load_unread(50, 10)
    assert (unread.message_id, unread.author_id, unread.model_name) == (
        asked.message_id,
        "alex",
        "Ruby Rain",
    )
    answer = private(message_type=MessageType.ESCALATION_AUTO, answers=asked.message_id)
    ids = [asked.message_id]
    assert await room.messages.record_escalations(ids, [answer]) == {answer.message_id}
    again = private(message_type=MessageType.ESCALATION_AUTO, answers=asked.message_id)
    assert await room.messages.record_escalations(ids, [again]) == set()
    assert await room.messages.load_unread(50, 10) == []


async def test_what_she_has_read_does_not_escalate(room: Store) -> None:
    asked = from_viewer(created_at=datetime.now(UTC) - timedelta(seconds=100))
    await room.messages.add_message(asked, None)
    await change(room, asked, R, by="model-1")
    assert await room.messages.load_unread(0, 10) == []
    late = private(message_type=MessageType.ESCALATION_AUTO, answers=asked.message_id)
    assert await room.messages.record_escalations([asked.message_id], [late]) == set()


# ---- reading ---------------------------------------------------------------------------------


async def test_pages_and_filters(room: Store) -> None:
    sad = await room.messages.add_message(private(mood=Mood.SAD), None)
    hers = await room.messages.add_message(from_viewer(), None)
    await room.messages.record_thanks(await settle(room, "t1"), [thanks("t1")])
    everything = await page_of(room, "alex")
    assert [each.message_type for each in everything] == [
        "public_micro",
        "private_custom",
        "private_custom",
    ]
    assert await page_of(room, "model-1") == everything
    assert await page_of(room, "sam") == []

    async def ids(wanted: MessageFilter, before: UUID | None = None, limit: int = 9) -> list[UUID]:
        page = await room.message_reads.load_page("alex", wanted, before, limit)
        return [each.message_id for each in page]

    assert await ids(MessageFilter(mood=Mood.SAD)) == [sad.message_id]
    private_ones = MessageFilter(MessageType.PRIVATE_CUSTOM)
    assert await ids(private_ones) == [hers.message_id, sad.message_id]
    assert await ids(private_ones, limit=1) == [hers.message_id]
    assert await ids(private_ones, hers.message_id) == [sad.message_id]
    assert await ids(MessageFilter(), uuid4()) == []


async def test_what_is_still_to_come_is_its_authors_alone(room: Store) -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    message = await room.messages.add_message(private(due_at=later), None)
    assert await page_of(room, "alex") == []
    assert len(await page_of(room, "model-1")) == 1
    for user_id in ("alex", "sam"):
        with pytest.raises(Refused, match="MESSAGE_UNKNOWN"):
            await room.message_reads.load(message.message_id, user_id)
    assert (await room.message_reads.load(message.message_id, "model-1")).content == "Hello, you."


async def test_numbers(room: Store) -> None:
    day = timedelta(days=1)
    window = (datetime.now(UTC) - day, datetime.now(UTC) + day)
    empty = await room.message_reads.load_analytics(*window)
    assert (empty.total, empty.by_state, empty.delivery_success) == (0, {}, None)
    ends: list[MessageState] = [S, D, R, R]
    for end in ends:
        message = await room.messages.add_message(private(mood=Mood.HAPPY), None)
        await change(room, message, end)
    failed = await room.messages.add_message(private(tier=MembershipTier.FREE), None)
    await room.messages.change_messages(
        [MessageChange(failed.message_id, F, NOW, reason=FailureReason.EXPIRED)]
    )
    found = await room.message_reads.load_analytics(*window)
    assert found.total == 5
    assert found.by_mood == {"happy": 4, "neutral": 1}
    assert found.by_tier == {"FREE": 1, "VIP_GOLD": 4}
    assert found.by_state == {"delivered": 1, "failed": 1, "read": 2, "sent": 1}
    assert found.delivery_success == 3 / 4
    past = await room.message_reads.load_analytics(window[0] - day, window[0])
    assert past.total == 0


# ---- templates -------------------------------------------------------------------------------


async def test_templates_that_are_shipped_are_good_and_enough(room: Store) -> None:
    shipped = shipped_templates()
    assert await room.templates.add_shipped(shipped, WHO) == len(shipped)
    assert await room.templates.add_shipped(shipped, WHO) == 0
    assert all(check(each.template) == [] for each in shipped)
    for message_type in MessageType:
        anywhere = [
            each
            for each in shipped
            if each.template.message_type is message_type
            and each.template.mood is each.template.tier is None
        ]
        assert len(anywhere) >= 6, message_type  # none comes to a viewer twice in five


async def test_an_edit_is_a_new_version(room: Store) -> None:
    added = await room.templates.add(DRAFT, "staff")
    assert (added.version, added.variables, added.changed_by) == (1, ("username",), "staff")
    edited = TemplateDraft("Short", MessageType.PUBLIC_MICRO, Mood.SAD, None, "Thanks.", ("x", "x"))
    second = await room.templates.replace(added.template_id, edited, "chief")
    assert (second.version, second.content, second.mood) == (2, "Thanks.", Mood.SAD)
    assert (second.tags, second.changed_by) == (("x",), "chief")
    versions = await room.templates.load_versions(added.template_id)
    assert versions == [second, added]
    assert await room.messages.load_templates() == [second]


async def test_a_template_that_was_removed_stays_for_its_messages(room: Store) -> None:
    added = await room.templates.add(DRAFT, "staff")
    made = private(template_id=added.template_id, template_version=1)
    message = await room.messages.add_message(made, None)
    await room.templates.remove(added.template_id)
    assert await room.messages.load_templates() == []
    for again in (
        room.templates.remove(added.template_id),
        room.templates.replace(added.template_id, DRAFT, "staff"),
        room.templates.load_versions(added.template_id),
    ):
        with pytest.raises(Refused, match="TEMPLATE_UNKNOWN"):
            await again
    shown = await room.message_reads.load(message.message_id, None)
    assert shown.template_id == added.template_id


async def test_pages_of_templates(room: Store) -> None:
    await room.templates.add_shipped(shipped_templates(), WHO)
    sad = await room.templates.load_page(None, Mood.SAD, None, None, 100)
    assert {each.mood for each in sad} == {Mood.SAD}
    assert len({each.message_type for each in sad}) == 3
    first = await room.templates.load_page(None, None, None, None, 2)
    rest = await room.templates.load_page(None, None, None, first[-1].template_id, 100)
    assert len(first) + len(rest) == len(shipped_templates())
    assert not {each.template_id for each in first} & {each.template_id for each in rest}


# ---- moods -----------------------------------------------------------------------------------


async def test_a_rooms_mood(room: Store) -> None:
    assert await room.moods.load_mood("room-1") is None
    await room.moods.set_mood("room-1", MoodDraft(Mood.SAD, 70), "model-1")
    held = await room.moods.set_mood("room-1", MoodDraft(Mood.HAPPY, 80, 60), "model-1")
    assert await room.moods.load_mood("room-1") == held
    assert held.expires_at == held.set_at + timedelta(seconds=60)
    assert await room.messages.load_running_moods() == [held]
    facts = await room.messages.load_facts([], ["room-1"])
    assert facts.moods == {"room-1": DetectedMood(Mood.HAPPY, 80)}


async def test_a_mood_that_has_expired_is_neutral(room: Store) -> None:
    await room.moods.set_mood("room-1", MoodDraft(Mood.HAPPY, 80, 60), "model-1")
    await fetch(
        room,
        "UPDATE room_moods SET set_at = set_at - interval '2 minutes',"
        " expires_at = expires_at - interval '2 minutes'",
    )
    assert await room.moods.load_mood("room-1") is None
    assert await room.messages.load_running_moods() == []
    facts = await room.messages.load_facts([], ["room-1"])
    assert facts.moods == {"room-1": NEUTRAL}


async def test_a_room_has_so_many_moods_an_hour(room: Store) -> None:
    for _ in range(MOOD_CHANGES_PER_HOUR_MAX):
        await room.moods.set_mood("room-1", MoodDraft(Mood.SAD), "model-1")
    with pytest.raises(Refused) as refused:
        await room.moods.set_mood("room-1", MoodDraft(Mood.HAPPY), "model-1")
    assert refused.value.refusal.code is ErrorCode.RATE_LIMITED
    assert 3500 < (refused.value.refusal.retry_after_s or 0) <= 3600
    found = await room.moods.load_mood("room-1")
    assert found is not None
    assert found.mood is Mood.SAD


async def test_a_room_that_there_is_not_has_no_mood(room: Store) -> None:
    with pytest.raises(Refused, match="ROOM_UNKNOWN"):
        await room.moods.load_mood("room-9")
    with pytest.raises(Refused, match="ROOM_UNKNOWN"):
        await room.moods.set_mood("room-9", MoodDraft(Mood.SAD), "staff")


async def test_what_is_stored_outlives_the_process(
    room: Store, bridge: Bridge, database_dsn: str
) -> None:
    await room.messages.record_thanks(await settle(room, "t1"), [thanks("t1")])
    async with open_store(database_dsn, bridge) as other:
        [message] = await other.messages.load_unsent(None, 10)
        assert (message.tip_id, message.content) == ("t1", "Thank you!")
