"""Fan-out: a room's way to its members' sockets (`actors.ports.Delivery`).

What a room says in one turn is gathered and leaves at its end, with `flush`: one write for each
member, whatever it consists of. Only a command leaves at once. `flush` is the hot path of the
server.
"""

from collections import Counter, deque
from collections.abc import Iterator
from itertools import count
from math import inf
from typing import Final, NoReturn

import msgspec
import trio

from actors.ports import SessionId
from protocol.codec import Codec
from protocol.delivery import DeliveryClass, delivery_of
from protocol.errors import CLOSES, CloseCode
from protocol.frames import (
    Error,
    ModelFrame,
    Ok,
    OwnFrame,
    RoomEvent,
    Snapshot,
    ToysStopped,
)
from server.sockets.audience import Audience
from server.sockets.connection import Connection
from server.sockets.framing import message_frame
from server.sockets.outbox import Outbox

MEMBERS_AT_ONCE: Final = 256
"""Written to in a row: about 3 ms, after which other tasks, a stop among them, get their turn. What
the room says until all members are through leaves with the next write: so events are joined under
load, and none ever waits at rest."""
OTHER_CODES: Final = 3000
"""Stands for all close codes that are nobody's we know: a peer may name any of 2,000."""
PATIENCE_S: Final = 0.1
"""How long a patient event (`protocol.delivery`) waits for another, in a room of more members than
that: what nobody sees, and half of the writes where each tip is thanked for."""
GATHERED_MAX: Final = 256
"""Events of one room; about as many bytes as one write carries."""


class FanOutStatistics(msgspec.Struct, frozen=True, rename="camel"):
    """Totals since start, but for `sessions` and `backlog_bytes`, which are now."""

    sessions: int
    backlog_bytes: int
    """Waiting in all outboxes."""
    frames_sent: int
    """Given to outboxes, one for each member."""
    bytes_sent: int
    left_out: dict[DeliveryClass, int]
    """Of them, those that never left: the member was too slow."""
    slow_closed: int
    closes: dict[int, int]
    """Ended sessions by close code; see OTHER_CODES."""


