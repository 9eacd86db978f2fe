"""Devices: the toys of members as their pages report them, and what their owners set on them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from actors.ports import DevicesSeen
from protocol.devices import DeviceOverride, DeviceStatus, device_id_of
from protocol.errors import ErrorCode, Refused
from protocol.lovense import Toy, functions_of
from server.store import queries
from server.store.database import Connection, Database, is_storable
from server.store.settings_store import record_changes

DEVICES_MAX: Final = 64
"""Of one owner, paired and reported; a toy over it plays, but is not kept."""


class Device(msgspec.Struct, frozen=True, rename="camel"):
    """One toy of one owner. `battery`: percent, as last reported. `capabilities`: the vendor's
    function names. Times are UTC; null: never."""

    device_id: UUID
    toy_id: str
    toy_type: str
    name: str
    nickname: str
    firmware: str
    capabilities: list[str]
    battery: int | None
    status: DeviceStatus
    last_seen_at: datetime | None
    last_connected_at: datetime | None
    paired_at: datetime
    override: DeviceOverride


class PostgresDevices:
    """Implements actors.ports.DeviceStore, and answers what owners ask."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save_seen(self, seen: Sequence[DevicesSeen]) -> None:
        """See the port."""
        await self._database.run(_save_seen, seen)

    async def forget_connections(self) -> None:
        """At the start of the server: no socket is open."""
        await self._database.run(_execute, queries.LOSE_ALL_DEVICES)

    async def pair(self, owner_id: str, toy_id: str, toy_type: str, name: str) -> Device:
        """Keep a toy before a page reports it; one that is known stays as it is. Raises Refused:
        LIMIT_REACHED; INVALID_FIELD for text that PostgreSQL cannot hold."""
        for field, text in (("toyId", toy_id), ("toyType", toy_type), ("name", name)):
            if not is_storable(text):
                raise Refused(ErrorCode.INVALID_FIELD, field)
        return await self._database.run(_pair, owner_id, toy_id, toy_type, name)

    async def load_all(self, owner_id: str) -> list[Device]:
        """In the order in which they were first known."""
        return [
            _device(row) for row in await self._database.run(_fetch, queries.LOAD_DEVICES, owner_id)
        ]

    async def load(self, owner_id: str, device_id: UUID) -> Device:
        """Raises Refused with DEVICE_UNKNOWN, also for another owner's."""
        return await self._database.run(_load, owner_id, device_id)

    async def change(
        self, owner_id: str, device_id: UUID, override: DeviceOverride, nickname: str | None
    ) -> tuple[Device, dict[str, DeviceOverride]]:
        """`nickname` None: as it was. With it what is set on all of the owner's toys now, as
        `load_overrides`, and a line of history for each limit that changed. Raises Refused:
        DEVICE_UNKNOWN; INVALID_FIELD for a nickname that PostgreSQL cannot hold."""
        if nickname is not None and not is_storable(nickname):
            raise Refused(ErrorCode.INVALID_FIELD, "nickname")
        return await self._database.run(_change, owner_id, device_id, override, nickname)

    async def forget(self, owner_id: str, device_id: UUID) -> dict[str, DeviceOverride]:
        """With all that was set on it; what is set on the others. Raises Refused with
        DEVICE_UNKNOWN."""
        return await self._database.run(_forget, owner_id, device_id)

    async def load_overrides(self, owner_id: str) -> dict[str, DeviceOverride]:
        """By toyId; only of toys on which something is set."""
        return await self._database.run(load_overrides, owner_id)


async def load_overrides(connection: Connection, owner_id: str) -> dict[str, DeviceOverride]:
    return {
        row["toy_id"]: msgspec.json.decode(row["override"], type=DeviceOverride)
        for row in await connection.fetch(queries.LOAD_OVERRIDES, owner_id)
    }


