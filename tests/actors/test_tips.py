"""A tip's way to the ledger and back, and what turns it away."""

from uuid import UUID

import pytest

from actors.room.messages import Activate, TipByRequest, TransferAnswered
from actors.transfers import Settled
from protocol import frames, tip_activated
from protocol.audit import Reason, TargetState
from protocol.errors import ErrorCode, Refusal
from protocol.gating import Preferences
from protocol.tip_activated import ModelToy, TipperToy, ViewerSyncMode, VipViewerToy
from protocol.tip_menu import TipMenuRow
from protocol.vibration import level
from tests.actors.ports import receipt_of
from tests.actors.rooms import (
    BROADCAST,
    FREE,
    GOLD,
    MODEL,
    ROOM,
    Inbox,
    SteppedRoom,
    events,
    record,
)

BOTH = Preferences(react_to_my_tips=True, feel_all_tips=True)


def test_what_is_settled_is_a_complete_event() -> None:
    row = TipMenuRow("row-1", 50, level(12, 7), "Wave for me", True, 0)
    room = SteppedRoom(record(sync=ViewerSyncMode.VIP_ROOM_SYNC, menu=(row,)))
    room.join_model()
    room.join_viewer(5, "ann", tier=GOLD, toy=True, preferences=BOTH)
    room.join_viewer(6, "zoe", tier=GOLD, toy=True, preferences=BOTH)
    room.join_viewer(7, "bob", toy=True, preferences=BOTH)
    room.tip(5, "tip-1")
    [settlement] = [effect.transfer for effect in room.settlements]
    event = settlement.event
    assert event is not None
    assert tip_activated.decode(tip_activated.encode(event)) == event
    assert settlement.unless_known is None
    assert (settlement.tip_id, settlement.room_id, settlement.broadcast_id) == (
        "tip-1",
        ROOM,
        BROADCAST,
    )
    assert (settlement.tipper_id, settlement.amount, settlement.model_tokens) == ("ann", 50, 25)
    assert settlement.revenue_ref is not None
    refs = [event.ledger.ledger_id, event.ledger.debit_ref, event.ledger.credit_ref]
    assert len({UUID(ref) for ref in refs} | {event.event_id, settlement.revenue_ref}) == 5
    assert event.ledger.source_ref == "tip:tip-1"
    assert event.timestamp == "2026-01-15T12:00:00-05:00"
    assert (event.item.item_id, event.item.item_name, event.item.bonus_points) == (
        "row-1",
        "Wave for me",
        5,
    )
    assert event.item.vibration == level(12, 7)
    assert event.viewer_sync.tipper_react_to_my_tips
    assert event.routing.targets == (ModelToy(MODEL), TipperToy("ann"), VipViewerToy("zoe"))


@pytest.mark.parametrize(("amount", "model_tokens", "platform"), [(1, 0, True), (3, 1, True)])
def test_rounding_goes_to_the_platform(amount: int, model_tokens: int, platform: bool) -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.tip(5, "tip-1", amount=amount)
    [settlement] = [effect.transfer for effect in room.settlements]
    assert settlement.model_tokens == model_tokens
    assert (settlement.revenue_ref is not None) is platform
    assert sum(room.books.balances.values()) == 1_000_000


def test_the_tipper_gets_a_receipt_and_the_new_balance_on_all_tabs() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.join_viewer(6, "ann")
    room.books.balances["ann"] = 80
    receipt = room.tip(5, "tip-1")
    assert receipt == frames.TipReceipt("tip-1", 50, 30, "Tip", "2026-01-15T12:00:00-05:00")
    for tab in (5, 6):
        assert room.frames_to(tab, frames.SelfChanged)[-1].self.balance == 30


def test_everyone_sees_the_public_notice_once() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.tip(5, "tip-1")
    room.tell(Activate(events(room)[0]))
    [notice] = [each for each in room.published if isinstance(each, frames.TipNotice)]
    assert (notice.username, notice.amount, notice.item_name) == ("Ann", 50, "Tip")


def test_a_repeat_is_answered_as_the_first_and_plays_nothing() -> None:
    room = SteppedRoom()
    page = room.join_model()
    room.join_viewer(5, "ann")
    first = room.tip(5, "tip-1")
    assert room.tip(5, "tip-1") == first
    assert len(room.commands(page)) == 1
    assert room.state.tips_at_ledger == 0


def test_the_same_id_for_another_tip_is_refused() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.tip(5, "tip-1")
    assert room.tip(5, "tip-1", amount=51).code is ErrorCode.TIP_CONFLICT


@pytest.mark.parametrize(
    ("live", "broadcast_id", "code"),
    [(True, "broadcast-0", ErrorCode.BROADCAST_STALE), (False, BROADCAST, ErrorCode.ROOM_OFFLINE)],
)
def test_a_tip_for_no_running_broadcast_asks_the_ledger_whether_it_is_known(
    live: bool, broadcast_id: str, code: ErrorCode
) -> None:
    room = SteppedRoom(record(live=live))
    room.join_viewer(5, "ann")
    assert room.tip(5, "tip-1", broadcast_id=broadcast_id).code is code
    [settlement] = [effect.transfer for effect in room.settlements]
    assert settlement.event is None
    assert settlement.unless_known is not None
    assert settlement.unless_known.code is code
    assert room.books.tips == {}


