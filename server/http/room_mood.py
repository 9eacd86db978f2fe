"""A room's mood, by its model or by staff (spec 6)."""

from datetime import datetime
from typing import Final

import msgspec
from quart import Blueprint, Response

from actors.messaging.ports import RoomMood
from protocol.errors import ErrorCode, Refused
from protocol.mood_messages import NEUTRAL, Confidence, Mood, MoodDraft
from server.auth import Role
from server.http.body import answers, json
from server.http.guard import allow, caller
from server.http.validated import accepts_validated
from server.services import Services

_ERRORS: Final = (
    ErrorCode.TOKEN_INVALID,
    ErrorCode.FORBIDDEN,
    ErrorCode.ROOM_UNKNOWN,
    ErrorCode.LEDGER_UNAVAILABLE,
)


class RoomMoodView(msgspec.Struct, frozen=True, rename="camel"):
    """`setAt` is null where nobody has set one, or it has expired: then the room is neutral."""

    mood: Mood
    confidence: Confidence
    set_at: datetime | None
    expires_at: datetime | None


def blueprint(services: Services) -> Blueprint:
    moods = Blueprint("room_mood", __name__)
    messaging = services.messaging

    @moods.get("/rooms/<room_id>/mood")
    @allow(services.authority, Role.MODEL, Role.VIEWER, Role.SERVICE, Role.ADMIN)
    @answers(RoomMoodView, *_ERRORS)
    async def get_mood(room_id: str) -> Response:
        """A room's mood now"""
        _in_room(room_id)
        return json(_view(await messaging.moods.load_mood(room_id)))

    @moods.put("/rooms/<room_id>/mood")
    @allow(services.authority, Role.MODEL, Role.SERVICE, Role.ADMIN)
    @accepts_validated(MoodDraft)
    @answers(RoomMoodView, *_ERRORS, ErrorCode.RATE_LIMITED)
    async def put_mood(draft: MoodDraft, room_id: str) -> Response:
        """Set a room's mood

        Its members are told at once, and again when it expires. Sixty times an hour.
        """
        identity = caller()
        if identity.role is Role.MODEL:
            model = await services.settings_store.load_model(identity.user_id)
            if model is None or room_id not in model.room_ids:
                raise Refused(ErrorCode.FORBIDDEN)
        return json(_view(await messaging.set_mood(room_id, draft, identity.user_id)))

    return moods


def _in_room(room_id: str) -> None:
    """Members see the mood of the room that their token names. Raises Refused with WRONG_ROOM."""
    identity = caller()
    if identity.role in (Role.MODEL, Role.VIEWER) and identity.room_id != room_id:
        raise Refused(ErrorCode.WRONG_ROOM)


def _view(mood: RoomMood | None) -> RoomMoodView:
    if mood is None:
        return RoomMoodView(NEUTRAL.mood, NEUTRAL.confidence, None, None)
    return RoomMoodView(mood.mood, mood.confidence, mood.set_at, mood.expires_at)
