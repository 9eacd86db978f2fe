"""What a room makes of its members' toys: limits at once, warnings once, rows for the database."""

from typing import Any

import msgspec
import pytest

from actors.room import room as rules
from actors.room.messages import DeviceOverridesChanged
from protocol import frames
from protocol.audit import Reason, TargetState
from protocol.devices import DeviceOverride, device_id_of
from protocol.gating import Preferences
from protocol.lovense import ReportedSettings, ReportedToy
from protocol.tip_activated import ViewerSyncMode
from protocol.tip_menu import TipMenuRow
from protocol.vibration import PresetName, Vibration, VibrationType, level
from tests.actors.house import House, in_house
from tests.actors.rooms import (
    GOLD,
    MODEL,
    MODEL_PAGE,
    SteppedRoom,
    record,
    viewer_join,
)

ANN, ZOE = 5, 6
OFF = {"toy": DeviceOverride(enabled=False)}


def toy(toy_id: str = "toy", battery: Any = None, on: bool = True, **more: Any) -> ReportedToy:
    return ReportedToy(id=toy_id, name="Lush", type="lush", connected=on, battery=battery, **more)


def report(room: SteppedRoom, session_id: int, *toys: ReportedToy) -> None:
    room.ask(session_id, frames.ReportToys, toys=toys)


def warnings(room: SteppedRoom, session_id: int) -> list[tuple[str, int | None]]:
    return [(w.kind, w.battery) for w in room.frames_to(session_id, frames.DeviceWarning)]


def synced() -> SteppedRoom:
    room = SteppedRoom(record(sync=ViewerSyncMode.VIP_ROOM_SYNC))
    room.join_model()
    room.join_viewer(ANN, "ann")
    wants = Preferences(feel_all_tips=True)
    room.join_viewer(ZOE, "zoe", toy=True, tier=GOLD, preferences=wants)
    return room


def limit(room: SteppedRoom, user_id: str, overrides: dict[str, DeviceOverride]) -> None:
    room.tell(DeviceOverridesChanged(user_id, overrides))


# ---- limits ----------------------------------------------------------------------------------


def test_a_limit_reaches_the_next_command() -> None:
    room = synced()
    limit(room, "zoe", {"toy": DeviceOverride(max_strength=4)})
    room.tip(ANN, "tip-1")
    assert room.commands(ZOE)[0].call.args[0]["vibrate"] == 4


def test_a_toy_that_is_taken_out_is_no_target_and_one_that_is_back_is() -> None:
    room = synced()
    limit(room, "zoe", OFF)
    room.tip(ANN, "tip-1")
    assert room.commands(ZOE) == []
    assert not room.state.flags["zoe"].toy_connected
    limit(room, "zoe", {})
    assert room.state.flags["zoe"].toy_connected


def test_one_that_is_taken_out_after_the_tip_is_skipped() -> None:
    room = synced()
    room.tip(ANN, "tip-1")
    room.tip(ANN, "tip-2")
    room.activated(ZOE, room.commands(ZOE)[0])
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    limit(room, "zoe", OFF)
    room.pass_s(20)
    assert room.final("tip-2", "zoe") == (TargetState.SKIPPED, Reason.NO_TOY)


def test_what_plays_is_stopped_where_less_is_allowed_than_before() -> None:
    room = synced()
    limit(room, "zoe", {"toy": DeviceOverride(max_strength=10)})
    room.tip(ANN, "tip-1")
    before = len(room.frames_to(ZOE, frames.ToysStopped))
    limit(room, "zoe", {"toy": DeviceOverride(max_strength=15)})
    assert len(room.frames_to(ZOE, frames.ToysStopped)) == before
    limit(room, "zoe", {"toy": DeviceOverride(max_strength=9)})
    assert len(room.frames_to(ZOE, frames.ToysStopped)) == before + 1
    assert room.final("tip-1", "zoe") == (TargetState.FAILED, Reason.STOPPED)


def test_a_models_toy_that_is_taken_out_skips_her_part() -> None:
    room = synced()
    limit(room, MODEL, OFF)
    room.tip(ANN, "tip-1")
    assert room.final("tip-1") == (TargetState.SKIPPED, Reason.NO_TOY)
    assert not room.state.view().model_toy_connected
    assert len(room.commands(ZOE)) == 1


