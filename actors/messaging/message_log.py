"""Message log: what becomes of messages, written in bulk, in order, and without making anybody
wait."""

from collections.abc import Sequence
from typing import Final

import structlog
import trio

from actors.messaging.ports import MessageChange, MessageStore
from actors.ports import StoreUnavailable

RETRY_S: Final = 1.0
CHANGES_PER_WRITE_MAX: Final = 500
WAITING_MAX: Final = 100_000
"""Receipts beyond it are dropped, for members could send them without end while the database is
away; what the server itself has to say is bounded by the messages that there are."""


class MessageLog:
    """Run it in a nursery of the application. The same change again does no harm, so that one whose
    outcome is unknown is written again."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store
        self._waiting: list[MessageChange] = []
        self._writing = False
        self._arrived = trio.Event()
        self._idle = trio.lowlevel.ParkingLot()
        self._log = structlog.get_logger("tiproom.messaging.log")

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def write(self, change: MessageChange) -> None:
        """Never waits."""
        if change.recipient_id is not None and len(self._waiting) >= WAITING_MAX:
            self._log.warning("receipt_dropped", message_id=str(change.message_id))
            return
        self._waiting.append(change)
        self._arrived.set()

    async def flush(self) -> None:
        """Wait until all that was written so far is stored, or was refused."""
        while self._waiting or self._writing:
            await self._idle.park()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            while self._waiting:
                batch = self._waiting[:CHANGES_PER_WRITE_MAX]
                del self._waiting[:CHANGES_PER_WRITE_MAX]
                self._writing = True
                await self._store_all(batch)
                self._writing = False
            self._idle.unpark_all()

    async def _store_all(self, batch: Sequence[MessageChange]) -> None:
        while True:
            try:
                await self._store.change_messages(batch)
                return
            except StoreUnavailable:
                self._log.error("changes_wait", changes=len(batch) + len(self._waiting))
                await trio.sleep(RETRY_S)
            except Exception:
                # A fault of ours: one of them keeps the others from being written.
                if len(batch) > 1:
                    for change in batch:
                        await self._store_all([change])
                else:
                    message_id = str(batch[0].message_id)
                    self._log.exception("change_set_aside", message_id=message_id)
                return
