"""Dead letters: commands that got through to no toy, and what an admin does about them (spec 3)."""

from functools import partial
from typing import Annotated, Final
from uuid import UUID

import msgspec
import structlog
import trio
from msgspec import Meta
from quart import Blueprint, Response

from actors.room.messages import RequeueByRequest
from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import NO_NUL_PATTERN
from server.auth import Role
from server.http.body import accepts, answers, json, query
from server.http.guard import allow, caller
from server.services import Services
from server.store.dead_letters import DeadLetter, DeadLetterState

PAGE_DEFAULT, PAGE_MAX = 50, 200
_UUID: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)"
"""A query string has no other way to spell one: see `body.query`."""
FLUSH_TIMEOUT_S: Final = 2.0

_ERRORS = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)
_DECISION_ERRORS = (*_ERRORS, ErrorCode.DEAD_LETTER_UNKNOWN, ErrorCode.DEAD_LETTER_DECIDED)


class DeadLettersQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: a recordId, the cursor."""

    state: DeadLetterState = DeadLetterState.OPEN
    after: Annotated[str, Meta(pattern=_UUID)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class DeadLetterPage(msgspec.Struct, frozen=True, rename="camel"):
    """The oldest first. `next`: the cursor of the following page, None on the last."""

    dead_letters: list[DeadLetter]
    next: UUID | None


class Decision(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Why: it is kept with who and when."""

    note: Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL_PATTERN)]


def blueprint(services: Services) -> Blueprint:
    letters = Blueprint("dead_letters", __name__, url_prefix="/admin/lovense/dead-letters")
    log = structlog.get_logger("tiproom.admin")
    store = services.dead_letters

    @letters.get("")
    @allow(services.authority, Role.ADMIN)
    @query(DeadLettersQuery)
    @answers(DeadLetterPage, *_ERRORS)
    async def list_dead_letters(wanted: DeadLettersQuery) -> Response:
        """Targets whose command got through to no toy

        By page: `after` is the recordId that the page before ended with, its `next`.
        """
        with trio.move_on_after(FLUSH_TIMEOUT_S):  # what the rooms have said so far, not less
            await services.audit.flush()
        found = await store.load_page(
            wanted.state, UUID(wanted.after) if wanted.after else None, wanted.limit + 1
        )
        shown = found[: wanted.limit]
        more = len(found) > wanted.limit
        return json(DeadLetterPage(shown, shown[-1].record_id if more else None))

    @letters.post("/<record_id>/requeue")
    @allow(services.authority, Role.ADMIN)
    @accepts(Decision)
    @answers(
        DeadLetter,
        *_DECISION_ERRORS,
        ErrorCode.BROADCAST_STALE,
        ErrorCode.LOVENSE_DISABLED,
        ErrorCode.ROOM_BUSY,
    )
    async def requeue_dead_letter(decision: Decision, record_id: str) -> Response:
        """Send this one target again, in its turn

        Only while the tip's own broadcast runs. A page that has run the command, and whose answer
        was lost, answers as it did then and does not run it again.
        """
        letter = await store.load(_letter_id(record_id))
        if letter.state is not DeadLetterState.OPEN:
            raise Refused(ErrorCode.DEAD_LETTER_DECIDED)
        if letter.broadcast_id is None:
            raise Refused(ErrorCode.BROADCAST_STALE)
        question = partial(
            RequeueByRequest,
            letter_id=letter.record_id,
            broadcast_id=letter.broadcast_id,
            who=caller().user_id,
            note=decision.note,
        )
        await services.ask_room(letter.room_id, question)
        log.warning("requeued", record_id=record_id, tip_id=letter.tip_id, who=caller().user_id)
        return json(await store.load(letter.record_id))

    @letters.post("/<record_id>/dismiss")
    @allow(services.authority, Role.ADMIN)
    @accepts(Decision)
    @answers(DeadLetter, *_DECISION_ERRORS)
    async def dismiss_dead_letter(decision: Decision, record_id: str) -> Response:
        """Leave it at that"""
        letter_id = _letter_id(record_id)
        await store.dismiss(letter_id, caller().user_id, decision.note)
        log.warning("dismissed", record_id=record_id, who=caller().user_id)
        return json(await store.load(letter_id))

    return letters


def _letter_id(record_id: str) -> UUID:
    try:
        return UUID(record_id)
    except ValueError as error:
        raise Refused(ErrorCode.DEAD_LETTER_UNKNOWN) from error
