"""What holds, their settlements and their releases write and answer, on the real database. Tips
and deposits: test_settlement.py."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from actors.ports import UserRecord
from actors.transfers import Deposit, HoldState, Posted, Release, Settled, SettledTransfer
from protocol import tip_activated
from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import MembershipTier
from server.store import queries
from server.store.database import Connection
from server.store.postings import columns, posting
from server.store.store import Store
from tests.store.rows import check, event_ids, fetch, legs, unguarded, wallet
from tests.store.settlements import tip
from tests.store.transfers import (
    FAR_AHEAD,
    LONG_AGO,
    brief,
    held,
    hold,
    hold_record,
    post,
    post_first,
    release_of,
    settlement_of,
    show,
)

OFFLINE = Refusal(ErrorCode.ROOM_OFFLINE)


@pytest.fixture
async def funded(store: Store) -> Store:
    """alex with 100 tokens, sam with 50."""
    for user_id, tokens in (("alex", 100), ("sam", 50)):
        await store.members.save_user(UserRecord(user_id, user_id, MembershipTier.FREE))
        await store.ledger.deposit(user_id, user_id, tokens)
    return store


# ---- holds -------------------------------------------------------------------------------------


async def test_a_hold_moves_tokens_into_escrow_and_emits_nothing(funded: Store) -> None:
    request = hold(
        "h1", amount=30, item=show(item_name='Ünï "q" \\ \U0001f600'), expires_at=FAR_AHEAD
    )
    assert await post(funded, request) == [(70, True)]

    assert await legs(funded, "hold:h1") == {"user:alex": -30, "escrow": 30}
    record = await hold_record(funded, "h1")
    assert (record.user_id, record.room_id, record.broadcast_id, record.model_id) == (
        "alex",
        "room-1",
        "broadcast-1",
        "model-1",
    )
    assert (record.amount, record.item, record.expires_at) == (30, request.item, FAR_AHEAD)
    assert (record.state, record.refunded, record.ended_at) == (HoldState.HELD, 0, None)
    [debit] = await fetch(funded, "SELECT * FROM entries WHERE entry_id = $1", record.debit_ref)
    assert (debit["account_id"], debit["amount"]) == ("user:alex", -30)
    assert await event_ids(funded) == []
    await check(funded)


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (hold("h1"), (80, False)),
        (hold("h1", expires_at=FAR_AHEAD, model_id="model-2"), (80, False)),
        (hold("h1", unless_known=OFFLINE), (80, False)),
        (hold("h1", amount=21), ErrorCode.TRANSFER_CONFLICT),
        (hold("h1", "sam"), ErrorCode.TRANSFER_CONFLICT),
        (hold("h1", room_id="room-2"), ErrorCode.TRANSFER_CONFLICT),
        (hold("h1", item=show(bonus_points=7)), ErrorCode.TRANSFER_CONFLICT),
        (hold("h1", amount=21, unless_known=OFFLINE), ErrorCode.TRANSFER_CONFLICT),
        (hold("h2", amount=80), (0, True)),
        (hold("h2", amount=81), ErrorCode.INSUFFICIENT_TOKENS),
        (hold("h2", "nobody"), ErrorCode.USER_UNKNOWN),
        (hold("h2", unless_known=OFFLINE), ErrorCode.ROOM_OFFLINE),
        (hold("h" * 55), (60, True)),
        (hold("h" * 56), ErrorCode.INVALID_FIELD),
        (hold("h\0"), ErrorCode.INVALID_FIELD),
        (hold("h2", amount=0), ErrorCode.INVALID_FIELD),
        (hold("h2", amount=100_000), ErrorCode.INVALID_FIELD),
        (hold("h2", item=show(item_name="nul\0")), ErrorCode.INVALID_FIELD),
    ],
)
async def test_outcomes_of_a_hold(funded: Store, again: Any, expected: object) -> None:
    """`h1` holds 20 of alex's 100 tokens."""
    [first] = await post_first(funded, hold("h1"))
    record = await hold_record(funded, "h1")
    [outcome] = await funded.ledger.post([again])
    assert brief([outcome]) == [expected]
    if isinstance(outcome, Posted) and not outcome.first:
        assert outcome == msgspec.structs.replace(first, first=False)
    assert await hold_record(funded, "h1") == record
    await check(funded)


# ---- settlements of holds ----------------------------------------------------------------------


async def test_a_settled_hold_pays_model_and_platform_and_emits_one_event(funded: Store) -> None:
    request = settlement_of(await held(funded, hold("h1", amount=15)))
    assert await post(funded, request) == [(85, True)]

    assert await legs(funded, "purchase:h1") == {"escrow": -15, "model:model-1": 7, "revenue": 8}
    record = await hold_record(funded, "h1")
    assert (record.state, record.refunded) == (HoldState.SETTLED, 0)
    assert record.ended_at is not None
    [fed] = await funded.events.events_after(0, 10)
    assert request.event is not None
    assert (fed.tip_id, fed.event) == ("purchase:h1", tip_activated.encode(request.event))
    assert await funded.accounts.load_settled("purchase:h1") == SettledTransfer(
        source_ref="purchase:h1",
        user_id="alex",
        model_id="model-1",
        amount=15,
        model_tokens=7,
        refunded=0,
    )
    await check(funded)


