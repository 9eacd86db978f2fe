"""Performance menus and subscriptions on the real database."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from actors.ports import UserRecord
from protocol import performance_menu_edit as edit
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.pattern_library import Library
from protocol.performance_menu import CardStyle, MenuQueueMode, Menus, Theme, Visibility
from protocol.performance_menu_edit import ItemDraft, MenuDraft
from protocol.tip_activated import MembershipTier
from protocol.toy_settings import ModelSettings
from protocol.vibration_choice import LevelChoice
from server.store.store import Store
from tests.store.rows import fetch

LUXURY = MenuDraft(
    name="VIP",
    description="For few",
    queue_mode=MenuQueueMode.ON,
    visibility=Visibility.PRIVATE,
    whitelist=("zoe", "ann"),
    theme=Theme(CardStyle.LUXURY),
    active=False,
)
DANCE = ItemDraft(
    name="Dance",
    description="For one",
    token_value=50,
    bonus_points=5,
    vibration=LevelChoice(strength=5, duration_sec=3),
    start_offset_ms=500,
    duration_sec=90,
    active=False,
    order=3,
    category="dances",
    icon="💃",
    max_daily_purchases=2,
)


@pytest.fixture
async def model(store: Store) -> Store:
    await store.rooms.add_model("model-1", "Ruby Rain", ModelSettings())
    await store.rooms.add_model("model-2", "Mia", ModelSettings())
    await store.members.save_user(UserRecord("ann", "Ann", MembershipTier.FREE))
    return store


async def edited(store: Store, change: Any, *args: Any) -> Menus:
    def apply(menus: Menus, _library: Library) -> Menus | list[Refusal]:
        result: Menus | list[Refusal] = change(menus, *args)
        return result

    found = await store.menus.edit("model-1", apply, "ruby")
    assert isinstance(found, tuple), found
    assert await store.menus.load_menus("model-1") == found
    return found


async def test_what_is_edited_comes_back_whole(model: Store) -> None:
    await edited(model, edit.add_menu, "menu-1", LUXURY)
    await edited(model, edit.add_menu, "menu-2", MenuDraft(name="Fun"))
    add = partial(edit.add_item, library=())
    await edited(model, add, "menu-1", "item-1", DANCE)
    await edited(model, add, "menu-1", "item-2", ItemDraft(name="Wave", token_value=5))
    dearer = msgspec.structs.replace(DANCE, token_value=60, vibration=None, order=0)
    await edited(model, partial(edit.replace_item, library=()), "menu-1", "item-1", dearer)
    shorter = msgspec.structs.replace(LUXURY, whitelist=("ann",), active=True)
    [first, second] = await edited(model, edit.replace_menu, "menu-1", shorter)
    assert (first.whitelist, first.active, second.name) == (("ann",), True, "Fun")
    assert [item.item_id for item in first.items] == ["item-1", "item-2"]
    owned = await model.menus.load_menu("menu-1")
    assert owned is not None
    assert (owned.model_id, owned.menu) == ("model-1", first)
    await edited(model, edit.remove_item, "menu-1", "item-2")
    await edited(model, edit.remove_menu, "menu-1")
    assert await model.menus.load_menu("menu-1") is None
    assert await fetch(model, "SELECT FROM menu_items") == []


async def test_a_refused_edit_changes_nothing_and_a_change_is_in_the_history(model: Store) -> None:
    await edited(model, edit.add_menu, "menu-1", LUXURY)

    def refuse(menus: Menus, _library: Library) -> Menus | list[Refusal]:
        return edit.remove_menu(menus, "none")

    assert await model.menus.edit("model-1", refuse, "ruby") == [Refusal(ErrorCode.MENU_UNKNOWN)]
    assert await model.menus.edit("none", refuse, "ruby") is None
    assert await model.menus.load_menus("none") is None
    assert await model.menus.load_menus("model-2") == ()
    rows = await fetch(model, "SELECT name, old, who FROM settings_history")
    assert [(row["name"], row["old"], row["who"]) for row in rows] == [
        ("menus.menu-1", "null", "ruby")
    ]


async def test_a_subscription_holds_until_it_ends(model: Store) -> None:
    now = datetime.now(UTC)
    assert not await model.menus.is_subscriber("ann", "model-1")
    await model.menus.save_subscription("ann", "model-1", now + timedelta(days=30))
    assert await model.menus.is_subscriber("ann", "model-1")
    assert not await model.menus.is_subscriber("ann", "model-2")
    await model.menus.save_subscription("ann", "model-1", now - timedelta(seconds=1))
    assert not await model.menus.is_subscriber("ann", "model-1")
    for user_id, model_id, field in [("none", "model-1", "userId"), ("ann", "none", "modelId")]:
        with pytest.raises(Refused) as refused:
            await model.menus.save_subscription(user_id, model_id, now)
        assert (refused.value.refusal.code, refused.value.refusal.field) == (
            ErrorCode.USER_UNKNOWN,
            field,
        )
