"""The page's side of each integration, against the simulators: what counts as evidence, what each
failure is called, and that a command is run once, whatever happens to the page."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import harness

pytestmark = pytest.mark.slow  # drives a real browser


def tip(product: str, amount: int, name: str = "john") -> dict[str, Any]:
    args = [amount, name] if product == "EXTENSION" else [name, amount]
    return {"integration": product, "method": "receiveTip", "args": args}


def level(strength: int, time: float = 2) -> dict[str, Any]:
    arguments = {"vibrate": strength, "time": time}
    return {"integration": "BASIC_SDK", "method": "sendToyCommand", "args": [arguments]}


@pytest.fixture(params=["EXTENSION", "CAM_KIT"])
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model_page(page: Page, product: str) -> Page:
    harness(page, "model", product)
    harness(page, "adapt", product)
    return page


@pytest.fixture
def viewer_page(page: Page) -> Page:
    harness(page, "viewer")
    page.evaluate("phone.scan()")
    harness(page, "adapt", "BASIC_SDK")
    return page


def outcomes(page: Page) -> list[str]:
    return list(page.evaluate("outcomes"))


def test_a_tip_counts_once_the_vendor_runs_it(model_page: Page, product: str) -> None:
    model_page.evaluate("(call) => run(call)", tip(product, 60))
    assert outcomes(model_page) == ["activated"]
    assert model_page.evaluate("toy.strength") == 16


def test_an_equal_tip_that_waits_behind_is_not_taken_for_the_one_that_runs(
    model_page: Page, product: str
) -> None:
    model_page.evaluate("(call) => { run(call); run(call); run(call) }", tip(product, 30))
    assert outcomes(model_page) == ["activated", "open", "open"]
    model_page.clock.run_for(5_100)
    assert outcomes(model_page) == ["activated", "activated", "open"]
    model_page.clock.run_for(5_100)
    assert outcomes(model_page) == ["activated", "activated", "activated"]


def test_an_equal_tip_after_the_end_of_the_first_counts_again(
    model_page: Page, product: str
) -> None:
    for expected in (["activated"], ["activated", "activated"]):
        model_page.evaluate("(call) => run(call)", tip(product, 30))
        assert outcomes(model_page) == expected
        model_page.clock.run_for(6_000)


def test_a_tip_that_the_vendor_never_runs_has_no_evidence(model_page: Page, product: str) -> None:
    model_page.evaluate("levels.set('level2', 'vLevel', 0)")
    model_page.evaluate("(call) => run(call)", tip(product, 30))
    model_page.clock.run_for(19_900)
    assert outcomes(model_page) == ["open"]
    model_page.clock.run_for(200)
    assert outcomes(model_page) == ["no_evidence"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"integration": "BASIC_SDK"}, "wrong_integration"),
        ({"method": "vibrate"}, "unknown_method"),
        ({"args": ["john", "sixty"]}, "bad_arguments"),
        ({"args": [0, "john"]}, "bad_arguments"),
    ],
)
def test_a_call_that_does_not_belong_to_a_models_page_is_never_made(
    model_page: Page, product: str, change: dict[str, Any], code: str
) -> None:
    model_page.evaluate("(call) => run(call)", tip(product, 60) | change)
    assert outcomes(model_page) == [code]
    assert model_page.evaluate("player.taken") == 0


def test_a_models_toy_that_is_off_is_no_toy(model_page: Page, product: str) -> None:
    model_page.evaluate("toy.connected = false")
    model_page.evaluate("(call) => run(call)", tip(product, 60))
    assert outcomes(model_page) == ["no_toy"]


def test_toys_and_levels_are_reported_as_the_server_reads_them(model_page: Page) -> None:
    settings = model_page.evaluate("adapter.settings()")
    level = {name: str(value) for name, value in settings["levels"]["level2"].items()}
    assert level == {"min": "30", "max": "59", "time": "5", "rLevel": "0", "vLevel": "10"}
    assert str(settings["special"]["clear"]["token"]) == "777"
    model_page.evaluate("toy.connected = false; levels.set('level1', 'vLevel', 7)")
    (name, toys), (other, changed) = model_page.evaluate("changes")
    assert (name, toys[0]["status"]) == ("toysChanged", "off")
    assert (other, changed["levels"]["level1"]["vLevel"]) == ("settingsChanged", 7)


def test_the_models_stop_is_the_priced_clear(model_page: Page, product: str) -> None:
    model_page.evaluate("(call) => run(call)", tip(product, 60))
    model_page.evaluate("adapter.stop(null)")
    assert model_page.evaluate("toy.strength") == 16, "without a priced clear there is no stop"
    model_page.evaluate("(call) => adapter.stop(call)", tip(product, 777, "luna"))
    assert model_page.evaluate("toy.strength") == 0


def test_how_long_what_plays_may_last(model_page: Page, product: str) -> None:
    plays_for = """async () => {
        const { playsForS } = await import('/web/sdk/play_time.js');
        return playsForS();
    }"""
    model_page.evaluate("adapter.settings().then(() => null)")
    assert model_page.evaluate(plays_for) is None
    model_page.evaluate("(call) => run(call)", tip(product, 60))
    assert model_page.evaluate(plays_for) == 8
    model_page.clock.run_for(3_000)
    model_page.reload()
    assert model_page.evaluate(plays_for) == pytest.approx(5, abs=0.5)
    model_page.clock.run_for(6_000)
    assert model_page.evaluate(plays_for) is None


def test_a_page_without_the_server_knows_the_same_stop(model_page: Page, product: str) -> None:
    model_page.evaluate("(call) => run(call)", tip(product, 60))
    assert model_page.evaluate("adapter.stopCall('luna')") == tip(product, 777, "luna")
    model_page.evaluate("adapter.stopCall('luna').then((call) => adapter.stop(call))")
    assert model_page.evaluate("toy.strength") == 0


def test_a_viewers_command_counts_when_the_toy_was_online_before_and_after(
    viewer_page: Page,
) -> None:
    viewer_page.evaluate("(call) => run(call)", level(9))
    assert outcomes(viewer_page) == ["activated"]
    assert viewer_page.evaluate("toy.strength") == 9
    viewer_page.evaluate("adapter.stop(null)")
    assert viewer_page.evaluate("toy.strength") == 0
    viewer_page.evaluate("toy.connected = false")
    viewer_page.evaluate("(call) => run(call)", level(9))
    assert outcomes(viewer_page) == ["activated", "no_toy"]


def test_a_viewers_toy_that_is_lost_during_the_call_did_not_react(viewer_page: Page) -> None:
    viewer_page.evaluate("(call) => { run(call); toy.connected = false }", level(9))
    assert outcomes(viewer_page) == ["toy_lost"]


@pytest.mark.parametrize("time", [0, 1])
def test_a_time_that_the_vendor_reads_as_for_ever_is_never_sent(
    viewer_page: Page, time: int
) -> None:
    viewer_page.evaluate("(call) => run(call)", level(9, time))
    assert outcomes(viewer_page) == ["bad_arguments"]
    assert viewer_page.evaluate("toy.strength") == 0


def test_a_vendors_script_that_throws_is_a_failed_command(viewer_page: Page) -> None:
    harness(viewer_page, "runCommands")
    call = {
        "integration": "BASIC_SDK",
        "method": "sendPatternCommand",
        "args": [{"strength": "1", "interval": 5, "time": 2}],
    }
    viewer_page.evaluate("(call) => accept('c1', call)", call)
    assert viewer_page.evaluate("answers") == [
        ["commandAccepted", "c1"],
        ["commandFailed", "c1", "vendor_error"],
    ]


# ---- each command once -----------------------------------------------------------------------


def test_a_repeat_is_answered_as_the_first_and_not_run(model_page: Page, product: str) -> None:
    harness(model_page, "runCommands")
    deliver = "(call) => accept('c1', call)"
    model_page.evaluate(deliver, tip(product, 60))
    model_page.evaluate(deliver, tip(product, 60))
    once = [["commandAccepted", "c1"], ["commandActivated", "c1"]]
    assert model_page.evaluate("answers") == once * 2
    assert model_page.evaluate("player.taken") == 1


def test_a_repeat_after_a_reload_is_not_run_either(model_page: Page, product: str) -> None:
    harness(model_page, "runCommands")
    model_page.evaluate("(call) => accept('c1', call)", tip(product, 60))
    model_page.reload()
    harness(model_page, "model", product)
    harness(model_page, "adapt", product)
    harness(model_page, "runCommands")
    model_page.evaluate("(call) => accept('c1', call)", tip(product, 60))
    assert model_page.evaluate("answers") == [["commandAccepted", "c1"], ["commandActivated", "c1"]]
    assert model_page.evaluate("player.taken") == 1


def test_a_reload_before_the_evidence_leaves_only_the_evidence_open(
    model_page: Page, product: str
) -> None:
    harness(model_page, "runCommands")
    first, second = tip(product, 30, "ann"), tip(product, 60)
    model_page.evaluate("(call) => run(call)", first)
    model_page.evaluate("(call) => accept('c1', call)", second)
    assert model_page.evaluate("answers") == [["commandAccepted", "c1"]]
    model_page.reload()
    harness(model_page, "model", product)
    harness(model_page, "adapt", product)
    harness(model_page, "runCommands")
    model_page.evaluate("(call) => accept('c1', call)", second)
    assert model_page.evaluate("answers") == [["commandAccepted", "c1"]]
    model_page.clock.run_for(5_100)
    assert model_page.evaluate("answers.at(-1)") == ["commandActivated", "c1"]
    model_page.clock.run_for(60_000)
    assert model_page.evaluate("player.taken") == 2


def test_an_expired_command_is_refused_and_a_later_delivery_may_still_run(
    model_page: Page, product: str
) -> None:
    harness(model_page, "runCommands")
    deliver = "([call, lifeMs]) => accept('c1', call, lifeMs)"
    model_page.evaluate(deliver, [tip(product, 60), -1])
    assert model_page.evaluate("answers") == [["commandFailed", "c1", "expired"]]
    model_page.evaluate(deliver, [tip(product, 60), 5000])
    assert model_page.evaluate("answers.at(-1)") == ["commandActivated", "c1"]


def test_commands_run_one_after_the_other_and_one_that_waits_too_long_expires(
    model_page: Page, product: str
) -> None:
    harness(model_page, "runCommands")
    blocking, second, third = (tip(product, amount) for amount in (30, 31, 60))
    model_page.evaluate("(call) => run(call)", blocking)
    model_page.evaluate("(call) => accept('c1', call)", second)
    model_page.evaluate("(call) => accept('c2', call, 1000)", third)
    assert model_page.evaluate("answers.map(([type]) => type)") == ["commandAccepted"] * 2
    model_page.clock.run_for(5_100)
    assert model_page.evaluate("answers.slice(2)") == [
        ["commandActivated", "c1"],
        ["commandFailed", "c2", "expired"],
    ]


def test_stop_ends_what_runs_and_what_waits(model_page: Page, product: str) -> None:
    harness(model_page, "runCommands")
    model_page.evaluate("(call) => run(call)", tip(product, 30))
    for name in ("c1", "c2"):
        model_page.evaluate("([id, call]) => accept(id, call)", [name, tip(product, 60)])
    model_page.evaluate("answers.length = 0")
    model_page.evaluate("(call) => runner.stop(call)", tip(product, 777, "luna"))
    assert sorted(model_page.evaluate("answers")) == [
        ["commandFailed", "c1", "stopped"],
        ["commandFailed", "c2", "stopped"],
    ]
    model_page.clock.run_for(60_000)
    assert model_page.evaluate("[toy.strength, player.taken]") == [0, 1]
    model_page.evaluate("(call) => accept('c3', call)", tip(product, 60))
    assert model_page.evaluate("answers.at(-1)") == ["commandActivated", "c3"]


def test_the_memory_of_commands_is_bounded(viewer_page: Page) -> None:
    harness(viewer_page, "runCommands")
    viewer_page.evaluate(
        """async (call) => {
        let nowMs = Date.now();
        Date.now = () => nowMs++;
        for (let i = 0; i < 600; i++) {
            accept(`c${i}`, call);
            await new Promise((done) => queueMicrotask(() => queueMicrotask(done)));
        }
    }""",
        level(3),
    )
    assert remembered(viewer_page) == {f"c{number}" for number in range(88, 600)}


def remembered(page: Page) -> set[str]:
    stored = page.evaluate("Object.keys(localStorage)")
    prefix = "tiproom.command.luna."
    return {key.removeprefix(prefix) for key in stored if key.startswith(prefix)}


def test_a_command_is_forgotten_after_a_day(viewer_page: Page) -> None:
    harness(viewer_page, "runCommands")
    viewer_page.evaluate("(call) => accept('old', call)", level(3))
    viewer_page.clock.run_for(24 * 3600 * 1000 + 1)
    viewer_page.evaluate("(call) => accept('new', call)", level(3))
    assert remembered(viewer_page) == {"new"}


@pytest.fixture
def other_tab(viewer_page: Page, static_site: str) -> Page:
    """The same member's, in the same browser."""
    tab = viewer_page.context.new_page()
    tab.goto(f"{static_site}/")
    harness(tab, "viewer")
    harness(tab, "adapt", "BASIC_SDK")
    harness(tab, "runCommands")
    return tab


