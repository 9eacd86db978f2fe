"""What became of targets: page by page, and in numbers. Read from the audit alone.

Whose: a model sees all of her room, a viewer the own toy's and what the own tips did on the model's
toy. Nobody sees whose toy another's was.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from protocol.audit import Reason, TargetState
from server.store import queries
from server.store.database import Connection, Database


class HistoryOwner(msgspec.Struct, frozen=True):
    """A model, by her room; or a viewer."""

    room_id: str | None = None
    user_id: str | None = None

    def __post_init__(self) -> None:
        if (self.room_id is None) is (self.user_id is None):
            raise ValueError("a room or a user, and not both")


class HistoryFilter(msgspec.Struct, frozen=True):
    state: TargetState | None = None
    tip_id: str | None = None
    target_type: str | None = None


class EndedTarget(msgspec.Struct, frozen=True, rename="camel"):
    """One target in its final state. `tipId`, or `testId` and `menuRowId` of a model's test.
    `requeue`: how often it had been requeued. `latencyMs`: from the tip to the toy's reaction.
    `fit`: how well the call expressed what was wanted. Times are UTC; null: it never came to it."""

    record_id: UUID
    tip_id: str | None
    test_id: UUID | None
    menu_row_id: str | None
    target_type: str
    state: TargetState
    reason: Reason | None
    code: str | None
    attempt: int
    requeue: int
    fit: dict[str, Any] | None
    latency_ms: int | None
    queued_at: datetime | None
    sent_at: datetime | None
    ended_at: datetime


class Latency(msgspec.Struct, frozen=True, rename="camel"):
    """From tip to activation, in milliseconds: the smallest value that so many per cent of all do
    not exceed. null where nothing was activated."""

    p50_ms: int | None
    p95_ms: int | None
    p99_ms: int | None


class HourOfTargets(msgspec.Struct, frozen=True, rename="camel"):
    hour: datetime
    by_state: dict[str, int]


class Statistics(msgspec.Struct, frozen=True, rename="camel"):
    """Targets that ended in the window, tests not counted. `successRate`: of those that were meant
    to play, 0..1: ACTIVATED of ACTIVATED, FAILED, EXPIRED and DEAD; SKIPPED and MERGED ask for no
    command of their own. null where there are none."""

    by_state: dict[str, int]
    success_rate: float | None
    latency: Latency
    hours: list[HourOfTargets]


class PostgresHistory:
    """Answers `GET /lovense/activations` and its numbers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_page(
        self, owner: HistoryOwner, wanted: HistoryFilter, before: UUID | None, limit: int
    ) -> list[EndedTarget]:
        """The newest first, from the one behind `before` on; nothing for an unknown `before`."""
        query = queries.HISTORY_OF_ROOM if owner.room_id else queries.HISTORY_OF_VIEWER
        rows = await self._database.run(
            _fetch,
            query,
            owner.room_id or owner.user_id,
            before,
            wanted.state,
            wanted.tip_id,
            wanted.target_type,
            limit,
        )
        return [_ended(row) for row in rows]

    async def load_statistics(
        self, owner: HistoryOwner, from_utc: datetime, to_utc: datetime
    ) -> Statistics:
        """Of `from_utc` <= end < `to_utc`."""
        query = queries.STATISTICS_OF_ROOM if owner.room_id else queries.STATISTICS_OF_VIEWER
        whose = owner.room_id or owner.user_id
        return _statistics(await self._database.run(_count, query, whose, from_utc, to_utc))


def _ended(row: asyncpg.Record) -> EndedTarget:
    return EndedTarget(
        **{
            **dict(row),
            "state": TargetState(row["state"]),
            "reason": None if row["reason"] is None else Reason(row["reason"]),
            "fit": None if row["fit"] is None else msgspec.json.decode(row["fit"]),
        }
    )


def _statistics(rows: Iterable[asyncpg.Record]) -> Statistics:
    of_hours: list[asyncpg.Record] = []
    of_latencies: list[asyncpg.Record] = []
    for row in rows:
        (of_latencies if row["hour"] is None else of_hours).append(row)
    of_hours.sort(key=lambda row: (row["hour"], row["state"]))
    by_state: Counter[str] = Counter()
    for row in of_hours:
        by_state[row["state"]] += row["targets"]
    latencies = sorted(
        (row["latency_ms"], row["targets"]) for row in of_latencies if row["latency_ms"] is not None
    )
    played = by_state[TargetState.ACTIVATED]
    meant = played + sum(
        by_state[state] for state in (TargetState.FAILED, TargetState.EXPIRED, TargetState.DEAD)
    )
    return Statistics(
        by_state={state: by_state[state] for state in sorted(by_state)},
        success_rate=played / meant if meant else None,
        latency=Latency(*(percentile(latencies, percent) for percent in (50, 95, 99))),
        hours=[
            HourOfTargets(hour, {row["state"]: row["targets"] for row in group})
            for hour, group in groupby(of_hours, key=lambda row: row["hour"])
        ],
    )


def percentile(counted: Sequence[tuple[int, int]], percent: int) -> int | None:
    """The nearest rank, of (value, how often) in ascending order. None of nothing."""
    rank = -(-sum(count for _, count in counted) * percent // 100)
    for value, count in counted:
        rank -= count
        if rank <= 0:
            return value
    return None


async def _count(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    async with connection.transaction(readonly=True):
        # Some thousand groups: with the default the planner sorts all rows on disk instead.
        await connection.execute(queries.MEMORY_FOR_GROUPS)
        return await connection.fetch(query, *args)


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)
