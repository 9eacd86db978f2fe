"""Performance menus: limits, edits, versions, and who may see them."""

from typing import Any

import msgspec
import pytest

from protocol import performance_menu_edit as edit
from protocol.errors import ErrorCode, Refusal
from protocol.pattern_library import StoredPattern
from protocol.performance_menu import (
    ITEMS_MAX,
    MENUS_MAX,
    MenuQueueMode,
    Menus,
    Visibility,
    may_see,
)
from protocol.performance_menu_edit import ItemDraft, MenuDraft, view_menu
from protocol.tip_activated import ItemType
from protocol.validation import validate
from protocol.vibration import Pattern, VibrationType
from protocol.vibration_choice import LevelChoice, StoredPatternChoice

LEVEL = LevelChoice(strength=5, duration_sec=3)
DANCE = ItemDraft(name="Dance", token_value=50, vibration=LEVEL)
TIDE = StoredPattern("tide", "Tide", Pattern((0, 20), 101))


def done(result: Menus | list[Refusal]) -> Menus:
    assert not isinstance(result, list), result
    return result


def refused(result: Menus | list[Refusal]) -> tuple[ErrorCode, str | None]:
    assert isinstance(result, list)
    [refusal] = result
    return refusal.code, refusal.field


def one_menu(*items: ItemDraft) -> Menus:
    menus = done(edit.add_menu((), "menu", MenuDraft(name="Fun")))
    for number, item in enumerate(items):
        menus = done(edit.add_item(menus, "menu", f"item-{number}", item, (TIDE,)))
    return menus


GOOD_MENU: dict[str, Any] = {"name": "Fun"}
GOOD_ITEM: dict[str, Any] = {"name": "Dance", "tokenValue": 5}


@pytest.mark.parametrize(
    ("kind", "good", "change", "fields"),
    [
        (MenuDraft, GOOD_MENU, {"name": ""}, {"name"}),
        (
            MenuDraft,
            GOOD_MENU,
            {"name": "x" * 66, "description": "x" * 201},
            {"name", "description"},
        ),
        (
            MenuDraft,
            GOOD_MENU,
            {"queueMode": "on", "visibility": "all", "theme": {"cardStyle": "odd"}, "x": 1},
            {"queueMode", "visibility", "theme.cardStyle", "x"},
        ),
        (
            MenuDraft,
            GOOD_MENU,
            {"whitelist": ["ok", "no id"], "active": 1},
            {"whitelist[1]", "active"},
        ),
        (MenuDraft, GOOD_MENU, {"whitelist": [f"u-{n}" for n in range(1_001)]}, {"whitelist"}),
        (MenuDraft, GOOD_MENU, {"name": "a\nb"}, {"name"}),
        (ItemDraft, GOOD_ITEM, {"tokenValue": 0}, {"tokenValue"}),
        (
            ItemDraft,
            GOOD_ITEM,
            {"tokenValue": 100_000, "bonusPoints": -1},
            {"tokenValue", "bonusPoints"},
        ),
        (
            ItemDraft,
            GOOD_ITEM,
            {"tokenValue": "5", "maxDailyPurchases": 0},
            {"tokenValue", "maxDailyPurchases"},
        ),
        (
            ItemDraft,
            GOOD_ITEM,
            {
                "vibration": {"type": "LEVEL", "strength": 0, "durationSec": 0},
                "startOffsetMs": 60_001,
                "durationSec": 3_601,
                "category": "x" * 41,
                "icon": "x" * 17,
                "order": -1,
            },
            {
                "vibration.strength",
                "vibration.durationSec",
                "startOffsetMs",
                "durationSec",
                "category",
                "icon",
                "order",
            },
        ),
        (ItemDraft, GOOD_ITEM, {"version": 3, "itemId": "mine"}, {"version", "itemId"}),
    ],
)
def test_every_bad_field_is_named(
    kind: Any, good: dict[str, Any], change: dict[str, Any], fields: set[str]
) -> None:
    assert isinstance(validate(good, kind), kind)
    found = validate(good | change, kind)
    assert isinstance(found, list)
    assert {refusal.field for refusal in found} == fields
    assert {refusal.code for refusal in found} == {ErrorCode.INVALID_FIELD}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (MenuDraft, {"name": "x" * 65, "description": "x" * 200}),
        (ItemDraft, {"name": "x", "tokenValue": 1, "vibration": None, "startOffsetMs": 60_000}),
        (ItemDraft, {"name": "x", "tokenValue": 99_999, "durationSec": 3_600, "order": 9_999}),
    ],
)
def test_the_limits_themselves_are_good(kind: Any, body: dict[str, Any]) -> None:
    assert isinstance(validate(body, kind), kind)


def test_a_menu_begins_empty_and_by_the_defaults_of_the_specification() -> None:
    [menu] = one_menu()
    assert (menu.queue_mode, menu.visibility, menu.theme.card_style, menu.items) == (
        MenuQueueMode.OFF,
        Visibility.PUBLIC,
        "modern",
        (),
    )


def test_a_model_has_so_many_menus_and_a_menu_so_many_items() -> None:
    menus: Menus = ()
    for number in range(MENUS_MAX):
        menus = done(edit.add_menu(menus, f"menu-{number}", MenuDraft(name="Fun")))
    again = edit.add_menu(menus, "one-more", MenuDraft(name="Fun"))
    assert refused(again) == (ErrorCode.LIMIT_REACHED, None)
    menus = one_menu(*[DANCE] * ITEMS_MAX)
    assert refused(edit.add_item(menus, "menu", "one-more", DANCE, ())) == (
        ErrorCode.LIMIT_REACHED,
        None,
    )


