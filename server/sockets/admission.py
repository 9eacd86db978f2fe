"""Admission: how many may be joining at once. A storm waits in a bounded queue; who does not fit,
or waits too long, is told clearly to come back, instead of making everybody's join slow."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import trio

from protocol.errors import ErrorCode, Refused


class AdmissionStatistics(msgspec.Struct, frozen=True, rename="camel"):
    joining: int
    waiting: int
    refused: int
    """Since start."""


class Admission:
    """First come, first served."""

    def __init__(self, at_once: int, waiting_max: int, wait_s: float) -> None:
        self._turns = trio.CapacityLimiter(at_once)
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self._refused = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """As long as the block. Raises Refused with SERVER_BUSY."""
        borrower = object()  # a task may have had a turn before
        with trio.move_on_after(self._wait_s) as waiting:
            if self._turns.statistics().tasks_waiting >= self._waiting_max:
                waiting.cancel()
            await self._turns.acquire_on_behalf_of(borrower)
        if waiting.cancelled_caught:
            self._refused += 1
            raise Refused(ErrorCode.SERVER_BUSY)
        try:
            yield
        finally:
            self._turns.release_on_behalf_of(borrower)

    def statistics(self) -> AdmissionStatistics:
        now = self._turns.statistics()
        return AdmissionStatistics(now.borrowed_tokens, now.tasks_waiting, self._refused)
