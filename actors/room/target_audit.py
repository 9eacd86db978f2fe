"""The final states of targets, and the records of the audit (spec 3).

Every target of every activation ends in exactly one final state, and nowhere but here. With its
last target a tip is finished: a repeat of its event does nothing. A target that is requeued is an
activation of its own: so there is one final state for each tip, target and number of requeue.
"""

from typing import Final

from actors.room.activation_queue import Activation
from actors.room.effects import Effect, WriteAudit
from actors.room.queue_report import tell_tipper
from actors.room.state import FINISHED_TIPS_MAX, Context, Outstanding, RoomState
from actors.target_step import TargetStep
from protocol.audit import Reason, TargetState
from protocol.lovense import Fitted
from protocol.tip_activated import Target, target_type

_REACHED: Final = frozenset({TargetState.ACTIVATED, TargetState.MERGED})


def open_targets(activation: Activation) -> list[Target]:
    """The targets that no earlier life of the room has brought to a final state."""
    return [
        target
        for target in activation.event.routing.targets
        if (target_type(target), target.owner_id) not in activation.done
    ]


def close_command(
    state: RoomState,
    ctx: Context,
    outstanding: Outstanding,
    final: TargetState,
    reason: Reason | None = None,
    code: str | None = None,
) -> list[Effect]:
    """One sent command reaches its final state."""
    del state.outstanding[outstanding.command_id]
    activation, target, attempt = (
        outstanding.activation,
        outstanding.target,
        outstanding.attempt,
    )
    step = target_step(ctx, activation, target, attempt, final, reason, code)
    return _target_done(state, activation, step)


def drop_target(
    state: RoomState,
    ctx: Context,
    activation: Activation,
    target: Target,
    reason: Reason,
    fitted: Fitted | None = None,
) -> list[Effect]:
    """One target is not sent to after all. `fitted`: without a call, if that is why."""
    step = target_step(ctx, activation, target, 0, TargetState.SKIPPED, reason, fitted=fitted)
    return _target_done(state, activation, step)


def merge_target(
    state: RoomState, ctx: Context, activation: Activation, target: Target, into: str
) -> list[Effect]:
    """The command of the tip `into` plays for this one, too."""
    step = target_step(ctx, activation, target, 0, TargetState.MERGED, merged_into=into)
    return _target_done(state, activation, step)


def close_activation(
    state: RoomState, ctx: Context, activation: Activation, final: TargetState, reason: Reason
) -> list[Effect]:
    """An activation that never started ends, with all of its targets."""
    steps = tuple(
        target_step(ctx, activation, target, 0, final, reason)
        for target in open_targets(activation)
    )
    return finish(state, activation, steps)


def _target_done(state: RoomState, activation: Activation, step: TargetStep) -> list[Effect]:
    unfinished = state.unfinished[activation.key]
    unfinished.targets_open -= 1
    unfinished.reached |= step.state in _REACHED
    if unfinished.targets_open == 0:
        return finish(state, activation, (step,))
    return [WriteAudit((step,), ())]


def finish(state: RoomState, activation: Activation, steps: tuple[TargetStep, ...]) -> list[Effect]:
    """Nothing of the activation is left to do: audit it, remember it, tell the tipper."""
    tip_id = activation.tip_id
    unfinished = state.unfinished.pop(activation.key)
    state.finished[activation.key] = None
    if len(state.finished) > FINISHED_TIPS_MAX:
        del state.finished[next(iter(state.finished))]
    # A tip is finished apart from what is requeued of it.
    finished = (tip_id,) if activation.requeue is None else ()
    effects: list[Effect] = [WriteAudit(steps, finished, state.platform.lovense_log_activations)]
    if unfinished.reached:
        return effects + tell_tipper(state, unfinished, tip_id, "done")
    reason = steps[-1].reason if steps else None
    return effects + tell_tipper(state, unfinished, tip_id, "not_played", reason)


def target_step(
    ctx: Context,
    activation: Activation,
    target: Target,
    attempt: int,
    state: TargetState,
    reason: Reason | None = None,
    code: str | None = None,
    fitted: Fitted | None = None,
    merged_into: str | None = None,
) -> TargetStep:
    """As of now."""
    requeue = None if activation.requeue is None else activation.requeue.number
    return TargetStep(
        ctx.now,
        activation.event,
        target,
        attempt,
        state,
        reason,
        code,
        fitted,
        merged_into,
        requeue,
    )
