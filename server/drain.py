"""The end of what was acknowledged, before the process ends."""

from collections.abc import Awaitable, Callable, Mapping

import structlog
import trio

_log = structlog.get_logger(__name__)


async def finish_work(work: Mapping[str, Callable[[], Awaitable[None]]], timeout_s: float) -> None:
    """One after the other, in their order, as long as there is time. What is left is in the
    database: it is taken up after the next start."""
    began_s = trio.current_time()
    left = list(work)
    with trio.move_on_after(timeout_s):
        while left:
            await work[left[0]]()
            left.pop(0)
    took_s = round(trio.current_time() - began_s, 3)
    if left:
        _log.warning("drain_work_unfinished", left=left, took_s=took_s)
    else:
        _log.info("drain_work_finished", took_s=took_s)
