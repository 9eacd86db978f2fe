"""The rules of the Python client, without a clock: when it comes back, where it is, what it
asks."""

import math
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.client.backoff import Backoff, come_back_s, read_reason
from bench.client.credentials import Credentials, refresh_in_s
from bench.client.place import Place
from bench.client.questions import ANSWER_TIMEOUT_S, Question, Questions, RequestError
from protocol.errors import CloseCode, ErrorCode
from protocol.frames import Error, Ok, StopToys, TipNotice, Typing
from protocol.reconnect import close_reason
from tests.bench.room_server import snapshot

ALMOST_ONE = math.nextafter(1, 0)


def notice(offset: int, epoch: str = "e1") -> TipNotice:
    return TipNotice(epoch, offset, "kim", 5, "Tip", "kim tipped", "2026-01-01T00:00:00Z")


# ---- when it comes back ----------------------------------------------------------------------


@pytest.mark.parametrize("back_in_s", [None, 0.0, 4.2, 60.0])
def test_a_close_reason_is_read_as_the_server_writes_it(back_in_s: float | None) -> None:
    words, told_s = read_reason(close_reason(CloseCode.GOING_AWAY, back_in_s))
    assert (words, told_s) == ("the server is going away; come back", back_in_s)


def test_as_told_the_first_time_and_later_never_less() -> None:
    assert come_back_s(0, 4.2, 30.0, ALMOST_ONE) == 4.2
    assert come_back_s(1, 4.2, 0.0, ALMOST_ONE) == 4.2
    assert come_back_s(6, 4.2, 0.0, ALMOST_ONE) == pytest.approx(20)


@given(st.integers(0, 10_000), st.floats(0, 60), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_longer_than_the_ceiling_or_the_window(
    attempt: int, window_s: float, draw: float
) -> None:
    assert 0 <= come_back_s(attempt, None, window_s, draw) <= max(20, window_s)


def test_waits_grow_to_a_ceiling_and_start_short_again_after_a_stable_time() -> None:
    backoff, waits, now_s = Backoff(lambda: ALMOST_ONE), [], 0.0
    for _ in range(8):
        backoff.online(now_s)
        waits.append(round(backoff.lost(4000, None, now_s + 9.9, alone=False), 3))
        now_s += 100
    assert waits == [0.5, 1, 2, 4, 8, 16, 20, 20]
    backoff.online(now_s)
    assert backoff.lost(4000, None, now_s + 10, alone=False) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("was_online", "code", "alone", "wait_s"),
    [(True, 1006, False, 30), (False, 1006, False, 0.5), (True, 4000, False, 0.5),
     (True, 1006, True, 0.5)],
)  # fmt: skip
def test_a_crowd_lost_without_a_word_spreads_over_the_servers_window(
    was_online: bool, code: int, alone: bool, wait_s: float
) -> None:
    backoff = Backoff(lambda: ALMOST_ONE)
    backoff.window_s = 30.0
    if was_online:
        backoff.online(0.0)
    assert backoff.lost(code, None, 1.0, alone=alone) == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("left_s", "wait_s"), [(3600, 3540), (60, 30), (4, 5), (-3, 5), (math.inf, math.inf)]
)
def test_a_token_is_replaced_before_its_end_but_not_all_the_time(
    left_s: float, wait_s: float
) -> None:
    assert refresh_in_s(left_s) == wait_s


def test_a_token_ends_by_the_servers_clock() -> None:
    assert Credentials("t", 61_000).left_s(1_000) == 60
    assert Credentials("t").left_s(1_000) == math.inf


# ---- where it is -----------------------------------------------------------------------------


def test_nothing_is_lost_before_the_first_snapshot() -> None:
    place = Place()
    assert place.resume is None
    assert place.restart(snapshot(offset=7)) == 0
    assert place.resume is not None
    assert (place.resume.epoch, place.resume.offset) == ("e1", 7)


def test_every_history_event_is_taken_once_and_a_jump_is_a_loss() -> None:
    place = Place()
    place.restart(snapshot(offset=7))
    assert [place.advance(notice(offset)) for offset in (8, 8, 7, 9, 12)] == [0, -1, -1, 0, 2]
    with pytest.raises(ValueError, match="another epoch"):
        place.advance(notice(13, "e2"))


@pytest.mark.parametrize(
    ("changes", "lost"),
    [({"recovered": True, "offset": 9}, 0), ({"offset": 9}, 2), ({"epoch": "e2"}, None)],
)
def test_what_a_snapshot_does_not_bring_is_lost(changes: dict[str, Any], lost: int | None) -> None:
    place = Place()
    place.restart(snapshot(offset=7))
    assert place.restart(snapshot(**{"offset": 7} | changes)) == lost


# ---- what it asks ----------------------------------------------------------------------------


@pytest.fixture
def endings() -> list[Any]:
    return []


@pytest.fixture
def asked(endings: list[Any]) -> Questions:
    """1: once; 2: again and again; 3: a stop."""
    questions = Questions()
    for number, resend in ((1, False), (2, True), (3, True)):
        frame = StopToys(number) if number == 3 else Typing()

        def on_end(ending: Any, number: int = number) -> None:
            endings.append((number, getattr(ending, "code", "ok")))

        assert questions.next_ref() == number
        questions.add(number, Question(frame, resend, on_end))
    return questions


def test_an_answer_ends_its_own_question_alone(asked: Questions, endings: list[Any]) -> None:
    asked.answer(Ok(2, None))
    asked.answer(Ok(2, None))
    asked.answer(Error(1, ErrorCode.FORBIDDEN, "no", False))
    asked.answer(Error(None, ErrorCode.MALFORMED_FRAME, "no", False))
    asked.answer(Ok(99, None))
    assert endings == [(2, "ok"), (1, ErrorCode.FORBIDDEN)]


def test_a_lost_connection_keeps_what_may_be_asked_again_a_stop_first(
    asked: Questions, endings: list[Any]
) -> None:
    for question in asked.unasked():
        question.asked_at_s = 5.0
    assert asked.deadline_s == 5.0 + ANSWER_TIMEOUT_S
    asked.lost()
    assert endings == [(1, "DISCONNECTED")]
    assert [question.stops for question in asked.unasked()] == [True, False]
    assert asked.must_stop
    assert asked.deadline_s == math.inf
    asked.close("over")
    assert endings[1:] == [(2, "CLOSED"), (3, "CLOSED")]


def test_what_nobody_waits_for_any_more_is_passed_over(
    asked: Questions, endings: list[Any]
) -> None:
    asked.forget(1)
    asked.forget(1)
    asked.answer(Ok(1, None))
    assert endings == []


def test_a_question_that_ends_another_ends_it_once() -> None:
    questions, ended = Questions(), []
    numbers = count(1)

    def on_end(_ending: Ok | RequestError) -> None:
        ended.append(next(numbers))
        questions.answer(Ok(2, None))

    for ref in (1, 2):
        questions.add(ref, Question(Typing(), False, on_end))
    questions.lost()
    assert ended == [1, 2]
