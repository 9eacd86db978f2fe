"""The stage's rules: every state and action by table, the tokens by property, turns and health."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, Refusal
from protocol.performance_menu import MenuQueueMode
from protocol.stage import (
    ENDED,
    FULL_REFUND,
    AbandonKind,
    AbandonTerms,
    HealthStatus,
    Move,
    Payment,
    PaymentKind,
    Repeat,
    StageAction,
    StageItem,
    StageOrder,
    StageState,
    decide,
    health,
    line_up,
    may_start,
    moved,
    places,
)

NOW = datetime(2026, 1, 15, 17, tzinfo=UTC)
ON, OFF = MenuQueueMode.ON, MenuQueueMode.OFF
START, FINISH, ABANDON, CANCEL = StageAction
CREATED, READY, STARTED, FINISHED, ABANDONED, CANCELLED = StageState
FULL_SETTLE = AbandonTerms(AbandonKind.FULL_SETTLE)


def partial(tokens: int) -> AbandonTerms:
    return AbandonTerms(AbandonKind.PARTIAL_REFUND, tokens)


def item(number: int = 1, **fields: Any) -> StageItem:
    plain = StageItem(
        purchase_id=UUID(int=number),
        user_id=f"user-{number}",
        username=f"User {number}",
        item_id="dance",
        item_name="Dance",
        tokens=100,
        queue_mode=ON,
        drives_toy=False,
        duration_sec=60,
        state=READY,
        settled=False,
        ready_at=NOW + timedelta(seconds=number),
    )
    return msgspec.structs.replace(plain, **fields)


ALLOWED = {
    (ON, READY, START): STARTED,
    (ON, STARTED, FINISH): FINISHED,
    (ON, READY, ABANDON): ABANDONED,
    (ON, STARTED, ABANDON): ABANDONED,
    (ON, READY, CANCEL): CANCELLED,
    (OFF, READY, FINISH): FINISHED,
}
AGAIN = {(START, STARTED), (FINISH, FINISHED), (ABANDON, ABANDONED), (CANCEL, CANCELLED)}


@pytest.mark.parametrize(
    ("mode", "state", "action"), [*product(MenuQueueMode, StageState, StageAction)], ids=str
)
def test_every_action_in_every_state(
    mode: MenuQueueMode, state: StageState, action: StageAction
) -> None:
    terms = FULL_REFUND if action is ABANDON else None
    found = decide(
        item(queue_mode=mode, state=state, terms=FULL_REFUND if state is ABANDONED else None),
        action,
        terms,
    )
    if (mode, state, action) in ALLOWED:
        assert isinstance(found, Move)
        assert (found.before, found.after) == (state, ALLOWED[mode, state, action])
    elif (action, state) in AGAIN:
        assert found == Repeat()
    else:
        assert found == Refusal(ErrorCode.STAGE_WRONG_STATE)


SETTLE, RELEASE, REFUND = PaymentKind


@pytest.mark.parametrize(
    ("fields", "action", "terms", "payment"),
    [
        ({"drives_toy": True}, START, None, Payment(SETTLE)),
        ({}, START, None, None),
        ({"state": STARTED, "drives_toy": True, "settled": True}, FINISH, None, None),
        ({"state": STARTED}, FINISH, None, Payment(SETTLE)),
        ({}, CANCEL, None, Payment(RELEASE)),
        ({}, ABANDON, FULL_REFUND, Payment(RELEASE)),
        ({}, ABANDON, FULL_SETTLE, Payment(SETTLE)),
        ({}, ABANDON, partial(1), Payment(SETTLE, 1)),
        ({"state": STARTED}, ABANDON, partial(99), Payment(SETTLE, 99)),
        ({"state": STARTED}, ABANDON, partial(100), Payment(RELEASE)),
        ({"state": STARTED, "settled": True}, ABANDON, FULL_REFUND, Payment(REFUND, 100)),
        ({"state": STARTED, "settled": True}, ABANDON, FULL_SETTLE, None),
        ({"state": STARTED, "settled": True}, ABANDON, partial(30), Payment(REFUND, 30)),
        ({"queue_mode": OFF, "settled": True}, FINISH, None, None),
    ],
)
def test_what_a_move_owes(
    fields: dict[str, Any], action: StageAction, terms: AbandonTerms | None, payment: Payment | None
) -> None:
    move = decide(item(**fields), action, terms)
    assert isinstance(move, Move)
    assert move.payment == payment


@pytest.mark.parametrize(
    "terms",
    [
        AbandonTerms(AbandonKind.PARTIAL_REFUND),
        AbandonTerms(AbandonKind.FULL_REFUND, 5),
        AbandonTerms(AbandonKind.FULL_SETTLE, 100),
        partial(101),
    ],
)
@pytest.mark.parametrize("state", [READY, ABANDONED])
def test_terms_that_make_no_sense_name_the_field(terms: AbandonTerms, state: StageState) -> None:
    refusal = decide(item(state=state), ABANDON, terms)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID_FIELD, "tokens")


def test_an_abandon_on_other_terms_is_no_repeat() -> None:
    abandoned = item(state=ABANDONED, terms=partial(5))
    assert decide(abandoned, ABANDON, partial(5)) == Repeat()
    for terms in (partial(6), FULL_REFUND, FULL_SETTLE):
        assert decide(abandoned, ABANDON, terms) == Refusal(ErrorCode.STAGE_WRONG_STATE)


TERMS = st.sampled_from([FULL_REFUND, FULL_SETTLE]) | st.integers(1, 120).map(partial)
ACTIONS = st.lists(st.tuples(st.sampled_from(StageAction), TERMS), max_size=8)


@given(st.booleans(), st.integers(1, 100), ACTIONS)
def test_whatever_is_asked_each_token_is_held_settled_or_refunded(
    drives_toy: bool, tokens: int, actions: list[tuple[StageAction, AbandonTerms]]
) -> None:
    """The payments carried out one after the other, with nothing left at the end."""
    now = item(tokens=tokens, drives_toy=drives_toy)
    held, settled, refunded = tokens, 0, 0
    for action, terms in actions:
        move = decide(now, action, terms if action is ABANDON else None)
        if not isinstance(move, Move):
            continue
        assert now.state not in ENDED, "an end is an end"
        now = moved(now, move, NOW)
        match move.payment:
            case Payment(kind=PaymentKind.SETTLE, refund_tokens=back):
                assert held == tokens
                assert 0 <= back < held
                held, settled, refunded = 0, held - back, back
            case Payment(kind=PaymentKind.RELEASE):
                assert held == tokens
                held, refunded = 0, tokens
            case Payment(kind=PaymentKind.REFUND, refund_tokens=back):
                assert 0 < back <= settled
                settled, refunded = settled - back, refunded + back
        assert held + settled + refunded == tokens
    assert (held > 0) is (now.state is READY or (now.state is STARTED and not drives_toy)), (
        "an item that has ended holds nothing"
    )


# ---- turns -------------------------------------------------------------------------------------


def lined_up(order: StageOrder, *items: StageItem) -> list[int]:
    return [each.purchase_id.int for each in line_up(items, order)]


def test_the_orders() -> None:
    queue = (
        item(3, item_id="song", tokens=10),
        item(1, tokens=10),
        item(2, item_id="song", tokens=500),
        item(4, tokens=500),
    )
    assert lined_up(StageOrder.FIFO, *queue) == [1, 2, 3, 4]
    assert lined_up(StageOrder.PRIORITY, *queue) == [2, 4, 1, 3]
    assert lined_up(StageOrder.BATCH, *queue) == [1, 4, 2, 3]
    song = item(9, item_id="song", state=STARTED)
    assert lined_up(StageOrder.BATCH, *queue, song) == [2, 3, 1, 4]


def test_positions_begin_at_one_and_waits_are_the_durations_ahead() -> None:
    started = item(9, state=STARTED, duration_sec=100, started_at=NOW - timedelta(seconds=30))
    queue = (item(2, duration_sec=7), item(1, duration_sec=20), started, item(3, state=CREATED))
    found = [
        (each.purchase_id.int, each.position, each.wait_s)
        for each in places(queue, StageOrder.FIFO, NOW)
    ]
    assert found == [(1, 1, 70.0), (2, 2, 90.0)]
    late = [each.wait_s for each in places(queue, StageOrder.FIFO, NOW + timedelta(hours=1))]
    assert late == [0.0, 20.0]


def test_one_is_performed_and_the_next_one_is_next() -> None:
    queue = (item(1), item(2))
    assert may_start(queue, StageOrder.FIFO, UUID(int=1)) is None
    second = may_start(queue, StageOrder.FIFO, UUID(int=2))
    assert second == Refusal(ErrorCode.STAGE_NOT_NEXT)
    busy = may_start((*queue, item(9, state=STARTED)), StageOrder.FIFO, UUID(int=1))
    assert busy == Refusal(ErrorCode.STAGE_BUSY)
    assert may_start((), StageOrder.FIFO, UUID(int=1)) == Refusal(ErrorCode.STAGE_NOT_NEXT)


@given(
    st.lists(
        st.tuples(st.sampled_from(StageState), st.integers(1, 9), st.sampled_from("ab")),
        max_size=20,
    ),
    st.sampled_from(StageOrder),
)
def test_each_that_waits_has_one_place(
    drawn: list[tuple[StageState, int, str]], order: StageOrder
) -> None:
    items = tuple(
        item(number, state=state, tokens=tokens, item_id=item_id)
        for number, (state, tokens, item_id) in enumerate(drawn)
    )
    found = places(items, order, NOW)
    assert [place.position for place in found] == list(range(1, len(found) + 1))
    assert sorted(place.purchase_id for place in found) == sorted(
        each.purchase_id for each in items if each.state is READY
    )
    assert [place.wait_s for place in found] == sorted(place.wait_s for place in found)


# ---- health ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capacity", "failures", "letters", "status"),
    [
        (0, 0, 0, HealthStatus.HEALTHY),
        (70, 50, 20, HealthStatus.HEALTHY),
        (71, 0, 0, HealthStatus.DEGRADED),
        (0, 51, 0, HealthStatus.DEGRADED),
        (0, 0, 21, HealthStatus.DEGRADED),
        (90, 100, 50, HealthStatus.DEGRADED),
        (91, 0, 0, HealthStatus.UNHEALTHY),
        (0, 101, 0, HealthStatus.UNHEALTHY),
        (0, 0, 51, HealthStatus.UNHEALTHY),
    ],
)
def test_health(capacity: int, failures: int, letters: int, status: HealthStatus) -> None:
    found = health(capacity, failures, letters)
    assert found.status is status
    assert (found.capacity_percent, found.failures_last_hour) == (capacity, failures)
    assert found.unreviewed_dead_letters == letters
