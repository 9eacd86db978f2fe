"""One accepted socket: its outbox, its deadline, and how it closes. Where a crowd must not come
back in one moment, the close frame says to each member when."""

import math
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final

import trio

from actors.ports import SessionId
from protocol.codec import Codec
from protocol.delivery import DeliveryClass
from protocol.errors import CLOSES, CloseCode
from protocol.frames import Gap, ServerFrame
from protocol.reconnect import close_reason
from server.sockets.framing import close_frame, message_frame
from server.sockets.handshake_stream import HandshakeStream
from server.sockets.incoming import MESSAGE_TOO_BIG, Incoming
from server.sockets.limits import SocketLimits
from server.sockets.outbox import Outbox

PROTOCOL_ERROR: Final = 1002
INTERNAL_ERROR: Final = 1011

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: the kernel keeps nothing for a peer that does not take it."""
_DISCARD_BYTES: Final = 16 * 1024
_NEAR_HEARTBEATS: Final = 2
"""So that a heartbeat that comes late still comes before the deadline."""


class Connection:
    """`send` and `close` never wait. `close` may come from anywhere, at any time, more than once:
    the first reason stands."""

    __slots__ = (
        "_close_by_s",
        "_come_back_in_s",
        "_deadline_code",
        "_deadline_s",
        "_limits",
        "_nursery",
        "_patience",
        "_sock",
        "address",
        "close_code",
        "codec",
        "incoming",
        "opened",
        "outbox",
        "session_id",
    )

    def __init__(
        self,
        session_id: SessionId,
        sock: socket.socket,
        limits: SocketLimits,
        left_out: Counter[DeliveryClass],
        address: str,
        come_back_in_s: Callable[[CloseCode], float | None],
    ) -> None:
        """`sock`: connected and non-blocking; owned from now on. `left_out`: see Outbox.
        `address`: who counts as one. `come_back_in_s` is asked once, when it closes: seconds, or
        None where none are needed."""
        self.session_id = session_id
        self.address = address
        self.outbox = Outbox(
            sock, limits.outbox_bytes_max, limits.sampled_bytes_max, self, left_out
        )
        self.incoming = Incoming(
            sock,
            self.outbox,
            message_bytes_max=limits.message_bytes_max,
            read_bytes=limits.receive_bytes,
        )
        self.opened = False
        """Set by the handshake; before it nothing of ours may be sent."""
        self.codec: Codec | None = None
        """Of the frames that are sent on it."""
        self.close_code: int | None = None
        """Why it closes; None while it does not."""
        self._sock = sock
        self._limits = limits
        self._come_back_in_s = come_back_in_s
        self._nursery: trio.Nursery | None = None
        self._deadline_s = math.inf
        self._deadline_code: CloseCode | None = None
        self._patience: trio.CancelScope | None = None
        self._close_by_s = math.inf

    # ---- while it lives ------------------------------------------------------------------

    def attach(self, nursery: trio.Nursery) -> None:
        """Everything that this connection does runs in `nursery`; a close cancels it."""
        self._nursery = nursery

    @property
    def nursery(self) -> trio.Nursery:
        """While it is attached."""
        assert self._nursery is not None
        return self._nursery

    def detach(self) -> None:
        """The nursery is about to end: start nothing in it any more."""
        self._nursery = None

    def handshake_stream(self) -> HandshakeStream:
        """For the library, until frames come. When nothing more can come of it, that is the end."""
        return HandshakeStream(self._sock, self.outbox, self.nursery.cancel_scope.cancel)

    def close_at(self, deadline_s: float, code: CloseCode | None) -> None:
        """Close with `code` when trio's clock reaches `deadline_s`, instead of at the deadline
        given before. None: drop it, there is nobody to tell yet."""
        self._deadline_s, self._deadline_code = deadline_s, code
        self.mind_deadline()

    def mind_deadline(self) -> None:
        """With each heartbeat, too: trio is told of a deadline once it comes near. One that nobody
        waits for any more stays in its heap until its moment, 400 bytes for each member who has
        gone, for as long as his token would have been good."""
        if self._nursery is not None:
            near_s = trio.current_time() + _NEAR_HEARTBEATS * self._limits.heartbeat_s
            is_near = self._deadline_s <= near_s
            self._nursery.cancel_scope.deadline = self._deadline_s if is_near else math.inf

    def send(self, frame: ServerFrame) -> None:
        """Encode and send to this member alone, now."""
        self.outbox.send(self._framed(frame))

    def close(self, code: int) -> None:
        """Send what is due, then the close frame, then nothing more."""
        if self.close_code is not None:
            return
        self.close_code = code
        if self.opened:
            self.outbox.finish(close_frame(code, self._reason(code)))
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def peer_closed(self, code: int) -> None:
        """The peer ended it: by a close frame, which was answered; by an error, which is not; or
        without a word."""
        if self.close_code is not None:
            return
        if code in _OURS_TO_TELL:
            self.close(code)
        else:
            self.close_code = code

    # ---- its end -------------------------------------------------------------------------

    def settle(self, scope: trio.CancelScope) -> None:
        """Name the reason of an end that nobody has named: the deadline, else the server's own
        end. `scope`: the cancel scope of the nursery that has ended."""
        if self.close_code is not None:
            return
        late = scope.cancelled_caught and trio.current_time() >= scope.deadline
        code = self._deadline_code if late else None
        self.close(CloseCode.GOING_AWAY if code is None else code)

    def hurry(self, deadline_s: float) -> None:
        """Be gone by `deadline_s` on trio's clock, whatever is still due."""
        self._close_by_s = deadline_s
        if self._patience is not None:
            self._patience.deadline = min(self._patience.deadline, deadline_s)

    async def finish(self) -> None:
        """Write what is due, end our side, wait for the peer's end, close the socket: at most
        `close_timeout_s`, and not to be cancelled in between.

        Waiting for the peer's end matters: closing a socket with unread bytes resets it, and a
        reset destroys the close frame in the peer's buffer.
        """
        deadline_s = min(trio.current_time() + self._limits.close_timeout_s, self._close_by_s)
        with trio.CancelScope(deadline=deadline_s, shield=True) as self._patience:
            await self.outbox.drain()
            if not self.outbox.broken:
                await self._end_our_side()
        if self._patience.cancelled_caught:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.outbox.abandon()
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()

    async def _end_our_side(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
            while True:
                await trio.lowlevel.wait_readable(self._sock)
                if not self._sock.recv(_DISCARD_BYTES):
                    return
        except OSError:
            # The peer has reset the connection: it is as ended as it can be.
            self.outbox.abandon()

    # ---- the outbox's owner --------------------------------------------------------------

    def backed_up(self) -> None:
        # Without a nursery `finish` comes next, and drains.
        if self._nursery is not None:
            self._nursery.start_soon(self.outbox.drain)

    def overflowed(self) -> None:
        self.close(CloseCode.SLOW_CONSUMER)

    def gap_frame(self, sampled: int, latest_only: int) -> bytes:
        return self._framed(Gap(sampled, latest_only))

    def _framed(self, frame: ServerFrame) -> bytes:
        assert self.codec is not None, "sent before the handshake was done"
        return message_frame(self.codec.encode(frame), self.codec.binary)

    def _reason(self, code: int) -> str:
        if code in CLOSES:
            ours = CloseCode(code)
            return close_reason(ours, self._come_back_in_s(ours))
        return _STANDARD_REASONS.get(code, "")


_OURS_TO_TELL: Final = frozenset({PROTOCOL_ERROR, 1003, 1007, MESSAGE_TOO_BIG})
"""Close codes (RFC 6455, 7.4.1) of a peer that did what is forbidden, and has not been told."""

_STANDARD_REASONS: Final = {
    INTERNAL_ERROR: "internal error",
    PROTOCOL_ERROR: "protocol error",
    MESSAGE_TOO_BIG: "message too big",
}
