"""A room that comes back: from the database alone, or after a crash of its actor."""

import msgspec

from actors.ports import PendingActivation
from actors.room import room as rules
from actors.room.messages import Activate
from protocol import frames
from protocol.audit import Reason, TargetState
from protocol.gating import Preferences
from protocol.tip_activated import ViewerSyncMode
from tests.actors.rooms import (
    GOLD,
    MODEL_PAGE,
    PLAY_S,
    SteppedRoom,
    events,
    model_join,
    record,
    viewer_join,
)

ANN, ZOE = 5, 6


def restarted(old: SteppedRoom, *, records_lost: bool = False) -> SteppedRoom:
    """The room of the next process: it has what the database has, and nobody has come back."""
    pending = tuple(
        PendingActivation(
            event,
            () if records_lost else tuple(r for r in old.audit if r.tip_id == event.tip_id),
        )
        for event in events(old)
        if event.tip_id not in old.finished
    )
    start = msgspec.structs.replace(old.record, pending=pending)
    new = SteppedRoom(start, seed=2, at_s=old.at_s)
    new.origin_s = old.origin_s
    return new


def _playing_room(tips: int = 3) -> SteppedRoom:
    """tip-0 plays on the toys of the model and of zoe; the others wait."""
    room = SteppedRoom(record(sync=ViewerSyncMode.VIP_ROOM_SYNC))
    room.join_model()
    room.join_viewer(ANN, "ann")
    wants = Preferences(feel_all_tips=True)
    room.join_viewer(ZOE, "zoe", toy=True, tier=GOLD, preferences=wants)
    for number in range(tips):
        room.tip(ANN, f"tip-{number}")
    return room


def test_what_was_not_finished_goes_on_in_order_when_the_model_is_back() -> None:
    old = _playing_room()
    new = restarted(old)
    assert new.commands(MODEL_PAGE) == []
    new.join_model()
    [command] = new.commands(MODEL_PAGE)
    assert command.command_id == old.commands(MODEL_PAGE)[0].command_id
    new.activated(MODEL_PAGE, command)
    new.pass_s(PLAY_S)
    assert [each.tip_id for each in new.commands(MODEL_PAGE)] == ["tip-0", "tip-1"]


def test_targets_that_are_done_are_not_repeated() -> None:
    old = _playing_room(1)
    old.activated(ZOE, old.commands(ZOE)[0])
    new = restarted(old)
    new.join_viewer(ZOE, "zoe", toy=True, tier=GOLD, preferences=Preferences(feel_all_tips=True))
    new.join_model()
    assert new.commands(ZOE) == []
    new.activated(MODEL_PAGE, new.commands(MODEL_PAGE)[0])
    assert new.final("tip-0")[0] is TargetState.ACTIVATED
    assert new.finished == ["tip-0"]


def test_finished_tips_do_not_come_back() -> None:
    old = _playing_room(1)
    old.activated(ZOE, old.commands(ZOE)[0])
    old.activated(MODEL_PAGE, old.commands(MODEL_PAGE)[0])
    new = restarted(old)
    new.join_model()
    assert new.state.unfinished == {}
    assert new.commands(MODEL_PAGE) == []


def test_an_event_that_no_life_has_seen_is_announced_and_runs() -> None:
    """A crash after the commit and before the emission."""
    new = restarted(_playing_room(1), records_lost=True)
    assert [type(each) for each in new.published] == [frames.TipNotice]
    new.join_model()
    assert len(new.commands(MODEL_PAGE)) == 1
    event = new.record.pending[0].event
    assert new.tell(Activate(event)) == []


def test_one_that_was_seen_is_not_announced_again() -> None:
    new = restarted(_playing_room(2))
    assert new.published == []


def test_an_old_activation_expires_across_the_restart() -> None:
    old = _playing_room(1)
    old.pass_s(1)
    new = restarted(old)
    new.at_s += 700
    new.pass_s(0)
    assert new.final("tip-0") == (TargetState.EXPIRED, Reason.WAITED_TOO_LONG)


