"""The Python client against the real server: it comes back by itself, and nothing is lost or told
twice that need not be."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from bench.client.credentials import Credentials
from bench.client.opening import OpenStream, stream_to
from bench.client.room_client import Heard, Late, Lost, RoomClient, Status
from protocol.codec import CODECS
from protocol.frames import TipNotice
from tests.e2e.site import FIRST_TOKENS, Site, new_tip_id, running_site

TIPS = 30
RESTART_AFTER = 10


def client_of(
    site: Site,
    name: str,
    heard: Callable[[Heard], object],
    *,
    subprotocol: str = "tiproom.v1.msgpack",
    open_stream: OpenStream | None = None,
) -> RoomClient:
    """`draw` is 0: it comes back at once where it is free to."""

    async def fetch() -> Credentials:
        return Credentials(await trio.to_thread.run_sync(site.demo_token, name))

    return RoomClient(
        site.socket_url,
        fetch,
        heard,
        subprotocol=subprotocol,
        open_stream=open_stream,
        draw=lambda: 0.0,
    )


class Line:
    """A way to the server that can be cut."""

    def __init__(self, site: Site) -> None:
        self._open = stream_to(site.socket_url)
        self._stream: trio.abc.Stream | None = None
        self._mended = trio.Event()
        self._mended.set()

    async def open_stream(self) -> trio.abc.Stream:
        await self._mended.wait()
        self._stream = await self._open()
        return self._stream

    async def cut(self) -> None:
        self._mended = trio.Event()
        assert self._stream is not None
        await trio.aclose_forcefully(self._stream)

    def mend(self) -> None:
        self._mended.set()


@pytest.mark.parametrize("subprotocol", CODECS)
async def test_what_was_missed_comes_late_and_once(site: Site, subprotocol: str) -> None:
    heard: list[Heard] = []
    amounts_ahead = [3, 4, 6, 2]
    line, last = Line(site), trio.Event()

    def take(what: Heard) -> None:
        heard.append(what)
        if isinstance(what, TipNotice) and what.amount == amounts_ahead[-1]:
            last.set()

    async with trio.open_nursery() as nursery:
        kim = client_of(site, "kim", take, subprotocol=subprotocol, open_stream=line.open_stream)
        alex = client_of(site, "alex", lambda _what: None)
        nursery.start_soon(kim.run)
        nursery.start_soon(alex.run)
        await kim.online()
        await alex.online()
        assert alex.room is not None
        assert alex.room.broadcast_id is not None
        tip = functools.partial(alex.tip, broadcast_id=alex.room.broadcast_id)
        await line.cut()
        for amount in amounts_ahead[:-1]:
            receipt = await tip(new_tip_id(), amount=amount)
            assert receipt.amount == amount
        line.mend()
        await kim.online()
        await tip(new_tip_id(), amount=amounts_ahead[-1])
        await last.wait()
        kim.close()
        alex.close()
    late = [what.event for what in heard if isinstance(what, Late)]
    assert [event.amount for event in late if isinstance(event, TipNotice)] == amounts_ahead[:-1]
    assert [what for what in heard if isinstance(what, Lost)] == []
    assert kim.status.state == "closed"


@pytest.mark.slow  # starts a server of its own, twice
async def test_a_restart_is_survived_and_each_tip_is_settled_once(
    data_dir: Path, empty_database_dsn: str
) -> None:
    statuses: list[Status] = []
    losses: list[Lost] = []
    going, restarted = trio.Event(), trio.Event()

    def take(what: Heard) -> None:
        if isinstance(what, Status):
            statuses.append(what)
        elif isinstance(what, Lost):
            losses.append(what)

    with running_site(data_dir, DATABASE_URL=empty_database_dsn) as site:
        broadcast_id = site.broadcast_id()
        balances: list[int] = []

        async def tip_on(client: RoomClient) -> None:
            for number in range(TIPS):
                receipt = await client.tip(new_tip_id(), broadcast_id, 1)
                balances.append(receipt.balance)
                if number == RESTART_AFTER:
                    going.set()
            await restarted.wait()
            client.close()

        async with trio.open_nursery() as nursery:
            jo = client_of(site, "jo", take)
            nursery.start_soon(jo.run)
            await jo.online()
            nursery.start_soon(tip_on, jo)
            await going.wait()
            assert await trio.to_thread.run_sync(site.server.stop) == 0
            await trio.to_thread.run_sync(site.server.restart)
            restarted.set()
        told = next(status for status in statuses if status.state == "waiting")
        settled = site.query("SELECT count(*) AS tips FROM transfers WHERE kind = 'tip'")
    assert balances == [FIRST_TOKENS - tips for tips in range(1, TIPS + 1)]
    assert settled[0]["tips"] == TIPS
    assert told.code == 4000
    assert told.reason == "the server is going away; come back"
    assert told.retry_in_s is not None
    assert losses == [Lost(None)], "the room has started anew"
