"""Audit writer: takes the rooms' audit without making them wait, and writes it in bulk."""

from collections.abc import Sequence
from typing import Final

import structlog
import trio

from actors.ports import RoomStore, StoreUnavailable
from actors.runtime.moment import Chance
from actors.target_step import AuditEntry, record_of
from protocol.audit import AuditRecord, TargetRecord

RETRY_S: Final = 1.0
UNEXPECTED_TRIES: Final = 5
"""Of one write that fails for another reason than an absent database: then it is taken apart."""
RECORDS_PER_WRITE_MAX: Final = 5_000

WRITE_INTERVAL_S: Final = 0.05
"""From the beginning of one write to that of the next, unless somebody waits for it: under load
fewer and larger ones, which take a fraction of the work. What comes at rest is written at once."""
RECORDS_PER_TURN: Final = 100
"""Made in a row before the other tasks get their turn: about a millisecond."""

_Write = tuple[Sequence[AuditRecord], Sequence[str]]


class AuditWriter:
    """Implements actors.ports.AuditLog. Order is kept; nothing is given up while it runs, but
    a write that the database refuses for what is in it: that one is logged and set aside.

    What waits is bounded by the rooms' own queues: with the database gone no tip settles, so
    no new activation asks for audit.
    """

    def __init__(self, store: RoomStore, chance: Chance) -> None:
        self._store = store
        self._chance = chance
        self._waiting: list[tuple[Sequence[AuditEntry], Sequence[str]]] = []
        self._to_log: list[str] = []
        """tipIds, for the next line."""
        self._given = self._durable = 0
        """Writes since the start: all, and those that the database has."""
        self._set_aside = 0
        self._written = trio.lowlevel.ParkingLot()
        self._arrived = trio.Event()
        self._flushes = 0
        """Who waits in `flush`."""
        self._wanted = trio.Event()
        self._log = structlog.get_logger("tiproom.audit")

    @property
    def waiting(self) -> int:
        """Writes that are not durable yet."""
        return len(self._waiting)

    @property
    def set_aside(self) -> int:
        """Records that the database would not take, since the start."""
        return self._set_aside

    def write(
        self, entries: Sequence[AuditEntry], finished: Sequence[str], *, logged: bool = False
    ) -> None:
        self._given += 1
        self._waiting.append((entries, finished))
        if logged:
            self._to_log += finished
        self._arrived.set()

    async def flush(self) -> None:
        """Not for what is written meanwhile: under load that would never end."""
        target = self._given
        self._flushes += 1
        self._wanted.set()
        try:
            while self._durable < target:
                await self._written.park()
        finally:
            self._flushes -= 1

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; `flush` first, or what waits is lost."""
        task_status.started()
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            while self._waiting:
                began_s = trio.current_time()
                self._log_finished()
                await self._write_some()
                if not self._flushes:
                    self._wanted = trio.Event()
                    with trio.move_on_at(began_s + WRITE_INTERVAL_S):
                        await self._wanted.wait()

    def _log_finished(self) -> None:
        """One line for many: a line for each would take a twentieth of a busy server's time."""
        if self._to_log:
            self._log.info("tips_finished", tip_ids=self._to_log)
            self._to_log = []

    async def _write_some(self) -> None:
        """One transaction with as much as waits, up to the bound; again and unchanged until it is
        durable, for it may have been all along."""
        writes: list[_Write] = []
        records: list[AuditRecord] = []
        finished: list[str] = []
        for entries, some_finished in list(self._waiting):
            if records and len(records) + len(entries) > RECORDS_PER_WRITE_MAX:
                break
            made = [record_of(entry, self._chance) for entry in entries]
            writes.append((made, some_finished))
            finished += some_finished
            if len(records) // RECORDS_PER_TURN < (len(records) + len(made)) // RECORDS_PER_TURN:
                await trio.lowlevel.checkpoint()
            records += made
        if not await self._append(records, finished, UNEXPECTED_TRIES):
            await self._write_apart(writes)
        taken = len(writes)
        del self._waiting[:taken]
        self._durable += taken
        self._written.unpark_all()

    async def _write_apart(self, writes: Sequence[_Write]) -> None:
        """One by one, so that what the database refuses keeps nothing else from being written."""
        for records, finished in writes:
            if await self._append(records, finished, tries_max=1):
                continue
            self._set_aside += len(records)
            tip_ids = {each.tip_id for each in records if isinstance(each, TargetRecord)}
            self._log.error(
                "audit_set_aside",
                tip_ids=sorted(tip_ids.union(finished)),
                records=len(records),
                finished=len(finished),
            )

    async def _append(
        self, records: Sequence[AuditRecord], finished: Sequence[str], tries_max: int
    ) -> bool:
        """Without the database: for ever. Whether it is durable; not so after `tries_max` errors
        that no absence of the database explains."""
        tries = 0
        while True:
            pause_s = RETRY_S
            try:
                await self._store.append_audit(records, finished)
                return True
            except StoreUnavailable:
                self._log.error("audit_write_failed", waiting=len(self._waiting))
            except Exception as error:
                reason = type(error).__name__
                self._log.error("audit_write_failed", waiting=len(self._waiting), reason=reason)
                tries += 1
                if tries == tries_max:
                    return False
                pause_s = RETRY_S * 2 ** (tries - 1)
            await trio.sleep(pause_s)
