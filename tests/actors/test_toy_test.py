"""A model tries a row of her menu on her own toy (spec 3): no tip, no other target, no delay."""

from typing import Any, get_args

import msgspec
import pytest

from actors.room import room as rules
from actors.room.messages import EndBroadcastByRequest, PlatformSettingsChanged, ToyTestByRequest
from protocol import frames
from protocol.audit import Reason, TargetState
from protocol.errors import ErrorCode
from protocol.lovense import Integration
from protocol.tip_activated import LovenseMode, ViewerSyncMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import PlatformSettings
from protocol.vibration import PresetName, Vibration, VibrationType, level
from tests.actors.rooms import (
    LEVELS,
    LEVELS_WITHOUT_CLEAR,
    MODEL_PAGE,
    NO_TOY,
    PLAY_S,
    TOY,
    Inbox,
    SteppedRoom,
    model_join,
    record,
)

ANN = 5
WAVE = Vibration(VibrationType.PRESET, None, 5, PresetName.WAVE, None)
MENU = (
    TipMenuRow("soft", 20, level(5, 3), "Soft", True, 0),
    TipMenuRow("resting", 30, level(10, 5), "Not sold now", False, 1),
    TipMenuRow("wave", 40, WAVE, "Wave", True, 2),
)


def room_with(
    settings: object = LEVELS, mode: LovenseMode = LovenseMode.EXTENSION, **fields: Any
) -> SteppedRoom:
    room = SteppedRoom(record(menu=MENU, mode=mode, **fields))
    room.tell(model_join(integration=mode))
    room.ask(MODEL_PAGE, frames.ReportSettings, settings=settings)
    room.ask(MODEL_PAGE, frames.ReportToys, toys=(TOY,))
    room.join_viewer(ANN, "ann", toy=True)
    return room


def start(room: SteppedRoom, row_id: str = "soft", session_id: int = MODEL_PAGE) -> Any:
    return room.ask(session_id, frames.ToyTest, row_id=row_id)


def commands(room: SteppedRoom) -> list[frames.ToyTestCommand]:
    return room.frames_to(MODEL_PAGE, frames.ToyTestCommand)


def states(room: SteppedRoom) -> list[tuple[TargetState, Reason | None]]:
    return [(each.state, each.reason) for each in room.toy_tests]


# ---- what it is ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "args"),
    [(LovenseMode.EXTENSION, (20, "Test")), (LovenseMode.CAM_KIT, ("Test", 20))],
)
def test_it_goes_to_her_own_page_by_the_amount_that_her_levels_map(
    mode: LovenseMode, args: tuple[Any, ...]
) -> None:
    room = room_with(mode=mode)
    started = start(room)
    [command] = commands(room)
    assert (command.call.method, command.call.args) == ("receiveTip", args)
    assert command.call.integration == mode
    assert command.duration_sec == 3
    assert isinstance(started, frames.ToyTestStarted)
    assert (started.test_id, started.row_id) == (command.command_id, "soft")
    assert (started.call, started.seconds, started.fit.kind) == (command.call, PLAY_S, "nearest")
    assert room.frames_to(ANN, frames.ToyTestCommand) == []
    assert frames.TipNotice not in {type(each) for each in room.published}
    assert room.settlements == room.audit == room.finished == []


def test_over_http_it_is_the_same() -> None:
    room = room_with()
    inbox = Inbox()
    room.tell(ToyTestByRequest(inbox, "soft"))
    assert inbox.only.test_id == commands(room)[0].command_id


def test_a_row_that_is_not_sold_can_be_tried() -> None:
    assert start(room_with(), "resting").row_id == "resting"


def test_it_can_be_tried_off_air() -> None:
    assert start(room_with(live=False)).row_id == "soft"


def test_the_platforms_longest_duration_binds_it() -> None:
    room = room_with(lovense_max_activation_duration=2)
    assert start(room).code is ErrorCode.ROW_NOT_PLAYABLE, "her one level plays for 5 s"


def test_it_is_no_frame_that_a_member_may_get() -> None:
    assert frames.ToyTestCommand not in get_args(frames.OwnFrame)
    assert frames.ToyTestCommand not in get_args(frames.RoomEvent)


def test_it_never_speaks_to_a_viewers_integration() -> None:
    room = room_with()
    start(room)
    assert commands(room)[0].call.integration is not Integration.BASIC_SDK


