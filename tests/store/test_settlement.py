"""Settling tips on the real database: every outcome, batches, repeats, crossings, and the sums."""

from collections.abc import Sequence
from itertools import count

import asyncpg
import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from actors.ports import UserRecord
from actors.transfers import Outcome, Settled, Settlement
from protocol import tip_activated
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.tip_activated import MembershipTier
from server.store.bridge import open_bridge
from server.store.database import Connection
from server.store.store import Store, open_store
from tests.actors.ports import receipt_of
from tests.store.rows import check, pending_events
from tests.store.settlements import only_if_known, tip

CONFLICT = Refusal(ErrorCode.TIP_CONFLICT)
INSUFFICIENT = Refusal(ErrorCode.INSUFFICIENT_TOKENS)
UNKNOWN_USER = Refusal(ErrorCode.USER_UNKNOWN)
OFFLINE = Refusal(ErrorCode.ROOM_OFFLINE)


@pytest.fixture
async def funded(store: Store) -> Store:
    """Two users: alex with 100 tokens, sam with 50."""
    await fund(store, "alex", 100)
    await fund(store, "sam", 50)
    return store


async def fund(store: Store, user_id: str, tokens: int) -> None:
    await store.members.save_user(UserRecord(user_id, user_id, MembershipTier.FREE))
    await store.ledger.deposit(user_id, user_id, tokens)


async def balances(store: Store) -> dict[str, int]:
    async def read(connection: Connection) -> dict[str, int]:
        rows = await connection.fetch("SELECT account_id, balance FROM accounts")
        return {row["account_id"]: row["balance"] for row in rows}

    return await store._database.run(read)


async def scalar(store: Store, query: str) -> object:
    async def read(connection: Connection) -> object:
        return await connection.fetchval(query)

    return await store._database.run(read)


async def check_books(store: Store) -> None:
    """What must hold whatever happened."""
    for broken in (
        "SELECT count(*) FROM (SELECT 1 FROM entries GROUP BY transfer_id HAVING sum(amount) <> 0)",
        "SELECT count(*) FROM accounts a WHERE balance <> "
        "(SELECT coalesce(sum(amount), 0) FROM entries e WHERE e.account_id = a.account_id)",
        "SELECT sum(balance) FROM accounts",
        "SELECT count(*) FROM (SELECT source_ref FROM transfers WHERE kind = 'tip') t "
        "FULL JOIN outbox o ON 'tip:' || o.tip_id = t.source_ref "
        "WHERE t.source_ref IS NULL OR o.tip_id IS NULL",
    ):
        assert await scalar(store, broken) == 0, broken


def brief(outcomes: Sequence[Outcome]) -> list[object]:
    return [
        (each.balance, each.first) if isinstance(each, Settled) else each.code for each in outcomes
    ]


async def test_a_settled_tip_stands_in_the_ledger(funded: Store) -> None:
    request = tip("t-1", "alex", 15)
    assert request.event is not None
    assert await funded.ledger.post([request]) == [
        Settled(receipt_of(request.event, 85), first=True)
    ]

    assert await balances(funded) == {
        "user:alex": 85,
        "user:sam": 50,
        "model:model-1": 7,
        "revenue": 8,  # the odd token: rounding goes to the platform
        "escrow": 0,
        "issuance": -150,
    }
    trace = await funded.traces.load_tip("t-1")
    assert trace is not None
    assert trace.event == request.event
    assert [(each["entryId"], each["accountId"], each["amount"]) for each in trace.entries] == [
        (request.event.ledger.debit_ref, "user:alex", -15),
        (request.event.ledger.credit_ref, "model:model-1", 7),
        (str(request.revenue_ref), "revenue", 8),
    ]
    assert [(each["consumer"], each["done"]) for each in trace.consumers] == [
        ("loyalty", False),
        ("messaging", False),
        ("room", False),
    ]
    await check_books(funded)


