"""The HTTP upgrade. Who is let in is the endpoint's to judge."""

import binascii
import math
from collections.abc import Callable, Iterable
from typing import Final

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
    flaw = "wait for the answer" if connection.stream.early else flaw_of(request.headers)
    match judge(request) if flaw is None else Rejection(400, flaw):
        case Rejection(status, text):
            headers = [(b"Content-Type", b"text/plain")]
            await request.reject(status, extra_headers=headers, body=text.encode())
            return None
        case Acceptance(subprotocol):
            connection.stream.begin_frames(limits.message_bytes_max)
            socket = await request.accept(subprotocol=subprotocol)
            connection.opened = True
            connection.close_at(math.inf, None)
            return socket


def flaw_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """What RFC 6455 (4.2.1, 11.3) forbids and wsproto lets pass; header names are in lower case."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _ONCE and name in found:
            return f"{_ONCE[name]} given twice"
        found[name] = value
    try:
        key = binascii.a2b_base64(found.get(b"sec-websocket-key", b""), strict_mode=True)
    except binascii.Error:
        key = b""
    return None if len(key) == _KEY_BYTES else "Sec-WebSocket-Key must be 16 bytes in base64"


_ONCE: Final = {
    b"sec-websocket-key": "Sec-WebSocket-Key",
    b"sec-websocket-version": "Sec-WebSocket-Version",
}
_KEY_BYTES: Final = 16
