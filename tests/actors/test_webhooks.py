"""Webhooks: at least once, in order while all goes well, and nobody waits for anybody."""

from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.consumers.outbox_watch import INTERVAL_S
from actors.consumers.webhooks import (
    ATTEMPTS_MAX,
    CRASH_PAUSE_S,
    FAILURES_BEFORE_REST,
    LEASE_S,
    LOOK_INTERVAL_S,
    PACE_S,
    PAGE_MAX,
    REFRESH_INTERVAL_S,
    REST_MAX_S,
    RETRY_MAX_S,
    rest_s,
    retry_in_s,
)
from actors.ports import StoreUnavailable, WebhookAnswer, WebhookEvent
from actors.runtime.moment import Chance
from tests.actors.house import on_virtual_clock
from tests.actors.webhook_ports import FAILED, GONE, OK, Endpoint, Outbox, Receivers, open_post

A, B = "https://a/", "https://b/"
SOON_S = 1.0
A_WHILE_S = 100.0
HOUR_S = 3600.0


def failing(*seqs: int) -> Any:
    return lambda event, _attempt: FAILED if event.seq in seqs else OK


def refusing(_event: WebhookEvent, _attempt: int) -> WebhookAnswer:
    return FAILED


# ---- while all goes well -----------------------------------------------------------------------


