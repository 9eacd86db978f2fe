"""An event that a consumer cannot take: recorded, passed, and taken up again when it is mended."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from actors.ports import UserRecord
from protocol import tip_activated
from protocol.errors import Refused
from protocol.tip_activated import MembershipTier
from protocol.toy_settings import ModelSettings
from server.store import queries
from server.store.bridge import Bridge
from server.store.store import Store
from tests.store.rows import fetch, pending_events, unguarded
from tests.store.settlements import tip
from tests.store.transfers import post_first

SPOIL = "UPDATE outbox SET event = $2 WHERE tip_id = $1"
NOT_OURS = '{"eventName": "TipActivated", "secret": 1}'


@pytest.fixture
async def three(store: Store) -> Store:
    """The tips `a`, `b` and `c` in a room, which nobody has done."""
    await store.rooms.add_model("model-1", "Ruby Rain", ModelSettings())
    await store.rooms.add_room("room-1", "model-1")
    await store.members.save_user(UserRecord("alex", "Alex", MembershipTier.FREE))
    await store.ledger.deposit("d", "alex", 1000)
    await post_first(store, *(tip(name) for name in "abc"))
    return store


async def pending(store: Store, consumer: str) -> str:
    return "".join(each.tip_id for each in await pending_events(store, consumer))


async def skipped(store: Store) -> list[tuple[str, str, str]]:
    page = await store.skipped_events.page(("", ""), 10)
    return [(each.consumer, each.tip_id, each.reason) for each in page]


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (NOT_OURS, "no TipActivated: "),
        ("[]", "no TipActivated: no object"),
        ("17", "no TipActivated: no object"),
        ("{}", "no TipActivated: eventName"),
    ],
)
async def test_the_relay_passes_it_with_the_reason_and_once(
    three: Store, stored: str, reason: str
) -> None:
    await unguarded(three, SPOIL, "b", stored)
    with capture_logs() as lines:
        assert await pending(three, "loyalty") == "ac"
        assert await pending(three, "loyalty") == "ac"
    [line] = lines
    assert (line["event"], line["consumer"], line["tip_id"]) == ("event_skipped", "loyalty", "b")
    assert line["log_level"] == "error"
    [(consumer, tip_id, said)] = await skipped(three)
    assert (consumer, tip_id) == ("loyalty", "b")
    assert said.startswith(reason)


async def test_it_holds_up_nothing_behind_it(three: Store) -> None:
    """Neither the cursor nor a page: the next page begins behind it."""
    await unguarded(three, SPOIL, "a", NOT_OURS)
    first = await three.events.pending_events("loyalty", 0, 1)
    assert first.events == ()
    assert first.last is not None
    second = await three.events.pending_events("loyalty", first.last, 1)
    assert [each.tip_id for each in second.events] == ["b"]
    await three.loyalty.credit_points(await pending_events(three, "loyalty"))
    assert await pending(three, "loyalty") == ""
    [row] = await fetch(
        three,
        "SELECT cursor, (SELECT max(seq) FROM outbox) AS newest FROM event_consumers"
        " WHERE name = 'loyalty'",
    )
    assert row["cursor"] == row["newest"]


async def test_the_event_of_another_tip_is_none(three: Store) -> None:
    [row] = await fetch(three, "SELECT event FROM outbox WHERE tip_id = 'c'")
    await unguarded(three, SPOIL, "b", row["event"])
    assert await pending(three, "room") == "ac"
    assert await skipped(three) == [("room", "b", "the TipActivated of another tip")]


async def test_it_does_not_keep_its_room_down(three: Store) -> None:
    await unguarded(three, SPOIL, "b", NOT_OURS)
    for _ in range(2):
        loaded = await three.rooms.load_room("room-1")
        assert loaded is not None
        assert [each.event.tip_id for each in loaded.pending] == ["a", "c"]
    [(consumer, tip_id, _)] = await skipped(three)
    assert (consumer, tip_id) == ("room", "b")


async def test_a_requeue_of_it_ends_and_does_not_keep_its_room_down(three: Store) -> None:
    letter_id = uuid4()
    await unguarded(
        three,
        """INSERT INTO dead_letters (record_id, tip_id, room_id, target_type, target_id, requeue,
               attempts, reason, died_at, state, decision_id, decided_by, decided_at, note)
        VALUES ($1, 'b', 'room-1', 'MODEL_TOY', 'model-1', 0, 3, 'no_answer', now(), 'requeued',
                $1, 'admin', now(), 'again')""",
        letter_id,
    )
    await unguarded(three, SPOIL, "b", NOT_OURS)
    with capture_logs() as lines:
        loaded = await three.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.requeued == ()
    assert "requeue_skipped" in [line["event"] for line in lines]
    letter = await three.dead_letters.load(letter_id)
    assert letter.outcome == "SKIPPED"


async def test_what_is_mended_is_retried_and_done(three: Store) -> None:
    [row] = await fetch(three, "SELECT event FROM outbox WHERE tip_id = 'b'")
    await unguarded(three, SPOIL, "b", NOT_OURS)
    await three.loyalty.credit_points(await pending_events(three, "loyalty"))
    assert await pending(three, "loyalty") == ""

    await three.skipped_events.retry("loyalty", "b")
    assert await pending(three, "loyalty") == ""
    assert len(await skipped(three)) == 1, "it still cannot be read, and is skipped again"

    await unguarded(three, SPOIL, "b", row["event"])
    await three.skipped_events.retry("loyalty", "b")
    assert await skipped(three) == []
    assert await pending(three, "loyalty") == "b"
    await three.loyalty.credit_points(await pending_events(three, "loyalty"))
    assert await pending(three, "loyalty") == ""
    assert await three.loyalty.load_points("alex") == 9


@pytest.mark.parametrize("place", [("loyalty", "a"), ("nobody", "b"), ("\0", "b"), ("room", "b")])
async def test_only_what_was_skipped_is_retried(three: Store, place: tuple[str, str]) -> None:
    await unguarded(three, SPOIL, "b", NOT_OURS)
    await three.loyalty.credit_points(await pending_events(three, "loyalty"))
    with pytest.raises(Refused, match="SKIPPED_EVENT_UNKNOWN"):
        await three.skipped_events.retry(*place)
    assert await three.loyalty.load_points("alex") == 6


async def test_a_consumer_that_gets_it_after_all_has_not_skipped_it(three: Store) -> None:
    """Skipped by a server that is older than the event."""
    events = await pending_events(three, "loyalty")
    await unguarded(
        three,
        "INSERT INTO skipped_events (consumer, tip_id, reason) SELECT c.name, 'b', 'too new'"
        " FROM event_consumers c WHERE c.name IN ('loyalty', 'messaging', 'room')",
    )
    await three.loyalty.credit_points(events)
    await three.messages.record_thanks(events, [])
    await three.rooms.append_audit([], ["b"])
    assert await skipped(three) == []


async def test_pages(three: Store) -> None:
    for tip_id in "ab":
        await unguarded(three, SPOIL, tip_id, NOT_OURS)
    for consumer in ("loyalty", "room"):
        await pending(three, consumer)
    found: list[tuple[str, str]] = []
    while page := await three.skipped_events.page(found[-1] if found else ("", ""), 1):
        found += [(each.consumer, each.tip_id) for each in page]
    assert found == [("loyalty", "a"), ("loyalty", "b"), ("room", "a"), ("room", "b")]


async def test_who_moves_the_cursor_holds_up_nobody_who_finishes_an_event(
    three: Store, bridge: Bridge, database_dsn: str
) -> None:
    """Such a row refers to the consumer's own, which PostgreSQL locks for it."""

    async def unit() -> str:
        mover, finisher = [await asyncpg.connect(database_dsn) for _ in range(2)]
        try:
            async with mover.transaction():
                await mover.execute(queries.LOCK_CONSUMER, "room")
                await finisher.execute("SET lock_timeout = '2s'")
                return await finisher.execute(queries.FINISH_EVENTS, "room", ["a"])
        finally:
            await finisher.close()
            await mover.close()

    assert await bridge.run(unit) == "INSERT 0 1"
    assert await pending(three, "room") == "bc"


