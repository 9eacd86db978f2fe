"""A viewer's preferences over HTTP; the same rules as over the socket."""

from functools import partial

import msgspec
from quart import Blueprint, Response

from actors.room.messages import SetPreferencesByRequest
from protocol.errors import ErrorCode
from protocol.gating import Preferences
from server.auth import Role
from server.http.body import accepts, answers, json
from server.http.guard import allow, caller, own_room
from server.services import Services


class PreferencesBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A field that is left out stays as it is."""

    react_to_my_tips: bool | None = None
    feel_all_tips: bool | None = None


def blueprint(services: Services) -> Blueprint:
    preferences = Blueprint("preferences", __name__)

    @preferences.get("/preferences")
    @allow(services.authority, Role.VIEWER)
    @answers(Preferences, ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.ROOM_BUSY)
    async def get_preferences() -> Response:
        """The caller's own preferences"""
        viewer = await services.members.load_viewer(caller().user_id)
        return json(viewer.preferences)

    @preferences.put("/rooms/<room_id>/preferences")
    @allow(services.authority, Role.VIEWER)
    @accepts(PreferencesBody)
    @answers(
        Preferences,
        ErrorCode.TOKEN_INVALID,
        ErrorCode.FORBIDDEN,
        ErrorCode.ROOM_UNKNOWN,
        ErrorCode.PREFERENCE_HIDDEN,
        ErrorCode.ROOM_BUSY,
    )
    async def put_preferences(body: PreferencesBody, room_id: str) -> Response:
        """Change the caller's own preferences

        A preference whose toggle is hidden in this room now is refused; then nothing changes.
        """
        own_room(room_id)
        changed = await services.ask_room(
            room_id,
            partial(
                SetPreferencesByRequest,
                user_id=caller().user_id,
                react_to_my_tips=body.react_to_my_tips,
                feel_all_tips=body.feel_all_tips,
            ),
        )
        return json(changed)

    return preferences
