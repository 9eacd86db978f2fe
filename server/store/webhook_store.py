"""Webhooks: endpoints, leases, and what could not be delivered at first
(migrations/0007_webhooks.sql)."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from actors.ports import WebhookAnswer, WebhookEvent, WebhookWork
from protocol.errors import ErrorCode, Refused
from server.store import queries
from server.store.database import Connection, Database
from server.store.event_feed import PAGE_BYTES_MAX, events_archived

WEBHOOKS_MAX: Final = 100
"""Each has a task and may have a connection of its own, on every server."""
COUNTED_MAX: Final = 10_000
"""Counting further would read the whole outbox of an endpoint that is far behind."""


class WebhookState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


class DeliveryState(StrEnum):
    RETRYING = "retrying"
    DELIVERED = "delivered"
    DEAD = "dead"


class WebhookRecord(msgspec.Struct, frozen=True, rename="camel"):
    """An endpoint, without its secret. `pausedBecause`: `request`, or `gone` after a 410. `cursor`:
    seq of the last event that it got or that is among its deliveries. `waiting` (events after it),
    `retrying` and `dead` count up to 10,000. `lastFailure`: `HTTP 500`, or what came in place of an
    answer."""

    webhook_id: str
    url: str
    description: str | None
    state: WebhookState
    paused_because: str | None
    created_at: datetime
    cursor: int
    waiting: int
    retrying: int
    dead: int
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_failure: str | None


class DeliveryRecord(msgspec.Struct, frozen=True, rename="camel"):
    """A delivery that did not go well at first. `lastStatus` is the receiver's; `lastError` stands
    where there was no answer."""

    seq: int
    tip_id: str
    event_id: UUID | None
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    first_failed_at: datetime
    last_attempt_at: datetime
    delivered_at: datetime | None


class PostgresWebhooks:
    """Implements actors.ports.WebhookStore, and what HTTP does with endpoints."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- delivering ----

    async def active_webhooks(self) -> list[str]:
        """See the port."""
        rows = await self._database.run(_fetch, queries.ACTIVE_WEBHOOKS)
        return [row["endpoint_id"] for row in rows]

    async def claim(
        self, webhook_id: str, node: UUID, lease_s: float, limit: int
    ) -> WebhookWork | None:
        """See the port."""
        return await self._database.run(_claim, webhook_id, node, lease_s, limit)

    async def release(self, node: UUID) -> None:
        """See the port."""
        await self._database.run(_fetch, queries.RELEASE_WEBHOOKS, node)

    async def advance(self, webhook_id: str, node: UUID, cursor: int, delivered: int) -> bool:
        """See the port."""
        moved = await self._database.run(
            _fetch, queries.ADVANCE_WEBHOOK, webhook_id, node, cursor, delivered
        )
        return bool(moved)

    async def set_aside(
        self,
        webhook_id: str,
        node: UUID,
        cursor: int,
        event: WebhookEvent,
        answer: WebhookAnswer,
        retry_in_s: float | None,
    ) -> bool:
        """See the port."""
        moved = await self._database.run(
            _fetch,
            queries.SET_DELIVERY_ASIDE,
            webhook_id,
            node,
            cursor,
            event.seq,
            event.tip_id,
            event.event_id,
            event.body.decode(),
            answer.status,
            answer.error,
            retry_in_s,
        )
        return bool(moved)

    async def record_retry(
        self,
        webhook_id: str,
        node: UUID,
        event: WebhookEvent,
        answer: WebhookAnswer,
        retry_in_s: float | None,
    ) -> None:
        """See the port."""
        if answer.delivered:
            state = DeliveryState.DELIVERED
        else:
            state = DeliveryState.DEAD if retry_in_s is None else DeliveryState.RETRYING
        await self._database.run(
            _fetch,
            queries.RECORD_REDELIVERY,
            webhook_id,
            node,
            event.seq,
            state.value,
            answer.status,
            answer.error,
            retry_in_s,
        )

    async def pause_gone(self, webhook_id: str, node: UUID) -> None:
        """See the port."""
        await self._database.run(_fetch, queries.PAUSE_GONE_WEBHOOK, webhook_id, node)

    # ---- endpoints ----

    async def add(self, webhook_id: str, url: str, secret: str, description: str | None) -> None:
        """It gets what is settled from now on. Raises Refused: TOO_MANY_WEBHOOKS."""
        await self._database.run(_add, webhook_id, url, secret, description)

    async def load(self, webhook_id: str) -> WebhookRecord:
        """Raises Refused: WEBHOOK_UNKNOWN."""
        rows = await self._database.run(_fetch, queries.LOAD_WEBHOOK, COUNTED_MAX, webhook_id)
        if not rows:
            raise Refused(ErrorCode.WEBHOOK_UNKNOWN)
        return _webhook(rows[0])

    async def page(self, after: str, limit: int) -> list[WebhookRecord]:
        """By id, those after `after`."""
        rows = await self._database.run(_fetch, queries.LIST_WEBHOOKS, COUNTED_MAX, after, limit)
        return [_webhook(row) for row in rows]

    async def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        description: str | UnsetType | None = UNSET,
        state: WebhookState | None = None,
    ) -> None:
        """What is left out stays as it is. Raises Refused: WEBHOOK_UNKNOWN."""
        described = description is not UNSET
        await self._known(
            queries.CHANGE_WEBHOOK,
            webhook_id,
            url,
            described,
            description if described else None,
            state,
        )

    async def change_secret(self, webhook_id: str, secret: str) -> None:
        """Raises Refused: WEBHOOK_UNKNOWN."""
        await self._known(queries.CHANGE_WEBHOOK_SECRET, webhook_id, secret)

    async def delete(self, webhook_id: str) -> None:
        """With all that was still to be delivered to it. Raises Refused: WEBHOOK_UNKNOWN."""
        await self._database.run(_delete, webhook_id)

    async def replay(self, webhook_id: str, after: int) -> None:
        """Deliver again, or for the first time, what comes after the event `after`. Raises Refused:
        WEBHOOK_UNKNOWN; INVALID_FIELD for one that there is not yet; EVENTS_ARCHIVED."""
        await self._database.run(_replay, webhook_id, after)

    async def redeliver(self, webhook_id: str, seq: int) -> None:
        """One more attempt, now. Raises Refused: WEBHOOK_UNKNOWN, DELIVERY_UNKNOWN."""
        if not await self._database.run(_fetch, queries.REDELIVER, webhook_id, seq):
            await self.load(webhook_id)
            raise Refused(ErrorCode.DELIVERY_UNKNOWN)

    async def deliveries(
        self, webhook_id: str, state: DeliveryState | None, after: int, limit: int
    ) -> list[DeliveryRecord]:
        """By seq, those after `after`. Raises Refused: WEBHOOK_UNKNOWN."""
        states = list(DeliveryState) if state is None else [state]
        rows = await self._database.run(
            _fetch, queries.LIST_DELIVERIES, webhook_id, states, after, limit
        )
        if not rows:
            await self.load(webhook_id)
        return [_delivery(row) for row in rows]

    async def _known(self, query: str, *args: Any) -> None:
        if not await self._database.run(_fetch, query, *args):
            raise Refused(ErrorCode.WEBHOOK_UNKNOWN)