async def test_the_event_comes_back_byte_for_byte(funded: Store) -> None:
    request = tip("t-1", username='Ünï "q" \\ \U0001f600')
    await funded.ledger.post([request])
    assert request.event is not None
    stored = await scalar(funded, "SELECT event::text FROM outbox")
    assert isinstance(stored, str)
    assert stored.encode() == tip_activated.encode(request.event)
    assert await pending_events(funded, "room", 10) == [request.event]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (tip("known"), (90, False)),
        (tip("known", amount=11), ErrorCode.TIP_CONFLICT),
        (tip("known", "sam"), ErrorCode.TIP_CONFLICT),
        (tip("known", room_id="room-2"), ErrorCode.TIP_CONFLICT),
        (tip("known", broadcast_id="broadcast-2"), ErrorCode.TIP_CONFLICT),
        (tip("known", share_percent=10, username="Renamed"), (90, False)),
        (only_if_known(OFFLINE, "known"), (90, False)),
        (only_if_known(OFFLINE, "known", amount=9), ErrorCode.TIP_CONFLICT),
        (only_if_known(OFFLINE, "new"), ErrorCode.ROOM_OFFLINE),
        (tip("new", amount=90), (0, True)),
        (tip("new", amount=91), ErrorCode.INSUFFICIENT_TOKENS),
        (tip("new", "nobody"), ErrorCode.USER_UNKNOWN),
        (tip("new", share_percent=100), (80, True)),
        (tip("new", share_percent=0), (80, True)),
        (tip("new", amount=1), (89, True)),
        (tip("new", username="nul\0"), ErrorCode.INVALID_FIELD),
        (tip("new", username="half \ud83d"), ErrorCode.INVALID_FIELD),
    ],
)
async def test_outcomes(funded: Store, request_: Settlement, expected: object) -> None:
    """`known` was settled by alex with 10 of 100 tokens."""
    first = tip("known")
    await funded.ledger.post([first])
    before = await balances(funded)

    [outcome] = await funded.ledger.post([request_])

    assert brief([outcome]) == [expected]
    if isinstance(outcome, Settled) and not outcome.first:
        assert first.event is not None
        assert outcome.receipt == receipt_of(first.event, 90)
    if not (isinstance(outcome, Settled) and outcome.first):
        assert await balances(funded) == before
    await check_books(funded)


@pytest.mark.parametrize("amount", [0, -5, 100_000])
async def test_an_amount_that_is_no_tip_is_refused(funded: Store, amount: int) -> None:
    request = msgspec.structs.replace(tip("t-1"), amount=amount)
    [outcome] = await funded.ledger.post([request])
    assert outcome == Refusal(ErrorCode.INVALID_FIELD, "amount")


async def test_an_event_that_says_something_else_is_a_bug_and_fails_alone(funded: Store) -> None:
    bad = msgspec.structs.replace(tip("t-1"), amount=11)
    with capture_logs() as logs:
        outcomes = await funded.ledger.post([tip("t-0"), bad, tip("t-2")])
    assert brief(outcomes) == [(90, True), ErrorCode.INTERNAL, (80, True)]
    assert [each["event"] for each in logs] == ["transfer_contradicts_itself"]
    await check_books(funded)


async def test_a_repeat_is_answered_when_the_wallet_is_empty(funded: Store) -> None:
    first = tip("t-1", amount=60)
    assert first.event is not None
    assert brief(await funded.ledger.post([first, tip("t-2", amount=40)])) == [
        (40, True),
        (0, True),
    ]
    assert await funded.ledger.post([tip("t-1", amount=60)]) == [
        Settled(receipt_of(first.event, 40), first=False)
    ]


async def test_one_batch(funded: Store) -> None:
    """Each request sees what the ones before it did, and fails alone."""
    outcomes = await funded.ledger.post(
        [
            tip("a", "alex", 60),
            tip("b", "sam", 51),
            tip("a", "alex", 60),
            tip("a", "alex", 61),
            tip("c", "alex", 41),
            tip("c", "alex", 40),
            tip("d", "nobody", 1),
            only_if_known(OFFLINE, "a", amount=60),
            only_if_known(OFFLINE, "e"),
            tip("bad", username="\0"),
            tip("f", "sam", 50, model_id="model-2"),
        ]
    )
    assert brief(outcomes) == [
        (40, True),
        ErrorCode.INSUFFICIENT_TOKENS,
        (40, False),
        ErrorCode.TIP_CONFLICT,
        ErrorCode.INSUFFICIENT_TOKENS,
        (0, True),
        ErrorCode.USER_UNKNOWN,
        (40, False),
        ErrorCode.ROOM_OFFLINE,
        ErrorCode.INVALID_FIELD,
        (0, True),
    ]
    events = await pending_events(funded, "room", 10)
    assert [event.tip_id for event in events] == ["a", "c", "f"]
    assert await pending_events(funded, "room", 1) == events[:1]
    await check_books(funded)


