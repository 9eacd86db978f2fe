"""Errors that nobody expects: they are logged and cost as little as they can, not the server."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import trio
from structlog.testing import capture_logs

from actors.audit_writer import UNEXPECTED_TRIES
from actors.consumers.relay import INTERVAL_S
from actors.ports import StoreUnavailable
from protocol.audit import TargetRecord, TargetState
from tests.actors.house import on_virtual_clock, open_house
from tests.actors.ports import Database
from tests.actors.rooms import ROOM, record


class Picky(Database):
    """Refuses every write with a record of tip-bad, as a violated constraint does."""

    tries = 0

    async def append_audit(self, records: Sequence[TargetRecord], finished: Sequence[str]) -> None:
        self.tries += 1
        if any(each.tip_id == "tip-bad" for each in records):
            raise ValueError("no row can hold this")
        await super().append_audit(records, finished)


def line(number: int, tip_id: str) -> TargetRecord:
    return TargetRecord(
        record_id=UUID(int=number),
        tip_id=tip_id,
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


def test_a_record_that_no_row_can_hold_is_set_aside_and_the_others_are_written() -> None:
    async def main() -> None:
        database = Picky([record()], {})
        async with open_house(database) as house:
            for number, tip_id in enumerate(["tip-1", "tip-bad", "tip-2"]):
                house.audit.write([line(number, tip_id)], [])
            with capture_logs() as logs:
                await house.audit.flush()
            assert [each.tip_id for each in database.audit] == ["tip-1", "tip-2"]
            assert database.tries == UNEXPECTED_TRIES + 3
            assert (house.audit.waiting, house.audit.set_aside) == (0, 1)
            [aside] = [each for each in logs if each["event"] == "audit_set_aside"]
            assert (aside["tip_ids"], aside["records"]) == (["tip-bad"], 1)
            assert {each.get("reason") for each in logs[:-1]} == {"ValueError"}
            house.audit.write([line(9, "tip-3")], [])
            await house.audit.flush()
            assert database.audit[-1].tip_id == "tip-3"

    on_virtual_clock(main)


def test_an_unexpected_error_that_passes_costs_no_record() -> None:
    async def main() -> None:
        async with open_house() as house:
            errors = [ValueError(), StoreUnavailable(), *(KeyError() for _ in range(3))]

            async def failing(_call: str) -> None:
                await trio.lowlevel.checkpoint()
                if errors:
                    raise errors.pop()

            house.database.before = failing
            house.audit.write([line(1, "tip-1")], [])
            house.audit.write([line(2, "tip-2")], [])
            await house.audit.flush()
            assert house.database.audit_writes == [(2, 0)]
            assert house.audit.set_aside == 0

    on_virtual_clock(main)


def test_the_relay_outlives_whatever_the_store_raises() -> None:
    async def main() -> None:
        passes: list[str] = []

        async def failing(call: str) -> None:
            await trio.lowlevel.checkpoint()
            if call == "pending_events":
                passes.append(call)
                raise KeyError(call)

        database = Database([record()], {})
        database.before = failing
        async with open_house(database, relay=True):
            await trio.sleep(INTERVAL_S * 1.5)
        assert len(passes) == 4, "two passes over two consumers"

    on_virtual_clock(main)
