"""Room actor: one task, the only writer of one room; runs `room.step` and carries out its effects.

It waits in one place only, for its mailbox or for what falls due next. What needs the database
runs beside the loop and comes back as a message. A crash forgets the state and rebuilds it from
the database, with the sockets open; too many crashes close the room with a reason.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, assert_never

import msgspec
import structlog
import trio

from actors.ledger import LedgerActor, SettleRequest
from actors.ports import (
    AuditLog,
    Delivery,
    RoomStore,
    SessionId,
    SettlementOutcome,
    StoreUnavailable,
)
from actors.room import room
from actors.room.effects import (
    Admit,
    Answer,
    Close,
    Effect,
    Publish,
    PutAway,
    Send,
    Settle,
    StoreBroadcast,
    StorePreferences,
    WriteAudit,
)
from actors.room.messages import (
    Asker,
    Join,
    Leave,
    RoomMessage,
    TipSettled,
    _BroadcastStored,
    _Due,
    _PreferencesStored,
)
from actors.room.state import Context, RoomState
from actors.runtime.mailbox import Mailbox, MailboxClosed, MailboxFull
from actors.runtime.moment import Chance
from actors.runtime.supervisor import RESTARTS_MAX, RestartBudget
from protocol.errors import CloseCode, ErrorCode, Refusal

MAILBOX_LIMIT: Final = 4096
RESTART_DELAY_S: Final = 0.02
"""Doubled with each restart: a first crash is over before anyone notices."""


class RoomPorts:
    """What every room needs of the world."""

    def __init__(
        self,
        store: RoomStore,
        delivery: Delivery,
        audit: AuditLog,
        ledger: LedgerActor,
        chance: Chance,
        *,
        model_share_percent: int,
        tip_bonus_percent: int,
    ) -> None:
        self.store = store
        self.delivery = delivery
        self.audit = audit
        self.ledger = ledger
        self.chance = chance
        self.model_share_percent = model_share_percent
        self.tip_bonus_percent = tip_bonus_percent


class RoomUnknown(Exception):
    """The database has no such room."""


class RoomActor:
    """A room as others hold it: `tell` it something. Implements actors.ports.RoomRef."""

    def __init__(self, room_id: str, ports: RoomPorts) -> None:
        self.room_id = room_id
        self.mailbox: Mailbox[RoomMessage] = Mailbox(MAILBOX_LIMIT)
        self.last_error: str | None = None
        self.failed = False
        """Closed after too many crashes, rather than put away."""
        self._was_up = False
        self._ports = ports
        self._budget = RestartBudget()
        self._joins: dict[SessionId, Join] = {}
        self._log = structlog.get_logger("tiproom.room").bind(room_id=room_id)

    # ---- for others ----

    def tell(self, message: RoomMessage) -> None:
        """Raises MailboxFull, MailboxClosed."""
        self.mailbox.put(message)

    def tell_always(self, message: RoomMessage) -> None:
        """Raises MailboxClosed."""
        self.mailbox.put_always(message)

    def tell_first(self, message: RoomMessage) -> None:
        """Raises MailboxClosed."""
        self.mailbox.put_first(message)

    @property
    def restarts(self) -> int:
        return self._budget.total

    # ---- life ----

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until the room is put away or has failed too often. Started once it takes messages.

        Raises RoomUnknown or StoreUnavailable if it cannot come up the first time.
        """
        try:
            while not self.mailbox.closed:
                crash = await self._live(task_status)
                if crash is None:
                    return
                if not self._was_up:
                    raise crash
                await self._recover(crash)
        finally:
            self._end()

    async def _live(self, task_status: trio.TaskStatus[None]) -> Exception | None:
        """One life, from the database to the end; the exception that ended it, if one did."""
        crash: Exception | None = None
        async with trio.open_nursery() as beside:
            try:
                state = await self._rise(beside)
                if not self._was_up:
                    self._was_up = True
                    task_status.started()
                while not self.mailbox.closed:
                    message = await self.mailbox.get(room.next_due_s(state, self._context()))
                    self._step(state, message if message is not None else _Due(), beside)
            except Exception as error:
                crash = error
            beside.cancel_scope.cancel()
        return crash

    async def _rise(self, beside: trio.Nursery) -> RoomState:
        """The state as the database has it, with the members who are still connected."""
        ports = self._ports
        await ports.audit.flush()  # or a tip that is finished would be taken up again
        record = await ports.store.load_room(self.room_id)
        if record is None:
            raise RoomUnknown(self.room_id)
        state = room.new_state(
            record, self._context(), ports.model_share_percent, ports.tip_bonus_percent
        )
        self._carry_out(room.restore(state, record, self._context()), beside)
        for join in list(self._joins.values()):
            self._step(state, join, beside)
        return state

    def _step(self, state: RoomState, message: RoomMessage, beside: trio.Nursery) -> None:
        if isinstance(message, Leave):
            self._joins.pop(message.session_id, None)
        elif isinstance(message, Join):
            # Kept, so that the member is let in again after a crash, with no new answer.
            self._joins[message.session_id] = msgspec.structs.replace(message, ref=None)
        try:
            effects = room.step(state, message, self._context())
        except Exception:
            self._carry_out(room.apology(message), beside)
            raise
        self._carry_out(effects, beside)

    def _context(self) -> Context:
        return Context(self._ports.chance.now(), self._ports.chance)

    async def _recover(self, crash: Exception) -> None:
        """Make ready for the next life, or close the room for good."""
        self.last_error = type(crash).__name__
        self._log.error("room_crashed", restarts=self.restarts, exc_info=crash)
        if self._budget.spend(trio.current_time()):
            await trio.sleep(RESTART_DELAY_S * 2 ** min(self.restarts - 1, RESTARTS_MAX))
            return
        self._log.error("room_failed")
        self.failed = True
        self.mailbox.close()
        for session_id in self._joins:
            self._ports.delivery.close(session_id, CloseCode.ROOM_FAILED)

    def _end(self) -> None:
        """Nobody is left without an answer."""
        self.mailbox.close()
        refusal = Refusal(ErrorCode.ROOM_FAILED)
        while (message := self.mailbox.get_nowait()) is not None:
            reply_to = getattr(message, "reply_to", None)
            if reply_to is not None:
                reply_to.answer(refusal)

    # ---- effects ----

    def _carry_out(self, effects: Iterable[Effect], beside: trio.Nursery) -> None:
        ports = self._ports
        for effect in effects:
            match effect:
                case Send(session_id, frame):
                    ports.delivery.send(session_id, frame)
                case Publish(event):
                    ports.delivery.broadcast(self.room_id, event)
                case WriteAudit(records, finished):
                    ports.audit.write(records, finished)
                case Settle():
                    self._settle(effect)
                case Answer(reply_to, result):
                    reply_to.answer(result)
                case Admit(session_id):
                    ports.delivery.admit(self.room_id, session_id)
                case Close(session_id, code):
                    ports.delivery.close(session_id, code)
                case StoreBroadcast():
                    beside.start_soon(self._store_broadcast, effect)
                case StorePreferences():
                    beside.start_soon(self._store_preferences, effect)
                case PutAway():
                    if self.mailbox.statistics().waiting == 0:
                        self.mailbox.close()
                case _:
                    assert_never(effect)

    def _settle(self, effect: Settle) -> None:
        settlement = effect.settlement
        back = _SettledInbox(self, settlement.tip_id, settlement.tipper_id, effect.asker)
        try:
            self._ports.ledger.tell(SettleRequest(settlement, back))
        except (MailboxFull, MailboxClosed):  # closed: the server is going away
            back.answer(Refusal(ErrorCode.ROOM_BUSY))

    async def _store_broadcast(self, effect: StoreBroadcast) -> None:
        store, broadcast = self._ports.store, effect.broadcast

        async def work() -> None:
            if effect.starts:
                await store.start_broadcast(self.room_id, broadcast)
            else:
                await store.end_broadcast(self.room_id, broadcast.broadcast_id)

        failed = await _stored(work)
        started = broadcast if effect.starts else None
        self._tell_self(_BroadcastStored(effect.asker, started, failed))

    async def _store_preferences(self, effect: StorePreferences) -> None:
        async def work() -> None:
            await self._ports.store.save_preferences(effect.user_id, effect.preferences)

        failed = await _stored(work)
        self._tell_self(
            _PreferencesStored(effect.asker, effect.user_id, effect.preferences, failed)
        )

    def _tell_self(self, message: RoomMessage) -> None:
        try:
            self.mailbox.put_always(message)
        except MailboxClosed:
            self._log.warning("answer_after_end", message=type(message).__name__)


class _SettledInbox:
    """Where the ledger's answer to one tip goes: back into the room's mailbox."""

    def __init__(self, actor: RoomActor, tip_id: str, user_id: str, asker: Asker) -> None:
        self._actor = actor
        self._tip_id = tip_id
        self._user_id = user_id
        self._asker = asker

    def answer(self, result: SettlementOutcome) -> None:
        self._actor._tell_self(TipSettled(self._tip_id, self._user_id, self._asker, result))


async def _stored(work: Callable[[], Awaitable[None]]) -> Refusal | None:
    """Do it; None if it is done, else the refusal to answer with."""
    try:
        await work()
    except StoreUnavailable:
        return Refusal(ErrorCode.ROOM_BUSY)
    except Exception:
        structlog.get_logger("tiproom.room").exception("store_failed")
        return Refusal(ErrorCode.INTERNAL)
    return None
