"""Purchases and stages on the real database: the checks in their order, the races over many
connections, moves as compare-and-set, and what they owe."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
import trio

from actors.stage.ports import (
    Begun,
    OwedPayment,
    Paid,
    Purchase,
    PurchaseOrder,
    StageRecord,
)
from protocol import performance_menu_edit as edit
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.performance_menu import MenuQueueMode, Visibility
from protocol.performance_menu_edit import ItemDraft
from protocol.stage import (
    DEPTH_MAX,
    FULL_REFUND,
    AbandonKind,
    AbandonTerms,
    HealthStatus,
    Move,
    Payment,
    PaymentKind,
    PurchaseReceipt,
    StageOrder,
    StageState,
)
from server.store.stage_store import StageLetterState
from server.store.store import Store
from tests.store.rows import fetch
from tests.store.stages import ON_MENU, edit_menus, go_live, hold_for, new_hold, order_of

NODE, OTHER_NODE = uuid4(), uuid4()
CREATED, READY, STARTED, FINISHED, ABANDONED, CANCELLED = StageState
START = Move(READY, STARTED)
FINISH = Move(STARTED, FINISHED, Payment(PaymentKind.SETTLE))
BACK = Move(READY, ABANDONED, Payment(PaymentKind.RELEASE), FULL_REFUND)


async def change_item(store: Store, **change: Any) -> None:
    draft = msgspec.structs.replace(ItemDraft(name="Dance", token_value=50), **change)
    await edit_menus(store, lambda menus: edit.replace_item(menus, "menu", "dance", draft, ()))


async def change_menu(store: Store, **change: Any) -> None:
    draft = msgspec.structs.replace(ON_MENU, **change)
    await edit_menus(store, lambda menus: edit.replace_menu(menus, "menu", draft))


@pytest.fixture
async def live(store: Store) -> Store:
    await go_live(store)
    return store


async def begin(store: Store, order: PurchaseOrder, node: UUID = NODE) -> Begun:
    [found] = await store.purchases.begin([order], node)
    return found


async def begun(store: Store, key: str = "key-1", **fields: Any) -> Purchase:
    found = await begin(store, order_of(key, **fields))
    assert isinstance(found, Purchase), found
    return found


async def refused(store: Store, **fields: Any) -> ErrorCode:
    before = await fetch(store, "SELECT count(*) FROM menu_purchases")
    found = await begin(store, order_of(**fields))
    assert isinstance(found, Refusal), found
    assert await fetch(store, "SELECT count(*) FROM menu_purchases") == before
    return found.code


async def bought(store: Store, key: str = "key-1", **fields: Any) -> PurchaseReceipt:
    purchase = await begun(store, key, **fields)
    [(receipt, _)] = await store.purchases.confirm([Paid(purchase.purchase_id, 950)])
    return receipt


async def stage(store: Store) -> StageRecord:
    found = await store.stages.load_stage("model-1")
    assert found is not None
    return found


# ---- the checks --------------------------------------------------------------------------------


async def test_a_purchase_is_as_the_menu_says(live: Store) -> None:
    purchase = await begun(live)
    assert (purchase.tokens, purchase.queue_mode, purchase.broadcast_id) == (
        50,
        MenuQueueMode.ON,
        "live-1",
    )
    assert (purchase.item.item_id, purchase.item.item_name, purchase.again) == (
        "dance",
        "Dance",
        False,
    )


async def test_what_is_not_there_or_not_on_offer(live: Store) -> None:
    assert await refused(live, user_id="nobody") is ErrorCode.USER_UNKNOWN
    assert await refused(live, menu_id="none") is ErrorCode.MENU_UNKNOWN
    assert await refused(live, item_id="none") is ErrorCode.MENU_ITEM_UNKNOWN
    assert await refused(live, room_id="room-2") is ErrorCode.WRONG_ROOM
    await change_item(live, active=False)
    assert await refused(live, version=2) is ErrorCode.MENU_ITEM_INACTIVE
    await change_item(live)
    await change_menu(live, active=False)
    assert await refused(live, version=3) is ErrorCode.MENU_ITEM_INACTIVE
    await change_menu(live)
    await live.rooms.end_broadcast("room-1", "live-1")
    assert await refused(live, version=3) is ErrorCode.ROOM_OFFLINE


async def test_an_item_that_was_edited_since_it_was_shown(live: Store) -> None:
    await change_item(live, token_value=60)
    assert await refused(live) is ErrorCode.MENU_ITEM_CHANGED
    assert (await begun(live, version=2)).tokens == 60


async def test_a_key_is_asked_for_before_anything_else(live: Store) -> None:
    """A repeat gets the first answer, whatever has changed since."""
    receipt = await bought(live)
    assert (receipt.position, receipt.wait_sec, receipt.balance) == (1, 0.0, 950)
    await change_item(live, active=False, token_value=7)
    await change_menu(live, visibility=Visibility.PRIVATE)
    await live.rooms.end_broadcast("room-1", "live-1")
    assert await begin(live, order_of(version=9)) == receipt
    await edit_menus(live, lambda menus: edit.remove_menu(menus, "menu"))
    assert await begin(live, order_of(), OTHER_NODE) == receipt
    [again] = await live.purchases.confirm([Paid(receipt.purchase_id, 1)])
    assert again == (receipt, (await stage(live)).items[0])
    assert await refused(live, item_id="other") is ErrorCode.PURCHASE_CONFLICT
    assert await refused(live, key="key-2") is ErrorCode.MENU_UNKNOWN


async def test_who_may_see_the_menu_may_buy_from_it(live: Store) -> None:
    await change_menu(live, visibility=Visibility.SUBSCRIBERS_ONLY)
    # Visibility comes before the daily limit and all that is later.
    assert await refused(live, version=9) is ErrorCode.MENU_HIDDEN
    soon = datetime.now(UTC) + timedelta(days=1)
    await live.menus.save_subscription("ann", "model-1", soon)
    await begun(live, "key-1")
    assert await refused(live, key="key-2", user_id="bob") is ErrorCode.MENU_HIDDEN
    await live.menus.save_subscription("ann", "model-1", datetime.now(UTC))
    assert await refused(live, key="key-2") is ErrorCode.MENU_HIDDEN
    await change_menu(live, visibility=Visibility.PRIVATE, whitelist=("bob",))
    assert await refused(live, key="key-2") is ErrorCode.MENU_HIDDEN
    await begun(live, "key-2", user_id="bob")


async def test_a_day_has_its_limit_and_what_was_given_back_does_not_count(live: Store) -> None:
    await change_item(live, max_daily_purchases=2)
    first = await bought(live, "key-1", version=2)
    second = await bought(live, "key-2", version=2)
    limited = ErrorCode.DAILY_LIMIT_REACHED
    assert await refused(live, key="key-3", version=2) is limited
    await bought(live, "key-3", version=2, user_id="bob")
    cancel = Move(READY, CANCELLED, Payment(PaymentKind.RELEASE))
    assert isinstance(await live.stages.move(first.purchase_id, cancel, "ann"), datetime)
    third = await begun(live, "key-3", version=2)
    assert await refused(live, key="key-4", version=2) is limited
    await live.purchases.fail(third.purchase_id, ErrorCode.INSUFFICIENT_TOKENS)
    assert isinstance(await live.stages.move(second.purchase_id, BACK, "system"), datetime)
    await begun(live, "key-4", version=2)
    await begun(live, "key-5", version=2)
    assert await refused(live, key="key-6", version=2) is limited
    await fetch(live, "UPDATE menu_purchases SET created_at = created_at - interval '24 hours'")
    await begun(live, "key-6", version=2)


async def test_a_stage_is_so_deep_and_past_that_nothing_is_begun(live: Store) -> None:
    for number in range(DEPTH_MAX):
        await begun(live, f"key-{number}")
    assert await refused(live, key="one-more") is ErrorCode.STAGE_FULL
    assert isinstance(await begin(live, order_of("key-0")), Purchase)
    await change_menu(live, queue_mode=MenuQueueMode.OFF)
    await begun(live, "settles-at-once", version=2)


# ---- batches -----------------------------------------------------------------------------------


async def test_each_of_a_batch_has_its_own_outcome(live: Store) -> None:
    await change_menu(live, queue_mode=MenuQueueMode.OFF)
    receipt = await bought(live, "known", version=2)
    wanted = [
        order_of("known"),
        order_of("fresh", user_id="bob", version=2),
        order_of("stranger", user_id="nobody"),
    ]
    known, fresh, stranger = await live.purchases.begin(wanted, NODE)
    assert known == receipt
    assert isinstance(fresh, Purchase)
    assert stranger == Refusal(ErrorCode.USER_UNKNOWN)
    old, new = await live.purchases.confirm(
        [Paid(receipt.purchase_id, 1), Paid(fresh.purchase_id, 900)]
    )
    assert old[0] == receipt
    assert (new[0].purchase_id, new[0].balance, new[0].position) == (fresh.purchase_id, 900, None)
    assert await live.purchases.confirm([]) == []


async def test_of_a_batch_as_many_join_as_the_stage_takes(live: Store) -> None:
    for number in range(DEPTH_MAX - 1):
        await begun(live, f"key-{number}")
    orders = [order_of(f"last-{user_id}", user_id=user_id) for user_id in ("ann", "bob")]
    first, second = await live.purchases.begin(orders, NODE)
    assert isinstance(first, Purchase)
    assert second == Refusal(ErrorCode.STAGE_FULL)


async def test_who_joins_in_one_batch_stands_in_the_order_of_the_line(live: Store) -> None:
    await bought(live, "first")
    orders = [order_of(f"then-{user_id}", user_id=user_id) for user_id in ("ann", "bob")]
    batch = await live.purchases.begin(orders, NODE)
    paid = [Paid(each.purchase_id, 1) for each in batch if isinstance(each, Purchase)]
    confirmed = await live.purchases.confirm(paid)
    assert {receipt.position for receipt, _ in confirmed} == {2, 3}
    assert {receipt.wait_sec for receipt, _ in confirmed} == {60.0, 120.0}
    on_stage = {item.purchase_id: item for item in (await stage(live)).items}
    assert [item for _, item in confirmed] == [on_stage[each.purchase_id] for each in paid]


# ---- races, over many connections --------------------------------------------------------------


async def all_at_once(*asks: Callable[[], Awaitable[Any]]) -> list[Any]:
    found: list[Any] = []

    async def one(ask: Callable[[], Awaitable[Any]]) -> None:
        found.append(await ask())

    async with trio.open_nursery() as nursery:
        for ask in asks:
            nursery.start_soon(one, ask)
    return found


def begins(store: Store, *orders: PurchaseOrder) -> list[Callable[[], Awaitable[Any]]]:
    return [lambda each=each: begin(store, each) for each in orders]  # type: ignore[misc]


def told(found: list[Any]) -> Counter[str]:
    return Counter(
        each.code.value if isinstance(each, Refusal) else type(each).__name__ for each in found
    )


async def test_of_two_that_race_for_the_last_unit_one_wins(live: Store) -> None:
    await change_item(live, max_daily_purchases=1)
    orders = [order_of(f"key-{number}", version=2) for number in range(8)]
    found = await all_at_once(*begins(live, *orders))
    assert told(found) == {"Purchase": 1, "DAILY_LIMIT_REACHED": 7}


async def test_the_same_key_at_once_is_one_purchase(live: Store) -> None:
    found = await all_at_once(*begins(live, *(order_of("key-1") for _ in range(8))))
    assert told(found) == {"Purchase": 8}
    assert len({each.purchase_id for each in found}) == 1
    assert sum(not each.again for each in found) == 1
    other = await begin(live, order_of("key-1"), OTHER_NODE)
    assert isinstance(other, Refusal)
    assert other.code is ErrorCode.LEDGER_UNAVAILABLE, "this server is having it paid"


async def test_the_last_place_on_a_stage_goes_to_one(live: Store) -> None:
    for number in range(DEPTH_MAX - 1):
        await begun(live, f"key-{number}")
    orders = [
        order_of(f"race-{number}", user_id=user_id)
        for number, user_id in enumerate(["ann", "bob"] * 4)
    ]
    found = await all_at_once(*begins(live, *orders))
    assert told(found) == {"Purchase": 1, "STAGE_FULL": 7}


async def test_an_edit_and_a_purchase_that_race_agree_on_a_price(live: Store) -> None:
    async def dearer() -> None:
        await change_item(live, token_value=99)

    orders = [order_of(f"key-{number}") for number in range(6)]
    found = await all_at_once(*begins(live, *orders[:3]), dearer, *begins(live, *orders[3:]))
    prices = {each.tokens for each in found if isinstance(each, Purchase)}
    assert prices <= {50}, "nobody pays another price than was shown"
    assert told([each for each in found if each is not None]).keys() <= {
        "Purchase",
        "MENU_ITEM_CHANGED",
    }


async def test_the_last_tokens_go_to_one(live: Store) -> None:
    """The ledger's part of it: five dances for the tokens of three."""
    first = new_hold(await begun(live, "first"))
    await live.ledger.post([msgspec.structs.replace(first, hold_id="spent", amount=850)])
    purchases = [await begun(live, f"key-{number}") for number in range(5)]

    async def pay(purchase: Purchase) -> Any:
        [outcome] = await live.ledger.post([new_hold(purchase)])
        return outcome

    found = await all_at_once(*[lambda each=each: pay(each) for each in purchases])  # type: ignore[misc]
    assert told(found) == {"Posted": 3, "INSUFFICIENT_TOKENS": 2}


