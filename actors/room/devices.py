"""Devices: what a room hears of its members' toys, for their owners and the database (spec 3).

The toys are connected as long as the socket that reports them. What an owner has set on a toy is
applied to every report, so that routing and dispatch see only what may be used.
"""

from typing import Final

from actors.ports import DevicesSeen
from actors.room.effects import Effect, ReportDevices, Send
from actors.room.state import Context, RoomState
from protocol import frames
from protocol.devices import LOW_BATTERY_PERCENT, apply_overrides, device_id_of, lost_toys
from protocol.lovense import Toy

LOW_BATTERIES_MAX: Final = 10_000
"""Warnings that a room remembers, so that a reload of the page does not bring them again."""


def usable_as(state: RoomState, owner_id: str, reported: tuple[Toy, ...]) -> tuple[Toy, ...]:
    """The toys with what their owner has set on them."""
    return apply_overrides(reported, state.overrides.get(owner_id, {}))


def reported(
    state: RoomState, ctx: Context, owner_id: str, before: tuple[Toy, ...], now: tuple[Toy, ...]
) -> list[Effect]:
    """A page of the owner's has reported `now` after `before`."""
    effects: list[Effect] = []
    for toy in lost_toys(before, now):
        effects += _warn(state, owner_id, toy, "connection")
    for toy in now:
        if toy.connected and toy.battery is not None:
            effects += _battery(state, owner_id, toy, toy.battery)
    return effects + report(state, ctx, owner_id)


def report(state: RoomState, ctx: Context, owner_id: str) -> list[Effect]:
    """All toys of the owner, on whichever page, for the database."""
    toys: dict[str, Toy] = {}
    for toy in _reported_by(state, owner_id):
        known = toys.get(toy.toy_id)
        if known is None or toy.connected or not known.connected:
            toys[toy.toy_id] = toy
    return [ReportDevices(DevicesSeen(owner_id, tuple(toys.values()), ctx.now.utc))]


def _reported_by(state: RoomState, owner_id: str) -> list[Toy]:
    if owner_id == state.model_id:
        return list(state.model_page.reported) if state.model_page is not None else []
    viewer = state.viewers.get(owner_id)
    if viewer is None:
        return []
    return [toy for session in viewer.sessions.values() for toy in session.reported]


def _battery(state: RoomState, owner_id: str, toy: Toy, percent: int) -> list[Effect]:
    """Once when it falls low; again only after it was charged."""
    device_id = device_id_of(owner_id, toy.toy_id)
    if percent > LOW_BATTERY_PERCENT:
        state.low_batteries.pop(device_id, None)
        return []
    if device_id in state.low_batteries:
        return []
    state.low_batteries[device_id] = None
    if len(state.low_batteries) > LOW_BATTERIES_MAX:
        del state.low_batteries[next(iter(state.low_batteries))]
    return _warn(state, owner_id, toy, "battery", percent)


def _warn(
    state: RoomState,
    owner_id: str,
    toy: Toy,
    kind: frames.DeviceWarningKind,
    battery: int | None = None,
) -> list[Effect]:
    frame = frames.DeviceWarning(
        str(device_id_of(owner_id, toy.toy_id)), toy.nickname or toy.name, kind, battery
    )
    if owner_id == state.model_id:
        page = state.model_page
        return [] if page is None else [Send(page.session_id, frame)]
    return [Send(session_id, frame) for session_id in state.viewers[owner_id].sessions]
