"""The byte stream that trio-websocket runs on: it reads the socket and writes to its outbox, so
that the library's own frames (pongs, close replies) and ours never interleave.

While hands are shaken the library reads the socket itself. From `begin_frames` on the session
does, by `next_message`; what is no plain message (`intake`) it passes to the library's reader,
which otherwise sleeps.
"""

import socket
from collections.abc import Callable

import trio
from trio_websocket import WebSocketConnection

from server.sockets.framing import is_close_frame
from server.sockets.intake import Intake
from server.sockets.outbox import Outbox

_HEADERS_END = b"\r\n\r\n"


class OutboxStream(trio.abc.Stream):
    """Reads the socket directly, without a trio.SocketStream around it: 1 kB less for every idle
    member. Closing it only ends its use by the library; the connection closes the socket."""

    __slots__ = (
        "_closed",
        "_handshake",
        "_heard",
        "_intake",
        "_outbox",
        "_reader",
        "_request_ends",
        "_session",
        "_sock",
        "early",
        "on_end",
    )

    def __init__(self, sock: socket.socket, outbox: Outbox, heard: Callable[[], None]) -> None:
        """`heard` is called whenever the peer gave a sign of life."""
        self._sock = sock
        self._outbox = outbox
        self._heard = heard
        self._closed = False
        self._handshake: trio.CancelScope | None = None
        """Of the library's read, while hands are shaken."""
        self._request_ends = False
        """What came last ends where the request ends, so that frames come next."""
        self.early = False
        """Something followed the request before it was answered (RFC 6455, 4.1: the client must
        wait). trio-websocket loses it, and with it where frames begin."""
        self._intake: Intake | None = None
        self._reader: trio.lowlevel.Task | None = None
        """The library's, while it waits for what the session passes on."""
        self._session: trio.lowlevel.Task | None = None
        """While it waits for the reader to be done with that."""
        self.on_end: Callable[[], None] | None = None
        """Called when nothing more will be read. Only the handshake needs it: trio-websocket
        goes on waiting for a request that cannot come."""

    # ---- for the session ---------------------------------------------------------------------

    def begin_frames(self, message_bytes_max: int) -> None:
        """The upgrade was judged, and the answer comes next: from now on frames come."""
        self._intake = Intake(message_bytes_max, foreign=not self._request_ends)
        if self._handshake is not None:
            self._handshake.cancel()

    async def next_message(self, library: WebSocketConnection, bytes_max: int) -> bytes | str:
        """The peer's next message; `bytes_max`: of one read.

        Raises trio_websocket.ConnectionClosed.
        """
        intake = self._intake
        assert intake is not None, "frames have begun"
        while not intake.messages:
            if intake.messages_passed:
                message = await library.get_message()
                intake.messages_passed -= 1
                return message
            if intake.foreign:
                return await library.get_message()
            if intake.passed or self._reader is None:
                await self._reader_done()
            else:
                await trio.lowlevel.wait_readable(self._sock)
                self._take_in(intake, bytes_max)
        return intake.messages.pop(0)

    def _take_in(self, intake: Intake, bytes_max: int) -> None:
        try:
            data = self._sock.recv(bytes_max)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._feed(intake, data)
        if intake.passed or intake.foreign:
            self._wake_reader()

    def _feed(self, intake: Intake, data: bytes) -> None:
        if data:
            self._heard()
            intake.feed(data)
        else:
            intake.foreign = True  # the end is the library's to find

    async def _reader_done(self) -> None:
        """Wait until the library has dealt with what was passed to it: a peer that sends pings
        and takes no pongs is then no longer read."""
        self._session = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._session_cancelled)

    # ---- for trio-websocket --------------------------------------------------------------------

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes, at most `max_bytes` of them read at once; b"" once the peer has ended its
        side.

        Raises trio.BrokenResourceError when the connection is lost.
        """
        assert max_bytes is not None, "trio-websocket always names its buffer size"
        if self._closed:
            raise trio.ClosedResourceError
        await trio.lowlevel.checkpoint_if_cancelled()
        while (intake := self._intake) is None:
            with trio.CancelScope() as self._handshake:
                data = await self._receive(max_bytes)
                if (intake := self._intake) is None:
                    return self._received(data)
                self._feed(intake, data)  # came in the moment in which frames began
        self._handshake = None
        while not intake.passed and not intake.foreign:
            self._reader = trio.lowlevel.current_task()
            self._wake_session()
            await trio.lowlevel.wait_task_rescheduled(self._reader_cancelled)
        if intake.passed:
            data, intake.passed = intake.passed, b""
            await trio.lowlevel.cancel_shielded_checkpoint()
            return data
        return self._received(await self._receive(max_bytes))

    def _received(self, data: bytes) -> bytes:
        if data:
            _, end, more = data.partition(_HEADERS_END)
            self.early = self.early or self._request_ends or bool(more)
            self._request_ends = bool(end) and not more
            self._heard()
        else:
            self._ended()
        return data

    async def _receive(self, bytes_max: int) -> bytes:
        data = self._receive_now(bytes_max)
        if data is None:
            while data is None:
                await trio.lowlevel.wait_readable(self._sock)
                data = self._receive_now(bytes_max)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
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
            self._ended()
        else:
            self._outbox.send(bytes(data))
        try:
            await self._outbox.flushed()
        except trio.BrokenResourceError:
            self._ended()
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self._outbox.flushed()

    async def aclose(self) -> None:
        self._closed = True
        self._ended()
        await trio.lowlevel.checkpoint()

    def _ended(self) -> None:
        """The library's reader reads no more frames, and ends: the session must not wait for it."""
        if self.on_end is not None:
            self.on_end()
        if self._intake is not None:
            self._intake.foreign = True
        self._wake_session()

    # ---- each wakes the other ------------------------------------------------------------------

    def _wake_reader(self) -> None:
        task, self._reader = self._reader, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _wake_session(self) -> None:
        task, self._session = self._session, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _reader_cancelled(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _session_cancelled(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._session = None
        return trio.lowlevel.Abort.SUCCEEDED
