"""Thanks and private messages on the demo's pages, through the whole real server."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.demo import Demo, tip
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow  # a real server, a real browser

VIP, FREE = "dee", "alex"


@pytest.fixture
def demo(demo_server: ServerProcess, context: BrowserContext) -> Iterator[Demo]:
    demo = Demo(demo_server, context)
    yield demo
    assert demo.errors == []


def messages(page: Page) -> Any:
    return page.get_by_test_id("messages").get_by_role("listitem")


def write(page: Page, text: str) -> None:
    page.get_by_test_id("write").fill(text)
    page.get_by_test_id("send-message").click()


def listed(demo: Demo, who: str) -> list[dict[str, Any]]:
    """Newest first."""
    found: list[dict[str, Any]] = demo.get("/mood-messages", who)["messages"]
    return found


def test_thanks_and_private_messages_arrive_and_are_read(demo: Demo) -> None:
    model, viewer, other = demo.open_live(), demo.open_viewer(VIP), demo.open_viewer(FREE)
    tip(viewer, 15)
    for page in (model, viewer, other):
        expect(messages(page)).to_have_count(1)
        expect(messages(page).first).to_contain_text("Ruby Rain")
        expect(messages(page).first).to_have_attribute("data-private", "false")

    words = "<img src=x onerror=alert(1)> & I love it {{amount}}"
    write(viewer, words)
    expect(messages(model)).to_have_count(2)
    expect(messages(model).first).to_contain_text(words)
    expect(model.locator("img[src=x]")).to_have_count(0)
    write(model, "Thank you for being here")
    expect(messages(viewer).first).to_contain_text("Thank you for being here")
    expect(messages(viewer).first).to_have_attribute("data-private", "true")
    expect(messages(other)).to_have_count(1)
    # A page that is seen says so at once; behind it comes what the same page asks next.
    tip(viewer, 15)
    expect(viewer.get_by_test_id("balance")).to_have_text("4970")
    mine = [each for each in listed(demo, VIP) if each["recipientId"] == VIP]
    assert [each["state"] for each in mine if each["messageType"] == "private_custom"] == ["read"]
    assert mine[-1]["state"] == "read"


def test_a_viewer_who_has_not_tipped_is_told_so(demo: Demo) -> None:
    viewer = demo.open_viewer(FREE)
    write(viewer, "Hello")
    expect(viewer.get_by_test_id("alert")).to_contain_text("A model writes to viewers")
    assert all("403" in error for error in demo.errors)  # the browser's own line about the refusal
    demo.errors.clear()


def test_a_message_waits_for_its_viewer(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(VIP)
    tip(viewer, 15)
    expect(messages(viewer)).to_have_count(1)
    write(viewer, "Hello")
    expect(messages(model)).to_have_count(2)
    viewer.close()
    expect(model.get_by_test_id("viewers")).to_have_text("0 viewers")
    write(model, "Come back soon")
    again = demo.open_viewer(VIP)
    expect(messages(again).first).to_contain_text("Come back soon")


def test_the_rooms_mood_is_seen(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(FREE)
    expect(viewer.get_by_test_id("mood")).to_have_text("Mood: neutral")
    model.get_by_test_id("mood").select_option("excited")
    expect(viewer.get_by_test_id("mood")).to_have_text("Mood: excited")
    late = demo.open_viewer(VIP)
    expect(late.get_by_test_id("mood")).to_have_text("Mood: excited")
