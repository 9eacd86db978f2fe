"""Requests that queue up while others are served go together: one round trip, one commit. At low
load a batch is one request, and waits for no timer."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import trio

from actors.ports import StoreUnavailable

T = TypeVar("T")
R = TypeVar("R")

BATCH_MAX: Final = 64
"""Enough to make a round trip's cost small, few enough to keep its transaction short."""


class _Asked(Generic[T, R]):
    def __init__(self, request: T) -> None:
        self.request = request
        self.served = trio.Event()
        self.result: R
        self.error: Exception | None = None


class Batches(Generic[T, R]):
    """`do` one; run it in a nursery of the application. One batch at a time, in the order in which
    they were asked for; how many may wait is the askers' to bound."""

    def __init__(
        self, serve: Callable[[Sequence[T]], Awaitable[Sequence[R]]], batch_max: int = BATCH_MAX
    ) -> None:
        """`serve` does all or nothing, and answers each request at its place."""
        self._serve = serve
        self._batch_max = batch_max
        self._waiting: deque[_Asked[T, R]] = deque()
        self._arrived = trio.Event()

    async def do(self, request: T) -> R:
        """Also served when whoever asked is cancelled. Raises StoreUnavailable for the whole batch,
        and anything else that `serve` raises for this request alone."""
        asked = _Asked[T, R](request)
        self._waiting.append(asked)
        self._arrived.set()
        await asked.served.wait()
        if asked.error is not None:
            raise asked.error
        return asked.result

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            while self._waiting:
                count = min(self._batch_max, len(self._waiting))
                await self._serve_batch([self._waiting.popleft() for _ in range(count)])

    async def _serve_batch(self, batch: list[_Asked[T, R]]) -> None:
        try:
            results = await self._serve([asked.request for asked in batch])
        except StoreUnavailable as error:
            for asked in batch:
                asked.error = StoreUnavailable(*error.args)
        except Exception as error:
            if len(batch) > 1:  # one of them is at fault: the others do not answer for it
                for asked in batch:
                    await self._serve_batch([asked])
                return
            batch[0].error = error
        else:
            for asked, result in zip(batch, results, strict=True):
                asked.result = result
        for asked in batch:
            asked.served.set()
