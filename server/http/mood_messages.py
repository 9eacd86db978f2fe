"""Mood messages over HTTP (spec 6): write one, read one's own, and what staff see of all."""

from enum import StrEnum
from functools import partial
from typing import Annotated, Final
from uuid import UUID

import msgspec
import structlog
from msgspec import Meta
from quart import Blueprint, Response

from actors.messaging.writing import Author
from protocol.errors import ErrorCode, Refused
from protocol.mood_messages import AuthorKind, MessageDraft, MessageType, Mood
from protocol.tip_activated import NO_NUL_PATTERN
from server.auth import Identity, Role
from server.http.body import accepts, answers, json, query
from server.http.guard import allow, caller
from server.http.validated import accepts_validated
from server.http.window import WindowQuery, window
from server.services import Services
from server.store.message_reads import DeadMessage, MessageAnalytics, MessageFilter, MoodMessage

PAGE_DEFAULT, PAGE_MAX = 50, 200
_UUID: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)"
_Cursor = Annotated[str, Meta(pattern=_UUID)]
_Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]

_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)
_KINDS: Final = {
    Role.MODEL: AuthorKind.MODEL,
    Role.VIEWER: AuthorKind.VIEWER,
    Role.SERVICE: AuthorKind.SYSTEM,
    Role.ADMIN: AuthorKind.SYSTEM,
}


class DeadMessageState(StrEnum):
    OPEN = "open"
    DISMISSED = "dismissed"


class MessagesQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: a messageId, the cursor."""

    type: MessageType | None = None
    mood: Mood | None = None
    after: _Cursor | None = None
    limit: _Limit = PAGE_DEFAULT


class MoodMessagePage(msgspec.Struct, frozen=True, rename="camel"):
    """`next`: the cursor of the following page, null on the last."""

    messages: list[MoodMessage]
    next: UUID | None


class DeadMessagePage(msgspec.Struct, frozen=True, rename="camel"):
    """The oldest first. `next`: the cursor of the following page, null on the last."""

    dead_letters: list[DeadMessage]
    next: UUID | None


class FailedQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: a messageId, the cursor."""

    state: DeadMessageState = DeadMessageState.OPEN
    after: _Cursor | None = None
    limit: _Limit = PAGE_DEFAULT


