"""The task of one connection: handshake, what is said, close. Nothing that happens in it reaches
another connection."""

import traceback
from typing import Final, Protocol

import structlog
import trio
from trio_websocket import WebSocketRequest
from wsproto.utilities import ProtocolError

from server.sockets.connection import INTERNAL_ERROR, PROTOCOL_ERROR, Connection
from server.sockets.fan_out import FanOut
from server.sockets.handshake import Acceptance, Rejection, Upgraded, shake_hands
from server.sockets.heartbeat import HeartbeatWheel
from server.sockets.incoming import PeerEnded
from server.sockets.limits import SocketLimits

_log = structlog.get_logger(__name__)

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Endpoint(Protocol):
    """What a socket port is for: who is let in, and what is said."""

    def judge(self, request: WebSocketRequest) -> Acceptance | Rejection: ...

    async def talk(self, connection: Connection, upgraded: Upgraded) -> None:
        """Until our side ends it; raises PeerEnded when the peer does."""
        ...


async def serve_connection(
    connection: Connection,
    endpoint: Endpoint,
    limits: SocketLimits,
    delivery: FanOut,
    heartbeats: HeartbeatWheel,
) -> None:
    """Returns once the socket is closed. Raises only trio.Cancelled, and then, too, the member
    has been told GOING_AWAY and the socket is closed."""
    scope = trio.CancelScope()
    try:
        try:
            async with trio.open_nursery() as nursery:
                scope = nursery.cancel_scope
                connection.attach(nursery)
                try:
                    upgraded = await shake_hands(connection, limits, endpoint.judge)
                    if upgraded is not None:
                        heartbeats.add(connection)
                        await _talk(connection, upgraded, endpoint)
                finally:
                    connection.detach()
                scope.cancel()
        except* Exception as group:
            _explain(connection, group)
    finally:
        connection.settle(scope)
        heartbeats.remove(connection)
        delivery.remove(connection)
        await connection.finish()


async def _talk(connection: Connection, upgraded: Upgraded, endpoint: Endpoint) -> None:
    try:
        await endpoint.talk(connection, upgraded)
    except PeerEnded as ended:
        connection.peer_closed(ended.code)


def _explain(connection: Connection, group: BaseExceptionGroup[Exception]) -> None:
    """A peer can bring trio-websocket's reader to raise: bytes that no Host header may have.
    Anything else is a fault of ours."""
    _, faults = group.split((ProtocolError, UnicodeError))
    if faults is None:
        if not connection.opened:
            connection.outbox.finish(_BAD_REQUEST)
        connection.close(PROTOCOL_ERROR)
        return
    # Types and places only: the text of an exception may quote what a member sent.
    _log.error(
        "session_failed",
        session_id=connection.session_id,
        errors=[type(error).__name__ for error in _leaves(faults)],
        places=[_places(error) for error in _leaves(faults)],
    )
    connection.close(INTERNAL_ERROR)


def _places(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]
