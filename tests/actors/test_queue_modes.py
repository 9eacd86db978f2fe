"""The queue's three modes (spec 3): fifo, priority without starvation, batch merging."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.room.activation_queue import AGING_S, WAIT_S_MAX, Activation, ActivationQueue
from actors.room.messages import PlatformSettingsChanged
from protocol import frames
from protocol.audit import Reason, TargetState
from protocol.gating import Preferences
from protocol.tip_activated import ViewerSyncMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import PlatformSettings, QueueMode
from protocol.vibration import level
from tests.actors.rooms import (
    GOLD,
    MODEL_PAGE,
    PLAY_S,
    STARTED_AT_UTC,
    SteppedRoom,
    record,
)
from tests.store.settlements import tip

ANN, ZOE = 5, 6
BOTH = Preferences(react_to_my_tips=True, feel_all_tips=True)


def activation(name: str, after_s: float, priority: int = 1, **fields: object) -> Activation:
    event = tip(name).event
    assert event is not None
    return Activation(event, STARTED_AT_UTC + timedelta(seconds=after_s), priority, **fields)  # type: ignore[arg-type]


def order(queue: ActivationQueue) -> list[list[str]]:
    """What would play, and what of it together."""
    taken = []
    while len(queue):
        taken.append([each.tip_id for each in queue.take()])
    return taken


# ---- the queue alone ---------------------------------------------------------------------------


def test_fifo_plays_by_arrival_whatever_the_priority() -> None:
    queue = ActivationQueue()
    for name, priority in (("a", 1), ("b", 20), ("c", 7)):
        queue.add(activation(name, 0, priority))
    assert order(queue) == [["a"], ["b"], ["c"]]


def test_priority_plays_the_larger_first_and_equal_ones_by_arrival() -> None:
    queue = ActivationQueue(mode=QueueMode.PRIORITY)
    for name, priority in (("a", 3), ("b", 20), ("c", 3), ("d", 4)):
        queue.add(activation(name, 0, priority))
    assert order(queue) == [["b"], ["d"], ["a"], ["c"]]


def test_waiting_raises_a_priority() -> None:
    queue = ActivationQueue(mode=QueueMode.PRIORITY)
    queue.add(activation("old", 0, 1))
    queue.add(activation("soon", 19 * AGING_S - 1, 20))
    queue.add(activation("late", 19 * AGING_S + 1, 20))
    assert order(queue) == [["soon"], ["old"], ["late"]]


@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0, 30)), max_size=60))
def test_nobody_starves(newcomers: list[tuple[int, float]]) -> None:
    """However many more important ones arrive, and however fast: the least important plays before
    all that came so much later, and that is before it expires."""
    queue = ActivationQueue(mode=QueueMode.PRIORITY)
    queue.add(activation("patient", 0, 1))
    at_s = 0.0
    later: set[str] = set()
    for number, (priority, pause_s) in enumerate(newcomers):
        at_s += pause_s
        queue.add(activation(f"n-{number}", at_s, priority))
        if at_s > 19 * AGING_S:
            later.add(f"n-{number}")
    played = [name for [name] in order(queue)]
    assert not later & set(played[: played.index("patient")])
    assert 19 * AGING_S < WAIT_S_MAX / 2


@given(
    st.lists(st.tuples(st.sampled_from(QueueMode), st.integers(1, 20)), min_size=1, max_size=30),
    st.sampled_from(QueueMode),
)
def test_a_change_of_mode_loses_nothing_and_orders_as_if_it_had_always_been(
    added: list[tuple[QueueMode, int]], mode: QueueMode
) -> None:
    queue, always = ActivationQueue(), ActivationQueue(mode=mode)
    for number, (passing, priority) in enumerate(added):
        queue.change_mode(passing)
        for each in (queue, always):
            each.add(activation(f"t-{number}", number, priority))
    queue.change_mode(mode)
    taken = order(queue)
    assert taken == order(always)
    assert sorted(name for each in taken for name in each) == sorted(
        f"t-{number}" for number in range(len(added))
    )


def test_batch_takes_all_that_waits() -> None:
    queue = ActivationQueue(mode=QueueMode.BATCH)
    for name in "abc":
        queue.add(activation(name, 0))
    assert [(each.tip_id, wait_s) for each, _, wait_s in queue.forecast(100.0, 104.0, 30)] == [
        ("a", 4.0),
        ("b", 4.0),
        ("c", 4.0),
    ]
    assert order(queue) == [["a", "b", "c"]]


def test_what_an_earlier_life_has_sent_plays_alone() -> None:
    queue = ActivationQueue(mode=QueueMode.BATCH)
    queue.add(activation("a", 0, sent_before=True))
    queue.add(activation("b", 0))
    queue.add(activation("c", 0))
    queue.add(activation("d", 0, sent_before=True))
    queue.add(activation("e", 0))
    assert order(queue) == [["a"], ["b", "c"], ["d"], ["e"]]


# ---- in a room ---------------------------------------------------------------------------------


def room_in(mode: QueueMode, **fields: object) -> SteppedRoom:
    """The model and ann; her tips are of 3 s at 5, of 5 s at 10, and of 20 s at 16."""
    menu = (
        TipMenuRow("a", 20, level(5, 3), "Soft", True, 0),
        TipMenuRow("b", 30, level(10, 5), "Medium", True, 1),
        TipMenuRow("c", 40, level(16, 20), "Strong", True, 2, priority=2),
    )
    stepped = SteppedRoom(record(menu=menu, lovense_queue_mode=mode, **fields))  # type: ignore[arg-type]
    stepped.join_model()
    return stepped


def finals(room: SteppedRoom, tip_id: str) -> dict[str, tuple[TargetState, str | None]]:
    """Of each target: the final state, and into which tip."""
    return {
        each.target_id: (each.state, each.merged_into)
        for each in room.audit
        if each.tip_id == tip_id and each.state in (TargetState.MERGED, TargetState.ACTIVATED)
    }


def test_a_room_plays_by_priority() -> None:
    room = room_in(QueueMode.PRIORITY)
    room.join_viewer(ANN, "ann")
    room.tip(ANN, "playing", 20)
    room.tip(ANN, "soft", 20)
    room.tip(ANN, "low-by-the-row", 40)
    room.tip(ANN, "dear", 9_000)
    for _ in range(4):
        room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[-1])
        room.pass_s(PLAY_S)
    assert [each.tip_id for each in room.commands(MODEL_PAGE)] == [
        "playing",
        "dear",
        "soft",
        "low-by-the-row",
    ]


def test_a_room_merges_what_waits_and_each_tip_keeps_its_audit() -> None:
    room = room_in(QueueMode.BATCH)
    room.join_viewer(ANN, "ann")
    room.tip(ANN, "first", 20)
    for tip_id, amount in (("soft", 20), ("medium", 30), ("strong", 40)):
        room.tip(ANN, tip_id, amount)
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(PLAY_S)
    first, together = room.commands(MODEL_PAGE)
    assert (first.tip_id, first.duration_sec) == ("first", 3)
    assert (together.tip_id, together.duration_sec) == ("soft", 3 + 5 + 20)
    room.activated(MODEL_PAGE, together)
    assert finals(room, "soft") == {"model-1": (TargetState.ACTIVATED, None)}
    assert finals(room, "medium") == {"model-1": (TargetState.MERGED, "soft")}
    assert finals(room, "strong") == {"model-1": (TargetState.MERGED, "soft")}
    assert sorted(room.finished) == ["first", "medium", "soft", "strong"]
    told = [(each.tip_id, each.state) for each in room.frames_to(ANN, frames.ActivationChanged)]
    assert told.count(("strong", "playing")) == told.count(("strong", "done")) == 1


def test_a_merged_activation_is_capped_as_any_other() -> None:
    room = room_in(QueueMode.BATCH, lovense_max_activation_duration=10)
    room.join_viewer(ANN, "ann")
    for number in range(5):
        room.tip(ANN, f"tip-{number}", 40)
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(PLAY_S)
    assert room.commands(MODEL_PAGE)[-1].duration_sec == 10


def test_a_viewers_toy_plays_only_what_was_meant_for_it() -> None:
    """Ann feels her own tips, zoe all of them: nobody gets more by a merge than by its parts."""
    room = room_in(QueueMode.BATCH, sync=ViewerSyncMode.VIP_ROOM_SYNC)
    room.join_viewer(ANN, "ann", toy=True, preferences=Preferences(react_to_my_tips=True))
    room.join_viewer(ZOE, "zoe", toy=True, tier=GOLD, preferences=BOTH)
    room.tip(ZOE, "first", 20)
    room.tip(ANN, "hers", 20)
    room.tip(ZOE, "strong", 40)
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(PLAY_S)
    [for_ann] = room.commands(ANN)
    assert (for_ann.tip_id, for_ann.duration_sec) == ("hers", 3)
    for_zoe = room.commands(ZOE)[-1]
    assert (for_zoe.tip_id, for_zoe.duration_sec) == ("hers", 23)
    assert for_zoe.call.args[0]["vibrate"] == 16  # type: ignore[index]
    assert finals(room, "strong") == {
        "model-1": (TargetState.MERGED, "hers"),
        "zoe": (TargetState.MERGED, "hers"),
    }


def test_a_target_that_fell_out_merges_into_nothing() -> None:
    room = room_in(QueueMode.BATCH, sync=ViewerSyncMode.VIP_ROOM_SYNC)
    room.join_viewer(ANN, "ann", toy=True, preferences=Preferences(react_to_my_tips=True))
    room.tip(ANN, "first", 20)
    room.tip(ANN, "second", 20)
    room.tip(ANN, "third", 20)
    room.ask(ANN, frames.SetPreferences, react_to_my_tips=False)
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(PLAY_S)
    for tip_id in ("second", "third"):
        assert room.final(tip_id, "ann") == (TargetState.SKIPPED, Reason.OPTED_OUT)
    assert finals(room, "third") == {"model-1": (TargetState.MERGED, "second")}


def test_where_the_first_cannot_be_sent_nothing_is_said_to_have_merged_into_it() -> None:
    room = room_in(QueueMode.BATCH)
    room.join_viewer(ANN, "ann")
    room.tip(ANN, "first", 20)
    room.tip(ANN, "second", 20)
    room.tip(ANN, "third", 20)
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.ask(MODEL_PAGE, frames.ReportSettings, settings=None)
    room.pass_s(PLAY_S)
    for tip_id in ("second", "third"):
        assert room.final(tip_id) == (TargetState.SKIPPED, Reason.NO_LEVEL_MAP)
    assert room.state.playing is None


def test_a_merge_counts_once_against_the_rate() -> None:
    room = room_in(QueueMode.BATCH, lovense_rate_limit_per_min=2)
    room.join_viewer(ANN, "ann")
    for number in range(6):
        room.tip(ANN, f"tip-{number}", 20)
    room.activated(MODEL_PAGE, room.commands(MODEL_PAGE)[0])
    room.pass_s(PLAY_S)
    assert room.state.queue.started_within_window(room.at_s) == 2
    assert len(room.state.queue) == 0


def test_the_mode_changes_under_way() -> None:
    room = room_in(QueueMode.FIFO)
    room.join_viewer(ANN, "ann")
    for tip_id, amount in (("first", 20), ("cheap", 20), ("dear", 9_000)):
        room.tip(ANN, tip_id, amount)
    assert room.state.queue.head_tip_id == "cheap"
    changed = PlatformSettings(enable_lovense=True, lovense_queue_mode=QueueMode.PRIORITY)
    room.tell(PlatformSettingsChanged(changed))
    assert room.state.queue.head_tip_id == "dear"


@pytest.mark.parametrize("mode", list(QueueMode))
def test_positions_are_told_in_the_order_of_play(mode: QueueMode) -> None:
    room = room_in(mode)
    room.join_viewer(ANN, "ann")
    for tip_id, amount in (("first", 20), ("cheap", 20), ("dear", 9_000)):
        room.tip(ANN, tip_id, amount)
    places = {
        each.tip_id: each.position
        for each in room.frames_to(ANN, frames.ActivationChanged)
        if each.state == "queued"
    }
    expected = {"cheap": 2, "dear": 1} if mode is QueueMode.PRIORITY else {"cheap": 1, "dear": 2}
    assert places == expected


# ---- what is foreseen --------------------------------------------------------------------------


def waits(queue: ActivationQueue, rate_per_min: int, now_s: float = 100.0) -> list[float | None]:
    return [wait_s for _, _, wait_s in queue.forecast(now_s, now_s + 4, rate_per_min)]


def lasting(name: str, after_s: float, seconds: int, priority: int = 1) -> Activation:
    plain = activation(name, after_s, priority)
    item = msgspec.structs.replace(plain.event.item, vibration=level(10, seconds))
    return msgspec.structs.replace(plain, event=msgspec.structs.replace(plain.event, item=item))


def test_the_rate_counts_in_what_is_foreseen() -> None:
    queue = ActivationQueue()
    for name in "abc":
        queue.add(lasting(name, 0, 5))
    assert waits(queue, 30) == [4.0, 9.0, 14.0]
    queue.started(90.0)
    assert waits(queue, 2) == [4.0, 50.0, 64.0]


def test_while_it_is_paused_nobody_knows_how_long() -> None:
    queue = ActivationQueue()
    queue.add(activation("a", 0))
    queue.paused = True
    assert waits(queue, 30) == [None]


@given(
    st.sampled_from(QueueMode),
    st.integers(1, 4),
    st.lists(st.floats(0, 59), max_size=4).map(sorted),
    st.integers(0, 12),
)
def test_what_is_foreseen_comes_true_if_nothing_comes_between(
    mode: QueueMode, rate_per_min: int, started_s: list[float], waiting: int
) -> None:
    queue = ActivationQueue(mode=mode)
    for at_s in started_s:
        queue.started(at_s)
    for number in range(waiting):
        queue.add(lasting(f"t-{number}", number, 1 + number % 4, 1 + number % 3))
    now_s = free_at_s = 60.0
    foreseen = {
        each.tip_id: wait_s for each, _, wait_s in queue.forecast(now_s, free_at_s, rate_per_min)
    }
    played = {}
    while (start_s := queue.next_start_s(free_at_s, rate_per_min)) is not None:
        together = queue.take()
        queue.started(start_s)
        played |= {each.tip_id: start_s - now_s for each in together}
        free_at_s = start_s + together[-1].duration_s
    assert played == pytest.approx(foreseen)


def test_the_model_sees_who_comes_next_and_in_which_mode() -> None:
    room = room_in(QueueMode.FIFO)
    room.join_viewer(ANN, "ann")
    for tip_id, amount in (("first", 20), ("cheap", 20), ("dear", 9_000)):
        room.tip(ANN, tip_id, amount)
    seen = room.frames_to(MODEL_PAGE, frames.QueueChanged)[-1]
    assert [(e.tip_id, e.username, e.amount, e.wait_s) for e in seen.upcoming] == [
        ("cheap", "Ann", 20, PLAY_S),
        ("dear", "Ann", 9_000, PLAY_S + 3),
    ]
    assert (seen.mode, seen.next_in_s) == (QueueMode.FIFO, PLAY_S)
    changed = PlatformSettings(enable_lovense=True, lovense_queue_mode=QueueMode.PRIORITY)
    room.tell(PlatformSettingsChanged(changed))
    seen = room.frames_to(MODEL_PAGE, frames.QueueChanged)[-1]
    assert [e.tip_id for e in seen.upcoming] == ["dear", "cheap"]
    assert seen.mode is QueueMode.PRIORITY
