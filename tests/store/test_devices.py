"""Devices on the real database: what pages report, what owners set, and whose they are."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import trio

from actors.ports import DevicesSeen
from protocol.devices import DeviceOverride, DeviceStatus, device_id_of
from protocol.errors import Refused
from protocol.gating import Preferences
from protocol.lovense import Toy
from protocol.toy_settings import ModelSettings
from server.store.device_store import DEVICES_MAX, Device
from server.store.store import Store
from tests.store.settlements import NOW

LATER = NOW + timedelta(minutes=1)
LIMIT = DeviceOverride(max_strength=7, functions=("vibrate",))


def toy(toy_id: str = "toy-1", **changes: Any) -> Toy:
    plain = Toy(toy_id, "Lush 3", "lush", "Pinky", connected=True, battery=80, firmware="300")
    return msgspec.structs.replace(plain, **changes)


async def see(store: Store, owner_id: str, *toys: Toy, at_utc: Any = NOW) -> list[Device]:
    await store.devices.save_seen([DevicesSeen(owner_id, toys, at_utc)])
    return await store.devices.load_all(owner_id)


async def test_a_reported_toy_is_kept_as_it_was_understood(store: Store) -> None:
    [device] = await see(store, "alex", toy())
    assert device == Device(
        device_id=device_id_of("alex", "toy-1"),
        toy_id="toy-1",
        toy_type="lush",
        name="Lush 3",
        nickname="Pinky",
        firmware="300",
        capabilities=["vibrate"],
        battery=80,
        status=DeviceStatus.CONNECTED,
        last_seen_at=NOW,
        last_connected_at=NOW,
        paired_at=device.paired_at,
        override=DeviceOverride(),
    )


async def test_it_is_disconnected_with_the_socket_and_keeps_when_it_was_there(store: Store) -> None:
    await see(store, "alex", toy(), toy("toy-2", connected=False, battery=None))
    first, second = await see(store, "alex", at_utc=LATER)
    assert (first.status, first.last_seen_at, first.battery) == ("disconnected", NOW, 80)
    assert (second.status, second.last_connected_at, second.battery) == ("disconnected", None, None)
    again, _ = await see(store, "alex", toy(battery=None), at_utc=LATER)
    assert (again.status, again.last_connected_at, again.battery) == ("connected", LATER, 80)


async def test_one_owners_report_is_nothing_to_another(store: Store) -> None:
    await see(store, "alex", toy())
    await see(store, "sam", toy())
    await see(store, "alex")
    [sams] = await store.devices.load_all("sam")
    assert sams.status is DeviceStatus.CONNECTED
    with pytest.raises(Refused, match="DEVICE_UNKNOWN"):
        await store.devices.load("alex", sams.device_id)
    with pytest.raises(Refused, match="DEVICE_UNKNOWN"):
        await store.devices.change("alex", sams.device_id, LIMIT, None)
    with pytest.raises(Refused, match="DEVICE_UNKNOWN"):
        await store.devices.forget("alex", sams.device_id)
    assert await store.devices.load_all("sam") == [sams]


async def test_after_a_start_nothing_is_connected(store: Store) -> None:
    await see(store, "alex", toy())
    await store.devices.forget_connections()
    [device] = await store.devices.load_all("alex")
    assert device.status is DeviceStatus.DISCONNECTED


async def test_what_an_owner_has_set_outlives_reports_and_comes_with_the_member(
    store: Store,
) -> None:
    [device] = await see(store, "alex", toy())
    assert (await store.members.load_viewer("alex")).overrides == {}
    changed, overrides = await store.devices.change("alex", device.device_id, LIMIT, "Mine")
    assert overrides == await store.devices.load_overrides("alex")
    assert (changed.override, changed.nickname) == (LIMIT, "Mine")
    [again] = await see(store, "alex", toy(nickname="Other"))
    assert (again.override, again.nickname) == (LIMIT, "Mine")
    assert await store.devices.load_overrides("alex") == {"toy-1": LIMIT}
    viewer = await store.members.load_viewer("alex")
    assert (viewer.preferences, viewer.overrides) == (Preferences(), {"toy-1": LIMIT})
    await store.devices.change("alex", device.device_id, DeviceOverride(), None)
    assert await store.devices.load_overrides("alex") == {}


async def test_what_a_model_has_set_comes_with_her_room(store: Store) -> None:
    await store.rooms.add_model("model-1", "Ruby Rain", ModelSettings())
    await store.rooms.add_room("room-1", "model-1")
    [device] = await see(store, "model-1", toy())
    await store.devices.change("model-1", device.device_id, LIMIT, None)
    room = await store.rooms.load_room("room-1")
    assert room is not None
    assert room.model_overrides == {"toy-1": LIMIT}


async def test_a_paired_toy_waits_for_its_page(store: Store) -> None:
    paired = await store.devices.pair("alex", "toy-1", "nora", "My toy")
    assert (paired.status, paired.last_seen_at) == (DeviceStatus.DISCONNECTED, None)
    assert paired.capabilities == ["vibrate", "rotate"]
    assert await store.devices.pair("alex", "toy-1", "lush", "Another") == paired
    [seen] = await see(store, "alex", toy())
    assert (seen.device_id, seen.name, seen.paired_at) == (
        paired.device_id,
        "Lush 3",
        paired.paired_at,
    )


async def test_a_forgotten_toy_is_gone_with_its_limits(store: Store) -> None:
    [device] = await see(store, "alex", toy())
    await store.devices.change("alex", device.device_id, LIMIT, None)
    await store.devices.forget("alex", device.device_id)
    with pytest.raises(Refused, match="DEVICE_UNKNOWN"):
        await store.devices.forget("alex", device.device_id)
    [again] = await see(store, "alex", toy())
    assert again.override == DeviceOverride()


@pytest.mark.slow  # many reports, several of them at once
async def test_no_owner_keeps_more_than_so_many(store: Store) -> None:
    async def report(number: int) -> None:
        await see(store, "alex", *(toy(f"toy-{number}-{each}") for each in range(16)))

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(report, number)
    assert len(await store.devices.load_all("alex")) == DEVICES_MAX
    with pytest.raises(Refused, match="LIMIT_REACHED"):
        await store.devices.pair("alex", "one-more", "lush", "One more")
    known = (await store.devices.load_all("alex"))[0]
    assert await store.devices.pair("alex", known.toy_id, "lush", "Known") == known


async def test_what_a_page_says_keeps_nothing_else_from_being_stored(store: Store) -> None:
    unstorable = "half \ud83d"
    devices = await see(
        store,
        "alex",
        toy(unstorable),
        toy("toy-2", name=unstorable, nickname=unstorable, toy_type=unstorable),
        toy("toy-3"),
    )
    assert [(each.toy_id, each.name) for each in devices if each.name != "Lush 3"] == [
        ("toy-2", "")
    ]
    assert {each.toy_id for each in devices} == {"toy-2", "toy-3"}
    with pytest.raises(Refused, match="INVALID_FIELD"):
        await store.devices.pair("alex", unstorable, "lush", "x")
    with pytest.raises(Refused, match="INVALID_FIELD"):
        await store.devices.change("alex", devices[0].device_id, LIMIT, unstorable)
