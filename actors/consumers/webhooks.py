"""Webhooks: every event to every endpoint, at least once, each endpoint a task of its own.

An endpoint's cursor in the outbox says how far it is. What is delivered moves it; what fails is set
aside to be retried, and moves it, too: one event that a receiver cannot take holds up no other. An
endpoint that fails several times in a row rests for a while, so that what comes meanwhile stays
in the outbox, in order. Read `_serve`, then `_deliver`.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec
import structlog
import trio

from actors.consumers.outbox_watch import OutboxWatch
from actors.ports import (
    StoreUnavailable,
    WebhookAnswer,
    WebhookEvent,
    WebhookSender,
    WebhookStore,
    WebhookWork,
)
from actors.runtime.moment import Chance

ATTEMPT_TIMEOUT_S: Final = 10.0
"""Of one POST, from the look-up of the name to the answer's end."""

ATTEMPTS_MAX: Final = 12
RETRY_BASE_S: Final = 10.0
RETRY_FACTOR: Final = 3.0
RETRY_MAX_S: Final = 12 * 3600.0
"""Retries come after at most 10 s, 30 s, 90 s ... 12 h, 45 h together; jittered, half of it."""

FAILURES_BEFORE_REST: Final = 3
REST_BASE_S: Final = 1.0
REST_MAX_S: Final = 60.0

PAGE_MAX: Final = 32
"""Events read at once, and so repeated at most after a crash."""
WORK_S: Final = 4.0
"""No attempt begins later than this after the lease was taken."""
LEASE_S: Final = WORK_S + ATTEMPT_TIMEOUT_S + 1.0
"""So the last attempt ends within it. After a crash another server, or the next start, goes on."""

LOOK_INTERVAL_S: Final = 2.0
"""For retries that fall due, and leases that end."""
PACE_S: Final = 0.1
"""Between two looks: at a high rate of tips a page, not a question for each commit."""
REFRESH_INTERVAL_S: Final = 5.0
"""For endpoints that were changed by way of another server."""
UNAVAILABLE_PAUSE_S: Final = 2.0
CRASH_PAUSE_S: Final = 5.0
SAVE_TIMEOUT_S: Final = 1.0


UNREADABLE: Final = WebhookAnswer(error="the event cannot be read")
"""In place of an attempt: without its id no receiver could know the event again. It is a dead
letter at once; once it can be read, a replay brings it."""


def retry_in_s(attempts: int, chance: Chance) -> float | None:
    """How long to wait after the failure of attempt number `attempts` (from 1); None: it was the
    last. Exponential with full jitter: receivers that come back are not run over."""
    if attempts >= ATTEMPTS_MAX:
        return None
    longest_s = min(RETRY_MAX_S, RETRY_BASE_S * RETRY_FACTOR ** (attempts - 1))
    return chance.jitter(longest_s / 2, share=1.0)


def rest_s(failures: int, chance: Chance) -> float:
    """How long an endpoint rests after so many failures in a row; 0 below the bound."""
    if failures < FAILURES_BEFORE_REST:
        return 0.0
    doublings = min(failures - FAILURES_BEFORE_REST, 10)
    return chance.jitter(min(REST_MAX_S, REST_BASE_S * 2.0**doublings))


class WebhookStatistics(msgspec.Struct, frozen=True):
    """Of this server. Attempts are counted since its start."""

    endpoints: int
    behind: int
    """Endpoints that had something to get when they were last looked at."""
    delivered: int
    failed: int
    dead: int


@dataclass
class _Endpoint:
    webhook_id: str
    active: bool = True
    behind: bool = False
    failures: int = 0
    """In a row."""
    changes: int = 0


