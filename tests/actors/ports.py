"""The world of the actors, in memory: a ledger that keeps its books, a database of rooms, and
sockets that write down what they are sent. Small, but with the real rules: idempotency,
balances, cursors per consumer, one transaction per call.

A test that wants faults sets `Database.before` and `Database.after`: they run around each
transaction, may wait, and may raise.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import trio

from actors.ports import (
    Broadcast,
    DevicesSeen,
    ModelToySent,
    PendingActivation,
    PendingEvents,
    Requeued,
    RoomRecord,
    SessionId,
    ViewerRecord,
)
from actors.transfers import (
    HoldRecord,
    HoldState,
    NewHold,
    Outcome,
    Posted,
    Refund,
    Release,
    Settled,
    SettledHold,
    Settlement,
    Transfer,
)
from protocol.audit import FINAL_STATES, AuditRecord, TargetRecord, ToyTestRecord
from protocol.errors import CloseCode, ErrorCode, Refusal, Refused
from protocol.frames import RoomEvent, TipReceipt
from protocol.gating import Preferences
from protocol.tip_activated import TipActivated

STARTED_AT_UTC = datetime(2026, 1, 15, 17, 0, tzinfo=UTC)
REVENUE, ESCROW = "revenue", "escrow"
Content = tuple[str, str, str, int]
"""What a tipId stands for: room, broadcast, tipper, amount."""


class Books:
    """The token ledger: balances, entries, and each tip with its first answer."""

    def __init__(self, balances: dict[str, int]) -> None:
        self.balances = {REVENUE: 0, ESCROW: 0, **balances}
        self.total = sum(self.balances.values())
        self.entries: dict[str, tuple[str, int]] = {}
        """entry id -> account, amount; each sum over a tip's entries is 0"""
        self.tips: dict[str, tuple[Content, TipActivated, int]] = {}
        self.holds: dict[str, HoldRecord] = {}
        self.refunded: dict[str, int] = {}
        """source_ref of what was settled -> tokens given back since"""
        self._posted: dict[str, tuple[object, Posted]] = {}
        """source_ref -> content and first answer, of what is no tip"""

    def post(self, request: Transfer) -> Outcome:
        match request:
            case Settlement():
                return self._settle(request)
            case NewHold():
                return self._hold(request)
            case Release():
                return self._release(request.hold)
            case Refund():
                return self._refund(request)
            case _:
                raise AssertionError("no room and no timer asks for it")

    def _settle(self, request: Settlement) -> Outcome:
        content = (request.room_id, request.broadcast_id, request.tipper_id, request.amount)
        if request.tip_id in self.tips:
            known, event, balance = self.tips[request.tip_id]
            if known != content:
                is_tip = request.hold is None
                return Refusal(ErrorCode.TIP_CONFLICT if is_tip else ErrorCode.TRANSFER_CONFLICT)
            return Settled(receipt_of(event, balance), first=False)
        if request.event is None:
            assert request.unless_known is not None
            return request.unless_known
        if request.tipper_id not in self.balances:
            return Refusal(ErrorCode.USER_UNKNOWN)
        ledger = request.event.ledger
        if request.hold is not None:
            if self.holds[request.hold.hold_id].state is not HoldState.HELD:
                return Refusal(ErrorCode.HOLD_ENDED)
            self._leave_escrow(request.tipper_id, request.hold)
        elif self.balances[request.tipper_id] < request.amount:
            return Refusal(ErrorCode.INSUFFICIENT_TOKENS)
        else:
            self._enter(ledger.debit_ref, request.tipper_id, -request.amount)
        self._enter(ledger.credit_ref, request.model_id, request.model_tokens)
        if request.revenue_ref is not None:
            self._enter(str(request.revenue_ref), REVENUE, request.amount - request.model_tokens)
        balance = self.balances[request.tipper_id]
        self.tips[request.tip_id] = (content, request.event, balance)
        return Settled(receipt_of(request.event, balance), first=True)

    def _leave_escrow(self, user_id: str, settled: SettledHold) -> None:
        held, refunded = self.holds[settled.hold_id], settled.refund_tokens
        self._enter(str(settled.escrow_ref), ESCROW, -held.amount)
        if settled.refund_ref is not None:
            self._enter(str(settled.refund_ref), user_id, refunded)
        state = HoldState.PARTIALLY_REFUNDED if refunded else HoldState.SETTLED
        self.holds[held.hold_id] = msgspec.structs.replace(held, state=state, refunded=refunded)

    def _hold(self, request: NewHold) -> Outcome:
        content = (request.user_id, request.room_id, request.amount, request.item)
        if (known := self._known(request.source_ref, content)) is not None:
            return known
        if request.unless_known is not None:
            return request.unless_known
        if request.user_id not in self.balances:
            return Refusal(ErrorCode.USER_UNKNOWN)
        if self.balances[request.user_id] < request.amount:
            return Refusal(ErrorCode.INSUFFICIENT_TOKENS)
        debit_ref = uuid4()
        self._enter(str(debit_ref), request.user_id, -request.amount)
        self._enter(str(uuid4()), ESCROW, request.amount)
        self.holds[request.hold_id] = HoldRecord(
            hold_id=request.hold_id,
            user_id=request.user_id,
            room_id=request.room_id,
            broadcast_id=request.broadcast_id,
            model_id=request.model_id,
            amount=request.amount,
            item=request.item,
            expires_at=request.expires_at,
            debit_ref=debit_ref,
            created_at=datetime.now(UTC),
            state=HoldState.HELD,
            refunded=0,
            ended_at=None,
        )
        return self._post(request.source_ref, content, request.user_id)

    def _release(self, wanted: HoldRecord) -> Outcome:
        source_ref = f"release:{wanted.hold_id}"
        if (known := self._known(source_ref, ())) is not None:
            return known
        held = self.holds[wanted.hold_id]
        if held.state is not HoldState.HELD:
            return Refusal(ErrorCode.HOLD_ENDED)
        self._enter(str(uuid4()), ESCROW, -held.amount)
        self._enter(str(uuid4()), held.user_id, held.amount)
        self.holds[held.hold_id] = msgspec.structs.replace(
            held, state=HoldState.REFUNDED, refunded=held.amount
        )
        return self._post(source_ref, (), held.user_id)

    def _refund(self, request: Refund) -> Outcome:
        """All from the model's part first: here it matters only that nothing gets lost."""
        settled, content = request.settled, (request.settled.source_ref, request.tokens)
        if (known := self._known(request.source_ref, content)) is not None:
            return known
        if request.unless_known is not None:
            return request.unless_known
        if settled.refunded != self.refunded.get(settled.source_ref, 0):
            return Refusal(ErrorCode.REFUND_MOVED)
        sides = (settled.model_id, REVENUE)
        hers = min(request.tokens, self.balances[settled.model_id])
        if request.tokens - hers > self.balances[REVENUE]:
            return Refusal(ErrorCode.REFUND_UNCOVERED)
        for account, tokens in zip(sides, (hers, request.tokens - hers), strict=True):
            self._enter(str(uuid4()), account, -tokens)
        self._enter(str(uuid4()), settled.user_id, request.tokens)
        self.refunded[settled.source_ref] = settled.refunded + request.tokens
        return self._post(request.source_ref, content, settled.user_id)

    def _known(self, source_ref: str, content: object) -> Outcome | None:
        if source_ref not in self._posted:
            return None
        known, posted = self._posted[source_ref]
        if known != content:
            return Refusal(ErrorCode.TRANSFER_CONFLICT)
        return msgspec.structs.replace(posted, first=False)

    def _post(self, source_ref: str, content: object, user_id: str) -> Posted:
        posted = Posted(uuid4(), self.balances[user_id], first=True)
        self._posted[source_ref] = (content, posted)
        return posted

    def _enter(self, entry_id: str, account: str, amount: int) -> None:
        assert entry_id not in self.entries, "an entry is written once"
        self.entries[entry_id] = (account, amount)
        self.balances[account] = self.balances.get(account, 0) + amount


