"""Room: the rules of one room, as one pure step. Read `step`, then `actor.py`, which runs it."""

from collections.abc import Iterable
from typing import assert_never
from uuid import UUID

import msgspec

from actors.ports import RoomRecord, ViewerRecord
from actors.room import (
    activation,
    broadcasts,
    devices,
    dispatch,
    members,
    notices,
    presence,
    purchases,
    queue_report,
    requeue,
    tips,
    toy_stop,
    toy_test,
)
from actors.room.activation_queue import ActivationQueue
from actors.room.effects import Close, Effect, Publish, PutAway, StorePause
from actors.room.inspection import inspect, inspect_levels
from actors.room.messages import (
    Activate,
    BalanceChanged,
    DeviceOverridesChanged,
    EndBroadcastByRequest,
    HoldByRequest,
    Inspect,
    InspectLevels,
    Join,
    Leave,
    MemberFrame,
    MemberReply,
    ModelRenamed,
    ModelSettingsChanged,
    PlatformSettingsChanged,
    PublishEvent,
    PurchaseByRequest,
    RequeueByRequest,
    ResumeToysByRequest,
    RoomMessage,
    SendToUser,
    SetPreferencesByRequest,
    SettleHoldByRequest,
    StartBroadcastByRequest,
    StopToysByRequest,
    TierChanged,
    TierRegistered,
    TipByRequest,
    TipMenuChanged,
    ToyTestByRequest,
    TransferAnswered,
    _BroadcastStored,
    _Due,
    _PreferencesStored,
    _RequeueStored,
)
from actors.room.slot import ANSWER_TIMEOUT_S
from actors.room.state import PUT_AWAY_AFTER_S, Context, RoomState
from protocol import frames
from protocol.devices import Overrides
from protocol.errors import CloseCode, ErrorCode, Refusal
from protocol.tip_activated import MembershipTier
from protocol.toy_settings import ModelSettings, PlatformSettings


class Kept(msgspec.Struct, frozen=True):
    """What a crash must not make a room forget, and the database does not hold."""

    finished: dict[str, None]
    """A repeat of their events stays a no-op."""
    paused: bool
    """Toys that were stopped stay stopped."""
    starts_s: tuple[float, ...]
    """The rate holds."""
    model_toy_rests_at_s: float
    """Her toy plays on."""
    model_toy_tip_id: str | None
    stopped: frozenset[str]
    """Viewers' toys, too."""
    overrides: dict[str, Overrides]
    """As known by now."""
    low_batteries: dict[UUID, None]
    """No owner is warned twice."""
    tippers: frozenset[str]
    """Of this broadcast."""
    viewers: dict[str, tuple[MembershipTier, ViewerRecord]]
    """userId -> as known by now; what a Join says may be old."""


def new_state(
    record: RoomRecord, ctx: Context, model_share_percent: int, tip_bonus_percent: int
) -> RoomState:
    """A room as the database knows it. Its epoch is new: members must take a new snapshot."""
    state = RoomState(
        room_id=record.room_id,
        model_id=record.model_id,
        model_display_name=record.model_display_name,
        epoch=ctx.chance.uuid7(ctx.now).hex,
        platform=record.platform_settings,
        model_settings=record.model_settings,
        tip_menu=record.tip_menu,
        model_share_percent=model_share_percent,
        tip_bonus_percent=tip_bonus_percent,
        broadcast=record.broadcast,
        queue=ActivationQueue(),
        empty_since_s=ctx.now.clock_s,
        model_unready_since_s=ctx.now.clock_s,
        overrides={record.model_id: record.model_overrides},
    )
    state.queue.paused = record.toys_paused
    sent = record.model_toy_sent
    if sent is not None:
        # As late as a page may have started it. What an earlier process sent plays on.
        sent_ago_s = (ctx.now.utc - sent.at_utc).total_seconds()
        rests_in_s = ANSWER_TIMEOUT_S + sent.seconds - sent_ago_s
        state.model_toy_rests_at_s = ctx.now.clock_s + rests_in_s
        state.model_toy_tip_id = sent.tip_id
    return state


def keep(state: RoomState) -> Kept:
    """Of a room that has crashed."""
    rests_at_s, tip_id = state.model_toy_rests_at_s, state.model_toy_tip_id
    if state.playing is not None and state.playing.model_rests_at_s is not None:
        rests_at_s, tip_id = state.playing.model_rests_at_s, state.playing.model_tip_id
    return Kept(
        state.finished,
        state.queue.paused,
        state.queue.recent_starts_s(),
        rests_at_s,
        tip_id,
        frozenset(state.stopped),
        state.overrides,
        state.low_batteries,
        frozenset(state.tippers),
        {
            viewer.user_id: (viewer.tier, ViewerRecord(viewer.preferences, viewer.balance))
            for viewer in state.viewers.values()
        },
    )


