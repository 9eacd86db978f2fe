"""Rate and flood, on a clock of the test's own."""

import pytest

from server.sockets.rate_limit import FloodGate, TokenBucket


def test_a_burst_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=3, now_s=100)
    assert [bucket.take(100) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(100) == pytest.approx(0.1)
    assert bucket.take(100.05) == pytest.approx(0.05)
    assert bucket.take(100.1001) == 0
    assert bucket.take(100.1001) > 0


def test_a_long_rest_fills_no_more_than_the_burst() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=3, now_s=0)
    taken = sum(bucket.take(1000) == 0 for _ in range(10))
    assert taken == 3


def test_refusals_are_a_flood_only_within_the_window() -> None:
    gate = FloodGate(refusals_max=3, window_s=10)
    assert [gate.refused(at_s) for at_s in (0, 5, 10, 10.1, 12, 14)] == [False] * 6
    assert gate.refused(15) is True
