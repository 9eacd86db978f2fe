"""Dead letters on the real database: written with the audit, decided once, ended once."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import trio

from actors.ports import Requeued, UserRecord
from protocol.audit import Reason, TargetRecord, TargetState
from protocol.errors import Refused
from protocol.tip_activated import MembershipTier
from protocol.toy_settings import ModelSettings
from server.store.dead_letters import DeadLetter, DeadLetterState
from server.store.store import Store
from tests.store.settlements import NOW, tip
from tests.store.test_repositories import EXTENSION, record

UNKNOWN = UUID(int=7)


@pytest.fixture
async def room(store: Store) -> Store:
    """room-1, live, and the tips a, b and c of its broadcast, settled."""
    await store.rooms.add_model("model-1", "Ruby Rain", ModelSettings())
    await store.rooms.add_room("room-1", "model-1")
    await store.rooms.start_broadcast("room-1", EXTENSION)
    await store.members.save_user(UserRecord("alex", "Alex", MembershipTier.VIP_GOLD))
    await store.ledger.deposit("alex", "alex", 100)
    await store.ledger.post([tip("a"), tip("b"), tip("c")])
    return store


def dead(tip_id: str, number: int, requeue: int = 0) -> TargetRecord:
    """`number`: its place among the letters."""
    return record(
        tip_id,
        TargetState.DEAD,
        record_id=UUID(int=number),
        attempt=3,
        reason=Reason.NO_ANSWER,
        at_utc=NOW + timedelta(seconds=number),
        requeue=requeue,
    )


async def letters(store: Store, state: DeadLetterState = DeadLetterState.OPEN) -> list[DeadLetter]:
    return await store.dead_letters.load_page(state, None, 10)


async def requeue(store: Store, number: int, decision: UUID | None = None) -> Requeued:
    return await store.rooms.requeue(UUID(int=number), decision or uuid4(), "boss", "asked for")


async def test_what_dies_becomes_a_letter_and_nothing_else_does(room: Store) -> None:
    alive = [record("b", state) for state in TargetState if state is not TargetState.DEAD]
    await room.rooms.append_audit([dead("a", 1), *alive], ["a"])
    assert await letters(room) == [
        DeadLetter(
            record_id=UUID(int=1),
            tip_id="a",
            room_id="room-1",
            broadcast_id="broadcast-1",
            target_type="MODEL_TOY",
            target_id="model-1",
            requeue=0,
            attempts=3,
            reason="no_answer",
            died_at=NOW + timedelta(seconds=1),
            state=DeadLetterState.OPEN,
            decided_by=None,
            decided_at=None,
            note=None,
            outcome=None,
        )
    ]


async def test_the_same_write_again_adds_no_letter(room: Store) -> None:
    for _ in range(2):
        await room.rooms.append_audit([dead("a", 1)], ["a"])
    assert len(await letters(room)) == 1


async def test_pages_follow_one_another(room: Store) -> None:
    await room.rooms.append_audit([dead("a", 1), dead("b", 2), dead("c", 3)], [])
    load = room.dead_letters.load_page
    first = await load(DeadLetterState.OPEN, None, 2)
    assert [each.tip_id for each in first] == ["a", "b"]
    rest = await load(DeadLetterState.OPEN, first[-1].record_id, 2)
    assert [each.tip_id for each in rest] == ["c"]
    assert await load(DeadLetterState.OPEN, rest[-1].record_id, 2) == []


async def test_a_dismissed_letter_keeps_who_when_and_why(room: Store) -> None:
    await room.rooms.append_audit([dead("a", 1)], [])
    await room.dead_letters.dismiss(UUID(int=1), "boss", "a test room")
    assert await letters(room) == []
    [letter] = await letters(room, DeadLetterState.DISMISSED)
    assert (letter.decided_by, letter.note, letter.outcome) == ("boss", "a test room", None)
    assert letter.decided_at is not None


async def test_a_requeued_target_is_the_rooms_until_its_outcome_is_known(room: Store) -> None:
    await room.rooms.append_audit([dead("a", 1), dead("b", 2)], ["a", "b"])
    requeued = await requeue(room, 1)
    event = tip("a").event
    assert event is not None
    assert requeued.event.tip_id == "a"
    assert (requeued.target_type, requeued.target_id, requeued.number) == (
        "MODEL_TOY",
        "model-1",
        1,
    )
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.requeued == (requeued,)

    steps = [record("a", state, requeue=1) for state in (TargetState.QUEUED, TargetState.SENT)]
    await room.rooms.append_audit(steps, [])
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.requeued == (requeued,)

    await room.rooms.append_audit([record("a", TargetState.ACTIVATED, requeue=1)], [])
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.requeued == ()
    [letter] = await letters(room, DeadLetterState.REQUEUED)
    assert (letter.note, letter.outcome) == ("asked for", TargetState.ACTIVATED)
    trace = await room.traces.load_tip("a")
    assert trace is not None
    assert [each["requeue"] for each in trace.targets] == [0, 1, 1, 1]


async def test_what_dies_again_is_a_letter_of_its_own(room: Store) -> None:
    await room.rooms.append_audit([dead("a", 1)], ["a"])
    await requeue(room, 1)
    await room.rooms.append_audit([dead("a", 2, requeue=1)], [])
    [first] = await letters(room, DeadLetterState.REQUEUED)
    [second] = await letters(room)
    assert (first.outcome, second.requeue) == (TargetState.DEAD, 1)
    assert (await requeue(room, 2)).number == 2


async def test_the_same_decision_again_is_no_error_and_another_is_refused(room: Store) -> None:
    await room.rooms.append_audit([dead("a", 1), dead("b", 2)], [])
    decision = uuid4()
    assert await requeue(room, 1, decision) == await requeue(room, 1, decision)
    for again in (requeue(room, 1), room.dead_letters.dismiss(UUID(int=1), "boss", "no")):
        with pytest.raises(Refused, match="DEAD_LETTER_DECIDED"):
            await again
    await room.dead_letters.dismiss(UUID(int=2), "boss", "no")
    for again in (requeue(room, 2), room.dead_letters.dismiss(UUID(int=2), "boss", "no")):
        with pytest.raises(Refused, match="DEAD_LETTER_DECIDED"):
            await again


async def test_of_two_admins_at_once_one_decides(room: Store) -> None:
    await room.rooms.append_audit([dead("a", 1)], [])
    outcomes: dict[str, str] = {}

    async def decide(who: str) -> None:
        outcomes[who] = "done"
        try:
            await room.dead_letters.dismiss(UUID(int=1), who, "mine")
        except Refused as refused:
            outcomes[who] = refused.refusal.code

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(decide, f"admin-{number}")
    [letter] = await letters(room, DeadLetterState.DISMISSED)
    others = {who: outcome for who, outcome in outcomes.items() if who != letter.decided_by}
    assert outcomes[letter.decided_by or ""] == "done"
    assert set(others.values()) == {"DEAD_LETTER_DECIDED"}


async def test_nothing_is_requeued_after_its_broadcast(room: Store) -> None:
    await room.rooms.append_audit([dead("a", 1)], [])
    await room.rooms.end_broadcast("room-1", EXTENSION.broadcast_id)
    with pytest.raises(Refused, match="BROADCAST_STALE"):
        await requeue(room, 1)
    [letter] = await letters(room)
    assert letter.decided_by is None


async def test_there_is_no_such_letter(room: Store) -> None:
    for act in (
        room.dead_letters.load(UNKNOWN),
        room.dead_letters.dismiss(UNKNOWN, "boss", "no"),
        room.rooms.requeue(UNKNOWN, uuid4(), "boss", "no"),
    ):
        with pytest.raises(Refused, match="DEAD_LETTER_UNKNOWN"):
            await act


async def test_a_note_that_cannot_be_stored_is_refused(room: Store) -> None:
    await room.rooms.append_audit([dead("a", 1)], [])
    for note in ("nul\0", "half \ud83d"):
        for act in (
            room.dead_letters.dismiss(UUID(int=1), "boss", note),
            room.rooms.requeue(UUID(int=1), uuid4(), "boss", note),
        ):
            with pytest.raises(Refused, match="INVALID_FIELD"):
                await act
    assert len(await letters(room)) == 1
