"""The rooms of the section "stage": each with its model's page, a menu for her stage, and buyers of
every tier."""

from collections.abc import Sequence
from typing import Final

import trio

from actors.ports import Broadcast, UserRecord
from bench.pages import Page
from bench.room_setup import fill_wallets_of
from protocol import performance_menu_edit as edit
from protocol.errors import Refusal
from protocol.pattern_library import Library
from protocol.performance_menu import MenuQueueMode, Menus
from protocol.performance_menu_edit import ItemDraft, MenuDraft
from protocol.tip_activated import LovenseMode, MembershipTier
from protocol.toy_settings import ModelSettings
from protocol.vibration_choice import LevelChoice
from server.auth import Role
from server.store.bridge import open_bridge
from server.store.store import Store, open_store

SONG: Final = "song"
"""Settles when it is finished."""
WAVE: Final = "wave"
"""Drives a toy: settles when it is started."""
_ITEMS: Final = {
    SONG: ItemDraft(name="Song", token_value=100, bonus_points=10),
    WAVE: ItemDraft(
        name="Wave", token_value=100, vibration=LevelChoice(strength=5, duration_sec=1)
    ),
}
_ON_AIR_AT_ONCE: Final = 4


def menu_of(room_id: str) -> str:
    return f"{room_id}-menu"


def stage_rooms(rooms: int, buyers: int) -> list[Page]:
    """Of each room the model's page, then its buyers, the tiers in turn."""
    tiers = list(MembershipTier)
    pages: list[Page] = []
    for number in range(rooms):
        room_id = f"bench-stage-{number:03d}"
        model = f"{room_id}-model"
        pages.append(Page(UserRecord(model, model, MembershipTier.FREE), room_id, Role.MODEL))
        for buyer in range(buyers):
            name = f"{room_id}-buyer-{buyer}"
            tier = tiers[buyer % len(tiers)]
            pages.append(Page(UserRecord(name, name, tier), room_id, Role.VIEWER))
    return pages


async def prepare(dsn: str, pages: Sequence[Page]) -> None:
    """Models, menus, rooms on air, full wallets. The server has been up, so that the schema is
    there."""
    limiter = trio.CapacityLimiter(_ON_AIR_AT_ONCE)
    async with open_bridge() as bridge, open_store(dsn, bridge) as store:
        async with trio.open_nursery() as nursery:
            for page in pages:
                if page.role is Role.MODEL:
                    nursery.start_soon(_on_air, store, page, limiter)
        await fill_wallets_of(store, [page.user for page in pages if page.role is Role.VIEWER])


async def _on_air(store: Store, page: Page, limiter: trio.CapacityLimiter) -> None:
    model, room_id = page.user, page.room_id
    async with limiter:
        await store.rooms.add_model(model.user_id, model.username, ModelSettings())
        await store.rooms.add_room(room_id, model.user_id)
        await store.menus.edit(
            model.user_id, lambda menus, library: _with_menu(menus, room_id, library), "bench"
        )
        broadcast = Broadcast(f"{room_id}-broadcast", LovenseMode.EXTENSION)
        await store.rooms.start_broadcast(room_id, broadcast)


def _with_menu(menus: Menus, room_id: str, library: Library) -> Menus | list[Refusal]:
    draft = MenuDraft(name="Stage", queue_mode=MenuQueueMode.ON)
    made: Menus | list[Refusal] = edit.add_menu(menus, menu_of(room_id), draft)
    for item_id, item in _ITEMS.items():
        assert isinstance(made, tuple), made
        made = edit.add_item(made, menu_of(room_id), item_id, item, library)
    return made
