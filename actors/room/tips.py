"""A tip's way to the ledger and back (spec 1: where the vibration comes from, routing).

The room validates, resolves the item and takes the routing snapshot; the ledger settles. What
the room would refuse still goes to the ledger, marked `unless_known`: a tipId that was settled
before gets its first answer again, also when the broadcast is over by now.
"""

from math import ceil
from typing import Final

from actors.room.effects import Answer, Effect, PostTransfer, Send
from actors.room.messages import Asker, MemberReply
from actors.room.settled_event import settled_event
from actors.room.state import Context, RoomState
from actors.transfers import Outcome, Settled, Settlement
from protocol import frames
from protocol.errors import ERRORS, ErrorCode, Refusal
from protocol.shares import model_share
from protocol.tip_activated import PURCHASE_PREFIX, MembershipTier, Tipper
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
    refusal = over_the_rate(state, ctx, user_id) or _refusal(state, tip_id, broadcast_id, user_id)
    if refusal is not None:
        event, model_tokens = None, 0
    else:
        item = resolve_item(
            amount,
            state.tip_menu,
            state.platform,
            state.model_settings,
            bonus_points=amount * state.tip_bonus_percent // 100,
        )
        tipper = Tipper(user_id, username, tier, tier.is_vip)
        event = settled_event(state, ctx, tip_id, broadcast_id, amount, tipper, item)
        model_tokens = model_share(amount, state.model_share_percent)
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
    return [PostTransfer(settlement, user_id, asker)]


def answered(state: RoomState, asker: Asker, user_id: str, outcome: Outcome) -> list[Effect]:
    """The ledger's answer, on its way to whoever asked; a new balance also to the user's tabs."""
    state.tips_at_ledger -= 1
    effects = reply(asker, told(outcome))
    viewer = state.viewers.get(user_id)
    if viewer is not None and not isinstance(outcome, Refusal) and outcome.first:
        viewer.balance = outcome.balance
        view = state.viewer_view(viewer)
        effects += [Send(each, frames.SelfChanged(view)) for each in viewer.sessions]
    return effects


def told(outcome: Outcome) -> object:
    """What whoever asked is told: for a tip its receipt, the same for a repeat."""
    return outcome.receipt if isinstance(outcome, Settled) else outcome


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


def _refusal(state: RoomState, tip_id: str, broadcast_id: str, user_id: str) -> Refusal | None:
    if tip_id.startswith(PURCHASE_PREFIX):
        return Refusal(ErrorCode.INVALID_FIELD, "tipId", "A tip is no purchase.")
    if user_id == state.model_id:
        return Refusal(ErrorCode.FORBIDDEN, detail="A model does not tip in her own room.")
    if state.broadcast is None:
        return Refusal(ErrorCode.ROOM_OFFLINE)
    if state.broadcast.broadcast_id != broadcast_id:
        return Refusal(ErrorCode.BROADCAST_STALE, "broadcastId")
    return None


def over_the_rate(state: RoomState, ctx: Context, user_id: str) -> Refusal | None:
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
