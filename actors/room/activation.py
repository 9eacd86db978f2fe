"""From a settled tip to its toys: take the event, queue it, start it in its turn (spec 3).

Read `activate`, then `advance`, which is called after every step that may change something and
whenever something falls due. Every target of every activation ends in exactly one final state, and
is audited at each step.

The other parts, each importing only from those named after it: `toy_stop`; `dispatch`, one
command with its answers and retries; `target_audit`, the final states; `queue_report`, what the
model and the tippers see; `slot`, the one activation that plays.

Rules that are easy to miss:
- The activation's slot is held by the model's toy alone: her toy is never sent two overlapping
  commands. A page may start a command as late as its `expiresAt`, so until it says when its toy
  began the slot counts from there; after a stop that no vendor call could carry out it holds on.
- In batch mode a toy gets one command for all tips that name it; it belongs to the first of them,
  and the others are MERGED into that tip.
- A viewer's toy that has not answered when the next activation starts has missed its moment
  (EXPIRED): nothing starts late.
- A commandId depends on tip and target only. So a retry, a reload of the page and a restart of
  the server all name the same command, and the page runs it once.
"""

from collections.abc import Iterable
from hashlib import sha1
from uuid import NAMESPACE_URL

from actors.ports import Requeued
from actors.room import dispatch, slot, toy_test
from actors.room.activation_queue import Activation, Requeue, activation_key
from actors.room.effects import Effect, Publish, WriteAudit
from actors.room.queue_report import tell_tipper
from actors.room.state import (
    MODEL_RETURN_WINDOW_S,
    Context,
    Outstanding,
    Playing,
    RoomState,
    Unfinished,
)
from actors.room.target_audit import (
    close_activation,
    close_command,
    drop_target,
    finish,
    merge_target,
    open_targets,
    target_step,
)
from protocol import frames
from protocol.audit import FINAL_STATES, Reason, TargetRecord, TargetState
from protocol.routing import recheck
from protocol.tip_activated import ModelToy, Target, TipActivated, parse_timestamp, target_type
from protocol.tip_menu import priority_of
from protocol.vibration import Vibration, cap, merge

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
    return [Publish(notice), *_enqueue_event(state, ctx, event)]


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
    sent_before = any(record.state is TargetState.SENT for record in records)
    return _enqueue_event(state, ctx, event, done, again=True, sent_before=sent_before)


def _enqueue_event(
    state: RoomState,
    ctx: Context,
    event: TipActivated,
    done: frozenset[tuple[str, str]] = frozenset(),
    again: bool = False,
    sent_before: bool = False,
) -> list[Effect]:
    activation = Activation(
        event, parse_timestamp(event.timestamp), _priority(state, event), done, sent_before
    )
    return _enqueue(state, ctx, activation, again)


def requeue(state: RoomState, ctx: Context, requeued: Requeued) -> list[Effect]:
    """One dead target of a tip, again in its turn; one that is known already changes nothing. Its
    page may have run the command: so it keeps its commandId, and plays for no other."""
    event, target = requeued.event, (requeued.target_type, requeued.target_id)
    everyone = {(target_type(each), each.owner_id) for each in event.routing.targets}
    activation = Activation(
        event,
        requeued.requeued_at_utc,
        _priority(state, event),
        frozenset(everyone - {target}),
        sent_before=True,
        requeue=Requeue(requeued.letter_id, requeued.number),
    )
    if activation.key in state.unfinished or activation.key in state.finished:
        return []
    return _enqueue(state, ctx, activation, again=True)


def restore_requeue(state: RoomState, ctx: Context, requeued: Requeued) -> list[Effect]:
    """Take up one that an earlier life of this room did not finish."""
    state.finished.pop(activation_key(requeued.event.tip_id, requeued.letter_id), None)
    return requeue(state, ctx, requeued)


def _priority(state: RoomState, event: TipActivated) -> int:
    return priority_of(event.transaction.amount, event.item.item_id, state.tip_menu)


def _enqueue(state: RoomState, ctx: Context, activation: Activation, again: bool) -> list[Effect]:
    event = activation.event
    targets = open_targets(activation)
    state.unfinished[activation.key] = Unfinished(event.tipper.user_id, len(targets))
    if not targets:
        reason = Reason.NO_VIBRATION if event.item.vibration is None else Reason.LOVENSE_DISABLED
        nobody = ModelToy(event.model.model_id)
        steps = (
            ()
            if activation.done
            else (target_step(ctx, activation, nobody, 0, TargetState.SKIPPED, reason),)
        )
        return finish(state, activation, steps)
    if state.broadcast is None or state.broadcast.broadcast_id != event.room.broadcast_id:
        return close_activation(state, ctx, activation, TargetState.SKIPPED, Reason.BROADCAST_ENDED)
    if again:
        state.queue.add_again(activation)
    elif not state.queue.add(activation):
        return close_activation(state, ctx, activation, TargetState.DEAD, Reason.QUEUE_FULL)
    return [
        WriteAudit(
            tuple(target_step(ctx, activation, each, 0, TargetState.QUEUED) for each in targets),
            (),
        )
    ]


# ---- time passes -----------------------------------------------------------------------------


