"""The HTTP upgrade. Who is let in is the endpoint's to judge."""

import binascii
import math
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream

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


class Upgraded(msgspec.Struct, frozen=True):
    """What an upgrade that was accepted asked for, and what it got."""

    path: str
    subprotocol: str | None


async def shake_hands(
    connection: Connection, limits: SocketLimits, judge: Judge
) -> Upgraded | None:
    """Frames come next; None when the upgrade was refused and answered, or the peer is gone.
    trio-websocket's reader runs in the connection's nursery, and ends by itself with the request:
    a nursery of its own, cancelled, took a quarter of a handshake."""
    connection.close_at(trio.current_time() + limits.handshake_timeout_s, None)
    stream = connection.handshake_stream()
    request = await wrap_server_stream(
        connection.nursery,
        stream,
        max_message_size=limits.message_bytes_max,
        receive_buffer_size=limits.receive_bytes,
    )
    flaw = "wait for the answer" if stream.early else flaw_of(request.headers)
    verdict = judge(request) if flaw is None else Rejection(400, flaw)
    try:
        upgraded = await _answer(request, verdict)
    except ConnectionClosed:
        return None  # it was gone before the answer
    if upgraded is not None:
        connection.opened = True
        connection.incoming.last_heard_s = trio.current_time()
        connection.close_at(math.inf, None)
    return upgraded


async def _answer(request: WebSocketRequest, verdict: Acceptance | Rejection) -> Upgraded | None:
    match verdict:
        case Rejection(status, text):
            headers = [(b"Content-Type", b"text/plain")]
            await request.reject(status, extra_headers=headers, body=text.encode())
            return None
        case Acceptance(subprotocol):
            await request.accept(subprotocol=subprotocol)
            return Upgraded(request.path, subprotocol)


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