async def test_an_empty_batch_is_no_work(store: Store) -> None:
    assert await store.ledger.post([]) == []


async def test_what_only_the_database_finds_wrong_fails_alone(funded: Store) -> None:
    """Two requests with the same transfer id: the rest of the batch must not pay for it."""
    good, twin = tip("a"), tip("b")
    assert good.event is not None
    assert twin.event is not None
    ledger = msgspec.structs.replace(twin.event.ledger, ledger_id=good.event.ledger.ledger_id)
    twin = msgspec.structs.replace(twin, event=msgspec.structs.replace(twin.event, ledger=ledger))
    outcomes = await funded.ledger.post([tip("x"), good, twin, tip("y")])
    assert brief(outcomes) == [(90, True), (80, True), ErrorCode.INTERNAL, (70, True)]
    await check_books(funded)


async def test_a_model_whose_share_rounds_to_nothing_still_has_an_entry(funded: Store) -> None:
    await funded.ledger.post([tip("t-1", amount=1)])
    trace = await funded.traces.load_tip("t-1")
    assert trace is not None
    assert [(each["accountId"], each["amount"]) for each in trace.entries] == [
        ("user:alex", -1),
        ("model:model-1", 0),
        ("revenue", 1),
    ]


async def test_the_same_tip_over_eight_connections_settles_once(funded: Store) -> None:
    outcomes: list[Outcome] = []

    async def settle(request: Settlement) -> None:
        outcomes.extend(await funded.ledger.post([request]))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(settle, tip("t-1"))
    assert sorted(brief(outcomes), key=str) == [(90, False)] * 7 + [(90, True)]
    assert await scalar(funded, "SELECT count(*) FROM outbox") == 1
    await check_books(funded)


async def test_crossing_batches_do_not_block_each_other(funded: Store) -> None:
    """The same accounts in opposite orders, with the same new models: no deadlock."""
    outcomes: list[Outcome] = []

    async def settle(number: int) -> None:
        pairs = [("alex", "m-1"), ("sam", "m-2")]
        if number % 2:
            pairs.reverse()
        outcomes.extend(
            await funded.ledger.post(
                [tip(f"{number}-{user}", user, 1, model_id=model) for user, model in pairs]
            )
        )

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(settle, number)
    assert all(isinstance(each, Settled) and each.first for each in outcomes)
    assert len(outcomes) == 16
    assert (await balances(funded))["user:sam"] == 42
    await check_books(funded)


# ---- deposits, points, immutability ----------------------------------------------------------


async def test_a_deposit_counts_once(store: Store) -> None:
    await store.members.save_user(UserRecord("alex", "Alex", MembershipTier.FREE))
    first = await store.ledger.deposit("d-1", "alex", 100)
    assert (first.balance, first.first) == (100, True)
    await store.ledger.deposit("d-2", "alex", 5)
    again = await store.ledger.deposit("d-1", "alex", 100)
    assert again == msgspec.structs.replace(first, first=False)
    with pytest.raises(Refused, match="TRANSFER_CONFLICT"):
        await store.ledger.deposit("d-1", "alex", 101)
    with pytest.raises(Refused, match="USER_UNKNOWN"):
        await store.ledger.deposit("d-3", "nobody", 1)
    assert (await store.members.load_viewer("alex")).balance == 105
    await check_books(store)


@pytest.mark.parametrize(
    ("deposit_id", "amount", "field"),
    [("d-1", 0, "amount"), ("d-1", 1_000_000_001, "amount"), ("d\0", 1, "depositId")],
)
async def test_a_deposit_has_limits(store: Store, deposit_id: str, amount: int, field: str) -> None:
    with pytest.raises(Refused) as refused:
        await store.ledger.deposit(deposit_id, "alex", amount)
    assert refused.value.refusal == Refusal(ErrorCode.INVALID_FIELD, field)


async def test_points_are_credited_once(funded: Store) -> None:
    await funded.ledger.post([tip("a"), tip("b", bonus_points=4), tip("c", "sam")])
    events = await pending_events(funded, "loyalty", 10)
    await funded.loyalty.credit_points(events[:2])
    await funded.loyalty.credit_points([*events, events[0]])
    await funded.loyalty.credit_points([])
    assert await funded.loyalty.load_points("alex") == 7
    assert await funded.loyalty.load_points("sam") == 3
    assert await funded.loyalty.load_points("nobody") == 0
    assert await pending_events(funded, "loyalty", 10) == []
    assert len(await pending_events(funded, "room", 10)) == 3


