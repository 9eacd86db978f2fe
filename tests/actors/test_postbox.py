"""A postbox step by step: when a message goes out, and what follows from what the rooms say."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.messaging.postbox import (
    RETRY_BASE_S,
    Answered,
    EndMood,
    Hand,
    PostboxState,
    Record,
    SetMoodEnd,
    Take,
    _Due,
    next_due_s,
    step,
)
from actors.runtime.moment import Moment
from protocol.mood_messages import RETRIES_MAX, TIERS, FailureReason, MessageState
from protocol.tip_activated import MembershipTier
from tests.actors.messages import after, private
from tests.actors.ports import STARTED_AT_UTC


def at(seconds: float) -> Moment:
    """Trio's clock began at 1000 s."""
    return Moment(1_000 + seconds, STARTED_AT_UTC + timedelta(seconds=seconds))


def handed(effects: list[object]) -> list[int]:
    return [each.message.message_id.int for each in effects if isinstance(each, Hand)]


def recorded(effects: list[object]) -> list[tuple[int, MessageState | None]]:
    return [
        (each.change.message_id.int, each.change.state)
        for each in effects
        if isinstance(each, Record)
    ]


class Box:
    def __init__(self) -> None:
        self.state = PostboxState()

    def take(self, seconds: float, *messages: object) -> list[object]:
        return [*step(self.state, Take(tuple(messages)), at(seconds))]  # type: ignore[arg-type]

    def due(self, seconds: float) -> list[object]:
        return [*step(self.state, _Due(), at(seconds))]

    def answer(
        self, seconds: float, number: int, sockets: int, failed: bool = False
    ) -> list[object]:
        answered = Answered(UUID(int=number), sockets, failed)
        return [*step(self.state, answered, at(seconds))]

    @property
    def next_s(self) -> float:
        return next_due_s(self.state) - 1_000


# ---- when ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", MembershipTier)
def test_a_message_goes_out_when_its_tier_says(tier: MembershipTier) -> None:
    box, delay_s = Box(), TIERS[tier].delay_s
    effects = box.take(0, private(1, due_at=after(delay_s)))
    if delay_s:
        assert effects == []
        assert box.next_s == delay_s
        assert box.due(delay_s - 0.001) == []
        effects = box.due(delay_s)
    assert handed(effects) == [1]
    assert box.due(delay_s + 100) == []  # until the rooms have answered


def test_of_what_is_due_at_once_the_higher_priority_goes_first() -> None:
    box = Box()
    low = private(1, priority=3, due_at=after(1))
    high = private(2, priority=10, due_at=after(3))
    also_high = private(3, priority=10, due_at=after(2))
    box.take(0, low, high, also_high)
    assert handed(box.due(5)) == [3, 2, 1]


def test_what_is_here_already_is_no_news() -> None:
    box = Box()
    assert handed(box.take(0, private(1), private(1))) == [1]
    assert box.take(1, private(1)) == []
    box.answer(1, 1, sockets=1)
    assert box.state.empty


def test_one_that_waited_for_its_recipient_is_due_now() -> None:
    assert handed(Box().take(5, private(1, due_at=None))) == [1]


# ---- what the rooms say ----------------------------------------------------------------------


def test_a_message_that_a_socket_got_is_sent() -> None:
    box = Box()
    box.take(0, private(1))
    [record] = box.answer(1, 1, sockets=2)
    assert isinstance(record, Record)
    assert (record.change.state, record.change.at_utc) == (MessageState.SENT, after(1))
    assert record.change.attempts == 1


def test_one_that_got_through_by_one_room_of_two_is_sent() -> None:
    box = Box()
    box.take(0, private(1))
    assert recorded(box.answer(1, 1, sockets=1, failed=True)) == [(1, MessageState.SENT)]


def test_three_retries_then_a_dead_letter() -> None:
    box = Box()
    now_s = 0.0
    assert handed(box.take(now_s, private(1))) == [1]
    for retry in range(RETRIES_MAX):
        assert box.answer(now_s, 1, 0, failed=True) == []
        now_s += RETRY_BASE_S * 2**retry
        assert box.next_s == now_s
        assert handed(box.due(now_s)) == [1]
    [record] = box.answer(now_s, 1, 0, failed=True)
    assert isinstance(record, Record)
    change = record.change
    assert (change.state, change.reason) == (MessageState.FAILED, FailureReason.ROOM_UNAVAILABLE)
    assert change.attempts == 1 + RETRIES_MAX
    assert box.state.empty


def test_a_message_to_one_who_is_not_there_waits_in_the_database() -> None:
    box = Box()
    box.take(0, private(1))
    assert recorded(box.answer(0, 1, sockets=0)) == [(1, None)]
    assert box.state.empty


def test_who_connects_while_the_rooms_are_asked_is_not_missed() -> None:
    box = Box()
    box.take(0, private(1))
    assert box.take(1, private(1)) == []
    assert handed(box.answer(2, 1, sockets=0)) == [1]
    assert recorded(box.answer(3, 1, sockets=1)) == [(1, MessageState.SENT)]


# ---- moods -----------------------------------------------------------------------------------


def test_a_mood_ends_once() -> None:
    box = Box()
    step(box.state, SetMoodEnd(1_060.0), at(0))
    assert (box.next_s, box.state.empty) == (60, False)
    assert box.due(59.9) == []
    assert box.due(60) == [EndMood()]
    assert box.due(61) == []
    assert box.state.empty


def test_a_mood_that_was_set_anew_ends_when_that_one_does() -> None:
    box = Box()
    step(box.state, SetMoodEnd(1_060.0), at(0))
    step(box.state, SetMoodEnd(None), at(1))
    assert box.due(100) == []
    assert box.state.empty


# ---- whatever comes --------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 2), st.floats(0, 5)), max_size=60))
def test_whatever_the_rooms_say_each_message_ends_once(
    said: list[tuple[int, int, float]],
) -> None:
    """Each tuple: which message is taken, what is answered to the first one that is asked (-1: a
    room failed), and how much time passes."""
    box, now_s = Box(), 0.0
    ends: list[int] = []
    for number, sockets, seconds in said:
        taken = number not in ends and UUID(int=number) not in box.state.waiting
        effects = box.take(now_s, private(number, due_at=after(now_s + number))) if taken else []
        asked = [each for each in box.state.waiting.values() if each.handed]
        if asked:
            answered = asked[0].message.message_id.int
            effects += box.answer(now_s, answered, max(sockets, 0), failed=sockets < 0)
        ends += [number for number, _ in recorded(effects)]
        now_s += seconds
        box.due(now_s)
        for each in box.state.waiting.values():
            assert each.handed or each.due_s > 1_000 + now_s
    assert len(ends) == len(set(ends))
