"""Going live and ending: one integration per broadcast, fixed when it starts (spec 1)."""

from actors.ports import Broadcast
from actors.room import presence
from actors.room.effects import Close, Effect, StoreBroadcast, StorePause
from actors.room.members import lose_model_page
from actors.room.messages import Asker, _BroadcastStored
from actors.room.state import Context, RoomState
from actors.room.tips import reply
from actors.room.toy_stop import end_all
from protocol import frames
from protocol.errors import CloseCode, ErrorCode, Refusal
from protocol.tip_activated import LovenseMode


def start(
    state: RoomState, ctx: Context, asker: Asker, wanted_mode: LovenseMode | None
) -> list[Effect]:
    """In force when the database has it. Without a mode: the one of the model's settings."""
    mode = wanted_mode or state.model_settings.lovense_mode
    if state.broadcast is not None:
        return reply(
            asker,
            Refusal(
                ErrorCode.BROADCAST_ACTIVE,
                detail=f"A broadcast is running on {state.broadcast.lovense_mode}; end it first.",
            ),
        )
    if state.broadcast_changing:
        return reply(asker, Refusal(ErrorCode.ROOM_BUSY))
    state.broadcast_changing = True
    state.queue.paused = False
    broadcast = state.broadcast_unsure
    if broadcast is None or broadcast.lovense_mode is not mode:
        broadcast = Broadcast(str(ctx.chance.uuid7(ctx.now)), mode)
    state.broadcast_unsure = broadcast
    return [StoreBroadcast(broadcast, starts=True, asker=asker)]


def end(state: RoomState, asker: Asker) -> list[Effect]:
    """Toys stop when the database has it; what still waits is skipped."""
    if state.broadcast is None:
        return reply(asker, Refusal(ErrorCode.ROOM_OFFLINE))
    if state.broadcast_changing:
        return reply(asker, Refusal(ErrorCode.ROOM_BUSY))
    state.broadcast_changing = True
    return [StoreBroadcast(state.broadcast, starts=False, asker=asker)]


def stored(state: RoomState, ctx: Context, message: _BroadcastStored) -> list[Effect]:
    state.broadcast_changing = False
    if message.failed is not None:
        # A start that is unsure is asked for again under its id: the same start is no error.
        return reply(message.asker, message.failed)
    state.broadcast_unsure = None
    state.broadcast = message.started
    presence.forget_tippers(state)
    if message.started is None:
        state.queue.paused = False
        return reply(message.asker, None) + end_all(state, ctx)
    mode = message.started.lovense_mode
    answer = frames.BroadcastStarted(message.started.broadcast_id, mode)
    effects = reply(message.asker, answer)
    if state.queue.paused:  # a stop while the start was being stored
        effects.append(StorePause(message.started.broadcast_id, True))
    page = state.model_page
    if page is not None and page.integration is not mode:
        lose_model_page(state, ctx)
        effects.append(Close(page.session_id, CloseCode.ROOM_RESTARTING))
    return effects
