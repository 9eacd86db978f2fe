"""A model's performance menus, while she edits them and others read them."""

from uuid import uuid4

import trio

from protocol import performance_menu_edit as edits
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.pattern_library import Library
from protocol.performance_menu import Menus
from protocol.performance_menu_edit import ItemDraft, ItemView, MenuDraft, MenuView
from server.http.problem import ManyRefused
from server.store.menu_store import MenusEdit, OwnedMenu, PostgresMenus


class PerformanceMenus:
    """The only writer of menus. Every method waits for the database. Each raises Refused; an edit
    also ManyRefused, and then nothing was changed, and StoreUnavailable where it is not known
    whether it was made: reading tells."""

    def __init__(self, store: PostgresMenus) -> None:
        self._store = store

    async def load_all(self, model_id: str) -> Menus:
        """USER_UNKNOWN."""
        menus = await self._store.load_menus(model_id)
        if menus is None:
            raise Refused(ErrorCode.USER_UNKNOWN, "modelId")
        return menus

    async def load(self, menu_id: str) -> OwnedMenu:
        """MENU_UNKNOWN."""
        owned = await self._store.load_menu(menu_id)
        if owned is None:
            raise Refused(ErrorCode.MENU_UNKNOWN)
        return owned

    async def is_subscriber(self, user_id: str, model_id: str) -> bool:
        return await self._store.is_subscriber(user_id, model_id)

    async def add_menu(self, model_id: str, draft: MenuDraft) -> MenuView:
        menu_id = f"menu-{uuid4().hex}"

        def edit(menus: Menus, _library: Library) -> Menus | list[Refusal]:
            return edits.add_menu(menus, menu_id, draft)

        return _menu_in(await self._edit(model_id, edit), model_id, menu_id)

    async def replace_menu(self, model_id: str, menu_id: str, draft: MenuDraft) -> MenuView:
        await self._check_owner(model_id, menu_id)

        def edit(menus: Menus, _library: Library) -> Menus | list[Refusal]:
            return edits.replace_menu(menus, menu_id, draft)

        return _menu_in(await self._edit(model_id, edit), model_id, menu_id)

    async def remove_menu(self, model_id: str, menu_id: str) -> None:
        await self._check_owner(model_id, menu_id)

        def edit(menus: Menus, _library: Library) -> Menus | list[Refusal]:
            return edits.remove_menu(menus, menu_id)

        await self._edit(model_id, edit)

    async def add_item(self, model_id: str, menu_id: str, draft: ItemDraft) -> ItemView:
        await self._check_owner(model_id, menu_id)
        item_id = f"item-{uuid4().hex}"

        def edit(menus: Menus, library: Library) -> Menus | list[Refusal]:
            return edits.add_item(menus, menu_id, item_id, draft, library)

        return _item_in(await self._edit(model_id, edit), model_id, menu_id, item_id)

    async def replace_item(
        self, model_id: str, menu_id: str, item_id: str, draft: ItemDraft
    ) -> ItemView:
        await self._check_owner(model_id, menu_id)

        def edit(menus: Menus, library: Library) -> Menus | list[Refusal]:
            return edits.replace_item(menus, menu_id, item_id, draft, library)

        return _item_in(await self._edit(model_id, edit), model_id, menu_id, item_id)

    async def remove_item(self, model_id: str, menu_id: str, item_id: str) -> None:
        await self._check_owner(model_id, menu_id)

        def edit(menus: Menus, _library: Library) -> Menus | list[Refusal]:
            return edits.remove_item(menus, menu_id, item_id)

        await self._edit(model_id, edit)

    async def _check_owner(self, model_id: str, menu_id: str) -> None:
        """MENU_UNKNOWN; FORBIDDEN for another model's."""
        if (await self.load(menu_id)).model_id != model_id:
            raise Refused(ErrorCode.FORBIDDEN)

    async def _edit(self, model_id: str, edit: MenusEdit) -> Menus:
        # Whoever hangs up must not leave it unknown whether it was made.
        with trio.CancelScope(shield=True):
            found = await self._store.edit(model_id, edit, model_id)
        if found is None:
            raise Refused(ErrorCode.USER_UNKNOWN)
        if isinstance(found, list):
            if len(found) > 1:
                raise ManyRefused(found)
            raise Refused(found[0].code, found[0].field, found[0].detail)
        return found


def _menu_in(menus: Menus, model_id: str, menu_id: str) -> MenuView:
    menu = next(menu for menu in menus if menu.menu_id == menu_id)
    return edits.view_menu(menu, model_id, whole=True)


def _item_in(menus: Menus, model_id: str, menu_id: str, item_id: str) -> ItemView:
    menu = _menu_in(menus, model_id, menu_id)
    return next(item for item in menu.items if item.item_id == item_id)