async def test_a_part_of_a_hold_settles_and_the_rest_goes_back(funded: Store) -> None:
    """The event says what the model's side settled for."""
    request = settlement_of(await held(funded, hold("h1", amount=15)), 4)
    assert await post(funded, request) == [(89, True)]

    assert await legs(funded, "purchase:h1") == {
        "escrow": -15,
        "user:alex": 4,
        "model:model-1": 5,
        "revenue": 6,
    }
    record = await hold_record(funded, "h1")
    assert (record.state, record.refunded) == (HoldState.PARTIALLY_REFUNDED, 4)
    [fed] = await funded.events.events_after(0, 10)
    assert tip_activated.decode(fed.event).transaction.amount == 11
    await check(funded)


@pytest.mark.parametrize("share_percent", [0, 100])
async def test_all_of_a_hold_may_go_to_one_side(funded: Store, share_percent: int) -> None:
    record = await held(funded, hold("h1", amount=15))
    await post_first(funded, settlement_of(record, share_percent=share_percent))
    model, platform = (15, None) if share_percent else (0, 15)
    paid = await legs(funded, "purchase:h1")
    assert (paid["model:model-1"], paid.get("revenue")) == (model, platform)
    await check(funded)


async def test_a_settlement_again_is_answered_as_the_first(funded: Store) -> None:
    record = await held(funded, hold("h1"))
    [first] = await post_first(funded, settlement_of(record, 5))
    assert isinstance(first, Settled)
    await post_first(funded, tip("t", amount=first.balance))  # her wallet is empty now
    ended = await hold_record(funded, "h1")

    again = settlement_of(ended, 5, share_percent=10)
    assert await funded.ledger.post([again]) == [msgspec.structs.replace(first, first=False)]
    assert await post(funded, settlement_of(ended)) == [ErrorCode.TRANSFER_CONFLICT]
    assert await post(funded, await release_of(funded, "h1")) == [ErrorCode.HOLD_ENDED]
    assert await hold_record(funded, "h1") == ended
    assert await event_ids(funded) == ["purchase:h1", "t"]
    await check(funded)


@pytest.mark.parametrize("others", [0, 50])
async def test_a_hold_that_went_back_cannot_settle(funded: Store, others: int) -> None:
    """Whatever else is in escrow."""
    record = await held(funded, hold("h1"))
    if others:
        await post_first(funded, hold("h2", "sam", others))
    await post_first(funded, Release(record))
    before = await fetch(funded, "SELECT * FROM accounts ORDER BY account_id")
    for refund in (0, 5):
        assert await post(funded, settlement_of(record, refund)) == [ErrorCode.HOLD_ENDED]
    assert await fetch(funded, "SELECT * FROM accounts ORDER BY account_id") == before
    assert await event_ids(funded) == []
    await check(funded)


async def test_a_hold_settles_for_what_it_holds_and_nothing_else(funded: Store) -> None:
    record = await held(funded, hold("h1", amount=20))
    await post_first(funded, hold("h2", "sam", 50))
    for amount in (19, 21):
        other = msgspec.structs.replace(record, amount=amount)
        assert await post(funded, settlement_of(other)) == [ErrorCode.HOLD_ENDED]
        assert await post(funded, Release(other)) == [ErrorCode.HOLD_ENDED]
    assert await hold_record(funded, "h1") == record
    await check(funded)


async def test_a_hold_whose_purchase_was_paid_directly_can_only_go_back(funded: Store) -> None:
    await post_first(funded, tip("purchase:h1", amount=10))
    record = await held(funded, hold("h1"))
    assert await post(funded, settlement_of(record)) == [ErrorCode.TRANSFER_CONFLICT]
    await post_first(funded, Release(record))
    assert await wallet(funded) == 90
    await check(funded)


async def test_a_settlement_whose_parts_do_not_fit_is_a_bug(funded: Store) -> None:
    whole = settlement_of(await held(funded, hold("h1")), 5)
    assert whole.hold is not None
    replace = msgspec.structs.replace
    for wrong in (
        replace(whole, hold=replace(whole.hold, refund_ref=None)),
        replace(whole, hold=replace(whole.hold, refund_tokens=0)),
        replace(whole, revenue_ref=None),
        replace(whole, model_tokens=whole.amount + 1),
        replace(whole, event=None),
    ):
        with capture_logs() as logs:
            assert await funded.ledger.post([wrong]) == [Refusal(ErrorCode.INTERNAL)]
        assert [each["event"] for each in logs] == ["transfer_contradicts_itself"]
    await check(funded)


# ---- releases and expiry -----------------------------------------------------------------------


