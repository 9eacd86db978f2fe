"""Settings: defaults as specified, changes whole or refused, and what a change was."""

from typing import Any

import msgspec
import pytest

from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import LovenseMode, ViewerSyncMode
from protocol.toy_settings import (
    ModelSettings,
    PlatformSettings,
    change_model,
    change_platform,
    difference,
)
from protocol.vibration import PresetName

PLATFORM = PlatformSettings()
MODEL = ModelSettings()


def test_defaults_are_the_specified_ones() -> None:
    assert msgspec.to_builtins(PLATFORM) == {
        "enableLovense": False,
        "lovenseCamSiteName": "XXXChatNow",
        "lovenseMaxActivationDuration": 30,
        "lovenseDefaultIntensity": 10,
        "lovenseRateLimitPerMin": 30,
        "lovenseQueueMode": "fifo",
        "lovenseEnableAutoConnect": True,
        "lovenseMinTipForActivation": 10,
        "lovenseRequireTipMenu": False,
        "lovenseLogActivations": True,
    }
    assert MODEL.lovense_mode is LovenseMode.EXTENSION
    assert MODEL.viewer_sync_mode is ViewerSyncMode.OFF


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, PlatformSettings()),
        ({"enableLovense": True}, PlatformSettings(enable_lovense=True)),
        (
            {"lovenseMaxActivationDuration": 1, "lovenseDefaultIntensity": 20},
            PlatformSettings(lovense_max_activation_duration=1, lovense_default_intensity=20),
        ),
        ({"lovenseQueueMode": "fifo"}, PlatformSettings()),
        ({"lovenseRateLimitPerMin": 600}, PlatformSettings(lovense_rate_limit_per_min=600)),
    ],
)
def test_platform_change(change: dict[str, Any], expected: PlatformSettings) -> None:
    assert change_platform(PLATFORM, change) == expected


def test_change_leaves_the_rest_as_it_was() -> None:
    before = PlatformSettings(enable_lovense=True, lovense_default_intensity=3)
    after = change_platform(before, {"lovenseMinTipForActivation": 50})
    assert after == PlatformSettings(
        enable_lovense=True, lovense_default_intensity=3, lovense_min_tip_for_activation=50
    )


def test_model_change() -> None:
    change = {
        "lovenseMode": "CAM_KIT",
        "viewerSyncMode": "VIP_ROOM_SYNC",
        "defaultPreset": "wave",
        "tipThreshold": 25,
    }
    changed = change_model(MODEL, change)
    assert changed == ModelSettings(
        lovense_mode=LovenseMode.CAM_KIT,
        viewer_sync_mode=ViewerSyncMode.VIP_ROOM_SYNC,
        default_preset=PresetName.WAVE,
        tip_threshold=25,
    )
    back = {"defaultPreset": None, "tipThreshold": None}
    assert change_model(changed, back) == ModelSettings(
        lovense_mode=LovenseMode.CAM_KIT, viewer_sync_mode=ViewerSyncMode.VIP_ROOM_SYNC
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enableLovense", 1),
        ("enableLovense", "true"),
        ("enableLovense", None),
        ("lovenseMaxActivationDuration", 0),
        ("lovenseMaxActivationDuration", 3601),
        ("lovenseMaxActivationDuration", 30.0),
        ("lovenseMaxActivationDuration", "30"),
        ("lovenseDefaultIntensity", 0),
        ("lovenseDefaultIntensity", 21),
        ("lovenseDefaultIntensity", True),
        ("lovenseRateLimitPerMin", 0),
        ("lovenseRateLimitPerMin", 601),
        ("lovenseQueueMode", "lifo"),
        ("lovenseQueueMode", []),
        ("lovenseMinTipForActivation", 0),
        ("lovenseMinTipForActivation", 100_000),
        ("lovenseCamSiteName", "elsewhere"),
        ("lovenseCamSiteName", "XXXChatNow"),
    ],
)
def test_bad_platform_value_is_refused_by_name(name: str, value: Any) -> None:
    refusals = change_platform(PLATFORM, {"lovenseLogActivations": False, name: value})
    assert isinstance(refusals, list)
    assert [(each.code, each.field) for each in refusals] == [(ErrorCode.INVALID_FIELD, name)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lovenseMode", "BASIC_SDK"),
        ("lovenseMode", None),
        ("viewerSyncMode", "ON"),
        ("defaultPreset", "twowaves"),
        ("tipThreshold", 0),
        ("tipMenuEnabled", "no"),
    ],
)
def test_bad_model_value_is_refused_by_name(name: str, value: Any) -> None:
    refusals = change_model(MODEL, {name: value})
    assert isinstance(refusals, list)
    assert [(each.code, each.field) for each in refusals] == [(ErrorCode.INVALID_FIELD, name)]


def test_every_bad_field_is_named_at_once() -> None:
    refusals = change_platform(
        PLATFORM,
        {"lovenseDefaultIntensity": 99, "enableLovense": True, "lovenseRateLimitPerMin": -1},
    )
    assert isinstance(refusals, list)
    assert {each.field for each in refusals} == {
        "lovenseDefaultIntensity",
        "lovenseRateLimitPerMin",
    }


@pytest.mark.parametrize("name", ["lovenseMode", "enable_lovense", "noSuchSetting"])
def test_unknown_setting_is_refused_and_named(name: str) -> None:
    """The model's settings are unknown to the platform: neither reaches into the other."""
    refusals = change_platform(PLATFORM, {name: True})
    assert refusals == [Refusal(ErrorCode.SETTING_UNKNOWN, name)]


@pytest.mark.parametrize("name", ["", "<script>", "a" * 65, "a b", "a\x00"])
def test_unknown_setting_that_is_no_name_is_not_quoted(name: str) -> None:
    assert change_platform(PLATFORM, {name: True}) == [Refusal(ErrorCode.SETTING_UNKNOWN)]


def test_kill_switch_is_no_setting_of_a_model() -> None:
    refusals = change_model(MODEL, {"enableLovense": True})
    assert isinstance(refusals, list)
    assert refusals[0].code is ErrorCode.SETTING_UNKNOWN


def test_difference_names_what_changed_with_old_and_new() -> None:
    after = change_model(MODEL, {"viewerSyncMode": "SHARED_MOMENT", "autoConnect": False})
    assert isinstance(after, ModelSettings)
    assert difference(MODEL, after) == {
        "viewerSyncMode": ("OFF", "SHARED_MOMENT"),
        "autoConnect": (True, False),
    }
    assert difference(after, after) == {}
