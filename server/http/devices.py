"""Devices over HTTP: members see and limit their own toys (spec 3)."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
import trio
from msgspec import UNSET, Meta, UnsetType
from quart import Blueprint, Response

from actors.room.messages import DeviceOverridesChanged
from protocol.devices import DeviceOverride, DeviceStatus, Function
from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import NO_NUL_PATTERN
from protocol.vibration import STRENGTH_MAX, Strength
from server.auth import Role
from server.http.body import accepts, answers, json
from server.http.guard import allow, caller
from server.services import Services
from server.store.device_store import Device

_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)
_OWNERS: Final = (Role.MODEL, Role.VIEWER)

FLUSH_TIMEOUT_S: Final = 2.0
_DEVICE: Final = "/<id_but(pair):device_id>"

_Text = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_NUL_PATTERN)]
_Functions = Annotated[tuple[Function, ...], Meta(min_length=1, max_length=9)]


class PairBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`toyId` and `toyType`: the vendor's, as its scripts report them."""

    toy_id: _Text
    toy_type: Annotated[str, Meta(max_length=64, pattern=NO_NUL_PATTERN)] = ""
    name: _Text | None = None


class DeviceChange(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A field that is left out stays as it is. null in `maxStrength` or `functions`: no limit."""

    nickname: _Text | UnsetType = UNSET
    max_strength: Strength | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    functions: _Functions | UnsetType | None = UNSET


class DeviceList(msgspec.Struct, frozen=True, rename="camel"):
    """In the order in which they were first known."""

    devices: list[Device]


class DeviceState(msgspec.Struct, frozen=True, rename="camel"):
    """`battery`: percent, as last reported."""

    device_id: UUID
    status: DeviceStatus
    battery: int | None
    last_seen_at: datetime | None
    last_connected_at: datetime | None


def blueprint(services: Services) -> Blueprint:
    devices = Blueprint("devices", __name__, url_prefix="/lovense/devices")
    store = services.devices
    # Read, change, write, tell: a second change in between would undo the first.
    one_change = trio.Lock()

    def tell_rooms(overrides: dict[str, DeviceOverride]) -> None:
        """Wherever the caller is, the own toys go by what is stored now, at once."""
        changed = DeviceOverridesChanged(caller().user_id, overrides)
        for room in services.rooms:
            room.tell_first(changed)

    @devices.post("/pair")
    @allow(services.authority, *_OWNERS)
    @accepts(PairBody)
    @answers(Device, *_ERRORS, ErrorCode.LIMIT_REACHED)
    async def pair_device(body: PairBody) -> Response:
        """Make one of the caller's own toys known before a page reports it

        A toy that is known stays as it is. Toys that a page reports need no pairing.
        """
        name = body.name or body.toy_id
        owner_id = caller().user_id
        return json(await store.pair(owner_id, body.toy_id, body.toy_type.lower(), name))

    @devices.get("")
    @allow(services.authority, *_OWNERS)
    @answers(DeviceList, *_ERRORS)
    async def list_devices() -> Response:
        """The caller's own toys"""
        await _reports_stored(services)
        return json(DeviceList(await store.load_all(caller().user_id)))

    @devices.put(_DEVICE)
    @allow(services.authority, *_OWNERS)
    @accepts(DeviceChange)
    @answers(Device, *_ERRORS, ErrorCode.DEVICE_UNKNOWN)
    async def change_device(change: DeviceChange, device_id: str) -> Response:
        """Limit one of the caller's own toys

        In force at once, in every room. A toy that may do less than before is stopped. A model's
        integration takes no strength and names no toy: there `maxStrength`, the smallest of her
        toys in use, rules out her levels above it; `enabled` counts where it leaves her no toy,
        her part of a tip is then SKIPPED; `functions` counts for nothing.
        """
        owner_id, wanted = caller().user_id, _device_id(device_id)
        async with one_change:
            device = await store.load(owner_id, wanted)
            nickname = None if change.nickname is UNSET else change.nickname
            override = _changed(device.override, change)
            changed, overrides = await store.change(owner_id, wanted, override, nickname)
            tell_rooms(overrides)
        return json(changed)

    @devices.delete(_DEVICE)
    @allow(services.authority, *_OWNERS)
    @answers(None, *_ERRORS, ErrorCode.DEVICE_UNKNOWN)
    async def forget_device(device_id: str) -> Response:
        """Forget one of the caller's own toys, and all limits on it

        A toy that a page still reports becomes known again, without them.
        """
        async with one_change:
            tell_rooms(await store.forget(caller().user_id, _device_id(device_id)))
        return json(None)

    @devices.get(f"{_DEVICE}/status")
    @allow(services.authority, *_OWNERS)
    @answers(DeviceState, *_ERRORS, ErrorCode.DEVICE_UNKNOWN)
    async def get_device_status(device_id: str) -> Response:
        """Whether one of the caller's own toys is connected, and how full its battery is"""
        await _reports_stored(services)
        device = await store.load(caller().user_id, _device_id(device_id))
        return json(msgspec.convert(device, DeviceState, from_attributes=True))

    return devices


async def _reports_stored(services: Services) -> None:
    """What pages have said so far, not less."""
    with trio.move_on_after(FLUSH_TIMEOUT_S):
        await services.device_writer.flush()


def _device_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Refused(ErrorCode.DEVICE_UNKNOWN) from error


def _changed(override: DeviceOverride, change: DeviceChange) -> DeviceOverride:
    fields = {
        "max_strength": STRENGTH_MAX if change.max_strength is None else change.max_strength,
        "enabled": change.enabled,
        "functions": change.functions,
    }
    given = {name: value for name, value in fields.items() if value is not UNSET}
    return msgspec.structs.replace(override, **given)
