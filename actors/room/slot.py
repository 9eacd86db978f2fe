"""The slot: the one activation that plays, who holds it, and until when (spec 3).

It lasts until the toys of the activation are at rest. The model's toy is never sent two
overlapping commands: her page may start a command as late as its `expiresAt`, so until it says
when the toy began the slot counts from there. Viewers' toys count from when they were first sent
the command: one that begins late delays nobody, and may be given the next command early.
"""

from typing import Final

from actors.room.state import Context, Outstanding, Playing, RoomState
from protocol.tip_activated import ModelToy

ANSWER_TIMEOUT_S: Final = 5.0
"""No answer in this time counts as TIMEOUT; also how long a page may wait before it starts."""


def moment_of(state: RoomState, outstanding: Outstanding) -> Playing | None:
    """The moment that the command belongs to, while it lasts."""
    playing = state.playing
    return playing if playing and outstanding.activation in playing.activations else None


def waits_for_model(state: RoomState, playing: Playing) -> bool:
    """Whether her toy's command has no final state yet."""
    return playing.model_command in state.outstanding


def sent(playing: Playing, outstanding: Outstanding, ctx: Context) -> None:
    """The moment lasts until the toy, which may start late, is at rest."""
    rests_at_s = ctx.now.clock_s + outstanding.seconds
    if isinstance(outstanding.target, ModelToy):
        playing.model_command = outstanding.command_id
        playing.model_tip_id = outstanding.activation.tip_id
        playing.model_rests_at_s = rests_at_s + ANSWER_TIMEOUT_S
    elif outstanding.attempt == 1:
        playing.viewers_rest_at_s = max(playing.viewers_rest_at_s, rests_at_s)


def reacted(playing: Playing, outstanding: Outstanding, ctx: Context) -> None:
    """The toy has begun by now."""
    if isinstance(outstanding.target, ModelToy):
        playing.model_rests_at_s = ctx.now.clock_s + outstanding.seconds


def end_playing(state: RoomState, ctx: Context) -> None:
    """Free the slot once the toys are at rest and the model's command is settled."""
    playing = state.playing
    if playing is None or playing.ends_at_s > ctx.now.clock_s:
        return
    if not waits_for_model(state, playing):
        state.playing = None


def playing_for_s(state: RoomState, ctx: Context) -> float:
    """As expected, not as feared: a page that has not answered yet is taken to start now."""
    playing = state.playing
    if playing is None:
        return 0.0
    late_s = ANSWER_TIMEOUT_S if waits_for_model(state, playing) else 0.0
    return max(0.0, playing.ends_at_s - late_s - ctx.now.clock_s)
