"""The life of one target of one tip, as it is written down (spec 1, audit)."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec


class TargetState(StrEnum):
    QUEUED = "QUEUED"
    SENT = "SENT"
    ACTIVATED = "ACTIVATED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    EXPIRED = "EXPIRED"
    SKIPPED = "SKIPPED"
    MERGED = "MERGED"
    DEAD = "DEAD"


FINAL_STATES: Final = frozenset(
    {
        TargetState.ACTIVATED,
        TargetState.FAILED,
        TargetState.EXPIRED,
        TargetState.SKIPPED,
        TargetState.MERGED,
        TargetState.DEAD,
    }
)
"""TIMEOUT is not final: it is followed by another attempt or by DEAD."""


class Reason(StrEnum):
    """Why a target was skipped, failed or died. Lower case, as they stand in the audit."""

    LOVENSE_DISABLED = "lovense_disabled"
    NO_VIBRATION = "no_vibration"
    NOT_PRESENT = "not_present"
    NO_TOY = "no_toy"
    OPTED_OUT = "opted_out"
    NOT_VIP = "not_vip"
    SYNC_MODE_CHANGED = "sync_mode_changed"
    NO_LEVEL_MAP = "no_level_map"
    PRESET_UNAVAILABLE = "preset_unavailable"
    BROADCAST_ENDED = "broadcast_ended"
    STOPPED = "stopped"
    QUEUE_FULL = "queue_full"
    WAITED_TOO_LONG = "waited_too_long"
    MOMENT_PASSED = "moment_passed"
    NO_ANSWER = "no_answer"
    PAGE_REPORTED = "page_reported"


class ToyTestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit of a test: a model tries a row of her menu on her own toy (spec 3). No
    tip, no event and no ledger row belongs to it. `state`: SENT, then ACTIVATED, FAILED, or EXPIRED
    without an answer; a crash in between leaves it without an end."""

    record_id: UUID
    test_id: UUID
    room_id: str
    model_id: str
    row_id: str
    state: TargetState
    reason: Reason | None
    code: str | None
    call: dict[str, Any] | None
    fit: dict[str, Any] | None
    at_utc: datetime


class TargetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit: one target at one step of one attempt. Append-only.

    `call` is the vendor call as made, `fit` how well it expresses what was wanted; both None
    before a call exists. `merged_into`: the tip whose command plays for this one, too (MERGED).
    `attempt` counts from 1; 0 while the target only waits. `code` is the
    page's own failure code, cut to 64 characters.
    """

    record_id: UUID
    """Of this line: a write that is repeated, because its outcome was not known, adds nothing."""
    tip_id: str
    event_id: UUID
    ledger_id: str
    room_id: str
    target_type: str
    target_id: str
    attempt: int
    state: TargetState
    reason: Reason | None
    code: str | None
    call: dict[str, Any] | None
    fit: dict[str, Any] | None
    merged_into: str | None = None
    tipper_id: str | None = None
    """None in what was written before it was kept."""
    latency_ms: int | None = None
    """Of ACTIVATED: since the tip reached its room. None for a requeue."""
    requeue: int = 0
    """How often this target had been requeued by then: it has one final state for each number."""
    at_utc: datetime


AuditRecord = TargetRecord | ToyTestRecord
