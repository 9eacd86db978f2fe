"""One server at a time on a database, whatever becomes of its connection."""

from collections.abc import MutableMapping
from typing import Any

import asyncpg
import pytest
import structlog
import trio

from server.store.bridge import Bridge
from server.store.database import open_database
from server.store.turn import keep_turn

END_HOLDER = """
SELECT pg_terminate_backend(l.pid) FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.granted AND l.objid = 8466836
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


class Log:
    """What is logged, on whatever thread."""

    def __init__(self) -> None:
        self._trio = trio.lowlevel.current_trio_token()
        self._said: dict[str, trio.Event] = {}

    def __call__(self, _logger: object, _name: str, line: MutableMapping[str, Any]) -> Any:
        self._trio.run_sync_soon(lambda: self._of(line["event"]).set())
        raise structlog.DropEvent

    async def said(self, event: str) -> None:
        """Until it is; then it is forgotten."""
        await self._of(event).wait()
        del self._said[event]

    def _of(self, event: str) -> trio.Event:
        return self._said.setdefault(event, trio.Event())


@pytest.fixture
async def log() -> Any:
    before, log = structlog.get_config()["processors"], Log()
    structlog.configure(processors=[log])
    yield log
    structlog.configure(processors=before)


class Server:
    """What of a server has to do with its turn."""

    def __init__(self, bridge: Bridge, dsn: str, nursery: trio.Nursery) -> None:
        self.has_turn = trio.Event()
        self.lost = trio.Event()
        self.ended = trio.Event()
        self._bridge = bridge
        self._dsn = dsn
        self._scope = trio.CancelScope()
        nursery.start_soon(self._run)

    async def _run(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(keep_turn, self._bridge, self._dsn, self.lost.set)
                self.has_turn.set()
        self.ended.set()

    async def stop(self) -> None:
        self._scope.cancel()
        await self.ended.wait()


@pytest.fixture
def start(bridge: Bridge, database_dsn: str, nursery: trio.Nursery) -> Any:
    return lambda: Server(bridge, database_dsn, nursery)


@pytest.fixture
def end_holder(bridge: Bridge, database_dsn: str) -> Any:
    async def end() -> None:
        connection = await asyncpg.connect(database_dsn)
        assert await connection.fetchval(END_HOLDER) is True
        await connection.close()

    return lambda: bridge.run(end)


async def test_the_next_has_its_turn_when_the_first_has_ended(start: Any, log: Log) -> None:
    first = start()
    await first.has_turn.wait()
    second = start()
    await log.said("stands_by")
    assert not second.has_turn.is_set()
    await first.stop()
    await second.has_turn.wait()
    assert not first.lost.is_set()
    await second.stop()


async def test_who_stands_by_can_be_stopped(start: Any, log: Log) -> None:
    first = start()
    await first.has_turn.wait()
    second = start()
    await log.said("stands_by")
    await second.stop()
    await first.stop()
    third = start()
    await third.has_turn.wait()
    await third.stop()
    assert not second.has_turn.is_set()


async def test_a_lost_connection_alone_loses_no_turn(start: Any, end_holder: Any, log: Log) -> None:
    first = start()
    await first.has_turn.wait()
    await end_holder()
    await log.said("turn_connection_lost")
    await log.said("turn_taken")
    second = start()
    await log.said("stands_by")
    assert not first.lost.is_set()
    await first.stop()
    await second.has_turn.wait()
    await second.stop()


async def test_who_finds_another_in_its_place_hears_of_it(
    start: Any, end_holder: Any, log: Log
) -> None:
    first = start()
    await first.has_turn.wait()
    second = start()
    await log.said("stands_by")
    await end_holder()
    await second.has_turn.wait()
    await first.lost.wait()
    await first.stop()
    await second.stop()


async def test_who_has_lost_its_turn_leaves_first(
    start: Any, end_holder: Any, log: Log, bridge: Bridge, database_dsn: str
) -> None:
    """It lives, and its rooms with it, until its other sessions are gone."""
    first = start()
    await first.has_turn.wait()
    second = start()
    await log.said("stands_by")
    async with open_database(database_dsn, bridge, 1):
        await end_holder()
        await first.lost.wait()
        assert not second.has_turn.is_set()
    await second.has_turn.wait()
    await first.stop()
    await second.stop()


async def test_nobody_answers(bridge: Bridge) -> None:
    with pytest.raises(ConnectionRefusedError):
        await keep_turn(bridge, "postgresql://nobody@127.0.0.1:1/none", lambda: None)
