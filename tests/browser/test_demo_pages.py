"""From a tip in one window to a toy in another, through the whole real server."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.demo import (
    Demo,
    connect_toy,
    expect_online,
    expect_strength,
    in_front,
    opt_in,
    own_tip,
    tip,
)
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow  # a real server, a real browser, real seconds of toys

FREE, VIP = "alex", "jo"


@pytest.fixture
def demo(demo_server: ServerProcess, context: BrowserContext) -> Iterator[Demo]:
    demo = Demo(demo_server, context)
    yield demo
    assert demo.errors == []


def test_the_index_leads_to_every_role(demo: Demo, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{demo.server.http_url}/demo/")
    links = page.get_by_role("navigation", name="Roles").get_by_role("link")
    expect(links).to_have_count(6)
    expect(page.get_by_text("Simulated toys, play tokens.")).to_be_visible()
    links.nth(1).click()
    expect_online(page)
    page.goto(f"{demo.server.http_url}/demo/")
    links.nth(0).click()
    expect_online(page)


def test_a_tip_moves_the_models_toy_for_its_time_and_everyone_reads_of_it(demo: Demo) -> None:
    model, viewer, other = demo.open_live(), demo.open_viewer(FREE), demo.open_viewer(VIP)
    expect(model.get_by_test_id("viewers")).to_have_text("2 viewers")
    expect(viewer.get_by_test_id("balance")).to_have_text("5000")
    tip(viewer, 15)
    expect_strength(model, 5)
    expect(viewer.get_by_test_id("balance")).to_have_text("4985")
    expect(own_tip(viewer)).to_have_attribute("data-state", "done")
    for page in (model, viewer, other):
        notice = page.get_by_test_id("feed").get_by_role("listitem").first
        expect(notice).to_contain_text("alex")
        expect(notice).to_contain_text("15 tokens")
    expect_strength(model, 0)
    expect(model.get_by_test_id("tips-taken")).to_have_attribute("data-count", "1")


@pytest.mark.parametrize(
    ("mode", "tipper_reacts", "vip_reacts"),
    [("OFF", False, False), ("SHARED_MOMENT", True, False), ("VIP_ROOM_SYNC", True, True)],
)
def test_the_models_choice_decides_whose_toys_move(
    demo: Demo, mode: str, tipper_reacts: bool, vip_reacts: bool
) -> None:
    model, tipper, vip = demo.open_live(), demo.open_viewer(FREE), demo.open_viewer(VIP)
    for page in (tipper, vip):
        connect_toy(page)
    opt_in(tipper, "reactToMyTips")
    opt_in(vip, "feelAllTips")
    in_front(model).get_by_test_id(f"sync-{mode}").check()
    expect(tipper.get_by_test_id("reactToMyTips")).to_have_count(0 if mode == "OFF" else 1)
    expect(vip.get_by_test_id("feelAllTips")).to_have_count(1 if mode == "VIP_ROOM_SYNC" else 0)

    tip(tipper, 30)
    expect_strength(model, 10)
    # Done: every toy that was to react has said so. A toy that should not would be moving by now.
    expect(own_tip(tipper)).to_have_attribute("data-state", "done")
    expect_strength(tipper, 10 if tipper_reacts else 0)
    expect_strength(vip, 10 if vip_reacts else 0)


def test_each_toggle_shows_only_while_its_gate_is_open(demo: Demo) -> None:
    demo.set_sync_mode("VIP_ROOM_SYNC")
    free, vip = demo.open_viewer(FREE), demo.open_viewer(VIP)

    def expect_toggles(page: Page, react: bool, feel: bool) -> None:
        expect(page.get_by_test_id("reactToMyTips")).to_have_count(int(react))
        expect(page.get_by_test_id("feelAllTips")).to_have_count(int(feel))

    for page in (free, vip):
        expect(page.get_by_test_id("connect-toy")).to_have_text("Connect Your Lovense")
        expect_toggles(page, react=False, feel=False)
        connect_toy(page)
    expect_toggles(free, react=True, feel=False)
    expect_toggles(vip, react=True, feel=True)
    demo.set_sync_mode("SHARED_MOMENT")
    expect_toggles(vip, react=True, feel=False)
    expect_toggles(free, react=True, feel=False)
    demo.set_sync_mode("OFF")
    for page in (free, vip):
        expect_toggles(page, react=False, feel=False)
        expect(page.get_by_test_id("toy-state")).to_have_text("Connected")
    demo.set_sync_mode("VIP_ROOM_SYNC")
    expect_toggles(vip, react=True, feel=True)
    in_front(vip).get_by_test_id("disconnect-toy").click()
    expect_toggles(vip, react=False, feel=False)
    expect(vip.get_by_test_id("connect-toy")).to_be_visible()


def test_toggles_and_toys_are_as_they_were_after_a_reload(demo: Demo) -> None:
    demo.set_sync_mode("VIP_ROOM_SYNC")
    vip = demo.open_viewer(VIP)
    connect_toy(vip)
    opt_in(vip, "feelAllTips")
    vip.reload()
    expect(vip.get_by_test_id("feelAllTips")).to_be_checked()
    expect(vip.get_by_test_id("reactToMyTips")).not_to_be_checked()


def test_a_second_page_of_the_model_is_refused_and_does_not_come_back(
    demo: Demo, context: BrowserContext
) -> None:
    first = demo.open_live()
    second = context.new_page()
    second.clock.install()
    sockets: list[Any] = []
    second.on("websocket", lambda socket: sockets.append(socket))
    second.goto(f"{demo.server.http_url}/demo/model")
    refused = second.get_by_test_id("refused")
    expect(refused).to_have_attribute("data-code", "4502")
    expect(refused.get_by_role("alert")).to_contain_text("EXTENSION")
    second.clock.run_for(600_000)
    assert len(sockets) == 1
    expect_online(first)
    first.close()
    in_front(second).get_by_role("button", name="Try again").click()
    expect_online(second)


def test_another_integration_needs_a_new_broadcast(demo: Demo) -> None:
    model = demo.open_model("?integration=CAM_KIT")
    refused = model.get_by_test_id("refused")
    expect(refused).to_have_attribute("data-code", "4503")
    expect(refused.get_by_role("alert")).to_contain_text("EXTENSION")
    refused.get_by_role("button", name="Use Cam Extension here").click()
    expect_online(model)

    viewer = demo.open_viewer(FREE)
    in_front(model).get_by_test_id("end-broadcast").click()
    expect(viewer.get_by_test_id("offline-notice")).to_be_visible()
    expect(viewer.get_by_test_id("tip-30")).to_be_disabled()
    model.get_by_role("radio", name="Cam Kit").check()
    model.get_by_test_id("go-live").click()
    expect(model.get_by_test_id("active-integration")).to_have_text("Cam Kit")
    expect_online(model)
    tip(viewer, 30)
    expect_strength(model, 10)
    assert model.evaluate("typeof CamExtension") == "undefined"


def test_the_kill_switch_stops_what_plays_and_what_waits_at_once(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(FREE)
    tip(viewer, 500)
    expect_strength(model, 20)
    tip(viewer, 30)
    expect(own_tip(viewer)).to_have_attribute("data-state", "queued")
    demo.patch("/admin/settings", {"enableLovense": False})
    expect_strength(model, 0)
    expect(own_tip(viewer)).to_have_attribute("data-state", "not_played")
    expect(own_tip(viewer)).to_contain_text("toys are switched off")
    tip(viewer, 60)
    expect(viewer.get_by_test_id("balance")).to_have_text("4410")
    expect(own_tip(viewer)).to_have_attribute("data-state", "not_played")
    expect(model.get_by_test_id("tips-taken")).to_have_attribute("data-count", "1")
    expect(model.get_by_text("Toys are switched off on this site")).to_be_visible()


def test_a_reload_in_the_middle_of_an_activation_does_not_run_it_twice(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(FREE)
    tip(viewer, 500)
    expect_strength(model, 20)
    model.reload()
    expect_online(model)
    expect_strength(model, 20)
    expect(model.get_by_test_id("tips-taken")).to_have_attribute("data-count", "1")
    tip_id = own_tip(viewer).get_attribute("data-tip-id")
    trace = demo.get(f"/admin/tips/{tip_id}")
    assert [each["state"] for each in trace["targets"]][-1] == "ACTIVATED"
    assert [each["state"] for each in trace["targets"]].count("SENT") == 1


def test_a_tip_while_the_models_page_is_away_plays_once_it_is_back(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(FREE)
    model.goto("about:blank")
    tip(viewer, 30)
    expect(own_tip(viewer)).to_have_attribute("data-state", "queued")
    model.go_back()
    expect_strength(model, 10)
    expect(own_tip(viewer)).to_have_attribute("data-state", "done")
    expect(model.get_by_test_id("tips-taken")).to_have_attribute("data-count", "1")


@pytest.mark.parametrize("by_key", [False, True])
def test_the_model_stops_everything_and_goes_on_when_she_wants(demo: Demo, by_key: bool) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(FREE)
    connect_toy(viewer)
    opt_in(viewer, "reactToMyTips")
    tip(viewer, 500)
    for page in (model, viewer):
        expect_strength(page, 20)
    if by_key:
        in_front(model).keyboard.press("Escape")
    else:
        in_front(model).get_by_test_id("stop").click()
    for page in (model, viewer):
        expect_strength(page, 0)
    expect(model.get_by_test_id("queue-state")).to_have_text("Paused")
    tip(viewer, 30)
    expect(own_tip(viewer)).to_have_attribute("data-state", "queued")
    expect(viewer.get_by_text("has paused the toys")).to_be_visible()
    in_front(model).get_by_test_id("resume").click()
    for page in (model, viewer):
        expect_strength(page, 10)


def test_the_model_stops_her_toy_also_without_the_server(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(FREE)
    tip(viewer, 500)
    expect_strength(model, 20)
    demo.server.kill()
    expect(model.get_by_test_id("connection")).to_have_text("Reconnecting")
    in_front(model).keyboard.press("Escape")
    expect_strength(model, 0)
    expect(model.get_by_test_id("stop-waits")).to_contain_text("Not connected")
    demo.server.restart()
    expect_online(model)
    expect(model.get_by_test_id("resume")).to_be_visible()


def test_a_viewer_stops_the_own_toy_and_no_other(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(FREE)
    connect_toy(viewer)
    opt_in(viewer, "reactToMyTips")
    tip(viewer, 500)
    expect_strength(viewer, 20)
    viewer.get_by_test_id("stop").click()
    expect_strength(viewer, 0)
    expect_strength(model, 20)
    expect(viewer.get_by_test_id("toy-stopped")).to_be_visible()
    viewer.reload()
    expect(viewer.get_by_test_id("toy-stopped")).to_be_visible()
    viewer.get_by_test_id("resume").click()
    expect(viewer.get_by_test_id("toy-stopped")).to_be_hidden()


def test_a_tip_over_the_balance_is_refused_in_words(demo: Demo) -> None:
    demo.open_live()
    viewer = demo.open_viewer(FREE)
    viewer.get_by_test_id("custom-amount").fill("99999")
    viewer.get_by_test_id("custom-tip").click()
    expect(viewer.get_by_test_id("alert")).to_contain_text("Not enough tokens")
    expect(viewer.get_by_test_id("own-tip")).to_have_count(0)
    expect(viewer.get_by_test_id("balance")).to_have_text("5000")
    viewer.get_by_test_id("custom-amount").fill("7")
    viewer.get_by_test_id("custom-tip").click()
    expect(viewer.get_by_test_id("alert")).not_to_contain_text("Not enough")
    expect(viewer.get_by_test_id("balance")).to_have_text("4993")
    expect(own_tip(viewer)).to_contain_text("this amount moves no toy")


def test_pages_come_back_after_a_restart_and_pay_an_unanswered_tip_once(demo: Demo) -> None:
    model, viewer = demo.open_live(), demo.open_viewer(FREE)
    demo.server.kill()
    expect(viewer.get_by_test_id("connection")).to_have_text("Reconnecting")
    tip(viewer, 30)
    expect(own_tip(viewer)).to_have_attribute("data-state", "sending")
    demo.server.restart()
    expect(viewer.get_by_test_id("connection")).to_have_text("Online")
    expect(model.get_by_test_id("connection")).to_have_text("Online")
    expect(own_tip(viewer)).to_have_attribute("data-state", re.compile("done|queued|playing"))
    expect_strength(model, 10)
    expect(viewer.get_by_test_id("balance")).to_have_text("4970")
    expect(model.get_by_test_id("tips-taken")).to_have_attribute("data-count", "1")
