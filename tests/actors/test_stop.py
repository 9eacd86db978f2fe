"""Stop, resume and the kill switch: they overtake every queue and limit."""

import pytest

from actors.room.effects import Send
from actors.room.messages import (
    MemberFrame,
    PlatformSettingsChanged,
    ResumeToysByRequest,
    StopToysByRequest,
)
from protocol import frames
from protocol.audit import Reason, TargetState
from protocol.gating import Preferences
from protocol.tip_activated import ViewerSyncMode
from protocol.toy_settings import PlatformSettings
from tests.actors.rooms import (
    GOLD,
    LEVELS_WITHOUT_CLEAR,
    MODEL_PAGE,
    PLAY_S,
    Inbox,
    SteppedRoom,
    record,
    stored,
)

ANN, ZOE = 5, 6
KILLED = PlatformSettingsChanged(PlatformSettings(enable_lovense=False))
BACK_ON = PlatformSettingsChanged(PlatformSettings(enable_lovense=True))


@pytest.fixture
def room() -> SteppedRoom:
    """tip-0 plays on the toys of the model, ann and zoe; tip-1 and tip-2 wait."""
    both = Preferences(react_to_my_tips=True, feel_all_tips=True)
    stepped = SteppedRoom(record(sync=ViewerSyncMode.VIP_ROOM_SYNC))
    stepped.join_model()
    stepped.join_viewer(ANN, "ann", toy=True, preferences=both)
    stepped.join_viewer(ZOE, "zoe", toy=True, tier=GOLD, preferences=both)
    for number in range(3):
        stepped.tip(ANN, f"tip-{number}")
    stepped.pass_s(1)
    return stepped


def test_the_kill_switch_stops_every_toy_and_skips_all_that_waits(room: SteppedRoom) -> None:
    effects = room.tell(KILLED)
    stopped = {e.session_id for e in effects if _is_stop(e)}
    assert stopped == {MODEL_PAGE, ANN, ZOE}
    assert all(_is_stop(effect) for effect in effects[:3]), "before anything else"
    for target in ("model-1", "ann", "zoe"):
        assert room.final("tip-0", target) == (TargetState.FAILED, Reason.STOPPED)
        for tip_id in ("tip-1", "tip-2"):
            assert room.final(tip_id, target) == (TargetState.SKIPPED, Reason.LOVENSE_DISABLED)
    assert sorted(room.finished) == ["tip-0", "tip-1", "tip-2"]


def test_the_kill_switch_also_empties_a_queue_that_is_paused(room: SteppedRoom) -> None:
    room.ask(MODEL_PAGE, frames.StopToys)
    room.tell(KILLED)
    assert room.final("tip-2") == (TargetState.SKIPPED, Reason.LOVENSE_DISABLED)


def test_after_the_kill_switch_tips_settle_and_nothing_plays(room: SteppedRoom) -> None:
    room.tell(KILLED)
    sent = len(room.commands(MODEL_PAGE))
    assert isinstance(room.tip(ANN, "tip-9"), frames.TipReceipt)
    room.pass_s(60)
    assert len(room.commands(MODEL_PAGE)) == sent
    assert room.final("tip-9") == (TargetState.SKIPPED, Reason.LOVENSE_DISABLED)
    room.tell(BACK_ON)
    room.tip(ANN, "tip-10")
    assert len(room.commands(MODEL_PAGE)) == sent + 1


def test_a_tip_at_the_ledger_when_the_switch_falls_is_skipped(room: SteppedRoom) -> None:
    room.holds_answers = True
    room.tip(ANN, "tip-9")
    room.tell(KILLED)
    for message in room.settle(room.settlements[-1]):
        room.tell(message)
    assert room.final("tip-9") == (TargetState.SKIPPED, Reason.LOVENSE_DISABLED)


def test_stop_pauses_and_shows_it_and_resume_goes_on(room: SteppedRoom) -> None:
    assert room.ask(MODEL_PAGE, frames.StopToys) is None
    assert room.final("tip-0") == (TargetState.FAILED, Reason.STOPPED)
    assert _shown(room).toys_paused
    assert room.frames_to(MODEL_PAGE, frames.QueueChanged)[-1].paused
    room.pass_s(120)
    assert len(room.commands(MODEL_PAGE)) == 1
    room.ask(MODEL_PAGE, frames.ResumeToys)
    assert not _shown(room).toys_paused
    assert [each.tip_id for each in room.commands(MODEL_PAGE)] == ["tip-0", "tip-1"]


def test_an_admin_stops_and_resumes_the_same_way(room: SteppedRoom) -> None:
    inbox = Inbox()
    effects = room.tell(StopToysByRequest(inbox))
    assert _is_stop(effects[0])
    assert inbox.answers == [None]
    assert room.state.queue.paused
    room.tell(ResumeToysByRequest(inbox))
    assert inbox.answers == [None, None]
    assert len(room.commands(MODEL_PAGE)) == 2


