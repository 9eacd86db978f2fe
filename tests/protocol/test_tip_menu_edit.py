"""Edits of a tip menu: what they make, what they refuse, and that a refusal changes nothing."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, Refusal
from protocol.pattern_library import Library, StoredPattern
from protocol.tip_menu import TipMenuRow
from protocol.tip_menu_edit import (
    ROWS_MAX,
    Menu,
    RowDraft,
    add_row,
    difference,
    remove_row,
    reorder,
    replace_row,
    view_row,
)
from protocol.validation import validate
from protocol.vibration import Pattern, PresetName, Vibration, VibrationType, level
from protocol.vibration_choice import LevelChoice, PatternChoice, PresetChoice, StoredPatternChoice

LEVEL = LevelChoice(strength=5, duration_sec=3)
TIDE = Pattern((1, 20, 3), 250)
LIBRARY: Library = (StoredPattern("tide", "Tide", TIDE),)

GOOD: dict[str, Any] = {
    "tipAmount": 50,
    "vibration": {"type": "LEVEL", "strength": 5, "durationSec": 3},
    "description": "A tickle",
    "active": True,
}


def draft(amount: int = 50, **changes: Any) -> RowDraft:
    plain = RowDraft(amount, LEVEL, f"For {amount}", True)
    return msgspec.structs.replace(plain, **changes)


def menu_of(*amounts: int) -> Menu:
    menu: Menu = ()
    for amount in amounts:
        menu = made(add_row(menu, f"row-{amount}", draft(amount), ()))
    return menu


def made(result: Menu | list[Refusal]) -> Menu:
    assert isinstance(result, tuple), result
    return result


def refused(result: Menu | list[Refusal]) -> list[tuple[ErrorCode, str | None]]:
    assert isinstance(result, list)
    return [(refusal.code, refusal.field) for refusal in result]


# ---- a draft ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vibration", "expected"),
    [
        ({"type": "LEVEL", "strength": 20, "durationSec": 3600}, level(20, 3600)),
        (
            {"type": "PRESET", "presetName": "fireworks", "durationSec": 1},
            Vibration(VibrationType.PRESET, None, 1, PresetName.FIREWORKS, None),
        ),
        (
            {"type": "PRESET", "presetName": "wave", "durationSec": 9, "strength": 20},
            Vibration(VibrationType.PRESET, 20, 9, PresetName.WAVE, None),
        ),
        (
            {
                "type": "PATTERN",
                "pattern": {"values": [0, 20], "intervalMs": 101},
                "durationSec": 9,
            },
            Vibration(VibrationType.PATTERN, None, 9, None, Pattern((0, 20), 101)),
        ),
        (
            {"type": "STORED_PATTERN", "patternId": "tide", "durationSec": 9},
            Vibration(VibrationType.PATTERN, None, 9, None, TIDE),
        ),
    ],
)
def test_each_kind_of_reaction(vibration: dict[str, Any], expected: Vibration) -> None:
    read = validate(GOOD | {"vibration": vibration}, RowDraft)
    assert isinstance(read, RowDraft)
    [row] = made(add_row((), "row-1", read, LIBRARY))
    assert row == TipMenuRow("row-1", 50, expected, "A tickle", True, 0)


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"tipAmount": 0, "description": "x" * 201}, {"tipAmount", "description"}),
        ({"tipAmount": 100_000, "active": 1}, {"tipAmount", "active"}),
        ({"description": "nul\0", "priority": 21}, {"description", "priority"}),
        ({"priority": 0, "deviceIds": [""]}, {"priority", "deviceIds[0]"}),
        ({"deviceIds": ["x" * 65], "rowId": "mine"}, {"deviceIds[0]", "rowId"}),
        ({"deviceIds": ["x"] * 17}, {"deviceIds"}),
        (
            {"vibration": {"type": "LEVEL", "strength": 0, "durationSec": 0}},
            {"vibration.strength", "vibration.durationSec"},
        ),
        (
            {"vibration": {"type": "LEVEL", "strength": 21, "durationSec": 3601}},
            {"vibration.strength", "vibration.durationSec"},
        ),
        (
            {"vibration": {"type": "LEVEL", "strength": None, "durationSec": 5, "presetName": "x"}},
            {"vibration.strength", "vibration.presetName"},
        ),
        (
            {"vibration": {"type": "PRESET", "presetName": "rain"}},
            {"vibration.presetName", "vibration.durationSec"},
        ),
        (
            {
                "vibration": {
                    "type": "PATTERN",
                    "durationSec": 5,
                    "pattern": {"values": [], "intervalMs": 100},
                }
            },
            {"vibration.pattern.values", "vibration.pattern.intervalMs"},
        ),
        (
            {
                "vibration": {
                    "type": "PATTERN",
                    "durationSec": 5,
                    "pattern": {"values": [5] * 51, "intervalMs": 1001},
                }
            },
            {"vibration.pattern.values", "vibration.pattern.intervalMs"},
        ),
        ({"vibration": {"type": "STORED_PATTERN", "durationSec": 5}}, {"vibration.patternId"}),
        ({"vibration": {"type": "SHAKE"}, "active": None}, {"vibration.type", "active"}),
        ({"vibration": None}, {"vibration"}),
    ],
)
def test_each_bad_field_of_a_draft_is_named(change: dict[str, Any], paths: set[str]) -> None:
    found = validate(GOOD | change, RowDraft)
    assert isinstance(found, list)
    assert {refusal.field for refusal in found} == paths


def test_a_draft_is_whole() -> None:
    found = validate({}, RowDraft)
    assert isinstance(found, list)
    assert {refusal.field for refusal in found} == GOOD.keys()


# ---- adding and replacing --------------------------------------------------------------------


def test_a_new_row_is_the_last() -> None:
    menu = menu_of(50, 10)
    assert [(row.row_id, row.order) for row in menu] == [("row-50", 0), ("row-10", 1)]


def test_a_new_row_is_the_last_also_of_a_menu_with_gaps() -> None:
    old = tuple(msgspec.structs.replace(row, order=9) for row in menu_of(50, 10))
    menu = made(add_row(old, "row-5", draft(5), ()))
    assert [(row.row_id, row.order) for row in menu] == [
        ("row-50", 0), ("row-10", 1), ("row-5", 2),
    ]  # fmt: skip


def test_two_active_rows_never_have_one_amount() -> None:
    menu = menu_of(50, 10)
    taken = [(ErrorCode.TIP_AMOUNT_TAKEN, "tipAmount")]
    assert refused(add_row(menu, "row-2", draft(50), ())) == taken
    assert refused(replace_row(menu, "row-10", draft(50), ())) == taken
    resting = made(add_row(menu, "row-2", draft(50, active=False), ()))
    assert refused(replace_row(resting, "row-2", draft(50), ())) == taken
    swapped = made(replace_row(resting, "row-50", draft(50, active=False), ()))
    assert [row.active for row in made(replace_row(swapped, "row-2", draft(50), ()))] == [
        False, True, True,
    ]  # fmt: skip


def test_a_row_keeps_its_own_amount_and_place() -> None:
    menu = made(replace_row(menu_of(50, 10), "row-50", draft(50, priority=3), ()))
    assert [(row.row_id, row.order, row.priority) for row in menu] == [
        ("row-50", 0, 3), ("row-10", 1, None),
    ]  # fmt: skip


def test_a_menu_has_an_end() -> None:
    menu = menu_of(*range(1, ROWS_MAX + 1))
    assert refused(add_row(menu, "row-x", draft(5_000, active=False), ())) == [
        (ErrorCode.LIMIT_REACHED, None)
    ]
    assert len(made(replace_row(menu, "row-1", draft(5_000), ()))) == ROWS_MAX


def test_all_that_the_menu_says_against_a_draft_comes_together() -> None:
    choice = StoredPatternChoice(pattern_id="none", duration_sec=5)
    assert refused(add_row(menu_of(50), "row-2", draft(50, vibration=choice), LIBRARY)) == [
        (ErrorCode.TIP_AMOUNT_TAKEN, "tipAmount"),
        (ErrorCode.PATTERN_UNKNOWN, "vibration.patternId"),
    ]


def test_a_device_that_is_named_twice_counts_once() -> None:
    [row] = made(add_row((), "row-1", draft(device_ids=("b", "a", "b")), ()))
    assert row.device_ids == ("b", "a")


@pytest.mark.parametrize(
    "choice",
    [
        LEVEL,
        PresetChoice(preset_name=PresetName.WAVE, duration_sec=5),
        PresetChoice(preset_name=PresetName.WAVE, duration_sec=5, strength=1),
        PatternChoice(pattern=TIDE, duration_sec=5),
    ],
)
def test_what_she_gets_is_what_she_may_send(choice: Any) -> None:
    menu = made(add_row((), "row-1", draft(vibration=choice, device_ids=("a",)), ()))
    seen = msgspec.to_builtins(view_row(menu[0]))
    assert (seen.pop("rowId"), seen.pop("order")) == ("row-1", 0)
    again = validate(seen, RowDraft)
    assert isinstance(again, RowDraft)
    assert made(replace_row(menu, "row-1", again, ())) == menu


# ---- removing and reordering -----------------------------------------------------------------


def test_removing_closes_the_gap() -> None:
    menu = made(remove_row(menu_of(1, 2, 3), "row-2"))
    assert [(row.row_id, row.order) for row in menu] == [("row-1", 0), ("row-3", 1)]


def test_a_row_that_is_not_there() -> None:
    unknown = [(ErrorCode.MENU_ROW_UNKNOWN, None)]
    assert refused(remove_row(menu_of(1), "row-2")) == unknown
    assert refused(replace_row(menu_of(1), "row-2", draft(2), ())) == unknown


@pytest.mark.parametrize(
    ("row_ids", "fields"),
    [
        ((), ["rowIds"]),
        (("row-1", "row-2"), ["rowIds"]),
        (("row-1", "row-2", "row-2", "row-3"), ["rowIds[2]"]),
        (("row-1", "row-9", "row-3"), ["rowIds[1]", "rowIds"]),
        (("row-9", "row-9", "row-1", "row-2", "row-3"), ["rowIds[0]", "rowIds[1]"]),
    ],
)
def test_an_order_of_other_rows(row_ids: tuple[str, ...], fields: list[str]) -> None:
    assert refused(reorder(menu_of(1, 2, 3), row_ids)) == [
        (ErrorCode.MENU_MISMATCH, field) for field in fields
    ]


@given(st.permutations(range(1, 8)))
def test_any_order_of_the_same_rows(amounts: list[int]) -> None:
    menu = menu_of(*range(1, 8))
    ordered = made(reorder(menu, tuple(f"row-{amount}" for amount in amounts)))
    assert [row.tip_amount for row in ordered] == amounts
    assert [row.order for row in ordered] == list(range(7))


# ---- any number of edits ---------------------------------------------------------------------

EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 6), st.booleans()),
        st.tuples(st.just("replace"), st.integers(1, 6), st.booleans(), st.integers(0, 5)),
        st.tuples(st.just("remove"), st.integers(0, 5)),
        st.tuples(st.just("reverse")),
    ),
    max_size=25,
)


@given(EDITS)
def test_whatever_edits_come_a_menu_stays_one(edits: list[tuple[Any, ...]]) -> None:
    menu: Menu = ()
    for number, edit in enumerate(edits):
        match edit:
            case ("add", amount, active):
                after = add_row(menu, f"row-{number}", draft(amount, active=active), ())
            case ("replace", amount, active, at) if at < len(menu):
                row_id = menu[at].row_id
                after = replace_row(menu, row_id, draft(amount, active=active), ())
            case ("remove", at) if at < len(menu):
                after = remove_row(menu, menu[at].row_id)
            case ("reverse",):
                after = reorder(menu, tuple(row.row_id for row in reversed(menu)))
            case _:
                continue
        if isinstance(after, tuple):
            assert rebuilt(menu, after) == after
            menu = after
    amounts = [row.tip_amount for row in menu if row.active]
    assert len(amounts) == len(set(amounts))
    assert [row.order for row in menu] == list(range(len(menu)))


def rebuilt(old: Menu, new: Menu) -> Menu:
    """The new menu out of the old one and its history alone."""
    rows = {row.row_id: row for row in old}
    order = list(rows)
    for name, (_, after) in difference(old, new).items():
        row_id = name.removeprefix("tipMenu.")
        if name == "tipMenu.order":
            order = after + [each for each in order if each not in after]
        elif after is None:
            del rows[row_id]
            order.remove(row_id)
        else:
            rows[row_id] = msgspec.convert(after | {"order": 0}, TipMenuRow)
            order += [] if row_id in order else [row_id]
    return tuple(
        msgspec.structs.replace(rows[row_id], order=place) for place, row_id in enumerate(order)
    )


def test_the_history_of_no_change_is_empty() -> None:
    assert difference(menu_of(1, 2), menu_of(1, 2)) == {}
