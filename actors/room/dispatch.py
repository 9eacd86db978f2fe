"""One command to one toy: send, the page's answers, time out, retry (spec 3).

Read `send`, then `run_deadlines`. A page answers `accepted`, then `activated` or `failed`. An
attempt without an answer is a TIMEOUT; after the last one the target is DEAD. A page that comes
back gets what it still owes at once. Every attempt carries the same commandId.
"""

from heapq import heappop, heappush
from typing import Final

from actors.room import slot
from actors.room.effects import Effect, Send, WriteAudit
from actors.room.slot import ANSWER_TIMEOUT_S
from actors.room.state import Context, Outstanding, Playing, RoomState
from actors.room.target_audit import close_command, drop_target, target_step
from protocol import frames
from protocol.audit import Reason, TargetState
from protocol.lovense import NOT_RUN_CODES, Fitted, model_call, viewer_call
from protocol.routing import recheck
from protocol.tip_activated import ModelToy

RETRY_DELAYS_S: Final = (2.0, 4.0)
ATTEMPTS_MAX: Final = 3


# ---- one attempt -----------------------------------------------------------------------------


def send(
    state: RoomState, ctx: Context, outstanding: Outstanding, playing: Playing | None
) -> list[Effect]:
    """One attempt: the call as the target's page and toy are now, to that page."""
    event = outstanding.activation.event
    session_id, fitted = _call_for(state, outstanding)
    if session_id is None or fitted.call is None:
        reason = fitted.reason or Reason.NOT_PRESENT
        state.outstanding.pop(outstanding.command_id, None)
        return drop_target(state, ctx, outstanding.activation, outstanding.target, reason, fitted)
    outstanding.attempt += 1
    outstanding.session_id = session_id
    outstanding.resting = False
    outstanding.accepted = False
    outstanding.seconds = fitted.seconds
    state.outstanding[outstanding.command_id] = outstanding
    _set_deadline(state, outstanding, ctx.now.clock_s + ANSWER_TIMEOUT_S)
    if playing is not None:
        slot.sent(playing, outstanding, ctx)
    command = frames.Command(
        command_id=outstanding.command_id,
        tip_id=event.tip_id,
        attempt=outstanding.attempt,
        call=fitted.call,
        duration_sec=outstanding.vibration.duration_sec,
        expires_at=ctx.now.epoch_ms + int(ANSWER_TIMEOUT_S * 1000),
    )
    step = target_step(
        ctx,
        outstanding.activation,
        outstanding.target,
        outstanding.attempt,
        TargetState.SENT,
        fitted=fitted,
    )
    return [Send(session_id, command), WriteAudit((step,), ())]


def _call_for(state: RoomState, outstanding: Outstanding) -> tuple[int | None, Fitted]:
    """A viewer's tab that has the command keeps it while its toy is there: what it has run it
    does not run again, and another tab might."""
    event, target = outstanding.activation.event, outstanding.target
    vibration = outstanding.vibration
    if isinstance(target, ModelToy):
        page = state.model_page
        assert page is not None, "checked just before"
        call = model_call(
            page.integration,
            vibration,
            page.level_map,
            event.transaction.amount,
            event.tipper.username,
            state.platform.lovense_max_activation_duration,
        )
        return page.session_id, call
    viewer = state.viewers[target.user_id]
    session = viewer.sessions.get(outstanding.session_id or 0)
    if session is None or not session.toy_connected:
        session = viewer.toy_session
    assert session is not None, "checked just before"
    return session.session_id, viewer_call(vibration, session.toys)


# ---- what the page answers -------------------------------------------------------------------


def accepted(state: RoomState, ctx: Context, session_id: int, command_id: str) -> list[Effect]:
    """The page has the command; its toy gets the same time again to show that it reacts, once
    per attempt: a page cannot hold the room's queue by repeating itself."""
    outstanding = _answered_by(state, session_id, command_id)
    if outstanding is not None and not outstanding.accepted:
        outstanding.accepted = True
        outstanding.session_id = session_id
        outstanding.resting = False
        _set_deadline(state, outstanding, ctx.now.clock_s + ANSWER_TIMEOUT_S)
    return []


def activated(state: RoomState, ctx: Context, session_id: int, command_id: str) -> list[Effect]:
    outstanding = _answered_by(state, session_id, command_id)
    if outstanding is None:
        return []
    playing = slot.moment_of(state, outstanding)
    if playing is not None:
        slot.reacted(playing, outstanding, ctx)
    return close_command(state, ctx, outstanding, TargetState.ACTIVATED)


