"""Test activation over HTTP: a model tries a row of her menu on her own toy (spec 3)."""

from functools import partial

import msgspec
from quart import Blueprint, Response

from actors.room.messages import ToyTestByRequest
from protocol.errors import ErrorCode, Refused
from protocol.frames import ToyTestStarted
from protocol.tip_activated import Id
from server.auth import Role
from server.http.body import accepts, answers, json
from server.http.guard import allow, caller
from server.services import Services


class ToyTestBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A row of the caller's own tip menu, active or not. There is no other target than her toy."""

    row_id: Id


def blueprint(services: Services) -> Blueprint:
    toy_test = Blueprint("toy_test", __name__)

    @toy_test.post("/lovense/test-activation")
    @allow(services.authority, Role.MODEL)
    @accepts(ToyTestBody)
    @answers(
        ToyTestStarted,
        ErrorCode.TOKEN_INVALID,
        ErrorCode.FORBIDDEN,
        ErrorCode.MENU_ROW_UNKNOWN,
        ErrorCode.LOVENSE_DISABLED,
        ErrorCode.TOYS_PAUSED,
        ErrorCode.TOYS_BUSY,
        ErrorCode.TOY_UNAVAILABLE,
        ErrorCode.ROW_NOT_PLAYABLE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.ROOM_BUSY,
        ErrorCode.LEDGER_UNAVAILABLE,
    )
    async def test_activation(body: ToyTestBody) -> Response:
        """Try a row of the caller's own tip menu on her own toy

        No tip and no tokens. It goes to her own open page alone, by the amount that her levels map
        to the row. It plays at once or not at all: not while a toy plays or tips wait. At most 10
        a minute.
        """
        model = await services.settings_store.load_model(caller().user_id)
        if model is None or not model.room_ids:
            raise Refused(ErrorCode.FORBIDDEN)
        question = partial(ToyTestByRequest, row_id=body.row_id)
        return json(await services.ask_room(model.room_ids[0], question))

    return toy_test
