"""What the model and the tippers see of the queue (spec 3): the queue to her page, and to each
tipper how the own tip fares. Read `report`, which is called after every step.
"""

from typing import Literal

from actors.room import slot
from actors.room.effects import Effect, Send
from actors.room.state import Context, RoomState, Unfinished
from protocol import frames
from protocol.audit import Reason


def report(state: RoomState, ctx: Context) -> list[Effect]:
    """The queue to the model, and to each waiting tipper the own place, where they changed."""
    playing = state.playing
    shape = (
        playing.tip_id if playing else None,
        state.queue.head_tip_id,
        len(state.queue),
        state.queue.paused,
    )
    if shape == state.queue_reported:
        return []
    state.queue_reported = shape
    effects: list[Effect] = []
    for activation, position, wait_s in state.queue.forecast(slot.playing_for_s(state, ctx)):
        unfinished = state.unfinished[activation.key]
        if unfinished.position != position:
            unfinished.position = position
            effects += tell_tipper(state, unfinished, activation.tip_id, "queued", wait_s=wait_s)
    if state.model_page is not None:
        effects.append(Send(state.model_page.session_id, queue_view(state, ctx)))
    return effects


def queue_view(state: RoomState, ctx: Context) -> frames.QueueChanged:
    """The queue as the model sees it."""
    return frames.QueueChanged(
        waiting=len(state.queue),
        playing=state.playing.tip_id if state.playing else None,
        paused=state.queue.paused,
        next_in_s=slot.playing_for_s(state, ctx) if len(state.queue) else None,
    )


def tell_tipper(
    state: RoomState,
    unfinished: Unfinished,
    tip_id: str,
    progress: Literal["queued", "playing", "done", "not_played"],
    reason: Reason | None = None,
    wait_s: float | None = None,
) -> list[Effect]:
    """How a tip fares, to all tabs of its tipper; nobody, if the tipper has left."""
    viewer = state.viewers.get(unfinished.tipper_id)
    if viewer is None:
        return []
    position = unfinished.position if progress == "queued" else None
    frame = frames.ActivationChanged(tip_id, progress, position, wait_s, reason)
    return [Send(session_id, frame) for session_id in viewer.sessions]
