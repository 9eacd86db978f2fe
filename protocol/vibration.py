"""What a toy is asked to do: a level, a preset or a pattern, for a bounded time.

Spec: payload `item.vibration`; ranges from the tip menu. A vibration that reaches a vendor call
is always finite: `durationSec` is at least 1 and is capped before it is used, because the vendor
reads a time of 0 as "for ever".
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

STRENGTH_MAX: Final = 20
DURATION_S_MAX: Final = 3600
PATTERN_VALUES_MAX: Final = 50

Strength = Annotated[int, Meta(ge=0, le=STRENGTH_MAX)]
DurationSec = Annotated[int, Meta(ge=1, le=DURATION_S_MAX)]


class VibrationType(StrEnum):
    LEVEL = "LEVEL"
    PRESET = "PRESET"
    PATTERN = "PATTERN"


class PresetName(StrEnum):
    """The presets that every integration knows."""

    PULSE = "pulse"
    WAVE = "wave"
    FIREWORKS = "fireworks"
    EARTHQUAKE = "earthquake"


class Pattern(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Strengths 0..20 played one after the other, `intervalMs` (101..1000) each."""

    values: Annotated[tuple[Strength, ...], Meta(min_length=1, max_length=PATTERN_VALUES_MAX)]
    interval_ms: Annotated[int, Meta(ge=101, le=1000)]

    @property
    def mean_strength(self) -> int:
        """The level that stands in for the pattern where only levels exist; rounded half up."""
        return (2 * sum(self.values) + len(self.values)) // (2 * len(self.values))


class Vibration(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One reaction. The field that `type` names must be set; `strength` may accompany a preset
    or a pattern (it informs, it does not change the call); nothing else may be set.

    Raises ValueError on a contradiction; a decoder reports it with the field's path.
    """

    type: VibrationType
    strength: Strength | None
    duration_sec: DurationSec
    preset_name: PresetName | None
    pattern: Pattern | None

    def __post_init__(self) -> None:
        needed = {
            VibrationType.LEVEL: ("strength", self.strength),
            VibrationType.PRESET: ("presetName", self.preset_name),
            VibrationType.PATTERN: ("pattern", self.pattern),
        }
        name, value = needed[self.type]
        if value is None:
            raise ValueError(f"`{name}` is needed by {self.type}")
        if self.preset_name is not None and self.type is not VibrationType.PRESET:
            raise ValueError("`presetName` belongs to PRESET")
        if self.pattern is not None and self.type is not VibrationType.PATTERN:
            raise ValueError("`pattern` belongs to PATTERN")

    @property
    def wanted_strength(self) -> int:
        """The strength 0..20 that expresses this vibration where only levels exist."""
        if self.pattern is not None:
            return self.pattern.mean_strength
        return self.strength if self.strength is not None else STRENGTH_MAX // 2


def level(strength: int, duration_sec: int) -> Vibration:
    """A LEVEL vibration."""
    return Vibration(VibrationType.LEVEL, strength, duration_sec, None, None)


def merge(vibrations: Sequence[Vibration], duration_sec_max: int) -> Vibration:
    """Several reactions as one (spec 3, mode batch): the strongest, the first of equals, for all of
    their durations together, no longer than `duration_sec_max`. Raises ValueError for none."""
    strongest = max(vibrations, key=lambda each: each.wanted_strength)
    together = min(sum(each.duration_sec for each in vibrations), DURATION_S_MAX)
    return cap(msgspec.structs.replace(strongest, duration_sec=together), duration_sec_max)


def cap(vibration: Vibration, duration_sec_max: int) -> Vibration:
    """The same vibration, no longer than the platform allows (`lovenseMaxActivationDuration`)."""
    if vibration.duration_sec <= duration_sec_max:
        return vibration
    return msgspec.structs.replace(vibration, duration_sec=duration_sec_max)
