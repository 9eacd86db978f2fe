"""What the pages show and change of the toys: a try of a menu row, limits, warnings, the queue."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.demo import (
    MODEL_ID,
    Demo,
    connect_toy,
    expect_online,
    expect_strength,
    opt_in,
    own_tip,
    tip,
)
from tests.browser.test_tip_menu_coverage import CONTRAST, set_level
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow  # a real server, a real browser, real seconds of toys

VIEWER = "alex"


@pytest.fixture
def demo(demo_server: ServerProcess, context: BrowserContext) -> Iterator[Demo]:
    demo = Demo(demo_server, context)
    yield demo
    assert demo.errors == []


def menu_row(page: Page, amount: int) -> Locator:
    return page.get_by_test_id("menu-rows").locator(f"li[data-amount='{amount}']")


def outcome(page: Page, amount: int) -> Locator:
    return menu_row(page, amount).get_by_test_id("try-outcome")


def device(page: Page) -> Locator:
    return page.get_by_test_id("device")


def set_battery(page: Page, percent: int) -> None:
    page.get_by_label("Simulated battery").fill(str(percent))


# ---- try a row -------------------------------------------------------------------------------


def test_the_model_tries_a_row_by_keyboard_on_her_toy_alone(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    connect_toy(viewer)
    opt_in(viewer, "reactToMyTips")
    button = menu_row(model, 15).get_by_role("button")
    expect(button).to_have_accessible_name("Try A gentle hello, 15 tokens, on your toy")
    button.press("Enter")
    expect_strength(model, 5)
    expect(outcome(model, 15)).to_contain_text("Your toy reacts, for 3 s")
    expect(outcome(model, 15)).to_contain_text("As meant, by level 1.")
    expect(outcome(model, 15)).to_have_role("status")
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-disabled", "true")
    expect_strength(viewer, 0)
    expect(outcome(model, 15)).to_contain_text("Your toy reacted")
    expect(button).to_have_attribute("aria-disabled", "false")
    expect(viewer.get_by_test_id("feed").get_by_role("listitem")).to_have_count(0)


def test_a_try_says_what_her_levels_make_of_the_row(demo: Demo) -> None:
    model = demo.open_live()
    set_level(model, "Level 1 strength", 7)
    expect(model.get_by_test_id("coverage-state")).to_contain_text("differ")
    menu_row(model, 15).get_by_test_id("try").click()
    expect(outcome(model, 15)).to_contain_text("By level 1, off by 2 of 20 in strength.")


def test_a_try_that_cannot_be_says_why(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    model.get_by_test_id("toy-power").click()
    menu_row(model, 15).get_by_test_id("try").click()
    expect(outcome(model, 15)).to_contain_text("has no connected toy")
    model.get_by_test_id("toy-power").click()
    tip(viewer, 500)
    expect_strength(model, 20)
    menu_row(model, 30).get_by_test_id("try").click()
    expect(outcome(model, 30)).to_contain_text("A toy plays")
    expect(outcome(model, 15)).to_have_text("")
    model.get_by_test_id("stop").click()
    expect(model.get_by_test_id("resume")).to_be_visible()
    menu_row(model, 30).get_by_test_id("try").click()
    expect(outcome(model, 30)).to_contain_text("stopped; resume first")


def test_a_stop_ends_a_try(demo: Demo) -> None:
    model = demo.open_live()
    menu_row(model, 500).get_by_test_id("try").click()
    expect_strength(model, 20)
    model.keyboard.press("Escape")
    expect_strength(model, 0)
    expect(outcome(model, 500)).to_contain_text("Stopped.")


# ---- my toys ---------------------------------------------------------------------------------


def test_a_viewer_limits_and_names_the_own_toy(demo: Demo) -> None:
    demo.open_live()
    viewer = demo.open_viewer(VIEWER)
    connect_toy(viewer)
    opt_in(viewer, "reactToMyTips")
    expect(device(viewer)).to_contain_text("Lush 3")
    expect(device(viewer).get_by_test_id("device-status")).to_have_text("Connected")
    device(viewer).locator("summary").click()
    device(viewer).get_by_label("Nickname").fill("Rosie")
    device(viewer).get_by_test_id("device-save").click()
    expect(device(viewer).locator("strong").first).to_have_text("Rosie")
    device(viewer).get_by_label("Strength at most").fill("4")
    expect(device(viewer).get_by_test_id("device-said")).to_have_text("Saved.")
    tip(viewer, 30)
    expect_strength(viewer, 4)
    device(viewer).get_by_test_id("device-enabled").uncheck()
    expect_strength(viewer, 0)
    viewer.reload()
    expect(device(viewer).get_by_test_id("device-enabled")).not_to_be_checked()
    expect(device(viewer).locator("summary")).to_contain_text("at most 4 of 20")


def test_a_models_limit_rules_out_her_stronger_levels(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    tip(viewer, 60)
    expect_strength(model, 16)
    device(model).locator("summary").click()
    device(model).get_by_label("Strength at most").fill("11")
    expect_strength(model, 0)
    expect(own_tip(viewer)).to_have_attribute("data-state", "done")
    expect(model.get_by_test_id("own-limit")).to_contain_text("strength 11 of 20")
    tip(viewer, 60)
    expect_strength(model, 10)


def test_a_toy_that_is_gone_can_be_forgotten(demo: Demo) -> None:
    viewer = demo.open_viewer(VIEWER)
    connect_toy(viewer)
    expect(device(viewer).get_by_test_id("device-status")).to_have_text("Connected")
    viewer.get_by_test_id("disconnect-toy").click()
    expect(device(viewer).get_by_test_id("device-status")).to_have_text("Not connected")
    expect(viewer.get_by_test_id("device-warnings").locator(".notice")).to_have_count(0)
    device(viewer).locator("summary").click()
    device(viewer).get_by_test_id("device-forget").click()
    expect(device(viewer)).to_have_count(0)


# ---- warnings --------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["model", "viewer"])
def test_an_owner_is_warned_of_a_low_battery_and_a_lost_connection(demo: Demo, who: str) -> None:
    page = demo.open_live() if who == "model" else demo.open_viewer(VIEWER)
    if who == "viewer":
        connect_toy(page)
    expect(device(page).get_by_test_id("device-status")).to_have_text("Connected")
    warnings = page.get_by_test_id("device-warnings")
    expect(warnings).to_have_attribute("aria-live", "polite")
    set_battery(page, 15)
    expect(warnings).to_contain_text("Lush 3 is nearly empty: 15 % left.")
    expect(device(page).get_by_test_id("device-battery")).to_have_attribute("data-low", "true")
    warnings.get_by_role("button", name="Dismiss: Lush 3").click()
    expect(warnings.locator(".notice")).to_have_count(0)
    set_battery(page, 60)
    set_battery(page, 10)
    expect(warnings).to_contain_text("10 % left")
    set_battery(page, 80)
    expect(warnings.locator(".notice")).to_have_count(0)
    # Behind the page's back, as a real toy is lost.
    page.evaluate("document.querySelector('[data-testid=toy]').toy.connected = false")
    expect(warnings).to_contain_text("Lush 3 is no longer connected.")


# ---- the queue -------------------------------------------------------------------------------


def test_the_order_of_what_waits_follows_the_mode_that_the_site_chooses(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    expect(model.get_by_test_id("mode-fifo")).to_be_checked()
    tip(viewer, 500)
    expect_strength(model, 20)
    for amount in (15, 100, 30):
        tip(viewer, amount)
    upcoming = model.get_by_test_id("upcoming").get_by_role("listitem")
    expect(upcoming).to_contain_text(["15", "100", "30"])
    model.get_by_test_id("mode-priority").check()
    expect(upcoming).to_contain_text(["100", "30", "15"])
    model.get_by_test_id("mode-batch").check()
    expect(upcoming).to_contain_text(["15", "100", "30"])
    expect(model.get_by_test_id("mode-batch")).to_be_checked()
    demo.patch("/admin/settings", {"lovenseQueueMode": "fifo"})
    expect(model.get_by_test_id("mode-fifo")).to_be_checked()
    model.get_by_test_id("stop").click()
    # Nobody knows for how long.
    expect(own_tip(viewer).locator(".pill")).to_have_text("Waiting, number 3")


def test_a_tip_that_waits_is_still_known_after_a_reload_and_one_that_ended_is_looked_up(
    demo: Demo,
) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    tip(viewer, 15)
    tip(viewer, 30)
    expect(own_tip(viewer)).to_have_attribute("data-state", "queued")
    viewer.reload()
    expect(viewer.get_by_test_id("own-tip")).to_have_count(2)
    viewer.goto("about:blank")
    expect(model.get_by_test_id("tips-taken")).to_have_attribute("data-count", "2")
    viewer.go_back()
    expect(own_tip(viewer)).to_have_attribute("data-state", "done")


# ---- stop ------------------------------------------------------------------------------------


def test_a_stop_that_nothing_can_carry_out_says_so_and_for_how_long(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    model.get_by_test_id("levels").locator("summary").click()
    model.get_by_test_id("clear-priced").uncheck()
    tip(viewer, 500)
    expect_strength(model, 20)
    model.get_by_test_id("stop").click()
    expect(model.get_by_test_id("alert")).to_contain_text("nothing can stop what your toy plays")
    expect(model.get_by_test_id("alert")).to_contain_text("s at the latest")
    expect_strength(model, 20)
    expect(model.get_by_test_id("queue-state")).to_have_text("Paused")


def test_a_stop_without_the_server_holds_over_a_reload(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    demo.server.kill()
    expect(model.get_by_test_id("connection")).to_have_text("Reconnecting")
    model.get_by_test_id("stop").click()
    expect(model.get_by_test_id("stop-waits")).to_contain_text("delivered first of all")
    address = model.url
    model.goto("about:blank")
    demo.server.restart()
    model.goto(address)
    expect_online(model)
    expect(model.get_by_test_id("stop-waits")).to_have_text("")
    expect(model.get_by_test_id("resume")).to_be_visible()
    expect(viewer.get_by_text("has paused the toys")).to_be_visible()


# ---- connecting by itself --------------------------------------------------------------------


def test_a_page_that_may_not_connect_by_itself_does_when_asked(demo: Demo) -> None:
    demo.patch(f"/models/{MODEL_ID}/settings", {"autoConnect": False}, "model")
    model = demo.open_live()
    expect(model.get_by_test_id("toy")).to_have_count(0)
    model.get_by_test_id("connect-toy").click()
    expect_online(model)
    expect(device(model).get_by_test_id("device-status")).to_have_text("Connected")
    viewer = demo.open_viewer(VIEWER)
    expect(viewer.get_by_test_id("connect-toy")).to_be_visible()
    assert viewer.evaluate("typeof LovenseBasicSdk") == "function"
    demo.patch("/admin/settings", {"lovenseEnableAutoConnect": False})
    viewer.reload()
    expect_online(viewer)
    assert viewer.evaluate("typeof LovenseBasicSdk") == "undefined"
    viewer.get_by_test_id("connect-toy").click()
    expect_online(viewer)
    assert viewer.evaluate("typeof LovenseBasicSdk") == "function"


# ---- looks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_cards_can_be_read_in_both_schemes_and_on_a_phone(demo: Demo, scheme: Any) -> None:
    model = demo.open_live()
    model.emulate_media(color_scheme=scheme)
    model.set_viewport_size({"width": 360, "height": 740})
    set_battery(model, 15)
    menu_row(model, 15).get_by_test_id("try").click()
    expect(outcome(model, 15)).to_contain_text("Your toy reacts")
    device(model).locator("summary").click()
    expect(model.get_by_test_id("device-warnings")).to_contain_text("nearly empty")
    for name in ("devices", "menu", "queue", "queue-mode", "device-warnings"):
        texts = model.get_by_test_id(name).locator("h2, p, strong, .soft, button, .pill, .amount")
        for text in texts.all():
            if text.inner_text().strip():
                assert text.evaluate(CONTRAST) >= 4.5, text.inner_text()
    width = model.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, "the page scrolls sideways"
