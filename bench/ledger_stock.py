"""Requests for the ledger, made before the clock runs: what it costs to make an event is the
room's, and is measured with the room."""

from collections.abc import Iterator
from itertools import count
from typing import Final
from uuid import UUID

import msgspec

from actors.ports import UserRecord
from actors.runtime.moment import Chance
from actors.transfers import HoldRecord, NewHold, Release, SettledHold, Settlement, Transfer
from bench.room_setup import viewer
from protocol.shares import model_share
from protocol.tip_activated import (
    PURCHASE_PREFIX,
    Item,
    ItemType,
    Ledger,
    LovenseMode,
    Model,
    ModelToy,
    Room,
    Routing,
    TipActivated,
    Tipper,
    Transaction,
    ViewerSync,
    ViewerSyncMode,
    format_timestamp,
    source_ref_of,
)
from protocol.vibration import level
from server.store.demo import MODEL_ID, MODEL_NAME, ROOM_ID

BROADCAST_ID: Final = "bench-broadcast"
SHARE_PERCENT: Final = 50
AMOUNT_MAX: Final = 50

_ITEM: Final = Item(
    ItemType.MENU_ITEM, "bench", "Short buzz", "Short buzz", level(10, 1), bonus_points=5
)


class Stock:
    """Makes requests of `users` tippers in turn, each with an id that no other has."""

    def __init__(self, users: int, chance: Chance, numbers: Iterator[int] | None = None) -> None:
        """`numbers`: of another stock, whose ids are then not used again."""
        self._tippers = [_tipper(viewer(number)) for number in range(users)]
        self._by_id = {tipper.user_id: tipper for tipper in self._tippers}
        self._chance = chance
        self._numbers = count() if numbers is None else numbers

    def of(self, users: int) -> "Stock":
        """Of the first so many alone."""
        return Stock(users, self._chance, self._numbers)

    def tip(self) -> Settlement:
        number = next(self._numbers)
        tipper = self._tippers[number % len(self._tippers)]
        amount = 1 + number % AMOUNT_MAX
        return self._settlement(f"bench-{number:012d}", tipper, amount, _ITEM, self._new_id())

    def hold(self) -> NewHold:
        number = next(self._numbers)
        return NewHold(
            hold_id=f"bench-{number:012d}",
            user_id=self._tippers[number % len(self._tippers)].user_id,
            room_id=ROOM_ID,
            amount=1 + number % AMOUNT_MAX,
            item=_ITEM,
            broadcast_id=BROADCAST_ID,
            model_id=MODEL_ID,
            expires_at=None,
        )

    def settled_hold(self, hold: HoldRecord) -> Settlement:
        """All of it."""
        settlement = self._settlement(
            PURCHASE_PREFIX + hold.hold_id,
            self._by_id[hold.user_id],
            hold.amount,
            hold.item,
            hold.debit_ref,
        )
        return msgspec.structs.replace(
            settlement,
            hold=SettledHold(hold.hold_id, 0, escrow_ref=self._new_id(), refund_ref=None),
        )

    def mixed(self, size: int, holds: list[HoldRecord]) -> list[Transfer]:
        """Tips, new holds, holds that settle and holds that are released, in turn; `holds`, as
        they stand in the ledger, are enough for half of `size`."""
        requests: list[Transfer] = []
        held = iter(holds)
        while len(requests) < size:
            requests += [
                self.tip(),
                self.hold(),
                self.settled_hold(next(held)),
                Release(next(held)),
            ]
        return requests

    def _settlement(
        self, tip_id: str, tipper: Tipper, amount: int, item: Item, debit_ref: UUID
    ) -> Settlement:
        now = self._chance.now()
        model_tokens = model_share(amount, SHARE_PERCENT)
        event = TipActivated(
            event_name="TipActivated",
            event_id=self._new_id(),
            tip_id=tip_id,
            timestamp=format_timestamp(now.utc),
            ledger=Ledger(
                str(self._new_id()),
                source_ref_of(tip_id),
                str(debit_ref),
                str(self._new_id()),
                "SETTLED",
            ),
            room=Room(ROOM_ID, BROADCAST_ID),
            model=Model(MODEL_ID, MODEL_NAME, LovenseMode.EXTENSION, ViewerSyncMode.OFF),
            tipper=tipper,
            transaction=Transaction("TOKENS", amount),
            item=item,
            viewer_sync=ViewerSync(True, True, False),
            routing=Routing((ModelToy(MODEL_ID),)),
        )
        return Settlement(
            tip_id=tip_id,
            room_id=ROOM_ID,
            broadcast_id=BROADCAST_ID,
            tipper_id=tipper.user_id,
            amount=amount,
            model_id=MODEL_ID,
            model_tokens=model_tokens,
            revenue_ref=self._new_id(),
            event=event,
        )

    def _new_id(self) -> UUID:
        return self._chance.uuid7(self._chance.now())


def _tipper(user: UserRecord) -> Tipper:
    return Tipper(
        user.user_id, user.username, user.membership_tier, is_vip=user.membership_tier.is_vip
    )
