"""Who is in the room: joins, leaves, toys, preferences, and what each member is shown.

Spec 1: model session, viewer gating; spec 7: presence, connection.
"""

from collections import deque
from typing import Final

from actors.ports import ModelSessionId
from actors.room import devices, presence
from actors.room.dispatch import returned
from actors.room.effects import Admit, Close, Effect, Publish, Send, StorePreferences
from actors.room.messages import (
    Asker,
    Join,
    MemberReply,
    SetPreferencesByRequest,
    _PreferencesStored,
)
from actors.room.queue_report import own_tips, queue_view
from actors.room.state import (
    Context,
    ModelPage,
    PreferencesWanted,
    RoomState,
    Session,
    Viewer,
)
from actors.room.tips import error_frame, reply
from actors.room.toy_stop import stop_model, stop_viewer
from protocol import frames
from protocol.devices import Overrides, is_tighter
from protocol.errors import CloseCode, ErrorCode, Refusal
from protocol.gating import Preferences, set_preferences
from protocol.lovense import read_level_map, read_toys
from protocol.reconnect import reconnect_window_s
from protocol.tip_activated import MembershipTier

PREFERENCES_WAITING_MAX: Final = 8
"""Changes of one viewer that wait for the database; a page changes one toggle at a time."""

_REFUSED_PAGE: Final = {
    ErrorCode.SECOND_MODEL_PAGE: CloseCode.SECOND_MODEL_PAGE,
    ErrorCode.INTEGRATION_CONFLICT: CloseCode.INTEGRATION_CONFLICT,
    ErrorCode.INVALID_FIELD: CloseCode.BAD_FRAMES,
    ErrorCode.FORBIDDEN: CloseCode.WRONG_ROOM,
}


# ---- joining and leaving ---------------------------------------------------------------------


def join(state: RoomState, ctx: Context, message: Join) -> list[Effect]:
    """Let a member in, with `ok` and a snapshot, or say why not and close."""
    return (_join_model if message.is_model else _join_viewer)(state, ctx, message)


def _join_model(state: RoomState, ctx: Context, message: Join) -> list[Effect]:
    refusal = _model_refusal(state, message)
    if refusal is not None:
        return [
            Send(message.session_id, error_frame(message.ref, refusal)),
            Close(message.session_id, _REFUSED_PAGE[refusal.code]),
        ]
    assert message.integration is not None
    effects: list[Effect] = []
    if state.model_page is not None:  # the same page, back before its lost socket was noticed
        effects.append(Close(state.model_page.session_id, CloseCode.SECOND_MODEL_PAGE))
    state.model_page = page = ModelPage(
        ModelSessionId(message.session_id),
        message.username,
        message.membership_tier,
        message.page_id,
        message.integration,
    )
    state.model_unready_since_s = ctx.now.clock_s
    presence.show_model(state, page)
    effects += _admit(state, ctx, message, state.model_view(page))
    effects.append(Send(page.session_id, queue_view(state, ctx)))
    return effects


def _model_refusal(state: RoomState, message: Join) -> Refusal | None:
    if message.user_id != state.model_id:
        return Refusal(ErrorCode.FORBIDDEN, detail="This is another model's room.")
    if message.integration is None:
        return Refusal(ErrorCode.INVALID_FIELD, "integration")
    page = state.model_page
    if page is not None and (page.page_id is None or page.page_id != message.page_id):
        return Refusal(
            ErrorCode.SECOND_MODEL_PAGE,
            detail=f"The model's page is already open, with {page.integration}.",
        )
    if state.broadcast is not None and state.broadcast.lovense_mode is not message.integration:
        return Refusal(
            ErrorCode.INTEGRATION_CONFLICT,
            "integration",
            f"This broadcast runs on {state.broadcast.lovense_mode}; "
            "another integration needs a new broadcast.",
        )
    return None


