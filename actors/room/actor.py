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

from actors.ledger import LedgerActor, Post
from actors.ports import (
    AuditLog,
    Delivery,
    DeviceLog,
    ModelWatcher,
    Requeued,
    RoomRecord,
    RoomStore,
    SessionId,
    StoreUnavailable,
)
from actors.room import room
from actors.room.effects import (
    Admit,
    Answer,
    Close,
    Effect,
    PostTransfer,
    Publish,
    PutAway,
    ReportDevices,
    Send,
    SendToModel,
    StoreBroadcast,
    StorePause,
    StorePreferences,
    StoreRequeue,
    WriteAudit,
)
from actors.room.messages import (
    Asker,
    Join,
    Leave,
    RoomMessage,
    TransferAnswered,
    _BroadcastStored,
    _Due,
    _PreferencesStored,
    _RequeueStored,
)
from actors.room.state import Context, RoomState
from actors.room.whereabouts import Whereabouts
from actors.runtime.mailbox import Mailbox, MailboxClosed, MailboxFull
from actors.runtime.moment import Chance
from actors.runtime.supervisor import RESTARTS_MAX, RestartBudget
from actors.transfers import Outcome
from protocol.errors import CloseCode, ErrorCode, Refusal, Refused

MAILBOX_LIMIT: Final = 4096
RESTART_DELAY_S: Final = 0.02
"""Doubled with each restart: a first crash is over before anyone notices."""
FLUSH_TIMEOUT_S: Final = 5.0
"""For the audit to be durable before a room is read; without the database it never is."""
RISE_PATIENCE_S: Final = 30.0
"""How long a crashed room waits for a database that does not answer: no fault of the room's, so
it costs no restart."""
RISE_RETRY_S: Final = 1.0
PAUSE_RETRY_S: Final = 1.0


