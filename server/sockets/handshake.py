"""The HTTP upgrade: `/rooms/{roomId}`, an allowed Origin, one of our subprotocols."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

import msgspec
import trio
from trio_websocket import WebSocketConnection, wrap_server_stream

from protocol.codec import CODECS, Codec
from protocol.tip_activated import Id
from server.sockets.connection import Connection
from server.sockets.limits import SocketLimits

_PATH_PREFIX: Final = "/rooms/"


class Rejection(msgspec.Struct, frozen=True):
    """The HTTP answer to an upgrade that is not allowed."""

    status: int
    text: str


class Admission(msgspec.Struct, frozen=True):
    room_id: str
    codec: Codec


async def shake_hands(
    connection: Connection, nursery: trio.Nursery, limits: SocketLimits, origins: frozenset[str]
) -> tuple[WebSocketConnection, str] | None:
    """The open WebSocket and its room id; None when the upgrade was refused and answered.
    trio-websocket's reader goes on in `nursery`."""
    connection.close_at(trio.current_time() + limits.handshake_timeout_s, None)
    connection.stream.on_end = nursery.cancel_scope.cancel
    request = await wrap_server_stream(
        nursery,
        connection.stream,
        max_message_size=limits.message_bytes_max,
        receive_buffer_size=limits.receive_bytes,
    )
    connection.stream.on_end = None
    match judge(request.path, request.headers, request.proposed_subprotocols, origins):
        case Rejection(status, text):
            headers = [(b"Content-Type", b"text/plain")]
            await request.reject(status, extra_headers=headers, body=text.encode())
            return None
        case Admission(room_id, codec):
            connection.stream.begin_frames(limits.message_bytes_max)
            socket = await request.accept(subprotocol=codec.subprotocol)
            connection.codec = codec
            return socket, room_id


def judge(
    target: str,
    headers: Iterable[tuple[bytes, bytes]],
    subprotocols: Iterable[str],
    origins: frozenset[str],
) -> Admission | Rejection:
    """`target` may carry a query, which is ignored; header names are in lower case. A request
    without Origin does not come from a browser, so no foreign page can be behind it."""
    room_id = _room_id(target)
    if room_id is None:
        return Rejection(404, "no such path")
    for name, value in headers:
        if name == b"origin" and value.decode("latin-1") not in origins:
            return Rejection(403, "origin not allowed")
    offered = frozenset(subprotocols)
    codec = next((codec for name, codec in CODECS.items() if name in offered), None)
    if codec is None:
        return Rejection(400, f"subprotocol must be one of: {', '.join(CODECS)}")
    return Admission(room_id, codec)


def _room_id(target: str) -> str | None:
    path, _, _ = target.partition("?")
    if not path.startswith(_PATH_PREFIX):
        return None
    try:
        return msgspec.convert(unquote(path.removeprefix(_PATH_PREFIX)), Id)
    except msgspec.ValidationError:
        return None