def test_every_event_in_order_and_nothing_but_the_cursor_is_written() -> None:
    async def main() -> None:
        outbox = Outbox("a")
        async with open_post(outbox) as post:
            for _ in range(5):
                post.settle(PAGE_MAX // 2)
                await trio.sleep(0.1)
            await trio.sleep(SOON_S)
            count = 5 * (PAGE_MAX // 2)
            assert post.receivers.got[A] == list(range(1, count + 1))
            assert (outbox.endpoints["a"].cursor, outbox.endpoints["a"].deliveries) == (count, {})
            numbers = post.dispatcher.statistics()
            assert (numbers.delivered, numbers.failed, numbers.behind) == (count, 0, 0)

    on_virtual_clock(main)


def test_an_event_is_sent_as_it_is_emitted() -> None:
    async def main() -> None:
        async with open_post(Outbox("a")) as post:
            await trio.sleep(10.3)
            post.settle()
            await trio.sleep(0.1)
            [(_, attempt, at_s)] = post.receivers.attempts[A]
            assert (attempt, at_s) == (1, pytest.approx(10.3))

    on_virtual_clock(main)


def test_what_another_server_settles_is_noticed_within_the_interval() -> None:
    async def main() -> None:
        async with open_post(Outbox("a")) as post:
            await trio.sleep(10.3)
            post.outbox.settle()
            await trio.sleep(INTERVAL_S + 0.1)
            assert post.receivers.got[A] == [1]

    on_virtual_clock(main)


def test_a_slow_endpoint_delays_no_other() -> None:
    async def main() -> None:
        receivers = Receivers()
        receivers.takes_s[A] = 9.0
        async with open_post(Outbox("a", "b"), receivers) as post:
            post.settle(20)
            await trio.sleep(SOON_S)
            assert receivers.got[B] == list(range(1, 21))
            assert receivers.got[A] == []
            assert post.dispatcher.statistics().behind == 1
            await trio.sleep(20 * 9.0)
            assert receivers.got[A] == list(range(1, 21))

    on_virtual_clock(main)


def test_two_servers_deliver_nothing_twice() -> None:
    async def main() -> None:
        outbox, receivers = Outbox("a"), Receivers()
        receivers.takes_s[A] = 0.5
        async with open_post(outbox, receivers, 1) as one, open_post(outbox, receivers, 2) as two:
            for _ in range(20):
                one.settle(2)
                two.watch.wake()
                await trio.sleep(0.4)
            await trio.sleep(60)
            assert receivers.got[A] == list(range(1, 41))

    on_virtual_clock(main)


# ---- failures ----------------------------------------------------------------------------------


def test_one_event_that_is_not_taken_holds_up_no_other_and_is_retried() -> None:
    async def main() -> None:
        receivers = Receivers()
        receivers.answers[A] = failing(2)
        async with open_post(Outbox("a"), receivers) as post:
            post.settle(4)
            await trio.sleep(SOON_S)
            assert receivers.got[A] == [1, 3, 4]
            receivers.answers[A] = failing()
            await trio.sleep(5 * 60)
            assert receivers.got[A] == [1, 3, 4, 2]
            assert [attempt for seq, attempt, _ in receivers.attempts[A] if seq == 2] == [
                *range(1, len(receivers.attempts[A]) - 2)
            ]
            assert post.outbox.endpoints["a"].in_state("delivered") == [2]

    on_virtual_clock(main)


def test_an_event_that_is_never_taken_ends_among_the_dead() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        receivers.answers[A] = failing(1)
        async with open_post(outbox, receivers) as post:
            post.settle(2)
            for _ in range(ATTEMPTS_MAX + 3):
                await trio.sleep(REST_MAX_S * 1.2 + LOOK_INTERVAL_S)
                outbox.endpoints["a"].make_due()
            assert [attempt for seq, attempt, _ in receivers.attempts[A] if seq == 1] == [
                *range(1, ATTEMPTS_MAX + 1)
            ]
            assert outbox.endpoints["a"].in_state("dead") == [1]
            assert post.dispatcher.statistics().dead == 1

            # By request: one attempt at once, and no more if that fails.
            for answers, state in ((failing(1), "dead"), (failing(), "delivered")):
                receivers.answers[A] = answers
                delivery = outbox.endpoints["a"].deliveries[1]
                delivery.state, delivery.due_s = "retrying", trio.current_time()
                post.dispatcher.changed("a")
                await trio.sleep(SOON_S)
                assert delivery.state == state
            assert len(receivers.attempts[A]) == 1 + ATTEMPTS_MAX + 2

    on_virtual_clock(main)


@pytest.mark.slow  # ten minutes of an endpoint that is down
def test_an_event_that_cannot_be_read_is_dead_at_once_and_holds_up_no_other() -> None:
    """It is sent to nobody, and no fault of the endpoint's; also when it is to be sent again."""

    async def main() -> None:
        outbox, receivers = Outbox("a"), Receivers()
        outbox.settle(FAILURES_BEFORE_REST + 3)
        for at in range(1, FAILURES_BEFORE_REST + 2):
            outbox.events[at] = msgspec.structs.replace(outbox.events[at], event_id=None)
        endpoint = outbox.endpoints["a"]
        async with open_post(outbox, receivers) as post:
            await trio.sleep(1.0)  # before the first rest would be over
            bad = list(range(2, FAILURES_BEFORE_REST + 3))
            assert receivers.got[A] == [1, bad[-1] + 1]
            assert [seq for seq, _, _ in receivers.attempts[A]] == [1, bad[-1] + 1]
            assert endpoint.in_state("dead") == bad
            endpoint.deliveries[2].state = "retrying"
            await trio.sleep(LOOK_INTERVAL_S + 1)
            assert endpoint.in_state("dead") == bad
            assert post.dispatcher.statistics().dead == len(bad) + 1

    on_virtual_clock(main)


def test_while_an_endpoint_is_down_events_wait_in_the_outbox_and_come_in_order() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        receivers.answers[A] = refusing
        async with open_post(outbox, receivers) as post:
            for _ in range(50):
                post.settle(20)
                await trio.sleep(12)
            set_aside = len(outbox.endpoints["a"].deliveries)
            assert set_aside < 30, "not one for each event that came in ten minutes"
            receivers.answers[A] = failing()
            await trio.sleep(REST_MAX_S * 1.2 + 60)
            first_times = [seq for seq, attempt, _ in receivers.attempts[A] if attempt == 1]
            assert first_times == list(range(1, 1001))
            outbox.endpoints["a"].make_due()
            await trio.sleep(LOOK_INTERVAL_S + SOON_S)
            assert sorted(receivers.got[A]) == list(range(1, 1001))

    on_virtual_clock(main)


def test_a_broken_endpoint_harms_no_other() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a", "b")

        def broken(_event: WebhookEvent, _attempt: int) -> WebhookAnswer:
            raise ValueError("a fault of ours")

        receivers.answers[A] = broken
        async with open_post(outbox, receivers) as post:
            post.settle(3)
            await trio.sleep(SOON_S)
            assert receivers.got[B] == [1, 2, 3]
            del receivers.answers[A]
            await trio.sleep(CRASH_PAUSE_S)
            assert receivers.got[A] == [1, 2, 3]

    on_virtual_clock(main)


@pytest.mark.parametrize("call", ["claim", "advance", "set_aside", "record_retry"])
@pytest.mark.parametrize("error", [StoreUnavailable, ValueError])
def test_what_the_database_did_not_take_is_sent_again(call: str, error: type[Exception]) -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        receivers.answers[A] = failing(2)
        present, failures = outbox.before, 2

        async def away(name: str) -> None:
            nonlocal failures
            await present(name)
            if name == call and failures:
                failures -= 1
                raise error

        outbox.before = away
        async with open_post(outbox, receivers) as post:
            post.settle(3)
            await trio.sleep(60)
            assert failures == 0
            receivers.answers[A] = failing()
            outbox.endpoints["a"].make_due()
            await trio.sleep(20)
            assert set(receivers.got[A]) == {1, 2, 3}
            assert outbox.endpoints["a"].cursor == 3
            assert outbox.endpoints["a"].in_state("retrying") == []
            assert post.dispatcher.statistics().behind == 0

    on_virtual_clock(main)


def test_a_crash_between_delivery_and_cursor_repeats_and_loses_nothing() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        present = outbox.before

        async def stuck(name: str) -> None:
            await present(name)
            if name == "advance":
                await trio.sleep_forever()

        outbox.before = stuck
        async with open_post(outbox, receivers) as post:
            post.settle(3)
            await trio.sleep(SOON_S)
            assert receivers.got[A] == [1, 2, 3]
        assert outbox.endpoints["a"].cursor == 0
        outbox.before = present
        async with open_post(outbox, receivers, seed=2):
            await trio.sleep(LEASE_S + LOOK_INTERVAL_S)
            assert receivers.got[A] == [1, 2, 3, 1, 2, 3]
            assert outbox.endpoints["a"].cursor == 3

    on_virtual_clock(main)


def test_gone_pauses_the_endpoint_and_keeps_what_it_did_not_get() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        receivers.answers[A] = lambda event, _attempt: GONE if event.seq == 2 else OK
        async with open_post(outbox, receivers) as post:
            post.settle(3)
            await trio.sleep(A_WHILE_S)
            assert receivers.got[A] == [1]
            assert len(receivers.attempts[A]) == 2
            assert post.dispatcher.statistics().endpoints == 0
            del receivers.answers[A]
            outbox.endpoints["a"].active = True
            post.dispatcher.changed("a")
            await trio.sleep(SOON_S)
            assert receivers.got[A] == [1, 2, 3]

    on_virtual_clock(main)


def test_gone_in_answer_to_a_retry_is_an_attempt_like_any_other() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        receivers.answers[A] = lambda _event, attempt: FAILED if attempt == 1 else GONE
        async with open_post(outbox, receivers) as post:
            post.settle()
            await trio.sleep(SOON_S)
            outbox.endpoints["a"].make_due()
            await trio.sleep(LOOK_INTERVAL_S + SOON_S)
            [delivery] = outbox.endpoints["a"].deliveries.values()
            assert not outbox.endpoints["a"].active
            assert (delivery.state, delivery.attempts) == ("retrying", 2)

    on_virtual_clock(main)


# ---- changes -----------------------------------------------------------------------------------


def test_another_address_holds_from_the_next_attempt_on() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        receivers.takes_s[A] = 0.5
        async with open_post(outbox, receivers) as post:
            post.settle(10)
            await trio.sleep(1.2)
            outbox.endpoints["a"].url = B
            post.dispatcher.changed("a")
            await trio.sleep(SOON_S)
            assert receivers.got[A] == [1, 2, 3]
            assert receivers.got[B] == list(range(4, 11))

    on_virtual_clock(main)


def test_one_that_is_paused_gets_nothing_and_resumed_everything() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        async with open_post(outbox, receivers) as post:
            outbox.endpoints["a"].active = False
            post.dispatcher.changed("a")
            post.settle(3)
            await trio.sleep(A_WHILE_S)
            assert receivers.attempts[A] == []
            outbox.endpoints["a"].active = True
            post.dispatcher.changed("a")
            await trio.sleep(SOON_S)
            assert receivers.got[A] == [1, 2, 3]

    on_virtual_clock(main)


def test_a_new_address_ends_the_rest_of_the_old_one() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        receivers.answers[A] = refusing
        async with open_post(outbox, receivers) as post:
            for _ in range(60):
                post.settle()
                await trio.sleep(10)
            outbox.endpoints["a"].url = B
            post.dispatcher.changed("a")
            await trio.sleep(SOON_S)
            assert receivers.got[B][-1] == 60

    on_virtual_clock(main)


def test_a_change_is_that_endpoints_alone() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a", "b")
        receivers.answers[B] = refusing
        async with open_post(outbox, receivers) as post:
            for _ in range(60):
                post.settle()
                await trio.sleep(10)
            attempts = len(receivers.attempts[B])
            for _ in range(5):
                post.dispatcher.changed("a")
                await trio.sleep(0.2)
            assert len(receivers.attempts[B]) <= attempts + 1, "it rests on"

    on_virtual_clock(main)


def test_at_a_high_rate_of_tips_the_database_is_not_asked_for_each() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        present, claims = outbox.before, 0

        async def counting(name: str) -> None:
            nonlocal claims
            await present(name)
            claims += name == "claim"

        outbox.before = counting
        receivers.takes_s[A] = 0.0001
        async with open_post(outbox, receivers) as post:
            for _ in range(500):
                post.settle()
                await trio.sleep(0.002)
            await trio.sleep(SOON_S)
            assert receivers.got[A] == list(range(1, 501))
            assert claims <= (1 + SOON_S) / PACE_S + 2

    on_virtual_clock(main)


def test_endpoints_that_come_and_go_on_another_server_are_noticed() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox()
        async with open_post(outbox, receivers) as post:
            await trio.sleep(REFRESH_INTERVAL_S / 2)
            outbox.endpoints["a"] = Endpoint(A)
            post.settle()
            await trio.sleep(REFRESH_INTERVAL_S)
            assert receivers.got[A] == [1]
            del outbox.endpoints["a"]
            post.settle()
            await trio.sleep(A_WHILE_S)
            assert receivers.got[A] == [1]
            assert post.dispatcher.statistics().endpoints == 0

    on_virtual_clock(main)


def test_a_replay_in_the_middle_of_a_page_is_not_written_over() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        async with open_post(outbox, receivers) as post:
            post.settle(3)
            await trio.sleep(SOON_S)
            receivers.takes_s[A] = 0.5
            post.settle(3)
            await trio.sleep(0.7)
            outbox.endpoints["a"].cursor = 0
            post.dispatcher.changed("a")
            await trio.sleep(10)
            assert receivers.got[A] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6]

    on_virtual_clock(main)


def test_drained_it_begins_nothing_saves_the_cursor_and_gives_up_its_leases() -> None:
    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        receivers.takes_s[A] = 0.5
        async with open_post(outbox, receivers) as post:
            await trio.sleep(PACE_S / 2)  # it has looked, and looks again a pace after that
            post.settle(10)
            await trio.sleep(1.2)
            await post.dispatcher.drain()
            assert trio.current_time() == pytest.approx(PACE_S + 1.5)
            assert receivers.got[A] == [1, 2, 3]
            assert outbox.endpoints["a"].cursor == 3
            assert outbox.endpoints["a"].leased_by is None

    on_virtual_clock(main)


# ---- properties --------------------------------------------------------------------------------


@given(st.integers(1, ATTEMPTS_MAX - 1), st.randoms(use_true_random=False))
def test_a_retry_waits_at_most_three_times_as_long_as_the_one_before(
    attempts: int, random: Any
) -> None:
    wait_s = retry_in_s(attempts, Chance(random))
    assert wait_s is not None
    assert 0 <= wait_s <= min(10 * 3 ** (attempts - 1), RETRY_MAX_S)


@given(st.integers(ATTEMPTS_MAX, 1_000))
def test_the_last_attempt_is_the_last(attempts: int) -> None:
    assert retry_in_s(attempts, Chance()) is None


def test_retries_go_on_for_about_a_day() -> None:
    chance = Chance()
    totals = [
        sum(retry_in_s(attempts, chance) or 0 for attempts in range(1, ATTEMPTS_MAX))
        for _ in range(500)
    ]
    assert max(totals) <= 46 * HOUR_S
    assert 20 * HOUR_S < sum(totals) / len(totals) < 25 * HOUR_S


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_a_rest_is_bounded_and_grows_from_the_third_failure_on(failures: int, random: Any) -> None:
    rests_s = rest_s(failures, Chance(random))
    assert (rests_s == 0) == (failures < 3)
    assert rests_s <= REST_MAX_S * 1.2


@pytest.mark.slow  # a hundred lives of a server
@settings(deadline=None)  # of wall time, which is not what is tested
@given(
    st.lists(st.sampled_from(["settle", "fail", "lose", "crash", "pause", "wait"]), max_size=25),
    st.integers(0, 2**32),
)
def test_whatever_fails_when_every_event_arrives(acts: list[str], seed: int) -> None:
    """At least once, and first in order."""

    async def main() -> None:
        receivers, outbox = Receivers(), Outbox("a")
        present = outbox.before
        left = {"fail": 0, "lose": 0}

        def answering(_event: WebhookEvent, _attempt: int) -> WebhookAnswer:
            if not left["fail"]:
                return OK
            left["fail"] -= 1
            return FAILED

        async def losing(name: str) -> None:
            await present(name)
            if left["lose"]:
                left["lose"] -= 1
                raise StoreUnavailable

        receivers.answers[A], outbox.before = answering, losing
        runs: list[list[str]] = [[]]
        for act in acts:
            runs[-1].append(act)
            if act == "crash":
                runs.append([])
        for number, run in enumerate(runs):
            async with open_post(outbox, receivers, seed + number) as post:
                for act in run:
                    if act == "settle":
                        post.settle(3)
                    elif act in left:
                        left[act] += 2
                    elif act == "pause":
                        endpoint = outbox.endpoints["a"]
                        endpoint.active = not endpoint.active
                        post.dispatcher.changed("a")
                    elif act == "wait":
                        await trio.sleep(20)
                    await trio.sleep(0.02)
        outbox.endpoints["a"].active = True
        left.update(fail=0, lose=0)
        async with open_post(outbox, receivers, seed - 1):
            await trio.sleep(LEASE_S + LOOK_INTERVAL_S + REST_MAX_S)
            outbox.endpoints["a"].make_due()
            await trio.sleep(LOOK_INTERVAL_S + SOON_S)
        assert set(receivers.got[A]) == {event.seq for event in outbox.events}
        assert outbox.endpoints["a"].cursor == len(outbox.events)
        assert outbox.endpoints["a"].in_state("retrying") == []

    on_virtual_clock(main)
