"""Events that a consumer could not take, and what an admin does about them."""

from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta
from quart import Blueprint, Response

from protocol.errors import ErrorCode
from server.auth import Role
from server.http.admin import Act
from server.http.body import accepts, answers, json, query
from server.http.guard import allow, caller
from server.services import Services
from server.store.skipped_events import SkippedEvent

PAGE_DEFAULT, PAGE_MAX = 50, 200
_CURSOR: Final = r"^[A-Za-z0-9._:-]{1,80}/[A-Za-z0-9._:-]{1,80}$(?!\n)"

_ERRORS = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)


class SkippedEventsQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: the cursor, `consumer/tipId`."""

    after: Annotated[str, Meta(pattern=_CURSOR)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class SkippedEventPage(msgspec.Struct, frozen=True, rename="camel"):
    """By consumer and tipId. `next`: the cursor of the following page, None on the last."""

    skipped_events: list[SkippedEvent]
    next: str | None


def blueprint(services: Services) -> Blueprint:
    skipped = Blueprint("skipped_events", __name__, url_prefix="/admin/skipped-events")
    log = structlog.get_logger("tiproom.admin")
    store = services.skipped_events

    @skipped.get("")
    @allow(services.authority, Role.ADMIN)
    @query(SkippedEventsQuery)
    @answers(SkippedEventPage, *_ERRORS)
    async def list_skipped_events(wanted: SkippedEventsQuery) -> Response:
        """Events that one of the server's own consumers could not take

        They cannot be read, or the database refuses what follows from them; `tiproom ledger verify`
        names them, too. Webhooks have dead letters of their own.
        """
        consumer, _, tip_id = (wanted.after or "/").partition("/")
        found = await store.page((consumer, tip_id), wanted.limit + 1)
        shown = found[: wanted.limit]
        last = shown[-1] if len(found) > wanted.limit else None
        following = None if last is None else f"{last.consumer}/{last.tip_id}"
        return json(SkippedEventPage(shown, following))

    @skipped.post("/<consumer>/<tip_id>/retry")
    @allow(services.authority, Role.ADMIN)
    @accepts(Act)
    @answers(None, *_ERRORS, ErrorCode.SKIPPED_EVENT_UNKNOWN)
    async def retry_skipped_event(act: Act, consumer: str, tip_id: str) -> Response:
        """Hand a skipped event to its consumer again, within seconds

        One that it still cannot take is skipped again. What it would do too late, it does not do:
        toys stay at rest, points are credited.
        """
        await store.retry(consumer, tip_id)
        log.warning(
            "event_retried",
            consumer=consumer,
            tip_id=tip_id,
            who=caller().user_id,
            reason=act.reason,
        )
        return json(None)

    return skipped
