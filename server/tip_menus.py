"""A model's tip menu and pattern library while they change: stored first, then told to her room."""

from collections.abc import Callable
from uuid import uuid4
from weakref import WeakValueDictionary

import trio

from actors.room.messages import TipMenuChanged
from actors.room.registry import RoomRegistry
from protocol import pattern_library, tip_menu_edit
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.pattern_library import Library, PatternDraft, StoredPattern
from protocol.tip_menu_edit import Menu, RowDraft
from server.http.problem import ManyRefused
from server.store.tip_menu_store import ModelMenu, PostgresTipMenus


class TipMenus:
    """The only writer of menus and libraries. Every method waits for the database. Each raises
    Refused, USER_UNKNOWN for a model who is not registered; an edit also Refused or ManyRefused
    for what is wrong with it, and then nothing was changed, and StoreUnavailable where it is not
    known whether it was made: reading tells."""

    def __init__(self, rooms: RoomRegistry, store: PostgresTipMenus) -> None:
        self._rooms = rooms
        self._store = store
        # Stored and told in the same order, or a room could keep the older of two menus.
        self._one_edit: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    async def load(self, model_id: str) -> ModelMenu:
        return _known(await self._store.load(model_id))

    async def add_row(self, model_id: str, draft: RowDraft, who: str) -> tuple[Menu, str]:
        """The menu, and the new row's id."""
        row_id = f"row-{uuid4().hex}"

        def edit(menu: Menu, library: Library) -> Menu | list[Refusal]:
            return tip_menu_edit.add_row(menu, row_id, draft, library)

        return await self._edit_menu(model_id, edit, who), row_id

    async def replace_row(self, model_id: str, row_id: str, draft: RowDraft, who: str) -> Menu:
        def edit(menu: Menu, library: Library) -> Menu | list[Refusal]:
            return tip_menu_edit.replace_row(menu, row_id, draft, library)

        return await self._edit_menu(model_id, edit, who)

    async def remove_row(self, model_id: str, row_id: str, who: str) -> Menu:
        def edit(menu: Menu, _library: Library) -> Menu | list[Refusal]:
            return tip_menu_edit.remove_row(menu, row_id)

        return await self._edit_menu(model_id, edit, who)

    async def reorder(self, model_id: str, row_ids: tuple[str, ...], who: str) -> Menu:
        def edit(menu: Menu, _library: Library) -> Menu | list[Refusal]:
            return tip_menu_edit.reorder(menu, row_ids)

        return await self._edit_menu(model_id, edit, who)

    async def add_pattern(self, model_id: str, draft: PatternDraft, who: str) -> StoredPattern:
        pattern_id = f"pattern-{uuid4().hex}"

        def edit(library: Library) -> Library | list[Refusal]:
            return pattern_library.add_pattern(library, pattern_id, draft)

        await self._edit_library(model_id, edit, who)
        return StoredPattern(pattern_id, draft.name, draft.pattern)

    async def replace_pattern(
        self, model_id: str, pattern_id: str, draft: PatternDraft, who: str
    ) -> StoredPattern:
        def edit(library: Library) -> Library | list[Refusal]:
            return pattern_library.replace_pattern(library, pattern_id, draft)

        await self._edit_library(model_id, edit, who)
        return StoredPattern(pattern_id, draft.name, draft.pattern)

    async def remove_pattern(self, model_id: str, pattern_id: str, who: str) -> None:
        def edit(library: Library) -> Library | list[Refusal]:
            return pattern_library.remove_pattern(library, pattern_id)

        await self._edit_library(model_id, edit, who)

    async def _edit_menu(
        self,
        model_id: str,
        edit: Callable[[Menu, Library], Menu | list[Refusal]],
        who: str,
    ) -> Menu:
        lock = self._one_edit.setdefault(model_id, trio.Lock())
        async with lock:
            # A caller who hangs up after the commit must not keep the room from hearing of it.
            # The database's own limits end the wait.
            with trio.CancelScope(shield=True):
                edited = _known(await self._store.edit_menu(model_id, edit, who))
            for room in self._rooms:
                if room.room_id in edited.room_ids:
                    room.tell_always(TipMenuChanged(edited.menu))
        return edited.menu

    async def _edit_library(
        self, model_id: str, edit: Callable[[Library], Library | list[Refusal]], who: str
    ) -> None:
        _known(await self._store.edit_patterns(model_id, edit, who))


def _known(found: ModelMenu | list[Refusal] | None) -> ModelMenu:
    if found is None:
        raise Refused(ErrorCode.USER_UNKNOWN, "modelId")
    if isinstance(found, list):
        if len(found) > 1:
            raise ManyRefused(found)
        raise Refused(found[0].code, found[0].field, found[0].detail)
    return found
