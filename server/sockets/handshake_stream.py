"""The byte stream that trio-websocket shakes hands on: it reads the socket and writes to its
outbox. With the answer to the upgrade its part is over: what the peer says from then on is
`Incoming`'s, and the library with all that it holds, 10 kB for each member, is let go."""

import re
import socket
from collections.abc import Callable
from typing import Final

import trio

from server.sockets.outbox import Outbox

_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
"""Where a request ends, as its parser has it."""


class HandshakeStream(trio.abc.Stream):
    """Closing it only ends its use by the library; the connection closes the socket."""

    def __init__(self, sock: socket.socket, outbox: Outbox, on_end: Callable[[], None]) -> None:
        """`on_end` is called when nothing more can come of it: trio-websocket would go on waiting
        for a request that cannot come."""
        self._sock = sock
        self._outbox = outbox
        self._on_end = on_end
        self._closed = False
        self._tail = b""
        self._request_read = False
        self.early = False
        """Something followed the request before it was answered (RFC 6455, 4.1: the client must
        wait). trio-websocket would lose it, and with it where frames begin."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes, at most `max_bytes` of them; b"" once the peer has ended its side, or
        the request is complete: what comes after the answer is not the library's, and its reader
        ends by itself.

        Raises trio.BrokenResourceError when the connection is lost.
        """
        assert max_bytes is not None, "trio-websocket always names its buffer size"
        if self._closed:
            raise trio.ClosedResourceError
        while (data := self._receive_now(max_bytes)) is None:
            if self._request_read:
                return b""
            await trio.lowlevel.wait_readable(self._sock)
        if data:
            self._look_for_end(data)
        else:
            self._on_end()
        return data

    def _look_for_end(self, data: bytes) -> None:
        if self._request_read:
            self.early = True
            return
        seen = self._tail + data
        self._tail = seen[-2:]  # a blank line may come in pieces
        if found := _BLANK_LINE.search(seen):
            self._request_read = True
            self.early = found.end() < len(seen)

    def _receive_now(self, bytes_max: int) -> bytes | None:
        """None: nothing has arrived."""
        try:
            return self._sock.recv(bytes_max)
        except BlockingIOError:
            return None
        except OSError as error:
            self._on_end()
            raise trio.BrokenResourceError from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Queue it, and wait until it is out.

        Raises trio.BrokenResourceError when the connection is lost.
        """
        if self._closed:
            raise trio.ClosedResourceError
        self._outbox.send(bytes(data))
        try:
            await self._outbox.flushed()
        except trio.BrokenResourceError:
            self._on_end()
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self._outbox.flushed()

    async def aclose(self) -> None:
        self._closed = True
        self._on_end()
        await trio.lowlevel.checkpoint()
