"""Who changed which setting of the toy layer, when, from what to what (spec 1, settings)."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from protocol.errors import ErrorCode
from protocol.tip_activated import Id
from server.auth import Role
from server.http.body import answers, json, query
from server.http.guard import allow, caller
from server.services import Services
from server.store.settings_store import SettingChange

PAGE_DEFAULT, PAGE_MAX = 50, 200
_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)

_Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]
_ChangeId = Annotated[int, Meta(ge=1, le=2**53 - 1)]


class ChangesQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: a changeId, the cursor. `ownerId`: a model, or the owner of devices."""

    scope: Literal["platform", "model", "device"] | None = None
    owner_id: Id | None = None
    after: _ChangeId | None = None
    limit: _Limit = PAGE_DEFAULT


class OwnChangesQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: a changeId, the cursor."""

    after: _ChangeId | None = None
    limit: _Limit = PAGE_DEFAULT


class ChangePage(msgspec.Struct, frozen=True, rename="camel"):
    """The newest first. `next`: the cursor of the following page, None on the last."""

    changes: list[SettingChange]
    next: int | None


def blueprint(services: Services) -> Blueprint:
    settings_history = Blueprint("settings_history", __name__)

    async def page(
        scopes: tuple[str, ...], owner_id: str | None, after: int | None, limit: int
    ) -> Response:
        found = await services.settings_store.load_changes(scopes, owner_id, after, limit + 1)
        shown = found[:limit]
        return json(ChangePage(shown, shown[-1].change_id if len(found) > limit else None))

    @settings_history.get("/admin/settings/history")
    @allow(services.authority, Role.ADMIN)
    @query(ChangesQuery)
    @answers(ChangePage, *_ERRORS)
    async def list_changes(wanted: ChangesQuery) -> Response:
        """Every change of a setting: who, when, old, new

        The platform's, the models' with their tip menus and patterns, and the limits on devices.
        """
        scopes = () if wanted.scope is None else (wanted.scope,)
        return await page(scopes, wanted.owner_id, wanted.after, wanted.limit)

    @settings_history.get("/lovense/settings/history")
    @allow(services.authority, Role.MODEL, Role.VIEWER)
    @query(OwnChangesQuery)
    @answers(ChangePage, *_ERRORS)
    async def list_own_changes(wanted: OwnChangesQuery) -> Response:
        """Every change of the caller's own settings, tip menu, patterns and devices"""
        own = ("model", "device")
        return await page(own, caller().user_id, wanted.after, wanted.limit)

    return settings_history