def test_a_full_queue_and_what_played_fit_after_a_restart() -> None:
    old = SteppedRoom()
    old.join_model()
    for number in range(201):
        session = 10 + number // 60
        old.join_viewer(session, f"user-{session}")
        old.tip(session, f"tip-{number}")
    assert len(old.state.queue) == 200
    new = restarted(old)
    assert len(new.state.queue) == 201
    assert TargetState.DEAD not in {each.state for each in new.audit}


def test_a_restart_without_the_model_skips_her_after_half_a_minute() -> None:
    new = restarted(_playing_room(1))
    new.pass_s(31)
    assert new.final("tip-0") == (TargetState.SKIPPED, Reason.NOT_PRESENT)


# ---- a crash of the actor --------------------------------------------------------------------


def revived(old: SteppedRoom) -> SteppedRoom:
    """The next life of the same actor: the members' sockets are still open."""
    new = restarted(old)
    joins = [
        model_join(ref=None),
        viewer_join(ANN, "ann", ref=None),
        viewer_join(ZOE, "zoe", ref=None),
    ]
    new.carry_out(rules.revive(new.state, rules.keep(old.state), joins, new.ctx))
    new.pass_s(0)
    return new


def test_members_get_a_new_snapshot_of_a_new_epoch_and_no_second_ok() -> None:
    old = _playing_room()
    new = revived(old)
    for session in (MODEL_PAGE, ANN, ZOE):
        [snapshot] = new.frames_to(session, frames.Snapshot)
        assert snapshot.epoch != old.state.epoch
        assert new.frames_to(session, frames.Ok) == []
    assert new.admitted == [MODEL_PAGE, ANN, ZOE]


def test_viewers_are_as_they_were_and_not_as_they_joined() -> None:
    old = _playing_room()
    old.ask(ZOE, frames.SetPreferences, feel_all_tips=False)
    new = revived(old)
    ann, zoe = new.state.viewers["ann"], new.state.viewers["zoe"]
    assert ann.balance == old.state.viewers["ann"].balance != 1_000
    assert (zoe.tier, zoe.preferences) == (GOLD, Preferences())


def test_toys_that_were_stopped_stay_stopped() -> None:
    old = _playing_room()
    old.ask(MODEL_PAGE, frames.StopToys)
    new = revived(old)
    assert new.state.queue.paused
    assert new.frames_to(MODEL_PAGE, frames.Snapshot)[0].room.toys_paused


def test_the_rate_holds() -> None:
    old = SteppedRoom(record(lovense_rate_limit_per_min=1))
    old.join_model()
    old.join_viewer(ANN, "ann")
    old.tip(ANN, "tip-0")
    old.activated(MODEL_PAGE, old.commands(MODEL_PAGE)[0])
    old.tip(ANN, "tip-1")
    old.pass_s(10)
    new = revived(old)
    new.join_model(session_id=2)
    new.pass_s(49)
    assert new.commands(2) == []
    new.pass_s(2)
    assert len(new.commands(2)) == 1


def test_a_toy_that_still_plays_is_not_sent_another_command() -> None:
    old = _playing_room(2)
    old.activated(MODEL_PAGE, old.commands(MODEL_PAGE)[0])
    old.activated(ZOE, old.commands(ZOE)[0])
    old.pass_s(1)
    new = revived(old)
    new.join_model(session_id=2)
    new.pass_s(PLAY_S - 1.1)
    assert new.commands(2) == []
    new.pass_s(0.2)
    assert [each.tip_id for each in new.commands(2)] == ["tip-1"]


def test_what_was_sent_and_not_answered_is_sent_again_at_once() -> None:
    """The page runs one command once, so that this is no overlap."""
    old = _playing_room(1)
    old.pass_s(1)
    new = revived(old)
    new.join_model(session_id=2)
    assert [each.command_id for each in new.commands(2)] == [
        each.command_id for each in old.commands(MODEL_PAGE)
    ]


def test_a_repeat_of_a_finished_event_stays_a_no_op() -> None:
    old = _playing_room(1)
    old.activated(MODEL_PAGE, old.commands(MODEL_PAGE)[0])
    old.activated(ZOE, old.commands(ZOE)[0])
    new = revived(old)
    assert new.tell(Activate(events(old)[0])) == []
