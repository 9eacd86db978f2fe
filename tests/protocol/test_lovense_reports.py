"""What pages report of toys and of the model's settings: loose types in, strict values out."""

import math
from typing import Any

import msgspec
import pytest

from protocol.lovense import (
    Level,
    LevelMap,
    ReportedSettings,
    ReportedToy,
    Special,
    Toy,
    read_level_map,
    read_toys,
    viewer_call,
)
from protocol.tip_activated import AMOUNT_MAX
from protocol.vibration import level

# ---- the model's settings as they are reported -----------------------------------------------


def read(settings: Any) -> LevelMap | None:
    return read_level_map(msgspec.convert(settings, ReportedSettings))


LEVEL1 = {"min": 3, "max": 10, "time": 5, "rLevel": 0, "vLevel": 8}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"min": "3", "max": "10", "time": "5", "rLevel": "0", "vLevel": "8"},
        {"min": 3.0, "max": 10.0, "time": 5.0, "vLevel": 8.0},
        {"min": " 3 ", "vLevel": " 8"},
        {"min": 2.2, "max": 10.9},
        {"unheard": {"of": [1]}},
    ],
)
def test_level_is_read_whatever_its_types(change: dict[str, Any]) -> None:
    assert read({"levels": {"level1": LEVEL1 | change}}) == LevelMap(
        (Level("level1", 3, 10, 8, 5),), ()
    )


@pytest.mark.parametrize("highest", ["infinity", "Infinity", None, 100_000, "1e300", math.inf])
def test_level_without_an_upper_end_ends_at_the_largest_tip(highest: Any) -> None:
    level_map = read({"levels": {"level1": LEVEL1 | {"max": highest}}})
    assert level_map is not None
    assert level_map.levels[0].amount_max == AMOUNT_MAX


@pytest.mark.parametrize(
    "change",
    [
        {"min": None},
        {"min": "three"},
        {"min": math.nan},
        {"min": 11},
        {"min": 100_000, "max": None},
        {"min": 3.2, "max": 3.8},
        {"max": "ten"},
        {"max": []},
        {"max": -1},
        {"max": True},
        {"time": None},
        {"time": 0},
        {"time": "0"},
        {"time": -5},
        {"time": math.inf},
        {"time": "infinity"},
        {"time": "nan"},
        {"time": 3601},
        {"time": 10**400},
        {"time": {"s": 5}},
        {"vLevel": 0},
        {"vLevel": 0.4},
        {"vLevel": 21},
        {"vLevel": None},
        {"vLevel": True},
        {"vLevel": "strong"},
    ],
    ids=lambda change: ascii(change)[:30],
)
def test_level_that_cannot_be_used_is_left_out(change: dict[str, Any]) -> None:
    assert read({"levels": {"level1": LEVEL1 | change}}) is None
    both = read({"levels": {"level1": LEVEL1 | change, "level2": LEVEL1}})
    assert both == LevelMap((Level("level2", 3, 10, 8, 5),), ())


@pytest.mark.parametrize(
    ("raw", "special"),
    [
        ({"enable": True, "time": "22", "token": "120"}, Special("wave", 120, 22)),
        ({"enable": "true", "time": 22, "token": 120}, Special("wave", 120, 22)),
        ({"enable": 1, "token": 120}, Special("wave", 120, None)),
        ({"time": "22", "token": "120"}, Special("wave", 120, 22)),
        ({"token": 120, "time": 0}, Special("wave", 120, None)),
        ({"token": 120, "time": "soon"}, Special("wave", 120, None)),
        ({"token": 120, "control": {"who": ["anyone"]}}, Special("wave", 120, None)),
        ({"enable": False, "time": "22", "token": "120"}, None),
        ({"enable": "false", "token": "120"}, None),
        ({"enable": 0, "token": "120"}, None),
        ({"enable": None, "token": "120"}, None),
        ({"enable": {}, "token": "120"}, None),
        ({"time": "22"}, None),
        ({"token": 0}, None),
        ({"token": "0.5"}, None),
        ({"token": 120.5}, None),
        ({"token": 100_000}, None),
        ({"token": "many"}, None),
    ],
)
def test_special(raw: dict[str, Any], special: Special | None) -> None:
    expected = None if special is None else LevelMap((), (special,))
    assert read({"special": {"wave": raw}}) == expected


def test_empty_settings_are_no_settings() -> None:
    assert read({}) is None
    assert read({"levels": {}, "special": {}}) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"levels": {f"level{i}": LEVEL1 for i in range(65)}},
        {"levels": {"level1": {f"field{i}": 1 for i in range(33)}}},
        {"levels": {"x" * 65: LEVEL1}},
        {"special": {"nul\x00": {"token": 1}}},
        {"levels": [LEVEL1]},
        {"levels": {"level1": 5}},
    ],
    ids=["levels", "fields", "name", "NUL", "list", "number"],
)
def test_report_out_of_bounds_is_refused(settings: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, ReportedSettings)


# ---- toys as they are reported ---------------------------------------------------------------


def toy(**reported: Any) -> Toy:
    (found,) = read_toys((msgspec.convert({"id": "t1", **reported}, ReportedToy),))
    return found


def test_toy_of_each_integration() -> None:
    assert toy(name="Lush", type="lush", status="on", version="30", battery="80") == Toy(
        "t1", "Lush", "lush", "", connected=True, battery=80, firmware="30"
    )
    assert toy(name="nora", type="Nora", nickName="N", status=1, battery=100) == Toy(
        "t1", "nora", "nora", "N", connected=True, battery=100
    )
    assert toy(
        name="Max 2", toyType="max", nickname="M", hVersion="2", fVersion=300, connected=True
    ) == Toy("t1", "Max 2", "max", "M", connected=True, battery=None, firmware="300")
    assert toy() == Toy("t1", "t1", "", "", connected=False, battery=None)


@pytest.mark.parametrize("value", [1, 1.0, "1", "on", "ON", " on ", True, "true", "True"])
def test_spellings_of_connected(value: Any) -> None:
    assert toy(status=value).connected
    assert toy(connected=value, status="off").connected


@pytest.mark.parametrize("value", [0, "0", "off", False, "false", None, "", 2, -1, "perhaps"])
def test_spellings_of_not_connected(value: Any) -> None:
    assert not toy(status=value).connected


def test_flag_named_connected_is_believed_before_status() -> None:
    assert not toy(connected=False, status="on").connected


@pytest.mark.parametrize(
    ("battery", "percent"),
    [
        (0, 0),
        ("80", 80),
        (99.9, 99),
        (-1, None),
        (101, None),
        ("full", None),
        (True, None),
        ("nan", None),
        ("inf", None),
        (10**400, None),
        (1e308, None),
        (None, None),
    ],
    ids=lambda value: ascii(value)[:10],
)
def test_battery(battery: Any, percent: int | None) -> None:
    assert toy(battery=battery).battery == percent


def test_reported_functions_come_before_the_types() -> None:
    reported = toy(toyType="lush", fullFunctionNames=["Rotate", "Vibrate", "Position", "Levitate"])
    assert reported.functions == ("vibrate", "rotate")
    call = viewer_call(level(10, 5), (msgspec.structs.replace(reported, connected=True),)).call
    assert call is not None
    assert call.args == ({"vibrate": 10, "rotate": 10, "time": 5},)