def revive(state: RoomState, kept: Kept, joins: Iterable[Join], ctx: Context) -> list[Effect]:
    """The life after a crash: what was kept, and the members whose sockets are still open. Each
    is let in again, with a new snapshot and no new answer."""
    state.finished.update(kept.finished)
    state.queue.paused = kept.paused
    for start_s in kept.starts_s:
        state.queue.started(start_s)
    state.model_toy_rests_at_s = kept.model_toy_rests_at_s
    state.model_toy_tip_id = kept.model_toy_tip_id
    state.stopped.update(kept.stopped)
    state.low_batteries.update(kept.low_batteries)
    state.tippers.update(kept.tippers)
    effects: list[Effect] = []
    for join in joins:
        if join.user_id in kept.viewers and not join.is_model:
            tier, viewer = kept.viewers[join.user_id]
            join = msgspec.structs.replace(join, membership_tier=tier, viewer=viewer)
        effects += members.join(state, ctx, join)
        if join.user_id in kept.overrides:
            state.overrides[join.user_id] = kept.overrides[join.user_id]
    return effects


def restore(state: RoomState, record: RoomRecord, ctx: Context) -> list[Effect]:
    """Take up the activations that an earlier life of this room did not finish."""
    effects: list[Effect] = []
    for pending in record.pending:
        effects += activation.restore(state, ctx, pending.event, pending.records)
    for requeued in record.requeued:
        effects += activation.restore_requeue(state, ctx, requeued)
    return _remember(state, effects + _settle_down(state, ctx))


def step(state: RoomState, message: RoomMessage, ctx: Context) -> list[Effect]:
    """Apply one message, then all that is due, unless it leaves nothing to settle: no I/O, no
    waiting. Effects are in delivery order: what is for all comes last, for a thousand members take
    milliseconds, and a command or a stop that one of them waits for does not."""
    effects = _apply(state, message, ctx)
    if not _leaves_all_settled(message):
        effects += _settle_down(state, ctx)
    if len(effects) < 2:
        return _remember(state, effects)
    return sorted(_remember(state, effects), key=lambda effect: isinstance(effect, Publish))


def next_due_s(state: RoomState, ctx: Context) -> float:
    """When the room wants a step although nobody has told it anything (trio's clock)."""
    times = [activation.next_due_s(state, ctx), presence.next_due_s(state)]
    if state.empty_since_s is not None:
        times.append(state.empty_since_s + PUT_AWAY_AFTER_S)
    return min(times)


def _remember(state: RoomState, effects: list[Effect]) -> list[Effect]:
    """Keep what is published for those who return. Who joins in this very step gets it as an event:
    it comes after the own snapshot."""
    for effect in effects:
        if isinstance(effect, Publish) and isinstance(effect.event, frames.HistoryEvent):
            state.history.record(effect.event)
    return effects


def _leaves_all_settled(message: RoomMessage) -> bool:
    """What changes nothing that `_settle_down` looks at; nearly half of all messages. What falls
    due meanwhile has its own step, once no message waits."""
    if isinstance(message, MemberFrame):
        return isinstance(message.frame, frames.Tip | frames.CommandAccepted)
    return isinstance(message, BalanceChanged)


def _settle_down(state: RoomState, ctx: Context) -> list[Effect]:
    """What follows a step, whatever it was."""
    effects = activation.advance(state, ctx)
    effects += queue_report.report(state, ctx)
    effects += members.publish_view(state)
    effects += presence.publish(state, ctx)
    if not _empty(state):
        state.empty_since_s = None
    elif state.empty_since_s is None:
        state.empty_since_s = ctx.now.clock_s
    elif ctx.now.clock_s >= state.empty_since_s + PUT_AWAY_AFTER_S:
        effects.append(PutAway())
    return effects


def _empty(state: RoomState) -> bool:
    """Nobody is here and no tip is under way."""
    return not (
        state.viewers
        or state.model_page
        or state.unfinished
        or state.tips_at_ledger
        or state.broadcast_changing
    )