async def test_a_release_gives_the_whole_hold_back_and_emits_nothing(funded: Store) -> None:
    record = await held(funded, hold("h1"))
    [first] = await post_first(funded, Release(record))
    assert first.balance == 100
    assert await legs(funded, "release:h1") == {"escrow": -20, "user:alex": 20}
    ended = await hold_record(funded, "h1")
    assert (ended.state, ended.refunded) == (HoldState.REFUNDED, 20)

    await post_first(funded, tip("t"))
    for request in (Release(record), Release(ended)):
        assert await funded.ledger.post([request]) == [msgspec.structs.replace(first, first=False)]
    assert await event_ids(funded) == ["t"]
    await check(funded)


async def test_a_hold_that_expired_cannot_settle_and_goes_back(funded: Store) -> None:
    record = await held(funded, hold("h1", expires_at=LONG_AGO))
    await post_first(funded, hold("later", expires_at=FAR_AHEAD), hold("never"))
    assert await post(funded, settlement_of(record)) == [ErrorCode.HOLD_ENDED]
    [expired] = await funded.accounts.expired_holds(None, 10)
    assert (expired.hold_id, expired.user_id, expired.amount) == ("h1", "alex", record.amount)
    await post_first(funded, Release(expired))
    assert await funded.accounts.expired_holds(None, 10) == []
    await post_first(funded, settlement_of(await hold_record(funded, "later")))
    await post_first(funded, settlement_of(await hold_record(funded, "never")))
    await check(funded)


async def test_expired_holds_come_by_page_the_longest_overdue_first(funded: Store) -> None:
    for name, day in (("b", 2), ("d", 3), ("c", 3), ("a", 1)):
        expires_at = datetime(2020, 1, day, tzinfo=UTC)
        await post_first(funded, hold(name, amount=1, expires_at=expires_at))
    last, found = None, []
    while page := await funded.accounts.expired_holds(last, 1):
        last = page[-1]
        found.append(last.hold_id)
    assert found == ["a", "b", "c", "d"]


async def test_a_hold_whose_item_cannot_be_read_goes_back_too(funded: Store) -> None:
    await post_first(funded, hold("h1", expires_at=LONG_AGO))
    await unguarded(funded, "UPDATE holds SET item = '{}'")
    [expired] = await funded.accounts.expired_holds(None, 10)
    [released] = await post_first(funded, Release(expired))
    assert released.balance == 100


# ---- batches -----------------------------------------------------------------------------------


async def test_a_hold_ends_once_in_a_batch(funded: Store) -> None:
    one, two = await held(funded, hold("h1")), await held(funded, hold("h2"))
    assert await post(
        funded,
        settlement_of(one),
        Release(one),
        settlement_of(one),
        Release(two),
        settlement_of(two, 3),
        Release(two),
    ) == [
        (60, True),
        ErrorCode.HOLD_ENDED,
        (60, False),
        (80, True),
        ErrorCode.HOLD_ENDED,
        (80, False),
    ]
    assert await event_ids(funded) == ["purchase:h1"]
    await check(funded)


async def test_the_last_tokens_are_spent_once_in_a_batch(funded: Store) -> None:
    """By whichever kind comes first; what comes back in between may be spent again."""
    record = await held(funded, hold("h1", amount=60))
    assert await post(
        funded,
        tip("a", amount=41),
        hold("h2", amount=40),
        hold("h3", amount=1),
        tip("purchase:p", amount=1),
        Release(record),
        tip("b", amount=60),
        Deposit("d", "alex", 5),
        hold("h3", amount=5),
    ) == [
        ErrorCode.INSUFFICIENT_TOKENS,
        (0, True),
        ErrorCode.INSUFFICIENT_TOKENS,
        ErrorCode.INSUFFICIENT_TOKENS,
        (60, True),
        (0, True),
        (5, True),
        (0, True),
    ]
    await check(funded)


async def test_the_same_hold_twice_in_a_batch(funded: Store) -> None:
    assert await post(funded, hold("h1"), hold("h1"), hold("h1", amount=1)) == [
        (80, True),
        (80, False),
        ErrorCode.TRANSFER_CONFLICT,
    ]
    await check(funded)


async def test_transfers_are_single_file_whatever_they_touch(
    funded: Store, database_dsn: str
) -> None:
    """So that no key is taken twice, and no event overtakes another: this tip, which leaves nothing
    to the platform, waits for the platform's row like any other."""
    arguments = columns([posting(tip("t", share_percent=100))])

    async def post_at_once(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '1ms'")
            await connection.fetch(queries.POST_TRANSFERS, *arguments)

    async def behind_another(connection: Connection) -> None:
        other = await asyncpg.connect(database_dsn)
        try:
            async with other.transaction():
                await other.execute("SELECT FROM accounts WHERE account_id = 'revenue' FOR UPDATE")
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await post_at_once(connection)
        finally:
            await other.close()

    await funded._database.run(behind_another)
    await check(funded)
