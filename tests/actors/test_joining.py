"""Who gets in, in which order they are told what, and what leaves with them."""

import pytest

from actors.room.effects import Admit, Send
from actors.room.messages import TierChanged
from protocol import frames
from protocol.errors import CloseCode, ErrorCode
from protocol.gating import Preferences
from protocol.lovense import ReportedToy
from protocol.tip_activated import LovenseMode, ViewerSyncMode
from tests.actors.rooms import (
    BROADCAST,
    GOLD,
    MODEL,
    MODEL_PAGE,
    NO_TOY,
    TOY,
    SteppedRoom,
    model_join,
    record,
    viewer_join,
)


@pytest.mark.parametrize("join", [model_join(), viewer_join(5, "ann")], ids=["model", "viewer"])
def test_a_member_gets_ok_then_the_snapshot_and_only_then_events(join: object) -> None:
    effects = SteppedRoom().tell(join)  # type: ignore[arg-type]
    kinds = [
        type(each.frame if isinstance(each, Send) else each)
        for each in effects
        if isinstance(each, Send | Admit)
    ]
    assert kinds[:3] == [frames.Ok, frames.Snapshot, Admit]


def test_the_snapshot_shows_the_room_and_oneself() -> None:
    room = SteppedRoom()
    room.join_model()
    room.join_viewer(5, "ann", tier=GOLD, balance=70)
    [snapshot] = room.frames_to(5, frames.Snapshot)
    assert snapshot.epoch == room.state.epoch
    assert snapshot.room.live
    assert snapshot.room.broadcast_id == BROADCAST
    assert snapshot.room.model_toy_connected
    assert (snapshot.self.user_id, snapshot.self.role, snapshot.self.balance) == (
        "ann",
        "viewer",
        70,
    )
    assert snapshot.viewers == 1


def test_history_events_after_the_snapshot_have_the_next_offsets_state_the_last_one() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    [snapshot] = room.frames_to(5, frames.Snapshot)
    room.tip(5, "tip-1")
    room.join_model()
    room.tip(5, "tip-2")
    after = [(type(event), event.offset - snapshot.offset) for event in room.published]
    assert after == [
        (frames.PresenceChanged, 0),
        (frames.TipNotice, 1),
        (frames.RoomChanged, 1),
        (frames.TipNotice, 2),
    ]


def test_a_member_let_in_again_after_a_crash_gets_no_second_ok() -> None:
    room = SteppedRoom()
    room.tell(viewer_join(5, "ann", ref=None))
    assert room.frames_to(5, frames.Ok) == []
    assert len(room.frames_to(5, frames.Snapshot)) == 1


@pytest.mark.parametrize("page_id", ["page-2", None])
def test_a_second_page_of_the_model_is_refused_and_told_which_integration_is_active(
    page_id: str | None,
) -> None:
    room = SteppedRoom()
    room.join_model()
    room.tell(model_join(2, page_id=page_id))
    error = room.answer_to(2, 1)
    assert error.code is ErrorCode.SECOND_MODEL_PAGE
    assert "EXTENSION" in error.text
    assert room.closed == {2: CloseCode.SECOND_MODEL_PAGE}
    assert room.admitted == [MODEL_PAGE]
    assert room.state.model_page is not None
    assert room.state.model_page.session_id == MODEL_PAGE


def test_the_same_page_takes_the_place_of_its_own_lost_socket() -> None:
    room = SteppedRoom()
    room.join_model()
    room.tell(model_join(2))
    assert room.closed == {MODEL_PAGE: CloseCode.SECOND_MODEL_PAGE}
    assert room.state.model_page is not None
    assert room.state.model_page.session_id == 2
    room.leave(MODEL_PAGE)
    assert room.state.model_page is not None, "the old socket's end is not the page's"


def test_two_pages_without_a_page_id_are_two_pages() -> None:
    room = SteppedRoom()
    room.tell(model_join(1, page_id=None))
    room.tell(model_join(2, page_id=None))
    assert room.answer_to(2, 1).code is ErrorCode.SECOND_MODEL_PAGE


def test_another_integration_than_the_broadcasts_is_refused_naming_the_active_one() -> None:
    room = SteppedRoom(record(mode=LovenseMode.CAM_KIT))
    room.tell(model_join(integration=LovenseMode.EXTENSION))
    error = room.answer_to(MODEL_PAGE, 1)
    assert error.code is ErrorCode.INTEGRATION_CONFLICT
    assert "CAM_KIT" in error.text
    assert room.closed == {MODEL_PAGE: CloseCode.INTEGRATION_CONFLICT}


def test_offline_any_integration_may_connect() -> None:
    room = SteppedRoom(record(live=False))
    room.join_model(integration=LovenseMode.CAM_KIT)
    [snapshot] = room.frames_to(MODEL_PAGE, frames.Snapshot)
    assert not snapshot.room.live
    assert snapshot.room.broadcast_id is None


def test_another_model_is_refused() -> None:
    room = SteppedRoom()
    room.tell(model_join(user_id="model-2"))
    assert room.answer_to(MODEL_PAGE, 1).code is ErrorCode.FORBIDDEN
    assert room.closed == {MODEL_PAGE: CloseCode.WRONG_ROOM}


# ---- toys ------------------------------------------------------------------------------------