# ---- who may, and when -----------------------------------------------------------------------


def test_a_viewer_may_not() -> None:
    room = room_with()
    assert start(room, session_id=ANN).code is ErrorCode.FORBIDDEN
    assert commands(room) == []


def refused(room: SteppedRoom, row_id: str = "soft") -> ErrorCode:
    before = len(commands(room))
    code = start(room, row_id).code
    assert len(commands(room)) == before, "a refusal sends nothing"
    assert isinstance(code, ErrorCode)
    return code


def test_an_unknown_row() -> None:
    room = room_with()
    error = start(room, "nothing")
    assert (error.code, error.field) == (ErrorCode.MENU_ROW_UNKNOWN, "rowId")


@pytest.mark.parametrize("settings", [None, LEVELS])
def test_a_row_that_her_settings_cannot_express(settings: object) -> None:
    assert refused(room_with(settings), "wave") is ErrorCode.ROW_NOT_PLAYABLE


def test_without_a_toy() -> None:
    room = room_with()
    room.ask(MODEL_PAGE, frames.ReportToys, toys=(NO_TOY,))
    assert refused(room) is ErrorCode.TOY_UNAVAILABLE


def test_without_her_page() -> None:
    room = room_with()
    room.leave(MODEL_PAGE)
    inbox = Inbox()
    room.tell(ToyTestByRequest(inbox, "soft"))
    assert inbox.only.code is ErrorCode.TOY_UNAVAILABLE


def test_while_toys_are_switched_off() -> None:
    assert refused(room_with(enable_lovense=False)) is ErrorCode.LOVENSE_DISABLED


def test_while_toys_are_stopped() -> None:
    room = room_with()
    room.ask(MODEL_PAGE, frames.StopToys)
    assert refused(room) is ErrorCode.TOYS_PAUSED
    room.ask(MODEL_PAGE, frames.ResumeToys)
    assert start(room).row_id == "soft"


def test_while_a_tip_plays_or_another_test() -> None:
    room = room_with()
    room.tip(ANN, "tip-1")
    assert refused(room) is ErrorCode.TOYS_BUSY
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(PLAY_S - 0.1)
    assert refused(room) is ErrorCode.TOYS_BUSY
    room.pass_s(0.1)
    assert start(room).row_id == "soft"
    assert refused(room) is ErrorCode.TOYS_BUSY


def test_while_a_tip_waits_although_nothing_plays() -> None:
    room = room_with(lovense_rate_limit_per_min=1)
    room.tip(ANN, "tip-1")
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.tip(ANN, "tip-2")
    room.pass_s(PLAY_S + 1)
    assert refused(room) is ErrorCode.TOYS_BUSY


def test_ten_a_minute() -> None:
    room = room_with()
    for _ in range(10):
        start(room)
        room.failed(MODEL_PAGE, commands(room)[-1], "no_toy")
        room.pass_s(2)
    error = start(room)
    assert (error.code, error.retry_after_s) == (ErrorCode.RATE_LIMITED, 40.0)
    room.pass_s(40.0)
    assert start(room).row_id == "soft"


def test_it_counts_against_the_rate_of_her_toy() -> None:
    room = room_with(lovense_rate_limit_per_min=1)
    start(room)
    room.activated(MODEL_PAGE, commands(room)[0])
    room.pass_s(10)
    assert refused(room) is ErrorCode.RATE_LIMITED
    room.tip(ANN, "tip-1")
    room.pass_s(49)
    assert room.commands(MODEL_PAGE) == []
    room.pass_s(1)
    assert len(room.commands(MODEL_PAGE)) == 1


# ---- how it goes -----------------------------------------------------------------------------


def test_a_tip_that_comes_meanwhile_waits_until_her_toy_is_at_rest() -> None:
    room = room_with()
    start(room)
    room.tip(ANN, "tip-1")
    room.pass_s(1)
    room.accepted(MODEL_PAGE, commands(room)[0])
    room.activated(MODEL_PAGE, commands(room)[0])
    room.pass_s(PLAY_S - 0.1)
    assert room.commands(MODEL_PAGE) == []
    room.pass_s(0.1)
    assert [each.tip_id for each in room.commands(MODEL_PAGE)] == ["tip-1"]
    assert states(room) == [(TargetState.SENT, None), (TargetState.ACTIVATED, None)]


