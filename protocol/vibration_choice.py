"""A reaction as a person chooses it: in the shape of its kind, without the event's nulls.

A row of a tip menu and an item of a performance menu are sent and shown so.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from protocol.pattern_library import Library, pattern_of
from protocol.tip_activated import Id
from protocol.vibration import (
    STRENGTH_MAX,
    DurationSec,
    Pattern,
    PresetName,
    Vibration,
    VibrationType,
    level,
)

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
    how a row compares with others; null counts as 10."""

    preset_name: PresetName
    strength: RowStrength | None = None


class PatternChoice(_Choice, frozen=True, tag="PATTERN"):
    """Her own values, repeated until the time is over."""

    pattern: Pattern


class StoredPatternChoice(_Choice, frozen=True, tag="STORED_PATTERN"):
    """A pattern of her library. What she edits takes a copy and is a PATTERN from then on."""

    pattern_id: Id


VibrationChoice = LevelChoice | PresetChoice | PatternChoice
DraftedVibration = VibrationChoice | StoredPatternChoice


def vibration_of(choice: DraftedVibration, library: Library) -> Vibration | None:
    """The reaction itself. None: the library has no such pattern."""
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


def choice_of(vibration: Vibration) -> VibrationChoice:
    """The reaction as its owner gets it."""
    seconds, strength = vibration.duration_sec, vibration.strength
    if vibration.preset_name is not None:
        return PresetChoice(
            preset_name=vibration.preset_name, duration_sec=seconds, strength=strength or None
        )
    if vibration.pattern is not None:
        return PatternChoice(pattern=vibration.pattern, duration_sec=seconds)
    return LevelChoice(strength=vibration.wanted_strength, duration_sec=seconds)
