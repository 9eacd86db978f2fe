"""A room that runs: crashes, restarts, its end; and the registry that brings rooms up."""

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.ports import StoreUnavailable
from actors.room.actor import MAILBOX_LIMIT, RoomActor
from actors.room.messages import (
    Inspect,
    Leave,
    MemberFrame,
    ModelSettingsChanged,
    PlatformSettingsChanged,
    TipByRequest,
)
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from actors.runtime.supervisor import RESTARTS_MAX
from protocol import frames
from protocol.audit import TargetState
from protocol.errors import FAILED_ROOM_REST_S, CloseCode, ErrorCode, Refused
from protocol.gating import Preferences
from protocol.tip_activated import ViewerSyncMode
from protocol.toy_settings import ModelSettings, PlatformSettings
from tests.actors.house import House, in_house, on_virtual_clock, open_house
from tests.actors.ports import Database
from tests.actors.rooms import (
    BROADCAST,
    FREE,
    MODEL,
    MODEL_PAGE,
    PLAY_S,
    ROOM,
    TOY,
    Inbox,
    record,
    viewer_join,
)

ANN = 5
NONSENSE: Any = object()
"""A message that no room understands: its step raises."""


async def crash(room: RoomActor) -> None:
    """Once, and wait until the room is up again."""
    before = room.restarts
    room.tell(NONSENSE)
    await trio.sleep(0.9)
    assert room.restarts in (before, before + 1)


# ---- crash and restart -----------------------------------------------------------------------


@in_house
async def test_a_crash_gives_members_a_new_snapshot_on_the_same_socket(house: House) -> None:
    room = await house.room()
    await house.join_model()
    await house.join_viewer(ANN, "ann")
    await crash(room)
    for session in (MODEL_PAGE, ANN):
        first, second = house.sent(session, frames.Snapshot)
        assert first.epoch != second.epoch
        assert house.sent(session, frames.PresenceChanged)[-1].viewers == 1
    assert house.sockets.closed == {}
    assert (room.restarts, room.last_error) == (1, "AssertionError")
    house.report(room)
    assert isinstance(await house.tip(ANN, "tip-1", 2), frames.Ok)
    assert len(house.sent(MODEL_PAGE, frames.Command)) == 1


