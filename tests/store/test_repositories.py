"""Rooms, members, settings, audit and trace on the real database, and the demo."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
import trio

from actors.ports import Broadcast, ModelToySent, PendingActivation, UserRecord, ViewerRecord
from protocol.audit import Reason, TargetRecord, TargetState
from protocol.errors import Refused
from protocol.gating import Preferences
from protocol.tip_activated import LovenseMode, MembershipTier, ViewerSyncMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import ModelSettings, PlatformSettings, difference
from protocol.vibration import level
from server.store.database import Connection
from server.store.demo import FIRST_TOKENS, MODEL_ID, ROOM_ID, VIEWERS, seed_demo
from server.store.store import Store
from tests.store.rows import pending_events
from tests.store.settlements import NOW, tip

EXTENSION = Broadcast("broadcast-1", LovenseMode.EXTENSION)


@pytest.fixture
async def room(store: Store) -> Store:
    """room-1 of model-1, offline, and alex with 100 tokens."""
    await store.rooms.add_model("model-1", "Ruby Rain", ModelSettings())
    await store.rooms.add_room("room-1", "model-1")
    await store.members.save_user(UserRecord("alex", "Alex", MembershipTier.VIP_GOLD))
    await store.ledger.deposit("alex", "alex", 100)
    return store


def record(tip_id: str, state: TargetState, **fields: Any) -> TargetRecord:
    plain = TargetRecord(
        record_id=uuid4(),
        tip_id=tip_id,
        event_id=uuid4(),
        ledger_id=str(uuid4()),
        room_id="room-1",
        target_type="MODEL_TOY",
        target_id="model-1",
        attempt=0,
        state=state,
        reason=None,
        code=None,
        call=None,
        fit=None,
        at_utc=NOW,
    )
    return msgspec.structs.replace(plain, **fields)


# ---- rooms -----------------------------------------------------------------------------------


async def test_a_room_that_nobody_added(store: Store) -> None:
    assert await store.rooms.load_room("room-1") is None


async def test_a_new_room_starts_from_the_defaults(room: Store) -> None:
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert (loaded.model_id, loaded.model_display_name) == ("model-1", "Ruby Rain")
    assert (loaded.broadcast, loaded.tip_menu, loaded.pending) == (None, (), ())
    assert loaded.model_settings == ModelSettings()
    assert loaded.platform_settings == PlatformSettings()


async def test_adding_again_changes_nothing(room: Store) -> None:
    await room.rooms.add_model("model-1", "Another", ModelSettings(auto_connect=False))
    await room.rooms.add_model("model-2", "Second", ModelSettings())
    await room.rooms.add_room("room-1", "model-2")
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert (loaded.model_display_name, loaded.model_settings) == ("Ruby Rain", ModelSettings())


async def test_one_broadcast_at_a_time(room: Store) -> None:
    other = Broadcast("broadcast-2", LovenseMode.CAM_KIT)
    await room.rooms.start_broadcast("room-1", EXTENSION)
    await room.rooms.start_broadcast("room-1", EXTENSION)
    with pytest.raises(Refused, match="BROADCAST_ACTIVE"):
        await room.rooms.start_broadcast("room-1", other)
    with pytest.raises(Refused, match="BROADCAST_STALE"):
        await room.rooms.start_broadcast("room-1", Broadcast("broadcast-1", LovenseMode.CAM_KIT))
    with pytest.raises(Refused, match="ROOM_UNKNOWN"):
        await room.rooms.start_broadcast("room-9", other)
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.broadcast == EXTENSION

    await room.rooms.end_broadcast("room-1", "broadcast-2")  # not that one
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.broadcast == EXTENSION

    await room.rooms.end_broadcast("room-1", "broadcast-1")
    await room.rooms.end_broadcast("room-1", "broadcast-1")
    with pytest.raises(Refused, match="BROADCAST_STALE"):
        await room.rooms.start_broadcast("room-1", EXTENSION)
    await room.rooms.start_broadcast("room-1", other)
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.broadcast == other


async def test_a_tip_menu_is_replaced_whole(room: Store) -> None:
    rows = [
        TipMenuRow("a", 10, level(5, 3), "Hello", True, 1),
        TipMenuRow("b", 20, level(9, 3), "Again", True, 0, priority=7),
        TipMenuRow("c", 20, level(9, 3), "Resting", False, 2),
    ]
    await room.rooms.save_tip_menu("model-1", rows[:1])
    await room.rooms.save_tip_menu("model-1", rows)
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.tip_menu == (rows[1], rows[0], rows[2])

    twice = [rows[0], TipMenuRow("d", 10, level(5, 3), "Same price", True, 3)]
    with pytest.raises(asyncpg.UniqueViolationError):
        await room.rooms.save_tip_menu("model-1", twice)
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert len(loaded.tip_menu) == 3


# ---- audit and what is unfinished ------------------------------------------------------------


async def test_a_room_finds_what_it_has_not_finished(room: Store) -> None:
    first, second, elsewhere = tip("a"), tip("b"), tip("c", room_id="room-2")
    await room.ledger.post([first, second, elsewhere])
    queued = record("a", TargetState.QUEUED)
    sent = record(
        "a",
        TargetState.SENT,
        merged_into="c",
        attempt=1,
        call={"function": "x", "args": [1, "y"]},
        fit={"exact": True},
        at_utc=NOW + timedelta(microseconds=1),
    )
    skipped = record("b", TargetState.SKIPPED, reason=Reason.NO_TOY, code="E_1")
    await room.rooms.append_audit([queued, sent], [])
    await room.rooms.append_audit([skipped], ["b"])
    await room.rooms.append_audit([], [])

    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert first.event is not None
    assert loaded.pending == (PendingActivation(first.event, (queued, sent)),)
    pending = await pending_events(room, "room", 10)
    assert [event.tip_id for event in pending] == ["a", "c"]

    trace = await room.traces.load_tip("b")
    assert trace is not None
    assert [(each["consumer"], each["done"]) for each in trace.consumers] == [
        ("loyalty", False),
        ("messaging", False),
        ("room", True),
    ]
    assert trace.consumers[2]["doneAt"] is not None
    [target] = trace.targets
    assert (target["state"], target["reason"], target["code"], target["at"]) == (
        "SKIPPED",
        "no_toy",
        "E_1",
        NOW,
    )


async def test_the_audit_and_its_end_are_one_transaction(room: Store) -> None:
    await room.ledger.post([tip("a")])
    unknown_target = record("a", TargetState.SENT, target_type="NOBODYS_TOY")
    with pytest.raises(asyncpg.CheckViolationError):
        await room.rooms.append_audit([record("a", TargetState.QUEUED), unknown_target], ["a"])
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert [each.records for each in loaded.pending] == [()]


async def test_the_last_command_to_the_models_toy_is_known(room: Store) -> None:
    await room.ledger.post([tip("a"), tip("b")])
    lines = [
        record("a", TargetState.SENT, fit={"seconds": 3.5}),
        record("b", TargetState.SENT, fit={"seconds": 8}),
        record("b", TargetState.ACTIVATED),
        record("b", TargetState.SENT, target_type="TIPPER_TOY", fit={"seconds": 60}),
    ]
    await room.rooms.append_audit(lines, [])
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.model_toy_sent == ModelToySent("b", NOW, 8)


async def test_the_same_write_again_adds_nothing(room: Store) -> None:
    """As after a lost connection, when nobody knows whether the first one stands."""
    await room.ledger.post([tip("a"), tip("b")])
    records = [record("a", TargetState.QUEUED), record("a", TargetState.SKIPPED)]
    for _ in range(2):
        await room.rooms.append_audit(records, ["a"])
    trace = await room.traces.load_tip("a")
    assert trace is not None
    assert [each["state"] for each in trace.targets] == ["QUEUED", "SKIPPED"]
    assert [event.tip_id for event in await pending_events(room, "room", 10)] == ["b"]


async def test_every_state_and_reason_can_be_written(room: Store) -> None:
    records = [record("a", state) for state in TargetState]
    records += [record("a", TargetState.SKIPPED, reason=reason) for reason in Reason]
    await room.ledger.post([tip("a")])
    await room.rooms.append_audit(records, [])
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert loaded.pending[0].records == tuple(records)


@pytest.mark.parametrize(("code", "kept"), [("a\0b", "a�b"), ("half \ud83d", "half ?")])
async def test_a_page_cannot_keep_the_audit_from_being_written(
    room: Store, code: str, kept: str
) -> None:
    await room.ledger.post([tip("a")])
    await room.rooms.append_audit(
        [record("a", TargetState.FAILED, code=code, call={"said": "\0"})], []
    )
    trace = await room.traces.load_tip("a")
    assert trace is not None
    assert (trace.targets[0]["code"], trace.targets[0]["call"]) == (kept, {"said": "\0"})


@pytest.mark.parametrize(
    "command",
    ["UPDATE activation_audit SET state = 'DEAD'", "DELETE FROM activation_audit"],
)
async def test_the_audit_never_changes(room: Store, command: str) -> None:
    async def change(connection: Connection) -> None:
        await connection.execute(command)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never change"):
        await room._database.run(change)


@pytest.mark.parametrize("tip_id", ["unknown", "nul\0"])
async def test_there_is_no_trace_of_an_unknown_tip(store: Store, tip_id: str) -> None:
    assert await store.traces.load_tip(tip_id) is None


# ---- members and settings --------------------------------------------------------------------


async def test_a_viewer_nobody_registered_has_no_wallet(store: Store) -> None:
    assert await store.members.load_viewer("nobody") == ViewerRecord(Preferences(), None)
    assert await store.members.load_user("nobody") is None


async def test_a_pause_belongs_to_its_broadcast(room: Store) -> None:
    await room.rooms.start_broadcast("room-1", EXTENSION)
    for paused in (True, False, True):
        await room.rooms.save_toys_paused(EXTENSION.broadcast_id, paused)
        loaded = await room.rooms.load_room("room-1")
        assert loaded is not None
        assert loaded.toys_paused is paused
    await room.rooms.end_broadcast("room-1", EXTENSION.broadcast_id)
    await room.rooms.start_broadcast("room-1", Broadcast("broadcast-2", LovenseMode.CAM_KIT))
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert not loaded.toys_paused


async def test_a_viewers_wishes_persist(room: Store) -> None:
    for wishes in (Preferences(True, False), Preferences(False, True)):
        await room.rooms.save_preferences("alex", wishes)
        assert await room.members.load_viewer("alex") == ViewerRecord(wishes, 100)


async def test_viewers_who_are_read_together_each_get_their_own(room: Store) -> None:
    await room.rooms.save_preferences("alex", Preferences(True, False))
    found: dict[str, ViewerRecord] = {}

    async def load(user_id: str) -> None:
        found[user_id] = await room.members.load_viewer(user_id)

    async with trio.open_nursery() as nursery:
        for user_id in ("first", "alex", "nobody", "robin"):
            nursery.start_soon(load, user_id)
    unknown = ViewerRecord(Preferences(), None)
    alex = ViewerRecord(Preferences(True, False), 100)
    assert found == {"first": unknown, "alex": alex, "nobody": unknown, "robin": unknown}


async def test_a_user_may_change_name_and_tier_and_keeps_the_wallet(room: Store) -> None:
    changed = UserRecord("alex", "Alexandra", MembershipTier.FREE)
    await room.members.save_user(changed)
    assert await room.members.load_user("alex") == changed
    assert (await room.members.load_viewer("alex")).balance == 100
    with pytest.raises(ValueError, match="NUL"):
        await room.members.save_user(UserRecord("alex", "a\0", MembershipTier.FREE))


async def history(store: Store) -> list[tuple[Any, ...]]:
    async def read(connection: Connection) -> list[tuple[Any, ...]]:
        rows = await connection.fetch(
            "SELECT scope, owner_id, name, old::text, new::text, who FROM settings_history "
            "ORDER BY change_id"
        )
        return [tuple(row) for row in rows]

    return await store._database.run(read)


async def test_settings_are_stored_with_who_changed_what(room: Store) -> None:
    old, new = PlatformSettings(), PlatformSettings(enable_lovense=True)
    await room.settings.save_platform_settings(new, difference(old, new), "admin-1")
    assert await room.settings.load_platform_settings() == new

    before = ModelSettings()
    after = ModelSettings(viewer_sync_mode=ViewerSyncMode.SHARED_MOMENT, tip_threshold=50)
    await room.settings.save_model_settings("model-1", after, difference(before, after), "model-1")
    loaded = await room.rooms.load_room("room-1")
    assert loaded is not None
    assert (loaded.platform_settings, loaded.model_settings) == (new, after)
    assert await history(room) == [
        ("platform", None, "enableLovense", "false", "true", "admin-1"),
        ("model", "model-1", "viewerSyncMode", '"OFF"', '"SHARED_MOMENT"', "model-1"),
        ("model", "model-1", "tipThreshold", "null", "50", "model-1"),
    ]


async def test_settings_of_an_unknown_model_are_refused(room: Store) -> None:
    with pytest.raises(Refused, match="NOT_FOUND"):
        await room.settings.save_model_settings(
            "model-9", ModelSettings(), {"autoConnect": (True, False)}, "admin-1"
        )
    assert await history(room) == []


async def test_a_model_has_one_room_and_is_loaded_with_it(room: Store) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        await room.rooms.add_room("room-2", "model-1")
    found = await room.settings.load_model("model-1")
    assert found is not None
    assert (found.settings, found.room_ids) == (ModelSettings(), ("room-1",))
    assert await room.settings.load_model("model-9") is None


async def test_the_demo_is_seeded_once(store: Store) -> None:
    await seed_demo(store)
    first = await store.rooms.load_room(ROOM_ID)
    assert first is not None
    assert first.broadcast is not None
    assert first.platform_settings.enable_lovense
    assert len(first.tip_menu) == 6

    await store.ledger.post([tip("t-1", "alex", 100, room_id=ROOM_ID, model_id=MODEL_ID)])
    off = PlatformSettings(enable_lovense=False)
    await store.settings.save_platform_settings(off, {}, "admin")
    await seed_demo(store)

    again = await store.rooms.load_room(ROOM_ID)
    assert again is not None
    assert again.broadcast == first.broadcast
    assert again.platform_settings == off
    assert (await store.members.load_viewer("alex")).balance == FIRST_TOKENS - 100
    assert {user: (await store.members.load_viewer(user)).balance for user in VIEWERS} == {
        **dict.fromkeys(VIEWERS, FIRST_TOKENS),
        "alex": FIRST_TOKENS - 100,
    }

    await store.rooms.end_broadcast(ROOM_ID, first.broadcast.broadcast_id)
    await seed_demo(store)
    restarted = await store.rooms.load_room(ROOM_ID)
    assert restarted is not None
    assert restarted.broadcast not in (None, first.broadcast)
