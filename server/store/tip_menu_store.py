"""Tip menus and pattern libraries, with who changed what and when."""

from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import msgspec

from protocol import tip_menu_edit
from protocol.errors import Refusal
from protocol.pattern_library import Library, StoredPattern
from protocol.tip_menu import TipMenuRow
from protocol.tip_menu_edit import Menu
from protocol.vibration import Pattern, Vibration
from server.store import queries
from server.store.database import Connection, Database
from server.store.settings_store import record_changes

MenuEdit = Callable[[Menu, Library], Menu | list[Refusal]]
PatternEdit = Callable[[Library], Library | list[Refusal]]


class ModelMenu(msgspec.Struct, frozen=True):
    """A model's menu and library, and the rooms that the menu reaches."""

    menu: Menu
    library: Library
    room_ids: tuple[str, ...]


class PostgresTipMenus:
    """An edit is a pure function of what is stored. It runs inside its transaction, which holds
    the model's row: of edits that come together, each sees what the one before it has left."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, model_id: str) -> ModelMenu | None:
        """None: there is no such model."""
        return await self._database.run(_load, model_id)

    async def edit_menu(
        self, model_id: str, edit: MenuEdit, who: str
    ) -> ModelMenu | list[Refusal] | None:
        """What is stored after the edit, the history included; or what the edit refuses, and then
        nothing is changed. None: there is no such model."""
        return await self._database.run(_edit_menu, model_id, edit, who)

    async def edit_patterns(
        self, model_id: str, edit: PatternEdit, who: str
    ) -> ModelMenu | list[Refusal] | None:
        """The same for the library."""
        return await self._database.run(_edit_patterns, model_id, edit, who)


async def load_menu(connection: Connection, model_id: str) -> Menu:
    """The rows by their order."""
    rows = await connection.fetch(queries.LOAD_TIP_MENU, model_id)
    return tuple(_menu_row(row) for row in rows)


async def _load(connection: Connection, model_id: str) -> ModelMenu | None:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _read(connection, queries.LOAD_MENU_OWNER, model_id)


async def _edit_menu(
    connection: Connection, model_id: str, edit: MenuEdit, who: str
) -> ModelMenu | list[Refusal] | None:
    async with connection.transaction():
        old = await _read(connection, queries.LOCK_MENU_OWNER, model_id)
        if old is None:
            return None
        menu = edit(old.menu, old.library)
        if isinstance(menu, list):
            return menu
        await save_menu(connection, model_id, menu)
        changes = tip_menu_edit.difference(old.menu, menu)
        await record_changes(connection, "model", model_id, changes, who)
    return ModelMenu(menu, old.library, old.room_ids)


async def _edit_patterns(
    connection: Connection, model_id: str, edit: PatternEdit, who: str
) -> ModelMenu | list[Refusal] | None:
    async with connection.transaction():
        old = await _read(connection, queries.LOCK_MENU_OWNER, model_id)
        if old is None:
            return None
        library = edit(old.library)
        if isinstance(library, list):
            return library
        before = {pattern.pattern_id: pattern for pattern in old.library}
        after = {pattern.pattern_id: pattern for pattern in library}
        gone = [pattern_id for pattern_id in before if pattern_id not in after]
        await connection.execute(queries.REMOVE_PATTERNS, model_id, gone)
        for pattern_id, pattern in after.items():
            if pattern != before.get(pattern_id):
                values = _json(pattern.pattern)
                await connection.execute(
                    queries.SAVE_PATTERN, model_id, pattern_id, pattern.name, values
                )
        changes = {
            f"patterns.{pattern_id}": (before.get(pattern_id), after.get(pattern_id))
            for pattern_id in dict.fromkeys((*before, *after))
            if before.get(pattern_id) != after.get(pattern_id)
        }
        await record_changes(connection, "model", model_id, changes, who)
    return ModelMenu(old.menu, library, old.room_ids)


async def _read(connection: Connection, owner_query: str, model_id: str) -> ModelMenu | None:
    owner = await connection.fetchrow(owner_query, model_id)
    if owner is None:
        return None
    return ModelMenu(
        await load_menu(connection, model_id),
        await load_library(connection, model_id),
        tuple(owner["room_ids"]),
    )


async def load_library(connection: Connection, model_id: str) -> Library:
    """The patterns, the oldest first."""
    patterns = await connection.fetch(queries.LOAD_PATTERNS, model_id)
    return tuple(_stored_pattern(row) for row in patterns)


async def save_menu(connection: Connection, model_id: str, rows: Sequence[TipMenuRow]) -> None:
    """In place of the old one, inside the caller's transaction."""
    await connection.execute(queries.CLEAR_TIP_MENU, model_id)
    await connection.executemany(
        queries.ADD_TIP_MENU_ROW,
        [
            (
                model_id,
                row.row_id,
                row.tip_amount,
                _json(row.vibration),
                row.description,
                row.active,
                row.order,
                row.priority,
                row.device_ids,
            )
            for row in rows
        ],
    )


def _menu_row(row: asyncpg.Record) -> TipMenuRow:
    return TipMenuRow(
        row_id=row["row_id"],
        tip_amount=row["tip_amount"],
        vibration=msgspec.json.decode(row["vibration"], type=Vibration),
        description=row["description"],
        active=row["active"],
        order=row["position"],
        priority=row["priority"],
        device_ids=tuple(row["device_ids"]),
    )


def _stored_pattern(row: asyncpg.Record) -> StoredPattern:
    pattern = msgspec.json.decode(row["pattern"], type=Pattern)
    return StoredPattern(row["pattern_id"], row["name"], pattern)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
