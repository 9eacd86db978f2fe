"""What a returning member has missed: all of it or nothing, and never what was another's."""

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from actors.room import room as rules
from actors.room.history import EVENTS_MAX, EventHistory
from actors.room.messages import MemberFrame
from protocol import frames
from protocol.codec import CODECS, JSON, MSGPACK
from tests.actors.house import House, in_house
from tests.actors.rooms import (
    MODEL_PAGE,
    ROOM,
    SteppedRoom,
    model_join,
    viewer_join,
)

ANN, BOB, CAT = 5, 6, 7
OUTBOX_BYTES_MAX = 1024 * 1024
"""The default of `SocketLimits.outbox_bytes_max`."""


def notice(offset: int, text: str = "A wave") -> frames.TipNotice:
    return frames.TipNotice("e", offset, "ann", 5, "Wave", text, "2026-01-01T00:00:00+00:00")


def filled(count: int, **bounds: int) -> EventHistory:
    history = EventHistory(**bounds)
    for offset in range(1, count + 1):
        history.record(notice(offset))
    return history


# ---- the history -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "missed"),
    [(0, None), (1, None), (2, [3, 4, 5]), (4, [5]), (5, []), (6, None), (10**15, None)],
)
def test_all_events_after_an_offset_or_none(offset: int, missed: list[int] | None) -> None:
    found = filled(5, events_max=3).since(offset)
    assert (None if found is None else [each.offset for each in found]) == missed


def test_a_room_without_events_has_missed_none_of_them() -> None:
    assert EventHistory().since(0) == ()


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(0, 70))
def test_bytes_and_events_are_bounded_and_no_hole_appears(sizes: list[int], offset: int) -> None:
    history = EventHistory(events_max=20, bytes_max=2_000)
    for number, size in enumerate(sizes, 1):
        history.record(notice(number, "x" * size))
    missed = history.since(offset)
    if missed is not None:
        assert [each.offset for each in missed] == list(range(offset + 1, len(sizes) + 1))
        assert len(missed) <= 20
        packed = CODECS[MSGPACK]
        assert sum(len(packed.encode(each)) for each in missed) <= 2_000


def test_an_event_that_is_larger_than_the_history_is_only_not_kept() -> None:
    history = EventHistory(bytes_max=100)
    history.record(notice(1, "x" * 500))
    assert history.since(0) is None
    assert history.since(1) == ()


@pytest.mark.parametrize("text", ["A wave for five seconds", "wörld " * 160, '"' * 900])
def test_a_full_history_is_a_small_part_of_an_outbox_in_either_encoding(text: str) -> None:
    history, count = EventHistory(), 3 * EVENTS_MAX
    for offset in range(1, count + 1):
        history.record(notice(offset, text))
    missed = next(found for at in range(count) if (found := history.since(at)) is not None)
    assert 0 < len(missed) <= EVENTS_MAX
    for codec in CODECS.values():
        assert sum(len(codec.encode(each)) + 1 for each in missed) < OUTBOX_BYTES_MAX / 1.8


# ---- in a room ---------------------------------------------------------------------------------


def returning(
    room: SteppedRoom, session_id: int, user_id: str, offset: int, epoch: str = ""
) -> Any:
    """A member who comes back; the snapshot."""
    resume = frames.Resume(epoch or room.state.epoch, offset)
    room.tell(viewer_join(session_id, user_id, resume=resume))
    return room.frames_to(session_id, frames.Snapshot)[0]


def with_tips(count: int) -> SteppedRoom:
    room = SteppedRoom()
    room.join_model()
    room.join_viewer(ANN, "ann")
    for number in range(count):
        room.tip(ANN, f"tip-{number}", amount=50 + number)
    return room


def test_who_returns_gets_what_happened_meanwhile_in_one_frame() -> None:
    room = with_tips(5)
    snapshot = returning(room, BOB, "bob", 2)
    assert snapshot.recovered
    assert [(each.offset, each.amount) for each in snapshot.missed] == [(3, 52), (4, 53), (5, 54)]
    assert snapshot.offset == 5
    live = [event for event in room.published if isinstance(event, frames.TipNotice)]
    assert list(snapshot.missed) == live[2:], "as everyone else has got them"


def test_who_has_missed_nothing_is_told_so() -> None:
    snapshot = returning(with_tips(3), BOB, "bob", 3)
    assert (snapshot.recovered, snapshot.missed) == (True, ())


@pytest.mark.parametrize(("offset", "epoch"), [(4, ""), (2, "another"), (0, "another")])
def test_who_was_elsewhere_gets_a_fresh_start(offset: int, epoch: str) -> None:
    snapshot = returning(with_tips(3), BOB, "bob", offset, epoch)
    assert (snapshot.recovered, snapshot.missed) == (False, ())


def test_a_first_join_recovers_nothing() -> None:
    room = with_tips(3)
    room.join_viewer(BOB, "bob")
    [snapshot] = room.frames_to(BOB, frames.Snapshot)
    assert (snapshot.recovered, snapshot.missed, snapshot.offset) == (False, (), 3)


def test_what_goes_in_the_step_of_a_return_comes_after_its_snapshot() -> None:
    room = with_tips(2)
    effects = room.tell(viewer_join(BOB, "bob", resume=frames.Resume(room.state.epoch, 0)))
    after = [type(each).__name__ for each in effects]
    assert after.index("Admit") < min(
        (i for i, name in enumerate(after) if name == "Publish"), default=len(after)
    )


