"""Pools of connections on the bridge, and the one place that translates the driver's errors."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import asyncpg
import trio

from actors.ports import StoreUnavailable
from server.store.bridge import UNIT_TIMEOUT_S, Bridge

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:  # at run time they are no generics
    Pool = asyncpg.Pool
    Connection = asyncpg.pool.PoolConnectionProxy

T = TypeVar("T")
P = ParamSpec("P")

CONNECTIONS_MAX: Final = 10
CONNECTIONS_KEPT_MAX: Final = 2
"""Of a pool, even when nothing uses it."""
CONNECT_TIMEOUT_S: Final = 5.0
ACQUIRE_TIMEOUT_S: Final = 5.0
"""For a free connection, and for a cancelled one to come to rest when it is given back."""
COMMAND_TIMEOUT_S: Final = 8.0
"""Of one statement; shorter than the whole unit's, so that the statement is named in the log."""
CLOSE_TIMEOUT_S: Final = 2.0

APPLICATION: Final = "tiproom"
"""As PostgreSQL knows the sessions of a server."""

KEEPALIVES: Final = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
}
"""Of a host that vanished without a word PostgreSQL learns in a quarter of a minute."""

_SESSION: Final = {
    "application_name": APPLICATION,
    **KEEPALIVES,
    "timezone": "UTC",
    # "Settled" is said to people: never before it is on disk, whatever the server's default.
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    # Ends what a vanished client left behind; the client's own limits come first.
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "15s",
    "jit": "off",
}

UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # shutdown, crash, cancelled statement
    asyncpg.exceptions.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.exceptions.TransactionRollbackError,  # deadlock, serialisation: rolled back, try again
    asyncpg.exceptions.InvalidTransactionStateError,  # the server ended an idle transaction
    asyncpg.exceptions.ReadOnlySQLTransactionError,  # a fail-over left us on the standby
    asyncpg.exceptions.InvalidAuthorizationSpecificationError,  # the password is being changed
    asyncpg.exceptions.InvalidCatalogNameError,  # the database is being restored
    asyncpg.exceptions.ObjectNotInPrerequisiteStateError,  # a lock is not available
    asyncpg.exceptions.PostgresSystemError,  # an error of its disk
    asyncpg.exceptions.InternalServerError,
    asyncpg.InternalClientError,
)


class Database:
    """A pool of connections. `run` is one unit of work on one connection: one hop each way."""

    def __init__(self, bridge: Bridge, pool: Pool) -> None:
        self._bridge = bridge
        self._pool = pool

    async def run(
        self,
        work: Callable[Concatenate[Connection, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`work(connection, *args)` on the asyncio side; its end is waited for even when
        cancelled. Raises StoreUnavailable when the database did not answer (what was done is
        not known), BridgeDied, and what else `work` raises: a violated constraint, a bug."""

        async def unit() -> T:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                return await work(connection, *args, **kwargs)

        try:
            return await self._bridge.run(unit, timeout_s=UNIT_TIMEOUT_S)
        except UNAVAILABLE as error:
            raise StoreUnavailable(type(error).__name__) from error
        except asyncpg.InterfaceError as error:
            if isinstance(error, ValueError):  # an argument that no column takes: ours
                raise
            raise StoreUnavailable(type(error).__name__) from error


@asynccontextmanager
async def open_database(
    dsn: str, bridge: Bridge, connections_max: int = CONNECTIONS_MAX
) -> AsyncIterator[Database]:
    """A pool that lives as long as the block. Raises StoreUnavailable when nobody answers."""
    try:
        pool = await bridge.run(_open_pool, dsn, connections_max)
    except UNAVAILABLE as error:
        raise StoreUnavailable(type(error).__name__) from error
    try:
        yield Database(bridge, pool)
    finally:
        with trio.CancelScope(shield=True), suppress(TimeoutError):
            # In order if that takes no longer; when it times out, asyncpg closes by force.
            await bridge.run(pool.close, timeout_s=CLOSE_TIMEOUT_S)


async def _open_pool(dsn: str, connections_max: int) -> Pool:
    return await asyncpg.create_pool(
        dsn,
        min_size=min(CONNECTIONS_KEPT_MAX, connections_max),
        max_size=connections_max,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        server_settings=_SESSION,
        reset=_keep_session,
    )


async def _keep_session(_connection: Any) -> None:
    """In place of asyncpg's RESET ALL, a round trip after every unit: no unit changes its
    session, and an open transaction is rolled back before this is called."""


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold it: UTF-8 without NUL."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
