"""The growing tables in months (migrations/0006_auditable_ledger.sql): entries, events, audit."""

from datetime import datetime
from typing import Any, Final

import asyncpg
import structlog
import trio

from actors.ports import StoreUnavailable
from server.store import queries
from server.store.bridge import Bridge, BridgeDied
from server.store.database import CONNECT_TIMEOUT_S, UNAVAILABLE, Connection, Database

MONTHS_AHEAD: Final = 3
"""This month and the two that follow. Should nobody ever add more, rows go to the default
partition: money never waits for an operator."""
CHECK_INTERVAL_S: Final = 24 * 3600.0
RETRY_INTERVAL_S: Final = 60.0
ARCHIVE_TIMEOUT_S: Final = 3600.0

_ARCHIVE_SESSION: Final = {
    "application_name": "tiproom-archive",
    "timezone": "UTC",
    "statement_timeout": "0",
    # While it waits for a table, everyone who settles waits behind it.
    "lock_timeout": "3s",
}


class ArchiveRefused(Exception):
    """The month cannot be moved away now; the text says why, in plain words."""


class PostgresMonths:
    """Adds partitions for months to come."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_ahead(self) -> int:
        """Bring about the partitions of this month and the next; how many are new."""
        return int(await self._database.run(_value, queries.ADD_MONTHS, MONTHS_AHEAD))


async def archive_month(bridge: Bridge, dsn: str, month: datetime) -> list[str]:
    """Detach the partitions of `month` (aware; any moment of it, in UTC); the names of the tables
    that they are from now on. Waits for minutes where a month has very many entries. Raises
    ArchiveRefused while the month is not over, an older one is still attached, or a consumer has
    not done all of its events; StoreUnavailable, and then nothing was changed."""

    async def unit() -> list[str]:
        # Of its own, without the limits of those that a member waits for.
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_S, server_settings=_ARCHIVE_SESSION
        )
        try:
            return [row["name"] for row in await connection.fetch(queries.ARCHIVE_MONTH, month)]
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)

    try:
        return await bridge.run(unit, timeout_s=ARCHIVE_TIMEOUT_S)
    except asyncpg.LockNotAvailableError as error:
        raise ArchiveRefused("the tables are in use; try again") from error
    except asyncpg.ObjectNotInPrerequisiteStateError as error:
        raise ArchiveRefused(str(error)) from error
    except UNAVAILABLE as error:
        raise StoreUnavailable(type(error).__name__) from error


async def keep_months_ahead(
    months: PostgresMonths, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """At once, and every day, until cancelled; started when it was tried for the first time."""
    pause_s = await _add_ahead(months)
    task_status.started()
    while True:
        await trio.sleep(pause_s)
        pause_s = await _add_ahead(months)


async def _add_ahead(months: PostgresMonths) -> float:
    """Seconds until it is due again. Raises BridgeDied."""
    log = structlog.get_logger("tiproom.months")
    try:
        added = await months.add_ahead()
    except BridgeDied:
        raise
    except Exception as error:
        # Whatever it is: the default partition takes the rows meanwhile, and the server goes on.
        log.exception("months_not_added", reason=type(error).__name__)
        return RETRY_INTERVAL_S
    if added:
        log.info("months_added", partitions=added)
    return CHECK_INTERVAL_S


async def _value(connection: Connection, query: str, *args: Any) -> Any:
    return await connection.fetchval(query, *args)