# ---- what becomes of one that was begun --------------------------------------------------------


async def test_a_purchase_that_was_not_paid_frees_its_key(live: Store) -> None:
    first = await begun(live)
    await live.purchases.fail(first.purchase_id, ErrorCode.INSUFFICIENT_TOKENS)
    again = await begun(live)
    assert again.purchase_id != first.purchase_id
    await hold_for(live, again)
    await live.purchases.fail(again.purchase_id, ErrorCode.ROOM_BUSY)
    kept = await begin(live, order_of())
    assert isinstance(kept, Purchase), "what the ledger has is not forgotten"
    assert kept.purchase_id == again.purchase_id
    assert await live.stages.load_purchase(first.purchase_id) is None


async def test_what_a_server_left_behind_ends_as_the_ledger_says(live: Store) -> None:
    paid, unpaid, fresh = [await begun(live, f"key-{number}") for number in range(3)]
    posted = await hold_for(live, paid)
    assert await live.purchases.resolve_stale(10) == []
    await fetch(
        live,
        "UPDATE menu_purchases SET attempted_at = now() - interval '61 seconds' "
        "WHERE purchase_id <> $1",
        fresh.purchase_id,
    )
    [(model_id, ready)] = await live.purchases.resolve_stale(10)
    assert model_id == "model-1"
    assert (ready.purchase_id, ready.state) == (paid.purchase_id, READY)
    receipt = await begin(live, order_of("key-0"), OTHER_NODE)
    assert isinstance(receipt, PurchaseReceipt)
    assert receipt.balance == posted.balance
    assert await live.stages.load_purchase(unpaid.purchase_id) is None
    states = await fetch(live, "SELECT state FROM menu_purchases ORDER BY idempotency_key")
    assert [row["state"] for row in states] == ["READY", "FAILED", "CREATED"]


