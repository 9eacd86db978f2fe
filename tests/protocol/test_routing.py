"""Whose toys one tip reaches: the specification's table in full, and what holds for any room."""

from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.audit import Reason
from protocol.routing import RoomSnapshot, ViewerFlags, recheck, route
from protocol.tip_activated import (
    MembershipTier,
    ModelToy,
    Target,
    TipperToy,
    ViewerSyncMode,
    VipViewerToy,
)

BOOLS = (False, True)
MODEL = ModelToy("model")


def viewer(
    user_id: str = "tipper",
    tier: MembershipTier = MembershipTier.VIP_GOLD,
    *,
    toy: bool = True,
    react: bool = True,
    feel: bool = True,
) -> ViewerFlags:
    return ViewerFlags(user_id, tier, toy, react, feel)


def room(
    *viewers: ViewerFlags,
    mode: ViewerSyncMode = ViewerSyncMode.VIP_ROOM_SYNC,
    enabled: bool = True,
    model_present: bool = True,
    model_toy: bool = True,
) -> RoomSnapshot:
    return RoomSnapshot(
        enable_lovense=enabled,
        model_id="model",
        model_present=model_present,
        model_toy_connected=model_toy,
        viewer_sync_mode=mode,
        viewers={each.user_id: each for each in viewers},
    )


# ---- the table -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(ViewerSyncMode))
@pytest.mark.parametrize("tier", list(MembershipTier))
@pytest.mark.parametrize(("toy", "react", "feel"), list(product(BOOLS, repeat=3)))
def test_tipper_alone(
    mode: ViewerSyncMode, tier: MembershipTier, toy: bool, react: bool, feel: bool
) -> None:
    tipper = viewer("tipper", tier, toy=toy, react=react, feel=feel)
    expected: list[Target] = [MODEL]
    if mode != "OFF" and toy and react:
        expected.append(TipperToy("tipper"))
    elif mode == "VIP_ROOM_SYNC" and tier != "FREE" and toy and feel:
        expected.append(VipViewerToy("tipper"))
    assert route(room(tipper, mode=mode), tipper, has_vibration=True).targets == tuple(expected)


@pytest.mark.parametrize("mode", list(ViewerSyncMode))
@pytest.mark.parametrize("tier", list(MembershipTier))
@pytest.mark.parametrize(("toy", "react", "feel"), list(product(BOOLS, repeat=3)))
def test_another_viewer(
    mode: ViewerSyncMode, tier: MembershipTier, toy: bool, react: bool, feel: bool
) -> None:
    tipper = viewer("tipper", MembershipTier.FREE, toy=False)
    other = viewer("other", tier, toy=toy, react=react, feel=feel)
    expected: list[Target] = [MODEL]
    if mode == "VIP_ROOM_SYNC" and tier != "FREE" and toy and feel:
        expected.append(VipViewerToy("other"))
    decision = route(room(tipper, other, mode=mode), tipper, has_vibration=True)
    assert decision.targets == tuple(expected)
    assert decision.reason is None


@pytest.mark.parametrize("mode", list(ViewerSyncMode))
@pytest.mark.parametrize(
    ("enabled", "has_vibration", "reason"),
    [
        (False, True, Reason.LOVENSE_DISABLED),
        (False, False, Reason.LOVENSE_DISABLED),
        (True, False, Reason.NO_VIBRATION),
    ],
)
def test_nobody_without_kill_switch_or_vibration(
    mode: ViewerSyncMode, enabled: bool, has_vibration: bool, reason: Reason
) -> None:
    tipper = viewer()
    decision = route(
        room(tipper, viewer("other"), mode=mode, enabled=enabled), tipper, has_vibration
    )
    assert decision.targets == ()
    assert decision.reason is reason


def test_vip_viewers_come_last_ordered_by_user_id() -> None:
    tipper = viewer("m")
    everyone = [viewer(user_id) for user_id in ("z", "a", "m", "B", "10", "9")]
    assert route(room(*everyone), tipper, has_vibration=True).targets == (
        MODEL,
        TipperToy("m"),
        *(VipViewerToy(user_id) for user_id in ("10", "9", "B", "a", "z")),
    )


def test_tipper_who_only_feels_all_tips_takes_his_place_among_the_vips() -> None:
    tipper = viewer("m", react=False)
    decision = route(room(viewer("a"), tipper, viewer("z")), tipper, has_vibration=True)
    assert decision.targets == (MODEL, VipViewerToy("a"), VipViewerToy("m"), VipViewerToy("z"))


def test_flags_of_the_tip_count_for_the_tipper_not_those_of_the_room() -> None:
    """One snapshot: the flags that go into the event are the ones that route."""
    stale = viewer("tipper", toy=False)
    assert route(room(stale), viewer(), has_vibration=True).targets == (MODEL, TipperToy("tipper"))
    decision = route(room(viewer()), stale, has_vibration=True)
    assert decision.targets == (MODEL,)


def test_model_is_a_target_even_where_she_is_away() -> None:
    """Whether she can be reached is found out, and audited, at dispatch."""
    away = room(model_present=False, model_toy=False)
    assert route(away, viewer(toy=False), has_vibration=True).targets == (MODEL,)


# ---- the check again at dispatch -------------------------------------------------------------

TIPPER, VIP = TipperToy("tipper"), VipViewerToy("tipper")
OFF, SHARED, VIP_SYNC = ViewerSyncMode
FREE = MembershipTier.FREE


