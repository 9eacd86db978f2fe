"""The model's page says which rows of her tip menu her toy cannot play, and what would help."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.demo import MODEL_ID, Demo, expect_strength, in_front, tip
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow  # a real server, a real browser, real seconds of toys

MENU = f"/lovense/tip-menu?modelId={MODEL_ID}"

CONTRAST = """(element) => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = element;
  while (channels(getComputedStyle(behind).backgroundColor)[3] === 0) {
    behind = behind.parentElement;
  }
  const pair = [
    luminance(getComputedStyle(element).color),
    luminance(getComputedStyle(behind).backgroundColor),
  ];
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""
"""Of an element's text on what is behind it, as WCAG 2 computes it."""


@pytest.fixture
def demo(demo_server: ServerProcess, context: BrowserContext) -> Iterator[Demo]:
    demo = Demo(demo_server, context)
    yield demo
    assert demo.errors == []


def card(page: Page) -> Locator:
    return page.get_by_role("region", name="Tip menu on your toy")


def state(page: Page) -> Locator:
    return page.get_by_test_id("coverage-state")


def rows(page: Page) -> Locator:
    return page.get_by_test_id("coverage-rows").get_by_role("listitem")


def set_level(page: Page, field: str, value: int) -> None:
    """In the settings of the simulated product."""
    levels = in_front(page).get_by_test_id("levels")
    if levels.get_attribute("open") is None:
        levels.locator("summary").click()
    levels.get_by_label(field).fill(str(value))
    levels.get_by_label(field).press("Tab")


def add_row(demo: Demo, **row: Any) -> None:
    body = {"description": "A test's own", "active": True, **row}
    demo.post(MENU, body)


def test_settings_that_play_every_row(demo: Demo) -> None:
    model = demo.open_live()
    expect(state(model)).to_have_text("All as meant")
    expect(card(model)).to_contain_text("A drawn pattern plays as a steady level")
    expect(rows(model)).to_have_count(0)
    expect(model.get_by_test_id("proposal")).to_have_count(0)


def test_a_row_that_her_levels_do_not_play_and_the_levels_that_do(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer("alex")
    set_level(model, "Level 1 strength", 7)
    expect(state(model)).to_have_text("1 of 6 differ")
    expect(rows(model)).to_have_count(1)
    expect(rows(model)).to_contain_text("15 tokens")
    expect(rows(model)).to_contain_text("A gentle hello")
    expect(rows(model)).to_contain_text("Plays level 1, off by 2 of 20 in strength.")

    proposal = model.get_by_test_id("proposal")
    proposal.locator("summary").press("Enter")
    table = proposal.get_by_role("table", name="Proposed tip levels")
    expect(table.get_by_role("row")).to_have_text(
        [
            re.compile(r"Level\s*from\s*to\s*seconds\s*strength"),
            *(
                re.compile(r"^\s*" + r"\s+".join(map(str, cells)) + r"\s*$")
                for cells in [
                    (1, 15, 29, 3, 5),
                    (2, 30, 59, 5, 10),
                    (3, 60, 199, 8, 16),
                    (4, 200, 499, 15, 12),
                    (5, 500, 99999, 30, 20),
                ]
            ),
        ]
    )
    proposal.get_by_role("button", name="Use these levels").click()
    expect(state(model)).to_have_text("All as meant")
    expect(rows(model)).to_have_count(0)
    tip(viewer, 15)
    expect_strength(model, 5)


def test_a_new_row_that_needs_a_special_of_its_own_time(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer("alex")
    expect(state(model)).to_have_text("All as meant")
    vibration = {"type": "PRESET", "presetName": "earthquake", "durationSec": 4}
    add_row(demo, tipAmount=77, vibration=vibration)
    expect(viewer.get_by_test_id("tip-77")).to_be_enabled()
    expect(state(model)).to_have_text("1 of 7 differ")
    expect(rows(model)).to_contain_text("off by 6 s")
    in_front(model).get_by_test_id("proposal").locator("summary").click()
    expect(model.get_by_test_id("needed-specials")).to_contain_text("earthquake for 4 s")


def test_levels_that_play_nothing_at_all(demo: Demo) -> None:
    model = demo.open_live()
    for level in range(1, 6):
        set_level(model, f"Level {level} strength", 0)
    expect(state(model)).to_have_text("5 of 6 differ")
    expect(rows(model).first).to_contain_text("Does not play")
    in_front(model).get_by_test_id("proposal").locator("summary").click()
    model.get_by_test_id("use-levels").click()
    expect(state(model)).to_have_text("All as meant")


def test_after_a_reload_it_is_known_again(demo: Demo) -> None:
    model = demo.open_live()
    set_level(model, "Level 2 seconds", 9)
    expect(state(model)).to_have_text("1 of 6 differ")
    model.reload()
    expect(state(model)).to_have_text("1 of 6 differ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_both_schemes_and_on_a_phone(demo: Demo, scheme: Any) -> None:
    model = demo.open_live()
    model.emulate_media(color_scheme=scheme)
    model.set_viewport_size({"width": 360, "height": 740})
    add_row(demo, tipAmount=77, vibration={"type": "LEVEL", "strength": 1, "durationSec": 20})
    for level in range(1, 6):
        set_level(model, f"Level {level} strength", 0)
    expect(state(model)).to_have_text("6 of 7 differ")
    in_front(model).get_by_test_id("proposal").locator("summary").click()
    texts = card(model).locator("h2, p, td, th, summary, button, .pill, .coverage-words, .amount")
    assert texts.count() > 40
    for text in texts.all():
        assert text.evaluate(CONTRAST) >= 4.5, text.inner_text()
    page_width = model.evaluate("document.documentElement.scrollWidth")
    assert page_width <= 360, "the page scrolls sideways"


def test_what_she_types_is_left_alone_by_what_happens_on_the_page(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer("alex")
    in_front(model).get_by_test_id("levels").locator("summary").click()
    field = model.get_by_test_id("levels").get_by_label("Level 5 strength")
    field.fill("3")
    tip(viewer, 15)
    expect_strength(model, 5)
    expect(field).to_have_value("3")
    in_front(model)
    field.press("Tab")
    expect(rows(model)).to_contain_text("500 tokens")