async def test_another_server_goes_on_once_the_first_is_silent(live: Store) -> None:
    first = await begun(live)
    await fetch(live, "UPDATE menu_purchases SET attempted_at = now() - interval '61 seconds'")
    taken = await begin(live, order_of(), OTHER_NODE)
    assert isinstance(taken, Purchase)
    assert (taken.purchase_id, taken.again) == (first.purchase_id, True)
    assert isinstance(await begin(live, order_of()), Refusal)


# ---- moves -------------------------------------------------------------------------------------


async def test_moves_are_compared_set_and_recorded(live: Store) -> None:
    receipt = await bought(live)
    wrong = Refusal(ErrorCode.STAGE_WRONG_STATE)
    assert await live.stages.move(receipt.purchase_id, FINISH, "ruby") == wrong
    started = await live.stages.move(receipt.purchase_id, START, "ruby")
    assert isinstance(started, datetime)
    assert await live.stages.move(receipt.purchase_id, START, "ruby") == wrong
    [item] = (await stage(live)).items
    assert (item.state, item.started_at, item.settled) == (STARTED, started, False)
    assert isinstance(await live.stages.move(receipt.purchase_id, FINISH, "ruby"), datetime)
    after = await stage(live)
    assert after.items == ()
    assert after.last_moved_at is not None
    assert after.last_moved_at > started
    moves = await live.stages.moves_of(receipt.purchase_id)
    assert [(move.before, move.after, move.who) for move in moves] == [
        (CREATED, READY, "ann"),
        (READY, STARTED, "ruby"),
        (STARTED, FINISHED, "ruby"),
    ]
    purchase = await live.stages.load_purchase(receipt.purchase_id)
    assert purchase is not None
    assert (purchase.state, purchase.payment_due) == (FINISHED, True)


