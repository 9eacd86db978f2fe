"""The task of one connection: handshake, session, close. Nothing that happens in it reaches
another connection."""

import traceback

import structlog
import trio
from wsproto.utilities import ProtocolError

from server.sockets.connection import INTERNAL_ERROR, PROTOCOL_ERROR, Connection
from server.sockets.farewell import MemberConnection
from server.sockets.handshake import shake_hands
from server.sockets.session import Session, SessionPorts

_log = structlog.get_logger(__name__)


async def serve_connection(
    connection: MemberConnection, ports: SessionPorts, origins: frozenset[str]
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
                    await _converse(connection, nursery, ports, origins)
                finally:
                    connection.detach()
                scope.cancel()
        except* Exception as group:
            _explain(connection, group)
    finally:
        connection.settle(scope)
        ports.heartbeats.remove(connection)
        ports.delivery.remove(connection)
        await connection.finish()


async def _converse(
    connection: MemberConnection,
    nursery: trio.Nursery,
    ports: SessionPorts,
    origins: frozenset[str],
) -> None:
    opened = await shake_hands(connection, nursery, ports.limits, origins)
    if opened is not None:
        socket, room_id = opened
        ports.delivery.register(connection)
        ports.heartbeats.add(connection)
        await Session(connection, socket, room_id, ports).run()


def _explain(connection: Connection, group: BaseExceptionGroup[Exception]) -> None:
    """A peer can bring trio-websocket's reader to raise: bytes that no Host header may have, a
    ping behind a message that was too long. Anything else is a fault of ours."""
    _, faults = group.split((ProtocolError, UnicodeError))
    if faults is None:
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
