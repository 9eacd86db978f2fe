"""Tips over HTTP: the same way through the room as over a socket."""

from functools import partial

import msgspec
from quart import Blueprint, Response

from actors.ports import UserRecord
from actors.room.messages import TipByRequest
from actors.runtime.ask import AskTimeout
from protocol.errors import ErrorCode, Refused
from protocol.frames import TipReceipt
from protocol.tip_activated import Amount, Id
from server.auth import Role
from server.http.body import accepts, answers, json
from server.http.guard import allow, caller, own_room
from server.services import Services


class TipBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`userId`: the tipper, named by the platform's back end alone; a viewer tips for himself."""

    tip_id: Id
    broadcast_id: Id
    amount: Amount
    user_id: Id | None = None


def blueprint(services: Services) -> Blueprint:
    tips = Blueprint("tips", __name__)

    @tips.post("/rooms/<room_id>/tips")
    @allow(services.authority, Role.VIEWER, Role.SERVICE)
    @accepts(TipBody)
    @answers(
        TipReceipt,
        ErrorCode.TOKEN_INVALID,
        ErrorCode.INSUFFICIENT_TOKENS,
        ErrorCode.FORBIDDEN,
        ErrorCode.ROOM_UNKNOWN,
        ErrorCode.TIP_CONFLICT,
        ErrorCode.RATE_LIMITED,
        ErrorCode.LEDGER_UNAVAILABLE,
    )
    async def post_tip(body: TipBody, room_id: str) -> Response:
        """Settle one tip

        Answers when the tip is settled. The same tipId with the same content gets the same
        answer for ever; an unknown outcome (503) is resolved by sending it again.
        """
        own_room(room_id)
        tipper = await _tipper(services, body)
        question = partial(
            TipByRequest,
            tip_id=body.tip_id,
            broadcast_id=body.broadcast_id,
            amount=body.amount,
            user_id=tipper.user_id,
            username=tipper.username,
            membership_tier=tipper.membership_tier,
        )
        try:
            return json(await services.ask_room(room_id, question))
        except AskTimeout as error:  # it may settle yet: the same tipId again finds out
            raise Refused(ErrorCode.LEDGER_UNAVAILABLE) from error

    return tips


async def _tipper(services: Services, body: TipBody) -> UserRecord:
    """A viewer as his token says; a user whom the platform names as our record says."""
    identity = caller()
    if identity.role is Role.VIEWER:
        if body.user_id not in (None, identity.user_id):
            raise Refused(ErrorCode.FORBIDDEN, "userId", "A viewer tips for himself.")
        return UserRecord(identity.user_id, identity.username, identity.membership_tier)
    if body.user_id is None:
        raise Refused(ErrorCode.INVALID_FIELD, "userId", "The platform names the tipper.")
    user = await services.members.load_user(body.user_id)
    if user is None:
        raise Refused(ErrorCode.USER_UNKNOWN, "userId")
    return UserRecord(user.user_id, user.username, user.membership_tier)
