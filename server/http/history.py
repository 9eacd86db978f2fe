"""History over HTTP: what became of the caller's own activations, and in numbers (spec 3)."""

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
import trio
from msgspec import Meta
from quart import Blueprint, Response

from protocol.audit import TargetState
from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import Id
from server.auth import Role
from server.http.body import answers, json, query
from server.http.guard import allow, caller
from server.http.window import WindowQuery, window
from server.services import Services
from server.store.history import EndedTarget, HistoryFilter, HistoryOwner, Statistics

PAGE_DEFAULT, PAGE_MAX = 50, 200
FLUSH_TIMEOUT_S: Final = 2.0

_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)
_UUID: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)"

FinalState = Literal["ACTIVATED", "FAILED", "EXPIRED", "SKIPPED", "MERGED", "DEAD"]
TargetType = Literal["MODEL_TOY", "TIPPER_TOY", "VIP_VIEWER_TOY"]


class ActivationsQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: a recordId, the cursor."""

    state: FinalState | None = None
    tip_id: Id | None = None
    target_type: TargetType | None = None
    after: Annotated[str, Meta(pattern=_UUID)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class ActivationPage(msgspec.Struct, frozen=True, rename="camel"):
    """The newest first. `next`: the cursor of the following page, None on the last."""

    activations: list[EndedTarget]
    next: UUID | None


def blueprint(services: Services) -> Blueprint:
    history = Blueprint("history", __name__, url_prefix="/lovense/activations")

    @history.get("")
    @allow(services.authority, Role.MODEL, Role.VIEWER)
    @query(ActivationsQuery)
    @answers(ActivationPage, *_ERRORS)
    async def list_activations(wanted: ActivationsQuery) -> Response:
        """What became of the caller's own activations

        A model: of all toys in her room, and of her tests. A viewer: of the own toy, and of the own
        tips on the model's toy. Only what has ended. By page: `after` is the recordId that the page
        before ended with, its `next`.
        """
        await _audit_stored(services)
        found = await services.history.load_page(
            await _owner(services),
            HistoryFilter(
                TargetState(wanted.state) if wanted.state else None,
                wanted.tip_id,
                wanted.target_type,
            ),
            UUID(wanted.after) if wanted.after else None,
            wanted.limit + 1,
        )
        shown = found[: wanted.limit]
        more = len(found) > wanted.limit
        return json(ActivationPage(shown, shown[-1].record_id if more else None))

    @history.get("/stats")
    @allow(services.authority, Role.MODEL, Role.VIEWER)
    @query(WindowQuery)
    @answers(Statistics, *_ERRORS)
    async def get_statistics(wanted: WindowQuery) -> Response:
        """The caller's own activations in numbers

        At most 31 days at once.
        """
        from_utc, to_utc = window(wanted)
        await _audit_stored(services)
        owner = await _owner(services)
        return json(await services.history.load_statistics(owner, from_utc, to_utc))

    return history


async def _owner(services: Services) -> HistoryOwner:
    """By our own record of who has which room. Raises Refused with FORBIDDEN."""
    identity = caller()
    if identity.role is Role.VIEWER:
        return HistoryOwner(user_id=identity.user_id)
    model = await services.settings_store.load_model(identity.user_id)
    if model is None or not model.room_ids:
        raise Refused(ErrorCode.FORBIDDEN)
    return HistoryOwner(room_id=model.room_ids[0])


async def _audit_stored(services: Services) -> None:
    """What the rooms have said so far, not less."""
    with trio.move_on_after(FLUSH_TIMEOUT_S):
        await services.audit.flush()
