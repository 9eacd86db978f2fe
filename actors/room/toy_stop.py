"""Toys stop: all of a room's, one viewer's, or for good at the end of a broadcast (spec 3).

Stop frames go out before anything that follows from them. Neither of the model's integrations
documents a stop: what her toy still plays is kept in the state, where the next start sees it.
"""

from actors.room import toy_test
from actors.room.effects import Effect, Send
from actors.room.state import Context, RoomState
from actors.room.target_audit import close_activation, close_command
from protocol import frames
from protocol.audit import Reason, TargetState
from protocol.lovense import VIEWER_STOP, model_stop_call
from protocol.tip_activated import ModelToy


def stop_all(state: RoomState, ctx: Context) -> list[Effect]:
    """Every toy in the room stops now; what was under way is over. Where no call can stop the
    model's toy it plays on to its end, and nothing else starts on it before."""
    effects: list[Effect] = []
    stopped = False
    page = state.model_page
    if page is not None:
        call = model_stop_call(page.integration, page.level_map, state.model_display_name)
        effects.append(Send(page.session_id, frames.ToysStopped(call)))
        stopped = call is not None
    to_viewers = frames.ToysStopped(VIEWER_STOP)  # one for all, encoded once
    for viewer in state.viewers.values():
        effects += [
            Send(each.session_id, to_viewers) for each in viewer.sessions.values() if each.had_toys
        ]
    for outstanding in list(state.outstanding.values()):
        effects += close_command(state, ctx, outstanding, TargetState.FAILED, Reason.STOPPED)
    effects += toy_test.stop(state, ctx)
    if stopped:
        state.model_toy_rests_at_s = ctx.now.clock_s
    elif state.playing is not None and state.playing.model_rests_at_s is not None:
        state.model_toy_rests_at_s = state.playing.model_rests_at_s
        state.model_toy_tip_id = state.playing.model_tip_id
    state.playing = None
    return effects


def stop_model(state: RoomState, ctx: Context) -> list[Effect]:
    """Her own toys stop now, and no other; what comes next may start."""
    page = state.model_page
    if page is None:
        return []
    call = model_stop_call(page.integration, page.level_map, state.model_display_name)
    effects: list[Effect] = [Send(page.session_id, frames.ToysStopped(call))]
    for outstanding in list(state.outstanding.values()):
        if isinstance(outstanding.target, ModelToy):
            effects += close_command(state, ctx, outstanding, TargetState.FAILED, Reason.STOPPED)
    effects += toy_test.stop(state, ctx)
    if call is not None:
        state.model_toy_rests_at_s = min(state.model_toy_rests_at_s, ctx.now.clock_s)
        if state.playing is not None:
            state.playing.model_rests_at_s = None
    return effects


def stop_viewer(state: RoomState, ctx: Context, user_id: str) -> list[Effect]:
    """One viewer's toys stop now, on all tabs; the caller says whether they stay so."""
    viewer = state.viewers[user_id]
    effects: list[Effect] = [
        Send(session_id, frames.ToysStopped(VIEWER_STOP)) for session_id in viewer.sessions
    ]
    for outstanding in list(state.outstanding.values()):
        if outstanding.target.owner_id == user_id and not isinstance(outstanding.target, ModelToy):
            effects += close_command(state, ctx, outstanding, TargetState.FAILED, Reason.STOPPED)
    return effects


def end_all(state: RoomState, ctx: Context) -> list[Effect]:
    """The broadcast is over: nothing of it starts any more."""
    effects = stop_all(state, ctx)
    for activation in state.queue.take_all():
        effects += close_activation(
            state, ctx, activation, TargetState.SKIPPED, Reason.BROADCAST_ENDED
        )
    return effects
