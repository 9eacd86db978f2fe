"""From a vibration to one vendor call, for the three Lovense integrations (spec 4).

The Cam Extension and Cam Kit take only *tip amounts*: strength and time are the model's own
settings. So a wanted vibration is expressed as an amount that those settings map to the nearest
reaction, and how near it is (`Fit`) is audited. The Basic SDK of a viewer takes the strength and
the time of each command. Read `model_call` and `viewer_call`; the rest serves them.

The vendor's types are loose (numbers as strings, four spellings of "connected"); `Reported*` are
the shapes as pages report them, `read_toys` and `read_level_map` make them strict.
"""

import math
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from protocol.audit import Reason
from protocol.tip_activated import AMOUNT_MAX, NO_NUL_PATTERN, LovenseMode
from protocol.vibration import DURATION_S_MAX, STRENGTH_MAX, Vibration, VibrationType

TOYS_MAX: Final = 16
REMEMBERED_MAX: Final = 4096
"""Toys, and calls on them, that need not be worked out again."""
LEVELS_MAX: Final = 64

FIELDS_MAX: Final = 32
"""Of one level or special; the documented ones have at most five."""

Short = Annotated[str, Meta(max_length=64, pattern=NO_NUL_PATTERN)]
Loose = int | float | Short | bool | None
"""A vendor number or flag, however it comes."""
Undocumented = Any
"""A value of the vendor's that we may not know (`giveControl` and `random` hold more than
numbers): what is not a usable number or flag is not read, and never refuses the report."""


class Integration(StrEnum):
    EXTENSION = "EXTENSION"
    CAM_KIT = "CAM_KIT"
    BASIC_SDK = "BASIC_SDK"


class VendorCall(msgspec.Struct, frozen=True, rename="camel"):
    """One call of the vendor's script: `method(*args)`, names and order as documented."""

    integration: Integration
    method: str
    args: tuple[Any, ...]


class Fit(msgspec.Struct, frozen=True, rename="camel"):
    """How well a call expresses what was wanted. `level`: the level or special that is used.
    The differences are absolute: strength steps of 0..20, and seconds."""

    kind: Literal["exact", "nearest", "none"]
    level: str | None = None
    strength_difference: int | None = None
    seconds_difference: float | None = None


class Fitted(msgspec.Struct, frozen=True):
    """A call with its fit; or no call, and the reason. `seconds`: how long the call plays."""

    call: VendorCall | None
    fit: Fit
    reason: Reason | None = None
    seconds: float = 0.0


NOT_RUN_CODES: Final = frozenset(
    {"expired", "no_toy", "wrong_integration", "unknown_method", "bad_arguments"}
)
"""Failure codes of our pages that mean the vendor was not called. After any other the vendor may
hold the call, and the toy may still run."""


# ---- toys ------------------------------------------------------------------------------------


class ReportedToy(msgspec.Struct, frozen=True, rename="camel"):
    """One toy as a page reports it: the union of what the three integrations send."""

    id: Short
    name: Short = ""
    type: Short | None = None
    toy_type: Short | None = None
    nick_name: Short | None = None
    nickname: Short | None = None
    status: Loose = None
    connected: Loose = None
    battery: Loose = None
    full_function_names: Annotated[tuple[Short, ...], Meta(max_length=16)] | None = None
    version: Loose = None
    f_version: Loose = None


class Toy(msgspec.Struct, frozen=True, rename="camel"):
    """One toy, normalised. `battery` is a percentage 0..100, None where it is not reported.
    `functions`: those that a strength can drive, as reported; empty where it is the type's."""

    toy_id: str
    name: str
    toy_type: str
    nickname: str
    connected: bool
    battery: int | None
    functions: tuple[str, ...] = ()
    firmware: str = ""
    max_strength: int = STRENGTH_MAX
    """0..20, as its owner has limited it."""
    enabled: bool = True
    """Its owner has not taken it out."""
    limited: bool = False
    """Its owner has taken out some of its functions."""
    faulty: bool = False
    """Connected, but the last command to it failed."""

    @property
    def usable(self) -> bool:
        """Something can be played on it now."""
        return self.connected and self.enabled and self.max_strength > 0


_ON: Final = frozenset({"1", "on", "true", "online", "connected"})


def read_toys(reported: tuple[ReportedToy, ...]) -> tuple[Toy, ...]:
    """The toys, with the vendor's spellings made one. Unreadable batteries become None."""
    return tuple(_read_toy(toy) for toy in reported)