def _apply(state: RoomState, message: RoomMessage, ctx: Context) -> list[Effect]:
    match message:
        case MemberFrame():
            return _apply_frame(state, message.session_id, message.frame, ctx)
        case Join():
            return members.join(state, ctx, message)
        case Leave(session_id):
            return members.leave(state, ctx, session_id)
        case TierChanged(session_id, tier):
            return members.change_tier(state, session_id, tier)
        case Activate(event):
            presence.tipped(state, event.tipper.user_id)
            return activation.activate(state, ctx, event)
        case BalanceChanged(user_id, balance):
            return members.change_balance(state, user_id, balance)
        case TierRegistered(user_id, tier):
            return members.register_tier(state, user_id, tier)
        case ModelRenamed(display_name):
            state.model_display_name = display_name
            return []
        case TransferAnswered():
            return tips.answered(state, message.asker, message.user_id, message.outcome)
        case TipByRequest():
            return tips.tip(
                state,
                ctx,
                message.reply_to,
                message.tip_id,
                message.broadcast_id,
                message.amount,
                message.user_id,
                message.username,
                message.membership_tier,
            )
        case PurchaseByRequest():
            return purchases.buy(state, ctx, message)
        case HoldByRequest():
            return purchases.hold(state, ctx, message)
        case SettleHoldByRequest():
            return purchases.settle_hold(state, ctx, message)
        case SetPreferencesByRequest():
            return members.preferences_by_request(state, message)
        case StartBroadcastByRequest(reply_to, mode):
            return broadcasts.start(state, ctx, reply_to, mode)
        case EndBroadcastByRequest(reply_to):
            return broadcasts.end(state, reply_to)
        case StopToysByRequest(reply_to):
            return _stop_room(state, ctx) + tips.reply(reply_to, None)
        case ResumeToysByRequest(reply_to):
            return tips.reply(reply_to, None) + _set_paused(state, False)
        case DeviceOverridesChanged(user_id, overrides):
            return members.change_overrides(state, ctx, user_id, overrides)
        case PlatformSettingsChanged(settings):
            return _change_platform(state, ctx, settings)
        case ModelSettingsChanged(settings):
            return _change_model(state, settings)
        case TipMenuChanged(rows):
            state.change_tip_menu(rows)
            return []
        case PublishEvent():
            return notices.publish(state, message)
        case SendToUser():
            return notices.send(state, message)
        case _BroadcastStored():
            return broadcasts.stored(state, ctx, message)
        case _PreferencesStored():
            return members.preferences_stored(state, ctx, message)
        case ToyTestByRequest(reply_to, row_id):
            return toy_test.start(state, ctx, reply_to, row_id)
        case RequeueByRequest():
            return requeue.requeue(state, ctx, message)
        case _RequeueStored():
            return requeue.stored(state, ctx, message)
        case Inspect(reply_to):
            return tips.reply(reply_to, inspect(state, ctx))
        case InspectLevels(reply_to):
            return tips.reply(reply_to, inspect_levels(state))
        case _Due():
            return []
        case _:
            assert_never(message)


def _apply_frame(
    state: RoomState, session_id: int, frame: frames.ClientFrame, ctx: Context
) -> list[Effect]:
    user_id = state.users_by_session.get(session_id)
    page = state.model_page
    is_model = page is not None and page.session_id == session_id
    if user_id is None and not is_model:
        # It has left or was refused; or its stop came ahead of its own Join.
        ref = getattr(frame, "ref", None)
        refusal = Refusal(ErrorCode.ROOM_BUSY)
        return [] if ref is None else tips.reply(MemberReply(session_id, ref), refusal)
    match frame:
        case (
            frames.CommandAccepted(command_id)
            | frames.CommandActivated(command_id)
            | frames.CommandFailed(command_id)
        ) if is_model and toy_test.is_running(state, command_id):
            answered = toy_test.answered(state, ctx, frame)
            if isinstance(frame, frames.CommandAccepted):
                return answered
            return answered + devices.answered(state, ctx, session_id, frame)
        case frames.CommandAccepted(command_id):
            return dispatch.accepted(state, ctx, session_id, command_id)
        case frames.CommandActivated(command_id):
            worked = devices.answered(state, ctx, session_id, frame)
            return dispatch.activated(state, ctx, session_id, command_id) + worked
        case frames.CommandFailed(command_id, code):
            failed = devices.answered(state, ctx, session_id, frame)
            return dispatch.failed(state, ctx, session_id, command_id, code) + failed
        case (
            frames.Connect()
            | frames.RefreshToken()
            | frames.MessageDelivered()
            | frames.MessageRead()
        ):
            raise AssertionError("the session sees to these")
        case frames.ReportToys():
            return members.report_toys(state, ctx, session_id, frame)
        case frames.ReportSettings():
            return members.report_settings(state, ctx, session_id, frame)
        case frames.SetPresence():
            return presence.set_presence(state, session_id, frame)
        case frames.Typing():
            return presence.set_typing(state, ctx, session_id, frame)
        case frames.SetPreferences():
            return members.preferences_by_frame(state, session_id, frame)
        case _:
            pass
    asker = MemberReply(session_id, frame.ref)
    match frame:
        case frames.Tip():
            if user_id is None:
                return tips.reply(asker, _forbidden("A model does not tip in her own room."))
            viewer = state.viewers[user_id]
            return tips.tip(
                state,
                ctx,
                asker,
                frame.tip_id,
                frame.broadcast_id,
                frame.amount,
                user_id,
                viewer.username,
                viewer.tier,
            )
        case frames.ListMembers():
            return presence.list_members(state, asker, frame)
        case frames.StopToys():
            if user_id is None:
                return _stop_room(state, ctx) + tips.reply(asker, None)
            stopped = toy_stop.stop_viewer(state, ctx, user_id)
            return stopped + tips.reply(asker, None) + members.set_stopped(state, user_id, True)
        case frames.ResumeToys() if user_id is not None:
            return tips.reply(asker, None) + members.set_stopped(state, user_id, False)
        case (
            frames.ResumeToys() | frames.StartBroadcast() | frames.EndBroadcast() | frames.ToyTest()
        ):
            if not is_model:
                return tips.reply(asker, _forbidden("Only the model does this."))
            return _apply_model_frame(state, asker, frame, ctx)
        case _:
            assert_never(frame)


