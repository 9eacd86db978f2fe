"""The stage that runs: buying, turns, moves, what falls due, and who is told."""

from typing import Any
from uuid import UUID

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.ports import StoreUnavailable
from actors.room.messages import MemberFrame
from actors.runtime.mailbox import MailboxFull
from actors.stage.desk import ORDERS_MAX
from actors.stage.payments import BACKOFF_S
from actors.stage.ports import LEASE_S
from actors.transfers import HoldState
from protocol import frames
from protocol.errors import ErrorCode, Refusal
from protocol.frames import StageChanged, StageNear, StagePlace
from protocol.performance_menu import MenuQueueMode
from protocol.stage import (
    FULL_REFUND,
    GRACE_S,
    PATIENCE_S,
    AbandonKind,
    AbandonTerms,
    PurchaseReceipt,
    StageAction,
    StageOrder,
    StageState,
)
from protocol.tip_activated import LovenseMode
from tests.actors.house import on_virtual_clock
from tests.actors.ports import ESCROW, Sockets
from tests.actors.rooms import MODEL, MODEL_PAGE
from tests.actors.stage_ports import OFFERS, StageDatabase, offer
from tests.actors.stages import StageHouse, on_stage, open_stage_house

ANN, BOB = 5, 6
START, FINISH, ABANDON, CANCEL = StageAction
CREATED, READY, STARTED, FINISHED, ABANDONED, CANCELLED = StageState


async def bought(house: StageHouse, item_id: str = "song", key: str = "key-1") -> UUID:
    receipt = await house.buy(item_id, key)
    assert isinstance(receipt, PurchaseReceipt), receipt
    return receipt.purchase_id


def hold_state(house: StageHouse, purchase_id: UUID) -> HoldState:
    return house.database.books.holds[str(purchase_id)].state


def commands(house: StageHouse) -> list[Any]:
    return house.house.sent(MODEL_PAGE, frames.Command)


def started(house: StageHouse) -> list[str]:
    """tipIds in their order; a command that is not answered is sent again."""
    return list(dict.fromkeys(each.tip_id for each in commands(house)))


# ---- buying ------------------------------------------------------------------------------------


@on_stage
async def test_a_queued_purchase_holds_and_joins_the_line(house: StageHouse) -> None:
    receipt = await house.buy()
    assert (receipt.tokens, receipt.balance, receipt.queue_mode) == (100, 900, MenuQueueMode.ON)
    assert (receipt.position, receipt.wait_sec) == (1, 0.0)
    assert hold_state(house, receipt.purchase_id) is HoldState.HELD
    second = await house.buy(key="key-2")
    assert (second.position, second.wait_sec) == (2, 60.0)
    assert await house.buy() == receipt, "a repeat"
    assert house.database.books.balances["ann"] == 800
    assert house.database.books.tips == {}, "no event for a hold"


@on_stage
async def test_a_purchase_of_queue_mode_off_settles_at_once_and_plays(house: StageHouse) -> None:
    await house.house.join_model()
    receipt = await house.buy("wave")
    assert (receipt.position, receipt.balance) == (None, 900)
    assert house.database.books.balances[ESCROW] == 0
    assert [each.tip_id for each in commands(house)] == [f"purchase:{receipt.purchase_id}"]
    for action in (START, CANCEL, ABANDON):
        terms = FULL_REFUND if action is ABANDON else None
        refusal = await house.act(receipt.purchase_id, action, terms)
        assert refusal == Refusal(ErrorCode.STAGE_WRONG_STATE)
    for _ in range(2):
        assert await house.act(receipt.purchase_id, FINISH) is None
    assert house.item(receipt.purchase_id).state is FINISHED
    house.database.check_tokens(at_rest=True)


@on_stage
async def test_a_refused_purchase_leaves_its_key_free(house: StageHouse) -> None:
    house.database.books.balances["ann"] = 99
    house.database.books.total -= 901
    assert (await house.buy()).code is ErrorCode.INSUFFICIENT_TOKENS
    house.database.books.balances["ann"] += 1
    house.database.books.total += 1
    assert (await house.buy()).balance == 0
    house.database.check_tokens(at_rest=True)


@on_stage
async def test_the_same_key_at_once_is_one_purchase(house: StageHouse) -> None:
    inboxes = [house.order("song", "key-1") for _ in range(5)]
    await wait_all_tasks_blocked()
    assert len({inbox.only for inbox in inboxes}) == 1
    assert house.database.books.balances["ann"] == 900