def test_a_page_that_says_nothing_is_not_asked_again_and_her_toy_may_play() -> None:
    room = room_with()
    start(room)
    room.tip(ANN, "tip-1")
    room.pass_s(5)
    assert states(room)[-1] == (TargetState.EXPIRED, Reason.NO_ANSWER)
    room.activated(MODEL_PAGE, commands(room)[0])  # too late to count
    assert room.commands(MODEL_PAGE) == []
    room.pass_s(PLAY_S)
    assert len(room.commands(MODEL_PAGE)) == len(commands(room)) == 1
    assert len(states(room)) == 2


def test_accepted_gives_it_the_same_time_again_once() -> None:
    room = room_with()
    start(room)
    for _ in range(3):
        room.pass_s(3)
        room.accepted(MODEL_PAGE, commands(room)[0])
    assert states(room)[-1] == (TargetState.EXPIRED, Reason.NO_ANSWER)


def test_only_her_page_answers() -> None:
    room = room_with()
    start(room)
    room.activated(ANN, commands(room)[0])
    assert states(room) == [(TargetState.SENT, None)]


@pytest.mark.parametrize(("code", "waits_s"), [("no_toy", 0.0), ("no_evidence", PLAY_S + 5)])
def test_one_that_failed_may_still_play(code: str, waits_s: float) -> None:
    room = room_with()
    start(room)
    room.failed(MODEL_PAGE, commands(room)[0], code)
    assert states(room)[-1] == (TargetState.FAILED, Reason.PAGE_REPORTED)
    assert room.toy_tests[-1].code == code
    room.tip(ANN, "tip-1")
    room.pass_s(waits_s - 0.1 if waits_s else 0)
    assert len(room.commands(MODEL_PAGE)) == (0 if waits_s else 1)
    room.pass_s(0.1)
    assert len(room.commands(MODEL_PAGE)) == 1


def test_a_stop_ends_it() -> None:
    room = room_with()
    start(room)
    room.ask(MODEL_PAGE, frames.StopToys)
    assert states(room)[-1] == (TargetState.FAILED, Reason.STOPPED)
    room.ask(MODEL_PAGE, frames.ResumeToys)
    room.tip(ANN, "tip-1")
    assert len(room.commands(MODEL_PAGE)) == 1, "her settings have a stop"


def test_a_stop_that_no_call_carries_out_leaves_her_toy_playing() -> None:
    room = room_with(LEVELS_WITHOUT_CLEAR)
    start(room)
    room.ask(MODEL_PAGE, frames.StopToys)
    room.ask(MODEL_PAGE, frames.ResumeToys)
    room.tip(ANN, "tip-1")
    room.pass_s(PLAY_S + 5 - 0.1)
    assert room.commands(MODEL_PAGE) == []
    room.pass_s(0.1)
    assert len(room.commands(MODEL_PAGE)) == 1


@pytest.mark.parametrize("end", ["kill switch", "end of the broadcast"])
def test_what_stops_all_toys_ends_it(end: str) -> None:
    room = room_with()
    start(room)
    if end == "kill switch":
        room.tell(PlatformSettingsChanged(PlatformSettings(enable_lovense=False)))
    else:
        room.tell(EndBroadcastByRequest(Inbox()))
    assert states(room)[-1] == (TargetState.FAILED, Reason.STOPPED)


def test_after_a_crash_her_toy_still_plays_it() -> None:
    room = room_with(sync=ViewerSyncMode.OFF)
    start(room)
    kept = rules.keep(room.state)
    room.state = rules.new_state(room.record, room.ctx, 50, 10)
    room.carry_out(rules.revive(room.state, kept, [], room.ctx))
    room.join_model(session_id=2)
    room.join_viewer(ANN, "ann")
    room.tip(ANN, "tip-1")
    room.pass_s(PLAY_S + 5 - 0.1)
    assert room.commands(2) == []
    room.pass_s(0.1)
    assert len(room.commands(2)) == 1


def test_the_audit_says_what_was_tried_and_what_was_sent() -> None:
    room = room_with()
    start(room)
    [sent] = room.toy_tests
    [command] = commands(room)
    assert (sent.room_id, sent.model_id, sent.row_id) == ("room-1", "model-1", "soft")
    assert str(sent.test_id) == command.command_id
    assert sent.call == msgspec.to_builtins(command.call)
    assert sent.fit is not None
    assert sent.fit["seconds"] == PLAY_S
