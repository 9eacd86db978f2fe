"""Rooms as an endpoint: `/rooms/{roomId}`, an allowed Origin, one of our subprotocols; then the
session of a member."""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import msgspec
from trio_websocket import WebSocketRequest

from actors.ports import MemberMail, MemberStore, Rooms
from protocol.codec import CODECS
from protocol.tip_activated import Id
from server.auth import Authority
from server.sockets.admission import Admission, AdmissionStatistics
from server.sockets.connection import Connection
from server.sockets.fan_out import FanOut
from server.sockets.handshake import Acceptance, Rejection, Upgraded
from server.sockets.limits import SocketLimits
from server.sockets.member_book import MemberBook
from server.sockets.session import FrameRefusals, Session, SessionPorts
from server.sockets.verb_limits import ADDRESS_FACTOR, USER_FACTOR, Allowances

_PATH_PREFIX: Final = "/rooms/"
PATHS_KEPT_MAX: Final = 256
"""Paths of which the room is known: a crowd comes to the same."""


class RoomEndpoint:
    """A `lifetime.Endpoint`. `origins`: as browsers send them, `https://example.org`. `book`:
    where the connections of a user are found, for who has to close them."""

    def __init__(
        self,
        *,
        limits: SocketLimits,
        origins: frozenset[str],
        authority: Authority,
        rooms: Rooms,
        members: MemberStore,
        delivery: FanOut,
        mail: MemberMail,
        book: MemberBook | None = None,
    ) -> None:
        self._origins = origins
        self._ports = SessionPorts(
            limits=limits,
            authority=authority,
            rooms=rooms,
            members=members,
            delivery=delivery,
            book=MemberBook() if book is None else book,
            admission=Admission(
                limits.joins_at_once_max, limits.joins_waiting_max, limits.join_wait_s
            ),
            user_allowances=Allowances(USER_FACTOR * limits.verb_factor),
            address_allowances=Allowances(ADDRESS_FACTOR * limits.verb_factor),
            mail=mail,
            refusals=Counter(),
        )

    def judge(self, request: WebSocketRequest) -> Acceptance | Rejection:
        return judge(request.path, request.headers, request.proposed_subprotocols, self._origins)

    async def talk(self, connection: Connection, upgraded: Upgraded) -> None:
        """One member's session."""
        room_id = room_id_of(upgraded.path)
        assert room_id is not None, "judged"
        assert upgraded.subprotocol is not None, "as well"
        connection.codec = CODECS[upgraded.subprotocol]
        self._ports.delivery.register(connection)
        await Session(connection, room_id, self._ports).run()

    @property
    def admission(self) -> AdmissionStatistics:
        return self._ports.admission.statistics()

    @property
    def frames_refused(self) -> FrameRefusals:
        """By rate, since start."""
        return self._ports.refusals


def judge(
    target: str,
    headers: Iterable[tuple[bytes, bytes]],
    subprotocols: Iterable[str],
    origins: frozenset[str],
) -> Acceptance | Rejection:
    """`target` may carry a query, which is ignored; header names are in lower case. A request
    without Origin does not come from a browser, so no foreign page can be behind it."""
    if room_id_of(target) is None:
        return Rejection(404, "no such path")
    for name, value in headers:
        if name == b"origin" and value.decode("latin-1") not in origins:
            return Rejection(403, "origin not allowed")
    offered = frozenset(subprotocols)
    chosen = next((name for name in CODECS if name in offered), None)
    if chosen is None:
        return Rejection(400, f"subprotocol must be one of: {', '.join(CODECS)}")
    return Acceptance(chosen)


@lru_cache(maxsize=PATHS_KEPT_MAX)
def room_id_of(target: str) -> str | None:
    """The room that a path names; None for what is no room's path."""
    path, _, _ = target.partition("?")
    if not path.startswith(_PATH_PREFIX):
        return None
    try:
        return msgspec.convert(unquote(path.removeprefix(_PATH_PREFIX)), Id)
    except msgspec.ValidationError:
        return None
