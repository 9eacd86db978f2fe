"""A bounded mailbox: one reader, many writers, none of whom waits."""

from collections import deque
from typing import Generic, TypeVar

import msgspec
import trio

M = TypeVar("M")


class MailboxFull(Exception):
    """The actor has more to do than it may keep; the message was not taken."""


class MailboxClosed(Exception):
    """The actor has ended or is ending; the message was not taken."""


class MailboxStatistics(msgspec.Struct, frozen=True, rename="camel"):
    waiting: int
    limit: int
    oldest_wait_s: float
    refused: int


class Mailbox(Generic[M]):
    """First in, first out, but for `put_first`. The bound holds for `put`, which carries what
    others want of the actor; `put_always` is for what is bounded elsewhere (one Leave for each
    member, one answer for each question), so that it is never lost."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[tuple[float, M]] = deque()
        self._lot = trio.lowlevel.ParkingLot()
        self._closed = False
        self._refused = 0

    def put(self, message: M) -> None:
        """Raises MailboxFull past the limit, MailboxClosed after `close`."""
        if len(self._waiting) >= self._limit:
            self._refused += 1
            raise MailboxFull
        self.put_always(message)

    def put_always(self, message: M) -> None:
        """Past the limit, too. Raises MailboxClosed after `close`."""
        self._check_open()
        self._waiting.append((trio.current_time(), message))
        self._lot.unpark()

    def put_first(self, message: M) -> None:
        """Ahead of all that waits: a stop overtakes. Raises MailboxClosed after `close`."""
        self._check_open()
        self._waiting.appendleft((trio.current_time(), message))
        self._lot.unpark()

    async def get(self, deadline: float = float("inf")) -> M | None:
        """The next message; waits for it. None when `deadline` (trio's clock) comes first or the
        mailbox was closed and is empty."""
        if not self._waiting and not self._closed:
            with trio.move_on_at(deadline):
                await self._lot.park()
        if not self._waiting:
            return None
        return self._waiting.popleft()[1]

    def get_nowait(self) -> M | None:
        """The next message, None if there is none."""
        return self._waiting.popleft()[1] if self._waiting else None

    def close(self) -> None:
        """Take nothing more; what waits can still be read."""
        self._closed = True
        self._lot.unpark_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def statistics(self) -> MailboxStatistics:
        oldest = trio.current_time() - self._waiting[0][0] if self._waiting else 0.0
        return MailboxStatistics(len(self._waiting), self._limit, oldest, self._refused)

    def _check_open(self) -> None:
        if self._closed:
            raise MailboxClosed
