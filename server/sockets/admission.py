"""Admission: how many may be joining at once. A storm waits in a bounded queue; who does not fit,
or waits too long, is told clearly to come back, instead of making everybody's join slow."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import trio

from protocol.errors import ErrorCode, Refused


class AdmissionStatistics(msgspec.Struct, frozen=True, rename="camel"):
    """`joining` and `waiting` are now; the others since start."""

    joining: int
    waiting: int
    admitted: int
    """Given a turn."""
    queue_full: int
    """Refused: as many waited as may wait."""
    waited_too_long: int
    """Refused: no turn in time."""


class Admission:
    """First come, first served."""

    def __init__(self, at_once: int, waiting_max: int, wait_s: float) -> None:
        self._at_once = at_once
        self._turns = trio.Semaphore(at_once)
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self._admitted = 0
        self._queue_full = 0
        self._waited_too_long = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """As long as the block. Raises Refused with SERVER_BUSY."""
        if self._turns.value:  # then nobody waits
            self._turns.acquire_nowait()
        else:
            await self._wait()
        self._admitted += 1
        try:
            yield
        finally:
            self._turns.release()

    async def _wait(self) -> None:
        if self._turns.statistics().tasks_waiting >= self._waiting_max:
            self._queue_full += 1
            raise Refused(ErrorCode.SERVER_BUSY)
        with trio.move_on_after(self._wait_s) as waiting:
            await self._turns.acquire()
        if waiting.cancelled_caught:
            self._waited_too_long += 1
            raise Refused(ErrorCode.SERVER_BUSY)

    def statistics(self) -> AdmissionStatistics:
        return AdmissionStatistics(
            joining=self._at_once - self._turns.value,
            waiting=self._turns.statistics().tasks_waiting,
            admitted=self._admitted,
            queue_full=self._queue_full,
            waited_too_long=self._waited_too_long,
        )