@pytest.mark.parametrize(
    ("target", "snapshot", "reason"),
    [
        (MODEL, room(), None),
        (MODEL, room(mode=OFF), None),
        (MODEL, room(enabled=False), Reason.LOVENSE_DISABLED),
        (MODEL, room(model_present=False), Reason.NOT_PRESENT),
        (MODEL, room(model_present=False, model_toy=False), Reason.NOT_PRESENT),
        (MODEL, room(model_toy=False), Reason.NO_TOY),
        (TIPPER, room(viewer()), None),
        (TIPPER, room(viewer(), mode=SHARED), None),
        (TIPPER, room(viewer(tier=FREE, feel=False)), None),
        (TIPPER, room(viewer(), enabled=False), Reason.LOVENSE_DISABLED),
        (TIPPER, room(viewer(), mode=OFF), Reason.SYNC_MODE_CHANGED),
        (TIPPER, room(), Reason.NOT_PRESENT),
        (TIPPER, room(viewer("other")), Reason.NOT_PRESENT),
        (TIPPER, room(viewer(toy=False)), Reason.NO_TOY),
        (TIPPER, room(viewer(react=False)), Reason.OPTED_OUT),
        (VIP, room(viewer()), None),
        (VIP, room(viewer(react=False)), None),
        (VIP, room(viewer(), enabled=False), Reason.LOVENSE_DISABLED),
        (VIP, room(viewer(), mode=OFF), Reason.SYNC_MODE_CHANGED),
        (VIP, room(viewer(), mode=SHARED), Reason.SYNC_MODE_CHANGED),
        (VIP, room(), Reason.NOT_PRESENT),
        (VIP, room(viewer(toy=False)), Reason.NO_TOY),
        (VIP, room(viewer(feel=False)), Reason.OPTED_OUT),
        (VIP, room(viewer(tier=FREE)), Reason.NOT_VIP),
    ],
)
def test_recheck(target: Target, snapshot: RoomSnapshot, reason: Reason | None) -> None:
    assert recheck(target, snapshot) is reason


# ---- for any room ----------------------------------------------------------------------------

user_ids = st.text("abcxyz019", min_size=1, max_size=3)
viewers = st.builds(
    ViewerFlags,
    user_ids,
    st.sampled_from(MembershipTier),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
rooms = st.builds(
    room,
    mode=st.sampled_from(ViewerSyncMode),
    enabled=st.booleans(),
    model_present=st.booleans(),
    model_toy=st.booleans(),
)


@st.composite
def filled_rooms(draw: st.DrawFn) -> RoomSnapshot:
    present = draw(st.lists(viewers, max_size=12, unique_by=lambda each: each.user_id))
    return msgspec.structs.replace(draw(rooms), viewers={each.user_id: each for each in present})


@given(filled_rooms(), viewers, st.booleans())
def test_order_uniqueness_and_eligibility(
    snapshot: RoomSnapshot, tipper: ViewerFlags, has_vibration: bool
) -> None:
    targets = route(snapshot, tipper, has_vibration).targets
    assert bool(targets) is (snapshot.enable_lovense and has_vibration)
    if not targets:
        return
    assert targets[0] == MODEL
    users = [each.user_id for each in targets[1:] if not isinstance(each, ModelToy)]
    assert len(users) == len(targets) - 1, "one model toy"
    assert len(set(users)) == len(users), "each user at most once"
    vips = [each.user_id for each in targets if isinstance(each, VipViewerToy)]
    assert vips == sorted(vips)
    assert users[len(users) - len(vips) :] == vips, "the tipper before the VIPs"
    everyone = {**snapshot.viewers, tipper.user_id: tipper}
    for target in targets[1:]:
        flags = everyone[target.owner_id]
        assert flags.toy_connected
        assert snapshot.viewer_sync_mode != "OFF"
        if isinstance(target, TipperToy):
            assert target.user_id == tipper.user_id
            assert flags.react_to_my_tips
        else:
            assert snapshot.viewer_sync_mode == "VIP_ROOM_SYNC"
            assert flags.feel_all_tips
            assert flags.tier != "FREE"


@given(filled_rooms(), st.data())
def test_nothing_changed_means_nothing_skipped(snapshot: RoomSnapshot, data: st.DataObject) -> None:
    """The recheck refuses no viewer whom the very same room routed to."""
    if not snapshot.viewers:
        return
    tipper = data.draw(st.sampled_from(list(snapshot.viewers.values())))
    for target in route(snapshot, tipper, has_vibration=True).targets[1:]:
        assert recheck(target, snapshot) is None


@given(filled_rooms(), filled_rooms(), viewers)
def test_recheck_passes_only_whom_the_later_room_would_reach_too(
    before: RoomSnapshot, after: RoomSnapshot, tipper: ViewerFlags
) -> None:
    """It never adds: who passes was a target, and is eligible in the room as it is now."""
    for target in route(before, tipper, has_vibration=True).targets:
        if recheck(target, after) is not None:
            continue
        if isinstance(target, ModelToy):
            assert after.enable_lovense
            assert after.model_present
            assert after.model_toy_connected
        else:
            now = after.viewers[target.user_id]
            reached = route(after, now, has_vibration=True).targets
            assert target.user_id in {each.owner_id for each in reached[1:]}
            if isinstance(target, VipViewerToy):
                others = route(after, viewer("someone-else"), has_vibration=True).targets
                assert target in others