@on_stage
async def test_a_vibration_starts_after_its_offset(house: StageHouse) -> None:
    house.database.offers = OFFERS | {
        "late": offer("late", toy=True, queue_mode=MenuQueueMode.OFF, start_offset_ms=3_000),
        "late-on": offer("late-on", toy=True, start_offset_ms=20_000),
    }
    await house.house.join_model()
    await house.buy("late")
    await trio.sleep(2.9)
    assert commands(house) == []
    await trio.sleep(0.2)
    assert len(started(house)) == 1
    queued = await bought(house, "late-on", "key-2")
    await trio.sleep(60)
    await house.act(queued, START)
    await trio.sleep(19)  # the relay has looked meanwhile
    assert len(started(house)) == 1
    await trio.sleep(2)
    assert started(house)[1:] == [f"purchase:{queued}"]


def test_a_purchase_whose_server_dies_is_resolved_by_the_ledger() -> None:
    """Once before the ledger was asked, once after."""

    async def main() -> None:
        database = StageDatabase()
        for seed, key, call in ((2, "key-1", "post"), (3, "key-2", "confirm")):
            async with open_stage_house(database, seed=seed) as house:

                async def hang(name: str, wanted: str = call) -> None:
                    if name == wanted:
                        await trio.sleep_forever()
                    await trio.lowlevel.checkpoint()

                database.before = hang
                house.order("song", key)
                await wait_all_tasks_blocked()
            database.before = database.after
        async with open_stage_house(database) as house:
            other = await house.buy(key="key-2")
            assert other.code is ErrorCode.LEDGER_UNAVAILABLE, "another server may be at it"
            await trio.sleep(LEASE_S + 16)
            database.check_tokens(at_rest=True)
            assert sorted(row.failed for row in database.rows.values()) == [False, True]
            [on_stage] = [row for row in database.rows.values() if not row.failed]
            assert (await house.buy(key="key-2")) == on_stage.receipt
            assert await house.act(on_stage.purchase.purchase_id, START) is None

    on_virtual_clock(main)


def test_an_unknown_outcome_is_found_out_by_the_same_key() -> None:
    async def main() -> None:
        database = StageDatabase()
        failing = ["post"]

        async def fail_once(call: str) -> None:
            await trio.lowlevel.checkpoint()
            if call in failing:
                failing.remove(call)
                raise StoreUnavailable

        database.after = fail_once
        async with open_stage_house(database) as house:
            assert (await house.buy()).code is ErrorCode.LEDGER_UNAVAILABLE
            receipt = await house.buy()
            assert isinstance(receipt, PurchaseReceipt)
            assert database.books.balances["ann"] == 900
            database.check_tokens(at_rest=True)

    on_virtual_clock(main)


def test_a_retry_that_the_ledger_never_sees_forgets_nothing() -> None:
    """The first try held the tokens and its answer was lost; the room is too busy for the next."""

    async def main() -> None:
        database = StageDatabase()
        failing = ["post"]

        async def fail_once(call: str) -> None:
            await trio.lowlevel.checkpoint()
            if call in failing:
                failing.remove(call)
                raise StoreUnavailable

        database.after = fail_once
        async with open_stage_house(database) as house:
            await house.buy()
            room = await house.house.room()
            room.mailbox.close()

            async def no_room(call: str) -> None:
                await trio.lowlevel.checkpoint()
                if call == "load_room":
                    raise StoreUnavailable

            database.before = no_room
            assert (await house.buy()).code is ErrorCode.LEDGER_UNAVAILABLE
            database.before = database.after
            await wait_all_tasks_blocked()
            assert isinstance(await house.buy(), PurchaseReceipt)
            database.check_tokens(at_rest=True)

    on_virtual_clock(main)


# ---- moves -------------------------------------------------------------------------------------


@on_stage
async def test_an_item_that_drives_a_toy_settles_at_its_start(house: StageHouse) -> None:
    await house.house.join_model()
    purchase_id = await bought(house, "buzz")
    assert await house.act(purchase_id, START) is None
    assert hold_state(house, purchase_id) is HoldState.SETTLED
    assert [each.tip_id for each in commands(house)] == [f"purchase:{purchase_id}"]
    assert await house.act(purchase_id, FINISH) is None
    assert house.database.books.balances[MODEL] == 50
    house.database.check_tokens(at_rest=True)


@on_stage
async def test_any_other_settles_at_its_end(house: StageHouse) -> None:
    purchase_id = await bought(house)
    await house.act(purchase_id, START)
    assert hold_state(house, purchase_id) is HoldState.HELD
    await house.act(purchase_id, FINISH)
    assert hold_state(house, purchase_id) is HoldState.SETTLED
    assert len(house.database.books.tips) == 1


