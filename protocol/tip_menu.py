"""Which item an amount buys, and so which vibration: decided by the server, before settlement.

Spec 1, "Where item.vibration comes from".
"""

from math import log
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from protocol.lovense import TOYS_MAX
from protocol.tip_activated import (
    AMOUNT_MAX,
    NO_NUL_PATTERN,
    Amount,
    Id,
    Item,
    ItemType,
    PublicText,
)
from protocol.toy_settings import ModelSettings, PlatformSettings
from protocol.vibration import Vibration, VibrationType, cap, level

DEFAULT_DURATION_S: Final = 5
"""Of a plain tip that no row names (spec: LEVEL at `lovenseDefaultIntensity` for 5 s)."""

PRIORITY_MAX: Final = 20
Priority = Annotated[int, Meta(ge=1, le=PRIORITY_MAX)]

DeviceId = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_NUL_PATTERN)]
DeviceIds = Annotated[tuple[DeviceId, ...], Meta(max_length=TOYS_MAX)]

PLAIN_TIP_ITEM_ID: Final = "tip"


class TipMenuRow(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One row of a model's tip menu. `tipAmount` is unique among her active rows; a LEVEL is of
    strength 1..20 (spec: tip menu), because a row must do something."""

    row_id: Id
    tip_amount: Amount
    vibration: Vibration
    description: PublicText
    active: bool
    order: Annotated[int, Meta(ge=0)]
    priority: Priority | None = None
    """In the queue mode priority; None: by the amount."""
    device_ids: DeviceIds = ()
    """Which of her toys; empty: all. Kept for an integration that takes a toy's id: neither of the
    model's two does, there her own settings decide which toys react."""

    def __post_init__(self) -> None:
        if self.vibration.type is VibrationType.LEVEL and self.vibration.strength == 0:
            raise ValueError("`vibration` of a row must be at least of strength 1")


def resolve_item(
    amount: int,
    rows: tuple[TipMenuRow, ...],
    platform: PlatformSettings,
    model: ModelSettings,
    bonus_points: int,
) -> Item:
    """The item that a plain tip of `amount` tokens buys, its vibration capped to the platform's
    longest. The vibration is None where the amount buys no reaction: below the platform's minimum
    no tip does, also not one that a row names."""
    row = _matching_row(amount, rows) if model.tip_menu_enabled else None
    vibration: Vibration | None
    if row is not None:
        vibration, item_id, name = row.vibration, row.row_id, row.description
    else:
        vibration = _default_vibration(amount, platform, model)
        item_id, name = PLAIN_TIP_ITEM_ID, "Tip"
    if amount < platform.lovense_min_tip_for_activation:
        vibration = None
    return Item(
        item_type=ItemType.TIP,
        item_id=item_id,
        item_name=name,
        description_public=f"{amount} tokens" if row is None else row.description,
        vibration=vibration and cap(vibration, platform.lovense_max_activation_duration),
        bonus_points=bonus_points,
    )


def priority_of(amount: int, item_id: str, rows: tuple[TipMenuRow, ...]) -> int:
    """1..20, the larger the sooner: as the menu's row says, else by the amount, on a logarithmic
    scale from 1 token (1) to the most that a tip can be (20)."""
    for row in rows:
        if row.row_id == item_id and row.priority is not None:
            return row.priority
    return 1 + int((PRIORITY_MAX - 1) * log(amount) / log(AMOUNT_MAX))


def _matching_row(amount: int, rows: tuple[TipMenuRow, ...]) -> TipMenuRow | None:
    return next((row for row in rows if row.active and row.tip_amount == amount), None)


def _default_vibration(
    amount: int, platform: PlatformSettings, model: ModelSettings
) -> Vibration | None:
    if platform.lovense_require_tip_menu or amount < (model.tip_threshold or 1):
        return None
    if model.default_preset is not None:
        return Vibration(VibrationType.PRESET, None, DEFAULT_DURATION_S, model.default_preset, None)
    return level(platform.lovense_default_intensity, DEFAULT_DURATION_S)