def test_a_settled_tip_is_answered_as_before_when_the_broadcast_is_over() -> None:
    room = SteppedRoom()
    page = room.join_model()
    room.join_viewer(5, "ann")
    first = room.tip(5, "tip-1")
    room.ask(page, frames.EndBroadcast)
    assert room.tip(5, "tip-1") == first


def test_a_model_may_not_tip_in_her_own_room() -> None:
    room = SteppedRoom()
    page = room.join_model()
    assert room.tip(page, "tip-1").code is ErrorCode.FORBIDDEN
    assert room.settlements == []


def test_sixty_purchases_a_minute_then_wait_as_told() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.join_viewer(6, "bob")
    for number in range(60):
        assert isinstance(room.tip(5, f"tip-{number}"), frames.TipReceipt)
        room.pass_s(0.5)
    refused = room.tip(5, "tip-60")
    assert (refused.code, refused.retry) == (ErrorCode.RATE_LIMITED, True)
    assert refused.retry_after_s == pytest.approx(30, abs=0.11)
    assert room.settlements[-1].transfer.event is None, "refused before settlement"
    repeat = room.tip(5, "tip-0")
    assert isinstance(repeat, frames.TipReceipt), "a tip that is settled is answered all the same"
    assert isinstance(room.tip(6, "tip-bob"), frames.TipReceipt), "each user for himself"
    room.pass_s(refused.retry_after_s)
    assert isinstance(room.tip(5, "tip-60"), frames.TipReceipt)
    assert room.tip(5, "tip-61").code is ErrorCode.RATE_LIMITED


def test_a_tip_over_http_goes_the_same_way() -> None:
    room = SteppedRoom()
    page = room.join_model()
    inbox = Inbox()
    room.tell(TipByRequest(inbox, "tip-1", BROADCAST, 50, "ann", "Ann", FREE))
    assert isinstance(inbox.only, frames.TipReceipt)
    assert len(room.commands(page)) == 1


def test_an_http_tip_of_someone_present_reaches_his_toy() -> None:
    room = SteppedRoom(record(sync=ViewerSyncMode.SHARED_MOMENT))
    room.join_viewer(5, "ann", toy=True, preferences=Preferences(react_to_my_tips=True))
    room.tell(TipByRequest(Inbox(), "tip-1", BROADCAST, 50, "ann", "Ann", FREE))
    assert events(room)[0].routing.targets == (ModelToy(MODEL), TipperToy("ann"))


def test_a_refusal_of_the_ledger_reaches_the_asker_and_nothing_plays() -> None:
    room = SteppedRoom()
    page = room.join_model()
    room.join_viewer(5, "ann")
    room.books.balances["ann"] = 10
    assert room.tip(5, "tip-1").code is ErrorCode.INSUFFICIENT_TOKENS
    assert room.commands(page) == []
    assert room.state.tips_at_ledger == 0


def test_an_unknown_outcome_is_told_as_one_that_may_be_asked_again() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.holds_answers = True
    room.tip(5, "tip-1")
    assert room.state.tips_at_ledger == 1
    [settle] = room.settlements
    outcome = Refusal(ErrorCode.LEDGER_UNAVAILABLE)
    room.tell(TransferAnswered("ann", settle.asker, outcome))
    error = room.frames_to(5, frames.Error)[-1]
    assert (error.code, error.retry) == (ErrorCode.LEDGER_UNAVAILABLE, True)
    assert room.state.tips_at_ledger == 0


def test_targets_are_those_of_the_moment_of_submission() -> None:
    room = SteppedRoom(record(sync=ViewerSyncMode.SHARED_MOMENT))
    room.join_viewer(5, "ann", toy=True, preferences=Preferences(react_to_my_tips=True))
    room.holds_answers = True
    room.tip(5, "tip-1")
    room.leave(5)
    event = room.settlements[0].transfer.event
    assert event is not None
    assert TipperToy("ann") in event.routing.targets


@pytest.mark.parametrize(
    ("platform", "amount", "reason"),
    [({"enable_lovense": False}, 50, "off"), ({}, 9, "below the minimum")],
)
def test_a_tip_without_targets_is_announced_audited_and_done(
    platform: dict[str, bool], amount: int, reason: str
) -> None:
    room = SteppedRoom(record(**platform))
    page = room.join_model()
    room.join_viewer(5, "ann")
    room.tip(5, "tip-1", amount=amount)
    assert events(room)[0].routing.targets == ()
    assert any(isinstance(each, frames.TipNotice) for each in room.published)
    why = Reason.LOVENSE_DISABLED if reason == "off" else Reason.NO_VIBRATION
    assert room.final("tip-1") == (TargetState.SKIPPED, why)
    assert room.finished == ["tip-1"]
    assert room.commands(page) == []


def test_a_repeat_learns_the_balance_of_the_first_time_and_nobody_elses_view_changes() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.tip(5, "tip-1")
    room.tip(5, "tip-2")
    seen = len(room.frames_to(5, frames.SelfChanged))
    event = events(room)[0]
    repeat = Settled(receipt_of(event, 999_950), first=False)
    inbox = Inbox()
    room.state.tips_at_ledger += 1
    room.tell(TransferAnswered("ann", inbox, repeat))
    assert inbox.only.balance == 999_950
    assert len(room.frames_to(5, frames.SelfChanged)) == seen
    assert room.state.viewers["ann"].balance == 999_900