class WebhookDispatcher:
    """Run it in a nursery of the application; `changed` after every change of an endpoint."""

    def __init__(
        self, store: WebhookStore, sender: WebhookSender, watch: OutboxWatch, chance: Chance
    ) -> None:
        self._store = store
        self._sender = sender
        self._watch = watch
        self._chance = chance
        self._endpoints: dict[str, _Endpoint] = {}
        self._changes = 0
        self._draining = False
        self._ended = trio.Event()
        self._counts: Counter[str] = Counter()
        self._log = structlog.get_logger("tiproom.consumers.webhooks")

    def changed(self, webhook_id: str) -> None:
        """It was added, changed or removed, or something is to be delivered again: its begun work
        is put down after the attempt that is under way, and looked up anew."""
        self._changes += 1
        endpoint = self._endpoints.get(webhook_id)
        if endpoint is not None:
            endpoint.changes += 1
            endpoint.failures = 0  # a new address, or somebody who knows that the old one is back
        self._watch.wake()

    def statistics(self) -> WebhookStatistics:
        return WebhookStatistics(
            endpoints=len(self._endpoints),
            behind=sum(endpoint.behind for endpoint in self._endpoints.values()),
            delivered=self._counts["delivered"],
            failed=self._counts["failed"],
            dead=self._counts["dead"],
        )

    async def drain(self) -> None:
        """Begin no attempt, and return when those under way have ended and `run` has."""
        self._draining = True
        self._watch.wake()
        await self._ended.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until `drain`, or cancelled."""
        # Ids of servers come out of the same source as all others, so that a seed repeats a run.
        node = self._chance.uuid7(self._chance.now())
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                while not self._draining:
                    changes, news = self._changes, self._watch.next_news
                    await self._refresh(nursery, node)
                    with trio.move_on_after(REFRESH_INTERVAL_S):
                        while changes == self._changes and not self._draining:
                            await news.wait()
                            news = self._watch.next_news
        finally:
            with trio.move_on_after(SAVE_TIMEOUT_S, shield=True):
                try:
                    await self._store.release(node)
                except StoreUnavailable:
                    self._log.warning("webhook_leases_kept")  # they end by themselves
            self._ended.set()

    async def _refresh(self, nursery: trio.Nursery, node: UUID) -> None:
        try:
            active = await self._store.active_webhooks()
        except StoreUnavailable:
            self._log.warning("webhooks_unavailable")
            return
        for webhook_id, endpoint in self._endpoints.items():
            endpoint.active = webhook_id in active  # one that is resumed may not have ended yet
        for webhook_id in active:
            if webhook_id not in self._endpoints:
                endpoint = self._endpoints[webhook_id] = _Endpoint(webhook_id)
                nursery.start_soon(self._supervise, endpoint, node)

    def _ends(self, endpoint: _Endpoint) -> bool:
        return self._draining or not endpoint.active

    async def _supervise(self, endpoint: _Endpoint, node: UUID) -> None:
        while not self._ends(endpoint):
            try:
                await self._serve(endpoint, node)
            except StoreUnavailable:
                self._log.warning("webhook_waits", webhook_id=endpoint.webhook_id)
                await trio.sleep(UNAVAILABLE_PAUSE_S)
            except Exception:
                # A fault of ours: it is this endpoint's alone, and what it has not got is kept.
                self._log.exception("webhook_crashed", webhook_id=endpoint.webhook_id)
                await trio.sleep(CRASH_PAUSE_S)
        del self._endpoints[endpoint.webhook_id]

    async def _serve(self, endpoint: _Endpoint, node: UUID) -> None:
        while not self._ends(endpoint):
            changes, news = endpoint.changes, self._watch.next_news
            claimed_s = trio.current_time()
            work = await self._store.claim(endpoint.webhook_id, node, LEASE_S, PAGE_MAX)
            endpoint.behind = work is not None
            if work is None:
                with trio.move_on_after(LOOK_INTERVAL_S):
                    await news.wait()
            else:
                await self._deliver(endpoint, node, work, changes, claimed_s + WORK_S)
                await self._rest(endpoint)
            await trio.sleep_until(claimed_s + PACE_S)

    async def _rest(self, endpoint: _Endpoint) -> None:
        with trio.move_on_after(rest_s(endpoint.failures, self._chance)) as resting:
            while resting.deadline > trio.current_time() and endpoint.failures:
                news = self._watch.next_news
                if self._ends(endpoint):
                    return
                await news.wait()

    async def _deliver(
        self,
        endpoint: _Endpoint,
        node: UUID,
        work: WebhookWork,
        changes: int,
        until_s: float,
    ) -> None:
        """Retries first, they are older; then new events, in order. At least one attempt."""
        begun = False

        def goes_on() -> bool:
            nonlocal begun
            if not begun:
                begun = True
                return True
            return (
                changes == endpoint.changes
                and not self._ends(endpoint)
                and endpoint.failures < FAILURES_BEFORE_REST
                and trio.current_time() < until_s
            )

        for event in work.retries:
            if not goes_on():
                return
            answer = await self._attempt(endpoint, work, event)
            again_s = self._again_in_s(event, answer)
            await self._store.record_retry(endpoint.webhook_id, node, event, answer, again_s)
            if not answer.delivered and again_s is None:
                self._count_dead(endpoint, event)
            if answer.gone:
                await self._pause(endpoint, node)
                return

        cursor = delivered = work.cursor
        try:
            for event in work.events:
                if not goes_on():
                    return
                answer = await self._attempt(endpoint, work, event)
                if answer.delivered:
                    delivered = event.seq
                    continue
                if delivered > cursor:
                    if not await self._advance(endpoint, node, cursor, delivered):
                        return
                    cursor = delivered
                if answer.gone:
                    await self._pause(endpoint, node)
                    return
                again_s = self._again_in_s(event, answer)
                if not await self._store.set_aside(
                    endpoint.webhook_id, node, cursor, event, answer, again_s
                ):
                    return
                if again_s is None:
                    self._count_dead(endpoint, event)
                cursor = delivered = event.seq
        finally:
            if delivered > cursor:
                # Also when cancelled: what is not saved now is sent again.
                with trio.move_on_after(SAVE_TIMEOUT_S, shield=True):
                    await self._advance(endpoint, node, cursor, delivered)

    async def _attempt(
        self, endpoint: _Endpoint, work: WebhookWork, event: WebhookEvent
    ) -> WebhookAnswer:
        number = event.attempts + 1
        if event.event_id is None:
            return UNREADABLE  # no fault of the endpoint's
        answer = await self._sender.send(work.url, work.secret, event, number)
        self._counts["delivered" if answer.delivered else "failed"] += 1
        if answer.delivered:
            endpoint.failures = 0
        else:
            endpoint.failures += 1
            self._log.warning(
                "webhook_attempt_failed",
                webhook_id=endpoint.webhook_id,
                tip_id=event.tip_id,
                attempt=number,
                status=answer.status,
                error=answer.error,
            )
        return answer

    def _again_in_s(self, event: WebhookEvent, answer: WebhookAnswer) -> float | None:
        if answer.delivered or answer is UNREADABLE:
            return None
        return retry_in_s(event.attempts + 1, self._chance)

    def _count_dead(self, endpoint: _Endpoint, event: WebhookEvent) -> None:
        self._counts["dead"] += 1
        self._log.error(
            "webhook_delivery_dead", webhook_id=endpoint.webhook_id, tip_id=event.tip_id
        )

    async def _advance(self, endpoint: _Endpoint, node: UUID, cursor: int, delivered: int) -> bool:
        return await self._store.advance(endpoint.webhook_id, node, cursor, delivered)

    async def _pause(self, endpoint: _Endpoint, node: UUID) -> None:
        await self._store.pause_gone(endpoint.webhook_id, node)
        self._log.warning("webhook_gone", webhook_id=endpoint.webhook_id)
