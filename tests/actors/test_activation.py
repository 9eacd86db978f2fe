"""The activation queue and the commands that come of it (spec 3)."""

import pytest

from actors.room import room as rules
from actors.room.activation_queue import QUEUE_LIMIT
from actors.room.messages import Activate, BalanceChanged, PlatformSettingsChanged
from protocol import frames
from protocol.audit import Reason, TargetState
from protocol.gating import Preferences
from protocol.lovense import ReportedSettings
from protocol.tip_activated import LovenseMode, ViewerSyncMode
from protocol.toy_settings import PlatformSettings
from tests.actors.rooms import (
    FREE,
    GOLD,
    LEVELS,
    MODEL,
    MODEL_PAGE,
    NO_TOY,
    PLAY_S,
    TOY,
    SteppedRoom,
    events,
    record,
)

QUEUED, SENT, ACTIVATED, FAILED, TIMEOUT, EXPIRED, SKIPPED, _, DEAD = TargetState
BOTH = Preferences(react_to_my_tips=True, feel_all_tips=True)
ANN, ZOE = 5, 6


@pytest.fixture
def room() -> SteppedRoom:
    """The model with a toy, and ann without."""
    stepped = SteppedRoom()
    stepped.join_model()
    stepped.join_viewer(ANN, "ann")
    return stepped


@pytest.fixture
def shared() -> SteppedRoom:
    """The model, ann and zoe, all with toys; zoe feels ann's tips."""
    stepped = SteppedRoom(record(sync=ViewerSyncMode.VIP_ROOM_SYNC))
    stepped.join_model()
    stepped.join_viewer(ANN, "ann", toy=True, preferences=Preferences(react_to_my_tips=True))
    stepped.join_viewer(ZOE, "zoe", toy=True, tier=GOLD, preferences=BOTH)
    return stepped