EXPECT_NOTED = """(state) => {
    window.noted = new Promise((done) => addEventListener('storage', ({ key, newValue }) => {
        if (key === 'tiproom.command.luna.c1' && newValue?.includes(state)) done();
    }));
}"""
"""In the other tab: browsers bring it what the first has stored, a moment later."""


def test_what_one_tab_has_run_no_other_runs(viewer_page: Page, other_tab: Page) -> None:
    """The tab that the command went to first may be gone by now."""
    harness(viewer_page, "runCommands")
    deliver = "(call) => accept('c1', call)"
    other_tab.evaluate(EXPECT_NOTED, "activated")
    viewer_page.evaluate(deliver, level(3, 30))
    viewer_page.close()
    other_tab.evaluate("noted.then(() => null)")
    other_tab.evaluate("toy.stop()")
    other_tab.evaluate(deliver, level(3, 30))
    assert other_tab.evaluate("answers") == [["commandAccepted", "c1"], ["commandActivated", "c1"]]
    assert other_tab.evaluate("toy.playing") is False


def test_what_one_tab_still_runs_another_only_watches(viewer_page: Page, other_tab: Page) -> None:
    harness(viewer_page, "runCommands")
    viewer_page.evaluate("() => { adapter.run = () => new Promise(() => {}) }")
    deliver = "(call) => accept('c1', call)"
    other_tab.evaluate(EXPECT_NOTED, "started")
    viewer_page.evaluate(deliver, level(3))
    other_tab.evaluate("noted.then(() => null)")
    other_tab.evaluate(deliver, level(3))
    assert other_tab.evaluate("answers") == [
        ["commandAccepted", "c1"],
        ["commandFailed", "c1", "interrupted"],
    ]
    assert other_tab.evaluate("toy.playing") is False
