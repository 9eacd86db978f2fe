"""The stage: a model's performance queue, as pure rules (spec 5, Stage).

`decide` says what an action makes of an item, and which tokens move for it; `line_up` who is whose
turn. Nothing here knows a clock, a mailbox or the database.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode, Refusal
from protocol.performance_menu import MenuQueueMode
from protocol.tip_activated import Amount, Id

DEPTH_MAX: Final = 50
"""Items that wait or are performed, of one model (spec: 503 past it, nothing held)."""
PATIENCE_S: Final = 600.0
"""The longest that a stage stands still before the system gives back what waits (spec: 10 min
without a start)."""
GRACE_S: Final = 60.0
"""For a model whose page is gone while she performs."""
NEAR_POSITION: Final = 3
"""Where the buyer is told specially."""


class StageState(StrEnum):
    CREATED = "CREATED"
    """The tokens are not held yet."""
    READY = "READY"
    STARTED = "STARTED"
    FINISHED = "FINISHED"
    ABANDONED = "ABANDONED"
    CANCELLED = "CANCELLED"


ENDED: Final = frozenset({StageState.FINISHED, StageState.ABANDONED, StageState.CANCELLED})


class StageOrder(StrEnum):
    """fifo: as they came. priority: who paid more first. batch: the same performance in a row."""

    FIFO = "fifo"
    PRIORITY = "priority"
    BATCH = "batch"


class StageAction(StrEnum):
    START = "start"
    FINISH = "finish"
    ABANDON = "abandon"
    CANCEL = "cancel"


class AbandonKind(StrEnum):
    FULL_REFUND = "FULL_REFUND"
    FULL_SETTLE = "FULL_SETTLE"
    PARTIAL_REFUND = "PARTIAL_REFUND"


class AbandonTerms(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What becomes of an abandoned item's tokens. `tokens`, 1..held: what goes back in a
    PARTIAL_REFUND, and null in the other two."""

    kind: AbandonKind
    tokens: Amount | None = None


FULL_REFUND: Final = AbandonTerms(AbandonKind.FULL_REFUND)


class PaymentKind(StrEnum):
    """SETTLE: out of escrow to the model, but for `refund_tokens`. RELEASE: all of the hold back
    to the buyer. REFUND: `refund_tokens` of what has settled, by a new transfer."""

    SETTLE = "SETTLE"
    RELEASE = "RELEASE"
    REFUND = "REFUND"


class Payment(msgspec.Struct, frozen=True):
    """What a move owes. SETTLE: 0 <= refund_tokens < held; RELEASE: 0; REFUND: 1..settled."""

    kind: PaymentKind
    refund_tokens: int = 0


class InLine(msgspec.Struct, frozen=True, kw_only=True):
    """What decides where an item stands."""

    purchase_id: UUID
    item_id: Id
    tokens: int
    duration_sec: int
    state: StageState
    ready_at: datetime
    started_at: datetime | None = None


class StageItem(InLine, frozen=True, kw_only=True):
    """A purchase as the stage sees it. `settled`: a move so far has ordered that its tokens go to
    the model, or the queue mode is OFF."""

    user_id: Id
    username: str
    item_name: str
    queue_mode: MenuQueueMode
    drives_toy: bool
    settled: bool
    terms: AbandonTerms | None = None
    """Of an ABANDONED one."""


class Move(msgspec.Struct, frozen=True):
    """From `before`, compared when it is set, to `after`; then `payment` is owed."""

    before: StageState
    after: StageState
    payment: Payment | None = None
    terms: AbandonTerms | None = None


class Repeat(msgspec.Struct, frozen=True):
    """It was done before: answered as then, and nothing moves."""


_MOVES: Final = {
    (MenuQueueMode.ON, StageState.READY, StageAction.START): StageState.STARTED,
    (MenuQueueMode.ON, StageState.STARTED, StageAction.FINISH): StageState.FINISHED,
    (MenuQueueMode.ON, StageState.READY, StageAction.ABANDON): StageState.ABANDONED,
    (MenuQueueMode.ON, StageState.STARTED, StageAction.ABANDON): StageState.ABANDONED,
    (MenuQueueMode.ON, StageState.READY, StageAction.CANCEL): StageState.CANCELLED,
    # It has settled when it was bought: there is nothing to start, to give back or to cancel.
    (MenuQueueMode.OFF, StageState.READY, StageAction.FINISH): StageState.FINISHED,
}
"""A miss is the refusal: STAGE_WRONG_STATE."""

_DONE: Final = {
    StageAction.START: StageState.STARTED,
    StageAction.FINISH: StageState.FINISHED,
    StageAction.ABANDON: StageState.ABANDONED,
    StageAction.CANCEL: StageState.CANCELLED,
}


def decide(
    item: StageItem, action: StageAction, terms: AbandonTerms | None = None
) -> Move | Repeat | Refusal:
    """What `action` makes of the item. `terms`: of an ABANDON, and of nothing else. Whether it is
    the item's turn is `may_start`'s. Refused: STAGE_WRONG_STATE, also for an abandon on other terms
    than the first; INVALID_FIELD."""
    if terms is not None and (refusal := _refuse_terms(item, terms)) is not None:
        return refusal
    if item.state is _DONE[action] and item.terms == terms:
        return Repeat()
    after = _MOVES.get((item.queue_mode, item.state, action))
    if after is None:
        return Refusal(ErrorCode.STAGE_WRONG_STATE)
    return Move(item.state, after, _owed(item, action, terms), terms)


def moved(item: StageItem, move: Move, at: datetime) -> StageItem:
    """The item after its move."""
    return msgspec.structs.replace(
        item,
        state=move.after,
        settled=item.settled
        or (move.payment is not None and move.payment.kind is PaymentKind.SETTLE),
        started_at=at if move.after is StageState.STARTED else item.started_at,
        terms=move.terms,
    )


