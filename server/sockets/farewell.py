"""A member's connection: where it comes from, and how it ends so that a crowd does not come back in
one moment: the close frame says to each member when."""

import socket
from collections import Counter
from collections.abc import Callable

from actors.ports import SessionId
from protocol.delivery import DeliveryClass
from protocol.errors import CLOSES, CloseCode
from protocol.reconnect import close_reason
from server.sockets.connection import Connection
from server.sockets.framing import close_frame
from server.sockets.limits import SocketLimits


class MemberConnection(Connection):
    """`address`: who counts as one. `come_back_in_s` is asked once, when it closes: seconds, or
    None where none are needed."""

    __slots__ = ("_come_back_in_s", "address")

    def __init__(
        self,
        session_id: SessionId,
        sock: socket.socket,
        limits: SocketLimits,
        left_out: Counter[DeliveryClass],
        address: str,
        come_back_in_s: Callable[[CloseCode], float | None],
    ) -> None:
        super().__init__(session_id, sock, limits, left_out)
        self.address = address
        self._come_back_in_s = come_back_in_s

    def close(self, code: int) -> None:
        if self.close_code is None and self.codec is not None and code in CLOSES:
            ours = CloseCode(code)
            reason = close_reason(ours, self._come_back_in_s(ours))
            self.outbox.finish(close_frame(code, reason))  # the last one: `super` adds none
        super().close(code)
