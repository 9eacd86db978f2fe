"""A tip's way to the ledger and back (spec 1: where the vibration comes from, routing).

The room validates, resolves the item and takes the routing snapshot; the ledger settles. What
the room would refuse still goes to the ledger, marked `unless_known`: a tipId that was settled
before gets its first answer again, also when the broadcast is over by now.
"""

from math import ceil
from typing import Final

from actors.ports import Settled, Settlement, SettlementOutcome
from actors.room.effects import Answer, Effect, Send, Settle
from actors.room.messages import Asker, MemberReply
from actors.room.state import Context, RoomState
from protocol import frames
from protocol.errors import ERRORS, ErrorCode, Refusal
from protocol.routing import ViewerFlags, route
from protocol.tip_activated import (
    Ledger,
    MembershipTier,
    Model,
    Room,
    Routing,
    TipActivated,
    Tipper,
    Transaction,
    ViewerSync,
    format_timestamp,
)
from protocol.tip_menu import resolve_item

PURCHASES_PER_MIN_MAX: Final = 60
"""Of one user in one room (spec 3: 429 before settlement, with Retry-After)."""
_WINDOW_S: Final = 60.0
_PURCHASERS_MAX: Final = 4096
"""Users remembered before those without a recent purchase are forgotten."""


def tip(
    state: RoomState,
    ctx: Context,
    asker: Asker,
    tip_id: str,
    broadcast_id: str,
    amount: int,
    user_id: str,
    username: str,
    tier: MembershipTier,
) -> list[Effect]:
    """Submit one tip. The answer follows when the ledger has one."""
    refusal = _over_the_rate(state, ctx, user_id) or _refusal(state, broadcast_id, user_id)
    if refusal is not None:
        event, model_tokens = None, 0
    else:
        event = _event(state, ctx, tip_id, amount, user_id, username, tier)
        model_tokens = amount * state.model_share_percent // 100
    settlement = Settlement(
        tip_id=tip_id,
        room_id=state.room_id,
        broadcast_id=broadcast_id,
        tipper_id=user_id,
        amount=amount,
        model_id=state.model_id,
        model_tokens=model_tokens,
        revenue_ref=ctx.chance.uuid7(ctx.now) if model_tokens < amount else None,
        event=event,
        unless_known=refusal,
    )
    state.tips_at_ledger += 1
    return [Settle(settlement, asker)]


def settled(
    state: RoomState, asker: Asker, user_id: str, outcome: SettlementOutcome
) -> list[Effect]:
    """The ledger's answer, on its way to whoever asked; a new balance also to the user's tabs."""
    state.tips_at_ledger -= 1
    if isinstance(outcome, Refusal):
        return reply(asker, outcome)
    effects = reply(asker, receipt(outcome))
    viewer = state.viewers.get(user_id)
    if viewer is not None and outcome.first:
        viewer.balance = outcome.balance
        view = state.viewer_view(viewer)
        effects += [Send(each, frames.SelfChanged(view)) for each in viewer.sessions]
    return effects


def receipt(settled: Settled) -> frames.TipReceipt:
    """What the tipper is told; the same for a repeat."""
    return frames.TipReceipt(
        tip_id=settled.event.tip_id,
        amount=settled.event.transaction.amount,
        balance=settled.balance,
        item_name=settled.event.item.item_name,
        timestamp=settled.event.timestamp,
    )


def reply(asker: Asker, result: object) -> list[Effect]:
    """`result`, which may be a Refusal, as the answer to whoever asked."""
    if not isinstance(asker, MemberReply):
        return [Answer(asker, result)]
    if isinstance(result, Refusal):
        return [Send(asker.session_id, error_frame(asker.ref, result))]
    return [Send(asker.session_id, frames.Ok(asker.ref, result))]


def error_frame(ref: int | None, refusal: Refusal) -> frames.Error:
    return frames.Error(
        ref=ref,
        code=refusal.code,
        text=refusal.text,
        retry=ERRORS[refusal.code].retry,
        field=refusal.field,
        retry_after_s=refusal.retry_after_s,
    )


def _refusal(state: RoomState, broadcast_id: str, user_id: str) -> Refusal | None:
    if user_id == state.model_id:
        return Refusal(ErrorCode.FORBIDDEN, detail="A model does not tip in her own room.")
    if state.broadcast is None:
        return Refusal(ErrorCode.ROOM_OFFLINE)
    if state.broadcast.broadcast_id != broadcast_id:
        return Refusal(ErrorCode.BROADCAST_STALE, "broadcastId")
    return None


def _event(
    state: RoomState,
    ctx: Context,
    tip_id: str,
    amount: int,
    user_id: str,
    username: str,
    tier: MembershipTier,
) -> TipActivated:
    """The whole event, before it is stored: it becomes true when the ledger commits it."""
    assert state.broadcast is not None
    item = resolve_item(
        amount,
        state.tip_menu,
        state.platform,
        state.model_settings,
        bonus_points=amount * state.tip_bonus_percent // 100,
    )
    tipper = state.flags.get(user_id) or ViewerFlags(
        user_id, tier, toy_connected=False, react_to_my_tips=False, feel_all_tips=False
    )
    decision = route(state.snapshot(), tipper, item.vibration is not None)
    new_id = ctx.chance.uuid7
    return TipActivated(
        event_name="TipActivated",
        event_id=new_id(ctx.now),
        tip_id=tip_id,
        timestamp=format_timestamp(ctx.now.utc),
        ledger=Ledger(
            ledger_id=str(new_id(ctx.now)),
            source_ref=f"tip:{tip_id}",
            debit_ref=str(new_id(ctx.now)),
            credit_ref=str(new_id(ctx.now)),
            status="SETTLED",
        ),
        room=Room(state.room_id, state.broadcast.broadcast_id),
        model=Model(
            state.model_id,
            state.model_display_name,
            state.broadcast.lovense_mode,
            state.model_settings.viewer_sync_mode,
        ),
        tipper=Tipper(user_id, username, tier, tier.is_vip),
        transaction=Transaction("TOKENS", amount),
        item=item,
        viewer_sync=ViewerSync(tipper.toy_connected, tipper.react_to_my_tips, tipper.feel_all_tips),
        routing=Routing(decision.targets),
    )


def _over_the_rate(state: RoomState, ctx: Context, user_id: str) -> Refusal | None:
    """None if the user may buy now, and then it is counted; else when to come back."""
    now_s = ctx.now.clock_s
    oldest_s = now_s - _WINDOW_S
    if len(state.purchases) > _PURCHASERS_MAX:
        state.purchases = {
            each: times for each, times in state.purchases.items() if times[-1] > oldest_s
        }
    times = [time for time in state.purchases.get(user_id, ()) if time > oldest_s]
    state.purchases[user_id] = times
    if len(times) >= PURCHASES_PER_MIN_MAX:
        wait_s = times[0] - oldest_s
        return Refusal(ErrorCode.RATE_LIMITED, retry_after_s=ceil(wait_s * 10) / 10)
    times.append(now_s)
    return None
