"""What a viewer's page may show: the whole truth table, and preferences behind hidden toggles."""

from itertools import product

import pytest

from protocol.errors import ErrorCode, Refusal
from protocol.gating import Gates, Preferences, gates, set_preferences
from protocol.tip_activated import MembershipTier, ViewerSyncMode

BOOLS = (False, True)
WISHES = (None, False, True)


@pytest.mark.parametrize(
    ("mode", "connected", "vip", "react_shown", "feel_shown"),
    [
        ("OFF", False, False, False, False),
        ("OFF", False, True, False, False),
        ("OFF", True, False, False, False),
        ("OFF", True, True, False, False),
        ("SHARED_MOMENT", False, False, False, False),
        ("SHARED_MOMENT", False, True, False, False),
        ("SHARED_MOMENT", True, False, True, False),
        ("SHARED_MOMENT", True, True, True, False),
        ("VIP_ROOM_SYNC", False, False, False, False),
        ("VIP_ROOM_SYNC", False, True, False, False),
        ("VIP_ROOM_SYNC", True, False, True, False),
        ("VIP_ROOM_SYNC", True, True, True, True),
    ],
)
def test_gates(mode: str, connected: bool, vip: bool, react_shown: bool, feel_shown: bool) -> None:
    for tier in MembershipTier:
        if (tier != "FREE") is vip:
            shown = gates(connected, ViewerSyncMode(mode), tier)
            assert shown == Gates(react_to_my_tips=react_shown, feel_all_tips=feel_shown)


@pytest.mark.parametrize("current", [Preferences(*each) for each in product(BOOLS, BOOLS)])
@pytest.mark.parametrize("shown", [Gates(*each) for each in product(BOOLS, BOOLS)])
@pytest.mark.parametrize(("react", "feel"), list(product(WISHES, WISHES)))
def test_preferences(
    current: Preferences, shown: Gates, react: bool | None, feel: bool | None
) -> None:
    result = set_preferences(current, shown, react, feel)
    if react is not None and not shown.react_to_my_tips:
        assert result == Refusal(ErrorCode.PREFERENCE_HIDDEN, "reactToMyTips")
    elif feel is not None and not shown.feel_all_tips:
        assert result == Refusal(ErrorCode.PREFERENCE_HIDDEN, "feelAllTips")
    else:
        assert isinstance(result, Preferences)
        assert result.react_to_my_tips is (current.react_to_my_tips if react is None else react)
        assert result.feel_all_tips is (current.feel_all_tips if feel is None else feel)


def test_nothing_changes_where_one_of_two_is_hidden() -> None:
    """The allowed one is not set either: the answer is a refusal, not half a change."""
    current = Preferences(react_to_my_tips=False, feel_all_tips=False)
    shown = gates(True, ViewerSyncMode.SHARED_MOMENT, MembershipTier.VIP_GOLD)
    assert isinstance(set_preferences(current, shown, True, True), Refusal)


def test_preferences_are_off_until_a_viewer_wants_them() -> None:
    assert Preferences() == Preferences(react_to_my_tips=False, feel_all_tips=False)
