"""The final states of targets, and the records of the audit (spec 3).

Every target of every activation ends in exactly one final state, and nowhere but here. With its
last target a tip is finished: a repeat of its event does nothing. A target that is requeued is an
activation of its own: so there is one final state for each tip, target and number of requeue.
"""

from typing import Any

import msgspec

from actors.room.activation_queue import Activation
from actors.room.effects import Effect, WriteAudit
from actors.room.queue_report import tell_tipper
from actors.room.state import FINISHED_TIPS_MAX, Context, Outstanding, RoomState
from protocol.audit import Reason, TargetRecord, TargetState
from protocol.lovense import Fitted
from protocol.tip_activated import Target, target_type


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
    record = target_record(ctx, activation, target, attempt, final, reason, code)
    return _target_done(state, activation, record)


def drop_target(
    state: RoomState,
    ctx: Context,
    activation: Activation,
    target: Target,
    reason: Reason,
    fitted: Fitted | None = None,
) -> list[Effect]:
    """One target is not sent to after all. `fitted`: without a call, if that is why."""
    record = target_record(ctx, activation, target, 0, TargetState.SKIPPED, reason, fitted=fitted)
    return _target_done(state, activation, record)


def merge_target(
    state: RoomState, ctx: Context, activation: Activation, target: Target, into: str
) -> list[Effect]:
    """The command of the tip `into` plays for this one, too."""
    record = target_record(ctx, activation, target, 0, TargetState.MERGED, merged_into=into)
    return _target_done(state, activation, record)


def close_activation(
    state: RoomState, ctx: Context, activation: Activation, final: TargetState, reason: Reason
) -> list[Effect]:
    """An activation that never started ends, with all of its targets."""
    records = tuple(
        target_record(ctx, activation, target, 0, final, reason)
        for target in open_targets(activation)
    )
    return finish(state, activation, records)


def _target_done(state: RoomState, activation: Activation, record: TargetRecord) -> list[Effect]:
    unfinished = state.unfinished[activation.key]
    unfinished.targets_open -= 1
    if unfinished.targets_open == 0:
        return finish(state, activation, (record,))
    return [WriteAudit((record,), ())]


def finish(
    state: RoomState, activation: Activation, records: tuple[TargetRecord, ...]
) -> list[Effect]:
    """Nothing of the activation is left to do: audit it, remember it, tell the tipper."""
    tip_id = activation.tip_id
    unfinished = state.unfinished.pop(activation.key)
    state.finished[activation.key] = None
    if len(state.finished) > FINISHED_TIPS_MAX:
        del state.finished[next(iter(state.finished))]
    # A tip is finished apart from what is requeued of it.
    effects: list[Effect] = [WriteAudit(records, (tip_id,) if activation.requeue is None else ())]
    if unfinished.played:
        return effects + tell_tipper(state, unfinished, tip_id, "done")
    reason = records[-1].reason if records else None
    return effects + tell_tipper(state, unfinished, tip_id, "not_played", reason)


def target_record(
    ctx: Context,
    activation: Activation,
    target: Target,
    attempt: int,
    state: TargetState,
    reason: Reason | None = None,
    code: str | None = None,
    fitted: Fitted | None = None,
    merged_into: str | None = None,
) -> TargetRecord:
    """One line of the audit, as of now."""
    event = activation.event
    return TargetRecord(
        record_id=ctx.chance.uuid7(ctx.now),
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
        fit=None if fitted is None else fit_of(fitted),
        merged_into=merged_into,
        tipper_id=event.tipper.user_id,
        latency_ms=_latency_ms(ctx, activation) if state is TargetState.ACTIVATED else None,
        requeue=0 if activation.requeue is None else activation.requeue.number,
        at_utc=ctx.now.utc,
    )


def _latency_ms(ctx: Context, activation: Activation) -> int | None:
    """Since the tip reached the room: its event's id holds that moment, to the millisecond."""
    event_id = activation.event.event_id
    if activation.requeue is not None or event_id.version != 7:
        return None
    return max(0, ctx.now.epoch_ms - (event_id.int >> 80))


def fit_of(fitted: Fitted) -> dict[str, Any]:
    """With the seconds that the call plays: after a restart her toy may still be at it."""
    return {**msgspec.to_builtins(fitted.fit), "seconds": fitted.seconds}
