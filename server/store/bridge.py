"""The only file that knows asyncio: one asyncio loop in a thread of its own, for asyncpg.

A *unit of work* is one coroutine: one hop there, as many statements as it likes, one hop back.
One hop per statement was measured at less than half the speed; trio-asyncio, which needs no
thread, at a quarter, and merely importing it changes every asyncio loop of the process.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, NoReturn, TypeVar, TypeVarTuple

import outcome
import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

UNIT_TIMEOUT_S: Final = 10.0
"""Of a unit that names none. Longer than the pool's own waits, so that those speak first."""

READ_BYTES: Final = 16 * 1024
"""Of a connection, at once: two of PostgreSQL's own writes."""


class BridgeDied(Exception):
    """The asyncio thread has ended; what it was doing has an unknown outcome."""


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Inside a unit of work: all parts at the same time, on connections of their own. The first
    that fails ends the others, and raises here."""
    jobs = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.gather(*jobs)
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


class _Loop(asyncio.SelectorEventLoop):
    """asyncio reads into 256 kB and gives back what did not come. Where something that stays is
    laid behind it meanwhile, a hole is left that the next read does not fit in: the thread's heap
    grew by some 200 bytes for each unit of work, for as long as anybody watched."""

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        return _reads_little(await super().create_connection(*args, **kwargs))

    async def create_unix_connection(self, *args: Any, **kwargs: Any) -> Any:
        return _reads_little(await super().create_unix_connection(*args, **kwargs))


def _reads_little(made: tuple[Any, Any]) -> tuple[Any, Any]:
    made[0].max_size = READ_BYTES
    return made


class _Unit(Generic[T]):
    """One unit of work on its way. Trio owns `task` and `raise_cancel`, the loop owns the rest."""

    def __init__(self, work: Callable[[], Awaitable[T]], timeout_s: float) -> None:
        self.task = trio.lowlevel.current_task()
        self.raise_cancel: Callable[[], NoReturn] | None = None
        self._work = work
        self._timeout_s = timeout_s
        self._job: asyncio.Task[T] | None = None

    def start(
        self, loop: asyncio.AbstractEventLoop, ended: Callable[[outcome.Outcome[T]], None]
    ) -> None:
        """On the loop."""
        self._job = loop.create_task(self._run())
        self._job.add_done_callback(lambda job: ended(_outcome_of(job)))

    def cancel(self) -> None:
        """On the loop, after `start`: call_soon_threadsafe keeps the order."""
        if self._job is not None:
            self._job.cancel()

    async def _run(self) -> T:
        async with asyncio.timeout(self._timeout_s):
            return await self._work()


class Bridge:
    """Where trio tasks hand units of work to asyncio. Made by `open_bridge`."""

    def __init__(self) -> None:
        # Made here, not in the thread: work and `stop` can be posted before the thread runs.
        self._runner = asyncio.Runner(loop_factory=_Loop)
        self._loop = self._runner.get_loop()
        self._stop = asyncio.Event()
        self._ended = False
        self._trio = trio.lowlevel.current_trio_token()
        self._waiting: set[_Unit[Any]] = set()

    async def run(
        self,
        work: Callable[[*Ts], Awaitable[T]],
        *args: *Ts,
        timeout_s: float = UNIT_TIMEOUT_S,
    ) -> T:
        """Run `work(*args)` on the asyncio loop and wait for its end.

        When the trio task is cancelled, the work is cancelled over there and this still waits
        until it has really ended, so that no connection is left in the middle of something; a
        success that came first is kept. Raises what `work` raises, TimeoutError after
        `timeout_s`, BridgeDied when the thread is gone.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        unit: _Unit[T] = _Unit(lambda: work(*args), timeout_s)

        def ended(result: outcome.Outcome[T]) -> None:
            self._trio.run_sync_soon(self._finish, unit, result)

        def abort(raise_cancel: Callable[[], NoReturn]) -> trio.lowlevel.Abort:
            unit.raise_cancel = raise_cancel
            self._post(unit.cancel)
            return trio.lowlevel.Abort.FAILED

        if self._ended or not self._post(unit.start, self._loop, ended):
            raise BridgeDied("the asyncio thread has ended")
        self._waiting.add(unit)
        try:
            return await trio.lowlevel.wait_task_rescheduled(abort)  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            if unit.raise_cancel is not None:
                unit.raise_cancel()
            raise BridgeDied("the asyncio thread gave the work up") from None

    async def serve(self) -> None:
        """The thread's life, as a trio task. Ends after `stop`, and only then: cancelling it
        does nothing. Raises BridgeDied when the thread ends in any other way."""
        try:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._run_loop, limiter=trio.CapacityLimiter(1))
        except BaseException as error:
            raise BridgeDied("the asyncio thread has ended by itself") from error
        finally:
            self._ended = True
            for unit in tuple(self._waiting):
                self._finish(unit, outcome.Error(BridgeDied("the asyncio thread has ended")))

    def stop(self) -> None:
        """Let the loop end; what still runs on it is cancelled there."""
        self._post(self._stop.set)

    def _post(self, callback: Callable[[*Ts], object], *args: *Ts) -> bool:
        """False once the loop is closed; its waiting units are then ended by `serve`."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            return False
        return True

    def _finish(self, unit: _Unit[T], result: outcome.Outcome[T]) -> None:
        if unit in self._waiting:
            self._waiting.discard(unit)
            trio.lowlevel.reschedule(unit.task, result)

    def _run_loop(self) -> None:
        with self._runner as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stop.wait()


@asynccontextmanager
async def open_bridge() -> AsyncIterator[Bridge]:
    """A running bridge. Its thread's death cancels the body and raises BridgeDied (in a group):
    a server without its database does not go on."""
    bridge = Bridge()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.serve)
        try:
            yield bridge
        finally:
            bridge.stop()


def _outcome_of(job: asyncio.Task[T]) -> outcome.Outcome[T]:
    if job.cancelled():
        return outcome.Error(asyncio.CancelledError())
    error = job.exception()
    if error is None:
        return outcome.Value(job.result())
    if isinstance(error, Exception):
        return outcome.Error(error)
    return outcome.Error(BridgeDied("the asyncio thread has ended by itself"))
