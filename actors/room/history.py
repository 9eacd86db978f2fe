"""A room's last history events, for members who return: bounded in events and in bytes."""

from collections import deque
from itertools import islice
from typing import Final

import msgspec

from protocol.frames import HistoryEvent

EVENTS_MAX: Final = 1_000
"""At 50 tips a second the last 20 s: twice as long as 5,000 members take to return."""
BYTES_MAX: Final = 256 * 1024
"""As MessagePack. They travel in one frame, the snapshot, which in JSON must stay well below what a
member's outbox takes (`SocketLimits.outbox_bytes_max`)."""

_size_encoder: Final = msgspec.msgpack.Encoder()


class EventHistory:
    """The events of one epoch, the newest always among them, without a hole."""

    __slots__ = ("_bytes", "_bytes_max", "_events", "_events_max", "_last_offset")

    def __init__(self, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._events: deque[tuple[HistoryEvent, int]] = deque()
        """With their sizes, oldest first."""
        self._bytes = 0
        self._last_offset = 0

    def record(self, event: HistoryEvent) -> None:
        """The next event; the oldest make room for it."""
        assert event.offset == self._last_offset + 1, "a hole in the history"
        self._last_offset = event.offset
        size = len(_size_encoder.encode(event))
        self._events.append((event, size))
        self._bytes += size
        while len(self._events) > self._events_max or self._bytes > self._bytes_max:
            self._bytes -= self._events.popleft()[1]

    def since(self, offset: int) -> tuple[HistoryEvent, ...] | None:
        """All events after `offset`; None if some of them are gone, or if it lies ahead: whoever
        saw it was not here."""
        missed = self._last_offset - offset
        if not 0 <= missed <= len(self._events):
            return None
        return tuple(event for event, _ in islice(self._events, len(self._events) - missed, None))