def failed(
    state: RoomState, ctx: Context, session_id: int, command_id: str, code: str
) -> list[Effect]:
    outstanding = _answered_by(state, session_id, command_id)
    if outstanding is None:
        return []
    playing = slot.moment_of(state, outstanding)
    if playing and isinstance(outstanding.target, ModelToy) and code in NOT_RUN_CODES:
        playing.model_rests_at_s = None  # it does not run: the slot is the viewers'
    return close_command(state, ctx, outstanding, TargetState.FAILED, Reason.PAGE_REPORTED, code)


def _answered_by(state: RoomState, session_id: int, command_id: str) -> Outstanding | None:
    """The command, if this session's user is its target. Answers about others' commands, and
    about commands that are over, are ignored."""
    outstanding = state.outstanding.get(command_id)
    if outstanding is None:
        return None
    if isinstance(outstanding.target, ModelToy):
        page = state.model_page
        return outstanding if page is not None and page.session_id == session_id else None
    owner = state.users_by_session.get(session_id)
    return outstanding if owner == outstanding.target.user_id else None


# ---- time passes -----------------------------------------------------------------------------


def run_deadlines(state: RoomState, ctx: Context) -> list[Effect]:
    """Time out, or try again, each command that is due."""
    effects: list[Effect] = []
    while (each := _most_urgent(state)) is not None and each.deadline_s <= ctx.now.clock_s:
        heappop(state.deadlines)
        effects += (_try_again if each.resting else _time_out)(state, ctx, each)
    return effects


def next_deadline_s(state: RoomState) -> float:
    """When `run_deadlines` has something to do again (trio's clock)."""
    urgent = _most_urgent(state)
    return float("inf") if urgent is None else urgent.deadline_s


def _most_urgent(state: RoomState) -> Outstanding | None:
    """Forgets deadlines of commands that are over, and those that were moved: a room that woke
    for each would wake twice for every command, for nothing."""
    while state.deadlines:
        deadline_s, command_id = state.deadlines[0]
        each = state.outstanding.get(command_id)
        if each is not None and each.deadline_s == deadline_s:
            return each
        heappop(state.deadlines)
    return None


def _set_deadline(state: RoomState, outstanding: Outstanding, deadline_s: float) -> None:
    outstanding.deadline_s = deadline_s
    heappush(state.deadlines, (deadline_s, outstanding.command_id))


def _time_out(
    state: RoomState, ctx: Context, outstanding: Outstanding, reason: Reason = Reason.NO_ANSWER
) -> list[Effect]:
    target, attempt = outstanding.target, outstanding.attempt
    timeout = TargetState.TIMEOUT
    step = target_step(ctx, outstanding.activation, target, attempt, timeout, reason)
    effects: list[Effect] = [WriteAudit((step,), ())]
    if attempt >= ATTEMPTS_MAX:
        return effects + close_command(state, ctx, outstanding, TargetState.DEAD, reason)
    outstanding.resting = True
    delay_s = ctx.chance.jitter(RETRY_DELAYS_S[attempt - 1])
    _set_deadline(state, outstanding, ctx.now.clock_s + delay_s)
    return effects


def _try_again(state: RoomState, ctx: Context, outstanding: Outstanding) -> list[Effect]:
    """The next attempt. A target that is away, or is back and has yet to report its toys, keeps
    its turn until the attempts are used up: who leaves and returns within that time gets the
    command."""
    reason = recheck(outstanding.target, state.snapshot())
    if reason in (Reason.NOT_PRESENT, Reason.NO_TOY):
        outstanding.attempt += 1
        return _time_out(state, ctx, outstanding, reason)
    if reason is not None:
        return close_command(state, ctx, outstanding, TargetState.SKIPPED, reason)
    return send(state, ctx, outstanding, slot.moment_of(state, outstanding))


# ---- a page is back --------------------------------------------------------------------------


def returned(state: RoomState, ctx: Context, owner_id: str) -> list[Effect]:
    """A page that was gone is back and has reported its toys: what it still owes is sent again,
    at once, under the same commandId."""
    effects: list[Effect] = []
    for each in list(state.outstanding.values()):
        if each.target.owner_id != owner_id or _still_there(state, each):
            continue
        if each.attempt < ATTEMPTS_MAX:
            effects += _try_again(state, ctx, each)
    return effects


def _still_there(state: RoomState, outstanding: Outstanding) -> bool:
    """Whether the page that has the command is still connected."""
    if isinstance(outstanding.target, ModelToy):
        page = state.model_page
        return page is not None and page.session_id == outstanding.session_id
    return outstanding.session_id in state.users_by_session