async def test_of_moves_that_race_one_is_made(live: Store) -> None:
    receipt = await bought(live)
    cancel = Move(READY, CANCELLED, Payment(PaymentKind.RELEASE))

    def moving(move: Move) -> Callable[[], Awaitable[Any]]:
        return lambda: live.stages.move(receipt.purchase_id, move, "somebody")

    found = await all_at_once(*(moving(move) for move in [START, cancel, BACK] * 3))
    assert told(found) == {"datetime": 1, "STAGE_WRONG_STATE": 8}
    payments = await fetch(live, "SELECT FROM stage_payments")
    assert len(payments) <= 1


async def test_one_is_performed_at_a_time(live: Store) -> None:
    first, second = await bought(live, "key-1"), await bought(live, "key-2")
    assert second.position == 2
    assert second.wait_sec == 60.0
    assert isinstance(await live.stages.move(first.purchase_id, START, "ruby"), datetime)
    busy = await live.stages.move(second.purchase_id, START, "ruby")
    assert busy == Refusal(ErrorCode.STAGE_BUSY)


async def test_a_broadcast_does_not_end_while_something_is_performed(live: Store) -> None:
    receipt = await bought(live)
    await live.stages.move(receipt.purchase_id, START, "ruby")
    with pytest.raises(Refused) as error:
        await live.rooms.end_broadcast("room-1", "live-1")
    assert error.value.refusal.code is ErrorCode.STAGE_PERFORMING
    await live.rooms.save_toys_paused("live-1", True)
    await live.stages.move(receipt.purchase_id, FINISH, "ruby")
    await live.rooms.end_broadcast("room-1", "live-1")
    offline = await live.stages.move(receipt.purchase_id, START, "ruby")
    assert offline == Refusal(ErrorCode.ROOM_OFFLINE)


