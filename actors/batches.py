"""Requests that queue up while others are served go together: one round trip, one commit. At rest
each goes by itself, and waits for nobody and no timer."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import trio

from actors.ports import StoreUnavailable

T = TypeVar("T")
R = TypeVar("R")

BATCH_MAX: Final = 64
"""Enough to make a round trip's cost small, few enough to keep its transaction short."""


class _Batch(Generic[T, R]):
    def __init__(self) -> None:
        self.requests: list[T] = []
        self.served = trio.Event()
        self.results: Sequence[R] | None = None
        self.error: Exception | None = None
        """Neither of the two once it is served: whoever led it was cancelled."""


class Batches(Generic[T, R]):
    """One batch at a time, in the order in which they were begun; what `serve` does for a request
    begins after it was asked for. The first of a batch has it served for all."""

    def __init__(
        self, serve: Callable[[Sequence[T]], Awaitable[Sequence[R]]], batch_max: int = BATCH_MAX
    ) -> None:
        """`serve` does all or nothing and answers each request at its place. It may be asked again
        for what it has done: when who led a batch is cancelled, and when one of it is at fault."""
        self._serve = serve
        self._batch_max = batch_max
        self._turn = trio.Lock()
        self._gathering: _Batch[T, R] | None = None

    async def do(self, request: T) -> R:
        """Raises StoreUnavailable for the whole batch, and anything else that `serve` raises for
        this request alone."""
        while True:
            batch = self._gathering
            leads = batch is None or len(batch.requests) >= self._batch_max
            if batch is None or leads:
                batch = self._gathering = _Batch()
            place = len(batch.requests)
            batch.requests.append(request)
            await (self._lead(batch) if leads else batch.served.wait())
            if batch.results is not None:
                return batch.results[place]
            if isinstance(batch.error, StoreUnavailable):
                raise StoreUnavailable(*batch.error.args)
            if batch.error is not None:
                return await self._alone(request, batch)

    async def _lead(self, batch: _Batch[T, R]) -> None:
        try:
            async with self._turn:
                self._close(batch)
                batch.results = await self._serve(batch.requests)
        except Exception as error:
            batch.error = error
        finally:
            self._close(batch)
            batch.served.set()

    def _close(self, batch: _Batch[T, R]) -> None:
        """Who asks from now on gets another."""
        if self._gathering is batch:
            self._gathering = None

    async def _alone(self, request: T, batch: _Batch[T, R]) -> R:
        """After a batch of which one is at fault: the others do not answer for it."""
        if len(batch.requests) == 1 and batch.error is not None:
            raise batch.error
        async with self._turn:
            [result] = await self._serve([request])
        return result