def test_a_models_limits_come_with_her_room_and_change_while_she_is_away() -> None:
    room = SteppedRoom(msgspec.structs.replace(record(), model_overrides=OFF))
    room.join_model()
    assert not room.state.view().model_toy_connected
    room.leave(MODEL_PAGE)
    limit(room, MODEL, {})
    room.join_model()
    assert room.state.view().model_toy_connected


def test_limits_come_with_the_join_and_hold_over_a_crash() -> None:
    room = synced()
    join = viewer_join(7, "kim", tier=GOLD, preferences=Preferences(feel_all_tips=True))
    join.viewer.overrides["toy"] = DeviceOverride(max_strength=3)
    room.tell(join)
    report(room, 7, toy())
    room.tip(ANN, "tip-1")
    assert room.commands(7)[0].call.args[0]["vibrate"] == 3

    limit(room, "kim", {"toy": DeviceOverride(max_strength=2)})
    kept = rules.keep(room.state)
    room.state = rules.new_state(room.record, room.ctx, 50, 10)
    room.carry_out(rules.revive(room.state, kept, [join], room.ctx))
    report(room, 7, toy())
    [session] = room.state.viewers["kim"].sessions.values()
    assert [each.max_strength for each in session.toys] == [2]


def test_a_user_who_is_elsewhere_changes_nothing_here() -> None:
    room = synced()
    limit(room, "nobody", OFF)
    assert "nobody" not in room.state.overrides
    room.leave(ZOE)
    assert "zoe" not in room.state.overrides


# ---- warnings --------------------------------------------------------------------------------


def test_a_low_battery_is_told_once_until_it_was_charged() -> None:
    room = synced()
    for battery in ("21", 20, "19", 3, None, 21, 80, 20):
        report(room, ZOE, toy(battery=battery))
    assert warnings(room, ZOE) == [("battery", 20), ("battery", 20)]
    [frame, _] = room.frames_to(ZOE, frames.DeviceWarning)
    assert (frame.device_id, frame.name) == (str(device_id_of("zoe", "toy")), "Lush")
    assert warnings(room, ANN) == warnings(room, MODEL_PAGE) == []


def test_a_reload_does_not_bring_it_again() -> None:
    room = synced()
    report(room, MODEL_PAGE, toy(battery=10))
    room.leave(MODEL_PAGE)
    room.join_model(session_id=2, ready=False)
    report(room, 2, toy(battery=10))
    assert warnings(room, MODEL_PAGE) == [("battery", 10)]
    assert warnings(room, 2) == []


@pytest.mark.parametrize("after", [(), (toy(on=False),)])
def test_a_lost_connection_is_told_on_all_tabs(after: tuple[ReportedToy, ...]) -> None:
    room = synced()
    room.join_viewer(8, "zoe", tier=GOLD)
    report(room, ZOE, *after)
    report(room, ZOE, *after)
    assert warnings(room, ZOE) == warnings(room, 8) == [("connection", None)]


# ---- for the database ------------------------------------------------------------------------


def seen(room: SteppedRoom) -> tuple[str, list[tuple[str, bool]]]:
    last = room.devices_seen[-1]
    return last.owner_id, [(each.toy_id, each.connected) for each in last.toys]


def test_all_tabs_of_a_viewer_make_one_picture() -> None:
    room = synced()
    room.join_viewer(8, "zoe", tier=GOLD)
    report(room, 8, toy("other"), toy("toy", on=False))
    assert seen(room) == ("zoe", [("toy", True), ("other", True)])
    room.leave(8)
    assert seen(room) == ("zoe", [("toy", True)])
    room.leave(ZOE)
    assert seen(room) == ("zoe", [])


def test_a_models_toys_are_gone_with_her_page() -> None:
    room = synced()
    report(room, MODEL_PAGE, toy("a"), toy("b", on=False))
    assert seen(room) == (MODEL, [("a", True), ("b", False)])
    room.leave(MODEL_PAGE)
    assert seen(room) == (MODEL, [])


def test_who_has_never_reported_a_toy_leaves_nothing() -> None:
    room = synced()
    before = len(room.devices_seen)
    room.leave(ANN)
    assert len(room.devices_seen) == before


@in_house
async def test_the_newest_picture_is_stored_beside_the_room(house: House) -> None:
    await house.join_model()
    assert [each.toy_id for each in house.database.devices[MODEL].toys] == ["toy"]
    await house.leave(MODEL_PAGE)
    assert house.database.devices[MODEL].toys == ()


# ---- a model's limits: her product takes no strength, so levels above one are not chosen ---------