def _read_toy(toy: ReportedToy) -> Toy:
    flag = toy.connected if toy.connected is not None else toy.status
    battery = _number(toy.battery)
    reported = {name.lower() for name in toy.full_function_names or ()}
    firmware = toy.f_version if toy.f_version is not None else toy.version
    return Toy(
        toy_id=toy.id,
        name=toy.name or toy.id,
        toy_type=(toy.toy_type or toy.type or "").lower(),
        nickname=toy.nickname or toy.nick_name or "",
        connected=_flag(flag),
        battery=None if battery is None or not 0 <= battery <= 100 else int(battery),
        functions=tuple(name for name in RANGE_MAX if name in reported),
        firmware="" if firmware is None or isinstance(firmware, bool) else str(firmware),
    )


# ---- the model's own level map ---------------------------------------------------------------


_Entry = Annotated[dict[Short, Undocumented], Meta(max_length=FIELDS_MAX)]


class ReportedSettings(msgspec.Struct, frozen=True, rename="camel"):
    """`getSettings()` of the Extension and of Cam Kit, untouched."""

    levels: Annotated[dict[Short, _Entry], Meta(max_length=LEVELS_MAX)] = {}
    special: Annotated[dict[Short, _Entry], Meta(max_length=LEVELS_MAX)] = {}


class Level(msgspec.Struct, frozen=True, rename="camel"):
    """Tips of `amountMin`..`amountMax` tokens run the toy at `strength` (0..20) for `seconds`."""

    name: str
    amount_min: int
    amount_max: int
    strength: int
    seconds: float


class Special(msgspec.Struct, frozen=True, rename="camel"):
    """A tip of exactly `amount` tokens plays the named special. `seconds`: None if not given."""

    name: str
    amount: int
    seconds: float | None


class LevelMap(msgspec.Struct, frozen=True, rename="camel"):
    """What the model's settings make of each amount; only what is enabled. `strengthMax`: 0..20,
    what she allows at most; the product itself knows no such limit."""

    levels: tuple[Level, ...]
    specials: tuple[Special, ...]
    strength_max: int = STRENGTH_MAX


def read_level_map(reported: ReportedSettings) -> LevelMap | None:
    """The usable part of the settings: readable, enabled, inside the ranges. None if nothing is.

    Cam Kit's specials have no `enable`: there, being listed is being enabled. A last level may
    have no upper end ("infinity"); it then ends at the largest tip. A level of more than
    DURATION_S_MAX is not usable: it would hold the room's toys for as good as for ever. A special
    as long stays in the map, because its price is taken; `model_call` does not choose it.
    """
    levels = tuple(
        level for name, raw in reported.levels.items() if (level := _level(name, raw)) is not None
    )
    specials = tuple(
        special
        for name, raw in reported.special.items()
        if (special := _special(name, raw)) is not None
    )
    return LevelMap(levels, specials) if levels or specials else None


def _level(name: str, raw: dict[str, Undocumented]) -> Level | None:
    low, seconds, strength = (_number(raw.get(key)) for key in ("min", "time", "vLevel"))
    high = float(AMOUNT_MAX) if _open_ended(raw.get("max")) else _number(raw.get("max"))
    if low is None or high is None or seconds is None or strength is None:
        return None
    amount_min, amount_max = max(math.ceil(low), 1), min(math.floor(high), AMOUNT_MAX)
    if amount_min > amount_max or not 0 < seconds <= DURATION_S_MAX:
        return None
    if not 1 <= round(strength) <= STRENGTH_MAX:
        return None
    return Level(name, amount_min, amount_max, round(strength), seconds)


def _open_ended(highest: Undocumented) -> bool:
    return highest is None or str(highest).strip().lower() in {"infinity", "inf"}


def _special(name: str, raw: dict[str, Undocumented]) -> Special | None:
    if "enable" in raw and not _flag(raw["enable"]):
        return None
    amount = _number(raw.get("token"))
    if amount is None or not amount.is_integer() or not 1 <= amount <= AMOUNT_MAX:
        return None
    seconds = _number(raw.get("time"))
    return Special(name, int(amount), seconds if seconds is not None and seconds > 0 else None)


