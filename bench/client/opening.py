"""Opens a WebSocket that is given up as soon as nothing can come of it. trio-websocket itself would
wait for the answer to its upgrade for good when the server goes away before it."""

import ssl
from collections.abc import Awaitable, Callable
from typing import Final, cast
from urllib.parse import urlsplit

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

OPEN_TIMEOUT_S: Final = 30.0
"""Of a browser it would be its own affair; until the server has answered the upgrade."""
MESSAGE_BYTES_MAX: Final = 2**20
"""As the server's outbox: nothing larger can come."""

OpenStream = Callable[[], Awaitable[trio.abc.Stream]]


class NotOpened(Exception):
    """No connection, or no WebSocket at the other end of it."""


def stream_to(url: str) -> OpenStream:
    """Over TCP; with TLS for `wss://`. Raises ValueError for what is no WebSocket's address."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or parts.hostname is None:
        raise ValueError("the address must begin with ws:// or wss://")
    host, secure = parts.hostname, parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)

    async def open_stream() -> trio.abc.Stream:
        if not secure:
            return await trio.open_tcp_stream(host, port)
        return await trio.open_ssl_over_tcp_stream(
            host, port, https_compatible=True, ssl_context=ssl.create_default_context()
        )

    return open_stream


async def open_websocket_over(
    open_stream: OpenStream, url: str, subprotocol: str, nursery: trio.Nursery
) -> tuple[WebSocketConnection, trio.abc.Stream]:
    """With what it runs over, which closed ends it at once. The library's reader runs in `nursery`.

    Raises NotOpened. An upgrade that the server refuses comes as ConnectionRejected out of
    `nursery`.
    """
    with trio.move_on_after(OPEN_TIMEOUT_S) as patience:
        try:
            stream = _Ending(await open_stream(), patience.cancel)
        except OSError as error:
            raise NotOpened(str(error)) from error
        try:
            connection = await wrap_client_stream(
                nursery,
                cast(trio.SocketStream, stream),  # which it uses as any stream
                urlsplit(url).netloc,
                urlsplit(url).path,
                subprotocols=[subprotocol],
                max_message_size=MESSAGE_BYTES_MAX,
            )
            stream.on_end = None
            return connection, stream
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
    raise NotOpened("the server does not answer")


class _Ending(trio.abc.Stream):
    """Passes everything on, and says when nothing more will come."""

    def __init__(self, inner: trio.abc.Stream, on_end: Callable[[], object]) -> None:
        self._inner = inner
        self.on_end: Callable[[], object] | None = on_end

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._inner.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self._ended()
            raise
        if not data:
            self._ended()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self._inner.send_all(data)
        except trio.BrokenResourceError:
            self._ended()
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        self._ended()
        await self._inner.aclose()

    def _ended(self) -> None:
        if self.on_end is not None:
            self.on_end()
