"""Heartbeats: a timer wheel of members. One task pings the members of one slot after the other,
closes those who have fallen silent, and lets each look at its own deadline.
"""

from typing import Final, NoReturn

import trio

from protocol.errors import CloseCode
from server.sockets.connection import Connection
from server.sockets.framing import PING_FRAME

SILENT_INTERVALS_MAX: Final = 2.5
"""Two unanswered pings, and half an interval for the answer to the second to travel."""
SLOTS: Final = 30
"""One turn of the wheel is one interval: at 30 s and 6,000 members, 200 pings a second instead of
6,000 at once. What a slot costs is its own members, not all."""


class HeartbeatWheel:
    """Who is on it is pinged once in each interval. The ping is one frame, encoded once, for all;
    the answer comes back as bytes heard, like anything else that a member sends."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._slots: list[dict[int, Connection]] = [{} for _ in range(SLOTS)]

    def add(self, connection: Connection) -> None:
        """By its number, so that a crowd that comes at once is spread over all slots."""
        self._slot_of(connection)[connection.session_id] = connection

    def remove(self, connection: Connection) -> None:
        """Who is not on it is no matter."""
        self._slot_of(connection).pop(connection.session_id, None)

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    async def turn(self) -> NoReturn:
        """Runs until cancelled."""
        while True:
            began_s = trio.current_time()
            for position, slot in enumerate(self._slots, 1):
                self._beat(slot)
                await trio.sleep_until(began_s + self._interval_s * position / SLOTS)

    def _beat(self, slot: dict[int, Connection]) -> None:
        silent_since_s = trio.current_time() - SILENT_INTERVALS_MAX * self._interval_s
        for connection in list(slot.values()):  # a ping that fails may end its connection
            connection.mind_deadline()
            if connection.incoming.last_heard_s < silent_since_s:
                connection.close(CloseCode.HEARTBEAT_LOST)
            else:
                connection.outbox.send(PING_FRAME)

    def _slot_of(self, connection: Connection) -> dict[int, Connection]:
        return self._slots[connection.session_id % SLOTS]