async def test_a_start_and_an_end_that_race_do_not_both_happen(live: Store) -> None:
    receipt = await bought(live)

    async def end() -> Any:
        try:
            return await live.rooms.end_broadcast("room-1", "live-1")
        except Refused as error:
            return error.refusal

    async def start() -> Any:
        return await live.stages.move(receipt.purchase_id, START, "ruby")

    found = told(await all_at_once(end, start))
    assert found in (
        {"datetime": 1, "STAGE_PERFORMING": 1},
        {"NoneType": 1, "ROOM_OFFLINE": 1},
    )


async def test_an_order_is_kept_and_its_change_recorded(live: Store) -> None:
    assert (await stage(live)).order is StageOrder.FIFO
    for _ in range(2):
        await live.stages.save_order("model-1", StageOrder.BATCH, "ruby")
    assert (await stage(live)).order is StageOrder.BATCH
    rows = await fetch(live, "SELECT old, new FROM settings_history WHERE name = 'stageOrder'")
    assert [(row["old"], row["new"]) for row in rows] == [('"fifo"', '"batch"')]
    assert await live.stages.load_stage("none") is None
    assert await live.stages.busy_stages() == []
    await bought(live)
    assert await live.stages.busy_stages() == ["model-1"]


# ---- what is owed ------------------------------------------------------------------------------