def _number(value: Undocumented) -> float | None:
    """The finite number that a loose vendor value means, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):  # an integer of 400 digits is an OverflowError
        return None
    return number if math.isfinite(number) else None


def _flag(value: Undocumented) -> bool:
    """Whether a loose vendor value means "yes"."""
    if isinstance(value, str):
        return value.strip().lower() in _ON
    return isinstance(value, int | float) and value == 1


# ---- calls on the model's page ---------------------------------------------------------------


def model_call(
    mode: LovenseMode,
    vibration: Vibration,
    level_map: LevelMap | None,
    tip_amount: int,
    tipper_name: str,
    seconds_max: int = DURATION_S_MAX,
) -> Fitted:
    """The `receiveTip` that comes nearest to `vibration` on this model's settings.

    LEVEL and PATTERN: the level nearest in strength (a pattern by its mean), ties to the nearer
    time. PRESET: the special of that name. `tip_amount` itself is passed where the chosen level
    covers it. No settings, no fitting entry: no call, and a reason; never a made-up amount.
    What plays longer than `seconds_max` is not chosen; a special that does not say how long it
    plays is taken to play that long. Nor is a level above the map's `strength_max`; a special does
    not say how strong it is, so under a limit a level stands in for it.
    """
    if level_map is None:
        return Fitted(None, Fit("none"), Reason.NO_LEVEL_MAP)
    if vibration.type is VibrationType.PRESET and level_map.strength_max == STRENGTH_MAX:
        special = next((s for s in level_map.specials if s.name == vibration.preset_name), None)
        if special is None or (special.seconds or 0) > seconds_max:
            return Fitted(None, Fit("none"), Reason.PRESET_UNAVAILABLE)
        seconds_off = (
            None if special.seconds is None else abs(special.seconds - vibration.duration_sec)
        )
        exact = seconds_off is None or seconds_off == 0
        fit = Fit("exact" if exact else "nearest", special.name, 0, seconds_off)
        seconds = seconds_max if special.seconds is None else special.seconds
        return Fitted(_receive_tip(mode, special.amount, tipper_name), fit, seconds=seconds)

    taken = frozenset(special.amount for special in level_map.specials)
    candidates = [
        (level, amount)
        for level in level_map.levels
        if level.seconds <= seconds_max
        and level.strength <= level_map.strength_max
        and (amount := _amount_within(level, tip_amount, taken)) is not None
    ]
    if not candidates:
        return Fitted(None, Fit("none"), Reason.NO_LEVEL_MAP)
    wanted = vibration.wanted_strength
    level, amount = min(
        candidates,
        key=lambda each: (
            abs(each[0].strength - wanted),
            abs(each[0].seconds - vibration.duration_sec),
            each[0].amount_min,
        ),
    )
    strength_off = abs(level.strength - wanted)
    seconds_off = abs(level.seconds - vibration.duration_sec)
    exact = strength_off == 0 and seconds_off == 0 and vibration.type is VibrationType.LEVEL
    fit = Fit("exact" if exact else "nearest", level.name, strength_off, seconds_off)
    return Fitted(_receive_tip(mode, amount, tipper_name), fit, seconds=level.seconds)


def model_stop_call(
    mode: LovenseMode, level_map: LevelMap | None, tipper_name: str
) -> VendorCall | None:
    """These integrations document no stop; a model who priced the special `clear` has one.

    None where she has not: then the page can only withhold what comes next, and says so.
    """
    specials = level_map.specials if level_map is not None else ()
    clear = next((special for special in specials if special.name == "clear"), None)
    return None if clear is None else _receive_tip(mode, clear.amount, tipper_name)


def _amount_within(level: Level, tip_amount: int, taken: frozenset[int]) -> int | None:
    """An amount that this level covers and no special claims: the tip's own if it is one."""
    if level.amount_min <= tip_amount <= level.amount_max and tip_amount not in taken:
        return tip_amount
    # One more step than there are specials must find a free amount, if there is one.
    last = min(level.amount_max, level.amount_min + len(taken))
    return next(
        (amount for amount in range(level.amount_min, last + 1) if amount not in taken), None
    )


def _receive_tip(mode: LovenseMode, amount: int, tipper_name: str) -> VendorCall:
    if mode is LovenseMode.EXTENSION:
        return VendorCall(Integration.EXTENSION, "receiveTip", (amount, tipper_name))
    return VendorCall(Integration.CAM_KIT, "receiveTip", (tipper_name, amount))


# ---- calls on a viewer's page ----------------------------------------------------------------

VENDOR_SECONDS_MIN: Final = 1.1
"""The Basic SDK wants more than 1 s, and reads 0 as "for ever"."""

RANGE_MAX: Final = {
    "vibrate": 20,
    "rotate": 20,
    "pump": 3,
    "thrusting": 20,
    "fingering": 20,
    "suction": 20,
    "oscillate": 20,
    "depth": 3,
    "stroke": 100,
}

_FUNCTIONS: Final[dict[str, tuple[str, ...]]] = {
    "nora": ("vibrate", "rotate"),
    "ridge": ("vibrate", "rotate"),
    "max": ("vibrate", "pump"),
    "gravity": ("vibrate", "thrusting"),
    "spinel": ("vibrate", "thrusting"),
    "flexer": ("vibrate", "fingering"),
    "tenera": ("suction",),
    "gush": ("vibrate", "oscillate"),
    "osci": ("vibrate", "oscillate"),
    "xmachine": ("thrusting",),
    "solace": ("thrusting", "depth"),
    "solacepro": ("thrusting", "stroke"),
}
"""What each toy can do beyond vibrating; every other one vibrates. `position` is left out: it is
a place to be, not a strength."""


