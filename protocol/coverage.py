"""Which rows of a tip menu the model's own settings can express, and the settings that would
express all of them (spec 4: EXTENSION and CAM_KIT take only tip amounts).

Read `cover` and `propose`. Both go by what `lovense.model_call` would really do with a row, cut to
the platform's longest activation; neither guesses beside it. A LEVEL can be exact. A PRESET is
exact where the special of its name is enabled, priced and as long. A PATTERN never is: these
products know no patterns of ours, so the level nearest to its mean strength stands in.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from protocol.audit import Reason
from protocol.lovense import LevelMap, model_call
from protocol.tip_activated import AMOUNT_MAX, LovenseMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import PlatformSettings
from protocol.vibration import STRENGTH_MAX, PresetName, Vibration, VibrationType, cap


class CoverageKind(StrEnum):
    EXACT = "exact"
    NEAREST = "nearest"
    IMPOSSIBLE = "impossible"


class Obstacle(StrEnum):
    """Why a row cannot be played, as the audit would say it."""

    NO_LEVEL_MAP = Reason.NO_LEVEL_MAP.value
    PRESET_UNAVAILABLE = Reason.PRESET_UNAVAILABLE.value


class RowCoverage(msgspec.Struct, frozen=True, rename="camel"):
    """What one active row comes to. `amount`: the tokens that would be passed to the vendor, the
    row's own where that is possible; `level`: the level or special that this amount plays. The
    differences are absolute: strength steps of 0..20, and seconds; None where the vendor does not
    say. `reason`: why it is impossible. `belowMinimum`: whatever her settings are, the platform's
    smallest amount for a reaction is larger, so that nothing is passed."""

    row_id: str
    tip_amount: int
    description: str
    type: VibrationType
    kind: CoverageKind
    amount: int | None = None
    level: str | None = None
    strength_difference: int | None = None
    seconds_difference: float | None = None
    reason: Obstacle | None = None
    below_minimum: bool = False


class ProposedLevel(msgspec.Struct, frozen=True, rename="camel"):
    """One level as the vendor's settings name its parts: tips of `min`..`max` tokens run the toy
    at strength `vLevel` (1..20) for `time` seconds."""

    name: str
    min: int
    max: int
    time: int
    v_level: int


class NeededSpecial(msgspec.Struct, frozen=True, rename="camel"):
    """A special that her settings must enable and price, to play `time` seconds. Where rows want
    the same preset for different times, the cheapest row's: a special has one time."""

    name: PresetName
    time: int


class Proposal(msgspec.Struct, frozen=True, rename="camel"):
    """Settings that make every LEVEL row exact, and every PATTERN's stand-in of its mean strength
    and its time. `levels` replace hers: by amount, without overlap. `specials`: those that have
    to change, for the PRESET rows; empty where none has to."""

    levels: tuple[ProposedLevel, ...]
    specials: tuple[NeededSpecial, ...]


class MenuCoverage(msgspec.Struct, frozen=True, rename="camel"):
    """`known`: her page is open and has reported her settings; if not, nothing else can be said.
    `rows`: the active rows, in the menu's order. `strengthMax`: 0..20, what she allows her toys at
    most: no settings of the product's play a stronger row as it is meant."""

    known: bool
    strength_max: int = STRENGTH_MAX
    rows: tuple[RowCoverage, ...] = ()
    proposal: Proposal | None = None


def menu_coverage(
    rows: Iterable[TipMenuRow], level_map: LevelMap | None, platform: PlatformSettings
) -> MenuCoverage:
    """Of the active rows, by settings that were reported; a `level_map` of None: they hold nothing
    usable."""
    active = sorted((row for row in rows if row.active), key=lambda row: row.order)
    return MenuCoverage(
        known=True,
        strength_max=STRENGTH_MAX if level_map is None else level_map.strength_max,
        rows=tuple(cover(row, level_map, platform) for row in active),
        proposal=propose(active, level_map, platform),
    )