TRANSFER = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    "command",
    [
        "UPDATE entries SET amount = amount + 1",
        "DELETE FROM entries",
        "TRUNCATE entries",
        "UPDATE transfers SET source_ref = 'tip:x'",
        "DELETE FROM transfers",
        "UPDATE outbox SET event = '{}'",
        "DELETE FROM outbox",
        "DELETE FROM event_done",
        "DELETE FROM holds",
        "DELETE FROM accounts",
        "UPDATE points_entries SET points = 0",
        "UPDATE accounts SET balance = -1 WHERE account_id = 'user:alex'",
        "INSERT INTO accounts (account_id, kind, owner_id) VALUES ('user:x', 'user', 'y')",
        f"INSERT INTO transfers (transfer_id, kind, source_ref, content, answer, balance) "
        f"VALUES ('{TRANSFER}', 'deposit', 'tip:x', '{{}}', '{{}}', 0)",
        # entries that do not sum to zero
        "INSERT INTO entries SELECT account_id, seq + 1, entry_id, transfer_id, 1, 1, hash, now() "
        "FROM entries",
    ],
)
async def test_the_database_itself_refuses(funded: Store, command: str) -> None:
    await funded.ledger.post([tip("t-1")])
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await scalar(funded, command)
    await check_books(funded)


# ---- against a model -------------------------------------------------------------------------

_examples = count(1)
_USERS = ("u1", "u2", "nobody")
_requests = st.tuples(st.integers(1, 6), st.sampled_from(_USERS), st.sampled_from([1, 7, 20, 50]))


def expected(
    batches: list[list[tuple[int, str, int]]], wallets: dict[str, int]
) -> list[list[object]]:
    """The ledger in ten lines: what each request of each batch is answered."""
    known: dict[int, tuple[str, int, int]] = {}

    def one(number: int, user: str, amount: int) -> object:
        if number in known:
            same = known[number][:2] == (user, amount)
            return (known[number][2], False) if same else ErrorCode.TIP_CONFLICT
        if user not in wallets:
            return ErrorCode.USER_UNKNOWN
        if wallets[user] < amount:
            return ErrorCode.INSUFFICIENT_TOKENS
        wallets[user] -= amount
        known[number] = (user, amount, wallets[user])
        return (wallets[user], True)

    return [[one(*request) for request in batch] for batch in batches]


@pytest.mark.slow  # 30 examples, each with a connection pool of its own
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(st.lists(_requests, min_size=1, max_size=8), min_size=1, max_size=4))
async def test_any_batches_settle_as_in_the_model(
    database_dsn: str, batches: list[list[tuple[int, str, int]]]
) -> None:
    """The database outlives an example, so each has names of its own."""
    own = next(_examples)
    wallets = {"u1": 60, "u2": 60}
    async with open_bridge() as bridge, open_store(database_dsn, bridge) as store:
        for user in wallets:
            await fund(store, f"{user}-{own}", wallets[user])
        answers = [
            brief(
                await store.ledger.post(
                    [tip(f"{own}-{n}", f"{user}-{own}", amount) for n, user, amount in batch]
                )
            )
            for batch in batches
        ]
        assert answers == expected(batches, wallets)
        stand = await balances(store)
        assert {user: stand[f"user:{user}-{own}"] for user in wallets} == wallets
        await check_books(store)


async def test_a_purchase_settles_at_once_and_its_repeat_is_known_for_ever(funded: Store) -> None:
    """Its source_ref is its tipId also where it is only asked for; a tip of such a name is not."""
    whole = msgspec.structs.replace(tip("purchase:1", "alex", 10), is_purchase=True)
    [first] = await funded.ledger.post([whole])
    assert isinstance(first, Settled)
    refusal = Refusal(ErrorCode.ROOM_OFFLINE)
    asked = msgspec.structs.replace(whole, event=None, unless_known=refusal)
    [again] = await funded.ledger.post([asked])
    assert again == msgspec.structs.replace(first, first=False)
    [as_tip] = await funded.ledger.post([msgspec.structs.replace(asked, is_purchase=False)])
    assert as_tip == refusal
    other = msgspec.structs.replace(tip("purchase:1", "alex", 11), is_purchase=True)
    [conflict] = await funded.ledger.post([other])
    assert conflict == Refusal(ErrorCode.TIP_CONFLICT)
    await check(funded)
