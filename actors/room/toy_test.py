"""Toy test: a model tries a row of her menu on her own toy (spec 3). The one command without a
TipActivated: no tip, no tokens, and no way to another toy. It travels as a `ModelFrame`, which is
no frame for members, over `SendToModel`, which asks for her own page's socket.

It plays at once or not at all. So it never delays a tip that waits; a tip that comes while it plays
waits until her toy is at rest. Read `start`, then `answered`.
"""

from typing import Final

import msgspec

from actors.room.effects import Effect, SendToModel, WriteAudit
from actors.room.messages import Asker
from actors.room.slot import ANSWER_TIMEOUT_S
from actors.room.state import Context, RoomState, RunningTest
from actors.room.tips import reply
from actors.target_step import fit_of
from protocol import frames
from protocol.audit import Reason, TargetState, ToyTestRecord
from protocol.errors import ErrorCode, Refusal
from protocol.lovense import NOT_RUN_CODES, Fitted, model_call
from protocol.vibration import cap

TESTS_PER_MIN_MAX: Final = 10
_WINDOW_S: Final = 60.0
TESTER_NAME: Final = "Test"
"""The tipper's name that her page passes to the vendor's script."""


def start(state: RoomState, ctx: Context, asker: Asker, row_id: str) -> list[Effect]:
    """Send one test to her page, by the amount that her own levels map to the row."""
    row = next((each for each in state.tip_menu if each.row_id == row_id), None)
    if row is None:
        return reply(asker, Refusal(ErrorCode.MENU_ROW_UNKNOWN, "rowId"))
    page = state.model_page
    refusal = _refusal(state, ctx)
    if refusal is not None or page is None:
        return reply(asker, refusal or Refusal(ErrorCode.TOY_UNAVAILABLE))
    longest_s = state.platform.lovense_max_activation_duration
    wanted = cap(row.vibration, longest_s)
    fitted = model_call(
        page.integration, wanted, page.level_map, row.tip_amount, TESTER_NAME, longest_s
    )
    if fitted.call is None:
        reason = fitted.reason or Reason.NO_LEVEL_MAP
        detail = f"Her own levels cannot express this row: {reason}."
        return reply(asker, Refusal(ErrorCode.ROW_NOT_PLAYABLE, "rowId", detail))
    now_s, test_id = ctx.now.clock_s, ctx.chance.uuid7(ctx.now)
    state.toy_test = test = RunningTest(test_id, row_id, fitted.seconds, now_s + ANSWER_TIMEOUT_S)
    state.toy_tests_at_s.append(now_s)
    state.queue.started(now_s)
    _rest_at(state, now_s + ANSWER_TIMEOUT_S + fitted.seconds)
    command = frames.ToyTestCommand(
        command_id=test.command_id,
        call=fitted.call,
        duration_sec=wanted.duration_sec,
        expires_at=ctx.now.epoch_ms + int(ANSWER_TIMEOUT_S * 1000),
    )
    started = frames.ToyTestStarted(
        test.command_id, row_id, fitted.call, fitted.fit, fitted.seconds
    )
    return [
        *reply(asker, started),
        SendToModel(page.session_id, command),
        WriteAudit((_record(state, ctx, test, TargetState.SENT, fitted=fitted),), ()),
    ]


def _refusal(state: RoomState, ctx: Context) -> Refusal | None:
    now_s, page = ctx.now.clock_s, state.model_page
    if not state.platform.enable_lovense:
        return Refusal(ErrorCode.LOVENSE_DISABLED)
    if state.queue.paused:
        return Refusal(ErrorCode.TOYS_PAUSED)
    if page is None or not page.ready or not page.toy_connected:
        return Refusal(ErrorCode.TOY_UNAVAILABLE)
    if state.playing or state.toy_test or len(state.queue) or state.model_toy_rests_at_s > now_s:
        return Refusal(ErrorCode.TOYS_BUSY)
    while state.toy_tests_at_s and state.toy_tests_at_s[0] <= now_s - _WINDOW_S:
        state.toy_tests_at_s.popleft()
    free_at_s = state.queue.rate_allows_at_s(now_s, state.platform.lovense_rate_limit_per_min)
    if len(state.toy_tests_at_s) >= TESTS_PER_MIN_MAX:
        free_at_s = max(free_at_s, state.toy_tests_at_s[0] + _WINDOW_S)
    if free_at_s > now_s:
        return Refusal(ErrorCode.RATE_LIMITED, retry_after_s=free_at_s - now_s)
    return None


# ---- what her page answers -------------------------------------------------------------------


def is_running(state: RoomState, command_id: str) -> bool:
    return state.toy_test is not None and state.toy_test.command_id == command_id


def answered(
    state: RoomState,
    ctx: Context,
    frame: frames.CommandAccepted | frames.CommandActivated | frames.CommandFailed,
) -> list[Effect]:
    """Her page's answer to the test that runs; `accepted` gives it the same time again, once."""
    test, now_s = state.toy_test, ctx.now.clock_s
    assert test is not None, "checked just before"
    match frame:
        case frames.CommandAccepted():
            if not test.accepted:
                test.accepted, test.deadline_s = True, now_s + ANSWER_TIMEOUT_S
            return []
        case frames.CommandActivated():
            _rest_at(state, now_s + test.seconds)
            return _end(state, ctx, test, TargetState.ACTIVATED)
        case frames.CommandFailed(code=code):
            if code in NOT_RUN_CODES:
                _rest_at(state, now_s)
            return _end(state, ctx, test, TargetState.FAILED, Reason.PAGE_REPORTED, code)


def run_deadline(state: RoomState, ctx: Context) -> list[Effect]:
    """A page that does not answer is not asked again: she sees that nothing plays."""
    test = state.toy_test
    if test is None or test.deadline_s > ctx.now.clock_s:
        return []
    return _end(state, ctx, test, TargetState.EXPIRED, Reason.NO_ANSWER)


def stop(state: RoomState, ctx: Context) -> list[Effect]:
    """All toys stop; until when hers plays on, the caller knows."""
    if state.toy_test is None:
        return []
    return _end(state, ctx, state.toy_test, TargetState.FAILED, Reason.STOPPED)


def _rest_at(state: RoomState, at_s: float) -> None:
    """What plays is no tip's command: no tip may start before."""
    state.model_toy_rests_at_s, state.model_toy_tip_id = at_s, None


def _end(
    state: RoomState,
    ctx: Context,
    test: RunningTest,
    final: TargetState,
    reason: Reason | None = None,
    code: str | None = None,
) -> list[Effect]:
    state.toy_test = None
    return [WriteAudit((_record(state, ctx, test, final, reason, code),), ())]


def _record(
    state: RoomState,
    ctx: Context,
    test: RunningTest,
    at: TargetState,
    reason: Reason | None = None,
    code: str | None = None,
    fitted: Fitted | None = None,
) -> ToyTestRecord:
    return ToyTestRecord(
        record_id=ctx.chance.uuid7(ctx.now),
        test_id=test.test_id,
        room_id=state.room_id,
        model_id=state.model_id,
        row_id=test.row_id,
        state=at,
        reason=reason,
        code=code,
        call=None if fitted is None else msgspec.to_builtins(fitted.call),
        fit=None if fitted is None else fit_of(fitted),
        at_utc=ctx.now.utc,
    )
