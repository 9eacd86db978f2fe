"""The world of webhooks, in memory: an outbox with endpoints and leases, and receivers that write
down what they get. `Outbox.before` runs before each transaction, may wait, and may raise."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

import msgspec
import trio

from actors.consumers.outbox_watch import OutboxWatch
from actors.consumers.webhooks import WebhookDispatcher
from actors.ports import WebhookAnswer, WebhookEvent, WebhookWork
from actors.runtime.moment import Chance
from tests.actors.ports import Hook, _turn

OK = WebhookAnswer(status=200)
FAILED = WebhookAnswer(status=500)
GONE = WebhookAnswer(status=410)


@dataclass
class Delivery:
    event: WebhookEvent
    state: str
    attempts: int
    due_s: float


@dataclass
class Endpoint:
    url: str
    cursor: int = 0
    active: bool = True
    leased_by: UUID | None = None
    leased_until_s: float = 0.0
    deliveries: dict[int, Delivery] = field(default_factory=dict)

    def make_due(self) -> None:
        """All that waits for its next attempt. The look every few seconds makes days on a virtual
        clock long; how long a retry waits is a function, with tests of its own."""
        for delivery in self.deliveries.values():
            delivery.due_s = trio.current_time()

    def in_state(self, state: str) -> list[int]:
        return [seq for seq, delivery in self.deliveries.items() if delivery.state == state]


class Outbox:
    """Implements WebhookStore and OutboxPosition."""

    def __init__(self, *webhook_ids: str) -> None:
        self.events: list[WebhookEvent] = []
        self.endpoints = {each: Endpoint(f"https://{each}/") for each in webhook_ids}
        self.before: Hook = _turn

    def settle(self, count: int = 1) -> None:
        for seq in range(len(self.events) + 1, len(self.events) + count + 1):
            self.events.append(WebhookEvent(seq, f"tip-{seq}", UUID(int=seq), b"{}", 0))

    async def last_seq(self) -> int:
        await self.before("last_seq")
        return len(self.events)

    async def active_webhooks(self) -> list[str]:
        await self.before("active_webhooks")
        return [name for name, endpoint in self.endpoints.items() if endpoint.active]

    async def claim(
        self, webhook_id: str, node: UUID, lease_s: float, limit: int
    ) -> WebhookWork | None:
        await self.before("claim")
        endpoint, now_s = self.endpoints.get(webhook_id), trio.current_time()
        if endpoint is None or not endpoint.active:
            return None
        due = [
            msgspec.structs.replace(delivery.event, attempts=delivery.attempts)
            for delivery in endpoint.deliveries.values()
            if delivery.state == "retrying" and delivery.due_s <= now_s
        ][:limit]
        news = [event for event in self.events if event.seq > endpoint.cursor][:limit]
        taken = endpoint.leased_by not in (None, node) and endpoint.leased_until_s > now_s
        if taken or not (due or news):
            return None
        endpoint.leased_by, endpoint.leased_until_s = node, now_s + lease_s
        return WebhookWork(endpoint.url, "secret", endpoint.cursor, tuple(due), tuple(news))

    async def release(self, node: UUID) -> None:
        await self.before("release")
        for endpoint in self.endpoints.values():
            if endpoint.leased_by == node:
                endpoint.leased_by = None

    async def advance(self, webhook_id: str, node: UUID, cursor: int, delivered: int) -> bool:
        await self.before("advance")
        endpoint = self.endpoints[webhook_id]
        if (endpoint.leased_by, endpoint.cursor) != (node, cursor):
            return False
        endpoint.cursor = delivered
        for seq in range(cursor + 1, delivered + 1):
            if seq in endpoint.deliveries:
                endpoint.deliveries[seq].state = "delivered"
        return True

    async def set_aside(
        self,
        webhook_id: str,
        node: UUID,
        cursor: int,
        event: WebhookEvent,
        answer: WebhookAnswer,
        retry_in_s: float | None,
    ) -> bool:
        await self.before("set_aside")
        assert not answer.delivered
        endpoint = self.endpoints[webhook_id]
        if (endpoint.leased_by, endpoint.cursor) != (node, cursor):
            return False
        assert event.seq == cursor + 1, "what lies between would be lost"
        endpoint.cursor = event.seq
        due_s = trio.current_time() + (retry_in_s or 0)
        state = "dead" if retry_in_s is None else "retrying"
        endpoint.deliveries[event.seq] = Delivery(event, state, 1, due_s)
        return True

    async def record_retry(
        self,
        webhook_id: str,
        node: UUID,
        event: WebhookEvent,
        answer: WebhookAnswer,
        retry_in_s: float | None,
    ) -> None:
        await self.before("record_retry")
        endpoint = self.endpoints[webhook_id]
        if endpoint.leased_by != node:
            return
        delivery = endpoint.deliveries[event.seq]
        delivery.attempts += 1
        delivery.due_s = trio.current_time() + (retry_in_s or 0)
        if answer.delivered:
            delivery.state = "delivered"
        elif retry_in_s is None:
            delivery.state = "dead"

    async def pause_gone(self, webhook_id: str, node: UUID) -> None:
        await self.before("pause_gone")
        assert self.endpoints[webhook_id].leased_by == node
        self.endpoints[webhook_id].active = False


Answering = Callable[[WebhookEvent, int], WebhookAnswer]


class Receivers:
    """Implements WebhookSender. `got`: url -> seq of each event that it said yes to, in order;
    `attempts`: url -> (seq, attempt, when)."""

    def __init__(self) -> None:
        self.got: defaultdict[str, list[int]] = defaultdict(list)
        self.attempts: defaultdict[str, list[tuple[int, int, float]]] = defaultdict(list)
        self.answers: dict[str, Answering] = {}
        self.takes_s: dict[str, float] = {}

    async def send(self, url: str, secret: str, event: WebhookEvent, attempt: int) -> WebhookAnswer:
        assert secret == "secret"
        self.attempts[url].append((event.seq, attempt, trio.current_time()))
        await trio.sleep(self.takes_s.get(url, 0.01))
        answer = self.answers.get(url, lambda _event, _attempt: OK)(event, attempt)
        if answer.delivered:
            self.got[url].append(event.seq)
        return answer


@dataclass
class Post:
    """One server's webhooks."""

    outbox: Outbox
    receivers: Receivers
    watch: OutboxWatch
    dispatcher: WebhookDispatcher

    def settle(self, count: int = 1) -> None:
        """Here: this server's ledger emits them."""
        self.outbox.settle(count)
        self.watch.wake()


@asynccontextmanager
async def open_post(
    outbox: Outbox, receivers: Receivers | None = None, seed: int = 1
) -> AsyncIterator[Post]:
    """A running dispatcher; cancelled at the end, as in a crash. `drain` it first to end well."""
    watch = OutboxWatch(outbox)
    receivers = receivers or Receivers()
    dispatcher = WebhookDispatcher(outbox, receivers, watch, Chance(Random(seed)))
    async with trio.open_nursery() as nursery:
        await nursery.start(dispatcher.run)
        await nursery.start(watch.run)
        yield Post(outbox, receivers, watch, dispatcher)
        nursery.cancel_scope.cancel()
