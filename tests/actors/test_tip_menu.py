"""A tip menu that changes while the room is live, and what the audit says of how well it fits."""

import msgspec
import pytest

from actors.room.inspection import LevelsInspection
from actors.room.messages import InspectLevels, PlatformSettingsChanged, TipMenuChanged
from protocol import frames
from protocol.audit import Reason, TargetRecord, TargetState
from protocol.lovense import ReportedSettings, read_level_map
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import PlatformSettings
from protocol.vibration import Pattern, PresetName, Vibration, VibrationType, level
from tests.actors.rooms import LEVELS, Inbox, SteppedRoom, record

TICKLE = TipMenuRow("row-1", 50, level(10, 5), "A tickle", True, 0)
STORM = TipMenuRow("row-2", 70, level(18, 5), "Storm", True, 1)


def options(room: SteppedRoom) -> list[tuple[int, str]]:
    """As the viewers' pages last heard of them."""
    changed = [event for event in room.published if isinstance(event, frames.RoomChanged)]
    return [(option.amount, option.description) for option in changed[-1].room.tip_options]


def test_a_change_is_shown_to_everyone_and_counts_for_the_next_tip() -> None:
    room = SteppedRoom(record(menu=(TICKLE,)))
    page = room.join_model()
    room.join_viewer(5, "ann")
    room.tip(5, "tip-1", 70)
    room.tell(TipMenuChanged((STORM, msgspec.structs.replace(TICKLE, order=2))))
    assert options(room) == [(70, "Storm"), (50, "A tickle")]
    room.tip(5, "tip-2", 70)
    first, second = (settled.transfer.event for settled in room.settlements)  # type: ignore[union-attr]
    assert first is not None
    assert second is not None
    assert (first.item.item_id, second.item.item_id) == ("tip", "row-2")
    assert second.item.vibration == STORM.vibration
    [playing] = room.commands(page)
    room.activated(page, playing)
    room.pass_s(10)
    assert room.commands(page)[-1].tip_id == "tip-2"


def test_what_waits_plays_as_it_was_bought() -> None:
    room = SteppedRoom(record(menu=(TICKLE, STORM)))
    page = room.join_model()
    room.join_viewer(5, "ann")
    room.tip(5, "tip-1", 50)
    room.tip(5, "tip-2", 70)
    room.tell(TipMenuChanged(()))
    assert options(room) == []
    room.activated(page, room.commands(page)[0])
    room.pass_s(10)
    assert [command.duration_sec for command in room.commands(page)] == [5, 5]
    assert room.audit[-1].tip_id == "tip-2"


def test_the_same_menu_again_tells_nobody() -> None:
    room = SteppedRoom(record(menu=(TICKLE,)))
    room.join_viewer(5, "ann")
    before = len(room.published)
    room.tell(TipMenuChanged((TICKLE,)))
    assert len(room.published) == before


# ---- what a menu meets -----------------------------------------------------------------------


def inspection(room: SteppedRoom) -> LevelsInspection:
    inbox = Inbox()
    room.tell(InspectLevels(inbox))
    found = inbox.only
    assert isinstance(found, LevelsInspection)
    return found


def test_levels_are_known_from_the_first_report_until_her_page_goes() -> None:
    room = SteppedRoom(record(menu=(TICKLE,)))
    assert not inspection(room).known
    page = room.join_model(ready=False)
    assert not inspection(room).known
    room.ask(page, frames.ReportSettings, settings=LEVELS)
    platform = PlatformSettings(enable_lovense=True, lovense_max_activation_duration=7)
    room.tell(PlatformSettingsChanged(platform))
    assert inspection(room) == LevelsInspection(
        known=True, level_map=read_level_map(LEVELS), tip_menu=(TICKLE,), platform=platform
    )
    room.ask(page, frames.ReportSettings, settings=None)
    assert (inspection(room).known, inspection(room).level_map) == (True, None)
    room.leave(page)
    assert not inspection(room).known


# ---- the fit in the audit --------------------------------------------------------------------

WAVE = Vibration(VibrationType.PRESET, None, 4, PresetName.WAVE, None)
PATTERN = Vibration(VibrationType.PATTERN, None, 5, None, Pattern((8, 12), 200))
SETTINGS = ReportedSettings(
    levels=LEVELS.levels, special={"wave": {"enable": True, "token": "33", "time": "4"}}
)


def last_of(
    vibration: Vibration, settings: ReportedSettings | None, state: TargetState
) -> TargetRecord:
    """What the audit says of a row that plays this, when it was sent or was not."""
    row = TipMenuRow("row-1", 50, vibration, "A row", True, 0)
    room = SteppedRoom(record(menu=(row,)))
    page = room.join_model()
    room.ask(page, frames.ReportSettings, settings=settings)
    room.join_viewer(5, "ann")
    room.tip(5, "tip-1", 50)
    [found] = [each for each in room.audit if each.state is state]
    return found


@pytest.mark.parametrize(
    ("vibration", "amount", "fit"),
    [
        (level(10, 5), 50, ("exact", "level1", 0, 0.0, 5.0)),
        (level(13, 9), 50, ("nearest", "level1", 3, 4.0, 5.0)),
        (WAVE, 33, ("exact", "wave", 0, 0.0, 4.0)),
        (PATTERN, 50, ("nearest", "level1", 0, 0.0, 5.0)),
    ],
)
def test_the_amount_that_was_chosen_and_its_fit_are_audited(
    vibration: Vibration, amount: int, fit: tuple[str, str, int, float, float]
) -> None:
    sent = last_of(vibration, SETTINGS, TargetState.SENT)
    assert sent.call is not None
    assert sent.call["args"] == (amount, "Ann")
    names = ("kind", "level", "strengthDifference", "secondsDifference", "seconds")
    assert sent.fit == dict(zip(names, fit, strict=True))


@pytest.mark.parametrize(
    ("vibration", "settings", "reason"),
    [
        (level(10, 5), None, Reason.NO_LEVEL_MAP),
        (WAVE, LEVELS, Reason.PRESET_UNAVAILABLE),
    ],
)
def test_that_nothing_fits_is_audited_and_no_amount_is_made_up(
    vibration: Vibration, settings: ReportedSettings | None, reason: Reason
) -> None:
    skipped = last_of(vibration, settings, TargetState.SKIPPED)
    assert (skipped.reason, skipped.call) == (reason, None)
    assert skipped.fit is not None
    assert skipped.fit["kind"] == "none"
