"""The hop to asyncio and back: outcomes, cancellation, time limits, and the thread's death."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest
import trio

from actors.ports import StoreUnavailable
from protocol.errors import ErrorCode, Refusal
from server.store.bridge import READ_BYTES, Bridge, BridgeDied, open_bridge, together
from server.store.database import CONNECTIONS_MAX, Connection
from server.store.store import Store
from tests.store.settlements import tip


def starter() -> tuple[trio.Event, Callable[[], None]]:
    """An event, and how the asyncio thread sets it."""
    event, token = trio.Event(), trio.lowlevel.current_trio_token()
    return event, lambda: token.run_sync_soon(event.set)


async def test_values_and_errors_come_back(bridge: Bridge) -> None:
    async def double(number: int) -> int:
        return 2 * number

    async def fail() -> None:
        raise KeyError("lost")

    assert await bridge.run(double, 21) == 42
    with pytest.raises(KeyError, match="lost"):
        await bridge.run(fail)


@pytest.mark.parametrize("way", ["create_connection", "create_unix_connection"])
async def test_what_comes_is_read_in_small_pieces(bridge: Bridge, way: str) -> None:
    """asyncio's own pieces of 256 kB leave the heap of its thread in holes."""

    class Reader(asyncio.Protocol):
        def __init__(self) -> None:
            self.sizes: list[int] = []
            self.ended = asyncio.Event()

        def data_received(self, data: bytes) -> None:
            self.sizes.append(len(data))

        def connection_lost(self, _error: Exception | None) -> None:
            self.ended.set()

    async def read() -> tuple[int, list[int]]:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            sent = theirs.send(bytes(5 * READ_BYTES))
        make = getattr(asyncio.get_running_loop(), way)
        _, reader = await make(Reader, sock=ours)
        await reader.ended.wait()
        return sent, reader.sizes

    sent, sizes = await bridge.run(read)
    assert sent > READ_BYTES
    assert sum(sizes) == sent
    assert max(sizes) <= READ_BYTES


async def test_cancelling_waits_until_the_work_has_ended(bridge: Bridge) -> None:
    started, tell_started = starter()
    steps: list[str] = []

    async def work() -> None:
        tell_started()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.run, work)
            await started.wait()
            scope.cancel()
    assert scope.cancelled_caught
    assert steps == ["cleaned up"]


async def test_a_success_that_came_late_is_kept(bridge: Bridge) -> None:
    started, tell_started = starter()
    results: list[str] = []

    async def commit() -> str:
        tell_started()
        with suppress(asyncio.CancelledError):  # it crossed with the answer
            await asyncio.Event().wait()
        return "committed"

    async def call() -> None:
        results.append(await bridge.run(commit))

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await started.wait()
            scope.cancel()
    assert results == ["committed"]


async def test_nothing_is_started_for_a_cancelled_task(bridge: Bridge) -> None:
    steps: list[str] = []

    async def work() -> None:
        steps.append("ran")

    with trio.CancelScope() as scope:
        scope.cancel()
        await bridge.run(work)
    assert scope.cancelled_caught
    await bridge.run(asyncio.sleep, 0)
    assert steps == []


async def test_a_unit_has_a_time_limit(bridge: Bridge) -> None:
    with pytest.raises(TimeoutError):
        await bridge.run(asyncio.Event().wait, timeout_s=0.01)


async def test_the_threads_death_ends_everyone() -> None:
    async def die() -> None:
        raise SystemExit

    ended: list[type[BaseException]] = []

    async def wait(bridge: Bridge) -> None:
        try:
            await bridge.run(asyncio.Event().wait)
        except BridgeDied as error:
            ended.append(type(error))

    with pytest.RaisesGroup(BridgeDied, flatten_subgroups=True, allow_unwrapped=True):
        async with open_bridge() as bridge, trio.open_nursery() as nursery:
            nursery.start_soon(wait, bridge)
            nursery.start_soon(wait, bridge)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(wait_for_death, bridge, die)
    assert ended == [BridgeDied, BridgeDied]
    with pytest.raises(BridgeDied):
        await bridge.run(asyncio.sleep, 0)


async def wait_for_death(bridge: Bridge, die: Callable[[], object]) -> None:
    with pytest.raises(BridgeDied):
        await bridge.run(die)  # type: ignore[arg-type]


async def sleep_in_database(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute("SELECT 1")
        await connection.execute("SELECT pg_sleep(60)")


async def backends(connection: Connection, state: str) -> int:
    count: int = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = $1"
        " AND pid <> pg_backend_pid()",
        state,
    )
    return count


async def test_a_cancelled_statement_leaves_no_transaction_behind(store: Store) -> None:
    started, tell_started = starter()

    async def work(connection: Connection) -> None:
        tell_started()
        await sleep_in_database(connection)

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store._database.run, work)
            await started.wait()
            scope.cancel()
    assert scope.cancelled_caught
    assert await store._database.run(backends, "active") == 0
    assert await store._database.run(backends, "idle in transaction") == 0
    await store.check()


async def test_a_connection_that_the_server_ends_is_store_unavailable(store: Store) -> None:
    started, tell_started = starter()
    pids: list[int] = []

    async def work(connection: Connection) -> None:
        pids.append(connection.get_server_pid())
        tell_started()
        await sleep_in_database(connection)

    async def victim() -> None:
        with pytest.raises(StoreUnavailable):
            await store._database.run(work)

    async def terminate(connection: Connection) -> None:
        await connection.execute("SELECT pg_terminate_backend($1)", pids[0])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(victim)
        await started.wait()
        await store._database.run(terminate)
    await store.check()


async def test_a_settlement_and_the_audit_have_connections_of_their_own(store: Store) -> None:
    """Everyone else's are taken, and nobody gives one back."""
    taken, tell_taken = starter()
    held: list[int] = []

    async def hold(connection: Connection) -> None:
        held.append(connection.get_server_pid())
        if len(held) == CONNECTIONS_MAX:
            tell_taken()
        await asyncio.Event().wait()

    async with trio.open_nursery() as nursery:
        for _ in range(CONNECTIONS_MAX):
            nursery.start_soon(store._database.run, hold)
        await taken.wait()
        [outcome] = await store.ledger.post([tip("a")])
        assert outcome == Refusal(ErrorCode.USER_UNKNOWN)
        await store.rooms.append_audit([], ["a"])
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("code", ["28P01", "3D000", "55P03", "XX000", "58030"])
async def test_errors_of_the_server_itself_are_store_unavailable(store: Store, code: str) -> None:
    async def fail(connection: Connection) -> None:
        await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$")

    with pytest.raises(StoreUnavailable):
        await store._database.run(fail)


async def test_parts_run_together_and_the_first_failure_ends_the_others(bridge: Bridge) -> None:
    said: list[str] = []
    begun = asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            said.append("ended")

    async def failing() -> None:
        await begun.wait()  # so they do run at the same time
        raise LookupError("the first")

    async def unit() -> None:
        await together(endless(), failing())

    with pytest.raises(LookupError, match="the first"):
        await bridge.run(unit)
    assert said == ["ended"]
