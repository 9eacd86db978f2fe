"""The HTTP upgrade. Who is let in is the endpoint's to judge."""

from collections.abc import Callable

import msgspec
import trio
from trio_websocket import WebSocketConnection, WebSocketRequest, wrap_server_stream

from server.sockets.connection import Connection
from server.sockets.limits import SocketLimits


class Rejection(msgspec.Struct, frozen=True):
    """The HTTP answer to an upgrade that is not allowed."""

    status: int
    text: str


class Acceptance(msgspec.Struct, frozen=True):
    """Of an upgrade; `subprotocol`: one of those that were offered, or None."""

    subprotocol: str | None


Judge = Callable[[WebSocketRequest], Acceptance | Rejection]


async def shake_hands(
    connection: Connection, nursery: trio.Nursery, limits: SocketLimits, judge: Judge
) -> WebSocketConnection | None:
    """The open WebSocket; None when the upgrade was refused and answered. trio-websocket's reader
    goes on in `nursery`."""
    connection.close_at(trio.current_time() + limits.handshake_timeout_s, None)
    connection.stream.on_end = nursery.cancel_scope.cancel
    request = await wrap_server_stream(
        nursery,
        connection.stream,
        max_message_size=limits.message_bytes_max,
        receive_buffer_size=limits.receive_bytes,
    )
    connection.stream.on_end = None
    match judge(request):
        case Rejection(status, text):
            headers = [(b"Content-Type", b"text/plain")]
            await request.reject(status, extra_headers=headers, body=text.encode())
            return None
        case Acceptance(subprotocol):
            connection.stream.begin_frames(limits.message_bytes_max)
            socket = await request.accept(subprotocol=subprotocol)
            connection.opened = True
            return socket