class DeadMessageReview(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What came of it: it is kept with who and when."""

    note: Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL_PATTERN)]


def blueprint(services: Services) -> Blueprint:
    messages = Blueprint("mood_messages", __name__)
    messaging = services.messaging
    log = structlog.get_logger("tiproom.admin")
    anyone = partial(allow, services.authority, Role.MODEL, Role.VIEWER, Role.SERVICE, Role.ADMIN)

    @messages.post("/mood-messages")
    @anyone()
    @accepts_validated(MessageDraft)
    @answers(
        MoodMessage,
        *_ERRORS,
        ErrorCode.USER_UNKNOWN,
        ErrorCode.NO_TEMPLATE,
        ErrorCode.MESSAGE_CONFLICT,
        ErrorCode.RATE_LIMITED,
    )
    async def post_message(draft: MessageDraft) -> Response:
        """Write to one member

        A model to viewers of her room and to who has tipped her, a viewer to the model that he has
        tipped, the platform to anyone. Tier, priority and delay are the viewer's own; who is not
        connected gets it when he next connects, within a day. Without `content` a template is
        filled in.
        """
        written = await messaging.desk.write(await _author(services), draft)
        return json(await messaging.reads.load(written.message_id, None))

    @messages.get("/mood-messages")
    @allow(services.authority, Role.MODEL, Role.VIEWER)
    @query(MessagesQuery)
    @answers(MoodMessagePage, *_ERRORS)
    async def list_messages(wanted: MessagesQuery) -> Response:
        """The caller's own messages, written and received

        The newest first. By page: `after` is the messageId that the page before ended with, its
        `next`. What is still to come to the caller is not among them.
        """
        await messaging.catch_up()
        found = await messaging.reads.load_page(
            caller().user_id,
            MessageFilter(wanted.type, wanted.mood),
            UUID(wanted.after) if wanted.after else None,
            wanted.limit + 1,
        )
        return json(_page(found, wanted.limit))

    @messages.get("/mood-messages/<message_id>")
    @anyone()
    @answers(MoodMessage, *_ERRORS, ErrorCode.MESSAGE_UNKNOWN)
    async def get_message(message_id: str) -> Response:
        """One message, by its author or recipient, or by staff"""
        await messaging.catch_up()
        return json(await messaging.reads.load(_message_id(message_id), _whose(caller())))

    @messages.patch("/mood-messages/<message_id>/read")
    @allow(services.authority, Role.MODEL, Role.VIEWER)
    @answers(MoodMessage, *_ERRORS, ErrorCode.MESSAGE_UNKNOWN)
    async def patch_read(message_id: str) -> Response:
        """Say that the caller has seen a message that came to him

        Once more changes nothing, and nothing goes back.
        """
        known, reader = _message_id(message_id), caller().user_id
        message = await messaging.reads.load(known, reader)
        if message.recipient_id != reader:
            raise Refused(ErrorCode.FORBIDDEN, detail="Its recipient alone does.")
        messaging.office.read(reader, message_id)
        await messaging.catch_up()
        return json(await messaging.reads.load(known, reader))

    # ---- staff ----

    @messages.get("/admin/mood-messages/analytics")
    @allow(services.authority, Role.ADMIN)
    @query(WindowQuery)
    @answers(MessageAnalytics, *_ERRORS)
    async def get_analytics(wanted: WindowQuery) -> Response:
        """Messages in numbers: by mood, tier and state, and how many arrived

        At most 31 days at once.
        """
        from_utc, to_utc = window(wanted)
        await messaging.catch_up()
        return json(await messaging.reads.load_analytics(from_utc, to_utc))

    @messages.get("/admin/mood-messages/dead-letters")
    @allow(services.authority, Role.ADMIN)
    @query(FailedQuery)
    @answers(DeadMessagePage, *_ERRORS)
    async def list_failed(wanted: FailedQuery) -> Response:
        """Messages that could not be sent

        The oldest first. By page: `after` is the messageId that the page before ended with, its
        `next`. They are failed for ever, for a message's state only goes forward.
        """
        await messaging.catch_up()
        after = UUID(wanted.after) if wanted.after else None
        dismissed = wanted.state is DeadMessageState.DISMISSED
        found = await messaging.reads.load_failed(after, wanted.limit + 1, dismissed=dismissed)
        shown = found[: wanted.limit]
        more = len(found) > wanted.limit
        return json(DeadMessagePage(shown, shown[-1].message.message_id if more else None))

    @messages.post("/admin/mood-messages/dead-letters/<message_id>/dismiss")
    @allow(services.authority, Role.ADMIN)
    @accepts(DeadMessageReview)
    @answers(
        DeadMessage,
        *_ERRORS,
        ErrorCode.DEAD_LETTER_UNKNOWN,
        ErrorCode.DEAD_LETTER_DECIDED,
    )
    async def dismiss_failed(body: DeadMessageReview, message_id: str) -> Response:
        """Say that somebody has looked into it"""
        try:
            wanted = UUID(message_id)
        except ValueError as error:
            raise Refused(ErrorCode.DEAD_LETTER_UNKNOWN) from error
        letter = await messaging.reads.dismiss_failed(wanted, caller().user_id, body.note)
        log.warning("dead_message_dismissed", message_id=message_id, who=caller().user_id)
        return json(letter)

    return messages


async def _author(services: Services) -> Author:
    """Who calls. A model's room is hers by our own record, whatever her token names."""
    identity = caller()
    room_id = None
    if identity.role is Role.MODEL:
        model = await services.settings_store.load_model(identity.user_id)
        if model is None:
            raise Refused(ErrorCode.FORBIDDEN)
        room_id = next(iter(model.room_ids), None)
    return Author(
        _KINDS[identity.role],
        identity.user_id,
        identity.username,
        identity.membership_tier,
        room_id,
    )


def _whose(identity: Identity) -> str | None:
    return identity.user_id if identity.role in (Role.MODEL, Role.VIEWER) else None


def _page(found: list[MoodMessage], limit: int) -> MoodMessagePage:
    shown = found[:limit]
    return MoodMessagePage(shown, shown[-1].message_id if len(found) > limit else None)


def _message_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Refused(ErrorCode.MESSAGE_UNKNOWN) from error
