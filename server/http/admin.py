"""Live inspection and acts of an admin (spec 8). Acts need a reason and are logged."""

import time
from typing import Annotated, Final

import msgspec
import structlog
import trio
from msgspec import Meta
from quart import Blueprint, Response

from actors.ports import TipTrace
from actors.room.inspection import RoomInspection
from actors.room.messages import Inspect, ResumeToysByRequest, StopToysByRequest
from actors.runtime.mailbox import MailboxStatistics
from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import Id
from server.auth import Role
from server.http.body import accepts, answers, json, query
from server.http.guard import allow, caller
from server.services import Services

PAGE_DEFAULT, PAGE_MAX = 50, 200
"""Rooms."""
FLUSH_TIMEOUT_S: Final = 2.0

_ERRORS = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.ROOM_BUSY)


class AwakeRoom(msgspec.Struct, frozen=True, rename="camel"):
    """A room whose actor runs. `sessions`: sockets that get its events."""

    room_id: str
    sessions: int
    mailbox: MailboxStatistics
    restarts: int
    last_error: str | None


class RoomPage(msgspec.Struct, frozen=True, rename="camel"):
    """Sorted by roomId. `next`: the cursor of the following page, None on the last."""

    rooms: list[AwakeRoom]
    next: str | None


class RoomDetail(msgspec.Struct, frozen=True, rename="camel"):
    room: RoomInspection
    mailbox: MailboxStatistics
    restarts: int
    last_error: str | None


class RoomsQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: a roomId, the cursor."""

    after: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class Act(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Why: it is logged with who."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)]


class Kick(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`reason`: it is logged with who, and kept with a revocation."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)]
    revoke_tokens: bool = False


class Kicked(msgspec.Struct, frozen=True, rename="camel"):
    """How many connections were closed."""

    connections: int


def blueprint(services: Services) -> Blueprint:
    admin = Blueprint("admin", __name__, url_prefix="/admin")
    log = structlog.get_logger("tiproom.admin")

    @admin.get("/rooms")
    @allow(services.authority, Role.ADMIN)
    @query(RoomsQuery)
    @answers(RoomPage, *_ERRORS)
    async def list_rooms(wanted: RoomsQuery) -> Response:
        """Rooms that are awake on this node

        By page: `after` is the roomId that the page before ended with, its `next`.
        """
        limit = wanted.limit
        rooms = sorted(services.rooms, key=lambda room: room.room_id)
        page = [room for room in rooms if room.room_id > (wanted.after or "")][: limit + 1]
        shown = [
            AwakeRoom(
                room.room_id,
                services.fan_out.admitted(room.room_id),
                room.mailbox.statistics(),
                room.restarts,
                room.last_error,
            )
            for room in page[:limit]
        ]
        return json(RoomPage(shown, shown[-1].room_id if len(page) > limit else None))

    @admin.get("/rooms/<room_id>")
    @allow(services.authority, Role.ADMIN)
    @answers(RoomDetail, *_ERRORS, ErrorCode.ROOM_UNKNOWN)
    async def get_room(room_id: str) -> Response:
        """One room from the inside; wakes it if it sleeps"""
        inspection = await services.ask_room(room_id, Inspect)
        room = await services.rooms.open(room_id)
        return json(
            RoomDetail(inspection, room.mailbox.statistics(), room.restarts, room.last_error)
        )

    @admin.post("/rooms/<room_id>/toys/stop")
    @allow(services.authority, Role.ADMIN)
    @accepts(Act)
    @answers(None, *_ERRORS, ErrorCode.ROOM_UNKNOWN)
    async def stop_toys(act: Act, room_id: str) -> Response:
        """Stop all toys of a room and pause its queue"""
        log.warning("toys_stopped", room_id=room_id, who=caller().user_id, reason=act.reason)
        return json(await services.ask_room(room_id, StopToysByRequest, first=True))

    @admin.post("/rooms/<room_id>/toys/resume")
    @allow(services.authority, Role.ADMIN)
    @accepts(Act)
    @answers(None, *_ERRORS, ErrorCode.ROOM_UNKNOWN)
    async def resume_toys(act: Act, room_id: str) -> Response:
        """Let a room's queue go on"""
        log.warning("toys_resumed", room_id=room_id, who=caller().user_id, reason=act.reason)
        return json(await services.ask_room(room_id, ResumeToysByRequest))

    @admin.post("/users/<user_id>/kick")
    @allow(services.authority, Role.ADMIN)
    @accepts(Kick)
    @answers(Kicked, *_ERRORS, ErrorCode.INVALID_FIELD, ErrorCode.USER_UNKNOWN)
    async def kick(act: Kick, user_id: str) -> Response:
        """Close all connections of a user at once, and revoke the tokens if wanted

        A page that was closed so does not come back by itself; without a revocation its user may
        open it again. Revoked are all tokens issued until now: of this second, too.
        """
        who = caller().user_id
        log.warning(
            "user_kicked", user_id=user_id, who=who, reason=act.reason, revoked=act.revoke_tokens
        )
        now_s = int(time.time())
        if act.revoke_tokens:  # in force before it is stored, and also if that fails
            services.authority.revocations.revoke(user_id, now_s)
        closed = services.book.kick(user_id)
        if act.revoke_tokens:
            await services.revocations.save(user_id, now_s, who, act.reason)
        return json(Kicked(closed))

    @admin.get("/tips/<tip_id>")
    @allow(services.authority, Role.ADMIN)
    @answers(TipTrace, *_ERRORS, ErrorCode.TIP_UNKNOWN)
    async def trace_tip(tip_id: str) -> Response:
        """The whole life of a tip

        Ledger entries, the event, each consumer, each target and attempt, with times.
        """
        with trio.move_on_after(FLUSH_TIMEOUT_S):  # what its room has said so far, not less
            await services.audit.flush()
        trace = await services.trace(tip_id)
        if trace is None:
            raise Refused(ErrorCode.TIP_UNKNOWN)
        return json(trace)

    return admin
