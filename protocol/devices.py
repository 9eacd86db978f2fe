"""A member's toys as devices: what they are told to never do, and when their owner is warned.

Spec 3, devices. The vendor's toys are in `lovense`; here is what their owner adds.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from msgspec import Meta

from protocol.lovense import RANGE_MAX, Toy, functions_of
from protocol.vibration import STRENGTH_MAX, Strength

LOW_BATTERY_PERCENT: Final = 20
"""At this and below the owner is warned."""

Function = Annotated[
    Literal[
        "vibrate",
        "rotate",
        "pump",
        "thrusting",
        "fingering",
        "suction",
        "oscillate",
        "depth",
        "stroke",
    ],
    Meta(description="of the vendor"),
]


class DeviceStatus(StrEnum):
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ERROR = "error"
    """Connected, but the last command to it failed."""


class DeviceOverride(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What one toy never does, whoever asks. `maxStrength`: on the scale 0..20, whatever the toy's
    own ranges; 0 and `enabled: false` take it out. `functions`: the only ones; None: all of the
    toy's."""

    max_strength: Strength = STRENGTH_MAX
    enabled: bool = True
    functions: Annotated[tuple[Function, ...], Meta(min_length=1, max_length=9)] | None = None


Overrides = Mapping[str, DeviceOverride]
"""toyId -> what its owner has set; a toy that is not in it is free."""


def device_id_of(owner_id: str, toy_id: str) -> UUID:
    """The same for ever: one vendor's toy of one owner is one device."""
    return uuid5(NAMESPACE_URL, f"tiproom:device:{owner_id}/{toy_id}")


def apply_overrides(toys: Iterable[Toy], overrides: Overrides) -> tuple[Toy, ...]:
    """The toys as they may be used."""
    return tuple(_apply(toy, overrides.get(toy.toy_id)) for toy in toys)


def _apply(toy: Toy, override: DeviceOverride | None) -> Toy:
    if override is None:
        return toy
    can = toy.functions or functions_of(toy.toy_type)
    may = can if override.functions is None else tuple(f for f in can if f in override.functions)
    return msgspec.structs.replace(
        toy,
        max_strength=override.max_strength,
        enabled=override.enabled and bool(may),
        functions=may if may != can else toy.functions,
        limited=may != can,
    )


def is_tighter(new: Overrides, old: Overrides) -> bool:
    """Whether `new` forbids something that `old` allowed: then what plays must stop."""
    free = DeviceOverride()
    for toy_id, now in new.items():
        was = old.get(toy_id, free)
        all_functions = frozenset(RANGE_MAX)
        lost = frozenset(was.functions or all_functions) - frozenset(now.functions or all_functions)
        if now.max_strength < was.max_strength or (was.enabled and not now.enabled) or lost:
            return True
    return False


def lost_toys(before: Iterable[Toy], after: Iterable[Toy]) -> list[Toy]:
    """Those that were connected and are not any more."""
    still = {toy.toy_id for toy in after if toy.connected}
    return [toy for toy in before if toy.connected and toy.toy_id not in still]
