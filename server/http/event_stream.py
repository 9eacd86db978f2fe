"""One stream of server-sent events, and how many there may be.

A stream reads the outbox by pages, and the next page only when the reader has taken the last: what
a slow reader has not got yet stays in the database, not in memory.
"""

from types import TracebackType
from typing import Final, Protocol
from weakref import WeakSet

import structlog
import trio
from quart.wrappers.response import ResponseBody

from actors.consumers.outbox_watch import OutboxWatch
from actors.ports import StoreUnavailable
from protocol.errors import ErrorCode, Refused
from server.store.event_feed import FedEvent, events_archived

STREAMS_MAX: Final = 32
"""For back ends, not for the public: each may have a handful."""
PAGE_MAX: Final = 100
HEARTBEAT_S: Final = 15.0
"""Proxies end what is silent for longer than half a minute or more."""
PACE_S: Final = 0.05
"""Between two reads: at a high rate of tips a page, not a question for each commit."""
RECONNECT_MS: Final = 2_000


class EventFeed(Protocol):
    async def events_after(self, seq: int, limit: int) -> list[FedEvent]:
        """Raises Refused: EVENTS_ARCHIVED."""
        ...

    async def last_seq(self) -> int: ...

    async def archived_seq(self) -> int: ...


class EventStreams:
    """Opens streams and ends them. `open` is how many there are."""

    def __init__(self, feed: EventFeed, watch: OutboxWatch, streams_max: int = STREAMS_MAX) -> None:
        self.feed = feed
        self.watch = watch
        self.closing = False
        # Weak: one whose response never begins, as its reader left, has no end that is told.
        self.counted: WeakSet[EventStream] = WeakSet()
        self._streams_max = streams_max
        self.log = structlog.get_logger("tiproom.http.events")

    @property
    def open(self) -> int:
        return len(self.counted)

    async def stream(self, after: int | None, valid_for_s: float, field: str) -> "EventStream":
        """What comes after the event `after`; None: from now on. It ends by itself after
        `valid_for_s`. Raises Refused: INVALID_FIELD with the name `field` for an event that there
        is not yet, EVENTS_ARCHIVED, TOO_MANY_STREAMS; StoreUnavailable."""
        last = await self.feed.last_seq()
        archived = await self.feed.archived_seq()
        if after is not None and after < archived:
            raise events_archived(archived, field)
        if after is not None and after > last:
            raise Refused(ErrorCode.INVALID_FIELD, field, "There is no such event yet.")
        if self.closing or self.open >= self._streams_max:
            raise Refused(ErrorCode.TOO_MANY_STREAMS, retry_after_s=HEARTBEAT_S)
        stream = EventStream(self, last if after is None else after, valid_for_s)
        self.counted.add(stream)  # nothing waits between the question and this
        return stream

    def close(self) -> None:
        """End all streams at their next turn, which is now unless a reader is slow; open no more.
        Readers come back to the next server with the id that they have."""
        self.closing = True
        self.watch.wake()


class EventStream(ResponseBody):
    """The body of one response. Counts as open until its sending ends, however that comes."""

    def __init__(self, streams: EventStreams, after: int, valid_for_s: float) -> None:
        self._streams = streams
        self._seq = after
        self._valid_until_s = trio.current_time() + valid_for_s
        self._read_at_s = -PACE_S
        self._begun = self._over = False

    async def __aenter__(self) -> "EventStream":
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._streams.counted.discard(self)

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> bytes:
        """Waits for news, at most until the next heartbeat."""
        if self._over:
            raise StopAsyncIteration
        if not self._begun:
            self._begun = True
            # The id alone, without data, is no message: a reader takes it as its position.
            return b": after %d\nretry: %d\nid: %d\n\n" % (self._seq, RECONNECT_MS, self._seq)
        heartbeat_s = trio.current_time() + HEARTBEAT_S
        while True:
            if self._streams.closing:
                return self._end(b"the server is going away")
            if trio.current_time() >= self._valid_until_s:
                return self._end(b"the token has expired")
            news = self._streams.watch.next_news
            await trio.sleep_until(self._read_at_s + PACE_S)
            try:
                page = await self._streams.feed.events_after(self._seq, PAGE_MAX)
            except StoreUnavailable:
                self._streams.log.warning("event_stream_ended", reason="outbox_unavailable")
                return self._end(b"the events cannot be read now")
            except Refused as refused:  # the reader is told why when it comes back
                code = refused.refusal.code
                self._streams.log.warning("event_stream_ended", reason=code)
                return self._end(code.encode())
            self._read_at_s = trio.current_time()
            if page:
                self._seq = page[-1].seq
                return b"".join(map(_message, page))
            with trio.move_on_at(min(heartbeat_s, self._valid_until_s)) as waiting:
                await news.wait()
            if waiting.cancelled_caught and trio.current_time() >= heartbeat_s:
                return b":\n\n"

    def _end(self, reason: bytes) -> bytes:
        self._over = True
        return b": " + reason + b"\n\n"


def _message(event: FedEvent) -> bytes:
    # Stored on one line; should it ever not be, each line is a line of data.
    data = b"\ndata: ".join(event.event.splitlines())
    return b"id: %d\nevent: TipActivated\ndata: %b\n\n" % (event.seq, data)
