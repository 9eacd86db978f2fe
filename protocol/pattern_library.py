"""The patterns a model may put into her tip menu: the vendor's presets, and those she has drawn.

Each edit is a pure function from a library to the library after it, or to the refusals. A row of
the tip menu takes a copy of a pattern: to change or remove one here changes no row.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import NO_NUL_PATTERN, Id
from protocol.vibration import Pattern, PresetName

PATTERNS_MAX: Final = 100
"""Of one model."""

PatternName = Annotated[str, Meta(min_length=1, max_length=65, pattern=NO_NUL_PATTERN)]


class Preset(msgspec.Struct, frozen=True, rename="camel"):
    """A preset that every integration knows, in words."""

    name: PresetName
    description: str


PRESETS: Final = (
    Preset(PresetName.PULSE, "Short, even beats with a rest after each."),
    Preset(PresetName.WAVE, "Rises and falls, over and over."),
    Preset(PresetName.FIREWORKS, "Builds up, then bursts."),
    Preset(PresetName.EARTHQUAKE, "An uneven rumble that never settles."),
)


class PatternDraft(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A pattern as a model sends it. Names need not differ."""

    name: PatternName
    pattern: Pattern


class StoredPattern(msgspec.Struct, frozen=True, rename="camel"):
    pattern_id: Id
    name: PatternName
    pattern: Pattern


Library = tuple[StoredPattern, ...]
"""In the order in which they were added."""


def add_pattern(library: Library, pattern_id: str, draft: PatternDraft) -> Library | list[Refusal]:
    """With one more. LIMIT_REACHED when there are PATTERNS_MAX."""
    if len(library) >= PATTERNS_MAX:
        detail = f"A model may store {PATTERNS_MAX} patterns; remove one first."
        return [Refusal(ErrorCode.LIMIT_REACHED, detail=detail)]
    return (*library, StoredPattern(pattern_id, draft.name, draft.pattern))


def replace_pattern(
    library: Library, pattern_id: str, draft: PatternDraft
) -> Library | list[Refusal]:
    """With this one changed, in its place. PATTERN_UNKNOWN."""
    changed = StoredPattern(pattern_id, draft.name, draft.pattern)
    if pattern_of(library, pattern_id) is None:
        return [Refusal(ErrorCode.PATTERN_UNKNOWN)]
    return tuple(changed if each.pattern_id == pattern_id else each for each in library)


def remove_pattern(library: Library, pattern_id: str) -> Library | list[Refusal]:
    """Without this one. PATTERN_UNKNOWN."""
    if pattern_of(library, pattern_id) is None:
        return [Refusal(ErrorCode.PATTERN_UNKNOWN)]
    return tuple(each for each in library if each.pattern_id != pattern_id)


def pattern_of(library: Library, pattern_id: str) -> StoredPattern | None:
    return next((each for each in library if each.pattern_id == pattern_id), None)
