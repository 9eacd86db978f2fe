"""Buying from menus in both modes, and the stage on the model's page, through the real server."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.demo import Demo, expect_strength
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow  # a real server, a real browser


REFUSED = "Failed to load resource: the server responded with a status of 409 ()"
"""The browser's own words for an answer that the page shows to its user."""


@pytest.fixture
def demo(demo_server: ServerProcess, context: BrowserContext) -> Iterator[Demo]:
    demo = Demo(demo_server, context)
    yield demo
    assert demo.errors == []


def buy(page: Page, item_id: str) -> None:
    """Of a menu that is open, or is opened for it."""
    menu = page.locator("details.menu", has=page.get_by_test_id(f"item-{item_id}"))
    if menu.get_attribute("open") is None:
        menu.locator("summary").click()
    page.get_by_test_id(f"item-{item_id}").click()


def newest(page: Page) -> Any:
    return page.get_by_test_id("purchase").first


def test_what_settles_at_once_moves_the_toy(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer("alex")
    expect(viewer.locator("details.menu")).to_have_count(2)
    buy(viewer, "ready-1-3")
    expect(viewer.get_by_test_id("balance")).to_have_text("4975")
    expect(newest(viewer)).to_contain_text("Gentle buzz")
    expect(newest(viewer)).to_contain_text("Settled")
    expect_strength(model, 5)
    expect(model.get_by_test_id("stage-state")).to_have_text("Empty")


def test_a_performance_from_the_line_to_its_end(demo: Demo) -> None:
    model, alex, sam = demo.open_live(), demo.open_viewer("alex"), demo.open_viewer("sam")
    buy(alex, "ready-2-1")
    expect(newest(alex)).to_contain_text("Number 1, next")
    expect(alex.get_by_test_id("balance")).to_have_text("4900")
    buy(sam, "ready-2-3")
    expect(newest(sam)).to_contain_text("Number 2, about 3 min")
    expect(model.get_by_test_id("waiting")).to_have_count(2)
    expect(model.get_by_test_id("start")).to_have_count(1)
    model.get_by_test_id("start").click()
    expect(newest(alex)).to_have_attribute("data-state", "STARTED")
    expect(newest(sam)).to_contain_text("Number 1")
    expect(model.get_by_test_id("performed")).to_contain_text("Your song for alex, 100 tokens")
    model.get_by_role("button", name="End broadcast").click()
    expect(model.get_by_test_id("alert")).to_contain_text("A performance is running")
    model.get_by_test_id("finish").click()
    expect(newest(alex)).to_contain_text("Done")
    expect(model.get_by_test_id("feed").get_by_role("listitem").first).to_contain_text("Your song")

    sam.reload()
    expect(newest(sam)).to_contain_text("Number 1, next")
    sam.get_by_role("button", name="Cancel").click()
    expect(newest(sam)).to_contain_text("Cancelled, refunded")
    expect(sam.get_by_test_id("balance")).to_have_text("5000")
    expect(model.get_by_test_id("stage-state")).to_have_text("Empty")


def test_the_model_abandons_in_part_and_after_a_start(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer("jo")
    buy(viewer, "ready-2-1")
    model.get_by_test_id("start").click()
    model.get_by_test_id("abandon").click()
    model.get_by_test_id("way-PARTIAL_REFUND").check()
    model.get_by_test_id("abandon-tokens").fill("30")
    model.get_by_test_id("abandon-confirm").click()
    expect(newest(viewer)).to_contain_text("Ended, 30 tokens back")
    expect(viewer.get_by_test_id("balance")).to_have_text("4930")
    expect(model.get_by_test_id("performed")).to_have_count(0)
    buy(viewer, "ready-2-1")
    model.get_by_test_id("abandon").click()
    model.get_by_role("button", name="Keep it").click()
    expect(model.get_by_test_id("waiting")).to_have_count(1)
    model.get_by_test_id("abandon").click()
    model.get_by_test_id("abandon-confirm").click()
    expect(newest(viewer)).to_contain_text("Ended, 100 tokens back")


def test_the_third_in_line_is_told_and_the_order_changes_places(demo: Demo) -> None:
    model, alex, kim = demo.open_live(), demo.open_viewer("alex"), demo.open_viewer("kim")
    for place in range(1, 4):
        buy(alex, "ready-2-2")
        expect(newest(alex)).to_contain_text(f"Number {place}")
    expect(kim.locator("details.menu")).to_have_count(3)
    buy(kim, "ready-3-7")
    expect(newest(kim)).to_contain_text("Number 4")
    expect(kim.get_by_test_id("near")).to_have_count(0)
    model.get_by_test_id("start").click()
    expect(kim.get_by_test_id("near")).to_contain_text("“Your evening” is third in line")
    model.get_by_test_id("stage-order").select_option("priority")
    expect(newest(kim)).to_contain_text("Number 1")
    expect(model.get_by_test_id("waiting").first).to_contain_text("Your evening")


def test_an_item_that_was_edited_since_it_was_shown_is_not_bought(demo: Demo) -> None:
    demo.open_live()
    viewer = demo.open_viewer("alex")
    button = viewer.get_by_test_id("item-ready-1-1")
    expect(button).to_contain_text("10")
    demo.put("/menus/ready-1/items/ready-1-1", {"name": "Blow a kiss", "tokenValue": 11}, "model")
    button.click()
    expect(viewer.get_by_test_id("alert")).to_contain_text("The item has changed")
    expect(button).to_contain_text("11")
    expect(viewer.get_by_test_id("balance")).to_have_text("5000")
    button.click()
    expect(viewer.get_by_test_id("balance")).to_have_text("4989")
    demo.errors.remove(f"/demo/viewer?as=alex: {REFUSED}")


def test_the_stop_stays_in_reach_while_she_decides_about_an_abandon(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer("alex")
    buy(viewer, "ready-2-1")
    model.get_by_test_id("abandon").click()
    expect(model.get_by_test_id("abandon-confirm")).to_be_visible()
    model.get_by_test_id("stop").click()
    expect(model.get_by_test_id("resume")).to_be_visible()
