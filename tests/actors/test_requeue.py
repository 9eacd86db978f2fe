"""Dead letters that an admin requeues (spec 3): one target again, in its turn, and never twice."""

from collections import Counter

import msgspec
import pytest

from actors.room import room as rules
from actors.room.effects import StoreRequeue
from actors.room.messages import Activate, EndBroadcastByRequest, RequeueByRequest, _RequeueStored
from protocol import frames
from protocol.audit import FINAL_STATES, Reason, TargetRecord, TargetState
from protocol.errors import ErrorCode, Refusal
from protocol.gating import Preferences
from protocol.tip_activated import ViewerSyncMode
from protocol.toy_settings import QueueMode
from tests.actors.rooms import (
    BROADCAST,
    GOLD,
    MODEL,
    MODEL_PAGE,
    PLAY_S,
    Inbox,
    SteppedRoom,
    events,
    record,
)

ANN, ZOE = 5, 6
UNTIL_DEAD_S = 3 * 5 + 3 + 6 + PLAY_S
"""Three attempts of 5 s, the pauses between them with their jitter, and what the last may play."""


def died(mode: QueueMode = QueueMode.FIFO) -> SteppedRoom:
    """Nobody's page has answered to tip-0."""
    room = SteppedRoom(record(sync=ViewerSyncMode.VIP_ROOM_SYNC, lovense_queue_mode=mode))
    room.join_model()
    room.join_viewer(ANN, "ann")
    room.join_viewer(ZOE, "zoe", toy=True, tier=GOLD, preferences=Preferences(feel_all_tips=True))
    room.tip(ANN, "tip-0")
    room.pass_s(UNTIL_DEAD_S)
    assert room.final("tip-0") == (TargetState.DEAD, Reason.NO_ANSWER)
    assert room.final("tip-0", "zoe") == (TargetState.DEAD, Reason.NO_ANSWER)
    return room


def requeue(
    room: SteppedRoom, dead: TargetRecord, broadcast_id: str = BROADCAST, note: str = "asked for"
) -> Inbox:
    inbox = Inbox()
    room.tell(RequeueByRequest(inbox, dead.record_id, broadcast_id, "boss", note))
    return inbox


def life(room: SteppedRoom, number: int, target_id: str = MODEL) -> list[TargetState]:
    """The audited life of tip-0's target after its requeue of this number."""
    return [
        each.state
        for each in room.audit
        if (each.tip_id, each.target_id, each.requeue) == ("tip-0", target_id, number)
    ]


def test_one_target_is_sent_again_under_its_own_command_id() -> None:
    room = died()
    assert requeue(room, room.dead("tip-0")).only is None
    assert len(room.commands(ZOE)) == 3, "only that one target"
    *before, again = room.commands(MODEL_PAGE)
    assert (len(before), {each.command_id for each in before}) == (3, {again.command_id})
    assert again.attempt == 1
    room.activated(MODEL_PAGE, again)
    assert life(room, 1) == [TargetState.QUEUED, TargetState.SENT, TargetState.ACTIVATED]
    assert life(room, 1, "zoe") == []


def test_each_requeue_has_one_final_state_and_the_tip_is_finished_once() -> None:
    room = died()
    for number in (1, 2):
        requeue(room, room.dead("tip-0"))
        room.pass_s(UNTIL_DEAD_S)
        assert life(room, number)[-1] is TargetState.DEAD
    finals = Counter(
        (each.target_id, each.requeue) for each in room.audit if each.state in FINAL_STATES
    )
    assert finals == {(MODEL, 0): 1, ("zoe", 0): 1, (MODEL, 1): 1, (MODEL, 2): 1}
    assert room.finished == ["tip-0"]
    assert room.state.unfinished == {}
    assert room.tell(Activate(events(room)[0])) == []


def test_it_waits_for_its_turn_as_any_other() -> None:
    room = died()
    room.tip(ANN, "tip-1")
    requeue(room, room.dead("tip-0"))
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[-1])
    assert room.commands(MODEL_PAGE)[-1].tip_id == "tip-1"
    assert room.frames_to(MODEL_PAGE, frames.QueueChanged)[-1].waiting == 1
    room.pass_s(PLAY_S)
    assert room.commands(MODEL_PAGE)[-1].tip_id == "tip-0"
    told = [e.state for e in room.frames_to(ANN, frames.ActivationChanged) if e.tip_id == "tip-0"]
    assert told == ["playing", "not_played", "queued", "playing"]


def test_in_batch_mode_it_plays_for_itself_alone() -> None:
    """Its page may have run the command, and would not run another's share of it."""
    room = died(QueueMode.BATCH)
    room.tip(ANN, "tip-1")
    room.tip(ANN, "tip-2")
    requeue(room, room.dead("tip-0"))
    room.tip(ANN, "tip-3")
    for _ in range(4):
        room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[-1])
        room.pass_s(PLAY_S + 5)
    assert [each.tip_id for each in room.commands(MODEL_PAGE)[3:]] == [
        "tip-1",
        "tip-2",
        "tip-0",
        "tip-3",
    ]
    assert TargetState.MERGED not in life(room, 1)