def test_a_tip_becomes_one_command_at_once_and_is_audited_at_each_step(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    [command] = room.commands(MODEL_PAGE)
    assert (command.tip_id, command.attempt, command.call.method) == ("tip-1", 1, "receiveTip")
    assert command.call.args == (50, "Ann")
    room.accepted(MODEL_PAGE, command)
    room.activated(MODEL_PAGE, command)
    assert room.states("tip-1") == [QUEUED, SENT, ACTIVATED]
    assert room.finished == ["tip-1"]
    assert room.audit[1].call == {
        "integration": "EXTENSION",
        "method": "receiveTip",
        "args": (50, "Ann"),
    }
    told = [each.state for each in room.frames_to(ANN, frames.ActivationChanged)]
    assert told == ["playing", "done"]


def test_one_activation_plays_at_a_time(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    room.tip(ANN, "tip-2")
    [first] = room.commands(MODEL_PAGE)
    room.pass_s(1)
    room.activated(MODEL_PAGE, first)
    room.pass_s(PLAY_S - 0.01)
    assert len(room.commands(MODEL_PAGE)) == 1
    room.pass_s(0.01)
    assert [each.tip_id for each in room.commands(MODEL_PAGE)] == ["tip-1", "tip-2"]


def test_all_targets_of_a_tip_share_the_moment(shared: SteppedRoom) -> None:
    shared.tip(ANN, "tip-1")
    at_once = {session: len(shared.commands(session)) for session in (MODEL_PAGE, ANN, ZOE)}
    assert at_once == {MODEL_PAGE: 1, ANN: 1, ZOE: 1}
    assert shared.commands(ZOE)[0].call.method == "sendToyCommand"


def test_a_viewer_who_reacts_late_or_never_delays_nobody(shared: SteppedRoom) -> None:
    shared.tip(ANN, "tip-1")
    shared.tip(ANN, "tip-2")
    shared.activated(MODEL_PAGE, shared.commands(MODEL_PAGE)[0])
    shared.pass_s(4)
    shared.activated(ANN, shared.commands(ANN)[0])
    shared.pass_s(PLAY_S - 4)
    assert len(shared.commands(MODEL_PAGE)) == 2
    assert shared.final("tip-1", "zoe") == (EXPIRED, Reason.MOMENT_PASSED)
    assert shared.finished == ["tip-1"]


def test_a_command_that_may_start_late_holds_the_slot_from_there(room: SteppedRoom) -> None:
    """A page may start until `expiresAt`; while it has not said when, the next one waits."""
    room.tip(ANN, "tip-1")
    room.tip(ANN, "tip-2")
    room.pass_s(4.9)
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(PLAY_S - 0.1)
    assert len(room.commands(MODEL_PAGE)) == 1
    room.pass_s(0.2)
    assert len(room.commands(MODEL_PAGE)) == 2


def test_a_short_command_without_answer_keeps_the_slot_between_its_attempts(
    room: SteppedRoom,
) -> None:
    blink = {"level1": {"min": 1, "max": 99_999, "time": 0.5, "vLevel": 10}}
    room.ask(MODEL_PAGE, frames.ReportSettings, settings=ReportedSettings(levels=blink))
    room.tip(ANN, "tip-1")
    room.tip(ANN, "tip-2")
    room.pass_s(6)
    room.tip(ANN, "tip-3")  # any step: her toy would be at rest by now, had it begun
    room.pass_s(11)
    assert [each.tip_id for each in room.commands(MODEL_PAGE)] == ["tip-1"] * 3


def test_a_command_that_the_page_cannot_run_frees_the_slot(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    room.tip(ANN, "tip-2")
    room.failed(MODEL_PAGE, room.commands(MODEL_PAGE)[0], "no_toy")
    assert room.final("tip-1") == (FAILED, Reason.PAGE_REPORTED)
    assert "no_toy" in [each.code for each in room.audit]
    assert [each.tip_id for each in room.commands(MODEL_PAGE)] == ["tip-1", "tip-2"]


def test_a_command_that_failed_after_the_vendor_had_it_keeps_the_slot(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    room.tip(ANN, "tip-2")
    room.failed(MODEL_PAGE, room.commands(MODEL_PAGE)[0], "no_evidence")
    room.pass_s(PLAY_S)
    assert len(room.commands(MODEL_PAGE)) == 1, "her toy may still play the first"
    room.pass_s(5)
    assert len(room.commands(MODEL_PAGE)) == 2


def test_the_next_waits_for_viewers_toys_that_play_longer_than_hers(shared: SteppedRoom) -> None:
    blink = {"level1": {"min": 1, "max": 99_999, "time": 0.5, "vLevel": 10}}
    shared.ask(MODEL_PAGE, frames.ReportSettings, settings=ReportedSettings(levels=blink))
    shared.tip(ANN, "tip-1")
    shared.tip(ANN, "tip-2")
    for session in (MODEL_PAGE, ANN, ZOE):
        shared.activated(session, shared.commands(session)[0])
    shared.pass_s(PLAY_S - 0.1)
    assert len(shared.commands(ZOE)) == 1
    shared.pass_s(0.2)
    assert len(shared.commands(ZOE)) == 2


def test_over_the_rate_activations_wait_and_are_not_dropped() -> None:
    room = SteppedRoom(record(lovense_rate_limit_per_min=2))
    room.join_model()
    room.join_viewer(ANN, "ann")
    for number in range(5):
        room.tip(ANN, f"tip-{number}")
    started: list[float] = []
    seen = 0
    for _ in range(200):
        if len(room.commands(MODEL_PAGE)) > seen:
            seen += 1
            started.append(room.at_s - room.origin_s)
            room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[-1])
        room.pass_s(1)
    assert started == [0, 5, 60, 65, 120]


def test_a_waiting_tipper_is_told_the_place_and_the_time(room: SteppedRoom) -> None:
    for number in range(3):
        room.tip(ANN, f"tip-{number}")
    told = [
        (each.tip_id, each.position, each.wait_s)
        for each in room.frames_to(ANN, frames.ActivationChanged)
        if each.state == "queued"
    ]
    assert told == [("tip-1", 1, PLAY_S), ("tip-2", 2, 2 * PLAY_S)]
    queue = room.frames_to(MODEL_PAGE, frames.QueueChanged)[-1]
    assert (queue.waiting, queue.playing, queue.paused) == (2, "tip-0", False)


def test_what_does_not_fit_is_dead_and_stays_settled(room: SteppedRoom) -> None:
    for number in range(4):
        room.join_viewer(10 + number, f"user-{number}")
    for number in range(QUEUE_LIMIT + 2):
        room.tip(10 + number // 60, f"tip-{number}")
    assert len(room.state.queue) == QUEUE_LIMIT
    last = f"tip-{QUEUE_LIMIT + 1}"
    assert room.final(last) == (DEAD, Reason.QUEUE_FULL)
    assert last in room.books.tips
    assert not room.is_final(f"tip-{QUEUE_LIMIT}")


def test_a_repeated_event_is_a_no_op_while_it_waits_plays_and_is_over(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    room.tip(ANN, "tip-2")
    for event in events(room):
        assert room.tell(Activate(event)) == []
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    assert room.tell(Activate(events(room)[0])) == []
    room.pass_s(100)
    assert len(room.commands(MODEL_PAGE)) == 1 + 3, "tip-2 is tried three times"
    assert room.finished == ["tip-1", "tip-2"]


def test_what_waited_ten_minutes_expires_even_while_nothing_else_happens(
    room: SteppedRoom,
) -> None:
    room.ask(MODEL_PAGE, frames.StopToys)
    room.tip(ANN, "tip-1")
    room.pass_s(599)
    assert not room.is_final("tip-1")
    room.pass_s(1)
    assert room.final("tip-1") == (EXPIRED, Reason.WAITED_TOO_LONG)
    last = room.frames_to(ANN, frames.ActivationChanged)[-1]
    assert (last.state, last.reason) == ("not_played", Reason.WAITED_TOO_LONG)


# ---- the model's page comes and goes ---------------------------------------------------------


def test_activations_wait_half_a_minute_for_a_page_that_is_away(room: SteppedRoom) -> None:
    room.leave(MODEL_PAGE)
    room.tip(ANN, "tip-1")
    room.pass_s(29.9)
    assert room.states("tip-1") == [QUEUED]
    room.pass_s(0.2)
    assert room.final("tip-1") == (SKIPPED, Reason.NOT_PRESENT)


@pytest.mark.parametrize("replaced", [False, True], ids=["left", "replaced"])
def test_a_page_that_returns_in_time_gets_what_waited(room: SteppedRoom, replaced: bool) -> None:
    room.pass_s(100)
    if not replaced:
        room.leave(MODEL_PAGE)
        room.tip(ANN, "tip-1")
        room.pass_s(29)
    room.join_model(session_id=2, ready=False)
    if replaced:
        room.tip(ANN, "tip-1")
    room.pass_s(10)
    assert room.states("tip-1") == [QUEUED], "it has not said yet what its toys are"
    room.ask(2, frames.ReportToys, toys=(TOY,))
    assert room.commands(2) == []
    room.ask(2, frames.ReportSettings, settings=LEVELS)
    assert len(room.commands(2)) == 1


def test_without_the_models_toy_the_viewers_toys_play(shared: SteppedRoom) -> None:
    shared.ask(MODEL_PAGE, frames.ReportToys, toys=(NO_TOY,))
    shared.tip(ANN, "tip-1")
    shared.tip(ANN, "tip-2")
    assert shared.final("tip-1") == (SKIPPED, Reason.NO_TOY)
    assert (len(shared.commands(ANN)), len(shared.commands(ZOE))) == (1, 1)
    shared.pass_s(PLAY_S)
    assert (len(shared.commands(ANN)), len(shared.commands(ZOE))) == (2, 2)


def test_a_page_without_levels_gets_no_made_up_amount(room: SteppedRoom) -> None:
    room.ask(MODEL_PAGE, frames.ReportSettings, settings=None)
    room.tip(ANN, "tip-1")
    assert room.commands(MODEL_PAGE) == []
    assert room.final("tip-1") == (SKIPPED, Reason.NO_LEVEL_MAP)


def test_a_reload_in_the_middle_gets_the_same_command_again(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    [first] = room.commands(MODEL_PAGE)
    room.pass_s(1)
    room.leave(MODEL_PAGE)
    room.pass_s(1)
    room.join_model(session_id=2)
    [again] = room.commands(2)
    assert (again.command_id, again.attempt) == (first.command_id, 2)
    room.activated(2, again)
    assert room.final("tip-1")[0] is ACTIVATED


def test_a_reload_after_the_last_attempt_gets_nothing_more(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    room.pass_s(18)
    assert room.commands(MODEL_PAGE)[-1].attempt == 3
    room.join_model(session_id=2)
    assert room.commands(2) == []
    room.pass_s(5)
    assert room.final("tip-1") == (DEAD, Reason.NO_ANSWER)


def test_a_report_of_a_page_that_was_never_gone_brings_no_attempt_forward(
    room: SteppedRoom,
) -> None:
    room.tip(ANN, "tip-1")
    room.pass_s(5.5)
    room.ask(MODEL_PAGE, frames.ReportToys, toys=(TOY,))
    assert len(room.commands(MODEL_PAGE)) == 1, "the next attempt is due after 2 s, not now"


# ---- answers ---------------------------------------------------------------------------------


def test_no_answer_is_tried_again_after_two_and_four_seconds_then_dead(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    sent: list[float] = []
    for _ in range(300):
        if len(room.commands(MODEL_PAGE)) > len(sent):
            sent.append(room.at_s - room.origin_s)
        room.pass_s(0.1)
    assert sent[0] == 0
    assert sent[1] == pytest.approx(5 + 2, abs=0.4 + 0.1)
    assert sent[2] - sent[1] == pytest.approx(5 + 4, abs=0.8 + 0.1)
    assert len(sent) == 3
    assert len({each.command_id for each in room.commands(MODEL_PAGE)}) == 1
    assert room.states("tip-1") == [QUEUED, SENT, TIMEOUT, SENT, TIMEOUT, SENT, TIMEOUT, DEAD]
    assert room.final("tip-1") == (DEAD, Reason.NO_ANSWER)


def test_what_falls_due_while_a_message_settles_nothing_has_its_step_next(
    room: SteppedRoom,
) -> None:
    room.tip(ANN, "tip-1")
    room.at_s += 5.5
    room.tell(BalanceChanged("nobody", 5))
    assert room.states("tip-1") == [QUEUED, SENT]
    room.pass_s(0)
    assert room.states("tip-1") == [QUEUED, SENT, TIMEOUT]


@pytest.mark.parametrize("after_s", [5.5, 9.0, 14.0])
def test_a_late_answer_counts_while_the_command_is_open(room: SteppedRoom, after_s: float) -> None:
    room.tip(ANN, "tip-1")
    room.pass_s(after_s)
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    assert room.final("tip-1")[0] is ACTIVATED
    sent = len(room.commands(MODEL_PAGE))
    room.pass_s(60)
    assert len(room.commands(MODEL_PAGE)) == sent


def test_an_answer_after_the_end_changes_nothing(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    room.pass_s(40)
    written = len(room.audit)
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.failed(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    assert len(room.audit) == written


def test_accepted_gives_the_toy_its_time_once(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    [command] = room.commands(MODEL_PAGE)
    room.pass_s(4)
    room.accepted(MODEL_PAGE, command)
    room.pass_s(4)
    room.accepted(MODEL_PAGE, command)
    assert TIMEOUT not in room.states("tip-1")
    room.pass_s(1.5)
    assert TIMEOUT in room.states("tip-1"), "a page cannot hold the queue by repeating itself"


def test_answers_from_others_are_ignored(shared: SteppedRoom) -> None:
    shared.tip(ANN, "tip-1")
    models, zoes = shared.commands(MODEL_PAGE)[0], shared.commands(ZOE)[0]
    shared.activated(ANN, models)
    shared.activated(ANN, zoes)
    shared.failed(MODEL_PAGE, zoes)
    shared.accepted(ZOE, models)
    assert ACTIVATED not in shared.states("tip-1")
    assert FAILED not in shared.states("tip-1")


def test_a_page_that_was_replaced_answers_for_nothing(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    [command] = room.commands(MODEL_PAGE)
    room.join_model(session_id=2)
    room.activated(MODEL_PAGE, command)
    assert not room.is_final("tip-1")
    room.activated(2, command)
    assert room.final("tip-1")[0] is ACTIVATED


def test_answers_to_unknown_commands_are_ignored(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-1")
    stranger = frames.Command("no-such", "tip-1", 1, room.commands(MODEL_PAGE)[0].call, 5, 0)
    room.activated(MODEL_PAGE, stranger)
    assert room.states("tip-1") == [QUEUED, SENT]


# ---- viewers' toys ---------------------------------------------------------------------------


def test_what_no_longer_holds_at_dispatch_is_skipped_with_its_reason(shared: SteppedRoom) -> None:
    shared.tip(ANN, "tip-0")
    for name in ("gone", "quiet", "toyless", "lapsed"):
        session = {"gone": 20, "quiet": 21, "toyless": 22, "lapsed": 23}[name]
        shared.join_viewer(session, name, toy=True, tier=GOLD, preferences=BOTH)
    shared.tip(ANN, "tip-1")
    shared.leave(20)
    shared.ask(21, frames.SetPreferences, feel_all_tips=False)
    shared.ask(22, frames.ReportToys, toys=(NO_TOY,))
    shared.join_viewer(24, "lapsed", tier=FREE)
    shared.activated(MODEL_PAGE, shared.commands(MODEL_PAGE)[0])
    shared.pass_s(PLAY_S)
    assert shared.final("tip-1", "gone") == (SKIPPED, Reason.NOT_PRESENT)
    assert shared.final("tip-1", "quiet") == (SKIPPED, Reason.OPTED_OUT)
    assert shared.final("tip-1", "toyless") == (SKIPPED, Reason.NO_TOY)
    assert shared.final("tip-1", "lapsed") == (SKIPPED, Reason.NOT_VIP)
    assert len(shared.commands(ZOE)) == 2


def test_nothing_is_added_at_dispatch(shared: SteppedRoom) -> None:
    shared.tip(ANN, "tip-0")
    shared.tip(ANN, "tip-1")
    shared.join_viewer(20, "late", toy=True, tier=GOLD, preferences=BOTH)
    shared.activated(MODEL_PAGE, shared.commands(MODEL_PAGE)[0])
    shared.pass_s(PLAY_S)
    assert shared.commands(20) == []


def test_commands_go_to_the_newest_tab_with_a_toy(shared: SteppedRoom) -> None:
    shared.join_viewer(20, "ann", toy=True)
    shared.join_viewer(21, "ann")
    shared.tip(ANN, "tip-1")
    assert [len(shared.commands(tab)) for tab in (ANN, 20, 21)] == [0, 1, 0]


def test_a_viewer_who_leaves_and_returns_in_time_gets_the_command(shared: SteppedRoom) -> None:
    shared.tip(ANN, "tip-1")
    shared.leave(ZOE)
    shared.pass_s(8)
    shared.join_viewer(30, "zoe", toy=True, tier=GOLD, preferences=BOTH)
    [command] = shared.commands(30)
    assert command.command_id == shared.commands(ZOE)[0].command_id
    shared.activated(30, command)
    assert shared.final("tip-1", "zoe")[0] is ACTIVATED


def test_a_viewer_who_is_back_but_has_not_reported_yet_keeps_the_turn(
    shared: SteppedRoom,
) -> None:
    shared.tip(ANN, "tip-1")
    shared.leave(ZOE)
    shared.pass_s(6)
    shared.join_viewer(30, "zoe", tier=GOLD, preferences=BOTH)
    shared.pass_s(2)
    assert not shared.is_final("tip-1", "zoe")
    shared.ask(30, frames.ReportToys, toys=(TOY,))
    assert len(shared.commands(30)) == 1


def test_a_viewer_who_stays_away_is_dead_with_the_reason(shared: SteppedRoom) -> None:
    shared.tip(ANN, "tip-1")
    shared.leave(ZOE)
    shared.pass_s(30)
    assert shared.final("tip-1", "zoe") == (DEAD, Reason.NOT_PRESENT)


def test_a_viewer_who_opts_out_meanwhile_is_stopped(shared: SteppedRoom) -> None:
    shared.tip(ANN, "tip-1")
    shared.ask(ZOE, frames.SetPreferences, feel_all_tips=False)
    assert len(shared.frames_to(ZOE, frames.ToysStopped)) == 1
    assert shared.final("tip-1", "zoe") == (FAILED, Reason.STOPPED)
    shared.pass_s(10)
    assert len(shared.commands(ZOE)) == 1


# ---- the broadcast ---------------------------------------------------------------------------


def test_the_end_of_the_broadcast_skips_the_rest(room: SteppedRoom) -> None:
    for number in range(3):
        room.tip(ANN, f"tip-{number}")
    room.ask(MODEL_PAGE, frames.EndBroadcast)
    assert room.frames_to(MODEL_PAGE, frames.ToysStopped)
    assert room.final("tip-0") == (FAILED, Reason.STOPPED)
    for number in (1, 2):
        assert room.final(f"tip-{number}") == (SKIPPED, Reason.BROADCAST_ENDED)
    assert sorted(room.finished) == ["tip-0", "tip-1", "tip-2"]


def test_a_tip_that_settles_after_the_end_is_skipped(room: SteppedRoom) -> None:
    room.holds_answers = True
    room.tip(ANN, "tip-1")
    room.holds_answers = False
    room.ask(MODEL_PAGE, frames.EndBroadcast)
    for message in room.settle(room.settlements[0]):
        room.tell(message)
    assert room.final("tip-1") == (SKIPPED, Reason.BROADCAST_ENDED)


def test_a_new_broadcast_may_run_the_other_integration_and_closes_the_old_page() -> None:
    room = SteppedRoom(record(live=False))
    room.join_model()
    room.join_viewer(ANN, "ann")
    started = room.ask(MODEL_PAGE, frames.StartBroadcast, lovense_mode=LovenseMode.CAM_KIT)
    assert started.lovense_mode is LovenseMode.CAM_KIT
    assert list(room.closed) == [MODEL_PAGE]
    room.tip(ANN, "tip-1", broadcast_id=started.broadcast_id)
    assert room.commands(MODEL_PAGE) == [], "never a call of the wrong integration"
    room.join_model(session_id=2, integration=LovenseMode.CAM_KIT)
    assert room.commands(2)[0].call.args == ("Ann", 50)


def test_one_broadcast_at_a_time(room: SteppedRoom) -> None:
    error = room.ask(MODEL_PAGE, frames.StartBroadcast, lovense_mode=LovenseMode.CAM_KIT)
    assert "EXTENSION" in error.text
    assert room.ask(ANN, frames.EndBroadcast).code == "FORBIDDEN"


def test_a_change_of_the_rate_counts_at_once(room: SteppedRoom) -> None:
    room.tell(
        PlatformSettingsChanged(PlatformSettings(enable_lovense=True, lovense_rate_limit_per_min=1))
    )
    room.tip(ANN, "tip-0")
    room.tip(ANN, "tip-1")
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(59)
    assert len(room.commands(MODEL_PAGE)) == 1
    room.pass_s(1)
    assert len(room.commands(MODEL_PAGE)) == 2


def test_every_target_ends_in_one_final_state(shared: SteppedRoom) -> None:
    for number in range(6):
        shared.tip(ANN, f"tip-{number}")
        shared.pass_s(3)
    shared.leave(ZOE)
    shared.pass_s(300)
    for event in events(shared):
        for target in event.routing.targets:
            shared.final(event.tip_id, target.owner_id)
    assert len(shared.finished) == 6
    assert shared.state.unfinished == {}
    assert MODEL in {each.target_id for each in shared.audit}


def test_a_moment_that_passed_while_nobody_looked_is_still_due(room: SteppedRoom) -> None:
    """On a real clock some time passes between a step and the wait that follows it."""
    room.tip(ANN, "tip-1")
    room.at_s += 5.001
    assert rules.next_due_s(room.state, room.ctx) <= room.at_s


# ---- what a tipper is told -------------------------------------------------------------------


def told(room: SteppedRoom, session_id: int) -> list[tuple[str, str, int | None, float | None]]:
    return [
        (each.tip_id, each.state, each.position, each.wait_s)
        for each in room.frames_to(session_id, frames.ActivationChanged)
    ]


def test_a_page_that_comes_back_hears_how_its_tips_fare(room: SteppedRoom) -> None:
    for number in range(3):
        room.tip(ANN, f"tip-{number}")
    room.leave(ANN)
    room.join_viewer(30, "ann")
    assert told(room, 30) == [
        ("tip-0", "playing", None, None),
        ("tip-1", "queued", 1, PLAY_S),
        ("tip-2", "queued", 2, 2 * PLAY_S),
    ]
    room.join_viewer(31, "somebody-else")
    assert told(room, 31) == []


def test_a_pause_and_its_end_are_told_to_who_waits(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-0")
    room.tip(ANN, "tip-1")
    room.ask(MODEL_PAGE, frames.StopToys)
    assert told(room, ANN)[-1] == ("tip-1", "queued", 1, None)


def test_a_tip_that_reached_no_toy_is_not_done(room: SteppedRoom) -> None:
    room.tip(ANN, "tip-0")
    room.failed(MODEL_PAGE, room.commands(MODEL_PAGE)[0], "no_evidence")
    last = room.frames_to(ANN, frames.ActivationChanged)[-1]
    assert (last.state, last.reason) == ("not_played", Reason.PAGE_REPORTED)
