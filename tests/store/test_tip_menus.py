"""Tip menus and pattern libraries on the real database: whole edits, one after the other."""

from functools import partial
from typing import Any

import asyncpg
import msgspec
import pytest
import trio

from protocol import pattern_library, tip_menu_edit
from protocol.errors import ErrorCode, Refusal
from protocol.pattern_library import Library, PatternDraft, StoredPattern
from protocol.tip_menu import TipMenuRow
from protocol.tip_menu_edit import ROWS_MAX, Menu, RowDraft, view_row
from protocol.toy_settings import ModelSettings
from protocol.vibration import Pattern, PresetName
from protocol.vibration_choice import LevelChoice, PatternChoice, PresetChoice, StoredPatternChoice
from server.store.database import Connection
from server.store.store import Store
from server.store.tip_menu_store import ModelMenu

MODEL = "model-1"
TIDE = Pattern((1, 20, 3), 250)
LEVEL = LevelChoice(strength=5, duration_sec=3)


@pytest.fixture
async def model(store: Store) -> Store:
    """model-1 of room-1, with nothing."""
    await store.rooms.add_model(MODEL, "Ruby Rain", ModelSettings())
    await store.rooms.add_room("room-1", MODEL)
    return store


def adding(row_id: str, amount: int, **changes: Any) -> Any:
    draft = msgspec.structs.replace(RowDraft(amount, LEVEL, row_id, True), **changes)
    return lambda menu, library: tip_menu_edit.add_row(menu, row_id, draft, library)


async def add(store: Store, row_id: str, amount: int, **changes: Any) -> Menu:
    edited = await store.tip_menus.edit_menu(MODEL, adding(row_id, amount, **changes), "ruby")
    assert isinstance(edited, ModelMenu)
    return edited.menu


async def store_pattern(store: Store, pattern_id: str, name: str = "Tide") -> Library:
    edit = partial(
        pattern_library.add_pattern, pattern_id=pattern_id, draft=PatternDraft(name, TIDE)
    )
    edited = await store.tip_menus.edit_patterns(MODEL, edit, "ruby")
    assert isinstance(edited, ModelMenu)
    return edited.library


async def loaded(store: Store) -> ModelMenu:
    found = await store.tip_menus.load(MODEL)
    assert found is not None
    return found


async def history(store: Store) -> list[tuple[str, str, Any, Any, str]]:
    """Owner, name, old, new, who."""

    async def fetch(connection: Connection) -> list[asyncpg.Record]:
        return await connection.fetch(
            "SELECT owner_id, name, old, new, who FROM settings_history ORDER BY change_id"
        )

    rows = await store._database.run(fetch)
    return [
        (
            row["owner_id"],
            row["name"],
            msgspec.json.decode(row["old"]),
            msgspec.json.decode(row["new"]),
            row["who"],
        )
        for row in rows
    ]


async def test_a_model_whom_nobody_registered(store: Store) -> None:
    assert await store.tip_menus.load("nobody") is None
    assert await store.tip_menus.edit_menu("nobody", adding("row-1", 5), "who") is None
    assert await store.tip_menus.edit_patterns("nobody", lambda library: library, "who") is None


async def test_every_kind_of_row_comes_back_as_it_was(model: Store) -> None:
    await store_pattern(model, "tide")
    await add(model, "level", 10, priority=20, description="")
    await add(
        model, "preset", 20, vibration=PresetChoice(preset_name=PresetName.WAVE, duration_sec=9)
    )
    pattern = PatternChoice(pattern=Pattern((0, 20), 101), duration_sec=3600)
    await add(model, "pattern", 30, vibration=pattern, active=False, device_ids=("a", "b"))
    copied = StoredPatternChoice(pattern_id="tide", duration_sec=5)
    menu = await add(model, "copied", 40, vibration=copied, description="x" * 200)

    assert await loaded(model) == ModelMenu(
        menu, (StoredPattern("tide", "Tide", TIDE),), ("room-1",)
    )
    room = await model.rooms.load_room("room-1")
    assert room is not None
    assert room.tip_menu == menu
    assert [view_row(row).device_ids for row in menu] == [(), (), ("a", "b"), ()]


async def test_a_row_keeps_its_copy_of_a_pattern(model: Store) -> None:
    await store_pattern(model, "tide")
    choice = StoredPatternChoice(pattern_id="tide", duration_sec=5)
    menu = await add(model, "row-1", 40, vibration=choice)
    changed = PatternDraft("Ebb", Pattern((9,), 500))
    for edit in (
        partial(pattern_library.replace_pattern, pattern_id="tide", draft=changed),
        partial(pattern_library.remove_pattern, pattern_id="tide"),
    ):
        await model.tip_menus.edit_patterns(MODEL, edit, "ruby")
        assert (await loaded(model)).menu == menu
    assert (await loaded(model)).library == ()


