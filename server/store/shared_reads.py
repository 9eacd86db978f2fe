"""Reads that share a query: who asks while one is under way is answered by the next, together with
all others who asked meanwhile. At rest each has its own and waits for nobody."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class _Batch(Generic[T]):
    def __init__(self) -> None:
        self.keys: dict[str, None] = {}
        self.read = trio.Event()
        self.found: Mapping[str, T] | None = None
        self.failed: Exception | None = None
        """Neither of the two once `read`: who read for all was cancelled."""


class SharedReads(Generic[T]):
    """One query at a time. A read never has what was so before it was asked for."""

    def __init__(
        self, read_all: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]], keys_max: int
    ) -> None:
        """`read_all` answers every key that it is given; `keys_max`: of one query."""
        self._read_all = read_all
        self._keys_max = keys_max
        self._turn = trio.Lock()
        self._gathering: _Batch[T] | None = None

    async def read(self, key: str) -> T:
        """Raises what `read_all` does, to all who shared it."""
        while True:
            batch = self._gathering
            if batch is None:
                batch = await self._read_for_all(key)
            else:
                batch.keys[key] = None
                self._close_when_full(batch)
                await batch.read.wait()
            if batch.failed is not None:
                raise batch.failed
            if batch.found is not None:
                return batch.found[key]

    async def _read_for_all(self, key: str) -> _Batch[T]:
        """The first of a batch does, once the one before it is through."""
        batch = self._gathering = _Batch()
        batch.keys[key] = None
        self._close_when_full(batch)
        try:
            async with self._turn:
                self._close(batch)
                batch.found = await self._read_all(list(batch.keys))
        except Exception as error:
            batch.failed = error
        finally:
            self._close(batch)
            batch.read.set()
        return batch

    def _close_when_full(self, batch: _Batch[T]) -> None:
        if len(batch.keys) >= self._keys_max:
            self._close(batch)

    def _close(self, batch: _Batch[T]) -> None:
        """Who asks from now on gets another."""
        if self._gathering is batch:
            self._gathering = None
