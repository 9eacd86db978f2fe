"""Purchases without a hold, refunds of what was settled, and the rows that all kinds share, on the
real database."""

import json

import msgspec
import pytest
import trio

from actors.ports import UserRecord
from actors.transfers import Refund
from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import MembershipTier
from server.store.store import Store
from tests.store.rows import check, event_ids, fetch, legs, wallet
from tests.store.settlements import tip
from tests.store.transfers import (
    held,
    hold,
    post,
    post_first,
    refund_of,
    release_of,
    settlement_of,
)


@pytest.fixture
async def funded(store: Store) -> Store:
    """alex with 100 tokens, sam with 50."""
    for user_id, tokens in (("alex", 100), ("sam", 50)):
        await store.members.save_user(UserRecord(user_id, user_id, MembershipTier.FREE))
        await store.ledger.deposit(user_id, user_id, tokens)
    return store


# ---- purchases without a hold, refunds ---------------------------------------------------------


async def test_a_purchase_is_a_tip_with_a_key_of_its_own_kind(funded: Store) -> None:
    assert await post(funded, tip("purchase:p", amount=10), tip("p", amount=10)) == [
        (90, True),
        (80, True),
    ]
    rows = await fetch(funded, "SELECT source_ref, kind FROM transfers WHERE kind <> 'deposit'")
    assert {(row["source_ref"], row["kind"]) for row in rows} == {
        ("purchase:p", "purchase"),
        ("tip:p", "tip"),
    }
    assert await event_ids(funded) == ["purchase:p", "p"]
    assert await post(funded, tip("purchase:p", amount=11)) == [ErrorCode.TIP_CONFLICT]
    await check(funded)


@pytest.mark.parametrize("source_ref", ["tip:t", "purchase:h1"])
async def test_a_refund_takes_from_both_sides_what_each_got(funded: Store, source_ref: str) -> None:
    """15 tokens, of which the model got 7; cut into parts, the parts together are the same."""
    if source_ref == "tip:t":
        await post_first(funded, tip("t", amount=15))
    else:
        await post_first(funded, settlement_of(await held(funded, hold("h1", amount=15))))
    before = await event_ids(funded)
    taken = []
    for number, tokens in enumerate((1, 4, 10)):
        refund = await refund_of(funded, f"r{number}", source_ref, tokens)
        await post_first(funded, refund)
        taken.append(await legs(funded, f"refund:r{number}"))
    assert taken == [
        {"revenue": -1, "user:alex": 1},
        {"model:model-1": -2, "revenue": -2, "user:alex": 4},
        {"model:model-1": -5, "revenue": -5, "user:alex": 10},
    ]
    assert await wallet(funded) == 100
    settled = await funded.accounts.load_settled(source_ref)
    assert settled is not None
    assert (settled.amount, settled.refunded) == (15, 15)
    assert await event_ids(funded) == before
    await check(funded)


async def test_outcomes_of_a_refund(funded: Store) -> None:
    await post_first(funded, tip("t", amount=15), tip("other", amount=15))
    first = await refund_of(funded, "r1", "tip:t", 6)
    [posted] = await post_first(funded, first)
    repeated = [msgspec.structs.replace(posted, first=False)]

    # Whether the amount that was refunded before is looked up again or not.
    for again in (first, await refund_of(funded, "r1", "tip:t", 6)):
        assert await funded.ledger.post([again]) == repeated
    assert await post(funded, await refund_of(funded, "r1", "tip:t", 5)) == [
        ErrorCode.TRANSFER_CONFLICT
    ]
    assert await post(funded, await refund_of(funded, "r1", "tip:other", 6)) == [
        ErrorCode.TRANSFER_CONFLICT
    ]
    # Decided on what was so before the first refund.
    stale = msgspec.structs.replace(first, refund_id="r2")
    assert await post(funded, stale) == [ErrorCode.REFUND_MOVED]

    exceeds = Refusal(ErrorCode.REFUND_EXCEEDS)
    settled = (await refund_of(funded, "r2", "tip:t", 1)).settled
    assert await post(
        funded,
        Refund("r2", settled, 10, unless_known=exceeds),
        Refund("r1", settled, 6, unless_known=exceeds),
    ) == [ErrorCode.REFUND_EXCEEDS, (posted.balance, False)]
    for refund_id, tokens, field in (("r\0", 1, "refundId"), ("r2", 0, "tokens")):
        assert await funded.ledger.post([Refund(refund_id, settled, tokens)]) == [
            Refusal(ErrorCode.INVALID_FIELD, field)
        ]
    assert await wallet(funded) == 76
    await check(funded)


