"""One model's stage as a pure step: what was asked, what is due, who is told. Read `step`.

Moves are single file: what is asked while one is being stored waits for it, so that each is decided
on what the database has. The rules of a move are protocol/stage.py's.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from actors.runtime.moment import Moment
from actors.stage.messages import (
    SYSTEM,
    Act,
    Answer,
    ChangeOrder,
    Effect,
    Joined,
    ModelPresent,
    Pay,
    StageMessage,
    StoreMove,
    StoreOrder,
    Tell,
    _Due,
    _OrderStored,
    _Stored,
)
from actors.stage.ports import StageRecord
from protocol.errors import Refusal
from protocol.frames import StageChanged, StageEntry, StageNear, StagePlace
from protocol.performance_menu import MenuQueueMode
from protocol.stage import (
    ENDED,
    FULL_REFUND,
    GRACE_S,
    NEAR_POSITION,
    PATIENCE_S,
    AbandonKind,
    Place,
    Repeat,
    StageAction,
    StageItem,
    StageOrder,
    StageState,
    decide,
    may_start,
    moved,
    performed,
    places,
)


@dataclass(slots=True)
class Stage:
    model_id: str
    order: StageOrder
    items: dict[UUID, StageItem]
    """READY and STARTED ones."""
    last_moved_at: datetime | None
    absent_since: datetime | None
    """None: the model's page is open."""
    storing: Act | ChangeOrder | None = None
    waiting: deque[Act | ChangeOrder] = field(default_factory=deque)
    told: dict[UUID, tuple[int, float]] = field(default_factory=dict)
    """Position and durations ahead, as the buyers know them."""
    near: set[UUID] = field(default_factory=set)
    """Whose buyers know that they are near."""
    changed: bool = False
    """There is something to tell."""

    @property
    def on_stage(self) -> tuple[StageItem, ...]:
        return tuple(self.items.values())

    @property
    def at_rest(self) -> bool:
        """Nothing is here and nothing is under way."""
        return not (self.items or self.storing or self.waiting)


def new_stage(record: StageRecord, present: bool, now: Moment) -> Stage:
    """A stage as the database has it. A model who is not here has her grace time from now."""
    return Stage(
        model_id=record.model_id,
        order=record.order,
        items={item.purchase_id: item for item in record.items},
        last_moved_at=record.last_moved_at,
        absent_since=None if present else now.utc,
        changed=bool(record.items),
    )


def step(stage: Stage, message: StageMessage, now: Moment) -> list[Effect]:
    """Apply one message, then all that is due: no I/O, no waiting."""
    effects = _apply(stage, message, now)
    while stage.storing is None:
        if not stage.waiting:
            stage.waiting.extend(_overdue(stage, now))
            if not stage.waiting:
                break
        effects += _begin(stage, stage.waiting.popleft())
    return effects + _tell(stage, now)


def _apply(stage: Stage, message: StageMessage, now: Moment) -> list[Effect]:
    match message:
        case Joined(item):
            if item.purchase_id not in stage.items and item.state is StageState.READY:
                stage.items[item.purchase_id] = item
                stage.changed = True
        case Act() | ChangeOrder():
            stage.waiting.append(message)
        case ModelPresent(present):
            if present:
                stage.absent_since = None
            elif stage.absent_since is None:
                stage.absent_since = now.utc
        case _Stored():
            return _stored(stage, message)
        case _OrderStored(command):
            if stage.storing is command:
                stage.storing, stage.order, stage.changed = None, command.order, True
                return [Answer(command.reply_to, None)]
        case _Due():
            pass
        case _:
            assert_never(message)
    return []


# ---- moves -----------------------------------------------------------------------------------


def _begin(stage: Stage, command: Act | ChangeOrder) -> list[Effect]:
    if isinstance(command, ChangeOrder):
        stage.storing = command
        return [StoreOrder(command)]
    item = stage.items.get(command.purchase_id, command.item)
    decision = decide(item, command.action, command.terms)
    if isinstance(decision, Repeat):
        return _answer(command, None)
    if isinstance(decision, Refusal):
        return _answer(command, decision)
    if command.action is StageAction.START and item.purchase_id in stage.items:
        refusal = may_start(stage.on_stage, stage.order, command.purchase_id)
        if refusal is not None:
            return _answer(command, refusal)
    stage.storing = command
    return [StoreMove(command, decision)]


def _stored(stage: Stage, message: _Stored) -> list[Effect]:
    act, move = message.act, message.move
    if stage.storing is not act:
        return []  # an earlier life asked for it; this one has read what came of it
    stage.storing = None
    if isinstance(message.outcome, Refusal):
        return _disagree(stage, message)
    before = stage.items.get(act.purchase_id, act.item)
    item = moved(before, move, message.outcome)
    effects = _answer(act, None)
    if move.payment is not None:
        effects.append(Pay(item.purchase_id))
    if item.queue_mode is MenuQueueMode.OFF:
        return effects
    _put(stage, item)
    stage.last_moved_at = message.outcome
    return [*effects, Tell(item.user_id, _place(item))]


