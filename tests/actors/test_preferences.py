"""Preferences: refused while their toggle is hidden, stored one after the other."""

import pytest

from actors.room.effects import StorePreferences
from actors.room.messages import ModelSettingsChanged, SetPreferencesByRequest, _PreferencesStored
from protocol import frames
from protocol.errors import ErrorCode, Refusal
from protocol.gating import Preferences
from protocol.tip_activated import ViewerSyncMode
from protocol.toy_settings import ModelSettings
from tests.actors.rooms import GOLD, NO_TOY, Inbox, SteppedRoom, record, stored

OFF, SHARED, VIP_SYNC = ViewerSyncMode


@pytest.mark.parametrize(
    ("sync", "vip", "toy", "wish", "allowed"),
    [
        (OFF, True, True, "react_to_my_tips", False),
        (OFF, True, True, "feel_all_tips", False),
        (SHARED, False, True, "react_to_my_tips", True),
        (SHARED, True, True, "feel_all_tips", False),
        (SHARED, True, False, "react_to_my_tips", False),
        (VIP_SYNC, False, True, "react_to_my_tips", True),
        (VIP_SYNC, False, True, "feel_all_tips", False),
        (VIP_SYNC, True, True, "feel_all_tips", True),
        (VIP_SYNC, True, False, "feel_all_tips", False),
    ],
)
@pytest.mark.parametrize("over_http", [False, True])
def test_a_hidden_toggle_is_refused_and_changes_nothing(
    sync: ViewerSyncMode, vip: bool, toy: bool, wish: str, allowed: bool, over_http: bool
) -> None:
    room = SteppedRoom(record(sync=sync))
    room.join_viewer(5, "ann", toy=toy, **({"tier": GOLD} if vip else {}))
    wishes = {"react_to_my_tips": None, "feel_all_tips": None, wish: True}
    if over_http:
        inbox = Inbox()
        room.tell(SetPreferencesByRequest(inbox, "ann", **wishes))  # type: ignore[arg-type]
        answer = inbox.only
    else:
        answer = room.ask(5, frames.SetPreferences, **wishes)
    kept = room.state.viewers["ann"].preferences
    if allowed:
        assert answer == kept == Preferences(**{wish: True})
        assert getattr(room.frames_to(5, frames.SelfChanged)[-1].self, wish)
    else:
        assert answer.code is ErrorCode.PREFERENCE_HIDDEN
        assert kept == Preferences()
        assert room.stores == []


def test_preferences_of_someone_who_is_not_here_are_hidden() -> None:
    inbox = Inbox()
    SteppedRoom().tell(SetPreferencesByRequest(inbox, "ann", True, None))
    assert inbox.only.code is ErrorCode.PREFERENCE_HIDDEN


def test_a_model_has_no_preferences() -> None:
    room = SteppedRoom()
    page = room.join_model()
    assert room.ask(page, frames.SetPreferences, react_to_my_tips=True).code is ErrorCode.FORBIDDEN


def test_a_preference_counts_when_it_is_stored_and_not_before() -> None:
    room = _room_that_holds()
    assert room.ask(5, frames.SetPreferences, react_to_my_tips=True) is None
    assert not room.state.flags["ann"].react_to_my_tips
    room.tell(stored(room.stores.pop()))
    assert room.state.flags["ann"].react_to_my_tips


def test_a_preference_that_could_not_be_stored_is_refused_and_does_not_count() -> None:
    room = _room_that_holds()
    room.ask(5, frames.SetPreferences, react_to_my_tips=True)
    _fail(room)
    error = room.frames_to(5, frames.Error)[-1]
    assert (error.code, error.retry) == (ErrorCode.ROOM_BUSY, True)
    assert not room.state.flags["ann"].react_to_my_tips


def test_two_quick_changes_do_not_undo_each_other() -> None:
    room = _room_that_holds()
    room.ask(5, frames.SetPreferences, react_to_my_tips=True)
    room.ask(5, frames.SetPreferences, feel_all_tips=True)
    assert len(room.stores) == 1, "one after the other: the database keeps no order between two"
    room.tell(stored(room.stores.pop()))
    [second] = room.stores
    assert isinstance(second, StorePreferences)
    assert second.preferences == Preferences(react_to_my_tips=True, feel_all_tips=True)
    room.tell(stored(second))
    assert len([f for f in room.frames_to(5, frames.Ok) if f.result is not None]) == 2
    assert room.state.preferences_storing == {}


def test_after_a_failed_change_the_next_is_made_of_what_is_in_force() -> None:
    room = _room_that_holds()
    room.ask(5, frames.SetPreferences, react_to_my_tips=True)
    room.ask(5, frames.SetPreferences, feel_all_tips=True)
    _fail(room)
    [second] = room.stores
    assert second.preferences == Preferences(feel_all_tips=True)  # type: ignore[union-attr]


def test_a_change_that_waited_is_checked_when_its_turn_comes() -> None:
    room = _room_that_holds()
    room.ask(5, frames.SetPreferences, react_to_my_tips=True)
    room.ask(5, frames.SetPreferences, feel_all_tips=True)
    room.ask(5, frames.SetPreferences, feel_all_tips=False)
    room.ask(5, frames.ReportToys, toys=(NO_TOY,))
    room.tell(stored(room.stores.pop()))
    codes = [error.code for error in room.frames_to(5, frames.Error)]
    assert codes == [ErrorCode.PREFERENCE_HIDDEN, ErrorCode.PREFERENCE_HIDDEN]
    assert room.state.preferences_storing == {}


def test_those_who_leave_while_a_change_waits_leave_nothing_behind() -> None:
    room = _room_that_holds()
    room.ask(5, frames.SetPreferences, react_to_my_tips=True)
    inbox = Inbox()
    room.tell(SetPreferencesByRequest(inbox, "ann", None, True))
    room.leave(5)
    room.tell(stored(room.stores.pop()))
    assert inbox.only.code is ErrorCode.PREFERENCE_HIDDEN
    assert room.state.preferences_storing == {}


def test_changes_that_wait_are_bounded() -> None:
    room = _room_that_holds()
    answers = [room.ask(5, frames.SetPreferences, feel_all_tips=True) for _ in range(10)]
    assert answers[:9] == [None] * 9
    assert answers[9].code is ErrorCode.ROOM_BUSY


def test_a_new_sync_mode_changes_everyones_gates_at_once() -> None:
    room = SteppedRoom(record(sync=VIP_SYNC))
    room.join_viewer(5, "ann", tier=GOLD, toy=True)
    room.join_viewer(6, "bob", toy=True)
    room.tell(ModelSettingsChanged(ModelSettings(viewer_sync_mode=OFF)))
    for tab in (5, 6):
        gates = room.frames_to(tab, frames.SelfChanged)[-1].self.gates
        assert (gates.react_to_my_tips, gates.feel_all_tips) == (False, False)


def _room_that_holds() -> SteppedRoom:
    room = SteppedRoom(record(sync=VIP_SYNC))
    room.join_viewer(5, "ann", tier=GOLD, toy=True)
    room.holds_answers = True
    return room


def _fail(room: SteppedRoom) -> None:
    effect = room.stores.pop()
    assert isinstance(effect, StorePreferences)
    failed = Refusal(ErrorCode.ROOM_BUSY)
    room.tell(_PreferencesStored(effect.asker, effect.user_id, effect.preferences, failed))
