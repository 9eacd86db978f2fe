"""The world of the actors, in memory: a ledger that keeps its books, a database of rooms, and
sockets that write down what they are sent. Small, but with the real rules: idempotency,
balances, cursors per consumer, one transaction per call.

A test that wants faults sets `Database.before` and `Database.after`: they run around each
transaction, may wait, and may raise.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import trio

from actors.ports import (
    Broadcast,
    ModelToySent,
    PendingActivation,
    RoomRecord,
    SessionId,
    Settled,
    Settlement,
    SettlementOutcome,
    ViewerRecord,
)
from protocol.audit import TargetRecord
from protocol.errors import CloseCode, ErrorCode, Refusal
from protocol.frames import RoomEvent
from protocol.gating import Preferences
from protocol.tip_activated import TipActivated

REVENUE = "revenue"
Content = tuple[str, str, str, int]
"""What a tipId stands for: room, broadcast, tipper, amount."""


class Books:
    """The token ledger: balances, entries, and each tip with its first answer."""

    def __init__(self, balances: dict[str, int]) -> None:
        self.balances = {REVENUE: 0, **balances}
        self.total = sum(self.balances.values())
        self.entries: dict[str, tuple[str, int]] = {}
        """entry id -> account, amount; each sum over a tip's entries is 0"""
        self.tips: dict[str, tuple[Content, TipActivated, int]] = {}

    def settle(self, request: Settlement) -> SettlementOutcome:
        content = (request.room_id, request.broadcast_id, request.tipper_id, request.amount)
        if request.tip_id in self.tips:
            known, event, balance = self.tips[request.tip_id]
            if known != content:
                return Refusal(ErrorCode.TIP_CONFLICT)
            return Settled(event, balance, first=False)
        if request.event is None:
            assert request.unless_known is not None
            return request.unless_known
        if request.tipper_id not in self.balances:
            return Refusal(ErrorCode.USER_UNKNOWN)
        if self.balances[request.tipper_id] < request.amount:
            return Refusal(ErrorCode.INSUFFICIENT_TOKENS)
        ledger = request.event.ledger
        self._enter(ledger.debit_ref, request.tipper_id, -request.amount)
        self._enter(ledger.credit_ref, request.model_id, request.model_tokens)
        if request.revenue_ref is not None:
            self._enter(str(request.revenue_ref), REVENUE, request.amount - request.model_tokens)
        balance = self.balances[request.tipper_id]
        self.tips[request.tip_id] = (content, request.event, balance)
        return Settled(request.event, balance, first=True)

    def _enter(self, entry_id: str, account: str, amount: int) -> None:
        assert entry_id not in self.entries, "an entry is written once"
        self.entries[entry_id] = (account, amount)
        self.balances[account] = self.balances.get(account, 0) + amount


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
        self.undone: dict[str, dict[str, TipActivated]] = {name: {} for name in self.CONSUMERS}
        """consumer -> tipId -> event, oldest first"""
        self.batches: list[int] = []
        self.audit_writes: list[tuple[int, int]] = []
        """records, finished tips; per transaction"""
        self.before: Hook = _turn
        self.after: Hook = _turn

    # ---- ledger ----

    async def settle(self, batch: Sequence[Settlement]) -> list[SettlementOutcome]:
        await self.before("settle")
        self.batches.append(len(batch))
        outcomes = [self.books.settle(request) for request in batch]
        for outcome in outcomes:
            if isinstance(outcome, Settled) and outcome.first:
                for waiting in self.undone.values():
                    waiting[outcome.event.tip_id] = outcome.event
        await self.after("settle")
        return outcomes

    async def pending_events(self, consumer: str, limit: int) -> list[TipActivated]:
        await self.before("pending_events")
        return list(self.undone[consumer].values())[:limit]

    async def credit_points(self, events: Sequence[TipActivated]) -> None:
        await self.before("credit_points")
        for event in events:
            self.points.setdefault(event.tip_id, event.item.bonus_points)
            self.undone["loyalty"].pop(event.tip_id, None)
        await self.after("credit_points")

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
        return msgspec.structs.replace(
            record, pending=pending, model_toy_sent=sent[-1] if sent else None
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

    async def append_audit(self, records: Sequence[TargetRecord], finished: Sequence[str]) -> None:
        await self.before("append_audit")
        known = {line.record_id for line in self.audit}
        self.audit += [line for line in records if line.record_id not in known]
        self.audit_writes.append((len(records), len(finished)))
        for tip_id in finished:
            self.undone["room"].pop(tip_id, None)
        await self.after("append_audit")

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

    def close(self, session_id: SessionId, code: CloseCode) -> None:
        self.closed.setdefault(session_id, code)
        self.forget(session_id)

    def forget(self, session_id: SessionId) -> None:
        """The socket is gone."""
        for admitted in self._admitted.values():
            if session_id in admitted:
                admitted.remove(session_id)
