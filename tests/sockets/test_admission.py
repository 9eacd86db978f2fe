"""A storm of joins: in turn, up to a bound, and a clear word to the others."""

import pytest
import trio
from trio.testing import MockClock

from protocol.errors import ErrorCode, Refused
from server.sockets.admission import Admission


def storm(count: int, join_s: float, **bounds: float) -> tuple[int, int, int, float]:
    """How many joined, how many were refused, the most at once, and how long all of it took."""
    admission = Admission(
        at_once=int(bounds["at_once"]),
        waiting_max=int(bounds["waiting_max"]),
        wait_s=bounds["wait_s"],
    )
    joined = refused = at_once = most = 0

    async def join() -> None:
        nonlocal joined, refused, at_once, most
        try:
            async with admission.turn():
                at_once += 1
                most = max(most, at_once)
                await trio.sleep(join_s)
                at_once -= 1
                joined += 1
        except Refused as busy:
            refused += busy.refusal.code is ErrorCode.SERVER_BUSY

    async def main() -> float:
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(join)
        counted = admission.statistics()
        assert counted.joining == counted.waiting == 0
        assert (counted.admitted, counted.queue_full, counted.waited_too_long) == (
            joined,
            0 if bounds["wait_s"] < 60 else refused,
            refused if bounds["wait_s"] < 60 else 0,
        )
        return trio.current_time()

    took_s = trio.run(main, clock=MockClock(autojump_threshold=0))
    return joined, refused, most, took_s


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"at_once": 4, "waiting_max": 100, "wait_s": 60}, (40, 0, 4)),
        ({"at_once": 4, "waiting_max": 6, "wait_s": 60}, (10, 30, 4)),
        ({"at_once": 4, "waiting_max": 100, "wait_s": 2.5}, (12, 28, 4)),
        ({"at_once": 1, "waiting_max": 100, "wait_s": 0.5}, (1, 39, 1)),
    ],
)
def test_so_many_at_once_so_many_in_turn_the_others_come_back(
    bounds: dict[str, float], expected: tuple[int, int, int]
) -> None:
    joined, refused, most, took_s = storm(40, 1.0, **bounds)
    assert (joined, refused, most) == expected
    assert took_s <= joined / expected[2] + 1