async def test_what_a_move_owes_is_owed_until_it_is_done_and_in_its_order_of(live: Store) -> None:
    receipt = await bought(live)
    purchase_id = receipt.purchase_id
    settle = Payment(PaymentKind.SETTLE)
    await live.stages.move(purchase_id, Move(READY, STARTED, settle), "ruby")
    terms = AbandonTerms(AbandonKind.PARTIAL_REFUND, 20)
    refund = Payment(PaymentKind.REFUND, 20)
    await live.stages.move(purchase_id, Move(STARTED, ABANDONED, refund, terms), "ruby")

    def owing(step: int, payment: Payment) -> OwedPayment:
        return OwedPayment(purchase_id=purchase_id, step=step, payment=payment, failures=0)

    assert await live.stages.owing_purchases(10) == [purchase_id]
    assert await live.stages.owed(purchase_id) == owing(1, settle)
    await live.stages.payment_done(purchase_id, 1)
    assert await live.stages.owed(purchase_id) == owing(2, refund)
    await live.stages.payment_done(purchase_id, 2)
    await live.stages.payment_done(purchase_id, 2)
    assert await live.stages.owed(purchase_id) is None
    assert await live.stages.owing_purchases(10) == []
    record = await live.stages.load_purchase(purchase_id)
    assert record is not None
    assert (record.terms, record.payment_due) == (terms, False)


async def test_a_payment_that_fails_too_often_waits_for_somebody(live: Store) -> None:
    receipt = await bought(live)
    purchase_id = receipt.purchase_id
    await live.stages.move(purchase_id, BACK, "system")
    letter_id = UUID(int=1)
    code = ErrorCode.HOLD_ENDED
    for failures in range(3):
        owed = await live.stages.owed(purchase_id)
        assert owed is not None
        assert owed.failures == failures
        last = letter_id if failures == 2 else None
        await live.stages.payment_failed(purchase_id, 1, code, last)
    assert await live.stages.owed(purchase_id) is None
    [letter] = await live.stages.load_letters(StageLetterState.OPEN, None, 10)
    assert (letter.letter_id, letter.code, letter.kind) == (letter_id, code, PaymentKind.RELEASE)
    health = await live.stages.health()
    assert (health.status, health.failures_last_hour) == (HealthStatus.HEALTHY, 3)
    assert (health.unreviewed_dead_letters, health.capacity_percent) == (1, 0)

    decided = await live.stages.decide_letter(letter_id, StageLetterState.RETRIED, "boss", "again")
    assert (decided.decided_by, decided.note) == ("boss", "again")
    for other, said in [
        (letter_id, ErrorCode.DEAD_LETTER_DECIDED),
        (uuid4(), ErrorCode.DEAD_LETTER_UNKNOWN),
    ]:
        with pytest.raises(Refused) as error:
            await live.stages.decide_letter(other, StageLetterState.DISMISSED, "boss", "no")
        assert error.value.refusal.code is said
    owed = await live.stages.owed(purchase_id)
    assert owed is not None
    assert owed.failures == 0, "counted anew"
    second = UUID(int=2)
    await live.stages.payment_failed(purchase_id, 1, code, second)
    await live.stages.decide_letter(second, StageLetterState.DISMISSED, "boss", "by hand")
    assert await live.stages.owed(purchase_id) is None
    assert await live.stages.owing_purchases(10) == []


async def test_a_history_is_read_by_page_the_newest_first(live: Store) -> None:
    made = [await bought(live, f"key-{n}", purchase_id=UUID(int=n)) for n in range(1, 4)]
    await bought(live, "key-1", user_id="bob")
    newest = await live.stages.purchases_of("ann", None, 2)
    assert [each.purchase_id for each in newest] == [made[2].purchase_id, made[1].purchase_id]
    rest = await live.stages.purchases_of("ann", newest[-1].purchase_id, 2)
    assert [each.purchase_id for each in rest] == [made[0].purchase_id]
    assert len(await live.stages.purchases_on("model-1")) == 4
    item = await live.stages.load_item(made[0].purchase_id)
    assert item is not None
    assert item.username == "Ann"
    unpaid = await begun(live, "key-9")
    assert await live.stages.load_item(unpaid.purchase_id) is None


async def test_moves_and_their_records_never_change(live: Store) -> None:
    await bought(live)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await fetch(live, "UPDATE stage_moves SET who = 'nobody'")