def _join_viewer(state: RoomState, ctx: Context, message: Join) -> list[Effect]:
    viewer = state.viewers.get(message.user_id)
    if viewer is None:
        viewer = state.viewers[message.user_id] = Viewer(
            message.user_id,
            message.username,
            message.membership_tier,
            message.viewer.preferences,
            message.viewer.balance,
            stopped=message.user_id in state.stopped,
        )
        state.overrides[viewer.user_id] = message.viewer.overrides
    effects = _set_tier(state, viewer, message.membership_tier)  # the other tabs; then this one
    viewer.sessions[message.session_id] = Session(message.session_id, message.user_id)
    state.users_by_session[message.session_id] = message.user_id
    state.flags[viewer.user_id] = viewer.flags()
    viewer.is_moderator = message.is_moderator
    presence.show_viewer(state, viewer)
    effects += _admit(state, ctx, message, state.viewer_view(viewer))
    return effects + own_tips(state, ctx, viewer.user_id, message.session_id)


def _admit(state: RoomState, ctx: Context, message: Join, view: frames.SelfView) -> list[Effect]:
    """Answer, snapshot with what was missed, and only then the room's events."""
    missed = state.missed_since(message.resume)
    snapshot = frames.Snapshot(
        epoch=state.epoch,
        offset=state.offset,
        recovered=missed is not None,
        server_time=ctx.now.epoch_ms,
        room=state.view(),
        self=view,
        viewers=len(state.viewers),
        presence_version=state.presence_version,
        typing=presence.typing_view(state),
        missed=missed or (),
        reconnect_within_s=reconnect_window_s(len(state.viewers)),
    )
    answer: list[Effect] = (
        [] if message.ref is None else [Send(message.session_id, frames.Ok(message.ref))]
    )
    return [*answer, Send(message.session_id, snapshot), Admit(message.session_id)]


def leave(state: RoomState, ctx: Context, session_id: int) -> list[Effect]:
    """A socket is gone; also one that was refused and never became a member."""
    page = state.model_page
    if page is not None and page.session_id == session_id:
        lose_model_page(state, ctx)
        return devices.report(state, ctx, state.model_id)
    user_id = state.users_by_session.pop(session_id, None)
    if user_id is None:
        return []
    viewer = state.viewers[user_id]
    had_toys = viewer.sessions[session_id].had_toys
    del viewer.sessions[session_id]
    if not viewer.sessions:
        del state.viewers[user_id]
        del state.flags[user_id]
        state.overrides.pop(user_id, None)
        presence.hide(state, user_id)
        return devices.report(state, ctx, user_id) if had_toys else []
    presence.show_viewer(state, viewer)
    if not had_toys:
        return []
    return _viewer_changed(state, viewer) + devices.report(state, ctx, user_id)


def lose_model_page(state: RoomState, ctx: Context) -> None:
    """Her page is gone, or is about to be closed: nothing more is sent to it."""
    state.model_page = None
    presence.hide(state, presence.MODEL)
    state.model_unready_since_s = ctx.now.clock_s


# ---- what members tell of themselves ---------------------------------------------------------


def report_toys(
    state: RoomState, ctx: Context, session_id: int, frame: frames.ReportToys
) -> list[Effect]:
    reported = read_toys(frame.toys)
    effects = reply(MemberReply(session_id, frame.ref), None)
    page = state.model_page
    if page is not None and page.session_id == session_id:
        before, page.reported = page.reported, reported
        page.toys = devices.usable_as(state, state.model_id, reported)
        page.faulty = False
        effects += devices.reported(state, ctx, state.model_id, before, reported)
        return effects + _model_toys_changed(state, ctx, page)
    viewer = state.viewers[state.users_by_session[session_id]]
    session = viewer.sessions[session_id]
    before, session.reported = session.reported, reported
    session.toys = devices.usable_as(state, viewer.user_id, reported)
    session.faulty = False
    session.had_toys = session.had_toys or bool(reported)
    effects += devices.reported(state, ctx, viewer.user_id, before, reported)
    effects += _viewer_changed(state, viewer)
    if viewer.toy_session is not None:
        effects += returned(state, ctx, viewer.user_id)
    return effects


