"""From a vibration to one vendor call: as documented, as near as can be, always finite."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.audit import Reason
from protocol.lovense import (
    VIEWER_STOP,
    Fit,
    Integration,
    Level,
    LevelMap,
    ReportedSettings,
    Special,
    Toy,
    VendorCall,
    functions_of,
    model_call,
    model_stop_call,
    read_level_map,
    scale_strength,
    viewer_call,
)
from protocol.tip_activated import AMOUNT_MAX, LovenseMode
from protocol.vibration import Pattern, PresetName, Vibration, VibrationType, level

EXTENSION, CAM_KIT = LovenseMode


def preset(name: PresetName, duration_sec: int = 5) -> Vibration:
    return Vibration(VibrationType.PRESET, None, duration_sec, name, None)


def pattern(*values: int, duration_sec: int = 5, interval_ms: int = 200) -> Vibration:
    return Vibration(VibrationType.PATTERN, None, duration_sec, None, Pattern(values, interval_ms))


MAP = LevelMap(
    levels=(
        Level("level1", 1, 9, 4, 3),
        Level("level2", 10, 99, 10, 5),
        Level("level3", 100, 499, 16, 10),
        Level("level4", 500, AMOUNT_MAX, 20, 30),
    ),
    specials=(
        Special("earthquake", 120, 22),
        Special("wave", 10, 5),
        Special("pulse", 300, None),
        Special("giveControl", 150, 60),
    ),
)


# ---- the model's page: which call ------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "integration", "args"),
    [
        (EXTENSION, Integration.EXTENSION, (50, "goldie")),
        (CAM_KIT, Integration.CAM_KIT, ("goldie", 50)),
    ],
)
def test_arguments_stand_in_each_products_own_order(
    mode: LovenseMode, integration: Integration, args: tuple[Any, ...]
) -> None:
    fitted = model_call(mode, level(10, 5), MAP, 50, "goldie")
    assert fitted.call == VendorCall(integration, "receiveTip", args)


def amount_of(vibration: Vibration, tip_amount: int, level_map: LevelMap = MAP) -> int:
    fitted = model_call(EXTENSION, vibration, level_map, tip_amount, "goldie")
    assert fitted.call is not None
    return int(fitted.call.args[0])


def fit_of(vibration: Vibration, tip_amount: int = 1, level_map: LevelMap = MAP) -> Fit:
    return model_call(EXTENSION, vibration, level_map, tip_amount, "goldie").fit


def test_tips_own_amount_is_passed_where_the_level_covers_it() -> None:
    assert amount_of(level(10, 5), 42) == 42
    assert amount_of(level(16, 10), 42) == 100
    assert amount_of(level(4, 3), 42) == 1


def test_price_of_a_special_is_never_passed_for_a_level() -> None:
    assert amount_of(level(10, 5), 10) == 11, "10 would play wave"
    assert amount_of(level(16, 10), 120) == 100, "120 would play earthquake"


def test_level_whose_every_amount_is_a_special_is_not_chosen() -> None:
    narrow = LevelMap(
        levels=(Level("level1", 10, 11, 10, 5), Level("level2", 12, 20, 1, 5)),
        specials=(Special("wave", 10, 5), Special("pulse", 11, 5)),
    )
    assert fit_of(level(10, 5), 10, narrow).level == "level2"
    nothing = msgspec.structs.replace(narrow, levels=narrow.levels[:1])
    fitted = model_call(EXTENSION, level(10, 5), nothing, 10, "goldie")
    assert (fitted.call, fitted.fit.kind, fitted.reason) == (None, "none", Reason.NO_LEVEL_MAP)


# ---- the model's page: which level -----------------------------------------------------------


@pytest.mark.parametrize(
    ("strength", "seconds", "fit"),
    [
        (10, 5, Fit("exact", "level2", 0, 0)),
        (16, 10, Fit("exact", "level3", 0, 0)),
        (10, 7, Fit("nearest", "level2", 0, 2)),
        (11, 5, Fit("nearest", "level2", 1, 0)),
        (0, 5, Fit("nearest", "level1", 4, 2)),
        (18, 30, Fit("nearest", "level4", 2, 0)),
        (18, 10, Fit("nearest", "level3", 2, 0)),
        (7, 3, Fit("nearest", "level1", 3, 0)),
        (7, 5, Fit("nearest", "level2", 3, 0)),
        (13, 8, Fit("nearest", "level3", 3, 2)),
    ],
)
def test_nearest_in_strength_ties_to_the_nearer_time(strength: int, seconds: int, fit: Fit) -> None:
    assert fit_of(level(strength, seconds)) == fit


def test_full_tie_goes_to_the_cheaper_level_whatever_the_order() -> None:
    twins = (Level("dear", 50, 60, 10, 5), Level("cheap", 20, 30, 10, 5))
    for levels in (twins, twins[::-1]):
        assert fit_of(level(10, 5), 1, LevelMap(levels, ())).level == "cheap"


def test_pattern_goes_by_its_mean_and_is_never_exact() -> None:
    assert fit_of(pattern(8, 12)) == Fit("nearest", "level2", 0, 0)
    assert fit_of(pattern(20, 12, duration_sec=10)) == Fit("nearest", "level3", 0, 0)


@pytest.mark.parametrize(
    ("vibration", "amount", "fit", "seconds"),
    [
        (preset(PresetName.EARTHQUAKE, 22), 120, Fit("exact", "earthquake", 0, 0), 22),
        (preset(PresetName.EARTHQUAKE, 5), 120, Fit("nearest", "earthquake", 0, 17), 22),
        (preset(PresetName.WAVE, 5), 10, Fit("exact", "wave", 0, 0), 5),
        (preset(PresetName.PULSE, 8), 300, Fit("exact", "pulse", 0, None), 3600),
    ],
)
def test_preset_is_the_special_of_that_name_at_its_price(
    vibration: Vibration, amount: int, fit: Fit, seconds: float
) -> None:
    for tip_amount in (1, amount, 9_999):
        fitted = model_call(EXTENSION, vibration, MAP, tip_amount, "goldie")
        assert fitted.call == VendorCall(Integration.EXTENSION, "receiveTip", (amount, "goldie"))
        assert (fitted.fit, fitted.seconds, fitted.reason) == (fit, seconds, None)


def test_what_plays_longer_than_the_platform_allows_is_not_chosen() -> None:
    slow_and_quick = LevelMap((Level("slow", 1, 9, 10, 60), Level("quick", 10, 99, 4, 3)), ())
    fitted = model_call(EXTENSION, level(10, 5), slow_and_quick, 5, "goldie", seconds_max=30)
    assert (fitted.fit.level, fitted.seconds) == ("quick", 3)
    only_slow = LevelMap(slow_and_quick.levels[:1], ())
    fitted = model_call(EXTENSION, level(10, 5), only_slow, 5, "goldie", seconds_max=30)
    assert (fitted.call, fitted.reason) == (None, Reason.NO_LEVEL_MAP)
    fitted = model_call(
        EXTENSION, preset(PresetName.EARTHQUAKE, 5), MAP, 120, "goldie", seconds_max=21
    )
    assert (fitted.call, fitted.reason) == (None, Reason.PRESET_UNAVAILABLE)
    fitted = model_call(EXTENSION, preset(PresetName.PULSE, 8), MAP, 300, "goldie", seconds_max=30)
    assert fitted.seconds == 30, "a special that does not say how long it plays"


def test_preset_that_is_not_offered_is_no_call_and_no_substitute() -> None:
    fitted = model_call(EXTENSION, preset(PresetName.FIREWORKS), MAP, 120, "goldie")
    assert (fitted.call, fitted.fit) == (None, Fit("none"))
    assert fitted.reason is Reason.PRESET_UNAVAILABLE


@pytest.mark.parametrize("mode", [EXTENSION, CAM_KIT])
@pytest.mark.parametrize("vibration", [level(10, 5), preset(PresetName.WAVE), pattern(1, 2)])
@pytest.mark.parametrize("level_map", [None, LevelMap((), (Special("clear", 20, None),))])
def test_no_settings_mean_no_call_never_a_made_up_amount(
    mode: LovenseMode, vibration: Vibration, level_map: LevelMap | None
) -> None:
    fitted = model_call(mode, vibration, level_map, 50, "goldie")
    assert (fitted.call, fitted.fit, fitted.seconds) == (None, Fit("none"), 0)
    assert fitted.reason in (Reason.NO_LEVEL_MAP, Reason.PRESET_UNAVAILABLE)


def test_call_says_how_long_the_level_plays() -> None:
    assert model_call(EXTENSION, level(20, 5), MAP, 1, "goldie").seconds == 30


def test_stop_is_the_special_clear_where_she_has_priced_one() -> None:
    with_clear = LevelMap((), (Special("clear", 20, None),))
    assert model_stop_call(EXTENSION, with_clear, "stop") == VendorCall(
        Integration.EXTENSION, "receiveTip", (20, "stop")
    )
    assert model_stop_call(CAM_KIT, with_clear, "stop") == VendorCall(
        Integration.CAM_KIT, "receiveTip", ("stop", 20)
    )
    assert model_stop_call(EXTENSION, MAP, "stop") is None
    assert model_stop_call(EXTENSION, None, "stop") is None


def test_special_that_plays_for_hours_is_not_chosen_but_keeps_its_price() -> None:
    level1 = {"min": 3, "max": 10, "time": 5, "vLevel": 8}
    settings = ReportedSettings({"level1": level1}, {"wave": {"token": 3, "time": 7200}})
    level_map = read_level_map(settings)
    assert level_map is not None
    fitted = model_call(EXTENSION, preset(PresetName.WAVE), level_map, 3, "goldie")
    assert (fitted.call, fitted.reason) == (None, Reason.PRESET_UNAVAILABLE)
    assert amount_of(level(8, 5), 3, level_map) == 4


# ---- the viewer's page -----------------------------------------------------------------------


def connected(*toy_types: str) -> tuple[Toy, ...]:
    return tuple(
        Toy(f"t{number}", toy_type, toy_type, "", connected=True, battery=None)
        for number, toy_type in enumerate(toy_types)
    )


def arguments_of(vibration: Vibration, *toy_types: str) -> dict[str, Any]:
    call = viewer_call(vibration, connected(*toy_types)).call
    assert call is not None
    assert call.integration is Integration.BASIC_SDK
    (arguments,) = call.args
    assert isinstance(arguments, dict)
    return arguments


@pytest.mark.parametrize(
    ("vibration", "call"),
    [
        (
            level(16, 5),
            VendorCall(Integration.BASIC_SDK, "sendToyCommand", ({"vibrate": 16, "time": 5},)),
        ),
        (
            preset(PresetName.EARTHQUAKE),
            VendorCall(
                Integration.BASIC_SDK, "sendPresetCommand", ({"name": "earthquake", "time": 5},)
            ),
        ),
        (
            pattern(0, 20, 7),
            VendorCall(
                Integration.BASIC_SDK,
                "sendPatternCommand",
                ({"strength": "0;20;7", "interval": 200, "time": 5, "vibrate": True},),
            ),
        ),
    ],
)
def test_each_vibration_is_its_own_command(vibration: Vibration, call: VendorCall) -> None:
    fitted = viewer_call(vibration, connected("lush"))
    assert fitted.call == call
    assert (fitted.fit, fitted.reason, fitted.seconds) == (Fit("exact"), None, 5)


def test_stop_names_no_toy_so_all_stop() -> None:
    assert (VIEWER_STOP.method, VIEWER_STOP.args) == ("stopToyAction", ({},))


@pytest.mark.parametrize(
    ("toy_type", "functions"),
    [
        *((each, {"vibrate"}) for each in ("lush", "edge", "lapis", "calor", "newest", "")),
        ("nora", {"vibrate", "rotate"}),
        ("ridge", {"vibrate", "rotate"}),
        ("max", {"vibrate", "pump"}),
        ("gravity", {"vibrate", "thrusting"}),
        ("spinel", {"vibrate", "thrusting"}),
        ("flexer", {"vibrate", "fingering"}),
        ("tenera", {"suction"}),
        ("gush", {"vibrate", "oscillate"}),
        ("osci", {"vibrate", "oscillate"}),
        ("xmachine", {"thrusting"}),
        ("solace", {"thrusting", "depth"}),
        ("solace pro", {"thrusting", "stroke"}),
        ("solacepro", {"thrusting", "stroke"}),
    ],
)
def test_what_each_toy_can_do(toy_type: str, functions: set[str]) -> None:
    assert set(functions_of(toy_type)) == functions
    assert set(arguments_of(level(10, 5), toy_type)) == functions | {"time"}
    asked = arguments_of(pattern(1, 2), toy_type)
    assert {name for name, value in asked.items() if value is True} == functions


def test_several_toys_get_one_call_with_all_their_functions() -> None:
    assert arguments_of(level(20, 5), "lush", "max", "solace pro") == {
        "vibrate": 20,
        "pump": 3,
        "thrusting": 20,
        "stroke": 100,
        "time": 5,
    }


@pytest.mark.parametrize(
    ("strength", "function", "scaled"),
    [
        (0, "vibrate", 0),
        (13, "vibrate", 13),
        (20, "vibrate", 20),
        (0, "pump", 0),
        (1, "pump", 1),
        (9, "pump", 1),
        (10, "pump", 2),
        (16, "pump", 2),
        (17, "pump", 3),
        (20, "depth", 3),
        (1, "stroke", 5),
        (20, "stroke", 100),
    ],
)
def test_strength_on_the_range_of_a_function(strength: int, function: str, scaled: int) -> None:
    assert scale_strength(strength, function) == scaled


def test_one_second_goes_out_as_a_little_more() -> None:
    """The vendor wants more than 1 s, and reads 0 as "for ever"."""
    for vibration in (level(5, 1), preset(PresetName.WAVE, 1), pattern(5, duration_sec=1)):
        fitted = viewer_call(vibration, connected("lush"))
        assert fitted.call is not None
        assert fitted.call.args[0]["time"] == fitted.seconds == 1.1


@pytest.mark.parametrize("toys", [(), (Toy("t", "Lush", "lush", "", connected=False, battery=5),)])
def test_no_connected_toy_no_call(toys: tuple[Toy, ...]) -> None:
    fitted = viewer_call(level(5, 5), toys)
    assert (fitted.call, fitted.fit, fitted.reason) == (None, Fit("none"), Reason.NO_TOY)


def test_toy_that_is_off_adds_no_function() -> None:
    off = Toy("t", "Max", "max", "", connected=False, battery=5)
    call = viewer_call(level(5, 5), (*connected("lush"), off)).call
    assert call is not None
    assert set(call.args[0]) == {"vibrate", "time"}


# ---- whatever is wanted, whatever is reported ------------------------------------------------

durations_s = st.integers(1, 3600)
vibrations = st.one_of(
    st.builds(level, st.integers(0, 20), durations_s),
    st.builds(preset, st.sampled_from(PresetName), durations_s),
    st.builds(
        lambda values, seconds: pattern(*values, duration_sec=seconds),
        st.lists(st.integers(0, 20), min_size=1, max_size=50),
        durations_s,
    ),
)
numbers = st.integers(-2, 60) | st.floats() | st.integers()
loose = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    numbers.map(str),
    st.sampled_from(["infinity", "1e9", "1_0", "0", "on", "", "?", "½"]),
)
reported_levels = st.fixed_dictionaries(
    {"min": loose, "max": loose, "time": loose, "vLevel": st.integers(0, 21) | loose}
) | st.fixed_dictionaries(
    {
        "min": st.integers(1, 60),
        "max": st.integers(1, 60),
        "time": st.integers(1, 30),
        "vLevel": st.integers(1, 20),
    }
)
reported_specials = st.fixed_dictionaries(
    {}, optional={"enable": loose, "time": loose, "token": st.integers(1, 60) | loose}
)
special_names = st.sampled_from([*(name.value for name in PresetName), "random", "clear", "pause"])
settings = st.builds(
    ReportedSettings,
    st.dictionaries(st.text("level12", min_size=1, max_size=3), reported_levels, max_size=5),
    st.dictionaries(special_names, reported_specials, max_size=7),
)
toy_types = st.lists(
    st.sampled_from(["lush", "nora", "max", "tenera", "solace", "solace pro", "osci", "?"]),
    min_size=1,
    max_size=4,
)


@given(settings)
def test_level_map_holds_only_what_can_be_used(reported: ReportedSettings) -> None:
    level_map = read_level_map(reported)
    if level_map is None:
        return
    assert level_map.levels or level_map.specials
    for each in level_map.levels:
        assert 1 <= each.amount_min <= each.amount_max <= AMOUNT_MAX
        assert 1 <= each.strength <= 20
        assert 0 < each.seconds <= 3600
    for special in level_map.specials:
        assert 1 <= special.amount <= AMOUNT_MAX
        assert special.seconds is None or 0 < special.seconds < math.inf


@given(settings, vibrations, st.integers(1, 70), st.sampled_from(LovenseMode))
def test_models_call_plays_what_the_fit_says(
    reported: ReportedSettings, vibration: Vibration, tip_amount: int, mode: LovenseMode
) -> None:
    level_map = read_level_map(reported)
    fitted = model_call(mode, vibration, level_map, tip_amount, "goldie")
    if fitted.call is None:
        assert fitted.reason is not None
        assert fitted.fit.kind == "none"
        return
    assert level_map is not None
    assert fitted.call.method == "receiveTip"
    (amount,) = (each for each in fitted.call.args if isinstance(each, int))
    prices = {special.amount for special in level_map.specials}
    if vibration.type is VibrationType.PRESET:
        assert fitted.fit.level == vibration.preset_name
        assert amount in prices
    else:
        assert amount not in prices
        (chosen,) = (each for each in level_map.levels if each.name == fitted.fit.level)
        assert chosen.amount_min <= amount <= chosen.amount_max
        wanted = vibration.wanted_strength
        assert fitted.fit.strength_difference == abs(chosen.strength - wanted)
        assert fitted.seconds == chosen.seconds
    assert 0 < fitted.seconds <= 3600, "the room waits this long: never 0, never for ever"


@given(vibrations, toy_types)
def test_viewers_call_is_finite_and_in_range(vibration: Vibration, types: list[str]) -> None:
    arguments = arguments_of(vibration, *types)
    assert 1 < arguments["time"] <= 3600
    ranges = {"pump": 3, "depth": 3, "stroke": 100}
    for name, value in arguments.items():
        if name in {function for each in types for function in functions_of(each)}:
            assert value is True or 0 <= value <= ranges.get(name, 20)
    if vibration.type is VibrationType.PATTERN:
        strengths = [int(each) for each in arguments["strength"].split(";")]
        assert len(strengths) <= 50
        assert all(0 <= each <= 20 for each in strengths)
        assert arguments["interval"] > 100
