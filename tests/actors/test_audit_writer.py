"""The audit writer: in order, in bulk, nothing given up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import pytest
import structlog
import trio
from trio.testing import wait_all_tasks_blocked

from actors import audit_writer
from actors.audit_writer import AuditWriter
from actors.ports import StoreUnavailable
from actors.runtime.moment import Chance
from protocol.audit import TargetRecord, TargetState
from protocol.tip_activated import TipActivated
from tests.actors.house import on_virtual_clock
from tests.actors.ports import Database
from tests.actors.rooms import ROOM, SteppedRoom, events, record


def line(number: int) -> TargetRecord:
    return TargetRecord(
        record_id=UUID(int=number),
        tip_id=f"tip-{number}",
        event_id=UUID(int=number),
        ledger_id="ledger",
        room_id=ROOM,
        target_type="MODEL_TOY",
        target_id="model-1",
        attempt=0,
        state=TargetState.QUEUED,
        reason=None,
        code=None,
        call=None,
        fit=None,
        at_utc=datetime(2026, 1, 1, tzinfo=UTC),
    )


@asynccontextmanager
async def at_work() -> AsyncIterator[tuple[AuditWriter, Database]]:
    database = Database([record()], {})
    writer = AuditWriter(database, Chance())
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        yield writer, database
        nursery.cancel_scope.cancel()


def written(database: Database) -> list[str]:
    return [each.tip_id for each in database.audit]


def test_what_is_given_together_is_written_together_in_order() -> None:
    async def main() -> None:
        async with at_work() as (writer, database):
            event = _event()
            database.undone["room"][event.tip_id] = event
            writer.write([line(1), line(2)], [])
            writer.write([line(3)], [event.tip_id])
            assert writer.waiting == 2
            await writer.flush()
            assert written(database) == ["tip-1", "tip-2", "tip-3"]
            assert database.audit_writes == [(3, 1)]
            assert database.undone["room"] == {}
            assert writer.waiting == 0

    on_virtual_clock(main)


def test_finished_tips_stand_in_one_line_of_the_log_where_they_are_to() -> None:
    async def main() -> None:
        with structlog.testing.capture_logs() as lines:
            async with at_work() as (writer, _):
                writer.write([line(1)], ["tip-1"], logged=True)
                writer.write([line(2)], ["tip-2"])
                writer.write([line(3)], ["tip-3"], logged=True)
                await writer.flush()
        assert [each["tip_ids"] for each in lines] == [["tip-1", "tip-3"]]

    on_virtual_clock(main)


def test_a_write_is_bounded_and_never_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_writer, "RECORDS_PER_WRITE_MAX", 4)

    async def main() -> None:
        async with at_work() as (writer, database):
            for first in (1, 4, 7):
                writer.write([line(first), line(first + 1), line(first + 2)], [])
            writer.write([line(number) for number in range(10, 16)], [])
            await writer.flush()
            assert database.audit_writes == [(3, 0), (3, 0), (3, 0), (6, 0)]
            assert written(database) == [f"tip-{number}" for number in range(1, 16)]

    on_virtual_clock(main)


def test_without_the_database_it_keeps_all_and_tries_again() -> None:
    async def away(_call: str) -> None:
        raise StoreUnavailable

    async def main() -> None:
        async with at_work() as (writer, database):
            present, database.before = database.before, away
            writer.write([line(1)], [])
            await trio.sleep(10)
            writer.write([line(2)], [])
            assert (writer.waiting, written(database)) == (2, [])
            database.before = present
            await writer.flush()
            assert written(database) == ["tip-1", "tip-2"]

    on_virtual_clock(main)


def test_a_flush_waits_for_what_was_written_before_it_and_no_longer() -> None:
    """Under load something always waits: a flush that waited for all would never end."""

    async def slow(_call: str) -> None:
        await trio.sleep(1)

    async def main() -> None:
        async with at_work() as (writer, database), trio.open_nursery() as nursery:
            database.before = slow

            async def load() -> None:
                for number in range(2, 1_000):
                    writer.write([line(number)], [])
                    await trio.sleep(0.1)

            writer.write([line(1)], [])
            nursery.start_soon(load)
            await trio.sleep(0.05)
            await writer.flush()
            assert trio.current_time() <= 3
            assert "tip-1" in written(database)
            nursery.cancel_scope.cancel()

    on_virtual_clock(main)


def test_a_flush_of_nothing_returns_at_once() -> None:
    async def main() -> None:
        async with at_work() as (writer, _):
            await writer.flush()
            await wait_all_tasks_blocked()
            assert trio.current_time() == 0

    on_virtual_clock(main)


def _event() -> TipActivated:
    room = SteppedRoom()
    room.join_viewer(5, "ann")
    room.tip(5, "tip-3")
    return events(room)[0]
