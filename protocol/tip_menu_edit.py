"""Edits of a model's tip menu: pure functions from a menu to the menu after it, or to refusals.

A draft is a row as she sends it (`validate` names each of its bad fields), a view is the same row
as she gets it: both describe the reaction in the shape of its kind, without the event's nulls.
"""

from collections import Counter
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode, Refusal
from protocol.pattern_library import Library, pattern_of
from protocol.tip_activated import Amount, Id, PublicText
from protocol.tip_menu import DeviceIds, Priority, TipMenuRow
from protocol.vibration import (
    STRENGTH_MAX,
    DurationSec,
    Pattern,
    PresetName,
    Vibration,
    VibrationType,
    level,
)

ROWS_MAX: Final = 50
"""Of one model."""

Menu = tuple[TipMenuRow, ...]
"""By `order`."""

RowStrength = Annotated[int, Meta(ge=1, le=STRENGTH_MAX)]


class _Choice(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    tag_field="type",
    forbid_unknown_fields=True,
    kw_only=True,
):
    duration_sec: DurationSec


class LevelChoice(_Choice, frozen=True, tag="LEVEL"):
    """A steady strength: a row must do something, so it begins at 1."""

    strength: RowStrength


class PresetChoice(_Choice, frozen=True, tag="PRESET"):
    """One of the vendor's. `strength` does not change the call: in the queue mode batch it says
    how this row compares with others; null counts as 10."""

    preset_name: PresetName
    strength: RowStrength | None = None


class PatternChoice(_Choice, frozen=True, tag="PATTERN"):
    """Her own values, repeated until the time is over."""

    pattern: Pattern


class StoredPatternChoice(_Choice, frozen=True, tag="STORED_PATTERN"):
    """A pattern of her library. The row takes a copy and is a PATTERN from then on."""

    pattern_id: Id