def _refuse_terms(item: StageItem, terms: AbandonTerms) -> Refusal | None:
    if (terms.tokens is None) is (terms.kind is AbandonKind.PARTIAL_REFUND):
        detail = "`tokens` belongs to a PARTIAL_REFUND."
        return Refusal(ErrorCode.INVALID_FIELD, "tokens", detail)
    if terms.tokens is not None and terms.tokens > item.tokens:
        return Refusal(ErrorCode.INVALID_FIELD, "tokens", "More than was paid.")
    return None


def _owed(item: StageItem, action: StageAction, terms: AbandonTerms | None) -> Payment | None:
    match action:
        case StageAction.START:
            return Payment(PaymentKind.SETTLE) if item.drives_toy else None
        case StageAction.FINISH:
            return None if item.settled else Payment(PaymentKind.SETTLE)
        case StageAction.CANCEL:
            return Payment(PaymentKind.RELEASE)
        case StageAction.ABANDON:
            assert terms is not None
            return _owed_by_abandon(item, terms)


def _owed_by_abandon(item: StageItem, terms: AbandonTerms) -> Payment | None:
    match terms.kind:
        case AbandonKind.FULL_REFUND:
            back = item.tokens
        case AbandonKind.FULL_SETTLE:
            back = 0
        case AbandonKind.PARTIAL_REFUND:
            assert terms.tokens is not None
            back = terms.tokens
    if item.settled:
        return Payment(PaymentKind.REFUND, back) if back else None
    if back == item.tokens:
        return Payment(PaymentKind.RELEASE)
    return Payment(PaymentKind.SETTLE, back)


# ---- whose turn it is ------------------------------------------------------------------------


class Place(msgspec.Struct, frozen=True):
    """Where an item that waits stands: `position` from 1, `wait_s` the durations ahead of it."""

    purchase_id: UUID
    position: int
    wait_s: float


L = TypeVar("L", bound=InLine)


def performed(items: tuple[L, ...]) -> L | None:
    """The one that is STARTED."""
    return next((item for item in items if item.state is StageState.STARTED), None)


def line_up(items: tuple[L, ...], order: StageOrder) -> list[L]:
    """Those that wait, the next one first."""
    waiting = sorted(
        (item for item in items if item.state is StageState.READY),
        key=lambda item: (item.ready_at, item.purchase_id),
    )
    match order:
        case StageOrder.FIFO:
            return waiting
        case StageOrder.PRIORITY:
            return sorted(waiting, key=lambda item: -item.tokens)
        case StageOrder.BATCH:
            now = performed(items)
            batches: dict[str, list[L]] = {} if now is None else {now.item_id: []}
            for item in waiting:
                batches.setdefault(item.item_id, []).append(item)
            return [item for batch in batches.values() for item in batch]


def places(items: tuple[InLine, ...], order: StageOrder, now: datetime) -> list[Place]:
    """Of those that wait, the next one first. Of what is performed the rest counts."""
    wait_s = 0.0
    current = performed(items)
    if current is not None and current.started_at is not None:
        ends_at = current.started_at + timedelta(seconds=current.duration_sec)
        wait_s = max(0.0, (ends_at - now).total_seconds())
    found = []
    for position, item in enumerate(line_up(items, order), start=1):
        found.append(Place(item.purchase_id, position, wait_s))
        wait_s += item.duration_sec
    return found


def may_start(items: tuple[InLine, ...], order: StageOrder, purchase_id: UUID) -> Refusal | None:
    """None if it is this item's turn. Refused: STAGE_BUSY, while another is performed;
    STAGE_NOT_NEXT."""
    if performed(items) is not None:
        return Refusal(ErrorCode.STAGE_BUSY)
    line = line_up(items, order)
    if not line or line[0].purchase_id != purchase_id:
        return Refusal(ErrorCode.STAGE_NOT_NEXT)
    return None


# ---- health ----------------------------------------------------------------------------------


class HealthStatus(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class StageHealth(msgspec.Struct, frozen=True, rename="camel"):
    """`capacityPercent`: how full the fullest stage is. `failuresLastHour`: attempts to move
    tokens that failed. `unreviewedDeadLetters`: those that nobody has decided."""

    status: HealthStatus
    capacity_percent: Annotated[int, Meta(ge=0)]
    failures_last_hour: Annotated[int, Meta(ge=0)]
    unreviewed_dead_letters: Annotated[int, Meta(ge=0)]


_DEGRADED_OVER: Final = (70, 50, 20)
_UNHEALTHY_OVER: Final = (90, 100, 50)


def health(
    capacity_percent: int, failures_last_hour: int, unreviewed_dead_letters: int
) -> StageHealth:
    """By the thresholds of spec 5: one that is exceeded is enough."""
    measured = (capacity_percent, failures_last_hour, unreviewed_dead_letters)
    status = HealthStatus.HEALTHY
    if any(value > bound for value, bound in zip(measured, _DEGRADED_OVER, strict=True)):
        status = HealthStatus.DEGRADED
    if any(value > bound for value, bound in zip(measured, _UNHEALTHY_OVER, strict=True)):
        status = HealthStatus.UNHEALTHY
    return StageHealth(status, *measured)


# ---- what buyers and models are shown ---------------------------------------------------------


class PurchaseReceipt(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer to a purchase; a repeat gets the same. `balance`: the buyer's tokens right after
    it. `position` and `waitSec`: on the stage; null where the item settled at once."""

    purchase_id: UUID
    item_id: Id
    item_name: str
    tokens: int
    balance: int
    queue_mode: MenuQueueMode
    position: int | None
    wait_sec: float | None
    purchased_at: datetime
