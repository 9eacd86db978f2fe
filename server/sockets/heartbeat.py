"""Heartbeats: one task pings every member and closes those who have fallen silent."""

from typing import Final, NoReturn

import trio

from protocol.errors import CloseCode
from server.sockets.fan_out import FanOut
from server.sockets.framing import PING_FRAME

SILENT_INTERVALS_MAX: Final = 2.5
"""Two unanswered pings, and half an interval for the answer to the second to travel."""
SLICES: Final = 30
"""The pings of one interval go out in so many portions: at 30 s and 6,000 members, 200 a second
instead of 6,000 at once."""


async def keep_alive(members: FanOut, heartbeat_s: float) -> NoReturn:
    """Runs until cancelled. A ping is a frame of every connection; the answer comes back as bytes
    heard, like anything else that a member sends."""
    while True:
        began_s = trio.current_time()
        for portion in range(SLICES):
            silent_since_s = trio.current_time() - SILENT_INTERVALS_MAX * heartbeat_s
            for connection in members:
                if connection.session_id % SLICES != portion:
                    continue
                if connection.last_heard_s < silent_since_s:
                    connection.close(CloseCode.HEARTBEAT_LOST)
                else:
                    connection.outbox.send(PING_FRAME)
            await trio.sleep_until(began_s + heartbeat_s * (portion + 1) / SLICES)
