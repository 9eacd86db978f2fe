"""Devices: what a room hears of its members' toys, for their owners and the database (spec 3).

The toys are connected as long as the socket that reports them. What an owner has set on a toy is
applied to every report, so that routing and dispatch see only what may be used.
"""

from typing import Final

import msgspec

from actors.ports import DevicesSeen, SessionId
from actors.room.effects import Effect, ReportDevices, Send
from actors.room.state import Context, ModelPage, RoomState, Session
from protocol import frames
from protocol.devices import LOW_BATTERY_PERCENT, apply_overrides, device_id_of, lost_toys
from protocol.lovense import Toy

FAULT_CODES: Final = frozenset({"vendor_error", "toy_lost"})
"""Of our pages: the vendor's script failed on a command, or lost the toy during one."""

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


def answered(
    state: RoomState,
    ctx: Context,
    session_id: SessionId,
    frame: frames.CommandActivated | frames.CommandFailed,
) -> list[Effect]:
    """Whether the toys of the page that answers are in error, until it reports them anew."""
    page = state.model_page
    source: ModelPage | Session
    if page is not None and page.session_id == session_id:
        owner_id, source = state.model_id, page
    else:
        owner_id = state.users_by_session[session_id]
        source = state.viewers[owner_id].sessions[session_id]
    faulty = isinstance(frame, frames.CommandFailed) and frame.code in FAULT_CODES
    if source.faulty is faulty:
        return []
    source.faulty = faulty
    return report(state, ctx, owner_id)


def _reported_by(state: RoomState, owner_id: str) -> list[Toy]:
    sources: list[ModelPage | Session] = []
    if owner_id == state.model_id:
        sources += [state.model_page] if state.model_page is not None else []
    elif owner_id in state.viewers:
        sources += state.viewers[owner_id].sessions.values()
    return [
        msgspec.structs.replace(toy, faulty=source.faulty)
        for source in sources
        for toy in source.reported
    ]


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