# ---- what the database refuses -----------------------------------------------------------------


async def test_points_that_cannot_be_credited_keep_no_others_back(three: Store) -> None:
    """An event that nothing stands behind, in the middle of a batch."""
    events: list[Any] = await pending_events(three, "loyalty")
    events.insert(1, tip("made up").event)
    await three.loyalty.credit_points(events)
    assert await three.loyalty.load_points("alex") == 9
    assert await pending(three, "loyalty") == ""
    [(consumer, tip_id, reason)] = await skipped(three)
    assert (consumer, tip_id) == ("loyalty", "made up")
    assert reason == "refused by the database: ForeignKeyViolationError"


# ---- who looks at it ---------------------------------------------------------------------------


async def test_the_trace_shows_what_is_stored_and_who_skipped_it(three: Store) -> None:
    await unguarded(three, SPOIL, "b", NOT_OURS)
    await pending(three, "loyalty")
    trace = await three.traces.load_tip("b")
    assert trace is not None
    assert (trace.event, trace.unreadable) == (None, NOT_OURS)
    assert len(trace.entries) == 3
    told = {each["consumer"]: (each["done"], each["doneAt"]) for each in trace.consumers}
    assert told == dict.fromkeys(("loyalty", "messaging", "room"), (False, None))
    reasons = {each["consumer"]: each["skipped"] for each in trace.consumers}
    assert reasons["room"] is None
    assert reasons["loyalty"].startswith("no TipActivated")


@pytest.mark.parametrize("stored", [NOT_OURS, '{"eventId": "no uuid"}', '{"eventId": 5}', "[]"])
async def test_a_webhook_reads_the_others_and_of_this_one_no_id(three: Store, stored: str) -> None:
    node = UUID(int=1)
    await three.webhooks.add("hook", "https://example.org/", "whsec_1", None)
    await post_first(three, *(tip(name) for name in "def"))
    await unguarded(three, SPOIL, "e", stored)
    work = await three.webhooks.claim("hook", node, 60.0, 10)
    assert work is not None
    assert [(each.tip_id, each.event_id is None) for each in work.events] == [
        ("d", False), ("e", True), ("f", False),
    ]  # fmt: skip
    read = tip_activated.decode(work.events[0].body)
    assert work.events[0].event_id == read.event_id
