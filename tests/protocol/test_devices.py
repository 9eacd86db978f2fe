"""What an owner has set on a toy holds for every call that can reach it (spec 3, devices)."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from protocol.audit import Reason
from protocol.devices import (
    DeviceOverride,
    apply_overrides,
    device_id_of,
    is_tighter,
    lost_toys,
)
from protocol.lovense import RANGE_MAX, Toy, VendorCall, functions_of, viewer_call
from protocol.vibration import Pattern, PresetName, Vibration, VibrationType, level

TYPES = (
    "lush",
    "max",
    "nora",
    "gravity",
    "flexer",
    "tenera",
    "osci",
    "xmachine",
    "solace",
    "solace pro",
    "unheard-of",
)
functions = st.lists(st.sampled_from(list(RANGE_MAX)), min_size=1, unique=True).map(tuple)
override = st.builds(
    DeviceOverride,
    max_strength=st.integers(0, 20),
    enabled=st.booleans(),
    functions=st.none() | functions,
)
toy = st.builds(
    Toy,
    toy_id=st.sampled_from(("a", "b", "c", "d")),
    name=st.just("toy"),
    toy_type=st.sampled_from(TYPES),
    nickname=st.just(""),
    connected=st.booleans(),
    battery=st.none(),
    functions=st.just(()) | functions,
)
toys = st.lists(toy, max_size=4, unique_by=lambda each: each.toy_id).map(tuple)
overrides = st.dictionaries(st.sampled_from(("a", "b", "c", "d")), override)
patterns = st.builds(
    Pattern,
    values=st.lists(st.integers(0, 20), min_size=1, max_size=50).map(tuple),
    interval_ms=st.integers(101, 1000),
)
seconds = st.integers(1, 3600)
vibration = st.one_of(
    st.builds(level, st.integers(0, 20), seconds),
    st.builds(
        lambda name, strength, s: Vibration(VibrationType.PRESET, strength, s, name, None),
        st.sampled_from(PresetName),
        st.none() | st.integers(0, 20),
        seconds,
    ),
    st.builds(
        lambda pattern, s: Vibration(VibrationType.PATTERN, None, s, None, pattern),
        patterns,
        seconds,
    ),
)


def played_on(call: VendorCall, toys: tuple[Toy, ...]) -> list[tuple[Toy, str, float]]:
    """What the vendor makes of a call: toy, function, and the part of its range, 0..1. A preset
    may use all that a toy can do, to the full."""
    [given] = call.args
    reached = [
        each for each in toys if each.connected and given.get("toyId", each.toy_id) == each.toy_id
    ]
    played = []
    for each in reached:
        for name in each.functions or functions_of(each.toy_type):
            if call.method == "sendPresetCommand":
                played.append((each, name, 1.0))
            elif call.method == "sendPatternCommand" and given.get(name):
                part = max(int(value) for value in given["strength"].split(";")) / 20
                played.append((each, name, part))
            elif call.method == "sendToyCommand" and name in given:
                assert 0 <= given[name] <= RANGE_MAX[name]
                played.append((each, name, given[name] / RANGE_MAX[name]))
    return [(each, name, part) for each, name, part in played if part > 0]


@given(vibration, toys, overrides)
def test_no_call_does_what_an_owner_has_ruled_out(
    wanted: Vibration, toys: tuple[Toy, ...], set_by_owner: dict[str, DeviceOverride]
) -> None:
    fitted = viewer_call(wanted, apply_overrides(toys, set_by_owner))
    if fitted.call is None:
        assert fitted.reason is Reason.NO_TOY
        return
    assert fitted.call.args[0]["time"] >= 1.1, "the vendor reads 0 as for ever"
    assert fitted.seconds == fitted.call.args[0]["time"]
    for each, name, part in played_on(fitted.call, toys):
        limit = set_by_owner.get(each.toy_id, DeviceOverride())
        assert limit.enabled
        assert part <= limit.max_strength / 20 + 1e-9
        assert limit.functions is None or name in limit.functions


@given(vibration, toys, overrides)
def test_a_toy_that_may_play_makes_a_target_of_its_owner(
    wanted: Vibration, toys: tuple[Toy, ...], set_by_owner: dict[str, DeviceOverride]
) -> None:
    """Unless its ranges are too coarse for the limit, or the toys' limits leave nothing in
    common."""
    known = apply_overrides(toys, set_by_owner)
    usable = [each for each in known if each.usable]
    call = viewer_call(wanted, known).call
    assert call is None or usable
    fine = len(usable) == 1 and {"pump", "depth"}.isdisjoint(
        usable[0].functions or functions_of(usable[0].toy_type)
    )
    if fine:
        assert call is not None


@given(vibration, toys)
def test_without_limits_the_call_is_as_it_was(wanted: Vibration, toys: tuple[Toy, ...]) -> None:
    free = {each.toy_id: DeviceOverride() for each in toys}
    assert viewer_call(wanted, apply_overrides(toys, free)) == viewer_call(wanted, toys)


def connected(toy_id: str, toy_type: str = "lush", **more: Any) -> Toy:
    plain = Toy(toy_id, toy_type, toy_type, "", connected=True, battery=None)
    return msgspec.structs.replace(plain, **more)


def call_of(wanted: Vibration, *toys: Toy, **limits: DeviceOverride) -> Any:
    call = viewer_call(wanted, apply_overrides(toys, limits)).call
    return None if call is None else (call.method, call.args[0])


def test_a_limit_that_three_steps_cannot_express_leaves_the_pump_out() -> None:
    assert call_of(level(20, 5), connected("a", "max"), a=DeviceOverride(max_strength=6)) == (
        "sendToyCommand",
        {"vibrate": 6, "pump": 0, "time": 5.0},
    )


def test_a_level_stands_in_for_a_preset_that_may_not_go_to_the_full() -> None:
    wave = Vibration(VibrationType.PRESET, 8, 5, PresetName.WAVE, None)
    assert call_of(wave, connected("a"), a=DeviceOverride(max_strength=5)) == (
        "sendToyCommand",
        {"vibrate": 5, "time": 5.0},
    )
    fitted = viewer_call(wave, apply_overrides((connected("a"),), {"a": DeviceOverride(5)}))
    assert (fitted.fit.kind, fitted.fit.strength_difference) == ("nearest", 3)


def test_a_pattern_is_cut_at_the_limit() -> None:
    pattern = Vibration(VibrationType.PATTERN, None, 5, None, Pattern((2, 20, 9), 200))
    method, arguments = call_of(pattern, connected("a"), a=DeviceOverride(max_strength=9))
    assert (method, arguments["strength"]) == ("sendPatternCommand", "2;9;9")


def test_a_toy_that_is_off_is_not_reached_by_the_others_call() -> None:
    off = DeviceOverride(enabled=False)
    assert call_of(level(4, 5), connected("a"), connected("b"), a=off) == (
        "sendToyCommand",
        {"vibrate": 4, "time": 5.0, "toyId": "b"},
    )
    assert call_of(level(4, 5), connected("a"), a=off) is None


def test_only_what_was_loosened_goes_on() -> None:
    limit = {"a": DeviceOverride(10, functions=("vibrate",))}
    assert is_tighter(limit, {})
    assert is_tighter({"a": DeviceOverride(5, functions=("vibrate",))}, limit)
    assert is_tighter({"a": DeviceOverride(10, enabled=False, functions=("vibrate",))}, limit)
    assert is_tighter({"a": DeviceOverride(10, functions=("rotate",))}, limit)
    assert not is_tighter(limit, limit)
    assert not is_tighter({}, limit)
    assert not is_tighter({"a": DeviceOverride(11)}, limit)


def test_lost_is_what_was_connected() -> None:
    a, b = connected("a"), connected("b")
    off = msgspec.structs.replace(a, connected=False)
    assert lost_toys((a, b), (off,)) == [a, b]
    assert lost_toys((off,), ()) == []
    assert lost_toys((a,), (a, b)) == []


def test_one_toy_of_one_owner_is_one_device() -> None:
    assert device_id_of("ann", "toy") == device_id_of("ann", "toy")
    assert len({device_id_of(o, t) for o in ("ann", "zoe") for t in ("a", "b")}) == 4
