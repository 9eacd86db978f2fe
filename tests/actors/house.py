"""All actors of a process, wired as the server does it, on in-memory ports and a virtual clock."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.audit_writer import AuditWriter
from actors.consumers.loyalty import LoyaltyConsumer
from actors.consumers.relay import run_relay
from actors.consumers.toys import ToyConsumer
from actors.device_writer import DeviceWriter
from actors.ledger import LedgerActor
from actors.room.actor import RoomActor, RoomPorts
from actors.room.messages import Leave, MemberFrame
from actors.room.registry import RoomRegistry
from actors.room.user_news import UserNews
from actors.runtime.moment import Chance
from protocol import frames
from tests.actors.ports import Database, Sockets
from tests.actors.rooms import (
    BROADCAST,
    LEVELS,
    MODEL_PAGE,
    ROOM,
    STARTED_AT_UTC,
    TOY,
    model_join,
    record,
    viewer_join,
)

Relay = Callable[..., Awaitable[None]]
"""As actors.consumers.relay.run_relay."""


def utc_now() -> datetime:
    return STARTED_AT_UTC + timedelta(seconds=trio.current_time())


@dataclass
class House:
    database: Database
    sockets: Sockets
    audit: AuditWriter
    ledger: LedgerActor
    loyalty: LoyaltyConsumer
    toys: ToyConsumer
    rooms: RoomRegistry
    ports: RoomPorts

    async def room(self) -> RoomActor:
        return await self.rooms.open(ROOM)

    # ---- members ----

    async def join_model(self, session_id: int = MODEL_PAGE) -> int:
        room = await self.room()
        room.tell(model_join(session_id))
        self.report(room, session_id)
        await wait_all_tasks_blocked()
        return session_id

    def report(self, room: RoomActor, session_id: int = MODEL_PAGE) -> None:
        room.tell(MemberFrame(session_id, frames.ReportSettings(9_001, LEVELS)))
        room.tell(MemberFrame(session_id, frames.ReportToys(9_002, (TOY,))))

    async def join_viewer(self, session_id: int, user_id: str, **join: Any) -> int:
        room = await self.room()
        room.tell(viewer_join(session_id, user_id, **join))
        await wait_all_tasks_blocked()
        return session_id

    async def leave(self, session_id: int) -> None:
        self.sockets.forget(session_id)
        (await self.room()).tell_always(Leave(session_id))
        await wait_all_tasks_blocked()

    async def tip(self, session_id: int, tip_id: str, ref: int, amount: int = 50) -> Any:
        """The answer, if there is one by the time that everyone waits."""
        room = await self.room()
        room.tell(MemberFrame(session_id, frames.Tip(ref, tip_id, BROADCAST, amount)))
        await wait_all_tasks_blocked()
        return self.answer(session_id, ref)

    def answer(self, session_id: int, ref: int) -> Any:
        answers = [
            frame
            for frame in self.sockets.frames[session_id]
            if isinstance(frame, frames.Ok | frames.Error) and frame.ref == ref
        ]
        assert len(answers) <= 1, "one answer for each question"
        return answers[0] if answers else None

    def sent(self, session_id: int, kind: type[Any]) -> list[Any]:
        return [each for each in self.sockets.frames[session_id] if isinstance(each, kind)]


@asynccontextmanager
async def open_house(
    database: Database | None = None,
    sockets: Sockets | None = None,
    *,
    seed: int = 1,
    relay: bool = False,
    relays: Relay = run_relay,
    ledger_type: type[LedgerActor] = LedgerActor,
    audit_type: type[AuditWriter] = AuditWriter,
) -> AsyncIterator[House]:
    """A process; it ends as a killed one does: at once, and with all that it had not stored."""
    database = database or Database([record()], {"ann": 1_000, "bob": 1_000})
    sockets = sockets or Sockets()
    chance = Chance(random.Random(seed), utc_now)
    audit = audit_type(database, chance)
    devices = DeviceWriter(database)
    loyalty = LoyaltyConsumer(database)
    ledger = ledger_type(database, [loyalty])
    ports = RoomPorts(
        database,
        sockets,
        audit,
        devices,
        ledger,
        chance,
        model_share_percent=50,
        tip_bonus_percent=10,
    )
    async with trio.open_nursery() as nursery:
        rooms = RoomRegistry(ports, nursery)
        toys = ToyConsumer(rooms, nursery)
        ledger.add_consumer(toys)
        ledger.watch_wallets(UserNews(rooms.whereabouts))
        await nursery.start(audit.run)
        await nursery.start(devices.run)
        await nursery.start(loyalty.run)
        await nursery.start(ledger.run)
        if relay:
            await nursery.start(relays, database, [toys, loyalty])
        yield House(database, sockets, audit, ledger, loyalty, toys, rooms, ports)
        nursery.cancel_scope.cancel()


def in_house(test: Callable[[House], Awaitable[None]]) -> Callable[[], None]:
    """A test in a house of its own, on a clock that jumps whenever everyone waits."""

    async def main() -> None:
        async with open_house() as house:
            await test(house)

    def run() -> None:
        on_virtual_clock(main)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def on_virtual_clock(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=MockClock(autojump_threshold=0))
