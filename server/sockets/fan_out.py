"""Fan-out: a room's way to its members' sockets (`actors.ports.Delivery`).

`broadcast` is the hot path of the server: one encoding and one framing for each encoding in use,
then one direct send for each member, nothing else.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import count

import msgspec

from actors.ports import SessionId
from protocol.codec import Codec
from protocol.errors import CloseCode
from protocol.frames import Error, ModelFrame, Ok, OwnFrame, RoomEvent
from server.sockets.connection import Connection
from server.sockets.framing import message_frame
from server.sockets.outbox import Outbox

Audience = dict[Codec, dict[SessionId, Outbox]]
"""The admitted sessions of one room, by encoding."""


class FanOutStatistics(msgspec.Struct, frozen=True, rename="camel"):
    """Totals since start, but for `sessions` and `backlog_bytes`, which are now."""

    sessions: int
    backlog_bytes: int
    """Waiting in all outboxes."""
    frames_sent: int
    """Given to outboxes, one for each member."""
    bytes_sent: int
    slow_closed: int
    closes: dict[int, int]
    """Ended sessions by close code."""


class FanOut:
    """Nothing here waits or fails. A session that is unknown has just gone: its Leave is on the
    way to the room, and what the room still sends it is dropped."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._sessions: dict[SessionId, Connection] = {}
        self._audiences: dict[str, Audience] = {}
        self._room_of: dict[SessionId, str] = {}
        self._closes: Counter[int] = Counter()
        self.frames_sent = 0
        self.bytes_sent = 0

    # ---- for rooms: actors.ports.Delivery ------------------------------------------------

    def admit(self, room_id: str, session_id: SessionId) -> None:
        """From now on this session gets the room's events. Again: no change."""
        connection = self._sessions.get(session_id)
        if connection is None or connection.codec is None:
            return
        self._dismiss(session_id)
        self._room_of[session_id] = room_id
        audience = self._audiences.setdefault(room_id, {})
        audience.setdefault(connection.codec, {})[session_id] = connection.outbox

    def send(self, session_id: SessionId, frame: OwnFrame | ModelFrame | Ok | Error) -> None:
        connection = self._sessions.get(session_id)
        if connection is not None:
            self.frames_sent += 1
            self.bytes_sent += connection.send(frame)

    def broadcast(self, room_id: str, event: RoomEvent) -> None:
        for codec, outboxes in self._audiences.get(room_id, {}).items():
            frame = message_frame(codec, codec.encode(event))
            for outbox in outboxes.values():
                outbox.send(frame)
            self.frames_sent += len(outboxes)
            self.bytes_sent += len(frame) * len(outboxes)

    def close(self, session_id: SessionId, code: CloseCode) -> None:
        connection = self._sessions.get(session_id)
        if connection is not None:
            connection.close(code)

    # ---- for connections -----------------------------------------------------------------

    def next_session_id(self) -> SessionId:
        """Never used before in this process."""
        return next(self._ids)

    def register(self, connection: Connection) -> None:
        """Its handshake is done: its codec is known."""
        assert connection.codec is not None, "registered before the handshake was done"
        self._sessions[connection.session_id] = connection

    def remove(self, connection: Connection) -> None:
        """It has ended; whether it was registered does not matter."""
        if self._sessions.pop(connection.session_id, None) is None:
            return
        self._dismiss(connection.session_id)
        if connection.close_code is not None:
            self._closes[connection.close_code] += 1

    # ---- for heartbeats and metrics ------------------------------------------------------

    def __iter__(self) -> Iterator[Connection]:
        """The sessions of this moment; they may come and go while it is read."""
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def slow_closed(self) -> int:
        return self._closes[CloseCode.SLOW_CONSUMER]

    def admitted(self, room_id: str) -> int:
        """How many sessions get the room's events."""
        return sum(len(outboxes) for outboxes in self._audiences.get(room_id, {}).values())

    def statistics(self) -> FanOutStatistics:
        """Costs one pass over all sessions: for a scrape, not for a loop."""
        return FanOutStatistics(
            sessions=len(self._sessions),
            backlog_bytes=sum(one.outbox.backlog_bytes for one in self._sessions.values()),
            frames_sent=self.frames_sent,
            bytes_sent=self.bytes_sent,
            slow_closed=self.slow_closed,
            closes=dict(self._closes),
        )

    def _dismiss(self, session_id: SessionId) -> None:
        room_id = self._room_of.pop(session_id, None)
        if room_id is None:
            return
        audience = self._audiences[room_id]
        for codec, outboxes in list(audience.items()):
            outboxes.pop(session_id, None)
            if not outboxes:
                del audience[codec]
        if not audience:
            del self._audiences[room_id]
