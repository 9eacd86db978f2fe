"""Which toggles a viewer's page may show, and which preferences it may set (spec 1)."""

import msgspec

from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import MembershipTier, ViewerSyncMode


class Gates(msgspec.Struct, frozen=True, rename="camel"):
    """Which toggles show. "Connect Your Lovense" and the connection state always do."""

    react_to_my_tips: bool
    feel_all_tips: bool


class Preferences(msgspec.Struct, frozen=True, rename="camel"):
    """A viewer's own wishes; they persist."""

    react_to_my_tips: bool = False
    feel_all_tips: bool = False


def gates(toy_connected: bool, mode: ViewerSyncMode, tier: MembershipTier) -> Gates:
    """What this viewer may see now; sent whenever one of the inputs changes."""
    return Gates(
        react_to_my_tips=toy_connected and mode is not ViewerSyncMode.OFF,
        feel_all_tips=toy_connected and mode is ViewerSyncMode.VIP_ROOM_SYNC and tier.is_vip,
    )


def set_preferences(
    current: Preferences,
    shown: Gates,
    react_to_my_tips: bool | None,
    feel_all_tips: bool | None,
) -> Preferences | Refusal:
    """The preferences after a change; None leaves one as it is. A preference whose toggle is
    hidden is refused, and then nothing changes, not even the other one."""
    for field, wanted, visible in (
        ("reactToMyTips", react_to_my_tips, shown.react_to_my_tips),
        ("feelAllTips", feel_all_tips, shown.feel_all_tips),
    ):
        if wanted is not None and not visible:
            return Refusal(ErrorCode.PREFERENCE_HIDDEN, field)
    return Preferences(
        current.react_to_my_tips if react_to_my_tips is None else react_to_my_tips,
        current.feel_all_tips if feel_all_tips is None else feel_all_tips,
    )