class RoomPorts:
    """What every room needs of the world."""

    def __init__(
        self,
        store: RoomStore,
        delivery: Delivery,
        audit: AuditLog,
        devices: DeviceLog,
        ledger: LedgerActor,
        chance: Chance,
        *,
        model_share_percent: int,
        tip_bonus_percent: int,
    ) -> None:
        self.store = store
        self.delivery = delivery
        self.audit = audit
        self.devices = devices
        self.ledger = ledger
        self.chance = chance
        self.whereabouts = Whereabouts()
        """Of all rooms of the process: each keeps its own part of it."""
        self.model_share_percent = model_share_percent
        self.tip_bonus_percent = tip_bonus_percent
        self.model_watchers: list[ModelWatcher] = []
        """Added before any room comes up."""


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
        """The members, for the next life: each is let in again after a crash."""
        self._kept: room.Kept | None = None
        self._entered: set[SessionId] = set()
        """Sessions of ours in `ports.whereabouts`."""
        self._model_here: str | None = None
        """Her id, while her page is open."""
        self._tips_at_ledger = 0
        self._pause_to_store: StorePause | None = None
        self._log = structlog.get_logger("tiproom.room").bind(room_id=room_id)

    # ---- for others ----

    def tell(self, message: RoomMessage) -> None:
        """Raises MailboxFull, MailboxClosed."""
        self.mailbox.put(message)
        if isinstance(message, Join):
            # With the message and not with its step: what is told of the user from now on comes
            # behind it.
            self._entered.add(message.session_id)
            self._ports.whereabouts.enter(message.session_id, message.user_id, self)

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
        crash: Exception | None = None
        try:
            # Outlives a crash: what was asked of the database is answered all the same.
            async with trio.open_nursery() as self._beside:
                while not self.mailbox.closed:
                    crash = await self._live(task_status)
                    if crash is None or not self._was_up:
                        break
                    await self._recover(crash)
        finally:
            self._end()
        if crash is not None and not self._was_up:
            raise crash

    async def _live(self, task_status: trio.TaskStatus[None]) -> Exception | None:
        """One life, from the database to the end; the exception that ended it, if one did."""
        risen: RoomState | None = None
        try:
            record = await self._load()
            state = room.new_state(
                record,
                self._context(),
                self._ports.model_share_percent,
                self._ports.tip_bonus_percent,
            )
            self._rise(state, record)
            self._tell_watchers(state.model_id, state.model_page is not None)
            risen = state
            if not self._was_up:
                self._was_up = True
                task_status.started()
            ctx = self._context()
            while not self.mailbox.closed:
                message = await self._next_message(state, ctx)
                ctx = self._context()
                self._step(state, message or _Due(), ctx)
        except Exception as crash:
            if risen is not None:  # else what an earlier life left still holds
                self._kept = room.keep(risen)
            return crash
        return None

    async def _next_message(self, state: RoomState, ctx: Context) -> RoomMessage | None:
        """What members are due leaves at the end of a turn: when there is nothing more to read, or
        when others get theirs. None: something falls due. `ctx`: of the last step."""
        if self.mailbox.pauses:
            self._ports.delivery.flush()
        if len(self.mailbox):
            return await self.mailbox.get()
        return await self.mailbox.get(room.next_due_s(state, ctx))

    async def _load(self) -> RoomRecord:
        """The room as the database has it. Raises RoomUnknown, StoreUnavailable."""
        patience_s = RISE_PATIENCE_S if self._was_up else 0.0
        give_up_at_s = trio.current_time() + patience_s
        while True:
            try:
                # Or a tip that is finished would be taken up again.
                with trio.move_on_after(FLUSH_TIMEOUT_S) as flushing:
                    await self._ports.audit.flush()
                if flushing.cancelled_caught:
                    raise StoreUnavailable
                record = await self._ports.store.load_room(self.room_id)
            except StoreUnavailable:
                if trio.current_time() >= give_up_at_s:
                    raise
                await trio.sleep(RISE_RETRY_S)
                continue
            if record is None:
                raise RoomUnknown(self.room_id)
            return record

    def _rise(self, state: RoomState, record: RoomRecord) -> None:
        """Members first, so that they see what the restored activations do."""
        state.tips_at_ledger = self._tips_at_ledger
        if self._kept is not None:
            effects = room.revive(state, self._kept, self._joins.values(), self._context())
            self._carry_out(effects)
        self._carry_out(room.restore(state, record, self._context()))

    def _step(self, state: RoomState, message: RoomMessage, ctx: Context) -> None:
        if isinstance(message, Leave):
            self._joins.pop(message.session_id, None)
            self._exit(message.session_id)
        elif isinstance(message, TransferAnswered):
            self._tips_at_ledger -= 1
        try:
            effects = room.step(state, message, ctx)
        except Exception:
            self._carry_out(room.apology(message))
            raise
        if isinstance(message, Join):
            # Only now: a Join that crashes the room is not tried again.
            self._joins[message.session_id] = msgspec.structs.replace(message, ref=None)
        self._carry_out(effects)
        self._tell_watchers(state.model_id, state.model_page is not None)

    def _tell_watchers(self, model_id: str, present: bool) -> None:
        if present is (self._model_here is not None):
            return
        self._model_here = model_id if present else None
        for watcher in self._ports.model_watchers:
            watcher.model_present(model_id, present)

    def _context(self) -> Context:
        return Context(self._ports.chance.now(), self._ports.chance)

    async def _recover(self, crash: Exception) -> None:
        """Make ready for the next life, or close the room for good."""
        self._ports.delivery.flush()
        self.last_error = type(crash).__name__
        self._log.error("room_crashed", restarts=self.restarts, exc_info=crash)
        if self._budget.spend(trio.current_time()):
            await trio.sleep(RESTART_DELAY_S * 2 ** min(self.restarts - 1, RESTARTS_MAX))
            return
        self._log.error("room_failed")
        self.failed = True
        self.mailbox.close()
        self._carry_out([Close(each, CloseCode.ROOM_FAILED) for each in self._joins])

    def _end(self) -> None:
        """Nobody is left without an answer."""
        self.mailbox.close()
        for session_id in tuple(self._entered):
            self._exit(session_id)
        if self._model_here is not None:
            self._tell_watchers(self._model_here, False)
        while (message := self.mailbox.get_nowait()) is not None:
            self._refuse(message)
        self._ports.delivery.flush()

    def _exit(self, session_id: SessionId) -> None:
        self._entered.discard(session_id)
        self._ports.whereabouts.leave(session_id, self)

    def _refuse(self, message: RoomMessage) -> None:
        """The answer to what the room no longer takes."""
        code = ErrorCode.ROOM_FAILED if self.failed else ErrorCode.ROOM_BUSY
        self._carry_out(room.apology(message, code))

    # ---- effects ----

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        ports = self._ports
        for effect in effects:
            match effect:
                case Send(session_id, frame):
                    ports.delivery.send(session_id, frame)
                case SendToModel(session_id, test):
                    ports.delivery.send(session_id, test)
                case Publish(event):
                    ports.delivery.broadcast(self.room_id, event)
                case WriteAudit(entries, finished, logged):
                    ports.audit.write(entries, finished, logged=logged)
                case PostTransfer():
                    self._post(effect)
                case Answer(reply_to, result):
                    reply_to.answer(result)
                case Close(session_id, code):
                    self._joins.pop(session_id, None)  # no member any more; a Leave follows
                    ports.delivery.close(session_id, code)
                case Admit(session_id):
                    ports.delivery.admit(self.room_id, session_id)
                case StoreBroadcast():
                    self._beside.start_soon(self._store_broadcast, effect)
                case StorePause():
                    self._store_pause(effect)
                case StorePreferences():
                    self._beside.start_soon(self._store_preferences, effect)
                case ReportDevices(seen):
                    ports.devices.write(seen)
                case StoreRequeue():
                    self._beside.start_soon(self._store_requeue, effect)
                case PutAway():
                    if self.mailbox.statistics().waiting == 0:
                        self.mailbox.close()
                case _:
                    assert_never(effect)

    def _post(self, effect: PostTransfer) -> None:
        self._tips_at_ledger += 1
        back = _LedgerInbox(self, effect.user_id, effect.asker)
        try:
            self._ports.ledger.tell(Post(effect.transfer, back))
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

    def _store_pause(self, effect: StorePause) -> None:
        """The newest alone counts; one task stores it, however often it changes meanwhile."""
        idle, self._pause_to_store = self._pause_to_store is None, effect
        if idle:
            self._beside.start_soon(self._store_newest_pause)

    async def _store_newest_pause(self) -> None:
        while (newest := self._pause_to_store) is not None:
            try:
                await self._ports.store.save_toys_paused(newest.broadcast_id, newest.paused)
            except StoreUnavailable:
                self._log.error("pause_not_stored")
                await trio.sleep(PAUSE_RETRY_S)
                continue
            if self._pause_to_store is newest:
                self._pause_to_store = None

    async def _store_preferences(self, effect: StorePreferences) -> None:
        async def work() -> None:
            await self._ports.store.save_preferences(effect.user_id, effect.preferences)

        failed = await _stored(work)
        self._tell_self(
            _PreferencesStored(effect.asker, effect.user_id, effect.preferences, failed)
        )

    async def _store_requeue(self, effect: StoreRequeue) -> None:
        requeued: Requeued | None = None

        async def work() -> None:
            nonlocal requeued
            requeued = await self._ports.store.requeue(
                effect.letter_id, effect.decision_id, effect.who, effect.note
            )

        failed = await _stored(work)
        self._tell_self(_RequeueStored(effect.asker, effect.letter_id, requeued, failed))

    def _tell_self(self, message: RoomMessage) -> None:
        try:
            self.mailbox.put_always(message)
        except MailboxClosed:
            self._log.warning("answer_after_end", message=type(message).__name__)
            self._refuse(message)
            self._ports.delivery.flush()


class _LedgerInbox:
    """Where the ledger's answer to one transfer goes: back into the room's mailbox."""

    def __init__(self, actor: RoomActor, user_id: str, asker: Asker) -> None:
        self._actor = actor
        self._user_id = user_id
        self._asker = asker

    def answer(self, result: Outcome) -> None:
        self._actor._tell_self(TransferAnswered(self._user_id, self._asker, result))


async def _stored(work: Callable[[], Awaitable[None]]) -> Refusal | None:
    """Do it; None if it is done, else the refusal to answer with."""
    try:
        await work()
    except StoreUnavailable:
        return Refusal(ErrorCode.ROOM_BUSY)
    except Refused as refused:
        return refused.refusal
    except Exception:
        structlog.get_logger("tiproom.room").exception("store_failed")
        return Refusal(ErrorCode.INTERNAL)
    return None