class RowDraft(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A row as a model sends it, whole. What is said of each field: protocol.tip_menu.TipMenuRow.
    A device that is named twice counts once."""

    tip_amount: Amount
    vibration: LevelChoice | PresetChoice | PatternChoice | StoredPatternChoice
    description: PublicText
    active: bool
    priority: Priority | None = None
    device_ids: DeviceIds = ()


class RowView(msgspec.Struct, frozen=True, rename="camel"):
    """A row as a model gets it. `order`: its place, from 0."""

    row_id: Id
    tip_amount: Amount
    vibration: LevelChoice | PresetChoice | PatternChoice
    description: PublicText
    active: bool
    order: int
    priority: Priority | None
    device_ids: DeviceIds


def view_row(row: TipMenuRow) -> RowView:
    """The row as its model gets it."""
    return RowView(
        row.row_id,
        row.tip_amount,
        _choice_of(row.vibration),
        row.description,
        row.active,
        row.order,
        row.priority,
        row.device_ids,
    )


# ---- edits -----------------------------------------------------------------------------------


def add_row(menu: Menu, row_id: str, draft: RowDraft, library: Library) -> Menu | list[Refusal]:
    """With one more, the last. LIMIT_REACHED when there are ROWS_MAX, TIP_AMOUNT_TAKEN,
    PATTERN_UNKNOWN."""
    if len(menu) >= ROWS_MAX:
        detail = f"A tip menu may have {ROWS_MAX} rows; remove one first."
        return [Refusal(ErrorCode.LIMIT_REACHED, detail=detail)]
    made = _make_row(row_id, len(menu), draft, menu, library)
    return made if isinstance(made, list) else _numbered((*menu, made))


def replace_row(menu: Menu, row_id: str, draft: RowDraft, library: Library) -> Menu | list[Refusal]:
    """With this one as the draft says, in its place. MENU_ROW_UNKNOWN, TIP_AMOUNT_TAKEN,
    PATTERN_UNKNOWN."""
    old = next((row for row in menu if row.row_id == row_id), None)
    if old is None:
        return [Refusal(ErrorCode.MENU_ROW_UNKNOWN)]
    others = tuple(row for row in menu if row is not old)
    made = _make_row(row_id, old.order, draft, others, library)
    if isinstance(made, list):
        return made
    return tuple(made if row is old else row for row in menu)


def remove_row(menu: Menu, row_id: str) -> Menu | list[Refusal]:
    """Without this one. MENU_ROW_UNKNOWN."""
    kept = tuple(row for row in menu if row.row_id != row_id)
    if len(kept) == len(menu):
        return [Refusal(ErrorCode.MENU_ROW_UNKNOWN)]
    return _numbered(kept)


def reorder(menu: Menu, row_ids: tuple[str, ...]) -> Menu | list[Refusal]:
    """The same rows in this order. MENU_MISMATCH for each id that is no row's or comes again, and
    for a row that is not named: then somebody has changed the menu meanwhile."""
    rows = {row.row_id: row for row in menu}
    seen: Counter[str] = Counter()
    refusals: list[Refusal] = []
    for index, row_id in enumerate(row_ids):
        seen[row_id] += 1
        if row_id not in rows or seen[row_id] > 1:
            refusals.append(Refusal(ErrorCode.MENU_MISMATCH, f"rowIds[{index}]"))
    if rows.keys() - seen.keys():
        refusals.append(Refusal(ErrorCode.MENU_MISMATCH, "rowIds", "A row is missing here."))
    return refusals or _numbered(tuple(rows[row_id] for row_id in row_ids))


def difference(old: Menu, new: Menu) -> dict[str, tuple[Any, Any]]:
    """Name -> (old, new) of each row that came, went or changed, and of the order; for the history
    of changes."""
    before, after = ({row.row_id: _content(row) for row in menu} for menu in (old, new))
    changes = {
        f"tipMenu.{row_id}": (before.get(row_id), after.get(row_id))
        for row_id in dict.fromkeys((*before, *after))
        if before.get(row_id) != after.get(row_id)
    }
    order, reordered = (
        [row_id for row_id in each if row_id in before and row_id in after]
        for each in (before, after)
    )
    if order != reordered:
        changes["tipMenu.order"] = (order, reordered)
    return changes


def _make_row(
    row_id: str, order: int, draft: RowDraft, others: Menu, library: Library
) -> TipMenuRow | list[Refusal]:
    refusals: list[Refusal] = []
    if draft.active and any(row.active and row.tip_amount == draft.tip_amount for row in others):
        refusals.append(Refusal(ErrorCode.TIP_AMOUNT_TAKEN, "tipAmount"))
    vibration = _vibration_of(draft.vibration, library)
    if vibration is None:
        refusals.append(Refusal(ErrorCode.PATTERN_UNKNOWN, "vibration.patternId"))
    if vibration is None or refusals:
        return refusals
    return TipMenuRow(
        row_id=row_id,
        tip_amount=draft.tip_amount,
        vibration=vibration,
        description=draft.description,
        active=draft.active,
        order=order,
        priority=draft.priority,
        device_ids=tuple(dict.fromkeys(draft.device_ids)),
    )


def _vibration_of(
    choice: LevelChoice | PresetChoice | PatternChoice | StoredPatternChoice, library: Library
) -> Vibration | None:
    """None: the library has no such pattern."""
    match choice:
        case LevelChoice():
            return level(choice.strength, choice.duration_sec)
        case PresetChoice():
            return Vibration(
                VibrationType.PRESET, choice.strength, choice.duration_sec, choice.preset_name, None
            )
        case PatternChoice():
            pattern = choice.pattern
        case StoredPatternChoice():
            stored = pattern_of(library, choice.pattern_id)
            if stored is None:
                return None
            pattern = stored.pattern
    return Vibration(VibrationType.PATTERN, None, choice.duration_sec, None, pattern)


def _choice_of(vibration: Vibration) -> LevelChoice | PresetChoice | PatternChoice:
    seconds, strength = vibration.duration_sec, vibration.strength
    if vibration.preset_name is not None:
        return PresetChoice(
            preset_name=vibration.preset_name, duration_sec=seconds, strength=strength or None
        )
    if vibration.pattern is not None:
        return PatternChoice(pattern=vibration.pattern, duration_sec=seconds)
    return LevelChoice(strength=vibration.wanted_strength, duration_sec=seconds)


def _numbered(rows: Menu) -> Menu:
    return tuple(msgspec.structs.replace(row, order=order) for order, row in enumerate(rows))


def _content(row: TipMenuRow) -> Any:
    """Without its place, which others share."""
    content = msgspec.to_builtins(row)
    del content["order"]
    return content