def functions_of(toy_type: str) -> tuple[str, ...]:
    """The vendor's function names that a strength can drive on this toy."""
    return _FUNCTIONS.get(toy_type.replace(" ", ""), ("vibrate",))


def scale_strength(strength: int, function: str) -> int:
    """`strength` 0..20 on the range of `function`, rounded half up; above 0 it stays above 0."""
    top = RANGE_MAX[function]
    scaled = (2 * strength * top + STRENGTH_MAX) // (2 * STRENGTH_MAX)
    return max(scaled, 1) if strength > 0 else 0


def capped_strength(strength: int, max_strength: int, function: str) -> int:
    """`strength` on the range of `function`, never a greater part of it than `max_strength` is of
    20: a limit that a coarse range cannot express leaves nothing."""
    highest = max_strength * RANGE_MAX[function] // STRENGTH_MAX
    return min(scale_strength(strength, function), highest)


def viewer_call(vibration: Vibration, toys: tuple[Toy, ...]) -> Fitted:
    """The Basic SDK call that plays `vibration` on all of a viewer's connected toys at once.

    A call names all toys or one. Where one that is connected must not play at all, it names the
    first that may. What some toy's owner has limited is limited for all that the call reaches. A
    preset has no strength: where there is a limit, a level stands in for it.
    """
    return _call_within(vibration, _reach(toys))


class _Reach(msgspec.Struct, frozen=True):
    """What a call on some toys can do. `only`: the one toy that it names."""

    functions: tuple[str, ...]
    max_strength: int
    limited: bool
    only: str | None


@lru_cache(REMEMBERED_MAX)
def _reach(toys: tuple[Toy, ...]) -> _Reach:
    reached = [toy for toy in toys if toy.connected]
    usable = [toy for toy in reached if toy.usable]
    alone = len(usable) < len(reached)
    if alone:
        reached = usable[:1]
    max_strength = min((toy.max_strength for toy in reached), default=0)
    return _Reach(
        _allowed_functions(reached),
        max_strength,
        max_strength < STRENGTH_MAX or any(toy.limited for toy in reached),
        reached[0].toy_id if alone and reached else None,
    )


@lru_cache(REMEMBERED_MAX)
def _call_within(vibration: Vibration, reach: _Reach) -> Fitted:
    """Remembered: one tip is the same call for nearly all who feel it."""
    functions, max_strength, limited = reach.functions, reach.max_strength, reach.limited
    time = max(float(vibration.duration_sec), VENDOR_SECONDS_MIN)
    only = {} if reach.only is None else {"toyId": reach.only}
    arguments: dict[str, Any]
    difference = 0
    if not functions or not any(capped_strength(STRENGTH_MAX, max_strength, f) for f in functions):
        return Fitted(None, Fit("none"), Reason.NO_TOY)
    if vibration.type is VibrationType.PRESET and not limited:
        assert vibration.preset_name is not None
        method = "sendPresetCommand"
        arguments = {"name": vibration.preset_name.value, "time": time}
    elif vibration.pattern is not None:
        method = "sendPatternCommand"
        values = [min(value, max_strength) for value in vibration.pattern.values]
        difference = max(vibration.pattern.values) - max(values)
        arguments = {
            "strength": ";".join(str(value) for value in values),
            "interval": vibration.pattern.interval_ms,
            "time": time,
            **{f: True for f in functions if capped_strength(STRENGTH_MAX, max_strength, f)},
        }
    else:
        method = "sendToyCommand"
        strength = min(vibration.wanted_strength, max_strength)
        difference = vibration.wanted_strength - strength
        arguments = {name: capped_strength(strength, max_strength, name) for name in functions}
        arguments["time"] = time
    call = VendorCall(Integration.BASIC_SDK, method, ({**arguments, **only},))
    replaced = vibration.type is VibrationType.PRESET and limited
    fit = Fit("nearest", None, difference) if difference or replaced else Fit("exact")
    return Fitted(call, fit, seconds=time)


def _allowed_functions(toys: list[Toy]) -> tuple[str, ...]:
    """What some toy can do and none of them must not."""
    can: set[str] = set()
    must_not: set[str] = set()
    for toy in toys:
        may = set(toy.functions or functions_of(toy.toy_type))
        can |= may
        if toy.limited:
            must_not |= set(RANGE_MAX) - may
    return tuple(name for name in RANGE_MAX if name in can - must_not)


VIEWER_STOP: Final = VendorCall(Integration.BASIC_SDK, "stopToyAction", ({},))
