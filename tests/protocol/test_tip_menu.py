"""Which vibration an amount buys (spec 1, "Where item.vibration comes from")."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import field_path
from protocol.tip_activated import AMOUNT_MAX, ItemType
from protocol.tip_menu import TipMenuRow, priority_of, resolve_item
from protocol.toy_settings import ModelSettings, PlatformSettings
from protocol.vibration import PresetName, Vibration, VibrationType, level

PLATFORM = PlatformSettings(enable_lovense=True)
MODEL = ModelSettings()
WAVE = Vibration(VibrationType.PRESET, None, 8, PresetName.WAVE, None)


def row(amount: int, vibration: Vibration = WAVE, *, active: bool = True) -> TipMenuRow:
    return TipMenuRow(f"row-{amount}", amount, vibration, f"Wave for {amount}", active, 0)


def vibration_of(
    amount: int,
    *rows: TipMenuRow,
    platform: PlatformSettings = PLATFORM,
    model: ModelSettings = MODEL,
) -> Vibration | None:
    return resolve_item(amount, rows, platform, model, bonus_points=0).vibration


def with_platform(**changes: Any) -> PlatformSettings:
    return msgspec.structs.replace(PLATFORM, **changes)


def with_model(**changes: Any) -> ModelSettings:
    return msgspec.structs.replace(MODEL, **changes)


def test_row_of_exactly_this_amount() -> None:
    item = resolve_item(50, (row(49), row(50), row(51)), PLATFORM, MODEL, bonus_points=7)
    assert item.item_type is ItemType.TIP
    assert item.item_id == "row-50"
    assert item.item_name == item.description_public == "Wave for 50"
    assert item.vibration == WAVE
    assert item.bonus_points == 7


def test_a_row_below_the_minimum_is_bought_and_plays_nothing() -> None:
    """A tip below the minimum gets no toy: the platform's setting, which no model undercuts."""
    item = resolve_item(9, (row(9),), PLATFORM, MODEL, bonus_points=0)
    assert (item.item_id, item.vibration) == ("row-9", None)
    assert vibration_of(10, row(10)) == WAVE


def test_plain_tip_is_the_platforms_level_for_five_seconds() -> None:
    item = resolve_item(25, (row(50),), PLATFORM, MODEL, bonus_points=0)
    assert item.item_type is ItemType.TIP
    assert item.item_id == "tip"
    assert item.vibration == level(10, 5)
    assert vibration_of(25, platform=with_platform(lovense_default_intensity=3)) == level(3, 5)


@pytest.mark.parametrize(("amount", "reacts"), [(1, False), (9, False), (10, True), (99_999, True)])
def test_platforms_minimum(amount: int, reacts: bool) -> None:
    assert (vibration_of(amount) is not None) is reacts


@pytest.mark.parametrize(
    ("threshold", "amount", "reacts"),
    [(None, 10, True), (5, 9, False), (5, 10, True), (40, 39, False), (40, 40, True)],
)
def test_a_model_may_ask_for_more_but_not_for_less(
    threshold: int | None, amount: int, reacts: bool
) -> None:
    model = with_model(tip_threshold=threshold)
    assert (vibration_of(amount, model=model) is not None) is reacts


def test_required_menu_leaves_a_plain_tip_without_a_reaction() -> None:
    strict = with_platform(lovense_require_tip_menu=True)
    assert vibration_of(5_000, row(50), platform=strict) is None
    assert vibration_of(50, row(50), platform=strict) == WAVE


def test_inactive_row_does_not_count() -> None:
    assert vibration_of(50, row(50, active=False)) == level(10, 5)
    assert vibration_of(5, row(5, active=False)) is None
    assert vibration_of(50, row(50, level(1, 1), active=False), row(50)) == WAVE


def test_menu_that_is_switched_off_does_not_count() -> None:
    off = with_model(tip_menu_enabled=False)
    assert vibration_of(50, row(50), model=off) == level(10, 5)


def test_models_default_preset_replaces_the_default_level_only() -> None:
    model = with_model(default_preset=PresetName.PULSE)
    pulse = Vibration(VibrationType.PRESET, None, 5, PresetName.PULSE, None)
    assert vibration_of(25, row(50), model=model) == pulse
    assert vibration_of(50, row(50), model=model) == WAVE
    assert vibration_of(9, row(50), model=model) is None


def test_row_and_default_are_cut_to_the_platforms_longest() -> None:
    short = with_platform(lovense_max_activation_duration=3)
    assert vibration_of(50, row(50), platform=short) == msgspec.structs.replace(
        WAVE, duration_sec=3
    )
    assert vibration_of(25, platform=short) == level(10, 3)


@given(
    st.integers(1, 99_999),
    st.lists(st.builds(row, st.integers(1, 60), active=st.booleans()), max_size=6),
    st.integers(1, 60),
    st.booleans(),
)
def test_any_reaction_is_finite_and_has_its_reason(
    amount: int, rows: list[TipMenuRow], longest_s: int, required: bool
) -> None:
    platform = with_platform(
        lovense_max_activation_duration=longest_s, lovense_require_tip_menu=required
    )
    vibration = vibration_of(amount, *rows, platform=platform)
    named = any(each.active and each.tip_amount == amount for each in rows)
    assert (vibration is not None) is (amount >= 10 and (named or not required))
    if vibration is not None:
        assert 1 <= vibration.duration_sec <= longest_s


# ---- the row itself --------------------------------------------------------------------------

GOOD = {
    "rowId": "row-1",
    "tipAmount": 50,
    "vibration": msgspec.to_builtins(level(1, 5)),
    "description": "A tickle",
    "active": True,
    "order": 0,
}


def test_row_is_read() -> None:
    assert msgspec.convert(GOOD, TipMenuRow).vibration == level(1, 5)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"tipAmount": 0}, "tipAmount"),
        ({"tipAmount": 100_000}, "tipAmount"),
        ({"description": "x" * 201}, "description"),
        ({"description": "nul\x00"}, "description"),
        ({"order": -1}, "order"),
        ({"rowId": "a b"}, "rowId"),
        ({"vibration": None}, "vibration"),
        ({"vibration": msgspec.to_builtins(level(0, 5))}, "vibration"),
        ({"vibration": msgspec.to_builtins(level(5, 0))}, "vibration.durationSec"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_row_is_refused_with_its_path(change: dict[str, Any], path: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(GOOD | change, TipMenuRow)
    assert field_path(caught.value) == path


# ---- priority ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "priority"), [(1, 1), (2, 2), (10, 4), (100, 8), (1_000, 12), (AMOUNT_MAX, 20)]
)
def test_priority_by_amount(amount: int, priority: int) -> None:
    assert priority_of(amount, "tip", ()) == priority


@given(st.integers(1, AMOUNT_MAX), st.integers(1, AMOUNT_MAX))
def test_more_tokens_are_never_less_important(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert 1 <= priority_of(low, "tip", ()) <= priority_of(high, "tip", ()) <= 20


def test_priority_by_the_row() -> None:
    first = msgspec.structs.replace(row(50), priority=19)
    assert priority_of(50, "row-50", (row(10), first)) == 19
    assert priority_of(50, "row-10", (row(10), first)) == priority_of(50, "tip", ())


@pytest.mark.parametrize("priority", [0, 21])
def test_a_priority_out_of_range_is_named(priority: int) -> None:
    wire = msgspec.to_builtins(row(50)) | {"priority": priority}
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(wire, TipMenuRow)
    assert field_path(error.value) == "priority"
