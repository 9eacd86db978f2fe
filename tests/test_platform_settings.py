"""The kill switch: it waits for nothing, and nothing that began before it undoes it."""

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.ports import ModelRecord, StoreUnavailable
from actors.room.messages import PlatformSettingsChanged
from protocol.errors import ErrorCode, Refused
from protocol.toy_settings import ModelSettings, PlatformSettings
from server.platform_settings import BadChange, PlatformChanges

ON = PlatformSettings(enable_lovense=True)
OFF = PlatformSettings(enable_lovense=False)


class Room:
    """Implements RoomRef; keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[PlatformSettings] = []

    def tell(self, message: Any) -> None:
        raise AssertionError(message)

    tell_always = tell

    def tell_first(self, message: Any) -> None:
        assert isinstance(message, PlatformSettingsChanged)
        self.told.append(message.settings)


class Settings:
    """Implements SettingsStore for the platform. `away`: the database is; `slow`: it answers once
    the event is set."""

    def __init__(self) -> None:
        self.stored = ON
        self.history: list[dict[str, tuple[Any, Any]]] = []
        self.away = False
        self.slow: trio.Event | None = None

    async def load_platform_settings(self) -> PlatformSettings:
        await self._answer()
        return self.stored

    async def save_platform_settings(
        self,
        settings: PlatformSettings,
        changes: dict[str, tuple[Any, Any]],
        who: str,  # noqa: ARG002
    ) -> None:
        await self._answer()
        self.stored = settings
        self.history.append(changes)

    async def load_model(self, model_id: str) -> ModelRecord | None:
        raise AssertionError(model_id)

    async def save_model_settings(
        self,
        model_id: str,
        settings: ModelSettings,
        changes: dict[str, tuple[Any, Any]],
        who: str,
    ) -> None:
        raise AssertionError(model_id, settings, changes, who)

    async def _answer(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise StoreUnavailable


async def test_a_change_is_stored_with_its_history_and_told() -> None:
    room, store = Room(), Settings()
    changes = PlatformChanges([room], store, ON)
    new = await changes.change({"lovenseRateLimitPerMin": 7}, "boss")
    assert room.told == [new] == [store.stored]
    assert store.history == [{"lovenseRateLimitPerMin": (30, 7)}]


async def test_without_the_database_the_switch_is_told_and_the_answer_says_so() -> None:
    room, store = Room(), Settings()
    changes = PlatformChanges([room], store, ON)
    store.away = True
    with pytest.raises(Refused) as refused:
        await changes.change({"enableLovense": False}, "boss")
    assert refused.value.refusal.code is ErrorCode.LEDGER_UNAVAILABLE
    assert "told" in refused.value.refusal.text
    assert room.told == [OFF]
    with pytest.raises(StoreUnavailable):
        await changes.change({"lovenseRateLimitPerMin": 7}, "boss")
    assert room.told == [OFF]

    # What is changed next does not switch it on; only who says so does.
    store.away = False
    await changes.change({"lovenseRateLimitPerMin": 7}, "boss")
    assert not store.stored.enable_lovense
    await changes.change({"enableLovense": True}, "boss")
    assert [each.enable_lovense for each in room.told] == [False, False, True]
    assert store.stored.enable_lovense


@pytest.mark.parametrize("earlier", [{"lovenseRateLimitPerMin": 7}, {"enableLovense": True}])
async def test_the_switch_does_not_wait_for_another_change_nor_is_undone_by_it(
    earlier: dict[str, Any],
) -> None:
    room, store = Room(), Settings()
    changes = PlatformChanges([room], store, ON)
    store.slow = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(changes.change, earlier, "somebody")
        await wait_all_tasks_blocked()
        nursery.start_soon(changes.change, {"enableLovense": False}, "boss")
        await wait_all_tasks_blocked()
        assert room.told == [OFF]
        store.slow.set()
    assert not any(each.enable_lovense for each in room.told)
    assert not store.stored.enable_lovense


async def test_a_bad_change_changes_nothing() -> None:
    room, store = Room(), Settings()
    changes = PlatformChanges([room], store, ON)
    with pytest.raises(BadChange):
        await changes.change({"enableLovense": False, "none": 1}, "boss")
    assert (room.told, store.stored) == ([], ON)