def _disagree(stage: Stage, message: _Stored) -> list[Effect]:
    """The database has something else: it is right."""
    assert isinstance(message.outcome, Refusal)
    if message.item is None:
        return _answer(message.act, message.outcome)
    _put(stage, message.item)
    again = decide(message.item, message.act.action, message.act.terms)
    return _answer(message.act, None if isinstance(again, Repeat) else message.outcome)


def _put(stage: Stage, item: StageItem) -> None:
    stage.changed = True
    stage.told.pop(item.purchase_id, None)
    stage.near.discard(item.purchase_id)
    if item.state in ENDED or item.queue_mode is MenuQueueMode.OFF:
        stage.items.pop(item.purchase_id, None)
    else:
        stage.items[item.purchase_id] = item


def _answer(act: Act, result: Refusal | None) -> list[Effect]:
    return [] if act.reply_to is None else [Answer(act.reply_to, result)]


# ---- what falls due --------------------------------------------------------------------------


def _overdue(stage: Stage, now: Moment) -> list[Act]:
    return [
        Act(stage.items[purchase_id], StageAction.ABANDON, SYSTEM, FULL_REFUND)
        for purchase_id, due in _deadlines(stage).items()
        if due <= now.utc
    ]


def _deadlines(stage: Stage) -> dict[UUID, datetime]:
    """When the system gives up on what. The stage stands still only while nothing is performed:
    who waits behind others that are performed is not thrown out."""
    current = performed(stage.on_stage)
    if current is not None:
        if stage.absent_since is None:
            return {}
        return {current.purchase_id: stage.absent_since + timedelta(seconds=GRACE_S)}
    patience = timedelta(seconds=PATIENCE_S)
    return {
        item.purchase_id: max(item.ready_at, stage.last_moved_at or item.ready_at) + patience
        for item in stage.on_stage
    }


def next_due_s(stage: Stage, now: Moment) -> float:
    """When the stage wants a step although nobody has told it anything (trio's clock)."""
    due = min(_deadlines(stage).values(), default=None)
    if due is None or stage.storing is not None:
        return float("inf")
    return now.clock_s + max(0.0, (due - now.utc).total_seconds())


# ---- what people are told --------------------------------------------------------------------


def _tell(stage: Stage, now: Moment) -> list[Effect]:
    """After a change: each buyer the own place, if it is another than he knows; the model all of
    them. Who joins behind fifty others is no news to these."""
    if not stage.changed:
        return []
    stage.changed = False
    line = places(stage.on_stage, stage.order, now.utc)
    effects: list[Effect] = []
    current = performed(stage.on_stage)
    ahead_s: float = 0 if current is None else current.duration_sec
    for place in line:
        item = stage.items[place.purchase_id]
        # Not `wait_s`, which grows shorter all the while.
        known, ahead_s = (place.position, ahead_s), ahead_s + item.duration_sec
        if stage.told.get(item.purchase_id) == known:
            continue
        stage.told[item.purchase_id] = known
        effects.append(Tell(item.user_id, _place(item, place)))
        if place.position == NEAR_POSITION and item.purchase_id not in stage.near:
            stage.near.add(item.purchase_id)
            near = StageNear(str(item.purchase_id), item.item_name, place.wait_s)
            effects.append(Tell(item.user_id, near))
    return [*effects, Tell(stage.model_id, view(stage.on_stage, stage.order, line))]


def view(items: tuple[StageItem, ...], order: StageOrder, line: list[Place]) -> StageChanged:
    """As the model sees it. `line`: the places of those that wait."""
    by_id = {item.purchase_id: item for item in items}
    current = performed(items)
    entries = [] if current is None else [_entry(current, None)]
    entries += [_entry(by_id[place.purchase_id], place) for place in line]
    return StageChanged(order, tuple(entries))


def _entry(item: StageItem, place: Place | None) -> StageEntry:
    return StageEntry(
        purchase_id=str(item.purchase_id),
        username=item.username,
        item_name=item.item_name,
        tokens=item.tokens,
        drives_toy=item.drives_toy,
        duration_sec=item.duration_sec,
        state=item.state,
        position=None if place is None else place.position,
        wait_sec=None if place is None else place.wait_s,
    )


def _place(item: StageItem, place: Place | None = None) -> StagePlace:
    return StagePlace(
        purchase_id=str(item.purchase_id),
        item_name=item.item_name,
        state=item.state,
        position=None if place is None else place.position,
        wait_sec=None if place is None else place.wait_s,
        refunded=_refunded(item),
    )


def _refunded(item: StageItem) -> int | None:
    match item.state:
        case StageState.FINISHED:
            return 0
        case StageState.CANCELLED:
            return item.tokens
        case StageState.ABANDONED:
            assert item.terms is not None
            match item.terms.kind:
                case AbandonKind.FULL_REFUND:
                    return item.tokens
                case AbandonKind.FULL_SETTLE:
                    return 0
                case AbandonKind.PARTIAL_REFUND:
                    return item.terms.tokens
        case _:
            return None
