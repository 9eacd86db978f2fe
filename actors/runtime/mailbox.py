"""A bounded mailbox: one reader, many writers, none of whom waits."""

from collections import deque
from math import inf
from typing import Final, Generic, TypeVar

import msgspec
import trio

M = TypeVar("M")

MESSAGES_PER_TURN_MAX: Final = 128
"""Read in a row before the other tasks get their turn: two or three milliseconds of a room. With
fewer, a thousand answers that come at once wait longer in the mailbox than they take."""


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
    """First in, first out; what came by `put_first` goes ahead, in its own order. The bound holds
    for `put`, which carries what others want of the actor; `put_always` is for what is bounded
    elsewhere (one Leave for each member, one answer for each question), so that it is never
    lost."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._urgent: deque[tuple[float, M]] = deque()
        self._waiting: deque[tuple[float, M]] = deque()
        self._read_in_a_row = 0
        self._lot = trio.lowlevel.ParkingLot()
        self._closed = False
        self._refused = 0

    def put(self, message: M) -> None:
        """Raises MailboxClosed after `close`, MailboxFull past the limit."""
        self._check_open()
        if len(self) >= self._limit:
            self._refused += 1
            raise MailboxFull
        self.put_always(message)

    def put_always(self, message: M) -> None:
        """Past the limit, too. Raises MailboxClosed after `close`."""
        self._check_open()
        self._waiting.append((trio.current_time(), message))
        self._lot.unpark()

    def put_first(self, message: M) -> None:
        """Ahead of all that came otherwise: a stop overtakes. Raises MailboxClosed after
        `close`."""
        self._check_open()
        self._urgent.append((trio.current_time(), message))
        self._lot.unpark()

    @property
    def pauses(self) -> bool:
        """Whether other tasks get their turn with the next `get`."""
        return len(self) == 0 or self._read_in_a_row >= MESSAGES_PER_TURN_MAX

    async def get(self, deadline: float = inf) -> M | None:
        """The next message; waits for it. None when `deadline` (trio's clock) comes first or the
        mailbox was closed and is empty. While a message is there `deadline` does not matter."""
        if len(self) == 0 and not self._closed:
            self._read_in_a_row = 0
            if deadline == inf:
                await self._lot.park()  # without a timer, which costs as much again
            else:
                with trio.move_on_at(deadline):
                    await self._lot.park()
        elif self._read_in_a_row >= MESSAGES_PER_TURN_MAX:
            self._read_in_a_row = 0
            await trio.lowlevel.checkpoint()
        self._read_in_a_row += 1
        return self.get_nowait()

    def get_nowait(self) -> M | None:
        """The next message, None if there is none."""
        for some in (self._urgent, self._waiting):
            if some:
                return some.popleft()[1]
        return None

    def close(self) -> None:
        """Take nothing more; what waits can still be read."""
        self._closed = True
        self._lot.unpark_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._urgent) + len(self._waiting)

    def statistics(self) -> MailboxStatistics:
        now_s = trio.current_time()
        oldest_s = min(
            (some[0][0] for some in (self._urgent, self._waiting) if some), default=now_s
        )
        return MailboxStatistics(len(self), self._limit, now_s - oldest_s, self._refused)

    def _check_open(self) -> None:
        if self._closed:
            raise MailboxClosed
