"""Webhooks on the real database: leases, cursors, what is set aside, and what HTTP does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import trio

from actors.ports import UserRecord, WebhookAnswer, WebhookWork
from protocol import tip_activated
from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import MembershipTier
from server.store import event_feed, webhook_store
from server.store.bridge import Bridge
from server.store.database import Connection
from server.store.store import Store, open_store
from server.store.webhook_store import WEBHOOKS_MAX, DeliveryState, WebhookState
from tests.store.settlements import tip

NODE, OTHER = UUID(int=1), UUID(int=2)
LEASE_S = 60.0
HOOK = "hook-1"
FAILED = WebhookAnswer(status=500)
DELIVERED = WebhookAnswer(status=204)


@pytest.fixture
async def hooked(store: Store) -> Store:
    """alex with 100 tokens, one tip before the webhook, and the webhook."""
    await store.members.save_user(UserRecord("alex", "Alex", MembershipTier.FREE))
    await store.ledger.deposit("alex", "alex", 100)
    await settle(store, "before")
    await store.webhooks.add(HOOK, "https://example.org/", "whsec_1", None)
    return store


async def settle(store: Store, *tip_ids: str) -> None:
    outcomes = await store.ledger.post([tip(tip_id, amount=2) for tip_id in tip_ids])
    assert all(getattr(outcome, "first", False) for outcome in outcomes), outcomes


async def claim(store: Store, node: UUID = NODE, lease_s: float = LEASE_S) -> WebhookWork | None:
    return await store.webhooks.claim(HOOK, node, lease_s, 10)


async def claimed(store: Store, node: UUID = NODE) -> WebhookWork:
    work = await claim(store, node)
    assert work is not None
    return work


async def execute(store: Store, sql: str, *args: Any) -> str:
    async def run(connection: Connection) -> str:
        return await connection.execute(sql, *args)

    return await store._database.run(run)


async def value(store: Store, sql: str, *args: Any) -> Any:
    async def run(connection: Connection) -> Any:
        return await connection.fetchval(sql, *args)

    return await store._database.run(run)


async def fail(store: Store, retry_in_s: float = 0.0) -> WebhookWork:
    """The first of what waits fails; the work that it was in."""
    work = await claimed(store)
    assert await store.webhooks.set_aside(
        HOOK, NODE, work.cursor, work.events[0], FAILED, retry_in_s
    )
    return work


def ids(work: WebhookWork) -> list[str]:
    return [event.tip_id for event in work.events]


# ---- delivering ------------------------------------------------------------------------------


async def test_it_gets_what_is_settled_from_now_on_in_order_and_byte_for_byte(
    hooked: Store,
) -> None:
    assert await claim(hooked) is None
    await settle(hooked, "tip-1", "tip-2")
    await settle(hooked, "tip-3")
    work = await claimed(hooked)
    assert (work.url, work.secret) == ("https://example.org/", "whsec_1")
    assert ids(work) == ["tip-1", "tip-2", "tip-3"]
    for event in work.events:
        said = tip_activated.decode(event.body)
        assert (said.tip_id, said.event_id) == (event.tip_id, event.event_id)
        stored = await value(
            hooked, "SELECT event::text FROM outbox WHERE tip_id = $1", event.tip_id
        )
        assert event.body == stored.encode()


async def test_what_was_delivered_moves_the_cursor_and_writes_no_row(hooked: Store) -> None:
    await settle(hooked, "tip-1", "tip-2", "tip-3")
    work = await claimed(hooked)
    assert await hooked.webhooks.advance(HOOK, NODE, work.cursor, work.events[1].seq)
    assert ids(await claimed(hooked)) == ["tip-3"]
    assert await value(hooked, "SELECT count(*) FROM webhook_deliveries") == 0
    endpoint = await hooked.webhooks.load(HOOK)
    assert (endpoint.waiting, endpoint.cursor) == (1, work.events[1].seq)
    assert endpoint.last_success_at is not None


async def test_a_page_is_bounded_in_bytes(hooked: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await settle(hooked, "tip-1", "tip-2", "tip-3")
    after = (await claimed(hooked)).cursor
    sizes = [len(each.event) for each in await hooked.feed.events_after(after, 10)]
    for bound, count in [(1, 1), (sum(sizes[:2]) - 1, 1), (sum(sizes[:2]), 2), (sum(sizes), 3)]:
        monkeypatch.setattr(event_feed, "PAGE_BYTES_MAX", bound)
        monkeypatch.setattr(webhook_store, "PAGE_BYTES_MAX", bound)
        assert len(await hooked.feed.events_after(after, 10)) == count
        assert len((await claimed(hooked)).events) == count


async def test_a_cursor_that_was_moved_meanwhile_stays(hooked: Store) -> None:
    await settle(hooked, "tip-1", "tip-2")
    work = await claimed(hooked)
    await hooked.webhooks.replay(HOOK, 0)
    assert not await hooked.webhooks.advance(HOOK, NODE, work.cursor, work.events[1].seq)
    assert not await hooked.webhooks.set_aside(HOOK, NODE, work.cursor, work.events[0], FAILED, 1)
    assert (await hooked.webhooks.load(HOOK)).cursor == 0
    assert await hooked.webhooks.deliveries(HOOK, None, 0, 10) == []


async def test_one_server_delivers_at_a_time(hooked: Store) -> None:
    await settle(hooked, "tip-1")
    work = await claimed(hooked)
    assert await claim(hooked, OTHER) is None
    assert not await hooked.webhooks.advance(HOOK, OTHER, work.cursor, work.events[0].seq)
    assert await claim(hooked) is not None
    await hooked.webhooks.release(NODE)
    assert await claim(hooked, OTHER) is not None


async def test_a_lease_that_has_run_out_goes_to_whoever_asks(hooked: Store) -> None:
    await settle(hooked, "tip-1")
    stale = await claim(hooked, NODE, lease_s=0)
    assert stale is not None
    await claimed(hooked, OTHER)
    assert not await hooked.webhooks.advance(HOOK, NODE, stale.cursor, stale.events[0].seq)


async def test_nothing_to_deliver_takes_no_lease(hooked: Store) -> None:
    assert await claim(hooked) is None
    assert await value(hooked, "SELECT leased_by FROM webhook_endpoints") is None


async def test_what_failed_is_set_aside_and_the_next_goes_on(hooked: Store) -> None:
    await settle(hooked, "tip-1", "tip-2")
    await fail(hooked, retry_in_s=3600)
    work = await claimed(hooked)
    assert (work.retries, ids(work)) == ((), ["tip-2"])
    [delivery] = await hooked.webhooks.deliveries(HOOK, DeliveryState.RETRYING, 0, 10)
    assert (delivery.tip_id, delivery.attempts, delivery.last_status) == ("tip-1", 1, 500)
    assert delivery.next_attempt_at is not None
    assert 3500 < (delivery.next_attempt_at - datetime.now(UTC)).total_seconds() < 3601
    endpoint = await hooked.webhooks.load(HOOK)
    assert (endpoint.retrying, endpoint.last_failure) == (1, "HTTP 500")


async def test_a_retry_is_the_same_bytes_with_the_attempts_so_far(hooked: Store) -> None:
    await settle(hooked, "tip-1")
    [event] = (await fail(hooked)).events
    [retry] = (await claimed(hooked)).retries
    assert (retry.body, retry.event_id, retry.attempts) == (event.body, event.event_id, 1)
    await hooked.webhooks.record_retry(HOOK, NODE, retry, DELIVERED, None)
    assert await claim(hooked) is None
    [delivery] = await hooked.webhooks.deliveries(HOOK, DeliveryState.DELIVERED, 0, 10)
    assert (delivery.attempts, delivery.delivered_at is not None) == (2, True)


async def test_a_dead_letter_waits_for_somebody(hooked: Store) -> None:
    await settle(hooked, "tip-1")
    await fail(hooked)
    [retry] = (await claimed(hooked)).retries
    lost = WebhookAnswer(error="no connection")
    await hooked.webhooks.record_retry(HOOK, NODE, retry, lost, None)
    assert await claim(hooked) is None
    [dead] = await hooked.webhooks.deliveries(HOOK, DeliveryState.DEAD, 0, 10)
    assert (dead.last_status, dead.last_error) == (None, "no connection")
    assert (await hooked.webhooks.load(HOOK)).last_failure == "no connection"
    await hooked.webhooks.redeliver(HOOK, dead.seq)
    [again] = (await claimed(hooked)).retries
    assert (again.seq, again.attempts) == (dead.seq, 2)


async def test_what_has_no_id_is_a_dead_letter_at_once_and_the_next_goes_on(hooked: Store) -> None:
    await settle(hooked, "a", "b")
    work = await claimed(hooked)
    bad = msgspec.structs.replace(work.events[0], event_id=None)
    answer = WebhookAnswer(error="the event cannot be read")
    assert await hooked.webhooks.set_aside(HOOK, NODE, work.cursor, bad, answer, None)
    assert ids(await claimed(hooked)) == ["b"]
    [letter] = await hooked.webhooks.deliveries(HOOK, DeliveryState.DEAD, 0, 10)
    assert (letter.tip_id, letter.event_id, letter.last_error) == ("a", None, answer.error)
    assert not (await consumers_of(hooked, "a"))[f"webhook:{HOOK}"]


async def test_without_the_lease_no_retry_is_recorded(hooked: Store) -> None:
    await settle(hooked, "tip-1")
    await fail(hooked)
    [retry] = (await claimed(hooked)).retries
    await hooked.webhooks.record_retry(HOOK, OTHER, retry, DELIVERED, None)
    assert len((await claimed(hooked)).retries) == 1


async def test_a_replay_brings_everything_again_and_settles_what_had_failed(hooked: Store) -> None:
    await settle(hooked, "tip-1", "tip-2")
    await fail(hooked, retry_in_s=3600)
    await hooked.webhooks.replay(HOOK, 0)
    work = await claimed(hooked)
    assert ids(work) == ["before", "tip-1", "tip-2"]
    assert await hooked.webhooks.advance(HOOK, NODE, 0, work.events[-1].seq)
    assert await claim(hooked) is None
    [delivery] = await hooked.webhooks.deliveries(HOOK, None, 0, 10)
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 2)


async def test_a_replay_to_where_the_cursor_still_stands_is_one_all_the_same(
    hooked: Store,
) -> None:
    """What was sent, and is not written down yet, must not undo it."""
    await settle(hooked, "a", "b")
    sent = await claimed(hooked)
    await hooked.webhooks.replay(HOOK, sent.cursor)
    assert not await hooked.webhooks.advance(HOOK, NODE, sent.cursor, sent.events[-1].seq)
    assert not await hooked.webhooks.set_aside(
        HOOK, NODE, sent.cursor, sent.events[0], FAILED, 10.0
    )
    again = await claimed(hooked)
    assert (again.cursor, ids(again)) == (sent.cursor, ["a", "b"])


async def test_a_replay_beyond_the_newest_event_is_refused(hooked: Store) -> None:
    newest = await hooked.feed.last_seq()
    await hooked.webhooks.replay(HOOK, newest)
    with pytest.raises(Refused) as refused:
        await hooked.webhooks.replay(HOOK, newest + 1)
    assert refused.value.refusal.field == "after"
    assert (await hooked.webhooks.load(HOOK)).cursor == newest


async def test_gone_pauses_and_what_it_did_not_get_waits(hooked: Store) -> None:
    await settle(hooked, "tip-1")
    await claimed(hooked)
    await hooked.webhooks.pause_gone(HOOK, NODE)
    assert await claim(hooked) is None
    assert await hooked.webhooks.active_webhooks() == []
    paused = await hooked.webhooks.load(HOOK)
    assert (paused.state, paused.paused_because) == (WebhookState.PAUSED, "gone")
    await hooked.webhooks.change(HOOK, state=WebhookState.ACTIVE)
    assert ids(await claimed(hooked)) == ["tip-1"]


# ---- endpoints -------------------------------------------------------------------------------


async def test_changes(hooked: Store) -> None:
    await hooked.webhooks.change(HOOK, url="https://example.net/", description="ours")
    await hooked.webhooks.change(HOOK, state=WebhookState.PAUSED)
    changed = await hooked.webhooks.load(HOOK)
    assert (changed.url, changed.description) == ("https://example.net/", "ours")
    assert (changed.state, changed.paused_because) == (WebhookState.PAUSED, "request")
    await hooked.webhooks.change(HOOK, description=None)
    assert (await hooked.webhooks.load(HOOK)).description is None
    await hooked.webhooks.change_secret(HOOK, "whsec_2")
    await hooked.webhooks.change(HOOK, state=WebhookState.ACTIVE)
    await settle(hooked, "tip-1")
    assert (await claimed(hooked)).secret == "whsec_2"


async def test_pages(hooked: Store) -> None:
    await hooked.webhooks.add("hook-2", "https://example.org/", "whsec_2", None)
    first = await hooked.webhooks.page("", 1)
    assert [each.webhook_id for each in first] == [HOOK]
    assert [each.webhook_id for each in await hooked.webhooks.page(HOOK, 10)] == ["hook-2"]


async def test_as_many_as_there_may_be(hooked: Store) -> None:
    for number in range(1, WEBHOOKS_MAX):
        await hooked.webhooks.add(f"more-{number}", "https://example.org/", "whsec_1", None)
    with pytest.raises(Refused) as refused:
        await hooked.webhooks.add("one-more", "https://example.org/", "whsec_1", None)
    assert refused.value.refusal.code is ErrorCode.TOO_MANY_WEBHOOKS
    consumers = "SELECT count(*) FROM event_consumers WHERE starts_with(name, 'webhook:')"
    assert await value(hooked, consumers) == WEBHOOKS_MAX


async def test_the_last_place_is_taken_once(hooked: Store) -> None:
    for number in range(2, WEBHOOKS_MAX):
        await hooked.webhooks.add(f"more-{number}", "https://example.org/", "whsec_1", None)
    refused: list[ErrorCode] = []

    async def add(number: int) -> None:
        try:
            await hooked.webhooks.add(f"last-{number}", "https://example.org/", "whsec_1", None)
        except Refused as error:
            refused.append(error.refusal.code)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(add, number)
    assert refused == [ErrorCode.TOO_MANY_WEBHOOKS] * 3
    assert await value(hooked, "SELECT count(*) FROM webhook_endpoints") == WEBHOOKS_MAX


async def test_deleted_it_leaves_nothing_and_holds_up_no_month(hooked: Store) -> None:
    await settle(hooked, "tip-1")
    await fail(hooked)
    await hooked.webhooks.delete(HOOK)
    assert await claim(hooked) is None
    for table in ("webhook_endpoints", "webhook_deliveries"):
        assert await value(hooked, f"SELECT count(*) FROM {table}") == 0
    names = await value(hooked, "SELECT array_agg(name ORDER BY name) FROM event_consumers")
    assert names == ["loyalty", "messaging", "room"]


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.load("none"),
        lambda store: store.change("none", url="https://example.org/"),
        lambda store: store.change_secret("none", "whsec_1"),
        lambda store: store.delete("none"),
        lambda store: store.replay("none", 0),
        lambda store: store.redeliver("none", 1),
        lambda store: store.deliveries("none", None, 0, 10),
    ],
)
async def test_one_that_there_is_not(store: Store, act: Any) -> None:
    with pytest.raises(Refused) as refused:
        await act(store.webhooks)
    assert refused.value.refusal.code is ErrorCode.WEBHOOK_UNKNOWN


async def test_a_delivery_that_there_is_not(hooked: Store) -> None:
    with pytest.raises(Refused) as refused:
        await hooked.webhooks.redeliver(HOOK, 1)
    assert refused.value.refusal.code is ErrorCode.DELIVERY_UNKNOWN


# ---- what others see -------------------------------------------------------------------------


async def consumers_of(store: Store, tip_id: str) -> dict[str, bool]:
    trace = await store.traces.load_tip(tip_id)
    assert trace is not None
    return {each["consumer"]: each["done"] for each in trace.consumers}


async def test_the_trace_of_a_tip_tells_whether_it_was_delivered(hooked: Store) -> None:
    await settle(hooked, "tip-1", "tip-2")
    name = f"webhook:{HOOK}"
    assert await consumers_of(hooked, "tip-1") == dict.fromkeys(
        ("room", "loyalty", "messaging", name), False
    )
    await fail(hooked)
    work = await claimed(hooked)
    assert await hooked.webhooks.advance(HOOK, NODE, work.cursor, work.events[-1].seq)
    assert not (await consumers_of(hooked, "tip-1"))[name]
    assert (await consumers_of(hooked, "tip-2"))[name]
    await hooked.webhooks.record_retry(HOOK, NODE, work.retries[0], DELIVERED, None)
    assert (await consumers_of(hooked, "tip-1"))[name]


async def test_an_event_from_before_the_webhook_is_none_of_its(hooked: Store) -> None:
    name = f"webhook:{HOOK}"
    assert name not in await consumers_of(hooked, "before")
    await hooked.webhooks.replay(HOOK, 0)
    assert not (await consumers_of(hooked, "before"))[name]


async def test_an_endpoint_that_is_behind_keeps_its_month(hooked: Store) -> None:
    """Until it has what it is to get, or has it among its deliveries, which hold the event."""
    await settle(hooked, "tip-1")
    behind = """SELECT string_agg(c.name, ',')
        FROM event_consumers c JOIN outbox o ON o.seq > c.cursor WHERE c.name LIKE 'webhook:%'"""
    assert await value(hooked, behind) == f"webhook:{HOOK}"
    await fail(hooked, retry_in_s=0)
    assert await value(hooked, behind) is None
    await execute(hooked, "ALTER TABLE outbox DETACH PARTITION " + await partition(hooked))
    assert await value(hooked, "SELECT count(*) FROM outbox") == 0
    [retry] = (await claimed(hooked)).retries
    assert tip_activated.decode(retry.body).tip_id == "tip-1"


async def partition(store: Store) -> str:
    found = await value(store, "SELECT tableoid::regclass::text FROM outbox LIMIT 1")
    assert isinstance(found, str)
    return found


@asynccontextmanager
async def another_server(bridge: Bridge, dsn: str) -> AsyncIterator[Store]:
    async with open_store(dsn, bridge) as store:
        yield store


async def test_a_server_that_died_loses_nothing(
    hooked: Store, bridge: Bridge, database_dsn: str
) -> None:
    """Between a delivery and its cursor: the next server sends it again."""
    await settle(hooked, "tip-1")
    await claim(hooked, NODE, lease_s=0)
    async with another_server(bridge, database_dsn) as other:
        assert ids(await claimed(other, uuid4())) == ["tip-1"]
