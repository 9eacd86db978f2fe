"""Random histories of a stage, with servers that die at any moment and a database that fails on
cue: no token is neither held, settled nor refunded, and what somebody was told stands.

`STAGE_EXAMPLES=5000 pytest tests/actors/test_stage_properties.py` for a longer run.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from actors.ports import StoreUnavailable
from actors.room.messages import EndBroadcastByRequest, StartBroadcastByRequest
from actors.stage.ports import LEASE_S
from protocol.errors import Refusal, Refused
from protocol.performance_menu import MenuQueueMode
from protocol.stage import (
    FULL_REFUND,
    AbandonKind,
    AbandonTerms,
    PurchaseReceipt,
    StageAction,
    StageState,
)
from protocol.tip_activated import LovenseMode
from tests.actors.house import on_virtual_clock
from tests.actors.rooms import MODEL, MODEL_PAGE, Inbox
from tests.actors.stage_ports import OFFERS, StageDatabase, offer
from tests.actors.stages import StageHouse, open_stage_house

EXAMPLES = int(os.environ.get("STAGE_EXAMPLES", "60"))
CALLS = (
    "begin", "post", "confirm", "fail", "move", "owed", "payment_done", "load_hold", "load_stage",
    "load_settled", "load_user", "load_item", "load_room", "resolve_stale", "save_order",
)  # fmt: skip
REACHED = {
    StageAction.START: {StageState.STARTED},
    StageAction.FINISH: {StageState.FINISHED},
    StageAction.ABANDON: {StageState.ABANDONED},
    StageAction.CANCEL: {StageState.CANCELLED},
}

TERMS = st.sampled_from(
    [
        FULL_REFUND,
        AbandonTerms(AbandonKind.FULL_SETTLE),
        AbandonTerms(AbandonKind.PARTIAL_REFUND, 1),
        AbandonTerms(AbandonKind.PARTIAL_REFUND, 60),
    ]
)
ITEMS = ("song", "buzz", "wave", "gala")
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("buy"),
            st.sampled_from(ITEMS),
            st.sampled_from(["ann", "bob"]),
            st.integers(0, 5),
        ),
        st.tuples(st.just("act"), st.integers(0, 5), st.sampled_from(StageAction), TERMS),
        st.tuples(st.just("settle down")),
        st.tuples(st.just("turns"), st.integers(1, 30)),
        st.tuples(st.just("wait"), st.sampled_from([1, 16, 70, 610])),
        st.tuples(st.just("kill")),
        st.tuples(st.just("crash")),
        st.tuples(st.just("model"), st.booleans()),
        st.tuples(st.just("on air"), st.booleans()),
        st.tuples(st.just("fault"), st.sampled_from(CALLS), st.booleans()),
    ),
    max_size=25,
)


class _Killed(Exception):
    pass


@dataclass
class History:
    """One run, over all lives of the server."""

    database: StageDatabase
    faults: list[tuple[str, bool]] = field(default_factory=list)
    """Calls that fail once each: before they have done anything, or after all."""
    orders: list[tuple[str, str, Inbox]] = field(default_factory=list)
    """user, key, answer"""
    acts: list[tuple[UUID, StageAction, Inbox]] = field(default_factory=list)

    async def before(self, call: str) -> None:
        await self._maybe_fail(call, False)

    async def after(self, call: str) -> None:
        await self._maybe_fail(call, True)

    async def _maybe_fail(self, call: str, after: bool) -> None:
        await trio.lowlevel.checkpoint()
        if (call, after) in self.faults:
            self.faults.remove((call, after))
            raise StoreUnavailable

    async def live(self, operations: list[Any], seed: int) -> list[Any]:
        """One life of the server; what is left to do after it."""
        left = list(operations)
        try:
            async with open_stage_house(self.database, seed=seed) as house:
                while left:
                    operation = left.pop(0)
                    if operation[0] == "kill":
                        raise _Killed
                    with suppress(Refused):  # the room is not up: whoever wanted it is told so
                        await self._do(house, operation)
                    self.database.check_tokens(at_rest=False)
        except* _Killed:
            pass
        return left

    async def _do(self, house: StageHouse, operation: Any) -> None:
        match operation:
            case ("buy", item_id, user_id, number):
                key = f"{item_id}-{number}"
                self.orders.append((user_id, key, house.order(item_id, key, user_id)))
            case ("act", number, action, terms):
                paid = [each for each, row in self.database.rows.items() if row.item is not None]
                if paid:
                    purchase_id = paid[number % len(paid)]
                    of_abandon = terms if action is StageAction.ABANDON else None
                    inbox = house.ask(purchase_id, action, of_abandon)
                    self.acts.append((purchase_id, action, inbox))
            case ("settle down",):
                await wait_all_tasks_blocked()
            case ("turns", number):
                for _ in range(number):
                    await trio.lowlevel.checkpoint()
            case ("wait", seconds):
                await trio.sleep(seconds)
            case ("crash",):
                nonsense: Any = object()
                house.stages.tell(MODEL, nonsense)
            case ("model", True):
                await house.house.join_model()
            case ("model", False):
                await house.house.leave(MODEL_PAGE)
            case ("on air", live):
                room = await house.house.room()
                if live:
                    room.tell(StartBroadcastByRequest(Inbox(), LovenseMode.EXTENSION))
                else:
                    room.tell(EndBroadcastByRequest(Inbox()))
            case ("fault", call, after):
                self.faults.append((call, after))

    def check_told(self) -> None:
        """What somebody was told stands."""
        receipts: dict[tuple[str, str], PurchaseReceipt] = {}
        for user_id, key, inbox in self.orders:
            for answer in inbox.answers:
                if isinstance(answer, Refusal):
                    continue
                assert receipts.setdefault((user_id, key), answer) == answer
                assert self.database.rows[answer.purchase_id].receipt == answer
        for purchase_id, action, inbox in self.acts:
            if inbox.answers == [None]:
                row = self.database.rows[purchase_id]
                reached = {state for state, _ in row.moves}
                assert reached >= REACHED[action], (action, row.moves)
        for row in self.database.rows.values():
            states = [state for state, _ in row.moves]
            assert len(states) == len(set(states)), "each state once"
            if row.purchase.queue_mode is MenuQueueMode.ON:
                assert len(row.payments) <= 2


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(OPERATIONS)
@example([("buy", "buzz", "ann", 0), ("turns", 12), ("kill",)])
@example(
    [
        ("buy", "buzz", "ann", 0),
        ("settle down",),
        ("act", 0, StageAction.START, FULL_REFUND),
        ("turns", 5),
        ("kill",),
        ("act", 0, StageAction.ABANDON, FULL_REFUND),
        ("crash",),
        ("kill",),
    ]
)
def test_no_token_is_neither_held_settled_nor_refunded(operations: list[Any]) -> None:
    async def main() -> None:
        offers = OFFERS | {"gala": offer("gala", tokens=700, toy=True, start_offset_ms=500)}
        database = StageDatabase(offers=offers)
        history = History(database)
        database.before, database.after = history.before, history.after
        left, life = operations, 0
        while left:
            left, life = await history.live(left, seed=life), life + 1
        history.faults.clear()
        # One more life in peace: what the others left behind comes to rest.
        async with open_stage_house(database, seed=life):
            await trio.sleep(LEASE_S + 60)
        database.check_tokens(at_rest=True)
        history.check_told()

    on_virtual_clock(main)


def test_the_check_finds_a_token_that_is_gone() -> None:
    """It can fail: a hold whose purchase was forgotten."""

    async def main() -> None:
        database = StageDatabase()
        async with open_stage_house(database) as house:
            receipt = await house.buy()
        database.check_tokens(at_rest=True)
        database.rows[receipt.purchase_id].failed = True
        with pytest.raises(AssertionError):
            database.check_tokens(at_rest=True)

    on_virtual_clock(main)