@pytest.mark.parametrize("item_id", ["song", "buzz"])
@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    ("terms", "left"),
    [
        (FULL_REFUND, 1_000),
        (AbandonTerms(AbandonKind.FULL_SETTLE), 900),
        (AbandonTerms(AbandonKind.PARTIAL_REFUND, 30), 930),
        (AbandonTerms(AbandonKind.PARTIAL_REFUND, 100), 1_000),
    ],
)
def test_an_abandon_in_its_three_ways_and_its_repeat(
    item_id: str, started: bool, terms: AbandonTerms, left: int
) -> None:
    @on_stage
    async def run(house: StageHouse) -> None:
        purchase_id = await bought(house, item_id)
        if started:
            await house.act(purchase_id, START)
        for _ in range(3):
            assert await house.act(purchase_id, ABANDON, terms) is None
        await trio.sleep(60)
        assert house.database.books.balances["ann"] == left
        other = await house.act(purchase_id, ABANDON, AbandonTerms(AbandonKind.PARTIAL_REFUND, 1))
        assert other == Refusal(ErrorCode.STAGE_WRONG_STATE)
        house.database.check_tokens(at_rest=True)

    run()


@on_stage
async def test_a_buyer_cancels_before_the_start_and_not_after(house: StageHouse) -> None:
    first, second = await bought(house), await bought(house, key="key-2")
    await house.act(first, START)
    assert await house.act(first, CANCEL, who="ann") == Refusal(ErrorCode.STAGE_WRONG_STATE)
    for _ in range(2):
        assert await house.act(second, CANCEL, who="ann") is None
    assert house.database.books.balances["ann"] == 900
    assert house.database.rows[second].moves == [(CANCELLED, "ann")]
    house.database.check_tokens(at_rest=True)


@on_stage
async def test_one_is_performed_and_the_first_in_line_is_next(house: StageHouse) -> None:
    first, second = await bought(house), await bought(house, key="key-2")
    assert await house.act(second, START) == Refusal(ErrorCode.STAGE_NOT_NEXT)
    assert await house.act(first, START) is None
    assert await house.act(second, START) == Refusal(ErrorCode.STAGE_BUSY)
    assert await house.act(first, START) is None, "a repeat"
    assert await house.act(first, FINISH) is None
    assert await house.act(second, START) is None


@on_stage
async def test_what_is_asked_at_once_is_decided_one_after_the_other(house: StageHouse) -> None:
    purchase_id = await bought(house)
    asked = [house.ask(purchase_id, action, None) for action in (START, CANCEL, FINISH, START)]
    await wait_all_tasks_blocked()
    wrong = Refusal(ErrorCode.STAGE_WRONG_STATE)
    assert [inbox.only for inbox in asked] == [None, wrong, None, wrong]
    assert house.database.rows[purchase_id].moves == [(STARTED, MODEL), (FINISHED, MODEL)]


@on_stage
async def test_an_order_changes_whose_turn_it_is(house: StageHouse) -> None:
    house.database.offers = OFFERS | {"gala": offer("gala", tokens=500)}
    await bought(house)
    dear = await bought(house, "gala", "key-2")
    assert await house.change_order(StageOrder.PRIORITY) is None
    assert house.database.order is StageOrder.PRIORITY
    assert await house.act(dear, START) is None


@on_stage
async def test_a_broadcast_goes_on_while_something_is_performed(house: StageHouse) -> None:
    page = await house.house.join_model()
    purchase_id = await bought(house)
    await house.act(purchase_id, START)
    room = await house.house.room()
    for ref, code in ((11, ErrorCode.STAGE_PERFORMING), (12, None)):
        room.tell(MemberFrame(page, frames.EndBroadcast(ref)))
        await wait_all_tasks_blocked()
        answer = house.house.answer(page, ref)
        assert getattr(answer, "code", None) is code
        await house.act(purchase_id, FINISH)
    offline = await house.buy(key="key-2")
    assert offline.code is ErrorCode.ROOM_OFFLINE


# ---- what falls due ----------------------------------------------------------------------------


@on_stage
async def test_what_waits_too_long_without_a_start_goes_back(house: StageHouse) -> None:
    purchase_id = await bought(house)
    await trio.sleep(PATIENCE_S - 1)
    assert house.item(purchase_id).state is READY
    await trio.sleep(2)
    assert house.item(purchase_id).state is ABANDONED
    assert house.database.rows[purchase_id].moves == [(ABANDONED, "system")]
    assert house.database.books.balances["ann"] == 1_000
    assert len(house.stages) == 0, "a stage at rest sleeps"


