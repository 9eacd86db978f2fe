"""Purchases with escrow: what the room makes of a hold, and of its settlement later."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from actors.room.messages import (
    BalanceChanged,
    HoldByRequest,
    ModelRenamed,
    PurchaseByRequest,
    SettleHoldByRequest,
    TierRegistered,
    TipByRequest,
)
from actors.transfers import HoldState, NewHold, Posted, Settlement
from protocol import frames, tip_activated
from protocol.audit import Reason, TargetState
from protocol.errors import ErrorCode
from protocol.gating import Preferences
from protocol.tip_activated import (
    Item,
    ItemType,
    LovenseMode,
    MembershipTier,
    ModelToy,
    TipActivated,
    TipperToy,
    ViewerSyncMode,
)
from protocol.vibration import level
from tests.actors.ports import ESCROW, REVENUE
from tests.actors.rooms import (
    BROADCAST,
    FREE,
    GOLD,
    MODEL,
    ROOM,
    STARTED_AT_UTC,
    Inbox,
    SteppedRoom,
    events,
    record,
)

DANCE = Item(ItemType.MENU_ITEM, "dance", "Private dance", "A dance for one", level(12, 7), 31)
SHARED = ViewerSyncMode.SHARED_MOMENT


def hold(room: SteppedRoom, hold_id: str = "hold-1", amount: int = 100, **fields: Any) -> Any:
    """What the platform is answered."""
    inbox = Inbox()
    wanted = {"user_id": "ann", "item": DANCE, "expires_in_s": None} | fields
    room.tell(HoldByRequest(inbox, hold_id, amount=amount, **wanted))
    return inbox.only


def settle(
    room: SteppedRoom,
    hold_id: str = "hold-1",
    refund_tokens: int = 0,
    tier: MembershipTier = FREE,
) -> Any:
    inbox = Inbox()
    held = room.books.holds[hold_id]
    room.tell(SettleHoldByRequest(inbox, held, refund_tokens, "Ann", tier))
    return inbox.only


def only_event(room: SteppedRoom) -> TipActivated:
    [event] = events(room)
    assert tip_activated.decode(tip_activated.encode(event)) == event
    return event


# ---- holds -------------------------------------------------------------------------------------


def test_a_hold_takes_the_tokens_and_emits_nothing() -> None:
    room = SteppedRoom()
    page = room.join_model()
    room.join_viewer(5, "ann")
    room.books.balances["ann"] = 300
    answer = hold(room, expires_in_s=90)
    assert isinstance(answer, Posted)
    assert (answer.balance, answer.first) == (200, True)
    assert room.books.balances[ESCROW] == 100
    held = room.books.holds["hold-1"]
    assert (held.room_id, held.broadcast_id, held.model_id) == (ROOM, BROADCAST, MODEL)
    assert held.expires_at == STARTED_AT_UTC + timedelta(seconds=90)
    assert room.frames_to(5, frames.SelfChanged)[-1].self.balance == 200
    assert room.commands(page) == room.audit == []
    assert not [each for each in room.published if isinstance(each, frames.TipNotice)]
    assert room.state.tips_at_ledger == 0


def test_a_hold_that_is_known_is_answered_as_the_first_time_whatever_the_room_says_by_now() -> None:
    room = SteppedRoom()
    page = room.join_model()
    first = hold(room)
    shown = len(room.sent)
    again = hold(room)
    assert again == msgspec.structs.replace(first, first=False)
    assert len(room.sent) == shown, "nobody's balance has changed"
    assert hold(room, amount=101).code is ErrorCode.TRANSFER_CONFLICT
    room.ask(page, frames.EndBroadcast)
    assert hold(room) == again
    assert room.settlements[-1].transfer.unless_known.code is ErrorCode.ROOM_OFFLINE


def test_a_room_that_is_not_live_holds_nothing() -> None:
    room = SteppedRoom(record(live=False))
    assert hold(room).code is ErrorCode.ROOM_OFFLINE
    assert room.books.holds == {}


def test_a_model_buys_nothing_in_her_own_room() -> None:
    room = SteppedRoom()
    refusal = hold(room, user_id=MODEL)
    assert (refusal.code, refusal.field) == (ErrorCode.FORBIDDEN, "userId")
    assert room.books.holds == {}


def test_holds_and_tips_count_towards_one_rate() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    for number in range(30):
        assert isinstance(hold(room, f"hold-{number}", 10), Posted)
        assert isinstance(room.tip(5, f"tip-{number}", 10), frames.TipReceipt)
    refusal = hold(room, "hold-30", 10)
    assert (refusal.code, refusal.retry_after_s) == (ErrorCode.RATE_LIMITED, pytest.approx(60, 0.1))
    assert isinstance(hold(room, "hold-0", 10), Posted), "what is held is answered all the same"
    assert isinstance(hold(room, "hold-31", 10, user_id="bob"), Posted)
    assert isinstance(settle(room, "hold-0"), frames.TipReceipt), "no purchase of its own"


def test_a_room_with_a_transfer_at_the_ledger_is_not_put_away() -> None:
    room = SteppedRoom()
    room.holds_answers = True
    room.tell(HoldByRequest(Inbox(), "hold-1", "ann", 10, DANCE, None))
    room.pass_s(600)
    assert not room.put_away
    room.settle_held(room.held[0])
    room.pass_s(600)
    assert room.put_away


# ---- settlement --------------------------------------------------------------------------------


def test_what_settles_is_a_complete_event_of_that_moment() -> None:
    room = SteppedRoom(record(sync=SHARED, mode=LovenseMode.CAM_KIT))
    page = room.join_model(integration=LovenseMode.CAM_KIT)
    hold(room)
    room.pass_s(60)
    room.join_viewer(5, "ann", toy=True, preferences=Preferences(react_to_my_tips=True))
    receipt = settle(room, tier=GOLD)
    assert receipt == frames.TipReceipt(
        "purchase:hold-1", 100, 999_900, "Private dance", "2026-01-15T12:01:00-05:00"
    )
    event = only_event(room)
    debit_ref = str(room.books.holds["hold-1"].debit_ref)
    assert (event.tip_id, event.ledger.source_ref) == ("purchase:hold-1", "purchase:hold-1")
    assert event.ledger.debit_ref == debit_ref, "the entry that took the tokens when they were held"
    assert room.books.entries[debit_ref] == ("ann", -100)
    assert room.books.entries[event.ledger.credit_ref] == (MODEL, 50)
    assert (event.tipper.username, event.tipper.membership_tier) == ("Ann", GOLD)
    assert event.item == DANCE
    assert event.transaction.amount == 100
    assert event.model.lovense_mode is LovenseMode.CAM_KIT
    assert event.routing.targets == (ModelToy(MODEL), TipperToy("ann"))
    assert event.viewer_sync.tipper_react_to_my_tips
    refs = [event.ledger.ledger_id, event.ledger.debit_ref, event.ledger.credit_ref]
    assert len({UUID(ref) for ref in refs} | {event.event_id}) == 4
    assert [command.tip_id for command in room.commands(page)] == ["purchase:hold-1"]
    [notice] = [each for each in room.published if isinstance(each, frames.TipNotice)]
    assert (notice.amount, notice.description_public) == (100, "A dance for one")


def test_a_repeat_of_a_settlement_is_answered_as_the_first_and_plays_nothing() -> None:
    room = SteppedRoom()
    page = room.join_model()
    hold(room)
    first = settle(room, refund_tokens=10)
    assert settle(room, refund_tokens=10) == first
    assert settle(room, refund_tokens=11).code is ErrorCode.TRANSFER_CONFLICT
    assert len(room.commands(page)) == 1
    assert room.state.tips_at_ledger == 0


@pytest.mark.parametrize(
    ("refunded", "hers", "platforms", "points"),
    [(0, 50, 50, 31), (1, 49, 50, 30), (50, 25, 25, 15), (97, 1, 2, 0), (99, 0, 1, 0)],
)
def test_a_partial_refund_pays_for_the_part_that_settles(
    refunded: int, hers: int, platforms: int, points: int
) -> None:
    """31 points for 100 tokens: the settled part of them, rounded down."""
    room = SteppedRoom()
    hold(room)
    before = sum(room.books.balances.values())
    receipt = settle(room, refund_tokens=refunded)
    assert (receipt.amount, receipt.balance) == (100 - refunded, 999_900 + refunded)
    assert (room.books.balances[MODEL], room.books.balances[REVENUE]) == (hers, platforms)
    assert room.books.balances[ESCROW] == 0
    assert sum(room.books.balances.values()) == before
    event = only_event(room)
    assert (event.transaction.amount, event.item.bonus_points) == (100 - refunded, points)
    state = HoldState.PARTIALLY_REFUNDED if refunded else HoldState.SETTLED
    assert room.books.holds["hold-1"].state is state


def test_the_ids_of_a_settlements_rows_are_of_rows_that_there_are() -> None:
    room = SteppedRoom()
    hold(room, amount=2)
    hold(room, "hold-2", amount=1)
    settle(room, refund_tokens=1)
    settle(room, "hold-2")
    partly, wholly = (
        each.transfer for each in room.settlements if isinstance(each.transfer, Settlement)
    )
    assert partly.hold is not None
    assert wholly.hold is not None
    assert partly.hold.refund_ref is not None
    assert wholly.hold.refund_ref is None
    assert partly.model_tokens == 0, "her share of one token"
    assert partly.revenue_ref is not None


def test_a_hold_of_an_earlier_broadcast_settles_and_its_toys_are_skipped() -> None:
    room = SteppedRoom()
    page = room.join_model()
    hold(room)
    room.ask(page, frames.EndBroadcast)
    room.ask(page, frames.StartBroadcast, lovense_mode=LovenseMode.EXTENSION)
    assert room.state.broadcast is not None
    assert room.state.broadcast.broadcast_id != BROADCAST
    assert isinstance(settle(room), frames.TipReceipt)
    assert only_event(room).room.broadcast_id == BROADCAST
    assert room.final("purchase:hold-1") == (TargetState.SKIPPED, Reason.BROADCAST_ENDED)
    assert room.commands(page) == []
    assert room.finished == ["purchase:hold-1"]


def test_a_hold_settles_also_while_the_room_is_offline() -> None:
    room = SteppedRoom()
    page = room.join_model()
    hold(room)
    room.ask(page, frames.EndBroadcast)
    assert isinstance(settle(room), frames.TipReceipt)
    assert room.final("purchase:hold-1") == (TargetState.SKIPPED, Reason.BROADCAST_ENDED)


def test_a_vibration_is_cut_to_what_the_platform_allows_when_it_settles() -> None:
    room = SteppedRoom(record(lovense_max_activation_duration=5))
    hold(room)
    assert room.books.holds["hold-1"].item == DANCE, "as it was bought"
    settle(room)
    vibration = only_event(room).item.vibration
    assert vibration is not None
    assert vibration.duration_sec == 5


def test_an_item_without_a_vibration_is_announced_and_moves_nothing() -> None:
    room = SteppedRoom()
    page = room.join_model()
    hold(room, item=msgspec.structs.replace(DANCE, vibration=None))
    settle(room)
    assert only_event(room).routing.targets == ()
    assert room.final("purchase:hold-1") == (TargetState.SKIPPED, Reason.NO_VIBRATION)
    assert room.commands(page) == []


def test_no_tip_begins_as_a_purchase_does() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    inbox = Inbox()
    room.tell(TipByRequest(inbox, "purchase:hold-1", BROADCAST, 50, "ann", "Ann", FREE))
    for refusal in (room.tip(5, "purchase:hold-1"), inbox.only):
        assert (refusal.code, refusal.field) == (ErrorCode.INVALID_FIELD, "tipId")
    # The ledger is asked all the same: before purchases had a kind, a tip could be named so.
    refs = [(each.transfer.source_ref, each.transfer.event) for each in room.settlements]
    assert refs == [("tip:purchase:hold-1", None)] * 2


def test_a_hold_submits_what_it_stands_for() -> None:
    room = SteppedRoom()
    hold(room)
    [effect] = room.settlements
    assert isinstance(effect.transfer, NewHold)
    assert effect.transfer.source_ref == "hold:hold-1"
    assert effect.transfer.unless_known is None
    assert effect.user_id == "ann"


# ---- what the room hears of members from elsewhere ---------------------------------------------


def test_a_balance_from_elsewhere_reaches_all_tabs_once() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.join_viewer(6, "ann")
    room.join_viewer(7, "bob")
    room.tell(BalanceChanged("ann", 7))
    room.tell(BalanceChanged("ann", 7))
    room.tell(BalanceChanged("nobody", 7))
    for tab in (5, 6):
        assert [each.self.balance for each in room.frames_to(tab, frames.SelfChanged)] == [7]
    assert room.frames_to(7, frames.SelfChanged) == []


def test_a_registered_tier_counts_for_what_follows() -> None:
    room = SteppedRoom(record(sync=ViewerSyncMode.VIP_ROOM_SYNC))
    wishes = Preferences(react_to_my_tips=False, feel_all_tips=True)
    room.join_viewer(5, "ann", toy=True, preferences=wishes)
    room.join_viewer(6, "bob")
    room.tell(TierRegistered("ann", GOLD))
    room.tell(TierRegistered("nobody", GOLD))
    own = room.frames_to(5, frames.SelfChanged)[-1].self
    assert (own.membership_tier, own.gates.feel_all_tips) == (GOLD, True)
    room.tip(6, "tip-1")
    [event] = events(room)
    assert [target.owner_id for target in event.routing.targets] == [MODEL, "ann"]


def test_a_models_new_name_is_shown_and_written_into_events() -> None:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.tell(ModelRenamed("Mia Two"))
    [changed] = [each for each in room.published if isinstance(each, frames.RoomChanged)]
    assert changed.room.model_display_name == "Mia Two"
    room.tip(5, "tip-1")
    assert events(room)[0].model.model_display_name == "Mia Two"


# ---- what settles at once ----------------------------------------------------------------------


def buy(
    room: SteppedRoom,
    purchase_id: str = "1",
    *,
    user_id: str = "ann",
    broadcast_id: str = BROADCAST,
    amount: int = 100,
) -> Any:
    inbox = Inbox()
    room.tell(
        PurchaseByRequest(inbox, purchase_id, broadcast_id, user_id, "Ann", FREE, amount, DANCE)
    )
    return inbox.only


def test_an_item_settles_at_once_without_escrow() -> None:
    room = SteppedRoom(record(lovense_max_activation_duration=5))
    page = room.join_model()
    receipt = buy(room)
    assert (receipt.tip_id, receipt.amount, receipt.balance) == ("purchase:1", 100, 999_900)
    assert (room.books.balances[MODEL], room.books.balances[ESCROW]) == (50, 0)
    event = only_event(room)
    assert (event.item.item_type, event.item.item_id) == (ItemType.MENU_ITEM, DANCE.item_id)
    assert event.item.bonus_points == DANCE.bonus_points
    assert event.item.vibration is not None
    assert event.item.vibration.duration_sec == 5, "cut to what the platform allows"
    assert [command.tip_id for command in room.commands(page)] == ["purchase:1"]
    assert buy(room) == receipt
    assert len(room.commands(page)) == 1


def test_a_known_purchase_is_answered_also_when_the_room_refuses_new_ones() -> None:
    room = SteppedRoom()
    page = room.join_model()
    receipt = buy(room)
    room.ask(page, frames.EndBroadcast)
    assert buy(room) == receipt
    assert buy(room, "2").code is ErrorCode.ROOM_OFFLINE
    room.ask(page, frames.StartBroadcast, lovense_mode=LovenseMode.EXTENSION)
    assert buy(room) == receipt
    assert buy(room, "2").code is ErrorCode.BROADCAST_STALE
    assert buy(room, "3", user_id=MODEL).code is ErrorCode.FORBIDDEN
    assert sum(isinstance(each.transfer, NewHold) for each in room.settlements) == 0
