"""Edits of a model's tip menu: pure functions from a menu to the menu after it, or to refusals.

A draft is a row as she sends it (`validate` names each of its bad fields), a view is the same row
as she gets it.
"""

from collections import Counter
from typing import Any, Final

import msgspec

from protocol.errors import ErrorCode, Refusal
from protocol.pattern_library import Library
from protocol.tip_activated import Amount, Id, PublicText
from protocol.tip_menu import DeviceIds, Priority, TipMenuRow
from protocol.vibration_choice import DraftedVibration, VibrationChoice, choice_of, vibration_of

ROWS_MAX: Final = 50
"""Of one model."""

Menu = tuple[TipMenuRow, ...]
"""By `order`."""


class RowDraft(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A row as a model sends it, whole. What is said of each field: protocol.tip_menu.TipMenuRow.
    A device that is named twice counts once."""

    tip_amount: Amount
    vibration: DraftedVibration
    description: PublicText
    active: bool
    priority: Priority | None = None
    device_ids: DeviceIds = ()


class RowView(msgspec.Struct, frozen=True, rename="camel"):
    """A row as a model gets it. `order`: its place, from 0."""

    row_id: Id
    tip_amount: Amount
    vibration: VibrationChoice
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
        choice_of(row.vibration),
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
    vibration = vibration_of(draft.vibration, library)
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


def _numbered(rows: Menu) -> Menu:
    return tuple(msgspec.structs.replace(row, order=order) for order, row in enumerate(rows))


def _content(row: TipMenuRow) -> Any:
    """Without its place, which others share."""
    content = msgspec.to_builtins(row)
    del content["order"]
    return content