@in_house
async def test_events_after_a_crash_follow_the_new_snapshot(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    await crash(room)
    await house.join_viewer(6, "bob")
    await trio.sleep(2)
    epochs = [f.epoch for f in house.sockets.frames[ANN] if hasattr(f, "epoch")]
    first, second = (snapshot.epoch for snapshot in house.sent(ANN, frames.Snapshot))
    assert epochs == sorted(epochs, key=[first, second].index), "no event of the new before it"
    assert epochs.count(second) > 1


@in_house
async def test_an_activation_goes_on_after_the_crash_under_the_same_command(house: House) -> None:
    room = await house.room()
    await house.join_model()
    await house.join_viewer(ANN, "ann")
    await house.tip(ANN, "tip-1", 2)
    await crash(room)
    house.report(room)
    await wait_all_tasks_blocked()
    first, again = house.sent(MODEL_PAGE, frames.Command)
    assert first.command_id == again.command_id
    room.tell(MemberFrame(MODEL_PAGE, frames.CommandActivated(again.command_id)))
    await wait_all_tasks_blocked()
    await house.audit.flush()
    assert house.database.undone["room"] == {}


@in_house
async def test_what_was_asked_when_it_crashed_is_answered(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    connect = frames.Connect(7, "token")  # the session's to answer: it must not come to a room
    room.tell(MemberFrame(ANN, connect))
    await wait_all_tasks_blocked()
    assert house.answer(ANN, 7).code is ErrorCode.INTERNAL


@in_house
async def test_a_join_that_crashes_the_room_is_not_tried_again(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    broken: Any = viewer_join(6, "bob")
    room.tell(type(broken)(6, 3, "bob", "Bob", False, FREE, None, None, None))  # type: ignore[arg-type]
    await trio.sleep(5)
    assert room.restarts == 1
    assert house.answer(6, 3).code is ErrorCode.INTERNAL
    assert house.sockets.closed == {6: CloseCode.ROOM_RESTARTING}


@in_house
async def test_a_member_who_leaves_while_the_room_is_down_is_not_let_in(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    room.tell(NONSENSE)
    room.tell_always(Leave(ANN))
    await trio.sleep(1)
    inbox = Inbox()
    room.tell(Inspect(inbox))
    await wait_all_tasks_blocked()
    assert inbox.only.viewers == 0


@in_house
async def test_a_tip_at_the_ledger_survives_the_crash_of_its_room(house: House) -> None:
    async def slow(call: str) -> None:
        await trio.sleep(3 if call == "post" else 0)

    room = await house.room()
    await house.join_model()
    await house.join_viewer(ANN, "ann")
    house.database.before = slow
    assert await house.tip(ANN, "tip-1", 2) is None
    await crash(room)
    await trio.sleep(3)
    assert isinstance(house.answer(ANN, 2), frames.Ok)
    house.report(room)
    await wait_all_tasks_blocked()
    assert len(house.sent(MODEL_PAGE, frames.Command)) == 1
    await house.leave(ANN)
    await house.leave(MODEL_PAGE)
    await trio.sleep(150)
    assert house.rooms.awake(ROOM) is None, "it does not wait for ever for a tip it forgot"


def test_preferences_being_stored_survive_the_crash() -> None:
    async def slow(call: str) -> None:
        await trio.sleep(2 if call == "save_preferences" else 0)

    database = Database([record(sync=ViewerSyncMode.SHARED_MOMENT)], {"ann": 100})
    database.before = slow

    async def main() -> None:
        async with open_house(database) as house:
            room = await house.room()
            await house.join_viewer(ANN, "ann")
            room.tell(MemberFrame(ANN, frames.ReportToys(2, (TOY,))))
            room.tell(MemberFrame(ANN, frames.SetPreferences(3, react_to_my_tips=True)))
            await wait_all_tasks_blocked()
            await crash(room)
            await trio.sleep(2)
            assert house.answer(ANN, 3).result == Preferences(react_to_my_tips=True)
            assert house.sent(ANN, frames.SelfChanged)[-1].self.react_to_my_tips

    on_virtual_clock(main)


@in_house
async def test_a_crash_while_the_database_is_away_waits_for_it(house: House) -> None:
    async def away(_call: str) -> None:
        raise StoreUnavailable

    room = await house.room()
    await house.join_viewer(ANN, "ann")
    present, house.database.before = house.database.before, away
    room.tell(NONSENSE)
    await trio.sleep(10)
    assert (room.restarts, room.failed) == (1, False)
    house.database.before = present
    await trio.sleep(2)
    assert len(house.sent(ANN, frames.Snapshot)) == 2
    assert room.restarts == 1


@in_house
async def test_a_finished_tip_in_a_slow_audit_does_not_come_back(house: House) -> None:
    async def slow(call: str) -> None:
        await trio.sleep(1 if call == "append_audit" else 0)

    room = await house.room()
    await house.join_model()
    await house.join_viewer(ANN, "ann")
    house.database.before = slow
    await house.tip(ANN, "tip-1", 2)
    [command] = house.sent(MODEL_PAGE, frames.Command)
    room.tell(MemberFrame(MODEL_PAGE, frames.CommandActivated(command.command_id)))
    room.tell(NONSENSE)
    await trio.sleep(4)
    house.report(room)
    await trio.sleep(20)
    assert len(house.sent(MODEL_PAGE, frames.Command)) == 1
    states = [each.state for each in house.database.audit]
    assert states == [TargetState.QUEUED, TargetState.SENT, TargetState.ACTIVATED]


# ---- the end ---------------------------------------------------------------------------------


@in_house
async def test_too_many_crashes_close_the_room_with_a_reason(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    for _ in range(RESTARTS_MAX):
        await crash(room)
    assert house.sockets.closed == {}
    inbox = Inbox()
    room.tell(NONSENSE)
    room.tell(viewer_join(6, "bob", ref=4))
    room.tell(TipByRequest(inbox, "tip-1", BROADCAST, 5, "ann", "Ann", FREE))
    await trio.sleep(0.9)
    assert house.sockets.closed == {ANN: CloseCode.ROOM_FAILED, 6: CloseCode.ROOM_FAILED}
    assert house.answer(6, 4).code is ErrorCode.ROOM_FAILED
    assert inbox.only.code is ErrorCode.ROOM_FAILED
    with pytest.raises(MailboxClosed):
        room.tell(viewer_join(7, "zoe"))
    with pytest.raises(Refused, match="ROOM_FAILED"):
        await house.room()
    await trio.sleep(FAILED_ROOM_REST_S)
    assert await house.room() is not room


@in_house
async def test_crashes_far_apart_do_not_close_it(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    for _ in range(3 * RESTARTS_MAX):
        await crash(room)
        await trio.sleep(15)
    assert room.restarts == 3 * RESTARTS_MAX
    assert house.sockets.closed == {}


@in_house
async def test_a_tip_that_settles_after_the_room_has_failed_is_told_as_it_is(
    house: House,
) -> None:
    async def slow(call: str) -> None:
        await trio.sleep(30 if call == "post" else 0)

    room = await house.room()
    await house.join_viewer(ANN, "ann")
    house.database.before = slow
    inbox = Inbox()
    room.tell(TipByRequest(inbox, "tip-1", BROADCAST, 50, "ann", "Ann", FREE))
    await wait_all_tasks_blocked()
    for _ in range(RESTARTS_MAX + 1):
        await crash(room)
    assert room.failed
    await trio.sleep(30)
    assert isinstance(inbox.only, frames.TipReceipt)


@in_house
async def test_an_empty_room_is_put_away_and_comes_back_as_it_was(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    await house.leave(ANN)
    await trio.sleep(59)
    assert house.rooms.awake(ROOM) is room
    await trio.sleep(2)
    assert house.rooms.awake(ROOM) is None
    assert list(house.rooms) == []
    with pytest.raises(MailboxClosed):
        room.tell(viewer_join(6, "bob"))
    again = await house.room()
    assert again is not room
    await house.join_viewer(6, "bob")
    assert house.sent(6, frames.Snapshot)[0].room.live


@in_house
async def test_a_full_mailbox_refuses_but_not_those_who_leave(house: House) -> None:
    room = await house.room()
    for _ in range(MAILBOX_LIMIT):
        room.tell(Leave(999))
    with pytest.raises(MailboxFull):
        room.tell(Inspect(Inbox()))
    room.tell_always(Leave(1))
    room.tell_first(PlatformSettingsChanged(PlatformSettings()))
    await wait_all_tasks_blocked()
    assert room.mailbox.statistics().waiting == 0
    assert room.mailbox.statistics().refused == 1


# ---- the registry ----------------------------------------------------------------------------


@in_house
async def test_an_unknown_room_is_refused(house: House) -> None:
    with pytest.raises(Refused, match="ROOM_UNKNOWN"):
        await house.rooms.open("room-9")
    assert list(house.rooms) == []


@in_house
async def test_without_a_database_a_room_is_refused_and_may_be_tried_again_at_once(
    house: House,
) -> None:
    async def away(_call: str) -> None:
        raise StoreUnavailable

    present, house.database.before = house.database.before, away
    with pytest.raises(Refused, match="ROOM_BUSY"):
        await house.room()
    house.database.before = present
    assert (await house.room()).room_id == ROOM


@in_house
async def test_a_room_that_cannot_be_read_rests(house: House) -> None:
    async def broken(_call: str) -> None:
        raise ValueError("a row that cannot be")

    house.database.before = broken
    with pytest.raises(Refused, match="ROOM_FAILED"):
        await house.room()
    reads: list[str] = []

    async def counting(call: str) -> None:
        reads.append(call)
        await trio.lowlevel.checkpoint()

    house.database.before = counting
    with pytest.raises(Refused, match="ROOM_FAILED"):
        await house.room()
    assert reads == []
    await trio.sleep(FAILED_ROOM_REST_S)
    await house.room()


@in_house
async def test_all_who_open_a_room_at_once_get_the_same_one(house: House) -> None:
    reads: list[str] = []

    async def slow(call: str) -> None:
        reads.append(call)
        await trio.sleep(1)

    house.database.before = slow
    found: list[RoomActor] = []

    async def open_it() -> None:
        found.append(await house.room())

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(open_it)
    assert len(set(map(id, found))) == 1
    assert reads == ["load_room"]


@in_house
async def test_one_who_gives_up_opening_does_not_keep_others_from_it(house: House) -> None:
    async def slow(_call: str) -> None:
        await trio.sleep(1)

    house.database.before = slow
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.5):
            nursery.start_soon(house.room)
            await house.room()
        assert (await house.room()).room_id == ROOM


@in_house
async def test_a_change_of_settings_reaches_a_room_that_is_just_coming_up(house: House) -> None:
    """It may have read the old ones already."""

    async def slow(_call: str) -> None:
        await trio.sleep(1)

    house.database.before = slow
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.room)
        await trio.sleep(0.5)
        for room in house.rooms:
            room.tell_first(PlatformSettingsChanged(PlatformSettings(enable_lovense=False)))
    await house.join_viewer(ANN, "ann")
    assert not house.sent(ANN, frames.Snapshot)[0].room.enable_lovense


@in_house
async def test_two_changes_ahead_of_the_rest_keep_their_order(house: House) -> None:
    room = await house.room()
    await house.join_viewer(ANN, "ann")
    room.tell(ModelSettingsChanged(ModelSettings()))
    for enabled in (True, False):
        room.tell_first(PlatformSettingsChanged(PlatformSettings(enable_lovense=enabled)))
    await wait_all_tasks_blocked()
    assert not house.sent(ANN, frames.RoomChanged)[-1].room.enable_lovense


def test_a_stop_holds_over_a_crash_of_the_process() -> None:
    """Stored beside the room, again and again while the database is away; the newest counts."""
    database = Database([record()], {"ann": 1_000})
    tries: list[str] = []

    async def away_at_first(call: str) -> None:
        await trio.lowlevel.checkpoint()
        if call == "save_toys_paused":
            tries.append(call)
            if len(tries) < 3:
                raise StoreUnavailable

    database.before = away_at_first

    async def main() -> None:
        async with open_house(database) as house:
            await house.join_model()
            room = await house.room()
            for frame in (frames.StopToys(8), frames.ResumeToys(9), frames.StopToys(10)):
                room.tell(MemberFrame(MODEL_PAGE, frame))
            await trio.sleep(5)
        async with open_house(database) as house:
            await house.join_model()
            await house.join_viewer(ANN, "ann")
            assert house.sent(ANN, frames.Snapshot)[0].room.toys_paused
            await house.tip(ANN, "tip-1", ref=2)
            await trio.sleep(60)
            assert house.sent(MODEL_PAGE, frames.Command) == []
            (await house.room()).tell(MemberFrame(MODEL_PAGE, frames.ResumeToys(9)))
            await wait_all_tasks_blocked()
            assert [each.tip_id for each in house.sent(MODEL_PAGE, frames.Command)] == ["tip-1"]

    on_virtual_clock(main)
    assert len(tries) == 4


def test_what_a_killed_process_had_sent_plays_on_and_nothing_starts_over_it() -> None:
    database = Database([record()], {"ann": 1_000})

    async def main() -> None:
        async with open_house(database) as house:
            await house.join_model()
            await house.join_viewer(ANN, "ann")
            await house.tip(ANN, "tip-1", ref=2)
            [command] = house.sent(MODEL_PAGE, frames.Command)
            done = frames.CommandActivated(command.command_id)
            (await house.room()).tell(MemberFrame(MODEL_PAGE, done))
            await wait_all_tasks_blocked()
            await house.audit.flush()
        async with open_house(database, seed=2) as house:
            await house.join_model()
            await house.join_viewer(ANN, "ann")
            await house.tip(ANN, "tip-2", ref=2)
            assert house.sent(MODEL_PAGE, frames.Command) == []
            await trio.sleep(PLAY_S + 5.1)
            assert [each.tip_id for each in house.sent(MODEL_PAGE, frames.Command)] == ["tip-2"]

    on_virtual_clock(main)


# ---- who watches for the model -----------------------------------------------------------------


class Presence:
    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def model_present(self, model_id: str, present: bool) -> None:
        self.told.append((model_id, present))


@in_house
async def test_a_watcher_hears_of_the_models_page_and_not_of_a_crash(house: House) -> None:
    presence = Presence()
    house.ports.model_watchers.append(presence)
    await house.join_viewer(ANN, "ann")
    assert presence.told == []
    page = await house.join_model()
    assert presence.told == [(MODEL, True)]
    await crash(await house.room())
    assert presence.told == [(MODEL, True)], "her socket is open, so she is here"
    await house.leave(page)
    assert presence.told[1:] == [(MODEL, False)]


@in_house
async def test_in_a_room_that_has_failed_she_is_not(house: House) -> None:
    presence = Presence()
    house.ports.model_watchers.append(presence)
    await house.join_model()
    room = await house.room()
    for _ in range(RESTARTS_MAX + 1):
        room.tell(NONSENSE)
        await trio.sleep(2)
    assert room.failed
    assert presence.told == [(MODEL, True), (MODEL, False)]