def test_what_no_longer_holds_is_skipped_with_its_reason() -> None:
    room = died()
    room.leave(ZOE)
    requeue(room, room.dead("tip-0", "zoe"))
    assert life(room, 1, "zoe") == [TargetState.QUEUED, TargetState.SKIPPED]


def test_a_target_that_the_full_queue_refused() -> None:
    room = SteppedRoom()
    room.join_model()
    for number in range(202):
        session = 10 + number // 60
        room.join_viewer(session, f"user-{session}")
        room.tip(session, f"tip-{number}")
    dead = room.dead("tip-201")
    assert requeue(room, dead).only.code is ErrorCode.ROOM_BUSY
    assert room.stores == []
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(PLAY_S)
    assert requeue(room, dead).only is None
    assert len(room.state.queue) == 200


def test_not_after_its_broadcast() -> None:
    room = died()
    assert requeue(room, room.dead("tip-0"), "broadcast-0").only.code is ErrorCode.BROADCAST_STALE
    room.holds_answers = True
    room.tell(EndBroadcastByRequest(Inbox()))
    assert requeue(room, room.dead("tip-0")).only.code is ErrorCode.ROOM_BUSY
    room.holds_answers = False
    room.state.broadcast_changing = False
    room.tell(EndBroadcastByRequest(Inbox()))
    assert requeue(room, room.dead("tip-0")).only.code is ErrorCode.BROADCAST_STALE
    assert life(room, 1) == []


def test_not_while_toys_are_switched_off() -> None:
    room = died()
    room.state.change_platform_settings(
        msgspec.structs.replace(room.state.platform, enable_lovense=False)
    )
    assert requeue(room, room.dead("tip-0")).only.code is ErrorCode.LOVENSE_DISABLED


def test_a_broadcast_that_ends_meanwhile_skips_it() -> None:
    room = died()
    room.holds_answers = True
    requeue(room, room.dead("tip-0"))
    [storing] = [each for each in room.stores if isinstance(each, StoreRequeue)]
    room.holds_answers = False
    room.tell(EndBroadcastByRequest(Inbox()))
    room.tell(room.requeue_stored(storing))
    assert life(room, 1) == [TargetState.SKIPPED]


def test_it_does_not_play_long_after_it_was_requeued() -> None:
    room = died()
    room.ask(MODEL_PAGE, frames.StopToys)
    requeue(room, room.dead("tip-0"))
    room.pass_s(601)
    assert life(room, 1) == [TargetState.QUEUED, TargetState.EXPIRED]


def test_a_stop_ends_it() -> None:
    room = died()
    requeue(room, room.dead("tip-0"))
    room.ask(MODEL_PAGE, frames.StopToys)
    assert life(room, 1) == [TargetState.QUEUED, TargetState.SENT, TargetState.FAILED]


@pytest.mark.parametrize(("note", "same"), [("asked for", True), ("another", False)])
def test_a_decision_that_may_stand_in_the_database_is_asked_for_by_its_id(
    note: str, same: bool
) -> None:
    room = died()
    room.holds_answers = True
    dead = room.dead("tip-0")
    inbox = requeue(room, dead)
    busy = Refusal(ErrorCode.ROOM_BUSY)
    room.tell(_RequeueStored(inbox, dead.record_id, None, busy))
    assert inbox.only is busy
    requeue(room, dead, note=note)
    first, second = (each for each in room.stores if isinstance(each, StoreRequeue))
    assert (first.decision_id == second.decision_id) is same


def test_a_refused_decision_is_forgotten() -> None:
    room = died()
    room.holds_answers = True
    dead = room.dead("tip-0")
    inbox = requeue(room, dead)
    decided = Refusal(ErrorCode.DEAD_LETTER_DECIDED)
    room.tell(_RequeueStored(inbox, dead.record_id, None, decided))
    assert inbox.only is decided
    assert room.state.requeues_unsure == {}
    assert life(room, 1) == []


def test_a_restart_takes_it_up_and_an_answer_that_comes_late_changes_nothing() -> None:
    old = died()
    old.ask(MODEL_PAGE, frames.StopToys)
    requeue(old, old.dead("tip-0"))
    [storing] = [each for each in old.stores if isinstance(each, StoreRequeue)]
    stored = old.requeue_stored(storing)
    assert stored.requeued is not None
    start = msgspec.structs.replace(old.record, requeued=(stored.requeued,))
    new = SteppedRoom(start, seed=2, at_s=old.at_s)
    new.origin_s = old.origin_s
    new.join_model()
    [command] = new.commands(MODEL_PAGE)
    assert command.command_id == old.commands(MODEL_PAGE)[0].command_id
    new.tell(stored)
    new.activated(MODEL_PAGE, command)
    new.tell(stored)
    assert life(new, 1) == [TargetState.QUEUED, TargetState.SENT, TargetState.ACTIVATED]
    assert new.state.unfinished == {}


def test_an_answer_that_a_crash_keeps_from_the_room_says_so() -> None:
    inbox = Inbox()
    old = died()
    [apology] = rules.apology(
        RequeueByRequest(inbox, old.dead("tip-0").record_id, BROADCAST, "boss", "asked for")
    )
    old.carry_out([apology])
    assert inbox.only.code is ErrorCode.INTERNAL