def advance(state: RoomState, ctx: Context) -> list[Effect]:
    """Do all that is due now: time out, retry, end, expire, start. Idempotent at one moment."""
    effects = dispatch.run_deadlines(state, ctx) + toy_test.run_deadline(state, ctx)
    if not state.platform.enable_lovense:
        for activation in state.queue.take_all():
            effects += close_activation(
                state, ctx, activation, TargetState.SKIPPED, Reason.LOVENSE_DISABLED
            )
    for activation in state.queue.take_expired(ctx.now.utc):
        effects += close_activation(
            state, ctx, activation, TargetState.EXPIRED, Reason.WAITED_TOO_LONG
        )
    while True:
        slot.end_playing(state, ctx)
        start_at_s = _next_start_s(state, ctx)
        if start_at_s is None or start_at_s > ctx.now.clock_s:
            return effects
        effects += _start(state, ctx, state.queue.take())


def next_due_s(state: RoomState, ctx: Context) -> float:
    """When `advance` has something to do again (trio's clock), if nothing else happens."""
    # A moment that has passed since the last step counts: `advance` has it still to do.
    times = [dispatch.next_deadline_s(state)]
    if state.toy_test is not None:
        times.append(state.toy_test.deadline_s)
    if state.playing is not None and not slot.waits_for_model(state, state.playing):
        times.append(state.playing.ends_at_s)
    start_at_s = _next_start_s(state, ctx)
    if start_at_s is not None:
        times.append(start_at_s)
    expires_at_utc = state.queue.expires_at_utc
    if expires_at_utc is not None:
        times.append(ctx.now.clock_s + (expires_at_utc - ctx.now.utc).total_seconds())
    return min(times)


def _next_start_s(state: RoomState, ctx: Context) -> float | None:
    """When the head of the queue starts; None while something other than time holds it."""
    if state.playing is not None or state.toy_test is not None:
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


def _start(state: RoomState, ctx: Context, activations: tuple[Activation, ...]) -> list[Effect]:
    """One activation, or several as one. Each toy plays what was meant for it, and no more: the
    strongest of those, for as long as they last together."""
    effects: list[Effect] = []
    for late in list(state.outstanding.values()):
        effects += close_command(state, ctx, late, TargetState.EXPIRED, Reason.MOMENT_PASSED)
    playing = Playing(activations, ctx.now.clock_s)
    snapshot = state.snapshot()
    by_toy: dict[tuple[bool, str], list[tuple[Activation, Target]]] = {}
    for activation in activations:
        for target in open_targets(activation):
            reason = recheck(target, snapshot)
            if reason is not None:
                effects += drop_target(state, ctx, activation, target, reason)
                continue
            toy = (isinstance(target, ModelToy), target.owner_id)
            by_toy.setdefault(toy, []).append((activation, target))
    played: dict[str, None] = {}
    for together in by_toy.values():
        effects += _start_toy(state, ctx, playing, together, played)
    if played:
        state.playing = playing
        state.queue.started(ctx.now.clock_s)
    return effects


def _start_toy(
    state: RoomState,
    ctx: Context,
    playing: Playing,
    together: list[tuple[Activation, Target]],
    played: dict[str, None],
) -> list[Effect]:
    """One command to one toy, for all that is meant for it; `played` gets their tips."""
    effects: list[Effect] = []
    for at, (activation, target) in enumerate(together):
        outstanding = Outstanding(
            command_id=_command_id(activation.tip_id, target),
            activation=activation,
            target=target,
            vibration=_vibration_of(together[at:], state.platform.lovense_max_activation_duration),
            attempt=0,
            session_id=None,
            deadline_s=ctx.now.clock_s,
            resting=True,
            seconds=0.0,
        )
        effects += dispatch.send(state, ctx, outstanding, playing)
        if outstanding.attempt == 0:
            continue  # audited why; the next of them is asked on its own
        effects += _tell_played(state, activation, played)
        for merged, its_target in together[at + 1 :]:
            effects += _tell_played(state, merged, played)
            effects += merge_target(state, ctx, merged, its_target, activation.tip_id)
        break
    return effects


def _tell_played(state: RoomState, activation: Activation, played: dict[str, None]) -> list[Effect]:
    if activation.key in played:
        return []
    played[activation.key] = None
    unfinished = state.unfinished[activation.key]
    unfinished.played = True
    return tell_tipper(state, unfinished, activation.tip_id, "playing")


def _vibration_of(together: list[tuple[Activation, Target]], duration_sec_max: int) -> Vibration:
    vibrations = [
        each.event.item.vibration for each, _ in together if each.event.item.vibration is not None
    ]
    if len(vibrations) == 1:
        return cap(vibrations[0], duration_sec_max)  # a thousand times for one tip
    return merge(vibrations, duration_sec_max)


def _command_id(tip_id: str, target: Target) -> str:
    """The UUID of version 5 (RFC 9562, 5.5), as `uuid.uuid5` makes it, without its objects: a
    thousand for one tip."""
    name = f"{tip_id}/{target_type(target)}/{target.owner_id}"
    digits = sha1(NAMESPACE_URL.bytes + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"