def _apply_model_frame(
    state: RoomState,
    asker: MemberReply,
    frame: frames.ResumeToys | frames.StartBroadcast | frames.EndBroadcast | frames.ToyTest,
    ctx: Context,
) -> list[Effect]:
    match frame:
        case frames.ResumeToys():
            return tips.reply(asker, None) + _set_paused(state, False)
        case frames.StartBroadcast():
            return broadcasts.start(state, ctx, asker, frame.lovense_mode)
        case frames.EndBroadcast():
            return broadcasts.end(state, asker)
        case frames.ToyTest(row_id=row_id):
            return toy_test.start(state, ctx, asker, row_id)
        case _:
            assert_never(frame)


def _stop_room(state: RoomState, ctx: Context) -> list[Effect]:
    """The stop frames come first, before anything else that follows from them."""
    stored = _set_paused(state, True)
    return toy_stop.stop_all(state, ctx) + stored


def _set_paused(state: RoomState, paused: bool) -> list[Effect]:
    changed, state.queue.paused = state.queue.paused is not paused, paused
    if not changed or state.broadcast is None:
        return []
    return [StorePause(state.broadcast.broadcast_id, paused)]


def _change_platform(state: RoomState, ctx: Context, settings: PlatformSettings) -> list[Effect]:
    killed = state.platform.enable_lovense and not settings.enable_lovense
    state.change_platform_settings(settings)
    return toy_stop.stop_all(state, ctx) if killed else []


def _change_model(state: RoomState, settings: ModelSettings) -> list[Effect]:
    mode_changed = settings.viewer_sync_mode is not state.model_settings.viewer_sync_mode
    state.change_model_settings(settings)
    return members.all_viewers_changed(state) if mode_changed else []


def _forbidden(detail: str) -> Refusal:
    return Refusal(ErrorCode.FORBIDDEN, detail=detail)


def apology(message: RoomMessage, code: ErrorCode = ErrorCode.INTERNAL) -> list[Effect]:
    """The answer to a message that the room cannot take, because it crashed on it or has ended,
    so that nobody waits for nothing. A tip's outcome is told as it is: it stands in the ledger.
    """
    refusal = Refusal(code)
    match message:
        case Join(session_id, ref):
            failed = code is ErrorCode.ROOM_FAILED
            end = CloseCode.ROOM_FAILED if failed else CloseCode.ROOM_RESTARTING
            answer = [] if ref is None else tips.reply(MemberReply(session_id, ref), refusal)
            return [*answer, Close(session_id, end)]
        case MemberFrame(session_id, frame):
            ref = getattr(frame, "ref", None)  # an answer to a command has none
            return [] if ref is None else tips.reply(MemberReply(session_id, ref), refusal)
        case TransferAnswered(asker=asker, outcome=outcome):
            return tips.reply(asker, tips.told(outcome))
        case (
            _BroadcastStored(asker=asker)
            | _PreferencesStored(asker=asker)
            | _RequeueStored(asker=asker)
        ):
            return tips.reply(asker, refusal)
        case _:
            reply_to = getattr(message, "reply_to", None)  # of what others ask
            return [] if reply_to is None else tips.reply(reply_to, refusal)
