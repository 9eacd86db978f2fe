"""How many streams of server-sent events there may be."""

import gc

import pytest
import trio

from actors.consumers.outbox_watch import OutboxWatch
from protocol.errors import ErrorCode, Refused
from server.http.event_stream import EventStream, EventStreams
from server.store.event_feed import FedEvent


class Feed:
    """An outbox; implements EventFeed and OutboxPosition."""

    def __init__(self) -> None:
        self.events: list[FedEvent] = []
        self.archived = 0

    async def events_after(self, seq: int, limit: int) -> list[FedEvent]:
        await trio.lowlevel.checkpoint()
        return [each for each in self.events if each.seq > seq][:limit]

    async def last_seq(self) -> int:
        await trio.lowlevel.checkpoint()
        return self.events[-1].seq if self.events else 0

    async def archived_seq(self) -> int:
        await trio.lowlevel.checkpoint()
        return self.archived


def streams_of(streams_max: int) -> EventStreams:
    feed = Feed()
    return EventStreams(feed, OutboxWatch(feed), streams_max)


async def test_all_who_come_at_once_are_counted() -> None:
    streams = streams_of(2)
    opened: list[EventStream] = []
    refused: list[ErrorCode] = []

    async def come() -> None:
        try:
            opened.append(await streams.stream(None, 60, "after"))
        except Refused as error:
            refused.append(error.refusal.code)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(come)
    assert (len(opened), streams.open) == (2, 2)
    assert refused == [ErrorCode.TOO_MANY_STREAMS] * 3


async def test_one_that_has_ended_or_never_began_leaves_its_place() -> None:
    streams = streams_of(1)
    for _ in range(3):
        ended = await streams.stream(None, 60, "after")
        async with ended:
            with pytest.raises(Refused):
                await streams.stream(None, 60, "after")
        assert streams.open == 0
    never_begun = await streams.stream(None, 60, "after")
    assert streams.open == 1
    del never_begun
    gc.collect()
    assert streams.open == 0
