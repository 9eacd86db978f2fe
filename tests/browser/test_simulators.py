"""The stand-ins for the vendor's scripts: names, argument orders and loose types as documented."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import harness

pytestmark = pytest.mark.slow  # drives a real browser


def strength(page: Page) -> int:
    return int(page.evaluate("toy.strength"))


def test_extension_takes_the_amount_first_and_plays_the_models_own_level(page: Page) -> None:
    harness(page, "model", "EXTENSION")
    harness(page, "readyExtension")
    page.evaluate("extension.receiveTip(60, 'john')")
    assert strength(page) == 16
    page.clock.run_for(7_900)
    assert strength(page) == 16
    page.clock.run_for(200)
    assert strength(page) == 0


def test_extension_plays_tips_one_after_the_other_and_tells_its_queue(page: Page) -> None:
    harness(page, "model", "EXTENSION")
    harness(page, "readyExtension")
    page.evaluate(
        "seen.length = 0; extension.receiveTip(30, 'ann'); extension.receiveTip(60, 'bob')"
    )
    queue = page.evaluate("seen.filter(([name]) => name === 'tipQueueChange').at(-1)[1]")
    assert [tip["tipperName"] for tip in queue["running"]] == ["ann"]
    assert queue["queue"] == [{"amount": 60, "tipperName": "bob"}]
    assert queue["running"][0].keys() >= {
        "amount", "tipperName", "time", "module", "cParameter", "level", "specialType",
        "modelName", "reactToys",
    }  # fmt: skip
    assert strength(page) == 10
    page.clock.run_for(5_100)
    assert strength(page) == 16
    (_, first), (_, second) = page.evaluate("seen.filter(([name]) => name === 'postMessage')")
    assert "ann" in first
    assert "bob" in second


def test_extension_types_are_as_loose_as_the_vendors(page: Page) -> None:
    harness(page, "model", "EXTENSION")
    harness(page, "readyExtension")
    settings = page.evaluate("extension.getSettings()")
    assert settings["levels"]["level2"] == {
        "min": 30, "max": 59, "time": 5, "rLevel": 0, "vLevel": 10,
    }  # fmt: skip
    assert settings["special"]["pulse"] == {
        "enable": True, "type": "pulse", "time": "10", "token": "41",
    }  # fmt: skip
    (toy,) = page.evaluate("extension.getToyStatus()")
    assert (toy["type"], toy["status"]) == ("lush", "on")
    assert toy.keys() == {"id", "name", "type", "status"}
    assert page.evaluate("extension.getCamVersion()") == "30.4.4"
    page.evaluate("toy.battery = 15")
    (changed,) = page.evaluate("seen.filter(([name]) => name === 'toyStatusChange').at(-1)[1]")
    assert changed["battery"] == "15"
    page.evaluate("levels.set('level2', 'vLevel', 12)")
    assert page.evaluate("seen.at(-1)[1].levels.level2.vLevel") == 12


def test_a_special_plays_its_pattern_and_clear_stops_everything(page: Page) -> None:
    harness(page, "model", "EXTENSION")
    harness(page, "readyExtension")
    page.evaluate("extension.receiveTip(41, 'ann'); extension.receiveTip(60, 'bob')")
    assert strength(page) == 18
    page.clock.run_for(310)
    assert strength(page) == 4, "the pulse goes up and down"
    page.evaluate("extension.receiveTip(777, 'luna')")
    assert strength(page) == 0
    page.clock.run_for(60_000)
    assert strength(page) == 0, "what waited is gone, too"


def test_a_toy_that_is_off_reacts_to_nothing(page: Page) -> None:
    harness(page, "model", "EXTENSION")
    harness(page, "readyExtension")
    page.evaluate("toy.connected = false; extension.receiveTip(60, 'ann'); toy.connected = true")
    assert strength(page) == 0
    assert page.evaluate("player.taken") == 0


def test_what_plays_and_waits_survives_a_reload(page: Page) -> None:
    harness(page, "model", "EXTENSION")
    harness(page, "readyExtension")
    page.evaluate("extension.receiveTip(60, 'ann'); extension.receiveTip(30, 'bob')")
    page.clock.run_for(4_000)
    page.reload()
    harness(page, "model", "EXTENSION")
    assert strength(page) == 16
    page.clock.run_for(4_100)
    assert strength(page) == 10
    assert page.evaluate("player.taken") == 2


def test_cam_kit_takes_the_name_first(page: Page) -> None:
    harness(page, "model", "CAM_KIT")
    page.evaluate("""() => {
        window.seen = [];
        lovense.addMessageListener((data) => seen.push(data));
        lovense.initCamApi('token');
        lovense.receiveTip('john', 60);
    }""")
    assert strength(page) == 16
    running = page.evaluate("seen.find(({type}) => type === 'tipRunning').detail.running")
    assert (running[0]["tipperName"], running[0]["amount"]) == ("john", 60)
    assert running[0]["reactToys"][0].keys() >= {"vibrate", "rotate", "airpump"}
    assert page.evaluate("lovense.getSettings().special.clear") == {"token": 777}
    assert "enable" not in page.evaluate("lovense.getSettings().special.pulse")
    page.evaluate("levels.set('level1', 'time', 4)")
    assert page.evaluate("seen.at(-1).detail.levels.level1.time") == "4"
    page.evaluate("lovense.destroyCamApi(); lovense.receiveTip('ann', 60)")
    assert page.evaluate("player.queue.queue") == []


def test_basic_sdk_pairs_by_a_code_and_then_obeys_each_command(page: Page) -> None:
    harness(page, "viewer")
    code = page.evaluate("sdk.getQrcode()")
    assert code["qrcodeUrl"].startswith("data:image/svg+xml")
    assert page.evaluate("sdk.getToys()") == []
    failure = page.evaluate(
        "Promise.resolve().then(() => sdk.sendToyCommand({vibrate: 5})).catch(String)"
    )
    assert "not connected" in failure
    page.evaluate("phone.scan()")
    names = page.evaluate("seen.map(([name]) => name)")
    assert names == ["appStatusChange", "deviceInfoChange", "toyInfoChange", "toyOnlineChange"]
    (toy,) = page.evaluate("sdk.getOnlineToys()")
    assert toy.keys() == {
        "id", "name", "toyType", "nickname", "hVersion", "fVersion", "battery", "connected",
    }  # fmt: skip

    page.evaluate("sdk.sendToyCommand({vibrate: 12, time: 3})")
    assert strength(page) == 12
    page.clock.run_for(3_100)
    assert strength(page) == 0
    page.evaluate("sdk.sendPatternCommand({strength: '5;15', interval: 200, time: 2})")
    assert strength(page) == 5
    page.clock.run_for(210)
    assert strength(page) == 15
    page.evaluate("sdk.sendPresetCommand({name: 'earthquake', time: 2})")
    assert strength(page) == 14
    page.evaluate("sdk.sendToyCommand({pump: 3, time: 0})")
    page.clock.run_for(3_600_000)
    assert strength(page) == 20, "a time of 0 never ends by itself"
    page.evaluate("sdk.stopToyAction({})")
    assert strength(page) == 0


def test_basic_sdk_refuses_what_the_vendor_refuses(page: Page) -> None:
    harness(page, "viewer")
    page.evaluate("phone.scan()")
    for pattern in ({"strength": "1", "interval": 100}, {"strength": ";".join("1" * 51)}):
        failure = page.evaluate(
            "(it) => Promise.resolve().then(() => sdk.sendPatternCommand(it)).catch(String)",
            pattern,
        )
        assert failure == "Error: invalid pattern"


def test_the_drawn_toy_says_what_it_does(blank: Page) -> None:
    harness(blank, "model", "EXTENSION")
    harness(blank, "draw")
    view = blank.locator("toy-view")
    meter = view.get_by_role("meter", name="Strength")
    said = view.locator("[aria-live]")
    expect(view).to_have_attribute("data-strength", "0")
    expect(said).to_have_text("Lush 3 is at rest.")
    blank.evaluate("toy.play({values: [14], intervalMs: 150, seconds: 0})")
    expect(view).to_have_attribute("data-strength", "14")
    expect(meter).to_have_attribute("aria-valuenow", "14")
    expect(said).to_have_text("Lush 3 is reacting, strength 14 of 20.")
    expect(view.locator(".toy-body[transform^='translate']")).to_have_count(1)
    blank.evaluate("toy.connected = false")
    expect(view).to_have_attribute("data-connected", "false")
    expect(said).to_have_text("Lush 3 is not connected.")


def test_the_drawn_toy_keeps_still_for_people_who_prefer_it(blank: Page) -> None:
    blank.emulate_media(reduced_motion="reduce")
    harness(blank, "model", "EXTENSION")
    harness(blank, "draw")
    transform = blank.evaluate("""async () => {
        toy.play({values: [20], intervalMs: 150, seconds: 0});
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        return document.querySelector('.toy-body').getAttribute('transform');
    }""")
    assert transform is None
    expect(blank.locator("toy-view")).to_have_attribute("data-strength", "20")
