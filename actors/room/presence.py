"""Presence: who is here, online or away, and who is typing; told to all at most every second.

Spec 7: presence. Who has left is offline. A member with several tabs is here once, and away only if
all of them are.
"""

from typing import Final

from actors.room.effects import Effect, Publish
from actors.room.messages import MemberReply
from actors.room.state import Context, ModelPage, RoomState, Viewer
from actors.room.tips import reply
from protocol import frames
from protocol.errors import ErrorCode, Refusal
from protocol.reconnect import reconnect_window_s

INTERVAL_S: Final = 1.0
"""At most one change list, and one list of who types, in this time."""
TYPING_S: Final = 5.0
TYPING_SHOWN_MAX: Final = 8
"""The others are counted: nobody reads more."""

MODEL: Final = ""
"""The model's page in the roster: no userId is empty, and hers may be a viewer's, too."""


# ---- the roster ------------------------------------------------------------------------------


def show_viewer(state: RoomState, viewer: Viewer) -> None:
    """As he is now."""
    state.roster.put(
        viewer.user_id,
        username=viewer.username,
        role="moderator" if viewer.is_moderator else "viewer",
        tier=viewer.tier,
        tipper=viewer.user_id in state.tippers,
        away=all(session.away for session in viewer.sessions.values()),
    )


def show_model(state: RoomState, page: ModelPage) -> None:
    state.roster.put(
        MODEL, username=page.username, role="model", tier=page.tier, tipper=False, away=page.away
    )


def hide(state: RoomState, name: str) -> None:
    """A userId, or MODEL: offline."""
    state.roster.remove(name)
    if state.typing.pop(name, None) is not None:
        state.typing_changed = True


def tipped(state: RoomState, user_id: str) -> None:
    """A tip of this broadcast is settled."""
    if user_id not in state.tippers:
        state.tippers.add(user_id)
        viewer = state.viewers.get(user_id)
        if viewer is not None:
            show_viewer(state, viewer)


def forget_tippers(state: RoomState) -> None:
    """The broadcast is over."""
    known, state.tippers = state.tippers, set()
    for user_id in known:
        if (viewer := state.viewers.get(user_id)) is not None:
            show_viewer(state, viewer)


# ---- what members say ------------------------------------------------------------------------


def set_presence(state: RoomState, session_id: int, frame: frames.SetPresence) -> list[Effect]:
    """Of one tab."""
    page, away = state.model_page, frame.state == "away"
    if page is not None and page.session_id == session_id:
        page.away = away
        show_model(state, page)
        return []
    viewer = state.viewers[state.users_by_session[session_id]]
    viewer.sessions[session_id].away = away
    show_viewer(state, viewer)
    return []


def set_typing(
    state: RoomState, ctx: Context, session_id: int, frame: frames.Typing
) -> list[Effect]:
    """Shown for TYPING_S, unless it is said again or taken back."""
    name = state.users_by_session.get(session_id, MODEL)
    known = state.typing.pop(name, None) is not None
    if frame.active:
        state.typing[name] = ctx.now.clock_s + TYPING_S  # the latest at the end
    state.typing_changed = state.typing_changed or known is not frame.active
    return []


def list_members(state: RoomState, asker: MemberReply, frame: frames.ListMembers) -> list[Effect]:
    try:
        members, following = state.roster.page(frame.after, frame.limit)
    except ValueError:
        return reply(asker, Refusal(ErrorCode.INVALID_FIELD, "after"))
    page = frames.MemberPage(members, following, len(state.viewers), state.presence_version)
    return reply(asker, page)


# ---- what everyone is told -------------------------------------------------------------------


def publish(state: RoomState, ctx: Context) -> list[Effect]:
    return [*_publish_changes(state, ctx), *_publish_typing(state, ctx)]


def next_due_s(state: RoomState) -> float:
    """When something may go out, or a member stops typing; never, while nothing has changed."""
    times = [float("inf")]
    if state.roster.changed:
        times.append(state.presence_sent_at_s + INTERVAL_S)
    if state.typing_changed:
        times.append(state.typing_sent_at_s + INTERVAL_S)
    if state.typing:
        times.append(next(iter(state.typing.values())))
    return min(times)


def _publish_changes(state: RoomState, ctx: Context) -> list[Effect]:
    if not state.roster.changed or ctx.now.clock_s < state.presence_sent_at_s + INTERVAL_S:
        return []
    changes = state.roster.take_changes()
    if not (changes.here or changes.gone):
        return []  # who went is back
    state.presence_sent_at_s = ctx.now.clock_s
    state.presence_version += 1
    viewers = len(state.viewers)
    return [
        Publish(
            frames.PresenceChanged(
                epoch=state.epoch,
                offset=state.offset,
                viewers=viewers,
                reconnect_within_s=reconnect_window_s(viewers),
                version=state.presence_version,
                here=changes.here,
                gone=changes.gone,
                omitted=changes.omitted,
            )
        )
    ]


def _publish_typing(state: RoomState, ctx: Context) -> list[Effect]:
    now_s = ctx.now.clock_s
    while state.typing and next(iter(state.typing.values())) <= now_s:
        del state.typing[next(iter(state.typing))]
        state.typing_changed = True
    if not state.typing_changed or now_s < state.typing_sent_at_s + INTERVAL_S:
        return []
    state.typing_changed = False
    shown = typing_view(state)
    if shown == state.typing_sent:
        return []
    state.typing_sent, state.typing_sent_at_s = shown, now_s
    return [Publish(frames.TypingChanged(state.epoch, state.offset, shown))]


def typing_view(state: RoomState) -> frames.TypingView:
    """Those who have typed longest without a pause come first."""
    shown: list[frames.TypingMember] = []
    for name in state.typing:
        if len(shown) == TYPING_SHOWN_MAX:
            break
        member = state.roster.member(name)
        assert member is not None, "who types is here"
        shown.append(frames.TypingMember(member.id, member.username))
    return frames.TypingView(tuple(shown), len(state.typing))
