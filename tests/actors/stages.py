"""A house with a stage in it, wired as the server does it."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import trio
from trio.testing import wait_all_tasks_blocked

from actors.room.user_news import UserNews
from actors.runtime.moment import Chance
from actors.stage.actor import StagePorts
from actors.stage.desk import PurchaseDesk
from actors.stage.messages import Act, ChangeOrder
from actors.stage.payments import Payments
from actors.stage.ports import PurchaseOrder
from actors.stage.registry import StageRegistry
from actors.stage.till import Till
from protocol.stage import AbandonTerms, StageAction, StageItem, StageOrder
from protocol.tip_activated import MembershipTier
from tests.actors.house import House, on_virtual_clock, open_house, utc_now
from tests.actors.ports import Sockets
from tests.actors.rooms import MODEL, ROOM, Inbox
from tests.actors.stage_ports import StageDatabase


@dataclass
class StageHouse:
    house: House
    database: StageDatabase
    stages: StageRegistry
    desk: PurchaseDesk
    payments: Payments
    chance: Chance

    async def buy(self, item_id: str = "song", key: str = "key-1", user_id: str = "ann") -> Any:
        """The answer, once everyone waits."""
        await trio.sleep(0.001)  # so that the line is in the order of the purchases
        inbox = self.order(item_id, key, user_id)
        await wait_all_tasks_blocked()
        return inbox.only

    def order(self, item_id: str, key: str, user_id: str = "ann") -> Inbox:
        inbox = Inbox()
        wanted = PurchaseOrder(
            purchase_id=self.chance.uuid7(self.chance.now()),
            user_id=user_id,
            username=user_id.title(),
            membership_tier=MembershipTier.FREE,
            room_id=ROOM,
            idempotency_key=key,
            menu_id="menu",
            item_id=item_id,
            version=1,
        )
        self.desk.buy(wanted, inbox)
        return inbox

    async def act(
        self,
        purchase_id: UUID,
        action: StageAction,
        terms: AbandonTerms | None = None,
        who: str = MODEL,
    ) -> Any:
        inbox = self.ask(purchase_id, action, terms, who)
        await wait_all_tasks_blocked()
        return inbox.only

    def ask(
        self,
        purchase_id: UUID,
        action: StageAction,
        terms: AbandonTerms | None = None,
        who: str = MODEL,
    ) -> Inbox:
        inbox = Inbox()
        self.stages.tell(MODEL, Act(self.item(purchase_id), action, who, terms, inbox))
        return inbox

    async def change_order(self, order: StageOrder) -> Any:
        inbox = Inbox()
        self.stages.tell(MODEL, ChangeOrder(order, MODEL, inbox))
        await wait_all_tasks_blocked()
        return inbox.only

    def item(self, purchase_id: UUID) -> StageItem:
        """As the database has it."""
        item = self.database.rows[purchase_id].item
        assert item is not None
        return item


@asynccontextmanager
async def open_stage_house(
    database: StageDatabase | None = None, sockets: Sockets | None = None, seed: int = 1
) -> AsyncIterator[StageHouse]:
    """A process; it ends as a killed one does."""
    database = database or StageDatabase()
    chance = Chance(random.Random(seed), utc_now)
    async with (
        open_house(database, sockets, seed=seed, relay=True) as house,
        trio.open_nursery() as nursery,
    ):
        till = Till(house.rooms, house.ledger, database, database, house.toys)
        payments = Payments(database, till, chance)
        ports = StagePorts(database, UserNews(house.rooms.whereabouts), payments, chance)
        stages = StageRegistry(ports, nursery)
        house.ports.model_watchers.append(stages)
        desk = PurchaseDesk(database, till, stages, nursery, chance)
        await nursery.start(payments.run)
        await nursery.start(stages.run)
        await nursery.start(desk.run)
        yield StageHouse(house, database, stages, desk, payments, chance)
        nursery.cancel_scope.cancel()


def on_stage(test: Callable[[StageHouse], Awaitable[None]]) -> Callable[[], None]:
    """A test in a house of its own, on a clock that jumps whenever everyone waits."""

    async def main() -> None:
        async with open_stage_house() as house:
            await test(house)

    def run() -> None:
        on_virtual_clock(main)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
