"""The demo's pages with a developer token: the vendor's scripts, from their own origin. Stand-ins
play the vendor, with its documented names, argument orders and loose types."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.demo import Demo, expect_online, in_front, opt_in, own_tip, tip
from tests.server_process import start_demo
from tests.vendors.stand_in import (
    AUTH_TOKEN,
    DEVELOPER_TOKEN,
    MODEL_TOKEN,
    Given,
    VendorStandIn,
    vendor_stand_in,
)

pytestmark = pytest.mark.slow  # a real server and a real browser

VIEWER = "alex"


@pytest.fixture
def vendor() -> Iterator[VendorStandIn]:
    with vendor_stand_in() as vendor:
        yield vendor


@pytest.fixture
def demo(
    vendor: VendorStandIn, data_dir: Path, database_dsn: str, context: BrowserContext
) -> Iterator[Demo]:
    server = start_demo(
        data_dir,
        DATABASE_URL=database_dsn,
        TIPROOM_LOVENSE_DEVELOPER_TOKEN=DEVELOPER_TOKEN,
        TIPROOM_LOVENSE_API_URL=vendor.url,
    )
    yield Demo(server, context)
    server.stop()
    secrets = (DEVELOPER_TOKEN, AUTH_TOKEN, MODEL_TOKEN)
    assert not any(secret in str(line) for line in server.log for secret in secrets)


def calls(page: Page) -> list[Any]:
    return list(page.evaluate("vendorCalls"))


def expect_call(page: Page, call: list[Any]) -> None:
    in_front(page).wait_for_function(  # it looks at each picture
        "(call) => vendorCalls.some((each) => JSON.stringify(each) === JSON.stringify(call))",
        arg=call,
    )


def test_a_tip_reaches_the_extension(demo: Demo, vendor: VendorStandIn) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    assert calls(model) == [["new CamExtension", "XXXChatNow", "Ruby Rain"]]
    expect(model.get_by_test_id("real-toys")).to_contain_text("lush")
    expect(model.get_by_test_id("toy")).to_have_count(0)
    tip(viewer, 15)
    expect_call(model, ["receiveTip", 15, VIEWER])
    expect(own_tip(viewer)).to_have_attribute("data-state", "done")
    assert [call[0] for call in calls(model)].count("receiveTip") == 1
    in_front(model).get_by_test_id("stop").click()
    expect_call(model, ["receiveTip", 77, "Ruby Rain"])
    assert model.evaluate("typeof lovense") == "undefined"
    assert demo.errors == []
    assert [asked.path for asked in vendor.asked] == ["/api/basicApi/getToken"]


def test_a_tip_reaches_cam_kit(demo: Demo, vendor: VendorStandIn) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    in_front(model).get_by_test_id("end-broadcast").click()
    model.get_by_role("radio", name="Cam Kit").check()
    model.get_by_test_id("go-live").click()
    expect(model.get_by_test_id("active-integration")).to_have_text("Cam Kit")
    expect_online(model)
    token = f"{MODEL_TOKEN}model-1"
    assert calls(model) == [["model.js", token], ["initCamApi", token]]
    expect(model.get_by_role("link", name="Your Lovense settings")).to_have_attribute(
        "href", f"{vendor.url}/api/cam/model/v2/setting?mToken={token}"
    )
    tip(viewer, 15)
    expect_call(model, ["receiveTip", VIEWER, 15])
    expect(own_tip(viewer)).to_have_attribute("data-state", "done")
    assert model.evaluate("typeof CamExtension") == "undefined"
    assert demo.errors == []


def test_a_viewers_toy_joins_in(demo: Demo) -> None:
    demo.set_sync_mode("SHARED_MOMENT")
    demo.open_live()
    viewer = demo.open_viewer(VIEWER)
    option = {"uid": VIEWER, "platform": "XXXChatNow", "authToken": f"{AUTH_TOKEN}{VIEWER}"}
    assert calls(viewer) == [["new LovenseBasicSdk", option]]
    viewer.get_by_test_id("connect-toy").click()
    expect(viewer.get_by_role("img", name="Pairing code")).to_be_visible()
    viewer.evaluate("vendorScan()")
    expect(viewer.get_by_role("dialog")).to_have_count(0)
    expect(viewer.get_by_test_id("real-toys")).to_contain_text("Lush 3")
    opt_in(viewer, "reactToMyTips")
    tip(viewer, 15)
    expect(own_tip(viewer)).to_have_attribute("data-state", "done")
    [command] = [call[1] for call in calls(viewer) if call[0] == "sendToyCommand"]
    assert (command["vibrate"], command["time"]) == (5, 3)
    viewer.get_by_test_id("stop").click()
    expect(viewer.get_by_test_id("toy-stopped")).to_be_visible()
    assert "stopToyAction" in [call[0] for call in calls(viewer)]
    assert demo.errors == []


@pytest.mark.parametrize("script", [None, b"/* nothing */"])
def test_without_the_script_a_page_goes_on_without_a_toy(
    demo: Demo, vendor: VendorStandIn, script: bytes | None
) -> None:
    good, vendor.script = vendor.script, script
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    for page in (model, viewer):
        expect(page.get_by_test_id("toy-failure")).to_contain_text("could not be loaded")
    tip(viewer, 15)
    expect(own_tip(viewer)).to_have_attribute("data-state", "not_played")
    expect(own_tip(viewer)).to_contain_text("toy is not connected")
    assert all("404" in error for error in demo.errors)
    vendor.script = good
    model.reload()
    expect(model.get_by_test_id("real-toys")).to_contain_text("lush")
    expect(model.get_by_test_id("toy-failure")).to_have_count(0)


def test_a_vendor_that_fails_leaves_a_page_without_a_toy(demo: Demo, vendor: VendorStandIn) -> None:
    vendor.given = Given(500, b"")
    model, viewer = demo.open_live(), demo.open_viewer(VIEWER)
    expect(viewer.get_by_test_id("toy-failure")).to_contain_text("cannot be reached")
    expect(viewer.get_by_test_id("connect-toy")).to_have_count(0)
    tip(viewer, 15)
    expect_call(model, ["receiveTip", 15, VIEWER])
    expect(own_tip(viewer)).to_have_attribute("data-state", "done")

    in_front(model).get_by_test_id("end-broadcast").click()
    model.get_by_role("radio", name="Cam Kit").check()
    model.get_by_test_id("go-live").click()
    expect(model.get_by_test_id("active-integration")).to_have_text("Cam Kit")
    expect(model.get_by_test_id("toy-failure")).to_contain_text("cannot be reached")
    expect_online(model)
    assert all("503" in error for error in demo.errors)
