"""One step of one target of a tip, as a room hands it on for the audit.

A tip that a thousand viewers feel takes a thousand of these at once, before the first command
leaves: so this only holds what there is, and the line of the audit is made of it later, beside the
room.
"""

from typing import Any

import msgspec

from actors.runtime.moment import Chance, Moment
from protocol.audit import AuditRecord, Reason, TargetRecord, TargetState
from protocol.lovense import Fitted
from protocol.tip_activated import Target, TipActivated, target_type


class TargetStep(msgspec.Struct, frozen=True):
    """See TargetRecord. `requeue`: None for the tip itself, else how often the target had been
    requeued."""

    moment: Moment
    event: TipActivated
    target: Target
    attempt: int
    state: TargetState
    reason: Reason | None
    code: str | None
    fitted: Fitted | None
    merged_into: str | None
    requeue: int | None

    def record(self, chance: Chance) -> TargetRecord:
        """The line; each call makes another id."""
        event, fitted = self.event, self.fitted
        return TargetRecord(
            record_id=chance.uuid7(self.moment),
            tip_id=event.tip_id,
            event_id=event.event_id,
            ledger_id=event.ledger.ledger_id,
            room_id=event.room.room_id,
            target_type=target_type(self.target),
            target_id=self.target.owner_id,
            attempt=self.attempt,
            state=self.state,
            reason=self.reason,
            code=self.code,
            call=None if fitted is None else msgspec.to_builtins(fitted.call),
            fit=None if fitted is None else fit_of(fitted),
            merged_into=self.merged_into,
            tipper_id=event.tipper.user_id,
            latency_ms=self._latency_ms() if self.state is TargetState.ACTIVATED else None,
            requeue=self.requeue or 0,
            at_utc=self.moment.utc,
        )

    def _latency_ms(self) -> int | None:
        """Since the tip reached the room: its event's id holds that moment, to the millisecond."""
        event_id = self.event.event_id
        if self.requeue is not None or event_id.version != 7:
            return None
        return max(0, self.moment.epoch_ms - (event_id.int >> 80))


AuditEntry = AuditRecord | TargetStep


def record_of(entry: AuditEntry, chance: Chance) -> AuditRecord:
    """The line of the audit."""
    return entry.record(chance) if isinstance(entry, TargetStep) else entry


def fit_of(fitted: Fitted) -> dict[str, Any]:
    """With the seconds that the call plays: after a restart her toy may still be at it."""
    return {**msgspec.to_builtins(fitted.fit), "seconds": fitted.seconds}
