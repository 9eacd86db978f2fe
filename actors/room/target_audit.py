"""The final states of targets, and the records of the audit (spec 3).

Every target of every activation ends in exactly one final state, and nowhere but here. With its
last target a tip is finished: a repeat of its event does nothing.
"""

from typing import Any

import msgspec

from actors.room.activation_queue import Activation
from actors.room.effects import Effect, WriteAudit
from actors.room.queue_report import tell_tipper
from actors.room.state import FINISHED_TIPS_MAX, Context, Outstanding, RoomState
from protocol.audit import Reason, TargetRecord, TargetState
from protocol.lovense import Fitted
from protocol.tip_activated import Target, TipActivated, target_type


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
    event = outstanding.activation.event
    record = target_record(ctx, event, outstanding.target, outstanding.attempt, final, reason, code)
    return _target_done(state, event.tip_id, record)


def drop_target(
    state: RoomState, ctx: Context, activation: Activation, target: Target, reason: Reason
) -> list[Effect]:
    """One target is not sent to after all."""
    record = target_record(ctx, activation.event, target, 0, TargetState.SKIPPED, reason)
    return _target_done(state, activation.tip_id, record)


def close_activation(
    state: RoomState, ctx: Context, activation: Activation, final: TargetState, reason: Reason
) -> list[Effect]:
    """An activation that never started ends, with all of its targets."""
    records = tuple(
        target_record(ctx, activation.event, target, 0, final, reason)
        for target in open_targets(activation)
    )
    return finish_tip(state, activation.tip_id, records)


def _target_done(state: RoomState, tip_id: str, record: TargetRecord) -> list[Effect]:
    unfinished = state.unfinished[tip_id]
    unfinished.targets_open -= 1
    if unfinished.targets_open == 0:
        return finish_tip(state, tip_id, (record,))
    return [WriteAudit((record,), ())]


def finish_tip(state: RoomState, tip_id: str, records: tuple[TargetRecord, ...]) -> list[Effect]:
    """Nothing of the tip is left to do: audit it, remember the tip, tell the tipper."""
    unfinished = state.unfinished.pop(tip_id)
    state.finished[tip_id] = None
    if len(state.finished) > FINISHED_TIPS_MAX:
        del state.finished[next(iter(state.finished))]
    effects: list[Effect] = [WriteAudit(records, (tip_id,))]
    if unfinished.played:
        return effects + tell_tipper(state, unfinished, tip_id, "done")
    reason = records[-1].reason if records else None
    return effects + tell_tipper(state, unfinished, tip_id, "not_played", reason)


def target_record(
    ctx: Context,
    event: TipActivated,
    target: Target,
    attempt: int,
    state: TargetState,
    reason: Reason | None = None,
    code: str | None = None,
    fitted: Fitted | None = None,
) -> TargetRecord:
    """One line of the audit, as of now."""
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
        fit=None if fitted is None else _fit(fitted),
        at_utc=ctx.now.utc,
    )


def _fit(fitted: Fitted) -> dict[str, Any]:
    """With the seconds that the call plays: after a restart her toy may still be at it."""
    return {**msgspec.to_builtins(fitted.fit), "seconds": fitted.seconds}