def test_stopping_twice_changes_nothing_more(room: SteppedRoom) -> None:
    room.ask(MODEL_PAGE, frames.StopToys)
    written = len(room.audit)
    room.ask(MODEL_PAGE, frames.StopToys)
    assert len(room.audit) == written


def test_a_viewer_stops_the_own_toy_alone(room: SteppedRoom) -> None:
    room.join_viewer(20, "zoe")
    effects = room.tell(MemberFrame(ZOE, frames.StopToys(ref=1)))
    assert {e.session_id for e in effects if _is_stop(e)} == {ZOE, 20}
    assert room.final("tip-0", "zoe") == (TargetState.FAILED, Reason.STOPPED)
    assert not room.is_final("tip-0", "model-1")
    assert not room.is_final("tip-0", "ann")
    assert not room.state.queue.paused


def test_what_no_call_can_stop_plays_on_and_nothing_starts_over_it() -> None:
    """The Extension has no stop of its own: without the special `clear` her toy runs to its
    end, and a command sent before would overlap."""
    room = SteppedRoom()
    room.join_model()
    room.ask(MODEL_PAGE, frames.ReportSettings, settings=LEVELS_WITHOUT_CLEAR)
    room.join_viewer(ANN, "ann")
    room.tip(ANN, "tip-0")
    room.tip(ANN, "tip-1")
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(1)
    room.ask(MODEL_PAGE, frames.StopToys)
    [stop] = room.frames_to(MODEL_PAGE, frames.ToysStopped)
    assert stop.call is None
    room.ask(MODEL_PAGE, frames.ResumeToys)
    room.pass_s(PLAY_S - 1.1)
    assert len(room.commands(MODEL_PAGE)) == 1
    room.pass_s(0.2)
    assert len(room.commands(MODEL_PAGE)) == 2


def test_with_a_price_for_clear_the_next_may_start_at_once(room: SteppedRoom) -> None:
    room.ask(MODEL_PAGE, frames.StopToys)
    [stop] = room.frames_to(MODEL_PAGE, frames.ToysStopped)
    assert stop.call is not None
    assert stop.call.args == (7, "Mia")
    room.ask(MODEL_PAGE, frames.ResumeToys)
    assert len(room.commands(MODEL_PAGE)) == 2


def test_a_viewer_resumes_the_own_toy_alone(room: SteppedRoom) -> None:
    room.ask(MODEL_PAGE, frames.StopToys)
    room.ask(ANN, frames.ResumeToys)
    assert room.state.queue.paused


def test_a_viewers_stop_holds_until_the_viewer_resumes(room: SteppedRoom) -> None:
    """Also over a reload of the page."""
    room.ask(ZOE, frames.StopToys)
    assert room.frames_to(ZOE, frames.SelfChanged)[-1].self.toys_paused
    had = len(room.commands(ZOE))
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(PLAY_S)
    assert room.final("tip-1", "zoe") == (TargetState.SKIPPED, Reason.STOPPED)
    assert [each.tip_id for each in room.commands(ANN)] == ["tip-0", "tip-1"]

    room.leave(ZOE)
    both = Preferences(react_to_my_tips=True, feel_all_tips=True)
    room.join_viewer(ZOE, "zoe", toy=True, tier=GOLD, preferences=both)
    assert room.frames_to(ZOE, frames.Snapshot)[-1].self.toys_paused
    assert len(room.commands(ZOE)) == had

    room.ask(ZOE, frames.ResumeToys)
    assert not room.frames_to(ZOE, frames.SelfChanged)[-1].self.toys_paused
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[1])
    room.pass_s(PLAY_S)
    assert room.commands(ZOE)[-1].tip_id == "tip-2"


def test_a_stop_reaches_a_toy_that_has_just_been_reported_gone(room: SteppedRoom) -> None:
    room.ask(ZOE, frames.ReportToys, toys=())
    room.ask(MODEL_PAGE, frames.StopToys)
    assert len(room.frames_to(ZOE, frames.ToysStopped)) == 1


def test_a_stop_while_a_broadcast_is_being_started_holds() -> None:
    room = SteppedRoom(record(live=False))
    room.join_model()
    room.holds_answers = True
    room.ask(MODEL_PAGE, frames.StartBroadcast)
    room.ask(MODEL_PAGE, frames.StopToys)
    room.tell(stored(room.stores[0]))
    assert room.state.broadcast is not None
    assert room.state.queue.paused


def test_a_pause_ends_with_the_broadcast(room: SteppedRoom) -> None:
    room.ask(MODEL_PAGE, frames.StopToys)
    room.ask(MODEL_PAGE, frames.EndBroadcast)
    assert not room.state.queue.paused


def _is_stop(effect: object) -> bool:
    return isinstance(effect, Send) and isinstance(effect.frame, frames.ToysStopped)


def _shown(room: SteppedRoom) -> frames.RoomView:
    return [each.room for each in room.published if isinstance(each, frames.RoomChanged)][-1]
