"""Mailbox, ask, restart budget, time and chance."""

import random
from datetime import UTC, datetime

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.runtime.ask import Ask, AskTimeout
from actors.runtime.mailbox import MESSAGES_PER_TURN_MAX, Mailbox, MailboxClosed, MailboxFull
from actors.runtime.moment import Chance, Moment
from actors.runtime.supervisor import RestartBudget
from tests.actors.house import on_virtual_clock

# ---- mailbox ---------------------------------------------------------------------------------


async def test_messages_come_in_order_and_urgent_ones_first_in_their_own_order() -> None:
    mailbox: Mailbox[str] = Mailbox(10)
    for message in ("a", "b"):
        mailbox.put(message)
    for message in ("stop 1", "stop 2"):
        mailbox.put_first(message)
    mailbox.put_always("c")
    assert [await mailbox.get() for _ in range(5)] == ["stop 1", "stop 2", "a", "b", "c"]


async def test_the_bound_holds_for_put_alone() -> None:
    mailbox: Mailbox[int] = Mailbox(2)
    mailbox.put(1)
    mailbox.put(2)
    with pytest.raises(MailboxFull):
        mailbox.put(3)
    mailbox.put_always(4)
    mailbox.put_first(0)
    assert (mailbox.statistics().waiting, mailbox.statistics().refused) == (4, 1)
    assert [mailbox.get_nowait() for _ in range(5)] == [0, 1, 2, 4, None]


async def test_a_closed_mailbox_takes_nothing_and_gives_what_it_has() -> None:
    mailbox: Mailbox[int] = Mailbox(1)
    mailbox.put(1)
    mailbox.close()
    for put in (mailbox.put, mailbox.put_always, mailbox.put_first):
        with pytest.raises(MailboxClosed):
            put(2)
    assert [await mailbox.get(), await mailbox.get()] == [1, None]


async def test_closing_wakes_the_reader(nursery: trio.Nursery) -> None:
    mailbox: Mailbox[int] = Mailbox(1)
    got: list[int | None] = []

    async def read() -> None:
        got.append(await mailbox.get())

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    mailbox.close()
    await wait_all_tasks_blocked()
    assert got == [None]


def test_a_deadline_ends_the_wait_at_its_moment() -> None:
    async def main() -> None:
        mailbox: Mailbox[int] = Mailbox(1)
        assert await mailbox.get(trio.current_time() + 7) is None
        assert trio.current_time() == pytest.approx(7)
        assert await mailbox.get(trio.current_time() - 1) is None
        mailbox.put(1)
        assert await mailbox.get(trio.current_time() - 1) == 1, "what is there is read all the same"

    on_virtual_clock(main)


async def test_a_full_mailbox_lets_others_have_their_turn(nursery: trio.Nursery) -> None:
    mailbox: Mailbox[int] = Mailbox(1_000)
    for number in range(1_000):
        mailbox.put(number)
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(mailbox.statistics().waiting)
            await trio.lowlevel.checkpoint()

    nursery.start_soon(other)
    for _ in range(1_000):
        await mailbox.get()
    nursery.cancel_scope.cancel()
    assert len(turns) >= 1_000 // (2 * MESSAGES_PER_TURN_MAX)


def test_how_long_the_oldest_waits_is_told() -> None:
    async def main() -> None:
        mailbox: Mailbox[int] = Mailbox(5)
        assert mailbox.statistics().oldest_wait_s == 0
        mailbox.put(1)
        await trio.sleep(3)
        mailbox.put_first(0)
        assert mailbox.statistics().oldest_wait_s == pytest.approx(3)

    on_virtual_clock(main)


# ---- ask -------------------------------------------------------------------------------------


async def test_an_answer_is_waited_for(nursery: trio.Nursery) -> None:
    ask: Ask[int] = Ask()

    async def answer() -> None:
        ask.answer(42)

    nursery.start_soon(answer)
    assert await ask.wait(1) == 42
    assert await ask.wait(0) == 42


def test_no_answer_in_time() -> None:
    async def main() -> None:
        ask: Ask[int] = Ask()
        with pytest.raises(AskTimeout):
            await ask.wait(10)
        assert trio.current_time() == pytest.approx(10)
        ask.answer(1)  # late: it harms nobody

    on_virtual_clock(main)


async def test_two_answers_are_a_fault() -> None:
    ask: Ask[int] = Ask()
    ask.answer(1)
    with pytest.raises(AssertionError, match="twice"):
        ask.answer(2)


# ---- restart budget --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crashes_at_s", "allowed"),
    [
        ([0, 1, 2, 3, 4], [True] * 5),
        ([0, 1, 2, 3, 4, 59.9], [True] * 5 + [False]),
        ([0, 1, 2, 3, 4, 60], [True] * 6),
        ([0, 1, 2, 3, 4, 60, 60.5, 61], [True] * 6 + [False, True]),
    ],
)
def test_five_restarts_in_any_minute(crashes_at_s: list[float], allowed: list[bool]) -> None:
    budget = RestartBudget()
    assert [budget.spend(at_s) for at_s in crashes_at_s] == allowed
    assert budget.total == sum(allowed)


# ---- time and chance -------------------------------------------------------------------------


def test_ids_of_one_seed_are_the_same_and_ordered_by_time() -> None:
    moments = [
        Moment(0.0, datetime(2026, 1, 15, 12, 0, second, tzinfo=UTC)) for second in range(20)
    ]
    ids = [Chance(random.Random(1)).uuid7(moment) for moment in moments]
    assert ids == [Chance(random.Random(1)).uuid7(moment) for moment in moments]
    assert ids == sorted(ids)
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
    chance = Chance(random.Random(2))
    assert len({chance.uuid7(moments[0]) for _ in range(1_000)}) == 1_000


def test_jitter_stays_within_its_share() -> None:
    chance = Chance(random.Random(1))
    drawn = [chance.jitter(10.0, share=0.2) for _ in range(1_000)]
    assert 8.0 <= min(drawn) < 8.5
    assert 11.5 < max(drawn) <= 12.0
