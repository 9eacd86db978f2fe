"""The library of patterns: presets in words, and a model's own up to a bound."""

from typing import Any

import msgspec
import pytest

from protocol.errors import ErrorCode
from protocol.pattern_library import (
    PATTERNS_MAX,
    PRESETS,
    Library,
    PatternDraft,
    StoredPattern,
    add_pattern,
    remove_pattern,
    replace_pattern,
)
from protocol.validation import validate
from protocol.vibration import Pattern, PresetName

TIDE = PatternDraft("Tide", Pattern((1, 20), 200))
GOOD = msgspec.to_builtins(TIDE)


def code_of(result: object) -> ErrorCode:
    assert isinstance(result, list)
    [refusal] = result
    assert refusal.field is None
    code = refusal.code
    assert isinstance(code, ErrorCode)
    return code


def test_every_preset_is_described_once() -> None:
    assert [preset.name for preset in PRESETS] == list(PresetName)
    assert all(preset.description for preset in PRESETS)


def test_a_library_keeps_its_order() -> None:
    library: Library = ()
    for pattern_id in "abc":
        library = add_pattern(library, pattern_id, TIDE)  # type: ignore[assignment]
    changed = replace_pattern(library, "b", PatternDraft("Ebb", TIDE.pattern))
    assert changed == (
        StoredPattern("a", "Tide", TIDE.pattern),
        StoredPattern("b", "Ebb", TIDE.pattern),
        StoredPattern("c", "Tide", TIDE.pattern),
    )
    assert remove_pattern(library, "b") == (library[0], library[2])


def test_what_is_not_there() -> None:
    assert code_of(replace_pattern((), "a", TIDE)) is ErrorCode.PATTERN_UNKNOWN
    assert code_of(remove_pattern((), "a")) is ErrorCode.PATTERN_UNKNOWN


def test_a_library_has_an_end() -> None:
    full = tuple(StoredPattern(str(each), "x", TIDE.pattern) for each in range(PATTERNS_MAX))
    assert code_of(add_pattern(full, "more", TIDE)) is ErrorCode.LIMIT_REACHED
    assert len(add_pattern(full[1:], "more", TIDE)) == PATTERNS_MAX


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"name": ""}, {"name"}),
        ({"name": "x" * 66}, {"name"}),
        ({"name": "nul\0", "pattern": None}, {"name", "pattern"}),
        (
            {"pattern": {"values": [21], "intervalMs": 1001}, "id": "a"},
            {"pattern.values[0]", "pattern.intervalMs", "id"},
        ),
    ],
)
def test_each_bad_field_is_named(change: dict[str, Any], paths: set[str]) -> None:
    found = validate(GOOD | change, PatternDraft)
    assert isinstance(found, list)
    assert {refusal.field for refusal in found} == paths


def test_the_longest_name() -> None:
    assert isinstance(validate(GOOD | {"name": "x" * 65}, PatternDraft), PatternDraft)