async def _save_seen(connection: Connection, seen: Sequence[DevicesSeen]) -> None:
    owners = [each.owner_id for each in seen]
    toys = {
        device_id_of(each.owner_id, toy.toy_id): (each, toy)
        for each in seen
        for toy in each.toys
        if is_storable(toy.toy_id)
    }
    async with connection.transaction():
        await connection.execute(queries.LOCK_OWNERS, owners)
        known = {row["device_id"] for row in await connection.fetch(queries.KNOWN_DEVICES, [*toys])}
        counts = await connection.fetch(queries.COUNT_DEVICES, owners)
        free = dict.fromkeys(owners, DEVICES_MAX)
        free |= {row["owner_id"]: DEVICES_MAX - row["devices"] for row in counts}
        rows = []
        for device_id, (each, toy) in toys.items():
            if device_id not in known:
                if free[each.owner_id] <= 0:
                    continue
                free[each.owner_id] -= 1
            rows.append(_seen_row(device_id, each, toy))
        connected = [device_id for device_id, (_, toy) in toys.items() if toy.connected]
        await connection.execute(queries.LOSE_DEVICES, owners, connected)
        await connection.executemany(queries.SEE_DEVICE, rows)


def _seen_row(device_id: UUID, seen: DevicesSeen, toy: Toy) -> tuple[Any, ...]:
    status = DeviceStatus.DISCONNECTED
    if toy.connected:
        status = DeviceStatus.ERROR if toy.faulty else DeviceStatus.CONNECTED
    return (
        device_id,
        seen.owner_id,
        toy.toy_id,
        _text(toy.toy_type),
        _text(toy.name),
        _text(toy.nickname),
        _text(toy.firmware),
        list(toy.functions or functions_of(toy.toy_type)),
        toy.battery,
        status,
        seen.at_utc,
    )


def _text(reported: str) -> str:
    """What a page says must not keep the toys beside it from being stored."""
    return reported[:64] if is_storable(reported) else ""


async def _pair(
    connection: Connection, owner_id: str, toy_id: str, toy_type: str, name: str
) -> Device:
    device_id = device_id_of(owner_id, toy_id)
    async with connection.transaction():
        await connection.execute(queries.LOCK_OWNERS, [owner_id])
        known = await connection.fetchrow(queries.LOAD_DEVICE, owner_id, device_id)
        if known is None:
            counts = await connection.fetch(queries.COUNT_DEVICES, [owner_id])
            if counts and counts[0]["devices"] >= DEVICES_MAX:
                raise Refused(ErrorCode.LIMIT_REACHED)
            kept = (device_id, owner_id, toy_id, toy_type, name, list(functions_of(toy_type)))
            await connection.execute(queries.PAIR_DEVICE, *kept)
        return await _load(connection, owner_id, device_id)


async def _load(connection: Connection, owner_id: str, device_id: UUID) -> Device:
    row = await connection.fetchrow(queries.LOAD_DEVICE, owner_id, device_id)
    if row is None:
        raise Refused(ErrorCode.DEVICE_UNKNOWN)
    return _device(row)


async def _change(
    connection: Connection,
    owner_id: str,
    device_id: UUID,
    override: DeviceOverride,
    nickname: str | None,
) -> tuple[Device, dict[str, DeviceOverride]]:
    stored = msgspec.json.encode(override).decode() if override != DeviceOverride() else "{}"
    async with connection.transaction():
        await connection.execute(queries.LOCK_OWNERS, [owner_id])
        before = await _load(connection, owner_id, device_id)
        await connection.execute(queries.CHANGE_DEVICE, owner_id, device_id, stored, nickname)
        await _record(connection, owner_id, device_id, before.override, override)
        device = await _load(connection, owner_id, device_id)
        return device, await load_overrides(connection, owner_id)


async def _forget(
    connection: Connection, owner_id: str, device_id: UUID
) -> dict[str, DeviceOverride]:
    async with connection.transaction():
        await connection.execute(queries.LOCK_OWNERS, [owner_id])
        before = await _load(connection, owner_id, device_id)
        await connection.execute(queries.FORGET_DEVICE, owner_id, device_id)
        await _record(connection, owner_id, device_id, before.override, DeviceOverride())
        return await load_overrides(connection, owner_id)


async def _record(
    connection: Connection, owner_id: str, device_id: UUID, old: DeviceOverride, new: DeviceOverride
) -> None:
    """In the history of settings; only its owner changes a device."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    changes = {
        f"{device_id}.{name}": (before[name], after[name])
        for name in after
        if before[name] != after[name]
    }
    await record_changes(connection, "device", owner_id, changes, owner_id)


def _device(row: asyncpg.Record) -> Device:
    return Device(
        **{
            **dict(row),
            "status": DeviceStatus(row["status"]),
            "override": msgspec.json.decode(row["override"], type=DeviceOverride),
        }
    )


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)


async def _execute(connection: Connection, query: str, *args: Any) -> None:
    await connection.execute(query, *args)
