"""Edits of a model's performance menus: pure functions from her menus to the menus after it, or to
refusals. A draft is what she sends (`validate` names each of its bad fields), a view what is shown.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from protocol.errors import ErrorCode, Refusal
from protocol.pattern_library import Library
from protocol.performance_menu import (
    ITEMS_MAX,
    MENUS_MAX,
    PERFORMANCE_S_DEFAULT,
    BonusPoints,
    Category,
    DailyPurchases,
    Icon,
    ItemOrder,
    ItemVersion,
    MenuItem,
    MenuName,
    MenuQueueMode,
    Menus,
    MenuText,
    PerformanceMenu,
    PerformanceSec,
    StartOffsetMs,
    Theme,
    Visibility,
    Whitelist,
)
from protocol.tip_activated import Amount, Id
from protocol.vibration import Vibration
from protocol.vibration_choice import DraftedVibration, VibrationChoice, choice_of, vibration_of


class _Draft(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class MenuDraft(_Draft, frozen=True, kw_only=True):
    """A menu as its model sends it, without its items. A user who is named twice in `whitelist`
    counts once."""

    name: MenuName
    description: MenuText = ""
    queue_mode: MenuQueueMode = MenuQueueMode.OFF
    visibility: Visibility = Visibility.PUBLIC
    whitelist: Whitelist = ()
    theme: Theme = Theme()
    active: bool = True


class ItemDraft(_Draft, frozen=True, kw_only=True):
    """An item as its model sends it. What is said of each field:
    protocol.performance_menu.MenuItem. A stored pattern is copied."""

    name: MenuName
    description: MenuText = ""
    token_value: Amount
    bonus_points: BonusPoints = 0
    vibration: DraftedVibration | None = None
    start_offset_ms: StartOffsetMs = 0
    duration_sec: PerformanceSec = PERFORMANCE_S_DEFAULT
    active: bool = True
    order: ItemOrder = 0
    category: Category = ""
    icon: Icon = ""
    max_daily_purchases: DailyPurchases | None = None


class ItemView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    item_id: Id
    version: ItemVersion
    name: MenuName
    description: MenuText
    token_value: Amount
    bonus_points: BonusPoints
    vibration: VibrationChoice | None
    start_offset_ms: StartOffsetMs
    duration_sec: PerformanceSec
    active: bool
    order: ItemOrder
    category: Category
    icon: Icon
    max_daily_purchases: DailyPurchases | None


class MenuView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A menu as it is shown. `whitelist` is null for everyone but its model and staff, and then the
    inactive items are left out, too."""

    menu_id: Id
    model_id: Id
    name: MenuName
    description: MenuText
    queue_mode: MenuQueueMode
    visibility: Visibility
    whitelist: Whitelist | None
    theme: Theme
    active: bool
    items: tuple[ItemView, ...]


def view_item(item: MenuItem) -> ItemView:
    fields = msgspec.structs.asdict(item)
    vibration: Vibration | None = fields.pop("vibration")
    return ItemView(**fields, vibration=None if vibration is None else choice_of(vibration))


def view_menu(menu: PerformanceMenu, model_id: str, *, whole: bool) -> MenuView:
    """`whole`: for its model and for staff."""
    return MenuView(
        menu_id=menu.menu_id,
        model_id=model_id,
        name=menu.name,
        description=menu.description,
        queue_mode=menu.queue_mode,
        visibility=menu.visibility,
        whitelist=menu.whitelist if whole else None,
        theme=menu.theme,
        active=menu.active,
        items=tuple(view_item(item) for item in menu.items if whole or item.active),
    )


# ---- menus -----------------------------------------------------------------------------------


def add_menu(menus: Menus, menu_id: str, draft: MenuDraft) -> Menus | list[Refusal]:
    """With one more, empty, the last. LIMIT_REACHED when there are MENUS_MAX."""
    if len(menus) >= MENUS_MAX:
        detail = f"A model may have {MENUS_MAX} menus; remove one first."
        return [Refusal(ErrorCode.LIMIT_REACHED, detail=detail)]
    return (*menus, PerformanceMenu(menu_id=menu_id, items=(), **_menu_fields(draft)))


def replace_menu(menus: Menus, menu_id: str, draft: MenuDraft) -> Menus | list[Refusal]:
    """With this one as the draft says, its items kept. Another queue mode is another offer: every
    item gets a new version. MENU_UNKNOWN."""

    def edit(menu: PerformanceMenu) -> PerformanceMenu:
        items = menu.items
        if draft.queue_mode is not menu.queue_mode:
            items = tuple(_newer(item) for item in items)
        return PerformanceMenu(menu_id=menu_id, items=items, **_menu_fields(draft))

    return _edit(menus, menu_id, edit)


