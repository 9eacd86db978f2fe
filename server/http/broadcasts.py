"""Going live and ending over HTTP: by the model, or by the platform's back end."""

from functools import partial

import msgspec
from quart import Blueprint, Response

from actors.room.messages import EndBroadcastByRequest, StartBroadcastByRequest
from protocol.errors import ErrorCode, Refused
from protocol.frames import BroadcastStarted
from protocol.tip_activated import LovenseMode
from server.auth import Role
from server.http.body import accepts, answers, json
from server.http.guard import allow, caller, own_room
from server.services import Services

_ERRORS = (
    ErrorCode.TOKEN_INVALID,
    ErrorCode.FORBIDDEN,
    ErrorCode.ROOM_UNKNOWN,
    ErrorCode.BROADCAST_ACTIVE,
    ErrorCode.ROOM_BUSY,
)


class BroadcastBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The one integration of the whole broadcast."""

    lovense_mode: LovenseMode


def blueprint(services: Services) -> Blueprint:
    broadcasts = Blueprint("broadcasts", __name__)

    @broadcasts.post("/rooms/<room_id>/broadcast")
    @allow(services.authority, Role.MODEL, Role.SERVICE)
    @accepts(BroadcastBody)
    @answers(BroadcastStarted, *_ERRORS)
    async def start_broadcast(body: BroadcastBody, room_id: str) -> Response:
        """Go live"""
        await _on_air(services, room_id)
        question = partial(StartBroadcastByRequest, lovense_mode=body.lovense_mode)
        return json(await services.ask_room(room_id, question))

    @broadcasts.delete("/rooms/<room_id>/broadcast")
    @allow(services.authority, Role.MODEL, Role.SERVICE)
    @answers(None, *_ERRORS)
    async def end_broadcast(room_id: str) -> Response:
        """End the broadcast; toys stop, and what still waits is skipped"""
        await _on_air(services, room_id)
        return json(await services.ask_room(room_id, EndBroadcastByRequest))

    return broadcasts


async def _on_air(services: Services, room_id: str) -> None:
    """A model broadcasts in the room that is hers by our own record, whatever her token names.
    Raises Refused: WRONG_ROOM, FORBIDDEN."""
    own_room(room_id)
    identity = caller()
    if identity.role is Role.MODEL:
        model = await services.settings_store.load_model(identity.user_id)
        if model is None or room_id not in model.room_ids:
            raise Refused(ErrorCode.FORBIDDEN)
