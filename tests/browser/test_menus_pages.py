"""The model edits her performance menus on her page, by keyboard, through the real server."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.demo import Demo
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow  # a real server, a real browser

REFUSED = "Failed to load resource: the server responded with a status of 422 ()"
"""The browser's own words for an answer that the page shows to its user."""


@pytest.fixture
def demo(demo_server: ServerProcess, context: BrowserContext) -> Iterator[Demo]:
    demo = Demo(demo_server, context)
    yield demo
    assert demo.errors == []


def test_a_menu_and_its_items_are_made_changed_and_hidden(demo: Demo) -> None:
    model = demo.open_live()
    mine = model.get_by_test_id("menus")
    expect(mine.get_by_test_id("own-menu")).to_have_count(3)
    mine.get_by_test_id("new-menu").press("Enter")
    name = mine.get_by_test_id("field-name")
    expect(name).to_be_focused()
    for choice in mine.locator("select").all():
        overhang = "select => select.offsetWidth - select.closest('.field').offsetWidth"
        assert choice.evaluate(overhang) <= 0, "wider than its place"
    name.fill("After dark")
    mine.get_by_test_id("field-queueMode").select_option("ON")
    mine.get_by_test_id("field-visibility").select_option("private")
    mine.get_by_test_id("field-whitelist").fill("alex, dee")
    name.press("Enter")
    expect(mine.get_by_test_id("menus-said")).to_have_text("“After dark” is saved.")
    expect(mine.get_by_test_id("new-menu")).to_be_focused()
    menu = mine.locator("details", has_text="After dark")
    expect(menu).to_contain_text("Only who is listed")

    # Each fault stands at its field, and the first has the focus.
    menu.locator("summary").press("Enter")
    menu.get_by_test_id("new-item").press("Enter")
    mine.get_by_test_id("field-name").fill("Candle")
    mine.get_by_test_id("field-tokenValue").fill("100000")
    mine.get_by_test_id("field-maxDailyPurchases").fill("0")
    mine.get_by_test_id("field-reaction").select_option("LEVEL")
    mine.get_by_test_id("field-strength").fill("21")
    mine.get_by_test_id("save").press("Enter")
    tokens = mine.get_by_test_id("field-tokenValue")
    expect(tokens).to_be_focused()
    expect(tokens).to_have_accessible_description("Not an allowed value. 1 to 99,999")
    expect(tokens).to_have_accessible_name("Tokens")
    for field in ("tokenValue", "maxDailyPurchases", "strength"):
        expect(mine.get_by_test_id(f"fault-{field}")).to_be_visible()
    expect(mine.locator(".fault")).to_have_count(3)
    demo.errors.remove(f"/demo/model: {REFUSED}")
    tokens.fill("75")
    mine.get_by_test_id("field-maxDailyPurchases").fill("2")
    mine.get_by_test_id("field-strength").fill("20")
    mine.get_by_test_id("save").press("Enter")
    item = menu.get_by_test_id("own-item")
    expect(item).to_contain_text("75")
    expect(item).to_contain_text("Strength 20 of 20, 5\u00a0s, 2 a day for each")

    # What she hides is not on offer any more.
    alex = demo.open_viewer("alex")
    expect(alex.locator("details.menu", has_text="After dark")).to_contain_text("Candle")
    item.get_by_test_id("edit-item").press("Enter")
    expect(mine.get_by_test_id("field-tokenValue")).to_have_value("75")
    mine.get_by_test_id("field-active").uncheck()
    mine.get_by_test_id("save").press("Enter")
    expect(item).to_contain_text("(hidden)")
    alex.reload()
    expect(alex.locator("details.menu", has_text="After dark")).not_to_contain_text("Candle")
    menu.get_by_test_id("edit-menu").press("Enter")
    mine.get_by_test_id("remove").press("Enter")
    mine.get_by_test_id("remove-confirm").press("Enter")
    expect(mine.get_by_test_id("own-menu")).to_have_count(3)
