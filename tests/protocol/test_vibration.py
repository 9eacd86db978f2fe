"""What a toy is asked to do: ranges, contradictions, and that it always ends."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import field_path
from protocol.vibration import (
    DURATION_S_MAX,
    Pattern,
    PresetName,
    Vibration,
    VibrationType,
    cap,
    level,
    merge,
)

LEVEL = {
    "type": "LEVEL",
    "strength": 10,
    "durationSec": 5,
    "presetName": None,
    "pattern": None,
}
PRESET = {**LEVEL, "type": "PRESET", "strength": None, "presetName": "wave"}
PATTERN = {
    **LEVEL,
    "type": "PATTERN",
    "strength": None,
    "pattern": {"values": [1, 20], "intervalMs": 200},
}


def read(value: Any) -> Vibration:
    return msgspec.json.decode(msgspec.json.encode(value), type=Vibration)


@pytest.mark.parametrize(
    "value",
    [
        LEVEL,
        PRESET,
        PATTERN,
        LEVEL | {"strength": 0},
        LEVEL | {"strength": 20},
        LEVEL | {"durationSec": 1},
        LEVEL | {"durationSec": 3600},
        PRESET | {"strength": 16},
        PATTERN | {"strength": 16},
        PATTERN | {"pattern": {"values": [0], "intervalMs": 101}},
        PATTERN | {"pattern": {"values": [20] * 50, "intervalMs": 1000}},
        *(PRESET | {"presetName": name} for name in ("pulse", "wave", "fireworks", "earthquake")),
    ],
)
def test_allowed(value: dict[str, Any]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(read(value))) == value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (LEVEL | {"strength": None}, "strength"),
        (LEVEL | {"strength": -1}, "strength"),
        (LEVEL | {"strength": 21}, "strength"),
        (LEVEL | {"strength": 1.5}, "strength"),
        (LEVEL | {"strength": True}, "strength"),
        (LEVEL | {"durationSec": 0}, "durationSec"),
        (LEVEL | {"durationSec": -1}, "durationSec"),
        (LEVEL | {"durationSec": 3601}, "durationSec"),
        (LEVEL | {"durationSec": None}, "durationSec"),
        (LEVEL | {"presetName": "wave"}, "presetName"),
        (LEVEL | {"pattern": PATTERN["pattern"]}, "pattern"),
        (PRESET | {"presetName": None}, "presetName"),
        (PRESET | {"presetName": "twowaves"}, "presetName"),
        (PRESET | {"presetName": "Wave"}, "presetName"),
        (PRESET | {"pattern": PATTERN["pattern"]}, "pattern"),
        (PATTERN | {"pattern": None}, "pattern"),
        (PATTERN | {"presetName": "wave"}, "presetName"),
        (PATTERN | {"pattern": {"values": [], "intervalMs": 200}}, "pattern.values"),
        (PATTERN | {"pattern": {"values": [1] * 51, "intervalMs": 200}}, "pattern.values"),
        (PATTERN | {"pattern": {"values": [1, 21], "intervalMs": 200}}, "pattern.values[1]"),
        (PATTERN | {"pattern": {"values": [-1], "intervalMs": 200}}, "pattern.values[0]"),
        (PATTERN | {"pattern": {"values": [1], "intervalMs": 100}}, "pattern.intervalMs"),
        (PATTERN | {"pattern": {"values": [1], "intervalMs": 1001}}, "pattern.intervalMs"),
        (LEVEL | {"type": "FUNCTION"}, "type"),
        (LEVEL | {"toyId": "x"}, "toyId"),
    ],
)
def test_refused_with_its_path(value: dict[str, Any], path: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        read(value)
    assert field_path(caught.value) == path


@pytest.mark.parametrize(
    ("values", "mean"),
    [((0,), 0), ((20,), 20), ((1, 2), 2), ((1, 1, 2), 1), ((0, 0, 0, 1, 1), 0), ((0, 1, 1), 1)],
)
def test_mean_strength_is_rounded_half_up(values: tuple[int, ...], mean: int) -> None:
    assert Pattern(values, 200).mean_strength == mean


@given(st.lists(st.integers(0, 20), min_size=1, max_size=50))
def test_mean_strength_lies_within_the_pattern(values: list[int]) -> None:
    assert min(values) <= Pattern(tuple(values), 200).mean_strength <= max(values)


def test_wanted_strength() -> None:
    pattern = Pattern((4, 6), 200)
    assert level(16, 5).wanted_strength == 16
    assert level(0, 5).wanted_strength == 0
    assert Vibration(VibrationType.PRESET, None, 5, PresetName.WAVE, None).wanted_strength == 10
    assert Vibration(VibrationType.PRESET, 16, 5, PresetName.WAVE, None).wanted_strength == 16
    assert Vibration(VibrationType.PATTERN, 20, 5, None, pattern).wanted_strength == 5


@pytest.mark.parametrize(
    ("wanted_s", "longest_s", "got_s"), [(5, 30, 5), (30, 30, 30), (31, 30, 30)]
)
def test_cap(wanted_s: int, longest_s: int, got_s: int) -> None:
    for value in (LEVEL, PRESET, PATTERN):
        wanted = read(value | {"durationSec": wanted_s})
        assert cap(wanted, longest_s) == read(value | {"durationSec": got_s})


# ---- several as one ----------------------------------------------------------------------------

WAVE = Vibration(VibrationType.PRESET, None, 8, PresetName.WAVE, None)
RISING = Vibration(VibrationType.PATTERN, None, 4, None, Pattern((0, 20), 200))


@pytest.mark.parametrize(
    ("together", "merged"),
    [
        ([level(5, 3)], level(5, 3)),
        ([level(5, 3), level(16, 4), level(9, 2)], level(16, 9)),
        ([level(10, 3), WAVE, RISING], level(10, 15)),  # all count as 10: the first of equals
        ([level(9, 3), WAVE], msgspec.structs.replace(WAVE, duration_sec=11)),
        ([RISING, level(9, 1)], msgspec.structs.replace(RISING, duration_sec=5)),
        ([level(1, 20), level(2, 20)], level(2, 30)),
    ],
)
def test_merge(together: list[Vibration], merged: Vibration) -> None:
    assert merge(together, 30) == merged


@given(
    st.lists(st.builds(level, st.integers(0, 20), st.integers(1, 3600)), min_size=1, max_size=300),
    st.integers(1, DURATION_S_MAX),
)
def test_a_merge_is_bounded_and_never_endless(together: list[Vibration], longest_s: int) -> None:
    merged = merge(together, longest_s)
    assert 1 <= merged.duration_sec <= longest_s
    assert merged.strength == max(each.strength or 0 for each in together)
    assert read(msgspec.to_builtins(merged)) == merged


def test_nothing_merges_into_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        merge([], 30)
