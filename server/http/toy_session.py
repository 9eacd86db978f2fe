"""What the caller's own page needs for its toy. Tokens in it act as that user: nobody else's page
ever gets them, and no cache keeps them."""

from quart import Blueprint, Response

from actors.ports import ModelRecord
from actors.room.messages import Inspect
from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import LovenseMode
from server.auth import Role
from server.http.body import answers, json
from server.http.guard import allow, caller
from server.services import Services
from server.vendors.toy_sessions import ModelToySession, ViewerToySession


def blueprint(services: Services) -> Blueprint:
    toy_session = Blueprint("toy_session", __name__)

    @toy_session.get("/lovense/session")
    @allow(services.authority, Role.MODEL, Role.VIEWER)
    @answers(
        ModelToySession | ViewerToySession,
        ErrorCode.TOKEN_INVALID,
        ErrorCode.FORBIDDEN,
        ErrorCode.ROOM_UNKNOWN,
        ErrorCode.ROOM_BUSY,
        ErrorCode.LEDGER_UNAVAILABLE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.VENDOR_REFUSED,
        ErrorCode.VENDOR_UNAVAILABLE,
    )
    async def get_toy_session() -> Response:
        """What the own page loads to drive the toy

        A model gets the one integration of her broadcast, or, before it, of her settings. Tokens in
        the answer act as the caller: they belong on the caller's own page and nowhere else.
        `autoConnect`: the platform's `lovenseEnableAutoConnect`, and a model's own `autoConnect`.
        """
        identity = caller()
        sessions = services.toy_sessions
        platform = await services.settings_store.load_platform_settings()
        allowed = platform.lovense_enable_auto_connect
        session: ModelToySession | ViewerToySession
        if identity.role is Role.VIEWER:
            session = await sessions.of_viewer(identity.user_id, identity.username, allowed)
        else:
            model = await services.settings_store.load_model(identity.user_id)
            if model is None:
                raise Refused(ErrorCode.FORBIDDEN)
            session = await sessions.of_model(
                await _integration(services, model),
                identity.user_id,
                identity.username,
                allowed and model.settings.auto_connect,
            )
        response = json(session)
        response.headers["Cache-Control"] = "no-store"
        return response

    return toy_session


async def _integration(services: Services, model: ModelRecord) -> LovenseMode:
    """Of the broadcast that runs in her own room, whatever her token names."""
    for room_id in model.room_ids:
        inspection = await services.ask_room(room_id, Inspect)
        if inspection.lovense_mode is not None:
            mode: LovenseMode = inspection.lovense_mode
            return mode
    return model.settings.lovense_mode