class FanOut:
    """Nothing here waits or fails. A session that is unknown has just gone: its Leave is on the
    way to the room, and what the room still sends it is dropped."""

    def __init__(self, members_at_once: int = MEMBERS_AT_ONCE) -> None:
        self.left_out: Counter[DeliveryClass] = Counter()
        """Shared with the outboxes, which count."""
        self._members_at_once = members_at_once
        self._ids = count(1)
        self._sessions: dict[SessionId, Connection] = {}
        self._audiences: dict[str, Audience] = {}
        self._room_of: dict[SessionId, str] = {}
        self._own_due: list[Outbox] = []
        self._rooms_due: dict[Audience, None] = {}
        self._begun: deque[Audience] = deque()
        """Those with more members than one turn is for."""
        self._patient: dict[Audience, float] = {}
        """Those with patient events alone -> until when (trio's clock) these wait, in order."""
        self._lot = trio.lowlevel.ParkingLot()
        self._last_encoded: tuple[object, Codec | None, bytes] = (None, None, b"")
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
        audience = self._audiences.setdefault(room_id, Audience())
        self._seal(audience)
        audience.admit(session_id, connection.codec, connection.outbox)

    def send(self, session_id: SessionId, frame: OwnFrame | ModelFrame | Ok | Error) -> None:
        connection = self._sessions.get(session_id)
        if connection is None or connection.codec is None:
            return
        data = self._encoded(connection.codec, frame)
        self.frames_sent += 1
        self.bytes_sent += len(data)
        if isinstance(frame, ToysStopped):
            connection.outbox.send_stop(data)
            return
        if isinstance(frame, Snapshot):
            self._complete(session_id)
        delivery = delivery_of(frame)
        if delivery.stoppable:
            # A command, now: else the model's would wait until those of a thousand are encoded.
            connection.outbox.write(((delivery, data),), data)
        elif connection.outbox.gather(delivery, data):
            self._own_due.append(connection.outbox)

    def broadcast(self, room_id: str, event: RoomEvent) -> None:
        audience = self._audiences.get(room_id)
        if audience is None:
            return
        gathered = audience.gather(event)
        if audience.presses or len(audience) <= self._members_at_once:
            self._rooms_due[audience] = None
        elif audience not in self._patient:
            self._patient[audience] = trio.current_time() + PATIENCE_S
            self._lot.unpark()
        if gathered >= GATHERED_MAX:
            self._seal(audience)
            self._write_portion(audience)

    def flush(self) -> None:
        """Write all that was gathered: own frames first, for an answer must not wait for what a
        thousand others are told."""
        own_due, self._own_due = self._own_due, []
        for outbox in own_due:
            outbox.flush()
        rooms_due, self._rooms_due = self._rooms_due, {}
        for audience in rooms_due:
            # Not those that are written in portions. What is unwritten else is what was said before
            # somebody joined in this turn.
            if audience not in self._begun:
                self._write_portion(audience)

    def close(self, session_id: SessionId, code: CloseCode) -> None:
        connection = self._sessions.get(session_id)
        if connection is not None:
            self._complete(session_id)
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
        code = connection.close_code
        if code is not None:
            self._closes[code if code < OTHER_CODES or code in CLOSES else OTHER_CODES] += 1

    # ---- what one turn is too short for ----------------------------------------------------

    async def run(self) -> NoReturn:
        """Write to rooms with many members in portions, one room after the other; until
        cancelled."""
        while True:
            self._end_patience()
            if self._begun:
                self._write_portion(self._begun.popleft())
                await trio.lowlevel.checkpoint()
            else:
                with trio.move_on_at(next(iter(self._patient.values()), inf)):
                    await self._lot.park()

    def _end_patience(self) -> None:
        now_s = trio.current_time()
        while self._patient:
            audience, until_s = next(iter(self._patient.items()))
            if until_s > now_s:
                return
            del self._patient[audience]
            audience.press()
            self._begin(audience)

    def _write_portion(self, audience: Audience) -> None:
        """The next members; when all are through, what has been gathered since, unless that has
        patience."""
        if not audience.unwritten:
            self._seal(audience)
            self._patient.pop(audience, None)
        audience.write_some(self._members_at_once)
        if audience.unwritten or audience.presses:
            self._begin(audience)

    def _begin(self, audience: Audience) -> None:
        if audience not in self._begun:
            self._begun.append(audience)
            self._lot.unpark()

    def _complete(self, session_id: SessionId) -> None:
        """What comes next to this session comes after the events of its room until now."""
        room_id = self._room_of.get(session_id)
        if room_id is not None:
            audience = self._audiences[room_id]
            self._seal(audience)
            while audience.unwritten:
                audience.write_some(self._members_at_once)

    def _seal(self, audience: Audience) -> None:
        frames_sent, bytes_sent = audience.seal()
        self.frames_sent += frames_sent
        self.bytes_sent += bytes_sent

    def _encoded(self, codec: Codec, frame: OwnFrame | ModelFrame | Ok | Error) -> bytes:
        """A stop is one frame that goes to a thousand members: encoded once."""
        last_frame, last_codec, data = self._last_encoded
        if last_frame is not frame or last_codec is not codec:
            data = message_frame(codec.encode(frame), codec.binary)
            self._last_encoded = (frame, codec, data)
        return data

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
        return len(self._audiences.get(room_id, ()))

    def statistics(self) -> FanOutStatistics:
        """Costs one pass over all sessions: for a scrape, not for a loop."""
        return FanOutStatistics(
            sessions=len(self._sessions),
            backlog_bytes=sum(one.outbox.backlog_bytes for one in self._sessions.values()),
            frames_sent=self.frames_sent,
            bytes_sent=self.bytes_sent,
            left_out={each: self.left_out[each] for each in DeliveryClass},
            slow_closed=self.slow_closed,
            closes=dict(self._closes),
        )

    def _dismiss(self, session_id: SessionId) -> None:
        room_id = self._room_of.pop(session_id, None)
        if room_id is None:
            return
        audience = self._audiences[room_id]
        audience.dismiss(session_id)
        if not len(audience):
            del self._audiences[room_id]
