"""Performance menus and subscriptions, with who changed what and when."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from protocol import performance_menu_edit
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.pattern_library import Library
from protocol.performance_menu import (
    CardStyle,
    MenuItem,
    MenuQueueMode,
    Menus,
    PerformanceMenu,
    Theme,
    Visibility,
)
from protocol.vibration import Vibration
from server.store import menu_queries, queries
from server.store.database import Connection, Database
from server.store.settings_store import record_changes
from server.store.tip_menu_store import load_library

MenusEdit = Callable[[Menus, Library], Menus | list[Refusal]]


class OwnedMenu(msgspec.Struct, frozen=True):
    model_id: str
    menu: PerformanceMenu


class PostgresMenus:
    """An edit is a pure function of what is stored. It runs inside its transaction, which holds
    the model's row: of edits that come together, each sees what the one before it has left."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_menus(self, model_id: str) -> Menus | None:
        """None: there is no such model."""
        return await self._database.run(_load_menus, model_id)

    async def load_menu(self, menu_id: str) -> OwnedMenu | None:
        """None: there is no such menu."""
        return await self._database.run(_load_menu, menu_id)

    async def edit(self, model_id: str, edit: MenusEdit, who: str) -> Menus | list[Refusal] | None:
        """What is stored after the edit, the history included; or what the edit refuses, and then
        nothing is changed. None: there is no such model."""
        return await self._database.run(_edit, model_id, edit, who)

    async def save_subscription(self, user_id: str, model_id: str, active_until: datetime) -> None:
        """Raises Refused with USER_UNKNOWN for a user or a model who is not registered."""
        await self._database.run(_save_subscription, user_id, model_id, active_until)

    async def is_subscriber(self, user_id: str, model_id: str) -> bool:
        """Now."""
        return await self._database.run(_is_subscriber, user_id, model_id)


async def _load_menus(connection: Connection, model_id: str) -> Menus | None:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        if await connection.fetchrow(queries.LOAD_MENU_OWNER, model_id) is None:
            return None
        return await _read(connection, model_id)


async def _load_menu(connection: Connection, menu_id: str) -> OwnedMenu | None:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(menu_queries.LOAD_MENU, menu_id)
        if row is None:
            return None
        items = await connection.fetch(menu_queries.LOAD_ITEMS_OF_MENU, menu_id)
    return OwnedMenu(row["model_id"], _menu(row, items))


async def _edit(
    connection: Connection, model_id: str, edit: MenusEdit, who: str
) -> Menus | list[Refusal] | None:
    async with connection.transaction():
        if await connection.fetchrow(queries.LOCK_MENU_OWNER, model_id) is None:
            return None
        old = await _read(connection, model_id)
        new = edit(old, await load_library(connection, model_id))
        if isinstance(new, list):
            return new
        await _save(connection, model_id, old, new)
        changes = performance_menu_edit.difference(old, new)
        await record_changes(connection, "model", model_id, changes, who)
        return await _read(connection, model_id)


async def _read(connection: Connection, model_id: str) -> Menus:
    menus = await connection.fetch(menu_queries.LOAD_MENUS, model_id)
    items = await connection.fetch(menu_queries.LOAD_ITEMS, model_id)
    return tuple(
        _menu(menu, [item for item in items if item["menu_id"] == menu["menu_id"]])
        for menu in menus
    )


async def _save(connection: Connection, model_id: str, old: Menus, new: Menus) -> None:
    """What differs."""
    before = {menu.menu_id: menu for menu in old}
    kept = {menu.menu_id for menu in new}
    await connection.execute(menu_queries.REMOVE_MENUS, model_id, [*before.keys() - kept])
    for menu in new:
        was = before.get(menu.menu_id)
        if menu == was:
            continue
        await connection.execute(
            menu_queries.SAVE_MENU,
            menu.menu_id,
            model_id,
            menu.name,
            menu.description,
            menu.queue_mode,
            menu.visibility,
            menu.theme.card_style,
            menu.active,
        )
        if was is None or menu.whitelist != was.whitelist:
            await connection.execute(menu_queries.CLEAR_WHITELIST, menu.menu_id)
            await connection.execute(
                menu_queries.SAVE_WHITELIST, menu.menu_id, list(menu.whitelist)
            )
        items = {} if was is None else {item.item_id: item for item in was.items}
        gone = [*items.keys() - {item.item_id for item in menu.items}]
        await connection.execute(menu_queries.REMOVE_ITEMS, menu.menu_id, gone)
        changed = [item for item in menu.items if item != items.get(item.item_id)]
        await connection.executemany(
            menu_queries.SAVE_ITEM, [_item_columns(menu.menu_id, item) for item in changed]
        )


async def _save_subscription(
    connection: Connection, user_id: str, model_id: str, active_until: datetime
) -> None:
    async with connection.transaction():
        if await connection.fetchrow(queries.LOAD_USER, user_id) is None:
            raise Refused(ErrorCode.USER_UNKNOWN, "userId")
        if not await connection.fetchval(
            menu_queries.SAVE_SUBSCRIPTION, user_id, model_id, active_until
        ):
            raise Refused(ErrorCode.USER_UNKNOWN, "modelId")


async def _is_subscriber(connection: Connection, user_id: str, model_id: str) -> bool:
    return bool(await connection.fetchval(menu_queries.IS_SUBSCRIBER, user_id, model_id))


def _menu(row: asyncpg.Record, items: list[asyncpg.Record]) -> PerformanceMenu:
    return PerformanceMenu(
        menu_id=row["menu_id"],
        name=row["name"],
        description=row["description"],
        queue_mode=MenuQueueMode(row["queue_mode"]),
        visibility=Visibility(row["visibility"]),
        whitelist=tuple(row["whitelist"]),
        theme=Theme(CardStyle(row["card_style"])),
        active=row["active"],
        items=tuple(menu_item(dict(item)) for item in items),
    )


def menu_item(row: Mapping[str, Any]) -> MenuItem:
    """A row of menu_items."""
    vibration = row["vibration"]
    return MenuItem(
        item_id=row["item_id"],
        version=row["version"],
        name=row["name"],
        description=row["description"],
        token_value=row["token_value"],
        bonus_points=row["bonus_points"],
        vibration=None if vibration is None else msgspec.json.decode(vibration, type=Vibration),
        start_offset_ms=row["start_offset_ms"],
        duration_sec=row["duration_sec"],
        active=row["active"],
        order=row["position"],
        category=row["category"],
        icon=row["icon"],
        max_daily_purchases=row["max_daily_purchases"],
    )


def _item_columns(menu_id: str, item: MenuItem) -> tuple[Any, ...]:
    vibration = item.vibration
    return (
        menu_id,
        item.item_id,
        item.version,
        item.name,
        item.description,
        item.token_value,
        item.bonus_points,
        None if vibration is None else msgspec.json.encode(vibration).decode(),
        item.start_offset_ms,
        item.duration_sec,
        item.active,
        item.order,
        item.category,
        item.icon,
        item.max_daily_purchases,
    )
