"""What the model and the tippers see of the queue (spec 3): the queue to her page, and to each
tipper how the own tip fares. Read `report`, which `room.step` calls.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final, Literal

from actors.ports import SessionId
from actors.room import slot
from actors.room.activation_queue import Activation, tip_id_of
from actors.room.effects import Effect, Send
from actors.room.state import Context, RoomState, Unfinished
from protocol import frames
from protocol.audit import Reason

UPCOMING_MAX: Final = 10
"""Of the waiting tips, how many the model sees one by one."""


def report(state: RoomState, ctx: Context) -> list[Effect]:
    """The queue to the model, and to each waiting tipper the own place, where they changed."""
    playing = state.playing
    shape = (
        playing.tip_id if playing else None,
        state.queue.head_tip_id,
        len(state.queue),
        state.queue.paused,
        state.queue.mode,
    )
    if shape == state.queue_reported:
        return []
    state.queue_reported = shape
    effects: list[Effect] = []
    for activation, position, wait_s in _forecast(state, ctx):
        unfinished = state.unfinished[activation.key]
        told = position, wait_s is None
        if unfinished.told != told:
            unfinished.told = told
            frame = frames.ActivationChanged(activation.tip_id, "queued", position, wait_s)
            effects += _to_tipper(state, unfinished, frame)
    if state.model_page is not None:
        effects.append(Send(state.model_page.session_id, queue_view(state, ctx)))
    return effects


def queue_view(state: RoomState, ctx: Context) -> frames.QueueChanged:
    """The queue as the model sees it."""
    upcoming = tuple(
        frames.QueuedTip(
            activation.tip_id,
            activation.event.tipper.username,
            activation.event.transaction.amount,
            wait_s,
        )
        for activation, _, wait_s in islice(_forecast(state, ctx), UPCOMING_MAX)
    )
    return frames.QueueChanged(
        waiting=len(state.queue),
        playing=state.playing.tip_id if state.playing else None,
        paused=state.queue.paused,
        next_in_s=upcoming[0].wait_s if upcoming else None,
        mode=state.queue.mode,
        upcoming=upcoming,
    )


def own_tips(state: RoomState, ctx: Context, user_id: str, session_id: SessionId) -> list[Effect]:
    """To a page that has just come: how its viewer's unfinished tips fare. Its earlier life, or
    another tab, may have sent them."""
    if not any(each.tipper_id == user_id for each in state.unfinished.values()):
        return []
    waiting = {each.key: (at, wait_s) for each, at, wait_s in _forecast(state, ctx)}
    effects: list[Effect] = []
    for key, unfinished in state.unfinished.items():
        if unfinished.tipper_id != user_id:
            continue
        tip_id = tip_id_of(key)
        if key in waiting:
            frame = frames.ActivationChanged(tip_id, "queued", *waiting[key])
        else:
            frame = frames.ActivationChanged(tip_id, "playing")
        effects.append(Send(session_id, frame))
    return effects


def tell_tipper(
    state: RoomState,
    unfinished: Unfinished,
    tip_id: str,
    progress: Literal["playing", "done", "not_played"],
    reason: Reason | None = None,
) -> list[Effect]:
    """How a tip fares, to all tabs of its tipper; nobody, if the tipper has left."""
    return _to_tipper(state, unfinished, frames.ActivationChanged(tip_id, progress, reason=reason))


def _to_tipper(
    state: RoomState, unfinished: Unfinished, frame: frames.ActivationChanged
) -> list[Effect]:
    viewer = state.viewers.get(unfinished.tipper_id)
    return [] if viewer is None else [Send(each, frame) for each in viewer.sessions]


def _forecast(state: RoomState, ctx: Context) -> Iterator[tuple[Activation, int, float | None]]:
    """What her toy still plays after a stop, or for a test, is waited for as what plays."""
    now_s = ctx.now.clock_s
    free_at_s = now_s + slot.playing_for_s(state, ctx)
    if state.playing is None:
        free_at_s = max(free_at_s, state.model_toy_rests_at_s)
    return state.queue.forecast(now_s, free_at_s, state.platform.lovense_rate_limit_per_min)