def receipt_of(event: TipActivated, balance: int) -> TipReceipt:
    """What the tipper is told of it."""
    return TipReceipt(
        event.tip_id, event.transaction.amount, balance, event.item.item_name, event.timestamp
    )


Hook = Callable[[str], Awaitable[None]]


async def _turn(_call: str) -> None:
    await trio.lowlevel.checkpoint()


class Database:
    """Implements LedgerStore, LoyaltyStore, RoomStore and the viewers' part of MemberStore."""

    CONSUMERS = ("room", "loyalty")

    def __init__(self, rooms: Sequence[RoomRecord], balances: dict[str, int]) -> None:
        self.books = Books(balances)
        self.rooms = {record.room_id: record for record in rooms}
        self.preferences: dict[str, Preferences] = {}
        self.points: dict[str, int] = {}
        """tipId -> points credited"""
        self.audit: list[TargetRecord] = []
        self.toy_tests: list[ToyTestRecord] = []
        self.devices: dict[str, DevicesSeen] = {}
        self.decisions: dict[UUID, tuple[UUID, Requeued]] = {}
        """Dead letter -> the decision to requeue it."""
        self.undone: dict[str, dict[str, TipActivated]] = {name: {} for name in self.CONSUMERS}
        """consumer -> tipId -> event, oldest first"""
        self._places: dict[str, int] = {}
        """tipId -> its place in the outbox, as far as anybody has asked"""
        self.batches: list[int] = []
        self.audit_writes: list[tuple[int, int]] = []
        """records, finished tips; per transaction"""
        self.before: Hook = _turn
        self.after: Hook = _turn

    # ---- ledger ----

    async def post(self, batch: Sequence[Transfer]) -> list[Outcome]:
        await self.before("post")
        self.batches.append(len(batch))
        outcomes = [self.books.post(request) for request in batch]
        for request, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Settled) and outcome.first:
                assert isinstance(request, Settlement)
                assert request.event is not None
                for waiting in self.undone.values():
                    waiting[request.tip_id] = request.event
        await self.after("post")
        return outcomes

    async def pending_events(self, consumer: str, after: int, limit: int) -> PendingEvents:
        await self.before("pending_events")
        undone = self.undone[consumer]
        for tip_id in undone:
            self._places.setdefault(tip_id, len(self._places) + 1)
        found = [(self._places[each], undone[each]) for each in undone]
        page = [(place, event) for place, event in found if place > after][:limit]
        last = page[-1][0] if len(page) == limit else None
        return PendingEvents(tuple(event for _, event in page), last)

    async def credit_points(self, events: Sequence[TipActivated]) -> None:
        await self.before("credit_points")
        for event in events:
            self.points.setdefault(event.tip_id, event.item.bonus_points)
            self.undone["loyalty"].pop(event.tip_id, None)
        await self.after("credit_points")

    async def take_back_points(self, _limit: int) -> int:
        """Nothing is ever refunded here."""
        return 0

    # ---- rooms ----

    async def load_room(self, room_id: str) -> RoomRecord | None:
        await self.before("load_room")
        record = self.rooms.get(room_id)
        if record is None:
            return None
        pending = tuple(
            PendingActivation(event, tuple(r for r in self.audit if r.tip_id == event.tip_id))
            for event in self.undone["room"].values()
            if event.room.room_id == room_id
        )
        sent = [
            ModelToySent(line.tip_id, line.at_utc, line.fit["seconds"])
            for line in self.audit
            if (line.room_id, line.target_type, line.state) == (room_id, "MODEL_TOY", "SENT")
            and line.fit is not None
        ]
        requeued = tuple(
            each
            for _, each in self.decisions.values()
            if each.event.room.room_id == room_id and self._under_way(each)
        )
        return msgspec.structs.replace(
            record,
            pending=pending,
            model_toy_sent=sent[-1] if sent else None,
            requeued=requeued,
        )

    async def start_broadcast(self, room_id: str, broadcast: Broadcast) -> None:
        await self.before("start_broadcast")
        self._change_room(room_id, broadcast)
        await self.after("start_broadcast")

    async def end_broadcast(self, room_id: str, broadcast_id: str) -> None:
        await self.before("end_broadcast")
        current = self.rooms[room_id].broadcast
        if current is not None and current.broadcast_id == broadcast_id:
            self._change_room(room_id, None)
        await self.after("end_broadcast")

    async def save_toys_paused(self, broadcast_id: str, paused: bool) -> None:
        await self.before("save_toys_paused")
        for room_id, record in self.rooms.items():
            if record.broadcast is not None and record.broadcast.broadcast_id == broadcast_id:
                self.rooms[room_id] = msgspec.structs.replace(record, toys_paused=paused)
        await self.after("save_toys_paused")

    async def save_preferences(self, user_id: str, preferences: Preferences) -> None:
        await self.before("save_preferences")
        self.preferences[user_id] = preferences
        await self.after("save_preferences")

    async def requeue(
        self, letter_id: UUID, decision_id: UUID, _who: str, _note: str, /
    ) -> Requeued:
        await self.before("requeue")
        [dead] = [line for line in self.audit if line.record_id == letter_id]
        event = self.books.tips[dead.tip_id][1]
        decided = self.decisions.get(letter_id)
        if decided is None:
            broadcast = self.rooms[dead.room_id].broadcast
            if broadcast is None or broadcast.broadcast_id != event.room.broadcast_id:
                raise Refused(ErrorCode.BROADCAST_STALE)
            requeued = Requeued(
                letter_id,
                event,
                dead.target_type,
                dead.target_id,
                dead.requeue + 1,
                STARTED_AT_UTC + timedelta(seconds=trio.current_time()),
            )
            decided = self.decisions[letter_id] = (decision_id, requeued)
        if decided[0] != decision_id:
            raise Refused(ErrorCode.DEAD_LETTER_DECIDED)
        await self.after("requeue")
        return decided[1]

    def _under_way(self, requeued: Requeued) -> bool:
        key = (requeued.event.tip_id, requeued.target_id, requeued.number)
        return not any(
            (line.tip_id, line.target_id, line.requeue) == key and line.state in FINAL_STATES
            for line in self.audit
        )

    async def append_audit(self, records: Sequence[AuditRecord], finished: Sequence[str]) -> None:
        await self.before("append_audit")
        known = {line.record_id for line in (*self.audit, *self.toy_tests)}
        new = [line for line in records if line.record_id not in known]
        self.audit += [line for line in new if isinstance(line, TargetRecord)]
        self.toy_tests += [line for line in new if isinstance(line, ToyTestRecord)]
        self.audit_writes.append((len(records), len(finished)))
        for tip_id in finished:
            self.undone["room"].pop(tip_id, None)
        await self.after("append_audit")

    async def save_seen(self, seen: Sequence[DevicesSeen]) -> None:
        await self.before("save_seen")
        self.devices.update({each.owner_id: each for each in seen})
        await self.after("save_seen")

    # ---- members ----

    async def load_viewer(self, user_id: str) -> ViewerRecord:
        await self.before("load_viewer")
        return ViewerRecord(
            self.preferences.get(user_id, Preferences()), self.books.balances.get(user_id)
        )

    def _change_room(self, room_id: str, broadcast: Broadcast | None) -> None:
        record = self.rooms[room_id]
        self.rooms[room_id] = msgspec.structs.replace(record, broadcast=broadcast)


class Sockets:
    """Implements Delivery: keeps every frame of every session, in order."""

    def __init__(self) -> None:
        self.frames: defaultdict[SessionId, list[object]] = defaultdict(list)
        self.closed: dict[SessionId, CloseCode] = {}
        self._admitted: defaultdict[str, list[SessionId]] = defaultdict(list)

    def admit(self, room_id: str, session_id: SessionId) -> None:
        if session_id not in self._admitted[room_id]:
            self._admitted[room_id].append(session_id)

    def send(self, session_id: SessionId, frame: object) -> None:
        if session_id not in self.closed:
            self.frames[session_id].append(frame)

    def broadcast(self, room_id: str, event: RoomEvent) -> None:
        for session_id in self._admitted[room_id]:
            self.send(session_id, event)

    def flush(self) -> None:
        """Everything has arrived by then."""

    def close(self, session_id: SessionId, code: CloseCode) -> None:
        self.closed.setdefault(session_id, code)
        self.forget(session_id)

    def forget(self, session_id: SessionId) -> None:
        """The socket is gone."""
        for admitted in self._admitted.values():
            if session_id in admitted:
                admitted.remove(session_id)
