"""Tests of a model's own toy in the audit: marked as such, and no tip's."""

from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from actors.ports import ModelToySent
from protocol.audit import Reason, TargetState, ToyTestRecord
from protocol.toy_settings import ModelSettings
from server.store.database import Connection
from server.store.store import Store
from tests.store.settlements import NOW


@pytest.fixture
async def room(store: Store) -> Store:
    await store.rooms.add_model("model-1", "Ruby Rain", ModelSettings())
    await store.rooms.add_room("room-1", "model-1")
    return store


def toy_test(state: TargetState, **fields: Any) -> ToyTestRecord:
    plain = ToyTestRecord(
        record_id=uuid4(),
        test_id=uuid4(),
        room_id="room-1",
        model_id="model-1",
        row_id="row-1",
        state=state,
        reason=None,
        code=None,
        call={"method": "receiveTip"},
        fit={"seconds": 4},
        at_utc=NOW,
    )
    return msgspec.structs.replace(plain, **fields)


async def query(store: Store, sql: str, *args: Any) -> list[tuple[Any, ...]]:
    async def fetch(connection: Connection) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await connection.fetch(sql, *args)]

    return await store._database.run(fetch)


async def test_its_records_are_in_the_audit_and_belong_to_no_tip(room: Store) -> None:
    sent = toy_test(TargetState.SENT)
    failed = toy_test(
        TargetState.FAILED,
        test_id=sent.test_id,
        reason=Reason.PAGE_REPORTED,
        code="nul\0",
        call=None,
        fit=None,
    )
    for _ in range(2):
        await room.rooms.append_audit([sent, failed], [])
    rows = await query(
        room,
        """SELECT test_id, menu_row_id, tip_id, event_id, ledger_id, room_id, target_type,
                  target_id, state, reason, code
           FROM activation_audit ORDER BY seq""",
    )
    whose = (sent.test_id, "row-1", None, None, None, "room-1", "MODEL_TOY", "model-1")
    assert rows == [
        (*whose, "SENT", None, None),
        (*whose, "FAILED", "page_reported", "nul\N{REPLACEMENT CHARACTER}"),
    ]
    assert await room.dead_letters.load_page("open", None, 10) == []  # type: ignore[arg-type]


async def test_a_room_that_comes_up_knows_that_her_toy_may_play_a_test(room: Store) -> None:
    await room.rooms.append_audit([toy_test(TargetState.SENT)], [])
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.model_toy_sent == ModelToySent(None, NOW, 4)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("tip_id", "'tip-1'"),
        ("event_id", "gen_random_uuid()"),
        ("ledger_id", "'x'"),
        ("target_type", "'VIP_VIEWER_TOY'"),
        ("target_type", "'TIPPER_TOY'"),
        ("menu_row_id", "NULL"),
        ("test_id", "NULL"),
    ],
)
async def test_the_database_knows_no_test_of_another_kind(
    room: Store, change: str, value: str
) -> None:
    columns = {
        "record_id": "gen_random_uuid()",
        "test_id": "gen_random_uuid()",
        "menu_row_id": "'row-1'",
        "room_id": "'room-1'",
        "target_type": "'MODEL_TOY'",
        "target_id": "'model-1'",
        "attempt": "1",
        "state": "'SENT'",
        "at_utc": "now()",
        change: value,
    }
    names, values = ", ".join(columns), ", ".join(columns.values())
    with pytest.raises(asyncpg.CheckViolationError):
        await query(room, f"INSERT INTO activation_audit ({names}) VALUES ({values})")