STRONG_AND_SOFT = ReportedSettings(
    levels={
        "level1": {"min": 1, "max": 49, "time": 5, "vLevel": 6},
        "level2": {"min": 50, "max": 999, "time": 5, "vLevel": 18},
    },
    special={"wave": {"enable": True, "token": 8, "time": 5}, "clear": {"token": 7}},
)


def strong_room(tip_amount: int = 50, vibration: Vibration | None = None) -> SteppedRoom:
    row = TipMenuRow("row", tip_amount, vibration or level(18, 5), "A row", True, 0)
    room = SteppedRoom(record(menu=(row,)))
    room.join_model()
    room.ask(MODEL_PAGE, frames.ReportSettings, settings=STRONG_AND_SOFT)
    room.join_viewer(ANN, "ann")
    return room


def test_no_level_above_a_models_limit_is_chosen() -> None:
    room = strong_room()
    room.tip(ANN, "tip-1")
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(6)
    limit(room, MODEL, {"toy": DeviceOverride(max_strength=10)})
    room.tip(ANN, "tip-2")
    strong, soft = (each.call.args[0] for each in room.commands(MODEL_PAGE))
    assert (strong, soft) == (50, 1)
    limit(room, MODEL, {"toy": DeviceOverride(max_strength=5)})
    room.pass_s(20)
    room.tip(ANN, "tip-3")
    assert room.final("tip-3") == (TargetState.SKIPPED, Reason.NO_LEVEL_MAP)


def test_a_preset_does_not_say_how_strong_it_is_so_a_level_stands_in() -> None:
    wave = Vibration(VibrationType.PRESET, None, 5, PresetName.WAVE, None)
    room = strong_room(vibration=wave)
    limit(room, MODEL, {"toy": DeviceOverride(max_strength=19)})
    room.tip(ANN, "tip-1")
    assert room.commands(MODEL_PAGE)[0].call.args[0] == 1


def test_the_smallest_limit_of_her_toys_counts_for_all_and_one_that_is_out_for_none() -> None:
    room = strong_room()
    report(room, MODEL_PAGE, toy(), toy("second"))
    limit(room, MODEL, {"second": DeviceOverride(max_strength=6)})
    assert room.state.model_page is not None
    assert room.state.model_page.level_map is not None
    assert room.state.model_page.level_map.strength_max == 6
    limit(room, MODEL, {"second": DeviceOverride(max_strength=6, enabled=False)})
    assert room.state.model_page.level_map.strength_max == 20


def test_what_plays_on_her_toy_is_stopped_where_less_is_allowed_than_before() -> None:
    room = strong_room()
    room.tip(ANN, "tip-1")
    limit(room, MODEL, {"toy": DeviceOverride(max_strength=10)})
    assert room.frames_to(MODEL_PAGE, frames.ToysStopped)[-1].call is not None
    assert room.final("tip-1") == (TargetState.FAILED, Reason.STOPPED)
    assert not room.state.queue.paused
    room.tip(ANN, "tip-2")
    assert room.commands(MODEL_PAGE)[-1].tip_id == "tip-2"


# ---- a toy whose last command failed ---------------------------------------------------------


def faults(room: SteppedRoom, owner_id: str) -> list[list[bool]]:
    return [
        [each.faulty for each in seen.toys]
        for seen in room.devices_seen
        if seen.owner_id == owner_id
    ]


@pytest.mark.parametrize(
    ("code", "faulty"), [("vendor_error", True), ("toy_lost", True), ("no_evidence", False)]
)
def test_a_toy_on_which_a_command_failed_is_in_error(code: str, faulty: bool) -> None:
    room = synced()
    room.tip(ANN, "tip-1")
    room.failed(ZOE, room.commands(ZOE)[0], code)
    assert faults(room, "zoe")[-1] == [faulty]
    assert room.state.flags["zoe"].toy_connected, "the next command may work"


def test_a_command_that_works_and_a_new_report_end_an_error() -> None:
    room = synced()
    for number in range(2):
        room.tip(ANN, f"tip-{number}")
        room.failed(ZOE, room.commands(ZOE)[-1], "vendor_error")
        room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[-1])
        room.pass_s(20)
        if number == 0:
            report(room, ZOE, toy())
            assert faults(room, "zoe")[-1] == [False]
    room.tip(ANN, "tip-2")
    room.activated(ZOE, room.commands(ZOE)[-1])
    assert faults(room, "zoe")[-2:] == [[True], [False]]
