"""Requeue: an admin has one dead target of a tip sent again, in its turn (spec 3, dispatch).

Nothing starts long after its tip's show: only while that broadcast runs, and not when it would have
to wait longer than any activation. It keeps its commandId, so that a page that has run the command,
and whose answers were lost, answers as it did then and does not run it again.
"""

import msgspec

from actors.room import activation
from actors.room.effects import Effect, StoreRequeue
from actors.room.messages import RequeueByRequest, _RequeueStored
from actors.room.state import Context, RoomState
from actors.room.tips import reply
from protocol.errors import ErrorCode, Refusal


def requeue(state: RoomState, ctx: Context, message: RequeueByRequest) -> list[Effect]:
    """In force when the database has it; refused where it would be in vain."""
    refusal = _refusal(state, message.broadcast_id)
    if refusal is not None:
        return reply(message.reply_to, refusal)
    effect = StoreRequeue(
        message.letter_id,
        ctx.chance.uuid7(ctx.now),
        message.who,
        message.note,
        asker=message.reply_to,
    )
    unsure = state.requeues_unsure.get(message.letter_id)
    if unsure is not None and (unsure.who, unsure.note) == (message.who, message.note):
        effect = msgspec.structs.replace(effect, decision_id=unsure.decision_id)
    state.requeues_unsure[message.letter_id] = effect
    return [effect]


def _refusal(state: RoomState, broadcast_id: str) -> Refusal | None:
    if state.broadcast is None or state.broadcast.broadcast_id != broadcast_id:
        return Refusal(ErrorCode.BROADCAST_STALE)
    if not state.platform.enable_lovense:
        return Refusal(ErrorCode.LOVENSE_DISABLED)
    if state.broadcast_changing:
        return Refusal(ErrorCode.ROOM_BUSY)
    if state.queue.full:
        return Refusal(ErrorCode.ROOM_BUSY, detail="The activation queue is full; try again.")
    return None


def stored(state: RoomState, ctx: Context, message: _RequeueStored) -> list[Effect]:
    """It waits for its turn now. Where the database did not answer the decision may stand there:
    asked for again it goes by the same id."""
    if message.failed is not None and message.failed.code is not ErrorCode.ROOM_BUSY:
        state.requeues_unsure.pop(message.letter_id, None)
    if message.requeued is None:
        return reply(message.asker, message.failed)
    state.requeues_unsure.pop(message.letter_id, None)
    return reply(message.asker, None) + activation.requeue(state, ctx, message.requeued)