async def _claim(
    connection: Connection, webhook_id: str, node: UUID, lease_s: float, limit: int
) -> WebhookWork | None:
    if not await connection.fetchval(queries.WEBHOOK_HAS_WORK, webhook_id):
        return None
    endpoint = await connection.fetchrow(queries.CLAIM_WEBHOOK, webhook_id, node, lease_s)
    if endpoint is None:
        return None
    # Only now: until the lease was ours, another server may have gone on.
    cursor = await connection.fetchval(queries.WEBHOOK_CURSOR, endpoint["consumer"])
    due = await connection.fetch(queries.DUE_DELIVERIES, webhook_id, limit, PAGE_BYTES_MAX)
    events = await connection.fetch(queries.UNDELIVERED_EVENTS, cursor, limit, PAGE_BYTES_MAX)
    if not due and not events:
        return None
    return WebhookWork(
        endpoint["url"],
        endpoint["secret"],
        cursor,
        tuple(_event(row) for row in due),
        tuple(_event(row) for row in events),
    )


def _event(row: asyncpg.Record) -> WebhookEvent:
    try:
        event_id = UUID(row["event_id"] or "")
    except ValueError:
        event_id = None
    return WebhookEvent(row["seq"], row["tip_id"], event_id, row["event"].encode(), row["attempts"])


def _webhook(row: asyncpg.Record) -> WebhookRecord:
    return WebhookRecord(**{**dict(row), "state": WebhookState(row["state"])})


def _delivery(row: asyncpg.Record) -> DeliveryRecord:
    return DeliveryRecord(**{**dict(row), "state": DeliveryState(row["state"])})


async def _add(
    connection: Connection, webhook_id: str, url: str, secret: str, description: str | None
) -> None:
    async with connection.transaction():
        # A statement of its own: the next one counts what those before it have added.
        await connection.execute(queries.LOCK_WEBHOOKS)
        if not await connection.fetchval(
            queries.ADD_WEBHOOK, webhook_id, url, secret, description, WEBHOOKS_MAX
        ):
            raise Refused(ErrorCode.TOO_MANY_WEBHOOKS)


async def _delete(connection: Connection, webhook_id: str) -> None:
    async with connection.transaction():
        consumer = await connection.fetchval(queries.DELETE_WEBHOOK, webhook_id)
        if consumer is None:
            raise Refused(ErrorCode.WEBHOOK_UNKNOWN)
        await connection.execute(queries.DELETE_CONSUMER, consumer)


async def _replay(connection: Connection, webhook_id: str, after: int) -> None:
    async with connection.transaction():
        consumer = await connection.fetchval(queries.LOCK_WEBHOOK, webhook_id)
        if consumer is None:
            raise Refused(ErrorCode.WEBHOOK_UNKNOWN)
        archived = await connection.fetchval(queries.ARCHIVED_EVENT_SEQ)
        if after < archived:
            raise events_archived(archived, "after")
        if not await connection.fetchval(queries.REPLAY_WEBHOOK, consumer, after):
            raise Refused(ErrorCode.INVALID_FIELD, "after", "There is no such event yet.")
        await connection.execute(queries.BEGIN_REPLAY, webhook_id, after)


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)
