"""What is finished before the process ends, and what is said of the rest."""

from collections.abc import Awaitable, Callable

import pytest
import structlog.testing
import trio
from trio.testing import MockClock

from server.drain import finish_work

WORK_S = {"ledger": 0.5, "audit": 1.0, "messages": 0.25}


@pytest.mark.parametrize(
    ("timeout_s", "line"),
    [
        (2.0, {"event": "drain_work_finished", "log_level": "info", "took_s": 1.75}),
        (
            1.25,
            {
                "event": "drain_work_unfinished",
                "log_level": "warning",
                "left": ["audit", "messages"],
                "took_s": 1.25,
            },
        ),
    ],
)
def test_work_is_finished_in_order_while_there_is_time(
    timeout_s: float, line: dict[str, object]
) -> None:
    done: list[str] = []

    def finishing(name: str, takes_s: float) -> Callable[[], Awaitable[None]]:
        async def finish() -> None:
            await trio.sleep(takes_s)
            done.append(name)

        return finish

    async def main() -> None:
        work = {name: finishing(name, takes_s) for name, takes_s in WORK_S.items()}
        await finish_work(work, timeout_s)

    with structlog.testing.capture_logs() as logs:
        trio.run(main, clock=MockClock(autojump_threshold=0))
    assert logs == [line]
    left = line.get("left", [])
    assert isinstance(left, list)
    assert done == [name for name in WORK_S if name not in left]