def test_items_stand_by_their_order_and_then_as_they_came() -> None:
    last, first = (msgspec.structs.replace(DANCE, order=order) for order in (7, 1))
    [menu] = one_menu(last, first, first)
    assert [item.item_id for item in menu.items] == ["item-1", "item-2", "item-0"]


def test_a_version_grows_with_what_a_buyer_should_know_of() -> None:
    menus = one_menu(DANCE, DANCE)
    same = done(edit.replace_item(menus, "menu", "item-0", DANCE, ()))
    assert same == menus
    dearer = msgspec.structs.replace(DANCE, token_value=51)
    menus = done(edit.replace_item(menus, "menu", "item-0", dearer, ()))
    assert [(item.version, item.token_value) for item in menus[0].items] == [(2, 51), (1, 50)]
    renamed = done(edit.replace_menu(menus, "menu", MenuDraft(name="Other")))
    assert renamed[0].items == menus[0].items
    queued = done(
        edit.replace_menu(menus, "menu", MenuDraft(name="Fun", queue_mode=MenuQueueMode.ON))
    )
    assert [item.version for item in queued[0].items] == [3, 2]


def test_a_stored_pattern_is_copied() -> None:
    stored = StoredPatternChoice(pattern_id="tide", duration_sec=5)
    [menu] = one_menu(msgspec.structs.replace(DANCE, vibration=stored))
    vibration = menu.items[0].vibration
    assert vibration is not None
    assert (vibration.type, vibration.pattern) == (VibrationType.PATTERN, TIDE.pattern)
    unknown = msgspec.structs.replace(
        DANCE, vibration=StoredPatternChoice(pattern_id="none", duration_sec=5)
    )
    for result in (
        edit.add_item((menu,), "menu", "new", unknown, (TIDE,)),
        edit.replace_item((menu,), "menu", "item-0", unknown, (TIDE,)),
    ):
        assert refused(result) == (ErrorCode.PATTERN_UNKNOWN, "vibration.patternId")


def test_what_is_not_there_is_named() -> None:
    menus = one_menu(DANCE)
    unknown_menu = (ErrorCode.MENU_UNKNOWN, None)
    assert refused(edit.replace_menu(menus, "none", MenuDraft(name="Fun"))) == unknown_menu
    assert refused(edit.remove_menu(menus, "none")) == unknown_menu
    assert refused(edit.add_item(menus, "none", "new", DANCE, ())) == unknown_menu
    assert refused(edit.replace_item(menus, "none", "item-0", DANCE, ())) == unknown_menu
    assert refused(edit.remove_item(menus, "none", "item-0")) == unknown_menu
    unknown_item = (ErrorCode.MENU_ITEM_UNKNOWN, None)
    assert refused(edit.replace_item(menus, "menu", "none", DANCE, ())) == unknown_item
    assert refused(edit.remove_item(menus, "menu", "none")) == unknown_item
    assert done(edit.remove_item(menus, "menu", "item-0"))[0].items == ()
    assert done(edit.remove_menu(menus, "menu")) == ()


def test_the_history_names_what_changed_and_nothing_else() -> None:
    old = one_menu(DANCE, DANCE)
    new = done(
        edit.replace_item(old, "menu", "item-1", msgspec.structs.replace(DANCE, token_value=60), ())
    )
    changes = edit.difference(old, new)
    assert list(changes) == ["menus.menu.item-1"]
    before, after = changes["menus.menu.item-1"]
    assert (before["tokenValue"], after["tokenValue"]) == (50, 60)
    gone = edit.difference(new, ())
    assert set(gone) == {"menus.menu", "menus.menu.item-0", "menus.menu.item-1"}
    assert all(after is None for _, after in gone.values())
    assert edit.difference(new, new) == {}


def test_a_viewer_is_shown_what_is_on_offer_and_no_whitelist() -> None:
    hidden = msgspec.structs.replace(DANCE, active=False)
    draft = MenuDraft(name="Fun", whitelist=("ann", "bob", "ann"))
    menus = done(edit.replace_menu(one_menu(DANCE, hidden), "menu", draft))
    whole, shown = (view_menu(menus[0], "model", whole=whole) for whole in (True, False))
    assert (whole.whitelist, len(whole.items)) == (("ann", "bob"), 2)
    assert (shown.whitelist, [item.item_id for item in shown.items]) == (None, ["item-0"])
    assert shown.items[0].vibration == LEVEL


def test_what_is_bought_is_a_menu_item() -> None:
    [menu] = one_menu(msgspec.structs.replace(DANCE, bonus_points=7, description="For one"))
    item = menu.items[0].bought()
    assert (item.item_type, item.item_id, item.item_name) == (
        ItemType.MENU_ITEM,
        "item-0",
        "Dance",
    )
    assert (item.description_public, item.bonus_points) == ("For one", 7)
    assert item.vibration == menu.items[0].vibration


@pytest.mark.parametrize(
    ("visibility", "nobody", "subscriber", "listed"),
    [
        (Visibility.PUBLIC, True, True, True),
        (Visibility.SUBSCRIBERS_ONLY, False, True, False),
        (Visibility.PRIVATE, False, False, True),
    ],
)
def test_who_may_see_a_menu(
    visibility: Visibility, nobody: bool, subscriber: bool, listed: bool
) -> None:
    assert may_see(visibility, is_subscriber=False, is_listed=False) is nobody
    assert may_see(visibility, is_subscriber=True, is_listed=False) is subscriber
    assert may_see(visibility, is_subscriber=False, is_listed=True) is listed
    assert may_see(visibility, is_subscriber=False, is_listed=False, is_owner=True)