def test_a_viewers_toy_opens_the_gates_and_leaves_with_its_socket() -> None:
    room = SteppedRoom(record(sync=ViewerSyncMode.VIP_ROOM_SYNC))
    room.join_viewer(5, "ann", tier=GOLD, toy=True)
    room.join_viewer(6, "ann", tier=GOLD)
    shown = room.frames_to(5, frames.SelfChanged)[-1].self
    assert (shown.toy_connected, shown.gates.react_to_my_tips, shown.gates.feel_all_tips) == (
        True,
        True,
        True,
    )
    room.leave(5)
    shown = room.frames_to(6, frames.SelfChanged)[-1].self
    assert (shown.toy_connected, shown.gates.react_to_my_tips, shown.gates.feel_all_tips) == (
        False,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("sync", "tier", "react", "feel"),
    [
        (ViewerSyncMode.OFF, GOLD, False, False),
        (ViewerSyncMode.SHARED_MOMENT, GOLD, True, False),
        (ViewerSyncMode.VIP_ROOM_SYNC, GOLD, True, True),
        (ViewerSyncMode.VIP_ROOM_SYNC, None, True, False),
    ],
)
def test_gates_follow_the_sync_mode_and_the_tier(
    sync: ViewerSyncMode, tier: object, react: bool, feel: bool
) -> None:
    room = SteppedRoom(record(sync=sync))
    room.join_viewer(5, "ann", toy=True, **({"tier": tier} if tier else {}))
    gates = room.frames_to(5, frames.SelfChanged)[-1].self.gates
    assert (gates.react_to_my_tips, gates.feel_all_tips) == (react, feel)


def test_everyone_hears_of_the_models_toy_once_for_each_change() -> None:
    room = SteppedRoom()
    room.join_model(ready=False)
    for toys in ((TOY,), (TOY,), (NO_TOY,)):
        room.ask(MODEL_PAGE, frames.ReportToys, toys=toys)
    heard = [e.room.model_toy_connected for e in room.published if type(e) is frames.RoomChanged]
    assert heard == [True, False]


def test_the_model_sees_her_toys_as_the_server_understood_them() -> None:
    room = SteppedRoom()
    room.join_model()
    room.ask(
        MODEL_PAGE,
        frames.ReportToys,
        toys=(ReportedToy(id="x", type="Lush", status="on", battery="80"),),
    )
    understood = room.frames_to(MODEL_PAGE, frames.ModelToysChanged)[-1]
    assert [(toy.toy_id, toy.connected, toy.battery) for toy in understood.toys] == [
        ("x", True, 80)
    ]
    assert [level.name for level in understood.levels] == ["level1"]


def test_only_the_models_page_reports_settings() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    assert room.ask(5, frames.ReportSettings, settings=None).code is ErrorCode.FORBIDDEN


# ---- tabs, tiers, presence -------------------------------------------------------------------


def test_several_tabs_of_one_viewer_count_once() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.join_viewer(6, "ann")
    assert room.frames_to(6, frames.Snapshot)[0].viewers == 1
    room.leave(5)
    assert "ann" in room.state.viewers
    room.leave(6)
    assert room.state.viewers == {}
    assert room.state.flags == {}


def test_a_crowd_costs_one_count_a_second() -> None:
    room = SteppedRoom()
    for number in range(50):
        room.join_viewer(10 + number, f"user-{number}")
        room.pass_s(0.05)
    room.pass_s(2)
    counts = [e.viewers for e in room.published if isinstance(e, frames.PresenceChanged)]
    assert len(counts) <= 5
    assert counts[-1] == 50


def test_a_newer_token_changes_the_tier_on_all_tabs() -> None:
    room = SteppedRoom(record(sync=ViewerSyncMode.VIP_ROOM_SYNC))
    room.join_viewer(5, "ann", toy=True)
    room.join_viewer(6, "ann")
    room.tell(TierChanged(6, GOLD))
    for tab in (5, 6):
        shown = room.frames_to(tab, frames.SelfChanged)[-1].self
        assert shown.membership_tier is GOLD
        assert shown.gates.feel_all_tips


def test_a_tab_that_brings_another_tier_still_gets_its_snapshot_first() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.join_viewer(6, "ann", tier=GOLD)
    assert [type(frame) for frame in room.frames_to(6)][:2] == [frames.Ok, frames.Snapshot]
    assert room.frames_to(5, frames.SelfChanged)[-1].self.membership_tier is GOLD


def test_frames_of_a_session_that_is_no_member_change_nothing() -> None:
    """It has left; or its stop came ahead of its own Join, and must not be without an answer."""
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.leave(5)
    for answer in (room.ask(5, frames.ReportToys, toys=(TOY,)), room.tip(5, "tip-1")):
        assert (answer.code, answer.retry) == (ErrorCode.ROOM_BUSY, True)
    assert room.settlements == []
    room.leave(5)
    room.leave(99)
    assert room.state.viewers == {}


def test_a_model_in_her_own_room_as_a_viewer_is_a_viewer() -> None:
    room = SteppedRoom()
    room.join_viewer(5, MODEL, preferences=Preferences(True, True))
    assert room.tip(5, "tip-1").code is ErrorCode.FORBIDDEN
    assert room.ask(5, frames.StartBroadcast, lovense_mode=LovenseMode.CAM_KIT).code is (
        ErrorCode.FORBIDDEN
    )


def test_a_room_is_put_away_after_a_minute_without_members() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.pass_s(300)
    assert not room.put_away
    room.leave(5)
    room.pass_s(59)
    assert not room.put_away
    room.pass_s(1.5)
    assert room.put_away
