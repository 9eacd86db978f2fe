"""Loyalty points: one row for each transfer that earned them or took them back."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from protocol.tip_activated import TipActivated
from server.store import queries
from server.store.database import Connection, Database
from server.store.skipped_events import skip_events

LOYALTY: Final = "loyalty"
"""Its name in the table event_consumers."""


class PostgresLoyalty:
    """Implements actors.ports.LoyaltyStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def credit_points(self, events: Sequence[TipActivated]) -> None:
        """See the port. What the database refuses (an event that was never settled, points beyond
        what a number holds) is found in parts and skipped alone (skipped_events.py)."""
        try:
            await self._database.run(
                _fetch,
                queries.CREDIT_POINTS,
                [event.tip_id for event in events],
                [event.ledger.source_ref for event in events],
                [event.tipper.user_id for event in events],
                [event.item.bonus_points for event in events],
                LOYALTY,
            )
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.exceptions.DataError) as error:
            if len(events) == 1:
                reason = f"refused by the database: {type(error).__name__}"
                await self._database.run(skip_events, LOYALTY, {events[0].tip_id: reason})
                return
            half = len(events) // 2
            await self.credit_points(events[:half])
            await self.credit_points(events[half:])

    async def take_back_points(self, limit: int) -> int:
        """See the port."""
        return len(await self._database.run(_fetch, queries.TAKE_BACK_POINTS, limit))

    async def load_points(self, user_id: str) -> int:
        """A user's points; 0 for one who never got any."""
        rows = await self._database.run(_fetch, queries.LOAD_POINTS, user_id)
        return rows[0]["balance"] if rows else 0


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)