async def test_a_library_keeps_the_order_in_which_it_grew(model: Store) -> None:
    for pattern_id in ("c", "a", "b"):
        await store_pattern(model, pattern_id)
    changed = PatternDraft("Ebb", Pattern((9,), 500))
    edit = partial(pattern_library.replace_pattern, pattern_id="c", draft=changed)
    await model.tip_menus.edit_patterns(MODEL, edit, "ruby")
    library = (await loaded(model)).library
    assert [(each.pattern_id, each.name) for each in library] == [
        ("c", "Ebb"), ("a", "Tide"), ("b", "Tide"),
    ]  # fmt: skip


async def test_what_is_refused_changes_nothing(model: Store) -> None:
    menu = await add(model, "row-1", 10)
    before = await history(model)
    refused = await model.tip_menus.edit_menu(MODEL, adding("row-2", 10), "ruby")
    assert refused == [Refusal(ErrorCode.TIP_AMOUNT_TAKEN, "tipAmount")]
    edit = partial(pattern_library.remove_pattern, pattern_id="none")
    refused = await model.tip_menus.edit_patterns(MODEL, edit, "ruby")
    assert refused == [Refusal(ErrorCode.PATTERN_UNKNOWN)]
    assert await loaded(model) == ModelMenu(menu, (), ("room-1",))
    assert await history(model) == before


async def test_an_edit_that_fails_in_the_database_changes_nothing(model: Store) -> None:
    menu = await add(model, "row-1", 10)

    def twice(menu: Menu, _library: Library) -> Menu:
        return (*menu, msgspec.structs.replace(menu[0], row_id="row-2", order=1))

    with pytest.raises(asyncpg.UniqueViolationError):
        await model.tip_menus.edit_menu(MODEL, twice, "ruby")
    assert (await loaded(model)).menu == menu
    assert len(await history(model)) == 1


async def test_who_changed_what(model: Store) -> None:
    [first] = await add(model, "row-1", 10)
    *_, second = await add(model, "row-2", 20)
    await model.tip_menus.edit_menu(
        MODEL, lambda menu, _: tip_menu_edit.reorder(menu, ("row-2", "row-1")), "admin"
    )
    await model.tip_menus.edit_menu(
        MODEL, lambda menu, _: tip_menu_edit.remove_row(menu, "row-1"), "admin"
    )
    await store_pattern(model, "tide")

    one, two = wire(first), wire(second)
    assert await history(model) == [
        (MODEL, "tipMenu.row-1", None, one, "ruby"),
        (MODEL, "tipMenu.row-2", None, two, "ruby"),
        (MODEL, "tipMenu.order", ["row-1", "row-2"], ["row-2", "row-1"], "admin"),
        (MODEL, "tipMenu.row-1", one, None, "admin"),
        (MODEL, "patterns.tide", None, wire(StoredPattern("tide", "Tide", TIDE)), "ruby"),
    ]


def wire(value: TipMenuRow | StoredPattern) -> Any:
    """As JSON has it; a row without its place."""
    decoded = msgspec.json.decode(msgspec.json.encode(value))
    decoded.pop("order", None)
    return decoded


@pytest.mark.slow  # many transactions that wait for each other
async def test_edits_that_come_together_lose_none(model: Store) -> None:
    """As from several servers: nothing but the database keeps them apart."""
    outcomes: list[object] = []

    async def edit(number: int) -> None:
        # Ten amounts for twenty rows: of each two, one is refused.
        made = await model.tip_menus.edit_menu(MODEL, adding(f"row-{number}", number % 10 + 1), "x")
        outcomes.append(made)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(edit, number)
    menu = (await loaded(model)).menu
    assert sorted(row.tip_amount for row in menu) == list(range(1, 11))
    assert [row.order for row in menu] == list(range(10))
    assert sum(isinstance(outcome, ModelMenu) for outcome in outcomes) == 10
    assert len(await history(model)) == 10


@pytest.mark.slow  # many transactions that wait for each other
async def test_a_full_menu_takes_no_more_however_many_come_together(model: Store) -> None:
    [row] = await add(model, "row-1", 1)
    rows = [
        msgspec.structs.replace(row, row_id=f"row-{number}", tip_amount=number, order=number)
        for number in range(1, ROWS_MAX - 1)
    ]
    await model.rooms.save_tip_menu(MODEL, rows)
    async with trio.open_nursery() as nursery:
        for number in range(8):
            edit = adding(f"more-{number}", 1_000 + number)
            nursery.start_soon(model.tip_menus.edit_menu, MODEL, edit, "x")
    assert len((await loaded(model)).menu) == ROWS_MAX
