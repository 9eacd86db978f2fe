"""Performance menus: what a model sells besides tips (spec 5, Menus), and who may see it.

An item names its price, its reaction and how long it takes; a menu says whether its items settle
at once (queue mode OFF) or wait on the model's stage with their tokens held (ON).
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from protocol.tip_activated import Amount, Id, Item, ItemType
from protocol.vibration import DURATION_S_MAX, Vibration

MENUS_MAX: Final = 8
"""Of one model."""
ITEMS_MAX: Final = 50
"""Of one menu."""
WHITELIST_MAX: Final = 1_000
BONUS_POINTS_MAX: Final = 1_000_000
START_OFFSET_MS_MAX: Final = 60_000
DAILY_PURCHASES_MAX: Final = 1_000
ORDER_MAX: Final = 9_999
PERFORMANCE_S_DEFAULT: Final = 60

_LINE: Final = r"^[^\x00-\x1f\x7f]*$(?!\n)"
"""No control characters. `$(?!\\n)`: see `protocol.tip_activated.ID_PATTERN`."""

MenuName = Annotated[str, Meta(min_length=1, max_length=65, pattern=_LINE)]
MenuText = Annotated[str, Meta(max_length=200, pattern=_LINE)]
Category = Annotated[str, Meta(max_length=40, pattern=_LINE)]
Icon = Annotated[str, Meta(max_length=16, pattern=_LINE)]
"""A character or two: a page of ours loads no picture from elsewhere."""
BonusPoints = Annotated[int, Meta(ge=0, le=BONUS_POINTS_MAX)]
StartOffsetMs = Annotated[int, Meta(ge=0, le=START_OFFSET_MS_MAX)]
PerformanceSec = Annotated[int, Meta(ge=1, le=DURATION_S_MAX)]
ItemOrder = Annotated[int, Meta(ge=0, le=ORDER_MAX)]
DailyPurchases = Annotated[int, Meta(ge=1, le=DAILY_PURCHASES_MAX)]
ItemVersion = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Whitelist = Annotated[tuple[Id, ...], Meta(max_length=WHITELIST_MAX)]


class MenuQueueMode(StrEnum):
    """ON: tokens are held, and the item waits on the stage. OFF: it settles at once."""

    ON = "ON"
    OFF = "OFF"


class Visibility(StrEnum):
    PUBLIC = "public"
    SUBSCRIBERS_ONLY = "subscribers_only"
    PRIVATE = "private"


class CardStyle(StrEnum):
    MODERN = "modern"
    PREMIUM = "premium"
    LUXURY = "luxury"
    MINIMAL = "minimal"


class Theme(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    card_style: CardStyle = CardStyle.MODERN


class MenuItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`version` grows with every change that a buyer should know of: who has seen an older one
    buys nothing by mistake."""

    item_id: Id
    version: ItemVersion
    name: MenuName
    description: MenuText
    token_value: Amount
    bonus_points: BonusPoints
    vibration: Vibration | None
    start_offset_ms: StartOffsetMs
    """How long after the settlement the vibration starts."""
    duration_sec: PerformanceSec
    """How long it takes on the stage: what others wait for."""
    active: bool
    order: ItemOrder
    category: Category
    icon: Icon
    max_daily_purchases: DailyPurchases | None
    """Of one user in one day (UTC); None: no limit."""

    def bought(self) -> Item:
        """As it is written into the event of its purchase."""
        return Item(
            ItemType.MENU_ITEM,
            self.item_id,
            self.name,
            self.description,
            self.vibration,
            self.bonus_points,
        )


class PerformanceMenu(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`items` by their order, then the older first. `whitelist`: who sees it while it is private;
    kept while it is not."""

    menu_id: Id
    name: MenuName
    description: MenuText
    queue_mode: MenuQueueMode
    visibility: Visibility
    whitelist: Whitelist
    theme: Theme
    active: bool
    items: tuple[MenuItem, ...]


Menus = tuple[PerformanceMenu, ...]
"""Of one model, the oldest first."""


def may_see(
    visibility: Visibility, *, is_subscriber: bool, is_listed: bool, is_owner: bool = False
) -> bool:
    """Whether somebody may see a menu, and so buy from it. `is_subscriber`: by the platform's
    record, now; `is_listed`: on the menu's whitelist."""
    match visibility:
        case Visibility.PUBLIC:
            return True
        case Visibility.SUBSCRIBERS_ONLY:
            return is_owner or is_subscriber
        case Visibility.PRIVATE:
            return is_owner or is_listed
