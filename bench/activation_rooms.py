"""The rooms of the section "activation": many where the model alone plays, and one full of VIPs."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import trio

from actors.ports import Broadcast, UserRecord
from bench.pages import Page
from bench.room_setup import fill_wallets_of
from protocol.tip_activated import LovenseMode, MembershipTier, ViewerSyncMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import ModelSettings
from protocol.vibration import level
from server.auth import Role
from server.store.bridge import open_bridge
from server.store.store import open_store

SHORT_AMOUNT: Final = 77
"""Tokens; a vibration of 1 s."""
LONG_AMOUNT: Final = 78
"""Tokens; a vibration of 30 s."""
VIP_ROOM: Final = "bench-vips"
TIPPERS: Final = 6
ASKERS: Final = 10
"""Viewers without a toy in the room of VIPs: each may tip 60 times a minute, or ask twice a
second."""

_ON_AIR_AT_ONCE: Final = 4
_MENU: Final = tuple(
    TipMenuRow(
        row_id=f"bench-{amount}",
        tip_amount=amount,
        vibration=level(10, seconds),
        description=f"{seconds} s",
        active=True,
        order=order,
    )
    for order, (amount, seconds) in enumerate(((SHORT_AMOUNT, 1), (LONG_AMOUNT, 30)))
)


def quiet_rooms(rooms: int, tippers: int) -> list[Page]:
    """Of each room the model's page, then its tippers; no viewer has a toy."""
    pages: list[Page] = []
    for number in range(rooms):
        room_id = f"bench-{number:03d}"
        pages.append(_model_page(room_id))
        for tipper in range(tippers):
            name = f"{room_id}-tipper-{tipper}"
            pages.append(Page(UserRecord(name, name, MembershipTier.FREE), room_id, Role.VIEWER))
    return pages


def vip_room(vips: int) -> list[Page]:
    """The model's page, then the bystanders, then the VIPs."""
    names = [f"bench-bystander-{number}" for number in range(TIPPERS + ASKERS)]
    pages = [_model_page(VIP_ROOM)]
    pages += [
        Page(UserRecord(name, name, MembershipTier.FREE), VIP_ROOM, Role.VIEWER) for name in names
    ]
    names = [f"bench-vip-{number:04d}" for number in range(vips)]
    pages += [
        Page(UserRecord(name, name, MembershipTier.VIP_DIAMOND), VIP_ROOM, Role.VIEWER, True)
        for name in names
    ]
    return pages


async def prepare(dsn: str, pages: Sequence[Page]) -> None:
    """Models, rooms on air, full wallets. The server has been up, so that the schema is there."""
    limiter = trio.CapacityLimiter(_ON_AIR_AT_ONCE)
    async with open_bridge() as bridge, open_store(dsn, bridge) as store:

        async def on_air(page: Page) -> None:
            model, room_id = page.user, page.room_id
            is_shared = room_id == VIP_ROOM
            sync = ViewerSyncMode.VIP_ROOM_SYNC if is_shared else ViewerSyncMode.OFF
            async with limiter:
                settings = ModelSettings(viewer_sync_mode=sync)
                await store.rooms.add_model(model.user_id, model.username, settings)
                await store.rooms.add_room(room_id, model.user_id)
                await store.rooms.save_tip_menu(model.user_id, _MENU)
                broadcast = Broadcast(f"{room_id}-broadcast", LovenseMode.EXTENSION)
                await store.rooms.start_broadcast(room_id, broadcast)

        async with trio.open_nursery() as nursery:
            for page in pages:
                if page.role is Role.MODEL:
                    nursery.start_soon(on_air, page)
        viewers = [page.user for page in pages if page.role is Role.VIEWER]
        await fill_wallets_of(store, viewers)


async def fetch(dsn: str, query: str, *args: Any) -> list[Any]:
    """What the database itself knows."""

    async def rows() -> list[Any]:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetch(query, *args)
        finally:
            await connection.close()

    async with open_bridge() as bridge:
        return await bridge.run(rows)


def _model_page(room_id: str) -> Page:
    name = f"{room_id}-model"
    return Page(UserRecord(name, name, MembershipTier.FREE), room_id, Role.MODEL)
