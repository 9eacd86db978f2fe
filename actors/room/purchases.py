"""Purchases: of an item that settles at once, or with escrow (spec 2): the tokens are held, and
settle, or go back, later.

A purchase and a hold enter at the room, which knows the model and the broadcast; so does a hold's
settlement, which needs the routing of its moment. A hold that is given back concerns no room.
"""

from datetime import timedelta

import msgspec

from actors.room.effects import Effect, PostTransfer
from actors.room.messages import HoldByRequest, PurchaseByRequest, SettleHoldByRequest
from actors.room.settled_event import settled_event
from actors.room.state import Context, RoomState
from actors.room.tips import over_the_rate
from actors.transfers import NewHold, SettledHold, Settlement
from protocol.errors import ErrorCode, Refusal
from protocol.shares import model_share
from protocol.tip_activated import PURCHASE_PREFIX, Item, Tipper
from protocol.vibration import cap


def buy(state: RoomState, ctx: Context, request: PurchaseByRequest) -> list[Effect]:
    """Submit the settlement of an item. What the room refuses still asks the ledger: a purchase
    that is known is answered as the first time."""
    live = state.broadcast
    refusal = over_the_rate(state, ctx, request.user_id) or _buyer_refusal(state, request.user_id)
    if refusal is None and live is not None and live.broadcast_id != request.broadcast_id:
        refusal = Refusal(ErrorCode.BROADCAST_STALE)
    tip_id = f"{PURCHASE_PREFIX}{request.purchase_id}"
    event, model_tokens = None, 0
    if refusal is None:
        tier = request.membership_tier
        tipper = Tipper(request.user_id, request.username, tier, tier.is_vip)
        item = _capped(state, request.item)
        event = settled_event(
            state, ctx, tip_id, request.broadcast_id, request.amount, tipper, item
        )
        model_tokens = model_share(request.amount, state.model_share_percent)
    transfer = Settlement(
        tip_id=tip_id,
        room_id=state.room_id,
        broadcast_id=request.broadcast_id,
        tipper_id=request.user_id,
        amount=request.amount,
        model_id=state.model_id,
        model_tokens=model_tokens,
        revenue_ref=ctx.chance.uuid7(ctx.now) if model_tokens < request.amount else None,
        event=event,
        is_purchase=True,
        unless_known=refusal,
    )
    state.tips_at_ledger += 1
    return [PostTransfer(transfer, request.user_id, request.reply_to)]


def hold(state: RoomState, ctx: Context, request: HoldByRequest) -> list[Effect]:
    """Submit a hold. What the room refuses still asks the ledger: a hold that is known is answered
    as the first time."""
    live = state.broadcast
    refusal = over_the_rate(state, ctx, request.user_id) or _buyer_refusal(state, request.user_id)
    expires_in_s = request.expires_in_s
    transfer = NewHold(
        hold_id=request.hold_id,
        user_id=request.user_id,
        room_id=state.room_id,
        amount=request.amount,
        item=request.item,
        broadcast_id="" if live is None else live.broadcast_id,
        model_id=state.model_id,
        expires_at=None if expires_in_s is None else ctx.now.utc + timedelta(seconds=expires_in_s),
        unless_known=refusal,
    )
    state.tips_at_ledger += 1
    return [PostTransfer(transfer, request.user_id, request.reply_to)]


def settle_hold(state: RoomState, ctx: Context, request: SettleHoldByRequest) -> list[Effect]:
    """Submit the settlement of a hold of this room, but for `refund_tokens`, which go back."""
    held = request.hold
    amount = held.amount - request.refund_tokens
    tip_id = f"{PURCHASE_PREFIX}{held.hold_id}"
    model_tokens = model_share(amount, state.model_share_percent)
    item = msgspec.structs.replace(
        _capped(state, held.item),
        # In the proportion in which it was paid.
        bonus_points=held.item.bonus_points * amount // held.amount,
    )
    tier = request.membership_tier
    tipper = Tipper(held.user_id, request.username, tier, tier.is_vip)
    event = settled_event(
        state, ctx, tip_id, held.broadcast_id, amount, tipper, item, held.debit_ref
    )
    new_id = ctx.chance.uuid7
    transfer = Settlement(
        tip_id=tip_id,
        room_id=state.room_id,
        broadcast_id=held.broadcast_id,
        tipper_id=held.user_id,
        amount=amount,
        model_id=state.model_id,
        model_tokens=model_tokens,
        revenue_ref=new_id(ctx.now) if model_tokens < amount else None,
        event=event,
        hold=SettledHold(
            hold_id=held.hold_id,
            refund_tokens=request.refund_tokens,
            escrow_ref=new_id(ctx.now),
            refund_ref=new_id(ctx.now) if request.refund_tokens else None,
        ),
    )
    state.tips_at_ledger += 1
    return [PostTransfer(transfer, held.user_id, request.reply_to)]


def _buyer_refusal(state: RoomState, user_id: str) -> Refusal | None:
    if user_id == state.model_id:
        return Refusal(ErrorCode.FORBIDDEN, "userId", "A model buys nothing in her own room.")
    return None if state.broadcast is not None else Refusal(ErrorCode.ROOM_OFFLINE)


def _capped(state: RoomState, item: Item) -> Item:
    """As long as the platform allows by now."""
    vibration = item.vibration
    longest_s = state.platform.lovense_max_activation_duration
    return msgspec.structs.replace(item, vibration=vibration and cap(vibration, longest_s))
