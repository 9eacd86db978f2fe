"""Every TipActivated as server-sent events, for the platform's back end."""

from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta
from quart import Blueprint, Response, request

from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import TipActivated
from server.auth import Role
from server.http.body import answers, query
from server.http.guard import allow, caller
from server.services import Services

MEDIA_TYPE: Final = "text/event-stream"
SEQ_MAX: Final = 2**63 - 1
Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
"""Place of an event in the outbox: grows with every event, with gaps; 0 is before the first."""

_LAST_EVENT_ID: Final = "Last-Event-ID"


class EventMessage(msgspec.Struct, frozen=True):
    """One message of the stream; `id` is the event's place, `data` its JSON."""

    media_type: ClassVar[str] = MEDIA_TYPE

    id: Seq
    event: str
    data: TipActivated


class EventsQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: the id after which to begin; 0: with the first event of all. A Last-Event-ID
    header comes first: it is what a reader sends when it reconnects."""

    after: Seq | None = None


def blueprint(services: Services) -> Blueprint:
    events = Blueprint("events", __name__)

    @events.get("/events")
    @allow(services.authority, Role.SERVICE)
    @query(EventsQuery)
    @answers(
        EventMessage,
        ErrorCode.TOKEN_INVALID,
        ErrorCode.FORBIDDEN,
        ErrorCode.EVENTS_ARCHIVED,
        ErrorCode.TOO_MANY_STREAMS,
        ErrorCode.LEDGER_UNAVAILABLE,
    )
    async def stream_events(wanted: EventsQuery) -> Response:
        """All events, as they are settled: an endless stream

        Begins after the event that the Last-Event-ID header, else `after` names, and without both
        with what is settled from now on. It ends with the token, and when the server stops; a
        reader comes back with the last id that it has, and misses and repeats nothing.
        """
        resumed = _last_event_id()
        field = "after" if resumed is None else _LAST_EVENT_ID
        after = wanted.after if resumed is None else resumed
        valid_for_s = services.authority.valid_for_s(caller())
        stream = await services.streams.stream(after, valid_for_s, field)
        response = Response(content_type=MEDIA_TYPE)
        if request.method != "HEAD":
            response.response = stream
        response.timeout = None
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"  # nginx would collect pages of it
        return response

    return events


def _last_event_id() -> int | None:
    """Raises Refused: INVALID_FIELD for what is no id of ours."""
    text = request.headers.get(_LAST_EVENT_ID)
    if text is None:
        return None
    try:
        seq = int(text) if text.isascii() and len(text) <= len(str(SEQ_MAX)) else -1
    except ValueError:
        seq = -1
    if str(seq) != text or not 0 <= seq <= SEQ_MAX:
        raise Refused(ErrorCode.INVALID_FIELD, _LAST_EVENT_ID)
    return seq
