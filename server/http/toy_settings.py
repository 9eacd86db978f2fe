"""Settings of the toy layer: the platform's by an admin, a model's by herself or by staff."""

from typing import Annotated, Any, Final

import msgspec
import trio
from msgspec import UNSET, Meta, UnsetType
from quart import Blueprint, Response
from quart_schema import document_request

from actors.ports import ModelRecord
from actors.room.messages import ModelSettingsChanged
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.toy_settings import ModelSettings, PlatformSettings, change_model, difference
from server.auth import Role
from server.http.body import answers, json, read_body
from server.http.guard import allow, caller
from server.http.problem import ManyRefused
from server.platform_settings import BadChange
from server.services import Services

_ERRORS = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)
_CHANGE_ERRORS = (
    *_ERRORS,
    ErrorCode.MALFORMED_FRAME,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.INVALID_FIELD,
)
_CONSTANT: Final = "lovense_cam_site_name"


def _change_of(kind: type[msgspec.Struct]) -> Any:
    """The document's shape of a change of `kind`: some of its fields, at least one. Only the
    document's: `protocol.toy_settings` checks a change, and names every bad field of it at once."""
    fields = [
        (each.name, each.type | UnsetType, UNSET)
        for each in msgspec.structs.fields(kind)
        if each.name != _CONSTANT
    ]
    change = msgspec.defstruct(
        f"{kind.__name__}Change",
        fields,
        namespace={"__doc__": "A field that is left out stays as it is."},
        rename="camel",
        forbid_unknown_fields=True,
    )
    return Annotated[change, Meta(extra_json_schema={"minProperties": 1})]


PlatformChange: Final = _change_of(PlatformSettings)
ModelChange: Final = _change_of(ModelSettings)


def blueprint(services: Services) -> Blueprint:
    toy_settings = Blueprint("toy_settings", __name__)
    store = services.settings_store
    # Read, change, write, tell: a second change in between would undo the first.
    one_change = trio.Lock()

    @toy_settings.get("/admin/settings")
    @allow(services.authority, Role.ADMIN)
    @answers(PlatformSettings, *_ERRORS)
    async def get_platform_settings() -> Response:
        """The platform's settings"""
        return json(await store.load_platform_settings())

    @toy_settings.patch("/admin/settings")
    @allow(services.authority, Role.ADMIN)
    @document_request(PlatformChange)
    @answers(PlatformSettings, *_CHANGE_ERRORS)
    async def patch_platform_settings() -> Response:
        """Change some of the platform's settings

        Reaches every live room at once. `enableLovense: false` stops every toy, also while the
        database is away: 503 then says that the rooms were told and nothing is stored.
        """
        change = await _change()
        try:
            return json(await services.platform.change(change, caller().user_id))
        except BadChange as error:
            raise ManyRefused(error.refusals) from error

    @toy_settings.get("/models/<model_id>/settings")
    @allow(services.authority, Role.MODEL, Role.ADMIN)
    @answers(ModelSettings, *_ERRORS, ErrorCode.USER_UNKNOWN)
    async def get_model_settings(model_id: str) -> Response:
        """A model's settings"""
        model = await _model(services, model_id)
        return json(model.settings)

    @toy_settings.patch("/models/<model_id>/settings")
    @allow(services.authority, Role.MODEL, Role.ADMIN)
    @document_request(ModelChange)
    @answers(ModelSettings, *_CHANGE_ERRORS, ErrorCode.USER_UNKNOWN)
    async def patch_model_settings(model_id: str) -> Response:
        """Change some of a model's settings

        Reaches her room at once; `lovenseMode` counts from the next broadcast.
        """
        change = await _change()
        async with one_change:
            model = await _model(services, model_id)
            new = change_model(model.settings, change)
            if isinstance(new, list):
                raise ManyRefused(new)
            changes = difference(model.settings, new)
            await store.save_model_settings(model_id, new, changes, caller().user_id)
            for room in services.rooms:
                if room.room_id in model.room_ids:
                    room.tell_always(ModelSettingsChanged(new))
        return json(new)

    return toy_settings


async def _model(services: Services, model_id: str) -> ModelRecord:
    """Her settings and rooms, if the caller may have them."""
    identity = caller()
    if identity.role is Role.MODEL and identity.user_id != model_id:
        raise Refused(ErrorCode.FORBIDDEN)
    found = await services.settings_store.load_model(model_id)
    if found is None:
        raise Refused(ErrorCode.USER_UNKNOWN, "modelId")
    return found


async def _change() -> dict[str, Any]:
    try:
        change = msgspec.json.decode(await read_body(), type=dict[str, Any])
    except msgspec.ValidationError as error:
        raise Refused(ErrorCode.INVALID_FIELD, detail="The body must be an object.") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused(ErrorCode.MALFORMED_FRAME, detail="The body is not JSON.") from error
    if not change:
        raise ManyRefused([Refusal(ErrorCode.INVALID_FIELD, detail="Nothing to change.")])
    return change
