"""The byte stream that trio-websocket runs on: it reads the socket and writes to its outbox, so
that the library's own frames (pongs, close replies) and ours never interleave."""

import socket
from collections.abc import Callable

import trio

from server.sockets.framing import is_close_frame
from server.sockets.outbox import Outbox


class OutboxStream(trio.abc.Stream):
    """Reads the socket directly, without a trio.SocketStream around it: 1 kB less for every idle
    member. Closing it only ends its use by the library; the connection closes the socket."""

    __slots__ = ("_closed", "_heard", "_outbox", "_sock", "on_end")

    def __init__(self, sock: socket.socket, outbox: Outbox, heard: Callable[[], None]) -> None:
        """`heard` is called whenever the peer gave a sign of life."""
        self._sock = sock
        self._outbox = outbox
        self._heard = heard
        self._closed = False
        self.on_end: Callable[[], None] | None = None
        """Called when nothing more will be read. Only the handshake needs it: trio-websocket
        goes on waiting for a request that cannot come."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes, at most `max_bytes`; b"" once the peer has ended its side.

        Raises trio.BrokenResourceError when the connection is lost.
        """
        assert max_bytes is not None, "trio-websocket always names its buffer size"
        if self._closed:
            raise trio.ClosedResourceError
        await trio.lowlevel.checkpoint_if_cancelled()
        data = self._receive_now(max_bytes)
        if data is None:
            while data is None:
                await trio.lowlevel.wait_readable(self._sock)
                data = self._receive_now(max_bytes)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
        if data:
            self._heard()
        else:
            self._ended()
        return data

    def _receive_now(self, bytes_max: int) -> bytes | None:
        """None: nothing has arrived. Not inlined: waiting inside `except` would keep the
        exception alive with every idle member, 900 bytes each."""
        try:
            return self._sock.recv(bytes_max)
        except BlockingIOError:
            return None
        except OSError as error:
            self._ended()
            raise trio.BrokenResourceError from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Queue behind what is due, and wait until it is out: a peer that sends pings and reads
        nothing is then no longer read, instead of filling the outbox with pongs.

        A close frame is the last thing to leave: broadcasts after it are dropped.
        Raises trio.BrokenResourceError when the connection is lost.
        """
        if self._closed:
            raise trio.ClosedResourceError
        if is_close_frame(data):
            self._outbox.finish(bytes(data))
        else:
            self._outbox.send(bytes(data))
        await self._outbox.flushed()

    async def wait_send_all_might_not_block(self) -> None:
        await self._outbox.flushed()

    async def aclose(self) -> None:
        self._closed = True
        self._ended()
        await trio.lowlevel.checkpoint()

    def _ended(self) -> None:
        if self.on_end is not None:
            self.on_end()