def change_overrides(
    state: RoomState, ctx: Context, user_id: str, overrides: Overrides
) -> list[Effect]:
    """In force now. What plays on a toy that may do less than before is stopped."""
    old = state.overrides.get(user_id)
    if old is None:
        return []  # not here: the next join brings them
    state.overrides[user_id] = overrides
    page, viewer = state.model_page, state.viewers.get(user_id)
    if user_id == state.model_id and page is not None:
        if page.toys is None:
            return []
        page.toys = devices.usable_as(state, user_id, page.reported)
        stopped = stop_model(state, ctx) if is_tighter(overrides, old) else []
        return stopped + _model_toys_changed(state, ctx, page)
    if viewer is None:
        return []
    for session in viewer.sessions.values():
        session.toys = devices.usable_as(state, user_id, session.reported)
    effects = stop_viewer(state, ctx, user_id) if is_tighter(overrides, old) else []
    return effects + _viewer_changed(state, viewer)


def report_settings(
    state: RoomState, ctx: Context, session_id: int, frame: frames.ReportSettings
) -> list[Effect]:
    page = state.model_page
    asker = MemberReply(session_id, frame.ref)
    if page is None or page.session_id != session_id:
        return reply(asker, Refusal(ErrorCode.FORBIDDEN, detail="Only the model's page does."))
    page.reported_levels = None if frame.settings is None else read_level_map(frame.settings)
    page.settings_reported = True
    return reply(asker, None) + _model_toys_changed(state, ctx, page)


def _model_toys_changed(state: RoomState, ctx: Context, page: ModelPage) -> list[Effect]:
    levels = page.level_map.levels if page.level_map is not None else ()
    understood = frames.ModelToysChanged(page.toys or (), levels)
    effects: list[Effect] = [
        Send(page.session_id, understood),
        Send(page.session_id, frames.SelfChanged(state.model_view(page))),
    ]
    if page.ready and page.toy_connected:
        effects += returned(state, ctx, state.model_id)
    return effects


def change_tier(state: RoomState, session_id: int, tier: MembershipTier) -> list[Effect]:
    user_id = state.users_by_session.get(session_id)
    return [] if user_id is None else _set_tier(state, state.viewers[user_id], tier)


def register_tier(state: RoomState, user_id: str, tier: MembershipTier) -> list[Effect]:
    viewer = state.viewers.get(user_id)
    return [] if viewer is None else _set_tier(state, viewer, tier)


def _set_tier(state: RoomState, viewer: Viewer, tier: MembershipTier) -> list[Effect]:
    """The newest token says which tier counts, on all tabs."""
    if viewer.tier is tier:
        return []
    viewer.tier = tier
    if viewer.sessions:  # else it is about to join
        presence.show_viewer(state, viewer)
    return _viewer_changed(state, viewer)


def change_balance(state: RoomState, user_id: str, balance: int) -> list[Effect]:
    """Of a viewer who is here; what the room knows already is no news."""
    viewer = state.viewers.get(user_id)
    if viewer is None or viewer.balance == balance:
        return []
    viewer.balance = balance
    return _viewer_changed(state, viewer)


# ---- preferences -----------------------------------------------------------------------------


def preferences_by_frame(
    state: RoomState, session_id: int, frame: frames.SetPreferences
) -> list[Effect]:
    asker = MemberReply(session_id, frame.ref)
    user_id = state.users_by_session.get(session_id)
    if user_id is None:
        return reply(asker, Refusal(ErrorCode.FORBIDDEN, detail="Only viewers have preferences."))
    return _change_preferences(state, asker, user_id, frame.react_to_my_tips, frame.feel_all_tips)


def preferences_by_request(state: RoomState, message: SetPreferencesByRequest) -> list[Effect]:
    if message.user_id not in state.viewers:
        # Without a session no toy is connected, so that both toggles are hidden.
        return reply(message.reply_to, Refusal(ErrorCode.PREFERENCE_HIDDEN))
    return _change_preferences(
        state,
        message.reply_to,
        message.user_id,
        message.react_to_my_tips,
        message.feel_all_tips,
    )