def remove_menu(menus: Menus, menu_id: str) -> Menus | list[Refusal]:
    """Without this one and its items. MENU_UNKNOWN."""
    kept = tuple(menu for menu in menus if menu.menu_id != menu_id)
    return kept if len(kept) < len(menus) else [Refusal(ErrorCode.MENU_UNKNOWN)]


# ---- items -----------------------------------------------------------------------------------


def add_item(
    menus: Menus, menu_id: str, item_id: str, draft: ItemDraft, library: Library
) -> Menus | list[Refusal]:
    """With one more of version 1. MENU_UNKNOWN; LIMIT_REACHED when the menu has ITEMS_MAX;
    PATTERN_UNKNOWN."""

    def edit(menu: PerformanceMenu) -> PerformanceMenu | Refusal:
        if len(menu.items) >= ITEMS_MAX:
            detail = f"A menu may have {ITEMS_MAX} items; remove one first."
            return Refusal(ErrorCode.LIMIT_REACHED, detail=detail)
        made = _make_item(item_id, 1, draft, library)
        return made if isinstance(made, Refusal) else _with_items(menu, (*menu.items, made))

    return _edit(menus, menu_id, edit)


def replace_item(
    menus: Menus, menu_id: str, item_id: str, draft: ItemDraft, library: Library
) -> Menus | list[Refusal]:
    """With this one as the draft says, in a new version if that changes anything. MENU_UNKNOWN,
    MENU_ITEM_UNKNOWN, PATTERN_UNKNOWN."""

    def edit(menu: PerformanceMenu) -> PerformanceMenu | Refusal:
        old = _item_of(menu, item_id)
        if old is None:
            return Refusal(ErrorCode.MENU_ITEM_UNKNOWN)
        made = _make_item(item_id, old.version, draft, library)
        if isinstance(made, Refusal):
            return made
        new = old if made == old else _newer(made)
        return _with_items(menu, tuple(new if item is old else item for item in menu.items))

    return _edit(menus, menu_id, edit)


def remove_item(menus: Menus, menu_id: str, item_id: str) -> Menus | list[Refusal]:
    """Without this one. MENU_UNKNOWN, MENU_ITEM_UNKNOWN."""

    def edit(menu: PerformanceMenu) -> PerformanceMenu | Refusal:
        if _item_of(menu, item_id) is None:
            return Refusal(ErrorCode.MENU_ITEM_UNKNOWN)
        kept = tuple(item for item in menu.items if item.item_id != item_id)
        return msgspec.structs.replace(menu, items=kept)

    return _edit(menus, menu_id, edit)


def difference(old: Menus, new: Menus) -> dict[str, tuple[Any, Any]]:
    """Name -> (old, new) of each menu and item that came, went or changed; for the history of
    changes."""
    before, after = _named(old), _named(new)
    return {
        name: (before.get(name), after.get(name))
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    }


def _named(menus: Menus) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for menu in menus:
        content = msgspec.to_builtins(menu)
        items = content.pop("items")
        named[f"menus.{menu.menu_id}"] = content
        named |= {f"menus.{menu.menu_id}.{item['itemId']}": item for item in items}
    return named


def _edit(
    menus: Menus,
    menu_id: str,
    edit: Callable[[PerformanceMenu], PerformanceMenu | Refusal],
) -> Menus | list[Refusal]:
    old = next((menu for menu in menus if menu.menu_id == menu_id), None)
    if old is None:
        return [Refusal(ErrorCode.MENU_UNKNOWN)]
    made = edit(old)
    if isinstance(made, Refusal):
        return [made]
    return tuple(made if menu is old else menu for menu in menus)


def _menu_fields(draft: MenuDraft) -> dict[str, Any]:
    fields = msgspec.structs.asdict(draft)
    return fields | {"whitelist": tuple(dict.fromkeys(draft.whitelist))}


def _make_item(
    item_id: str, version: int, draft: ItemDraft, library: Library
) -> MenuItem | Refusal:
    fields = msgspec.structs.asdict(draft)
    del fields["vibration"]
    vibration = None
    if draft.vibration is not None:
        vibration = vibration_of(draft.vibration, library)
        if vibration is None:
            return Refusal(ErrorCode.PATTERN_UNKNOWN, "vibration.patternId")
    return MenuItem(item_id=item_id, version=version, vibration=vibration, **fields)


def _item_of(menu: PerformanceMenu, item_id: str) -> MenuItem | None:
    return next((item for item in menu.items if item.item_id == item_id), None)


def _with_items(menu: PerformanceMenu, items: tuple[MenuItem, ...]) -> PerformanceMenu:
    return msgspec.structs.replace(menu, items=tuple(sorted(items, key=lambda item: item.order)))


def _newer(item: MenuItem) -> MenuItem:
    return msgspec.structs.replace(item, version=item.version + 1)