def cover(row: TipMenuRow, level_map: LevelMap | None, platform: PlatformSettings) -> RowCoverage:
    """What a tip of this row's amount makes of it."""
    seconds_max = platform.lovense_max_activation_duration
    vibration = cap(row.vibration, seconds_max)
    # The integrations differ in the order of the arguments alone.
    mode, amount = LovenseMode.EXTENSION, row.tip_amount
    fitted = model_call(mode, vibration, level_map, amount, "", seconds_max)
    impossible = fitted.call is None
    return RowCoverage(
        row_id=row.row_id,
        tip_amount=amount,
        description=row.description,
        type=vibration.type,
        kind=CoverageKind.IMPOSSIBLE if impossible else CoverageKind(fitted.fit.kind),
        amount=None if fitted.call is None else fitted.call.args[0],
        level=fitted.fit.level,
        strength_difference=fitted.fit.strength_difference,
        seconds_difference=fitted.fit.seconds_difference,
        reason=None if fitted.reason is None else Obstacle(fitted.reason.value),
        below_minimum=amount < platform.lovense_min_tip_for_activation,
    )


def propose(
    rows: Iterable[TipMenuRow], level_map: LevelMap | None, platform: PlatformSettings
) -> Proposal:
    """Settings for these rows, beside the specials that she has priced already."""
    seconds_max = platform.lovense_max_activation_duration
    wanted = [(row.tip_amount, cap(row.vibration, seconds_max)) for row in rows]
    wanted.sort(key=lambda each: each[0])
    specials = level_map.specials if level_map is not None else ()
    needed = tuple(
        special
        for special in _specials_for(wanted)
        if not any(
            each.name == special.name and each.seconds in (None, special.time) for each in specials
        )
    )
    return Proposal(_levels_for(wanted, {special.amount for special in specials}), needed)


Wanted = tuple[int, Vibration]
"""A row's amount, and what it plays."""


def _specials_for(wanted: Iterable[Wanted]) -> list[NeededSpecial]:
    """One for each preset, of the cheapest row that plays it."""
    needed: dict[PresetName, NeededSpecial] = {}
    for _, vibration in wanted:
        name = vibration.preset_name
        if name is not None and name not in needed:
            needed[name] = NeededSpecial(name, vibration.duration_sec)
    return list(needed.values())


def _levels_for(wanted: Iterable[Wanted], taken: set[int]) -> tuple[ProposedLevel, ...]:
    """Each reaction has an amount of its own that plays it; each level reaches from one such
    amount to just below the next. Neighbours of one reaction share a level."""
    amounts = {amount for amount, _ in wanted}
    reactions: dict[int, tuple[int, int]] = {}
    for amount, vibration in wanted:
        if vibration.type is VibrationType.PRESET:
            continue
        reaction = max(vibration.wanted_strength, 1), vibration.duration_sec
        if amount not in taken:
            reactions[amount] = reaction
        elif reaction not in reactions.values():
            reactions[_free_amount(amount, taken | amounts | reactions.keys())] = reaction
    starts: list[tuple[int, tuple[int, int]]] = []
    for amount, reaction in sorted(reactions.items()):
        if not starts or starts[-1][1] != reaction:
            starts.append((amount, reaction))
    return tuple(
        ProposedLevel(
            name=f"level{number}",
            min=start,
            max=starts[number][0] - 1 if number < len(starts) else AMOUNT_MAX,
            time=seconds,
            v_level=strength,
        )
        for number, (start, (strength, seconds)) in enumerate(starts, 1)
    )


def _free_amount(near: int, taken: set[int]) -> int:
    """The next larger amount that is not taken, else the next smaller: a menu and her specials
    together take a hundred or so of AMOUNT_MAX."""
    above = (amount for amount in range(near, AMOUNT_MAX + 1) if amount not in taken)
    below = (amount for amount in range(near, 0, -1) if amount not in taken)
    amount = next(above, None)
    return amount if amount is not None else next(below)
