"""From a settled tip to its toys: queue, dispatch, acknowledgement, retry, stop (spec 3).

Read `activate`, then `advance`, which is called after every step and whenever something falls
due. Every target of every activation ends in exactly one final state, and is audited at each step.

Rules that are easy to miss:
- The activation's slot is held by the model's toy alone: her toy is never sent two overlapping
  commands. A page may start a command as late as its `expiresAt`, so until it says when its toy
  began the slot counts from there; after a stop that no vendor call could carry out it holds on.
- A viewer's toy that has not answered when the next activation starts has missed its moment
  (EXPIRED): nothing starts late.
- A commandId depends on tip and target only. So a retry, a reload of the page and a restart of
  the server all name the same command, and the page runs it once.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final, Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec

from actors.room.activation_queue import Activation
from actors.room.effects import Effect, Publish, Send, WriteAudit
from actors.room.state import (
    FINISHED_TIPS_MAX,
    MODEL_RETURN_WINDOW_S,
    Context,
    Outstanding,
    Playing,
    RoomState,
    Unfinished,
)
from protocol import frames
from protocol.audit import FINAL_STATES, Reason, TargetRecord, TargetState
from protocol.lovense import VIEWER_STOP, Fitted, model_call, model_stop_call, viewer_call
from protocol.routing import recheck
from protocol.tip_activated import ModelToy, Target, TipActivated, parse_timestamp, target_type

ANSWER_TIMEOUT_S: Final = 5.0
"""No answer in this time counts as TIMEOUT; also how long a page may wait before it starts."""
RETRY_DELAYS_S: Final = (2.0, 4.0)
ATTEMPTS_MAX: Final = 3


# ---- a new event -----------------------------------------------------------------------------


def activate(state: RoomState, ctx: Context, event: TipActivated) -> list[Effect]:
    """Take one TipActivated: announce it, queue its targets. A repeat does nothing."""
    if event.tip_id in state.finished or event.tip_id in state.unfinished:
        return []
    notice = frames.TipNotice(
        state.epoch,
        state.next_offset(),
        username=event.tipper.username,
        amount=event.transaction.amount,
        item_name=event.item.item_name,
        description_public=event.item.description_public,
        timestamp=event.timestamp,
    )
    return [Publish(notice), *_enqueue(state, ctx, event)]


def restore(
    state: RoomState, ctx: Context, event: TipActivated, records: Iterable[TargetRecord]
) -> list[Effect]:
    """Take up an event that an earlier life of this room did not finish, or did not even see."""
    state.finished.pop(event.tip_id, None)  # the database knows better
    records = list(records)
    if not records:
        return activate(state, ctx, event)
    done = frozenset(
        (record.target_type, record.target_id) for record in records if record.state in FINAL_STATES
    )
    return _enqueue(state, ctx, event, done, again=True)


def _enqueue(
    state: RoomState,
    ctx: Context,
    event: TipActivated,
    done: frozenset[tuple[str, str]] = frozenset(),
    again: bool = False,
) -> list[Effect]:
    activation = Activation(event, parse_timestamp(event.timestamp), done)
    targets = _open_targets(activation)
    state.unfinished[event.tip_id] = Unfinished(event.tipper.user_id, len(targets))
    if not targets:
        reason = Reason.NO_VIBRATION if event.item.vibration is None else Reason.LOVENSE_DISABLED
        nobody = ModelToy(event.model.model_id)
        records = () if done else (_record(ctx, event, nobody, 0, TargetState.SKIPPED, reason),)
        return _finish(state, event.tip_id, records)
    if state.broadcast is None or state.broadcast.broadcast_id != event.room.broadcast_id:
        return _close_all(state, ctx, activation, TargetState.SKIPPED, Reason.BROADCAST_ENDED)
    if again:
        state.queue.add_again(activation)
    elif not state.queue.add(activation):
        return _close_all(state, ctx, activation, TargetState.DEAD, Reason.QUEUE_FULL)
    return [
        WriteAudit(tuple(_record(ctx, event, each, 0, TargetState.QUEUED) for each in targets), ())
    ]


# ---- time passes -----------------------------------------------------------------------------


def advance(state: RoomState, ctx: Context) -> list[Effect]:
    """Do all that is due now: time out, retry, end, expire, start. Idempotent at one moment."""
    effects = _run_deadlines(state, ctx)
    if not state.platform.enable_lovense:
        for activation in state.queue.take_all():
            effects += _close_all(
                state, ctx, activation, TargetState.SKIPPED, Reason.LOVENSE_DISABLED
            )
    for activation in state.queue.take_expired(ctx.now.utc):
        effects += _close_all(state, ctx, activation, TargetState.EXPIRED, Reason.WAITED_TOO_LONG)
    while True:
        _end_playing(state, ctx)
        start_at_s = _next_start_s(state, ctx)
        if start_at_s is None or start_at_s > ctx.now.clock_s:
            return effects
        effects += _start(state, ctx, state.queue.take())


def next_due_s(state: RoomState, ctx: Context) -> float:
    """When `advance` has something to do again (trio's clock), if nothing else happens."""
    # A moment that has passed since the last step counts: `advance` has it still to do.
    times = [state.deadlines[0][0]] if state.deadlines else []
    if state.playing is not None and not _waits_for_model(state, state.playing):
        times.append(state.playing.ends_at_s)
    start_at_s = _next_start_s(state, ctx)
    if start_at_s is not None:
        times.append(start_at_s)
    expires_at_utc = state.queue.expires_at_utc
    if expires_at_utc is not None:
        times.append(ctx.now.clock_s + (expires_at_utc - ctx.now.utc).total_seconds())
    return min(times, default=float("inf"))


def _next_start_s(state: RoomState, ctx: Context) -> float | None:
    """When the head of the queue starts; None while something other than time holds it."""
    if state.playing is not None:
        return None
    start_at_s = state.queue.next_start_s(
        ctx.now.clock_s, state.platform.lovense_rate_limit_per_min
    )
    if start_at_s is None:
        return None
    if state.queue.head_tip_id != state.model_toy_tip_id:
        start_at_s = max(start_at_s, state.model_toy_rests_at_s)
    page = state.model_page
    if page is not None and page.ready:
        return start_at_s
    return max(start_at_s, state.model_unready_since_s + MODEL_RETURN_WINDOW_S)


def _end_playing(state: RoomState, ctx: Context) -> None:
    """Free the slot once the toys are at rest and the model's command is settled."""
    playing = state.playing
    if playing is None or playing.ends_at_s > ctx.now.clock_s:
        return
    if not _waits_for_model(state, playing):
        state.playing = None


def _waits_for_model(state: RoomState, playing: Playing) -> bool:
    """Whether her toy's command has no final state yet."""
    return playing.model_command in state.outstanding


def _start(state: RoomState, ctx: Context, activation: Activation) -> list[Effect]:
    effects: list[Effect] = []
    for late in list(state.outstanding.values()):
        effects += _close(state, ctx, late, TargetState.EXPIRED, Reason.MOMENT_PASSED)
    playing = Playing(activation, ctx.now.clock_s)
    sent = False
    snapshot = state.snapshot()
    for target in _open_targets(activation):
        reason = recheck(target, snapshot)
        if reason is not None:
            effects += _drop(state, ctx, activation, target, reason)
            continue
        outstanding = Outstanding(
            command_id=_command_id(activation.tip_id, target),
            activation=activation,
            target=target,
            attempt=0,
            session_id=None,
            deadline_s=ctx.now.clock_s,
            resting=True,
            seconds=activation.duration_s,
        )
        effects += _send(state, ctx, outstanding, playing)
        sent = sent or outstanding.attempt > 0
    if sent:
        state.playing = playing
        state.queue.started(ctx.now.clock_s)
        unfinished = state.unfinished[activation.tip_id]
        unfinished.played = True
        effects += _tell_tipper(state, unfinished, activation.tip_id, "playing")
    return effects


# ---- one command -----------------------------------------------------------------------------


def _send(
    state: RoomState, ctx: Context, outstanding: Outstanding, playing: Playing | None
) -> list[Effect]:
    """One attempt: the call as the target's page and toy are now, to that page."""
    event = outstanding.activation.event
    session_id, fitted = _call_for(state, event, outstanding.target)
    if session_id is None or fitted.call is None:
        reason = fitted.reason or Reason.NOT_PRESENT
        state.outstanding.pop(outstanding.command_id, None)
        return _drop(state, ctx, outstanding.activation, outstanding.target, reason)
    outstanding.attempt += 1
    outstanding.session_id = session_id
    outstanding.resting = False
    outstanding.accepted = False
    outstanding.seconds = fitted.seconds
    state.outstanding[outstanding.command_id] = outstanding
    _set_deadline(state, outstanding, ctx.now.clock_s + ANSWER_TIMEOUT_S)
    if playing is not None:
        _sent(playing, outstanding, ctx)
    assert event.item.vibration is not None
    command = frames.Command(
        command_id=outstanding.command_id,
        tip_id=event.tip_id,
        attempt=outstanding.attempt,
        call=fitted.call,
        duration_sec=event.item.vibration.duration_sec,
        expires_at=ctx.now.epoch_ms + int(ANSWER_TIMEOUT_S * 1000),
    )
    record = _record(
        ctx, event, outstanding.target, outstanding.attempt, TargetState.SENT, fitted=fitted
    )
    return [Send(session_id, command), WriteAudit((record,), ())]


def _call_for(state: RoomState, event: TipActivated, target: Target) -> tuple[int | None, Fitted]:
    vibration = event.item.vibration
    assert vibration is not None, "an event without a vibration has no targets"
    if isinstance(target, ModelToy):
        page = state.model_page
        assert page is not None, "checked just before"
        call = model_call(
            page.integration,
            vibration,
            page.level_map,
            event.transaction.amount,
            event.tipper.username,
        )
        return page.session_id, call
    session = state.viewers[target.user_id].toy_session
    assert session is not None, "checked just before"
    return session.session_id, viewer_call(vibration, session.toys)


def _sent(playing: Playing, outstanding: Outstanding, ctx: Context) -> None:
    """The moment lasts until the toy, which may start late, is at rest."""
    rests_at_s = ctx.now.clock_s + outstanding.seconds
    if isinstance(outstanding.target, ModelToy):
        playing.model_command = outstanding.command_id
        playing.model_rests_at_s = rests_at_s + ANSWER_TIMEOUT_S
    else:
        playing.viewers_rest_at_s = max(playing.viewers_rest_at_s, rests_at_s)


def _reacted(playing: Playing, outstanding: Outstanding, ctx: Context) -> None:
    """The toy has begun by now."""
    rests_at_s = ctx.now.clock_s + outstanding.seconds
    if isinstance(outstanding.target, ModelToy):
        playing.model_rests_at_s = rests_at_s
    else:
        playing.viewers_rest_at_s = max(playing.viewers_rest_at_s, rests_at_s)


def accepted(state: RoomState, ctx: Context, session_id: int, command_id: str) -> list[Effect]:
    """The page has the command; its toy gets the same time again to show that it reacts, once
    per attempt: a page cannot hold the room's queue by repeating itself."""
    outstanding = _answered_by(state, session_id, command_id)
    if outstanding is not None and not outstanding.accepted:
        outstanding.accepted = True
        outstanding.session_id = session_id
        outstanding.resting = False
        _set_deadline(state, outstanding, ctx.now.clock_s + ANSWER_TIMEOUT_S)
    return []


def activated(state: RoomState, ctx: Context, session_id: int, command_id: str) -> list[Effect]:
    outstanding = _answered_by(state, session_id, command_id)
    if outstanding is None:
        return []
    playing = _moment_of(state, outstanding)
    if playing is not None:
        _reacted(playing, outstanding, ctx)
    return _close(state, ctx, outstanding, TargetState.ACTIVATED)


def failed(
    state: RoomState, ctx: Context, session_id: int, command_id: str, code: str
) -> list[Effect]:
    outstanding = _answered_by(state, session_id, command_id)
    if outstanding is None:
        return []
    playing = _moment_of(state, outstanding)
    if playing is not None and isinstance(outstanding.target, ModelToy):
        playing.model_rests_at_s = None  # it does not run: the slot is the viewers'
    return _close(state, ctx, outstanding, TargetState.FAILED, Reason.PAGE_REPORTED, code)


def _moment_of(state: RoomState, outstanding: Outstanding) -> Playing | None:
    """The moment that the command belongs to, while it lasts."""
    playing = state.playing
    return playing if playing and playing.activation is outstanding.activation else None


def _answered_by(state: RoomState, session_id: int, command_id: str) -> Outstanding | None:
    """The command, if this session's user is its target. Answers about others' commands, and
    about commands that are over, are ignored."""
    outstanding = state.outstanding.get(command_id)
    if outstanding is None:
        return None
    if isinstance(outstanding.target, ModelToy):
        page = state.model_page
        return outstanding if page is not None and page.session_id == session_id else None
    owner = state.users_by_session.get(session_id)
    return outstanding if owner == outstanding.target.user_id else None


def _run_deadlines(state: RoomState, ctx: Context) -> list[Effect]:
    effects: list[Effect] = []
    while state.deadlines and state.deadlines[0][0] <= ctx.now.clock_s:
        deadline_s, command_id = heappop(state.deadlines)
        each = state.outstanding.get(command_id)
        if each is None or each.deadline_s != deadline_s:
            continue  # the command is over, or its deadline was moved
        effects += (_try_again if each.resting else _time_out)(state, ctx, each)
    return effects


def _set_deadline(state: RoomState, outstanding: Outstanding, deadline_s: float) -> None:
    outstanding.deadline_s = deadline_s
    heappush(state.deadlines, (deadline_s, outstanding.command_id))


def _time_out(
    state: RoomState, ctx: Context, outstanding: Outstanding, reason: Reason = Reason.NO_ANSWER
) -> list[Effect]:
    event, target, attempt = outstanding.activation.event, outstanding.target, outstanding.attempt
    record = _record(ctx, event, target, attempt, TargetState.TIMEOUT, reason)
    effects: list[Effect] = [WriteAudit((record,), ())]
    if attempt >= ATTEMPTS_MAX:
        return effects + _close(state, ctx, outstanding, TargetState.DEAD, reason)
    outstanding.resting = True
    delay_s = ctx.chance.jitter(RETRY_DELAYS_S[attempt - 1])
    _set_deadline(state, outstanding, ctx.now.clock_s + delay_s)
    return effects


def _try_again(state: RoomState, ctx: Context, outstanding: Outstanding) -> list[Effect]:
    """The next attempt. A target that is away, or is back and has yet to report its toys, keeps
    its turn until the attempts are used up: who leaves and returns within that time gets the
    command."""
    reason = recheck(outstanding.target, state.snapshot())
    if reason in (Reason.NOT_PRESENT, Reason.NO_TOY):
        outstanding.attempt += 1
        return _time_out(state, ctx, outstanding, reason)
    if reason is not None:
        return _close(state, ctx, outstanding, TargetState.SKIPPED, reason)
    return _send(state, ctx, outstanding, _moment_of(state, outstanding))


def returned(state: RoomState, ctx: Context, owner_id: str) -> list[Effect]:
    """A page that was gone is back and has reported its toys: what it still owes is sent again,
    at once, under the same commandId."""
    effects: list[Effect] = []
    for each in list(state.outstanding.values()):
        if each.target.owner_id != owner_id or _still_there(state, each):
            continue
        if each.attempt < ATTEMPTS_MAX:
            effects += _try_again(state, ctx, each)
    return effects


def _still_there(state: RoomState, outstanding: Outstanding) -> bool:
    """Whether the page that has the command is still connected."""
    if isinstance(outstanding.target, ModelToy):
        page = state.model_page
        return page is not None and page.session_id == outstanding.session_id
    return outstanding.session_id in state.users_by_session


# ---- stop ------------------------------------------------------------------------------------


def stop_all(state: RoomState, ctx: Context) -> list[Effect]:
    """Every toy in the room stops now; what was under way is over. Where no call can stop the
    model's toy it plays on to its end, and nothing else starts on it before."""
    effects: list[Effect] = []
    stopped = False
    page = state.model_page
    if page is not None:
        call = model_stop_call(page.integration, page.level_map, state.model_display_name)
        effects.append(Send(page.session_id, frames.ToysStopped(call)))
        stopped = call is not None
    for viewer in state.viewers.values():
        effects += [
            Send(each.session_id, frames.ToysStopped(VIEWER_STOP))
            for each in viewer.sessions.values()
            if each.toy_connected
        ]
    for outstanding in list(state.outstanding.values()):
        effects += _close(state, ctx, outstanding, TargetState.FAILED, Reason.STOPPED)
    if stopped:
        state.model_toy_rests_at_s = ctx.now.clock_s
    elif state.playing is not None and state.playing.model_rests_at_s is not None:
        state.model_toy_rests_at_s = state.playing.model_rests_at_s
        state.model_toy_tip_id = state.playing.activation.tip_id
    state.playing = None
    return effects


def stop_viewer(state: RoomState, ctx: Context, user_id: str) -> list[Effect]:
    """One viewer's toys stop, on all tabs."""
    viewer = state.viewers[user_id]
    effects: list[Effect] = [
        Send(session_id, frames.ToysStopped(VIEWER_STOP)) for session_id in viewer.sessions
    ]
    for outstanding in list(state.outstanding.values()):
        if outstanding.target.owner_id == user_id and not isinstance(outstanding.target, ModelToy):
            effects += _close(state, ctx, outstanding, TargetState.FAILED, Reason.STOPPED)
    return effects


def end_all(state: RoomState, ctx: Context) -> list[Effect]:
    """The broadcast is over: nothing of it starts any more."""
    effects = stop_all(state, ctx)
    for activation in state.queue.take_all():
        effects += _close_all(state, ctx, activation, TargetState.SKIPPED, Reason.BROADCAST_ENDED)
    return effects


# ---- final states ----------------------------------------------------------------------------


def _close(
    state: RoomState,
    ctx: Context,
    outstanding: Outstanding,
    final: TargetState,
    reason: Reason | None = None,
    code: str | None = None,
) -> list[Effect]:
    """One sent command reaches its final state."""
    del state.outstanding[outstanding.command_id]
    event = outstanding.activation.event
    record = _record(ctx, event, outstanding.target, outstanding.attempt, final, reason, code)
    return _target_done(state, event.tip_id, record)


def _drop(
    state: RoomState, ctx: Context, activation: Activation, target: Target, reason: Reason
) -> list[Effect]:
    """One target is not sent to after all."""
    record = _record(ctx, activation.event, target, 0, TargetState.SKIPPED, reason)
    return _target_done(state, activation.tip_id, record)


def _close_all(
    state: RoomState, ctx: Context, activation: Activation, final: TargetState, reason: Reason
) -> list[Effect]:
    """An activation that never started ends, with all of its targets."""
    records = tuple(
        _record(ctx, activation.event, target, 0, final, reason)
        for target in _open_targets(activation)
    )
    return _finish(state, activation.tip_id, records)


def _target_done(state: RoomState, tip_id: str, record: TargetRecord) -> list[Effect]:
    unfinished = state.unfinished[tip_id]
    unfinished.targets_open -= 1
    if unfinished.targets_open == 0:
        return _finish(state, tip_id, (record,))
    return [WriteAudit((record,), ())]


def _finish(state: RoomState, tip_id: str, records: tuple[TargetRecord, ...]) -> list[Effect]:
    unfinished = state.unfinished.pop(tip_id)
    state.finished[tip_id] = None
    if len(state.finished) > FINISHED_TIPS_MAX:
        del state.finished[next(iter(state.finished))]
    effects: list[Effect] = [WriteAudit(records, (tip_id,))]
    if unfinished.played:
        return effects + _tell_tipper(state, unfinished, tip_id, "done")
    reason = records[-1].reason if records else None
    return effects + _tell_tipper(state, unfinished, tip_id, "not_played", reason)


# ---- what the model and the tippers see of it ------------------------------------------------


def report(state: RoomState, ctx: Context) -> list[Effect]:
    """The queue to the model, and to each waiting tipper the own place, where they changed."""
    playing = state.playing
    shape = (
        playing.activation.tip_id if playing else None,
        state.queue.head_tip_id,
        len(state.queue),
        state.queue.paused,
    )
    if shape == state.queue_reported:
        return []
    state.queue_reported = shape
    effects: list[Effect] = []
    for activation, position, wait_s in state.queue.forecast(_playing_for_s(state, ctx)):
        unfinished = state.unfinished[activation.tip_id]
        if unfinished.position != position:
            unfinished.position = position
            effects += _tell_tipper(state, unfinished, activation.tip_id, "queued", wait_s=wait_s)
    if state.model_page is not None:
        effects.append(Send(state.model_page.session_id, queue_view(state, ctx)))
    return effects


def queue_view(state: RoomState, ctx: Context) -> frames.QueueChanged:
    """The queue as the model sees it."""
    return frames.QueueChanged(
        waiting=len(state.queue),
        playing=state.playing.activation.tip_id if state.playing else None,
        paused=state.queue.paused,
        next_in_s=_playing_for_s(state, ctx) if len(state.queue) else None,
    )


def _playing_for_s(state: RoomState, ctx: Context) -> float:
    """As expected, not as feared: a page that has not answered yet is taken to start now."""
    playing = state.playing
    if playing is None:
        return 0.0
    late_s = ANSWER_TIMEOUT_S if _waits_for_model(state, playing) else 0.0
    return max(0.0, playing.ends_at_s - late_s - ctx.now.clock_s)


def _tell_tipper(
    state: RoomState,
    unfinished: Unfinished,
    tip_id: str,
    progress: Literal["queued", "playing", "done", "not_played"],
    reason: Reason | None = None,
    wait_s: float | None = None,
) -> list[Effect]:
    viewer = state.viewers.get(unfinished.tipper_id)
    if viewer is None:
        return []
    position = unfinished.position if progress == "queued" else None
    frame = frames.ActivationChanged(tip_id, progress, position, wait_s, reason)
    return [Send(session_id, frame) for session_id in viewer.sessions]


# ---- small parts -----------------------------------------------------------------------------


def _open_targets(activation: Activation) -> list[Target]:
    return [
        target
        for target in activation.event.routing.targets
        if (target_type(target), target.owner_id) not in activation.done
    ]


def _command_id(tip_id: str, target: Target) -> str:
    return str(uuid5(NAMESPACE_URL, f"{tip_id}/{target_type(target)}/{target.owner_id}"))


def _record(
    ctx: Context,
    event: TipActivated,
    target: Target,
    attempt: int,
    state: TargetState,
    reason: Reason | None = None,
    code: str | None = None,
    fitted: Fitted | None = None,
) -> TargetRecord:
    return TargetRecord(
        tip_id=event.tip_id,
        event_id=event.event_id,
        ledger_id=event.ledger.ledger_id,
        room_id=event.room.room_id,
        target_type=target_type(target),
        target_id=target.owner_id,
        attempt=attempt,
        state=state,
        reason=reason,
        code=code,
        call=None if fitted is None else msgspec.to_builtins(fitted.call),
        fit=None if fitted is None else msgspec.to_builtins(fitted.fit),
        at_utc=ctx.now.utc,
    )