@on_stage
async def test_a_stage_that_moves_throws_nobody_out(house: StageHouse) -> None:
    await house.house.join_model()
    first, second = await bought(house), await bought(house, key="key-2")
    await trio.sleep(PATIENCE_S - 1)
    await house.act(first, START)
    await trio.sleep(2 * PATIENCE_S)
    await house.act(first, FINISH)
    assert house.item(second).state is READY
    await trio.sleep(PATIENCE_S - 1)
    assert house.item(second).state is READY
    await trio.sleep(2)
    assert house.item(second).state is ABANDONED


@pytest.mark.parametrize("item_id", ["song", "buzz"])
def test_a_model_who_is_gone_has_her_grace_time(item_id: str) -> None:
    @on_stage
    async def run(house: StageHouse) -> None:
        page = await house.house.join_model()
        purchase_id = await bought(house, item_id)
        await house.act(purchase_id, START)
        await house.house.leave(page)
        await trio.sleep(GRACE_S - 1)
        page = await house.house.join_model(MODEL_PAGE + 100)
        await trio.sleep(3 * GRACE_S)
        assert house.item(purchase_id).state is STARTED
        await house.house.leave(page)
        await trio.sleep(GRACE_S + 1)
        assert house.item(purchase_id).state is ABANDONED
        await trio.sleep(60)
        assert house.database.books.balances["ann"] == 1_000
        house.database.check_tokens(at_rest=True)

    run()


def test_deadlines_hold_over_a_restart_of_the_server() -> None:
    async def main() -> None:
        database = StageDatabase()
        async with open_stage_house(database) as house:
            waiting = await bought(house)
        await trio.sleep(PATIENCE_S)
        async with open_stage_house(database) as house:
            await trio.sleep(1)
            assert house.item(waiting).state is ABANDONED
            started = await bought(house, key="key-2")
            await house.house.join_model()
            await house.act(started, START)
        async with open_stage_house(database) as house:
            await trio.sleep(GRACE_S - 1)
            assert house.item(started).state is STARTED
            await trio.sleep(2)
            assert house.item(started).state is ABANDONED
            database.check_tokens(at_rest=True)

    on_virtual_clock(main)


# ---- payments ----------------------------------------------------------------------------------


def test_a_refused_payment_is_tried_three_times_and_then_waits_for_somebody() -> None:
    async def main() -> None:
        database = StageDatabase()
        async with open_stage_house(database) as house:
            purchase_id = await bought(house, "buzz")
            await house.act(purchase_id, START)
            hers = database.books.balances[MODEL]
            database.books.balances[MODEL] -= hers  # she has spent it
            database.books.balances["spent"] = hers
            platform = database.books.balances["revenue"]
            database.books.balances["revenue"] -= platform
            database.books.balances["spent"] += platform
            await house.act(purchase_id, ABANDON, FULL_REFUND)
            row = database.rows[purchase_id]
            assert (row.failures, row.letter) == (1, None)
            await trio.sleep(sum(BACKOFF_S) + 1)
            assert row.letter == "open"
            await trio.sleep(600)
            assert row.done == {0}, "nobody tries it again"
            database.books.balances[MODEL] += 100
            database.books.balances["spent"] -= 100
            row.letter = None
            house.payments.owe(purchase_id)
            await wait_all_tasks_blocked()
            assert database.books.balances["ann"] == 1_000
            assert row.done == {0, 1}

    on_virtual_clock(main)


def test_an_outage_is_no_attempt() -> None:
    async def main() -> None:
        database = StageDatabase()
        async with open_stage_house(database) as house:
            purchase_id = await bought(house)
            away = True

            async def outage(call: str) -> None:
                await trio.lowlevel.checkpoint()
                if away and call in ("post", "payment_done", "owed"):
                    raise StoreUnavailable

            database.before = database.after = outage
            assert await house.act(purchase_id, CANCEL) is None
            await trio.sleep(300)
            assert database.rows[purchase_id].failures == 0
            away = False
            await trio.sleep(20)
            assert database.books.balances["ann"] == 1_000
            database.check_tokens(at_rest=True)

    on_virtual_clock(main)


