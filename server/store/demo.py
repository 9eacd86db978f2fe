"""What `make run` shows: a live room, its model, and one viewer of each tier with tokens."""

from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from actors.ports import Broadcast, UserRecord
from protocol import performance_menu_edit
from protocol.errors import Refusal
from protocol.pattern_library import Library
from protocol.performance_menu import Menus
from protocol.tip_activated import LovenseMode, MembershipTier, ViewerSyncMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import ModelSettings, PlatformSettings
from protocol.vibration import Pattern, PresetName, Vibration, VibrationType, level
from server.ready_menus import load_ready_menus
from server.shipped_templates import WHO, shipped_templates
from server.store.store import Store

ROOM_ID: Final = "room-1"
MODEL_ID: Final = "model-1"
MODEL_NAME: Final = "Ruby Rain"
VIEWERS: Final = {
    "alex": MembershipTier.FREE,
    "sam": MembershipTier.VIP_SILVER,
    "jo": MembershipTier.VIP_GOLD,
    "kim": MembershipTier.VIP_PLATINUM,
    "dee": MembershipTier.VIP_DIAMOND,
}
"""User id, which is also the username, and tier."""
FIRST_TOKENS: Final = 5_000
SUBSCRIBERS: Final = ("kim", "dee")
"""Of the demo's model: they see the menu that is for subscribers only."""
SUBSCRIBED_UNTIL: Final = datetime(2099, 1, 1, tzinfo=UTC)

_PATTERN: Final = Pattern((2, 6, 10, 14, 18, 20, 18, 14, 10, 6), 200)
_MENU: Final = (
    (15, level(5, 3), "A gentle hello"),
    (30, level(10, 5), "Medium buzz"),
    (60, level(16, 8), "Strong buzz"),
    (100, Vibration(VibrationType.PRESET, None, 10, PresetName.WAVE, None), "Wave"),
    (200, Vibration(VibrationType.PATTERN, None, 15, None, _PATTERN), "Rising tide"),
    (500, level(20, 30), "All the way"),
)


async def seed_demo(store: Store) -> None:
    """Bring the demo about, as far as it is not there: what was changed since then stays, spent
    tokens stay spent. A room without an open broadcast gets a new one."""
    await store.settings.initialise_platform_settings(PlatformSettings(enable_lovense=True))
    for user_id, tier in VIEWERS.items():
        if await store.members.load_user(user_id) is None:
            await store.members.save_user(UserRecord(user_id, user_id, tier))
        await store.ledger.deposit(f"demo:{user_id}", user_id, FIRST_TOKENS)
    await store.rooms.add_model(
        MODEL_ID, MODEL_NAME, ModelSettings(viewer_sync_mode=ViewerSyncMode.VIP_ROOM_SYNC)
    )
    await store.rooms.add_room(ROOM_ID, MODEL_ID)
    await store.templates.add_shipped(shipped_templates(), WHO)
    room = await store.rooms.load_room(ROOM_ID)
    assert room is not None  # just added
    if not room.tip_menu:
        await store.rooms.save_tip_menu(MODEL_ID, _menu_rows())
    if await store.menus.load_menus(MODEL_ID) == ():
        await store.menus.edit(MODEL_ID, _ready_menus, "demo")
    for user_id in SUBSCRIBERS:
        await store.menus.save_subscription(user_id, MODEL_ID, SUBSCRIBED_UNTIL)
    if room.broadcast is None:
        broadcast = Broadcast(f"broadcast-{uuid4().hex[:12]}", LovenseMode.EXTENSION)
        await store.rooms.start_broadcast(ROOM_ID, broadcast)


def _ready_menus(menus: Menus, library: Library) -> Menus | list[Refusal]:
    """As if she had added each; ids that stay the same make the demo's addresses stable."""
    for number, ready in enumerate(load_ready_menus(), start=1):
        menu_id = f"ready-{number}"
        added = performance_menu_edit.add_menu(menus, menu_id, ready.menu)
        for place, item in enumerate(ready.items, start=1):
            if isinstance(added, list):
                return added
            added = performance_menu_edit.add_item(
                added, menu_id, f"ready-{number}-{place}", item, library
            )
        if isinstance(added, list):
            return added
        menus = added
    return menus


def _menu_rows() -> list[TipMenuRow]:
    return [
        TipMenuRow(
            row_id=f"menu-{amount}",
            tip_amount=amount,
            vibration=vibration,
            description=description,
            active=True,
            order=order,
        )
        for order, (amount, vibration, description) in enumerate(_MENU)
    ]