async def test_two_refunds_of_one_tip_in_a_batch_cannot_both_give_it_back(funded: Store) -> None:
    """Each was decided without the other. Of two tips they may."""
    await post_first(funded, tip("t", amount=15), tip("other", "sam", amount=15))
    assert await post(
        funded,
        await refund_of(funded, "r1", "tip:t", 15),
        await refund_of(funded, "r2", "tip:t", 15),
        await refund_of(funded, "r3", "tip:other", 15),
    ) == [(100, True), ErrorCode.REFUND_MOVED, (50, True)]
    await check(funded)


async def test_a_refund_that_another_overtook_is_told_so_though_nobody_has_the_tokens_any_more(
    funded: Store,
) -> None:
    """What it would take was reckoned without the other: only a new look says what is so."""
    await post_first(funded, tip("t", amount=15))
    refunds = [await refund_of(funded, f"r{number}", "tip:t", 15) for number in range(4)]
    assert await post(funded, *refunds[:2]) == [(100, True), ErrorCode.REFUND_MOVED]
    answers: list[object] = []

    async def race(refund: Refund) -> None:
        answers.extend(await post(funded, refund))

    async with trio.open_nursery() as nursery:
        for refund in refunds[2:]:
            nursery.start_soon(race, refund)
    assert answers == [ErrorCode.REFUND_MOVED] * 2
    await check(funded)


async def test_a_refund_needs_the_tokens_of_both_sides(funded: Store) -> None:
    await post_first(funded, tip("t", amount=10))
    refund = await refund_of(funded, "r1", "tip:t", 10)
    elsewhere = msgspec.structs.replace(refund.settled, model_id="model-2")
    assert await post(funded, msgspec.structs.replace(refund, settled=elsewhere)) == [
        ErrorCode.REFUND_UNCOVERED
    ]
    await check(funded)


async def test_what_was_never_settled_cannot_be_refunded(funded: Store) -> None:
    await post_first(funded, hold("h1"))
    for source_ref in ("tip:t", "hold:h1", "deposit:alex", "tip:\0"):
        assert await funded.accounts.load_settled(source_ref) is None


# ---- rows --------------------------------------------------------------------------------------


async def test_a_repeat_is_compared_by_content_and_answered_from_the_row(funded: Store) -> None:
    """Both as they were stored, byte for byte."""
    first = tip("t", amount=7, username='Ünï "q"')
    await post_first(funded, first, hold("h1"))
    rows = await fetch(funded, "SELECT source_ref, content::text, answer::text FROM transfers")
    stored = {row["source_ref"]: (row["content"], row["answer"]) for row in rows}
    assert stored["tip:t"] == (
        '{"roomId":"room-1","broadcastId":"broadcast-1","userId":"alex","amount":7}',
        '{"itemName":"Tip","timestamp":"2026-03-01T07:00:00-05:00"}',
    )
    assert json.loads(stored["hold:h1"][0])["item"]["itemId"] == "show"
    assert stored["deposit:alex"] == ('{"userId":"alex","amount":100}', "{}")


async def test_events_come_in_the_order_of_the_batch(funded: Store) -> None:
    names = ["c", "a", "b"]
    await post_first(funded, *(tip(name, amount=1) for name in names))
    await post_first(funded, tip("d", amount=1))
    fed = await funded.events.events_after(0, 10)
    assert [each.tip_id for each in fed] == [*names, "d"]
    assert [each.seq for each in fed] == sorted(each.seq for each in fed)
    assert await funded.events.events_after(fed[1].seq, 1) == fed[2:3]
    assert await funded.events.events_after(fed[3].seq, 10) == []
    assert await funded.events.last_seq() == fed[3].seq


async def test_a_statement_counts_each_account_on_its_own(funded: Store) -> None:
    await post_first(funded, hold("h1"), tip("t", amount=10))
    await post_first(funded, await release_of(funded, "h1"))
    lines = await funded.accounts.load_entries("user:alex", None, 3)
    assert [(line.seq, line.source_ref, line.amount, line.balance_after) for line in lines] == [
        (4, "release:h1", 20, 90),
        (3, "tip:t", -10, 70),
        (2, "hold:h1", -20, 80),
    ]
    [oldest] = await funded.accounts.load_entries("user:alex", 2, 3)
    assert (oldest.seq, oldest.source_ref) == (1, "deposit:alex")
    account = await funded.accounts.load_account("user:alex")
    assert account is not None
    assert (account.balance, account.last_seq) == (90, 4)
    assert await funded.accounts.load_account("user:nobody") is None