def test_a_move_whose_outcome_is_lost_is_made_once() -> None:
    async def main() -> None:
        database = StageDatabase()
        failing = ["move"]

        async def fail(call: str) -> None:
            await trio.lowlevel.checkpoint()
            if call in failing:
                failing.remove(call)
                raise StoreUnavailable

        async with open_stage_house(database) as house:
            purchase_id = await bought(house)
            database.after = fail
            inbox = house.ask(purchase_id, START)
            await trio.sleep(5)
            assert failing == []
            assert inbox.only is None, "the second time it was made already"
            assert database.rows[purchase_id].moves == [(STARTED, MODEL)]
            assert await house.act(purchase_id, FINISH) is None

    on_virtual_clock(main)


# ---- crashes of the actor ----------------------------------------------------------------------


@on_stage
async def test_a_stage_that_crashes_is_rebuilt_and_nobody_waits_for_nothing(
    house: StageHouse,
) -> None:
    purchase_id = await bought(house)
    nonsense: Any = object()
    asked = house.ask(purchase_id, START)
    house.stages.tell(MODEL, nonsense)
    await trio.sleep(1)
    assert asked.only in (None, Refusal(ErrorCode.LEDGER_UNAVAILABLE))
    assert await house.act(purchase_id, START) is None
    assert house.database.rows[purchase_id].moves == [(STARTED, MODEL)]
    for _ in range(10):
        house.stages.tell(MODEL, nonsense)
        await trio.sleep(3)
    assert await house.act(purchase_id, FINISH) is None, "also after more than it may crash"


# ---- who is told -------------------------------------------------------------------------------


def test_buyers_hear_of_every_move_and_specially_of_the_third_place() -> None:
    async def main() -> None:
        sockets = Sockets()
        async with open_stage_house(sockets=sockets) as house:
            page = await house.house.join_model()
            await house.house.join_viewer(ANN, "ann")
            await house.house.join_viewer(BOB, "bob")
            ids = [await bought(house, key=f"key-{number}") for number in range(4)]
            receipt = await house.buy(key="key", user_id="bob")
            assert receipt.position == 5

            def places(session_id: int) -> list[Any]:
                return [
                    (each.state, each.position, each.wait_sec)
                    for each in house.house.sent(session_id, StagePlace)
                ]

            assert places(BOB) == [(READY, 5, 240.0)]
            assert places(ANN) == [(READY, place, place * 60.0 - 60) for place in (1, 2, 3, 4)], (
                "who joins behind them is no news to those before"
            )
            assert house.house.sent(BOB, StageNear) == []
            await house.act(ids[0], START)
            assert places(BOB)[1:] == [(READY, 4, 240.0)]
            await trio.sleep(20)
            await house.act(ids[3], CANCEL, who="ann")
            assert places(BOB)[2:] == [(READY, 3, 160.0)]
            [near] = house.house.sent(BOB, StageNear)
            assert (near.purchase_id, near.wait_sec) == (str(receipt.purchase_id), 160.0)
            await house.act(ids[0], FINISH)
            assert places(BOB)[3:] == [(READY, 3, 120.0)]
            assert len(house.house.sent(BOB, StageNear)) == 1, "told once"
            changed = house.house.sent(page, StageChanged)[-1]
            assert [(each.username, each.position) for each in changed.entries] == [
                ("Ann", 1),
                ("Ann", 2),
                ("Bob", 3),
            ]
            ended = [
                each for each in house.house.sent(ANN, StagePlace) if each.refunded is not None
            ]
            assert [(each.state, each.refunded) for each in ended] == [
                (CANCELLED, 100),
                (FINISHED, 0),
            ]
            assert house.house.sent(BOB, StageChanged) == []

    on_virtual_clock(main)


@on_stage
async def test_an_ended_broadcast_keeps_the_line_for_the_next(house: StageHouse) -> None:
    page = await house.house.join_model()
    purchase_id = await bought(house)
    room = await house.house.room()
    room.tell(MemberFrame(page, frames.EndBroadcast(11)))
    await wait_all_tasks_blocked()
    assert await house.act(purchase_id, START) == Refusal(ErrorCode.ROOM_OFFLINE)
    room.tell(MemberFrame(page, frames.StartBroadcast(12, LovenseMode.EXTENSION)))
    await wait_all_tasks_blocked()
    assert await house.act(purchase_id, START) is None


def test_a_desk_takes_so_many_orders_and_no_more() -> None:
    @on_stage
    async def run(house: StageHouse) -> None:
        inboxes = [
            house.order("song", f"key-{number}", f"user-{number}") for number in range(ORDERS_MAX)
        ]
        with pytest.raises(MailboxFull):
            house.order("song", "one more")
        await house.desk.drain()
        told = {inbox.only.code for inbox in inboxes}
        assert told <= {ErrorCode.USER_UNKNOWN, ErrorCode.STAGE_FULL}

    run()
