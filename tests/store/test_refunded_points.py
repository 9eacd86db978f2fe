"""Loyalty points of what was refunded: taken back in proportion, once for each refund."""

import pytest

from actors.ports import UserRecord
from actors.transfers import Release
from protocol.tip_activated import MembershipTier
from server.store.store import Store
from tests.store.rows import pending_events
from tests.store.settlements import tip
from tests.store.transfers import held, hold, post_first, refund_of, settlement_of, show


@pytest.fixture
async def funded(store: Store) -> Store:
    await store.members.save_user(UserRecord("alex", "Alex", MembershipTier.FREE))
    await store.ledger.deposit("d", "alex", 1000)
    return store


async def credit(store: Store) -> None:
    await store.loyalty.credit_points(await pending_events(store, "loyalty", 100))


async def refund(store: Store, refund_id: str, source_ref: str, tokens: int) -> None:
    await post_first(store, await refund_of(store, refund_id, source_ref, tokens))


async def points(store: Store) -> int:
    return await store.loyalty.load_points("alex")


@pytest.mark.parametrize("parts", [[10], [5, 5], [1] * 10, [3, 3, 3, 1], [1, 9]])
@pytest.mark.parametrize("at_once", [True, False])
async def test_parts_of_a_refund_take_the_same_as_the_whole(
    funded: Store, parts: list[int], at_once: bool
) -> None:
    await post_first(funded, tip("t", amount=10, bonus_points=7), tip("other", bonus_points=2))
    await credit(funded)
    left = 10
    for number, tokens in enumerate(parts):
        # Names in another order than time.
        await refund(funded, f"r{99 - number}", "tip:t", tokens)
        left -= tokens
        if not at_once:
            assert await funded.loyalty.take_back_points(10) == 1
            assert await points(funded) == 2 + 7 - (10 - left) * 7 // 10
    assert await funded.loyalty.take_back_points(100) == (len(parts) if at_once else 0)
    assert await points(funded) == 2
    assert await funded.loyalty.take_back_points(100) == 0


async def test_the_trace_of_a_tip_shows_its_refunds_and_their_points(funded: Store) -> None:
    await post_first(funded, tip("t", amount=10, bonus_points=5))
    await credit(funded)
    for number, tokens in enumerate((4, 6)):
        await post_first(funded, await refund_of(funded, f"r-{number}", "tip:t", tokens))
    assert await funded.loyalty.take_back_points(10) == 2
    trace = await funded.traces.load_tip("t")
    assert trace is not None
    wallet_entries = [
        (each["transfer"], each["sourceRef"], each["amount"])
        for each in trace.entries
        if each["accountId"] == "user:alex"
    ]
    assert wallet_entries == [
        ("tip", "tip:t", -10),
        ("refund", "refund:r-0", 4),
        ("refund", "refund:r-1", 6),
    ]
    points = {each["sourceRef"]: each["points"] for each in trace.points}
    assert points == {"tip:t": 5, "refund:r-0": -2, "refund:r-1": -3}
    assert {each["userId"] for each in trace.points} == {"alex"}


async def test_a_limit_only_spreads_the_work(funded: Store) -> None:
    await post_first(funded, tip("t", amount=10, bonus_points=7))
    await credit(funded)
    for number, tokens in enumerate((3, 3, 4)):
        await refund(funded, f"r{9 - number}", "tip:t", tokens)
    assert [await funded.loyalty.take_back_points(2) for _ in range(3)] == [2, 1, 0]
    assert await points(funded) == 0


async def test_a_refund_waits_for_the_credit(funded: Store) -> None:
    await post_first(funded, tip("t", amount=10, bonus_points=7))
    await refund(funded, "r", "tip:t", 5)
    assert await funded.loyalty.take_back_points(10) == 0
    await credit(funded)
    assert await points(funded) == 7
    assert await funded.loyalty.take_back_points(10) == 1
    assert await points(funded) == 4


async def test_a_purchase_loses_its_points_and_a_tip_without_any_loses_none(funded: Store) -> None:
    record = await held(funded, hold("h", amount=20, item=show(bonus_points=6)))
    await post_first(funded, settlement_of(record), tip("t", bonus_points=0))
    await credit(funded)
    assert await points(funded) == 6
    await refund(funded, "r1", "purchase:h", 10)
    await refund(funded, "r2", "tip:t", 10)
    assert await funded.loyalty.take_back_points(10) == 2
    assert await points(funded) == 3


async def test_a_hold_that_is_released_earned_nothing_and_loses_nothing(funded: Store) -> None:
    await post_first(funded, tip("t", bonus_points=5))
    record = await held(funded, hold("h", item=show(bonus_points=6)))
    await post_first(funded, Release(record))
    await credit(funded)
    assert await funded.loyalty.take_back_points(10) == 0
    assert await points(funded) == 5
