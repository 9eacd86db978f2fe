"""Purchases and moves as people were told of them: the checks, each turned red by the smallest
thing that is wrong, and by systems that are broken from outside."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import pytest

from actors.stage.ports import Paid, Purchase
from protocol.errors import ErrorCode
from protocol.stage import (
    FULL_REFUND,
    AbandonKind,
    AbandonTerms,
    Move,
    Payment,
    PaymentKind,
    StageState,
)
from server.store.store import Store
from tests.chaos.invariants import look
from tests.chaos.shoppers import Acts, move_problems
from tests.chaos.stage_invariants import Moved, Totals
from tests.chaos.test_controls import UNGUARDED, execute, work
from tests.store.stages import go_live, hold_for, order_of, pay_owed

_, READY, STARTED, FINISHED, ABANDONED, CANCELLED = StageState
SETTLE: Final = Payment(PaymentKind.SETTLE)
PART: Final = AbandonTerms(AbandonKind.PARTIAL_REFUND, 20)
FORGETS: Final = """
CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER forgets BEFORE INSERT ON stage_payments FOR EACH ROW EXECUTE FUNCTION forget()"""
EMPTY: Final = "DELETE FROM stage_moves WHERE after = 'FINISHED'"

pytestmark = pytest.mark.slow  # each a database of its own, filled


def test_what_was_told_of_a_move_stands() -> None:
    acts = Acts(told={("p-1", "STARTED")}, refused={("p-2", "cancel")})
    made = [Moved("p-1", "STARTED", "model"), Moved("p-2", "FINISHED", "model")]
    assert [*move_problems([acts], made)] == []
    assert [*move_problems([acts], made[1:])] == ["p-1 was told to be STARTED and is not"]
    cancelled = [*made, Moved("p-2", "CANCELLED", "ann")]
    assert [*move_problems([acts], cancelled)] == ["p-2 was refused a cancel that was made"]


# ---- a stage with a purchase in every state ----------------------------------------------------


async def begin(store: Store, key: str) -> Purchase:
    [purchase] = await store.purchases.begin([order_of(key)], UUID(int=1))
    assert isinstance(purchase, Purchase)
    return purchase


async def buy(store: Store, key: str) -> UUID:
    purchase = await begin(store, key)
    posted = await hold_for(store, purchase)
    paid = Paid(purchase.purchase_id, posted.balance)
    [(receipt, _)] = await store.purchases.confirm([paid])
    return receipt.purchase_id


async def perform(store: Store) -> None:
    """Seven dances of 50 tokens: finished, abandoned in three ways, cancelled, performed, waiting;
    and one that was begun, and failed."""
    await go_live(store)
    finished, back, kept, part, cancelled, performed, _waiting = [
        await buy(store, f"key-{number}") for number in range(7)
    ]
    await _move(store, finished, Move(READY, STARTED))
    await _move(store, finished, Move(STARTED, FINISHED, SETTLE))
    await _move(store, back, Move(READY, ABANDONED, Payment(PaymentKind.RELEASE), FULL_REFUND))
    terms = AbandonTerms(AbandonKind.FULL_SETTLE)
    await _move(store, kept, Move(READY, ABANDONED, SETTLE, terms))
    await _move(store, part, Move(READY, STARTED, SETTLE))
    await _move(store, part, Move(STARTED, ABANDONED, Payment(PaymentKind.REFUND, 20), PART))
    await _move(store, cancelled, Move(READY, CANCELLED, Payment(PaymentKind.RELEASE)))
    await _move(store, performed, Move(READY, STARTED))
    failed = await begin(store, "failed")
    await store.purchases.fail(failed.purchase_id, ErrorCode.INSUFFICIENT_TOKENS)
    await pay_owed(store)


async def _move(store: Store, purchase_id: UUID, move: Move) -> None:
    assert isinstance(await store.stages.move(purchase_id, move, "ruby"), datetime)


def test_a_whole_stage_is_well(database_dsn: str) -> None:
    work(database_dsn, perform)
    found = look(database_dsn, consumers=[], at_rest=True)
    assert found.problems == []
    assert found.totals == Totals(7, held=350, settled=130, refunded=120, open=100)


@pytest.mark.parametrize(
    ("sql", "symptom"),
    [
        (
            "UPDATE holds SET state = 'REFUNDED', refunded = amount, ended_at = now()"
            " WHERE state = 'HELD'",
            "held and neither settled, refunded nor open",
        ),
        (
            "UPDATE menu_purchases SET state = 'FAILED', failed_code = 'X', ready_at = NULL,"
            " answer = NULL WHERE state = 'READY'",
            "bought for nothing, or for another price",
        ),
        ("DELETE FROM menu_purchases WHERE state = 'READY'", "a hold without a purchase"),
        ("UPDATE menu_purchases SET tokens = 51", "bought for nothing, or for another price"),
        (EMPTY, "moves that do not lead to its state"),
        (
            "UPDATE menu_purchases SET abandon_tokens = 21 WHERE abandon_tokens = 20",
            "tokens that its state does not say",
        ),
        (
            "UPDATE menu_purchases SET state = 'FINISHED' WHERE state = 'STARTED'",
            "tokens that its state does not say",
        ),
        ("UPDATE stage_payments SET done_at = NULL", "owed and not paid"),
    ],
)
def test_a_broken_stage_is_named(database_dsn: str, sql: str, symptom: str) -> None:
    work(database_dsn, perform)
    execute(database_dsn, UNGUARDED + sql)
    found = look(database_dsn, consumers=[], at_rest=True).problems
    assert any(symptom in problem for problem in found), found


# ---- systems that are broken from outside ------------------------------------------------------


def broken(dsn: str, sql: str, history: Callable[[Store], Awaitable[None]]) -> list[str]:
    """What is found of a history over a database that was altered before it."""
    work(dsn, go_live)
    execute(dsn, sql)
    work(dsn, history)
    return look(dsn, consumers=[], at_rest=True).problems


async def finish_one(store: Store) -> None:
    purchase_id = await buy(store, "key-1")
    await _move(store, purchase_id, Move(READY, STARTED))
    await _move(store, purchase_id, Move(STARTED, FINISHED, SETTLE))
    await pay_owed(store)


async def hold_and_die(store: Store) -> None:
    await hold_for(store, await begin(store, "key-1"))


def test_a_move_that_forgets_what_it_owes_is_found_out(database_dsn: str) -> None:
    """As a server that dies between a move and its payment, had it kept what is owed in memory."""
    found = broken(database_dsn, FORGETS, finish_one)
    assert len(found) == 1
    assert "FINISHED: open 50, refunded 0" in found[0]


def test_a_hold_of_which_nothing_was_written_before_is_found_out(database_dsn: str) -> None:
    """As a server that dies after it has asked the ledger, had it asked before it wrote."""
    work(database_dsn, go_live)
    work(database_dsn, hold_and_die)
    assert look(database_dsn, consumers=[]).problems == []
    execute(database_dsn, "DELETE FROM menu_purchases")
    [found] = look(database_dsn, consumers=[]).problems
    assert found.startswith("a hold without a purchase: ")