def test_state_is_not_counted_and_not_replayed() -> None:
    """A snapshot says the same; and who is spared an old count has no hole in what counts."""
    room = with_tips(1)
    room.pass_s(5)
    kinds = {type(event) for event in room.published}
    assert frames.PresenceChanged in kinds
    assert frames.RoomChanged in kinds
    assert room.state.offset == 1
    assert [type(each) for each in returning(room, BOB, "bob", 0).missed] == [frames.TipNotice]


def test_nobody_gets_what_was_anothers() -> None:
    """Commands, receipts, balances, errors: none of them is an event, and the history takes no
    other. Here of a whole evening."""
    room = with_tips(4)
    room.ask(ANN, frames.Tip, tip_id="tip-9", broadcast_id="old", amount=5)
    command = room.commands(MODEL_PAGE)[0]
    room.activated(MODEL_PAGE, command)
    room.pass_s(30)
    snapshot = returning(room, BOB, "bob", 0)
    wire = CODECS[JSON].encode(snapshot).decode()
    assert {type(each) for each in snapshot.missed} == {frames.TipNotice}
    for secret in (command.command_id, "receiveTip", "tip-9", '"tip-0"'):
        assert secret not in wire
    assert room.frames_to(BOB, frames.Command) == []


def test_the_model_recovers_too_and_her_commands_come_by_the_queue_alone() -> None:
    room = with_tips(2)
    sent = len(room.commands(MODEL_PAGE))
    resume = frames.Resume(room.state.epoch, 1)
    room.tell(model_join(2, resume=resume))
    [snapshot] = room.frames_to(2, frames.Snapshot)
    assert [each.offset for each in snapshot.missed] == [2]
    assert room.commands(2) == []
    assert len(room.commands(MODEL_PAGE)) == sent


def test_after_a_crash_of_the_room_everyone_starts_anew() -> None:
    room = with_tips(3)
    old = room.state.epoch
    join = viewer_join(ANN, "ann", ref=None, resume=frames.Resume(old, 1))
    kept = rules.keep(room.state)
    room.state = rules.new_state(room.record, room.ctx, 50, 10)
    room.carry_out(rules.revive(room.state, kept, [join], room.ctx))
    snapshot = room.frames_to(ANN, frames.Snapshot)[-1]
    assert snapshot.epoch != old
    assert (snapshot.recovered, snapshot.missed, snapshot.offset) == (False, (), 0)
    assert not returning(room, BOB, "bob", 3, old).recovered


operations = st.lists(
    st.sampled_from(["tip", "leave", "return", "crash", "wait"]), min_size=1, max_size=25
)


@given(operations)
def test_whatever_happens_a_page_knows_what_it_has(operations: list[str]) -> None:
    """Ann comes and goes; what she has is all that happened in this life of the room since her
    last fresh start, without a hole or a repeat."""
    room = SteppedRoom()
    room.state.history = EventHistory(events_max=4)
    room.join_viewer(BOB, "bob")
    session_id, resume, has, seen = 10, None, None, 0

    def listen() -> None:
        nonlocal resume, seen
        while seen < len(room.published):
            event = room.published[seen]
            seen += 1
            if has is not None and isinstance(event, frames.TipNotice):
                has.append(event)
                resume = frames.Resume(event.epoch, event.offset)

    number, here = 0, False
    for operation in operations:
        match operation:
            case "tip":
                number += 1
                room.tip(BOB, f"tip-{number}")
            case "leave" if here:
                room.leave(session_id)
                here, has_then = False, has
                has = None
            case "return" if not here:
                session_id += 1
                seen = len(room.published)
                room.tell(viewer_join(session_id, "ann", resume=resume))
                [snapshot] = room.frames_to(session_id, frames.Snapshot)
                before = [] if not snapshot.recovered else has_then
                has, here = [*before, *snapshot.missed], True
                resume = frames.Resume(snapshot.epoch, snapshot.offset)
                if not snapshot.recovered:
                    started = snapshot.offset
            case "crash":
                room.state = rules.new_state(room.record, room.ctx, 50, 10)
                room.state.history = EventHistory(events_max=4)
                room.join_viewer(BOB, "bob", ref=None)
                here, has = False, None
            case "wait":
                room.pass_s(2)
        if here:
            listen()
            assert has is not None
            offsets = [each.offset for each in has]
            assert offsets == list(range(started + 1, room.state.offset + 1))
            assert {each.epoch for each in has} <= {room.state.epoch}


# ---- with its actor ----------------------------------------------------------------------------


@in_house
async def test_a_crash_gives_a_new_epoch_and_no_history(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    await house.tip(ANN, "tip-1", 2)
    [first] = house.sent(ANN, frames.Snapshot)
    resume = frames.Resume(first.epoch, 0)
    await house.join_viewer(BOB, "bob", resume=resume)
    assert [each.recovered for each in house.sent(BOB, frames.Snapshot)] == [True]
    nonsense: Any = MemberFrame(ANN, frames.Connect(9, "token"))
    room.tell(nonsense)
    await trio.sleep(1)
    await house.join_viewer(CAT, "cat", resume=resume)
    for session_id in (ANN, BOB, CAT):
        last = house.sent(session_id, frames.Snapshot)[-1]
        assert (last.recovered, last.missed, last.room.room_id) == (False, (), ROOM)
        assert last.epoch != first.epoch
