"""Audience: the admitted sessions of one room, and the events that they have yet to get.

Events that come close together leave as one write for each member: they are joined once for each
encoding in use, and every member gets the same bytes.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from actors.ports import SessionId
from protocol.codec import Codec
from protocol.delivery import delivery_of
from protocol.frames import RoomEvent
from server.sockets.framing import message_frame
from server.sockets.outbox import Frame, Outbox


@dataclass(slots=True)
class _Write:
    """The same frames to each of `outboxes`; `at`: whose turn it is."""

    frames: Sequence[Frame]
    joined: bytes
    outboxes: list[Outbox]
    at: int = 0


class Audience:
    """`gather` an event, `seal` says to whom all that is gathered goes, `write_some` writes it."""

    __slots__ = ("_gathered", "_outboxes", "_presses", "_writes")

    def __init__(self) -> None:
        self._outboxes: dict[Codec, dict[SessionId, Outbox]] = {}
        self._gathered: list[RoomEvent] = []
        self._presses = False
        self._writes: deque[_Write] = deque()

    def __len__(self) -> int:
        return sum(len(outboxes) for outboxes in self._outboxes.values())

    def admit(self, session_id: SessionId, codec: Codec, outbox: Outbox) -> None:
        """What was sealed before does not reach it."""
        self._outboxes.setdefault(codec, {})[session_id] = outbox

    def dismiss(self, session_id: SessionId) -> None:
        for codec, outboxes in list(self._outboxes.items()):
            outboxes.pop(session_id, None)
            if not outboxes:
                del self._outboxes[codec]

    @property
    def presses(self) -> bool:
        """There are events that nobody has been promised yet, and not only patient ones."""
        return self._presses

    def press(self) -> None:
        """What is gathered has waited long enough."""
        self._presses = bool(self._gathered)

    @property
    def unwritten(self) -> bool:
        """Somebody has yet to get what was sealed."""
        return bool(self._writes)

    def gather(self, event: RoomEvent) -> int:
        """One event more; how many there are."""
        self._gathered.append(event)
        self._presses = self._presses or not delivery_of(event).patient
        return len(self._gathered)

    def seal(self) -> tuple[int, int]:
        """What is gathered goes to those who are here now. Frames and bytes that this comes to."""
        events, self._gathered, self._presses = self._gathered, [], False
        frames_sent = bytes_sent = 0
        if events:
            for codec, outboxes in self._outboxes.items():
                frames = [
                    (delivery_of(event), message_frame(codec.encode(event), codec.binary))
                    for event in events
                ]
                joined = b"".join([data for _, data in frames])
                self._writes.append(_Write(frames, joined, list(outboxes.values())))
                frames_sent += len(frames) * len(outboxes)
                bytes_sent += len(joined) * len(outboxes)
        return frames_sent, bytes_sent

    def write_some(self, members_max: int) -> int:
        """Write what was sealed to the next members, in order; how many that were."""
        written = 0
        while self._writes and written < members_max:
            write = self._writes[0]
            frames, joined = write.frames, write.joined
            some = write.outboxes[write.at : write.at + members_max - written]
            for outbox in some:
                outbox.write(frames, joined)
            write.at += len(some)
            written += len(some)
            if write.at == len(write.outboxes):
                self._writes.popleft()
        return written
