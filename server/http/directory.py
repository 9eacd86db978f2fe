"""Users, models and rooms, as the platform's back end registers them."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from actors.ports import UserRecord
from actors.room.messages import ModelRenamed
from actors.room.user_news import UserNews
from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import Id, MembershipTier
from server.auth import Role
from server.http.body import accepts, answers, json
from server.http.guard import allow
from server.services import Services

_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)

PublicName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
"""As in a token: no control characters. `$(?!\\n)`: see `protocol.tip_activated.ID_PATTERN`."""


class UserBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    username: PublicName
    membership_tier: MembershipTier


class RegisteredUser(msgspec.Struct, frozen=True, rename="camel"):
    """A user as the platform registered it."""

    user_id: str
    username: str
    membership_tier: MembershipTier


class ModelBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`roomId`: her one room, for ever."""

    display_name: PublicName
    room_id: Id


class RegisteredModel(msgspec.Struct, frozen=True, rename="camel"):
    """A model and her one room."""

    model_id: str
    display_name: str
    room_id: str


def blueprint(services: Services) -> Blueprint:
    directory = Blueprint("directory", __name__)
    news = UserNews(services.rooms.whereabouts)

    @directory.put("/users/<user_id>")
    @allow(services.authority, Role.SERVICE)
    @accepts(UserBody)
    @answers(RegisteredUser, *_ERRORS, ErrorCode.USER_UNKNOWN)
    async def put_user(body: UserBody, user_id: str) -> Response:
        """Register a user with an empty wallet, or change name and tier

        Another tier reaches the user's open pages at once; there, it holds until a newer token of
        the user's says another. What cannot be an id is answered as an unknown one.
        """
        await services.members.save_user(UserRecord(user_id, body.username, body.membership_tier))
        news.tier_registered(user_id, body.membership_tier)
        return json(RegisteredUser(user_id, body.username, body.membership_tier))

    @directory.get("/users/<user_id>")
    @allow(services.authority, Role.SERVICE)
    @answers(RegisteredUser, *_ERRORS, ErrorCode.USER_UNKNOWN)
    async def get_user(user_id: str) -> Response:
        """A user as registered"""
        user = await services.members.load_user(user_id)
        if user is None:
            raise Refused(ErrorCode.USER_UNKNOWN)
        return json(RegisteredUser(user.user_id, user.username, user.membership_tier))

    @directory.put("/models/<model_id>")
    @allow(services.authority, Role.SERVICE)
    @accepts(ModelBody)
    @answers(
        RegisteredModel,
        *_ERRORS,
        ErrorCode.USER_UNKNOWN,
        ErrorCode.ROOM_TAKEN,
        ErrorCode.MODEL_HAS_ROOM,
    )
    async def put_model(body: ModelBody, model_id: str) -> Response:
        """Register a model and her room, or change her name

        A new model starts with the default settings and an empty tip menu. Another name reaches
        her room at once.
        """
        await services.directory.save_model(model_id, body.display_name, body.room_id)
        for room in services.rooms:
            if room.room_id == body.room_id:
                room.tell_always(ModelRenamed(body.display_name))
        return json(RegisteredModel(model_id, body.display_name, body.room_id))

    return directory
