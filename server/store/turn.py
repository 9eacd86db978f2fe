"""One server at a time on a database: no room has two actors, and no toy two commands. Another
server stands by, loaded and ready to connect, and has its turn the moment that the first has ended.

The turn is an advisory lock of a session: it ends with its connection, whatever became of the
process. A server may lose that session alone, and live: so who was waiting for it waits until the
other sessions of the first are gone, too. `DATABASE_URL` must lead to PostgreSQL itself, not to a
pooler that shares sessions.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

import asyncpg
import structlog
import trio

from server.store import queries
from server.store.bridge import Bridge
from server.store.database import APPLICATION, CONNECT_TIMEOUT_S, KEEPALIVES, UNAVAILABLE

RETRY_S: Final = 0.2
"""After the connection was lost; PostgreSQL may be starting."""
STANDBY_RETRY_S: Final = 2.0
"""Of those that stand by: whoever had the turn is to find it free."""
CLOSE_TIMEOUT_S: Final = 2.0
LEAVE_TIMEOUT_S: Final = 75.0
"""For the sessions of a server whose turn is over: longer than the longest drain that settings
allow."""
LEAVE_LOOK_S: Final = 0.05
_SESSION: Final = {
    "application_name": f"{APPLICATION} turn",
    **KEEPALIVES,
    "statement_timeout": "0",
    "lock_timeout": "0",
}
_FAILURES: Final = (*UNAVAILABLE, asyncpg.InterfaceError)

_log = structlog.get_logger(__name__)


async def keep_turn(
    bridge: Bridge,
    dsn: str,
    on_lost: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Until cancelled; started once this server has its turn, however long that takes. After a loss
    of the connection it takes the turn again. `on_lost`: somebody else has it by then; nothing of
    this server may go on. Raises what the driver does when nobody answers the first time."""
    held = await bridge.run(_first, dsn, timeout_s=inf)
    try:
        task_status.started()
        while True:
            await bridge.run(held.ended.wait, timeout_s=inf)
            _log.warning("turn_connection_lost")
            again = await _again(bridge, dsn)
            if again is None:
                _log.error("turn_lost")
                on_lost()
                return
            _log.info("turn_taken")
            held = again
    finally:
        with trio.CancelScope(shield=True):
            await bridge.run(held.close)


async def _again(bridge: Bridge, dsn: str) -> "_Held | None":
    """None: another server has the turn."""
    while True:
        try:
            return await bridge.run(_take, dsn)
        except _FAILURES:
            await trio.sleep(RETRY_S)


# ---- on the asyncio side -----------------------------------------------------------------------


class _Held:
    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self.ended = asyncio.Event()
        connection.add_termination_listener(self._terminated)
        if connection.is_closed():  # before there was a listener
            self.ended.set()

    def _terminated(self, _connection: object) -> None:
        self.ended.set()

    async def close(self) -> None:
        self._connection.remove_termination_listener(self._terminated)
        try:
            await self._connection.close(timeout=CLOSE_TIMEOUT_S)
        except (TimeoutError, *_FAILURES):
            self._connection.terminate()


async def _first(dsn: str) -> _Held:
    held = await _take(dsn)
    if held is not None:
        return held
    _log.info("stands_by")
    while True:
        try:
            held = await _wait(dsn)
        except _FAILURES:
            await asyncio.sleep(STANDBY_RETRY_S)
        else:
            _log.info("turn_taken")
            return held


async def _take(dsn: str) -> _Held | None:
    """None: another server has it."""
    connection = await _connect(dsn)
    try:
        if await connection.fetchval(queries.TRY_TURN):
            return _Held(connection)
    except BaseException:
        connection.terminate()
        raise
    await connection.close(timeout=CLOSE_TIMEOUT_S)
    return None


async def _wait(dsn: str) -> _Held:
    connection = await _connect(dsn)
    try:
        await connection.execute(queries.WAIT_FOR_TURN)
        await _wait_for_leaving(connection)
    except BaseException:  # a stop among it
        connection.terminate()
        raise
    return _Held(connection)


async def _wait_for_leaving(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Of the server before. At once where it has ended: it leaves the turn last of all."""
    try:
        async with asyncio.timeout(LEAVE_TIMEOUT_S):
            # Nobody tells when another's session ends.
            while await connection.fetchval(queries.COUNT_SESSIONS, APPLICATION):  # noqa: ASYNC110
                await asyncio.sleep(LEAVE_LOOK_S)
    except TimeoutError:
        _log.warning("others_still_connected")


async def _connect(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, server_settings=_SESSION)