def _change_preferences(
    state: RoomState,
    asker: Asker,
    user_id: str,
    react_to_my_tips: bool | None,
    feel_all_tips: bool | None,
) -> list[Effect]:
    """Checked, stored by the actor, in force when stored; one after the other."""
    wanted = PreferencesWanted(asker, react_to_my_tips, feel_all_tips)
    waiting = state.preferences_storing.get(user_id)
    if waiting is None:
        return _store_preferences(state, user_id, wanted)
    if len(waiting) >= PREFERENCES_WAITING_MAX:
        return reply(asker, Refusal(ErrorCode.ROOM_BUSY))
    waiting.append(wanted)
    return []


def _store_preferences(state: RoomState, user_id: str, wanted: PreferencesWanted) -> list[Effect]:
    viewer = state.viewers.get(user_id)
    if viewer is None:  # has left since, and with the session went the toy
        return reply(wanted.asker, Refusal(ErrorCode.PREFERENCE_HIDDEN))
    changed = set_preferences(
        viewer.preferences,
        state.gates_of(viewer),
        wanted.react_to_my_tips,
        wanted.feel_all_tips,
    )
    if isinstance(changed, Refusal):
        return reply(wanted.asker, changed)
    state.preferences_storing.setdefault(user_id, deque())
    return [StorePreferences(user_id, changed, wanted.asker)]


def preferences_stored(state: RoomState, ctx: Context, message: _PreferencesStored) -> list[Effect]:
    """The outcome of one change, in force now; then the next one that waited for it."""
    effects = reply(message.asker, message.failed or message.preferences)
    viewer = state.viewers.get(message.user_id)
    if viewer is not None and message.failed is None:
        old, viewer.preferences = viewer.preferences, message.preferences
        effects += _viewer_changed(state, viewer)
        if _opted_out(old, viewer.preferences):
            # Who opts out while something plays means that, too.
            effects += stop_viewer(state, ctx, viewer.user_id)
    # Nothing waits if the room has crashed since it asked for this.
    waiting = state.preferences_storing.pop(message.user_id, deque())
    while waiting and message.user_id not in state.preferences_storing:
        effects += _store_preferences(state, message.user_id, waiting.popleft())
    if waiting:
        state.preferences_storing[message.user_id] = waiting
    return effects


def _opted_out(old: Preferences, new: Preferences) -> bool:
    return (old.react_to_my_tips and not new.react_to_my_tips) or (
        old.feel_all_tips and not new.feel_all_tips
    )


def set_stopped(state: RoomState, user_id: str, stopped: bool) -> list[Effect]:
    """A viewer's toy takes part no more, or takes part again."""
    (state.stopped.add if stopped else state.stopped.discard)(user_id)
    viewer = state.viewers[user_id]
    viewer.stopped = stopped
    return _viewer_changed(state, viewer)


# ---- what members are shown ------------------------------------------------------------------


def _viewer_changed(state: RoomState, viewer: Viewer) -> list[Effect]:
    """A viewer's own state changed: routing sees it, and so do the viewer's tabs."""
    state.flags[viewer.user_id] = viewer.flags()
    view = frames.SelfChanged(state.viewer_view(viewer))
    return [Send(session_id, view) for session_id in viewer.sessions]


def all_viewers_changed(state: RoomState) -> list[Effect]:
    """The sync mode changed, and with it everyone's gates."""
    return [
        effect for viewer in state.viewers.values() for effect in _viewer_changed(state, viewer)
    ]


def publish_view(state: RoomState) -> list[Effect]:
    """The room's public state to everyone, if it is not what they have."""
    view = state.view()
    if view == state.view_sent:
        return []
    first, state.view_sent = state.view_sent is None, view
    return [] if first else [Publish(frames.RoomChanged(state.epoch, state.offset, view))]
