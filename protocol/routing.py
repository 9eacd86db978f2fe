"""Whose toys one tip reaches: one pure function, and the check again at dispatch (spec 1).

Targets come in the order MODEL_TOY, TIPPER_TOY, VIP_VIEWER_TOY (by userId), each user at most
once. They are fixed from one snapshot of the room, taken as the settlement is submitted; what no
longer holds when the turn comes is skipped with its reason, and nothing is ever added.
"""

from collections.abc import Mapping
from typing import assert_never

import msgspec

from protocol.audit import Reason
from protocol.tip_activated import (
    MembershipTier,
    ModelToy,
    Target,
    TipperToy,
    ViewerSyncMode,
    VipViewerToy,
)


class ViewerFlags(msgspec.Struct, frozen=True):
    """One viewer in the room. `toy_connected` is the session's, the other two persist."""

    user_id: str
    tier: MembershipTier
    toy_connected: bool
    react_to_my_tips: bool
    feel_all_tips: bool
    stopped: bool = False
    """The viewer has stopped the own toy, and not resumed yet."""


class RoomSnapshot(msgspec.Struct, frozen=True):
    """What routing looks at. `viewers`: everyone present, by userId."""

    enable_lovense: bool
    model_id: str
    model_present: bool
    model_toy_connected: bool
    viewer_sync_mode: ViewerSyncMode
    viewers: Mapping[str, ViewerFlags]


class RoutingDecision(msgspec.Struct, frozen=True):
    """The targets; `reason` says why there are none."""

    targets: tuple[Target, ...]
    reason: Reason | None = None


def route(room: RoomSnapshot, tipper: ViewerFlags, has_vibration: bool) -> RoutingDecision:
    """The targets of one tip. `tipper` counts also when he is not present (a tip over HTTP)."""
    if not room.enable_lovense:
        return RoutingDecision((), Reason.LOVENSE_DISABLED)
    if not has_vibration:
        return RoutingDecision((), Reason.NO_VIBRATION)
    targets: list[Target] = [ModelToy(room.model_id)]
    reached: set[str] = set()
    if room.viewer_sync_mode is not ViewerSyncMode.OFF and _reacts_to_own_tips(tipper):
        targets.append(TipperToy(tipper.user_id))
        reached.add(tipper.user_id)
    if room.viewer_sync_mode is ViewerSyncMode.VIP_ROOM_SYNC:
        everyone = {**room.viewers, tipper.user_id: tipper}
        feeling = {user_id for user_id, viewer in everyone.items() if _feels_all_tips(viewer)}
        targets.extend(VipViewerToy(user_id) for user_id in sorted(feeling - reached))
    return RoutingDecision(tuple(targets))


def recheck(target: Target, room: RoomSnapshot) -> Reason | None:
    """Why `target` is not sent to after all, now that its turn has come; None where it is."""
    if not room.enable_lovense:
        return Reason.LOVENSE_DISABLED
    match target:
        case ModelToy():
            if not room.model_present:
                return Reason.NOT_PRESENT
            return None if room.model_toy_connected else Reason.NO_TOY
        case TipperToy(user_id):
            if room.viewer_sync_mode is ViewerSyncMode.OFF:
                return Reason.SYNC_MODE_CHANGED
            viewer = room.viewers.get(user_id)
            opted_in = viewer is not None and viewer.react_to_my_tips
        case VipViewerToy(user_id):
            if room.viewer_sync_mode is not ViewerSyncMode.VIP_ROOM_SYNC:
                return Reason.SYNC_MODE_CHANGED
            viewer = room.viewers.get(user_id)
            if viewer is not None and not viewer.tier.is_vip:
                return Reason.NOT_VIP
            opted_in = viewer is not None and viewer.feel_all_tips
        case _:
            assert_never(target)
    if viewer is None:
        return Reason.NOT_PRESENT
    if viewer.stopped:
        return Reason.STOPPED
    if not viewer.toy_connected:
        return Reason.NO_TOY
    return None if opted_in else Reason.OPTED_OUT


def _reacts_to_own_tips(viewer: ViewerFlags) -> bool:
    return viewer.toy_connected and viewer.react_to_my_tips


def _feels_all_tips(viewer: ViewerFlags) -> bool:
    return viewer.tier.is_vip and viewer.toy_connected and viewer.feel_all_tips
