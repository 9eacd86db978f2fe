"""How often one user may ask for what moves money, on a virtual clock."""

import pytest
import trio
from trio.testing import MockClock

from protocol.errors import ErrorCode, Refused
from server.http.request_rate import RequestRate


def refused(rate: RequestRate, user_id: str) -> float:
    """When to come back."""
    with pytest.raises(Refused) as error:
        rate.count(user_id)
    refusal = error.value.refusal
    assert refusal.code is ErrorCode.RATE_LIMITED
    assert refusal.retry_after_s is not None
    return refusal.retry_after_s


def test_a_window_slides_for_each_user() -> None:
    async def main() -> None:
        rate = RequestRate(3)
        for _ in range(3):
            rate.count("ann")
            await trio.sleep(10)
        assert refused(rate, "ann") == 30
        rate.count("bob")
        await trio.sleep(30)
        rate.count("ann")
        assert refused(rate, "ann") == 10

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_who_cannot_be_counted_is_refused() -> None:
    async def main() -> None:
        rate = RequestRate(3, users_max=2)
        rate.count("ann")
        rate.count("bob")
        refused(rate, "zoe")
        rate.count("ann")
        await trio.sleep(61)
        rate.count("zoe")

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_who_asks_no_more_is_forgotten() -> None:
    async def main() -> None:
        rate = RequestRate(3)
        for number in range(20):
            rate.count(f"user-{number}")
            await trio.sleep(10)
        assert len(rate) <= 12, "of two windows"

    trio.run(main, clock=MockClock(autojump_threshold=0))
