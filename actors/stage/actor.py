"""Stage actor: one task, the only one that moves one model's stage; runs `stage.step` and carries
out its effects.

What waits for the database happens beside the loop and comes back as a message. A crash forgets the
state and rebuilds it from the database, where every move stands with what it owes.
"""

from collections.abc import Iterable
from typing import Final, assert_never

import structlog
import trio

from actors.ports import StoreUnavailable
from actors.runtime.mailbox import Mailbox, MailboxClosed
from actors.runtime.moment import Chance
from actors.runtime.supervisor import RESTARTS_MAX, RestartBudget
from actors.stage import stage
from actors.stage.messages import (
    Act,
    Answer,
    ChangeOrder,
    Effect,
    Pay,
    StageMessage,
    StoreMove,
    StoreOrder,
    Tell,
    _Due,
    _OrderStored,
    _Stored,
)
from actors.stage.payments import Payments
from actors.stage.ports import Pages, StageStore
from protocol.errors import ErrorCode, Refusal

MAILBOX_LIMIT: Final = 1024
STORE_RETRY_S: Final = 1.0
RESTART_DELAY_S: Final = 0.02
"""Doubled with each restart."""


class StagePorts:
    """What every stage needs of the world."""

    def __init__(self, store: StageStore, pages: Pages, payments: Payments, chance: Chance) -> None:
        self.store = store
        self.pages = pages
        self.payments = payments
        self.chance = chance


class StageUnknown(Exception):
    """The database has no such model."""


class StageActor:
    """A stage as others hold it: `tell` it something."""

    def __init__(self, model_id: str, ports: StagePorts, *, present: bool) -> None:
        self.model_id = model_id
        self.mailbox: Mailbox[StageMessage] = Mailbox(MAILBOX_LIMIT)
        self.failed = False
        """Ended by too many crashes, rather than put away."""
        self.present = present
        """The model's page is open: kept over a crash."""
        self._ports = ports
        self._budget = RestartBudget()
        self._was_up = False
        self._storing = 0
        self._stored = trio.Event()
        self._state: stage.Stage | None = None
        self._log = structlog.get_logger("tiproom.stage").bind(model_id=model_id)

    async def run(self) -> None:
        """Until it is put away or has failed too often; at once if it cannot come up the first
        time."""
        try:
            # Outlives a crash: a move that is being stored is stored.
            async with trio.open_nursery() as self._beside:
                while not self.mailbox.closed:
                    try:
                        await self._live()
                    except (StageUnknown, StoreUnavailable) as error:
                        self._log.warning("stage_not_up", reason=type(error).__name__)
                        if not self._was_up:
                            break
                        await trio.sleep(STORE_RETRY_S)
                    except Exception as crash:
                        await self._recover(crash)
        finally:
            self._end()

    async def _live(self) -> None:
        # What is being stored is in the database before this life reads it.
        while self._storing:
            await self._stored.wait()
        record = await self._ports.store.load_stage(self.model_id)
        if record is None:
            raise StageUnknown(self.model_id)
        self._was_up = True
        chance = self._ports.chance
        self._state = state = stage.new_stage(record, self.present, chance.now())
        message: StageMessage | None = _Due()
        while True:
            if message is not None:
                self._step(state, message)
            if state.at_rest and len(self.mailbox) == 0:
                self.mailbox.close()
                return
            message = await self.mailbox.get(stage.next_due_s(state, chance.now()))
            if message is None:
                if self.mailbox.closed:
                    return
                message = _Due()

    def _step(self, state: stage.Stage, message: StageMessage) -> None:
        try:
            effects = stage.step(state, message, self._ports.chance.now())
        except Exception:
            self._apologise([message])
            raise
        self._carry_out(effects)

    async def _recover(self, crash: Exception) -> None:
        """Make ready for the next life, or end for good."""
        self._log.error("stage_crashed", restarts=self._budget.total, exc_info=crash)
        self._forget()
        if self._budget.spend(trio.current_time()):
            await trio.sleep(RESTART_DELAY_S * 2 ** min(self._budget.total - 1, RESTARTS_MAX))
            return
        self._log.error("stage_failed")
        self.failed = True
        self.mailbox.close()

    def _end(self) -> None:
        """Nobody is left without an answer."""
        self.mailbox.close()
        self._forget()
        while (message := self.mailbox.get_nowait()) is not None:
            self._apologise([message])

    def _forget(self) -> None:
        """What this life was asked and has not answered."""
        state, self._state = self._state, None
        if state is not None:
            self._apologise([*([state.storing] if state.storing else ()), *state.waiting])

    def _apologise(self, messages: Iterable[StageMessage]) -> None:
        """The same again finds out what became of it."""
        for message in messages:
            if isinstance(message, Act | ChangeOrder) and message.reply_to is not None:
                message.reply_to.answer(Refusal(ErrorCode.LEDGER_UNAVAILABLE))

    # ---- effects ----

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tell(user_id, frame):
                    self._ports.pages.own_frame(user_id, frame)
                case Answer(reply_to, result):
                    reply_to.answer(result)
                case Pay(purchase_id):
                    self._ports.payments.owe(purchase_id)
                case StoreMove():
                    self._storing += 1
                    self._beside.start_soon(self._store_move, effect)
                case StoreOrder():
                    self._storing += 1
                    self._beside.start_soon(self._store_order, effect)
                case _:
                    assert_never(effect)

    async def _store_move(self, effect: StoreMove) -> None:
        """As often as it takes: what is stored then says what became of it."""
        act, move = effect.act, effect.move
        while True:
            try:
                outcome = await self._ports.store.move(act.purchase_id, move, act.who)
                item = None
                if isinstance(outcome, Refusal) and outcome.code is ErrorCode.STAGE_WRONG_STATE:
                    item = await self._ports.store.load_item(act.purchase_id)
                break
            except StoreUnavailable:
                self._log.warning("move_waits")
                await trio.sleep(STORE_RETRY_S)
        if move.payment is not None:
            # Also where the answer to the first try was lost, or nobody lives to hear of it.
            self._ports.payments.owe(act.purchase_id)
        self._stored_one(_Stored(act, move, outcome, item))

    async def _store_order(self, effect: StoreOrder) -> None:
        command = effect.command
        while True:
            try:
                await self._ports.store.save_order(self.model_id, command.order, command.who)
                break
            except StoreUnavailable:
                self._log.warning("order_waits")
                await trio.sleep(STORE_RETRY_S)
        self._stored_one(_OrderStored(command))

    def _stored_one(self, message: StageMessage) -> None:
        self._storing -= 1
        self._stored.set()
        self._stored = trio.Event()
        try:
            self.mailbox.put_always(message)
        except MailboxClosed:
            self._log.warning("stored_after_end", message=type(message).__name__)
