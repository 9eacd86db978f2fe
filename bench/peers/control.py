"""How the bench talks to a peer: the port on stdout, `go` on stdin. The end of stdin ends a peer
whose bench is gone."""

import os
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

import trio

from protocol.frames import TipNotice

FIRST_OFFSET: Final = 1 << 16
"""From here to 2^32 MessagePack takes the same five bytes: all frames are of one size."""

Broadcast = Callable[[TipNotice], Awaitable[None]]


async def obey(port: int, broadcast: Broadcast) -> None:
    """Announce `port`; from `go` until stdin ends, broadcast one notice after the other."""
    print(port, flush=True)
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as orders:
        if not await orders.receive_some():
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_broadcast_for_ever, broadcast)
            await orders.receive_some()
            nursery.cancel_scope.cancel()


async def _broadcast_for_ever(broadcast: Broadcast) -> None:
    for offset in count(FIRST_OFFSET):
        await broadcast(
            TipNotice(
                "0198c0f2-5a7e-7c3d-9b1a-2f4e6d8c0a12",
                offset,
                username="viewer-00042",
                amount=77,
                item_name="Short buzz",
                description_public="Short buzz",
                timestamp="2026-01-01T00:00:00-05:00",
            )
        )
