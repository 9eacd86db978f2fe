"""One consistent look at the whole ledger, however large, while the server goes on writing.

COPY sends rows as they are found and waits where the reader is slower, so that a million of them
need no more memory than a thousand, here and there; text fields cost a tenth of decoded ones.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import asyncpg

from actors.ports import StoreUnavailable
from server.store.bridge import Bridge
from server.store.database import CONNECT_TIMEOUT_S, UNAVAILABLE

T = TypeVar("T")

Row = list[bytes]
"""PostgreSQL's text form of each column, UTF-8; empty where it is NULL."""

TIMEOUT_S: Final = 24 * 3600.0
"""Of the whole look: an auditor's patience, not a member's."""

_SESSION: Final = {
    "application_name": "tiproom-audit",
    "timezone": "UTC",
    "client_encoding": "UTF8",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "jit": "off",
    "work_mem": "64MB",  # for two sorts of a month; more goes to temporary files
}

_ESCAPED: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
"""PostgreSQL: COPY, "Text Format"."""


class LedgerSnapshot:
    """Made by `read_snapshot`; used on the asyncio side, where its work runs."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def stream(self, query: str, take: Callable[[list[Row]], None], *args: Any) -> None:
        """Give all rows to `take`, some at a time, in their order."""
        rest = b""

        async def take_chunk(chunk: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + chunk).split(b"\n")
            take([_fields(line) for line in lines])

        await self._connection.copy_from_query(
            query, *args, output=take_chunk, format="text", null=""
        )
        assert not rest, "COPY ends each row with a line feed"

    async def value(self, query: str, *args: Any) -> Any:
        """The first column of the only row."""
        return await self._connection.fetchval(query, *args)


async def read_snapshot(
    bridge: Bridge, dsn: str, work: Callable[[LedgerSnapshot], Awaitable[T]]
) -> T:
    """`work(snapshot)` inside one read-only transaction, all statements of which see the same
    moment. Waits for its end. Raises StoreUnavailable when the database does not answer, or ends
    in between; ValueError for a DSN that cannot be read; what else `work` raises."""

    async def unit() -> T:
        async with _look(dsn) as connection:
            return await work(LedgerSnapshot(connection))

    return await _run(bridge, unit)


async def read_two_snapshots(
    bridge: Bridge, dsn: str, work: Callable[[LedgerSnapshot, LedgerSnapshot], Awaitable[T]]
) -> T:
    """As `read_snapshot`, with two connections that see the same moment."""

    async def unit() -> T:
        async with _look(dsn) as connection:
            moment = await connection.fetchval("SELECT pg_export_snapshot()")
            async with _look(dsn, moment) as beside:
                return await work(LedgerSnapshot(connection), LedgerSnapshot(beside))

    return await _run(bridge, unit)


@asynccontextmanager
async def _look(
    dsn: str, moment: str | None = None
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A read-only transaction; with `moment` of that exported snapshot."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, server_settings=_SESSION)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if moment is not None:
                assert re.fullmatch(r"[0-9A-F-]+", moment), "it takes no parameter"
                await connection.execute(f"SET TRANSACTION SNAPSHOT '{moment}'")
            yield connection
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


async def _run(bridge: Bridge, unit: Callable[[], Awaitable[T]]) -> T:
    try:
        return await bridge.run(unit, timeout_s=TIMEOUT_S)
    except UNAVAILABLE as error:
        raise StoreUnavailable(type(error).__name__) from error


def _fields(line: bytes) -> Row:
    fields = line.split(b"\t")
    if b"\\" in line:
        return [re.sub(rb"\\(.)", _character, field, flags=re.DOTALL) for field in fields]
    return fields


def _character(escape: re.Match[bytes]) -> bytes:
    return _ESCAPED.get(escape[1], escape[1])
