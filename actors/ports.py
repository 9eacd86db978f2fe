"""What the actors need from the world. The server implements these; tests may, too.

Every method of a store waits; none of them is called inside a room's mailbox loop. A store
raises StoreUnavailable when the outcome of a call is unknown or the database cannot be reached.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NewType, Protocol
from uuid import UUID

import msgspec

from actors.target_step import AuditEntry
from actors.transfers import HeldTokens, Outcome, Transfer
from protocol.audit import AuditRecord, TargetRecord
from protocol.devices import DeviceOverride
from protocol.errors import CloseCode
from protocol.frames import Error, ModelFrame, Ok, OwnFrame, RoomEvent
from protocol.gating import Preferences
from protocol.lovense import Toy
from protocol.tip_activated import LovenseMode, MembershipTier, TipActivated
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import ModelSettings, PlatformSettings

SessionId = int
ModelSessionId = NewType("ModelSessionId", SessionId)
"""The socket of a model's own page. Made where her page joins her room, and nowhere else."""


class StoreUnavailable(Exception):
    """The database did not answer; whether the work was done is not known."""


# ---- ledger ----------------------------------------------------------------------------------


class LedgerStore(Protocol):
    async def post(self, batch: Sequence[Transfer]) -> list[Outcome]:
        """One transaction for the whole batch, one outcome each, in order; durable on return."""
        ...


class PendingEvents(msgspec.Struct, frozen=True):
    """A page of what a consumer has not done. `last`: where the next page begins; None: this was
    the last."""

    events: tuple[TipActivated, ...]
    last: int | None


class EventStore(Protocol):
    async def pending_events(self, consumer: str, after: int, limit: int) -> PendingEvents:
        """Events not yet done by `consumer`, oldest first, from behind the place `after` (0: from
        the first one) on."""
        ...


class ExpiredHold(HeldTokens, frozen=True, kw_only=True):
    """A hold that should have been given back by now."""

    expires_at: datetime


class HoldStore(Protocol):
    async def expired_holds(self, after: ExpiredHold | None, limit: int) -> list[ExpiredHold]:
        """The longest overdue first, from the one behind `after` on."""
        ...


class LoyaltyStore(Protocol):
    async def credit_points(self, events: Sequence[TipActivated]) -> None:
        """Credit each event's bonusPoints once for ever, and mark the events done for the
        consumer `loyalty`, in one transaction."""
        ...

    async def take_back_points(self, limit: int, /) -> int:
        """Take back the points of refunds whose tip was credited: the share of its points that
        was refunded of its tokens, once for each refund. How many refunds that were, at most
        `limit`."""
        ...


# ---- rooms -----------------------------------------------------------------------------------


class Broadcast(msgspec.Struct, frozen=True):
    broadcast_id: str
    lovense_mode: LovenseMode


class PendingActivation(msgspec.Struct, frozen=True):
    """An event the room has not finished, with what the audit already holds for it."""

    event: TipActivated
    records: tuple[TargetRecord, ...]


class Requeued(msgspec.Struct, frozen=True):
    """A dead letter that an admin has requeued: one target of one tip, to be sent again. `number`:
    how often that target has been requeued by now."""

    letter_id: UUID
    event: TipActivated
    target_type: str
    target_id: str
    number: int
    requeued_at_utc: datetime


class ModelToySent(msgspec.Struct, frozen=True):
    """The last command to the model's toy that the audit holds, and how long its call plays.
    `tip_id` is None for a test."""

    tip_id: str | None
    at_utc: datetime
    seconds: float


class RoomRecord(msgspec.Struct, frozen=True):
    """All that a room's actor starts from."""

    room_id: str
    model_id: str
    model_display_name: str
    broadcast: Broadcast | None
    model_settings: ModelSettings
    platform_settings: PlatformSettings
    tip_menu: tuple[TipMenuRow, ...]
    pending: tuple[PendingActivation, ...]
    toys_paused: bool = False
    """The model has stopped all toys in this broadcast."""
    model_toy_sent: ModelToySent | None = None
    requeued: tuple[Requeued, ...] = ()
    """What has no final state yet."""
    model_overrides: dict[str, DeviceOverride] = {}
    """What the model has set on her own toys, by toyId: with her room, so that she can join it, and
    stop, while the database is away."""


class RoomStore(Protocol):
    async def load_room(self, room_id: str) -> RoomRecord | None:
        """None: there is no such room."""
        ...

    async def start_broadcast(self, room_id: str, broadcast: Broadcast) -> None: ...

    async def end_broadcast(self, room_id: str, broadcast_id: str) -> None: ...

    async def save_toys_paused(self, broadcast_id: str, paused: bool) -> None: ...

    async def save_preferences(self, user_id: str, preferences: Preferences) -> None: ...

    async def requeue(self, letter_id: UUID, decision_id: UUID, who: str, note: str, /) -> Requeued:
        """Decide an open dead letter whose broadcast is running; the same decision again is no
        error. Raises Refused: DEAD_LETTER_UNKNOWN, DEAD_LETTER_DECIDED, BROADCAST_STALE."""
        ...

    async def append_audit(self, records: Sequence[AuditRecord], finished: Sequence[str]) -> None:
        """Append the records (COPY) and mark the tips `finished` done for the consumer `room`,
        in one transaction. A DEAD record becomes an open dead letter, and the final record of a
        requeued target the outcome of its letter. The very same write again, after
        StoreUnavailable, adds nothing."""
        ...


class AuditLog(Protocol):
    """Where a room writes its audit without waiting: buffered, in bulk, in order."""

    def write(
        self, entries: Sequence[AuditEntry], finished: Sequence[str], *, logged: bool = False
    ) -> None:
        """Never waits. What is given in one call becomes durable in one transaction. `logged`: then
        the finished tips stand in the log, too."""
        ...

    async def flush(self) -> None:
        """Wait until all that was written so far is durable."""
        ...


# ---- members ---------------------------------------------------------------------------------


class ViewerRecord(msgspec.Struct, frozen=True):
    """What the database holds of a member; a user it does not know has no wallet. `overrides`: by
    toyId."""

    preferences: Preferences
    balance: int | None
    overrides: dict[str, DeviceOverride] = {}


class UserRecord(msgspec.Struct, frozen=True):
    """A user as the platform registered it."""

    user_id: str
    username: str
    membership_tier: MembershipTier


class DevicesSeen(msgspec.Struct, frozen=True):
    """All toys of one member, as the own pages in one room report them now; none, once these are
    gone."""

    owner_id: str
    toys: tuple[Toy, ...]
    at_utc: datetime


class DeviceStore(Protocol):
    async def save_seen(self, seen: Sequence[DevicesSeen]) -> None:
        """One transaction. What an owner no longer has connected is disconnected. The same again
        changes nothing."""
        ...


class DeviceLog(Protocol):
    """Where a room tells of toys without waiting. Of one owner the newest alone is kept."""

    def write(self, seen: DevicesSeen) -> None: ...


class MemberStore(Protocol):
    async def load_viewer(self, user_id: str) -> ViewerRecord: ...

    async def load_user(self, user_id: str) -> UserRecord | None: ...


class MemberMail(Protocol):
    """What a session tells those who have messages for its member. Nothing here waits or fails."""

    def connected(self, user_id: str) -> None:
        """A room was told that he joins."""
        ...

    def delivered(self, user_id: str, message_id: str) -> None:
        """His page has the message; what is not his, or no message, changes nothing."""
        ...

    def read(self, user_id: str, message_id: str) -> None:
        """He has seen it."""
        ...


class Delivery(Protocol):
    """A room's way to its members' sockets. Nothing here waits, nothing here fails: a member who
    is gone or too slow is the sockets' business and comes back as a Leave. What is sent and
    broadcast leaves with the next `flush`; a stop leaves at once."""

    def admit(self, room_id: str, session_id: SessionId) -> None:
        """From now on this session gets the room's events."""
        ...

    def send(self, session_id: SessionId, frame: OwnFrame | ModelFrame | Ok | Error) -> None:
        """To one member; never dropped."""
        ...

    def broadcast(self, room_id: str, event: RoomEvent) -> None:
        """To every admitted session of the room, encoded once."""
        ...

    def flush(self) -> None:
        """The end of a turn: what was said in it is written, together."""
        ...

    def close(self, session_id: SessionId, code: CloseCode) -> None:
        """Send what is due, then close. A Leave follows."""
        ...


class ModelWatcher(Protocol):
    """Learns whether a model's page is open in her room, whenever that changes."""

    def model_present(self, model_id: str, present: bool) -> None:
        """Never waits, never fails."""
        ...


# ---- inspection ------------------------------------------------------------------------------


class TipTrace(msgspec.Struct, frozen=True, rename="camel"):
    """The whole life of a tip: `GET /admin/tips/{tipId}`. Times are UTC, ISO 8601."""

    tip_id: str
    settled_at: datetime
    event: TipActivated | None
    """None: what is stored can no longer be read; then `unreadable` is its text."""
    unreadable: str | None
    entries: list[dict[str, Any]]
    """of the settlement, the hold that it may come from, and its refunds: entryId, accountId,
    transfer (its kind), sourceRef, amount, balanceAfter, createdAt"""
    points: list[dict[str, Any]]
    """loyalty points, credited and taken back: sourceRef, userId, points, createdAt"""
    consumers: list[dict[str, Any]]
    """consumer, done, doneAt; skipped: why it did not get the event"""
    targets: list[dict[str, Any]]
    """one per audit record: targetType, targetId, attempt, state, reason, code, call, fit,
    mergedInto, requeue, at"""


class ModelRecord(msgspec.Struct, frozen=True):
    """A model's settings, and the rooms that they reach."""

    settings: ModelSettings
    room_ids: tuple[str, ...]


class SettingsStore(Protocol):
    async def load_platform_settings(self) -> PlatformSettings: ...

    async def load_model(self, model_id: str) -> ModelRecord | None:
        """None: there is no such model."""
        ...

    async def save_platform_settings(
        self, settings: PlatformSettings, changes: dict[str, tuple[Any, Any]], who: str
    ) -> None:
        """Store, with one history row per change: who, when, name, old, new."""
        ...

    async def save_model_settings(
        self,
        model_id: str,
        settings: ModelSettings,
        changes: dict[str, tuple[Any, Any]],
        who: str,
    ) -> None: ...


# ---- outside consumers -----------------------------------------------------------------------


class OutboxPosition(Protocol):
    async def last_seq(self) -> int:
        """Of the newest event; 0 before the first. A smaller one never comes up later."""
        ...


class WebhookEvent(msgspec.Struct, frozen=True):
    """One event to deliver. `body`: the very bytes that were stored; `attempts`: made before.
    `event_id`: None where it cannot be read; receivers know an event by it."""

    seq: int
    tip_id: str
    event_id: UUID | None
    body: bytes
    attempts: int


class WebhookWork(msgspec.Struct, frozen=True):
    """What an endpoint is to get now: `retries` that are due, and the events after `cursor`."""

    url: str
    secret: str
    cursor: int
    retries: tuple[WebhookEvent, ...]
    events: tuple[WebhookEvent, ...]


class WebhookAnswer(msgspec.Struct, frozen=True):
    """How an attempt ended: with an HTTP status, or with an `error`, a word of ours."""

    status: int | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status <= 299

    @property
    def gone(self) -> bool:
        """The receiver wants no more, ever (RFC 9110, 15.5.11)."""
        return self.status == 410


class WebhookStore(Protocol):
    """`node` holds the lease of an endpoint: without it nothing below is written."""

    async def active_webhooks(self) -> list[str]:
        """Ids of the endpoints that are not paused."""
        ...

    async def claim(
        self, webhook_id: str, node: UUID, lease_s: float, limit: int
    ) -> WebhookWork | None:
        """Take the lease, or keep it, for `lease_s` from now, and read at most `limit` of each
        kind. None, and nothing written: there is nothing to deliver now, the endpoint is paused or
        gone, or another node holds it."""
        ...

    async def release(self, node: UUID) -> None:
        """Give up all leases of `node`."""
        ...

    async def advance(self, webhook_id: str, node: UUID, cursor: int, delivered: int) -> bool:
        """All from `cursor` up to the event `delivered` are. False, and nothing written: somebody
        else has moved the cursor."""
        ...

    async def set_aside(
        self,
        webhook_id: str,
        node: UUID,
        cursor: int,
        event: WebhookEvent,
        answer: WebhookAnswer,
        retry_in_s: float | None,
    ) -> bool:
        """The first attempt failed: to be retried, or without `retry_in_s` a dead letter at once;
        and the cursor moves on. False as above."""
        ...

    async def record_retry(
        self,
        webhook_id: str,
        node: UUID,
        event: WebhookEvent,
        answer: WebhookAnswer,
        retry_in_s: float | None,
    ) -> None:
        """How a later attempt went; without `retry_in_s`, one that failed was the last."""
        ...

    async def pause_gone(self, webhook_id: str, node: UUID) -> None:
        """Deliver no more until somebody resumes it."""
        ...


class WebhookSender(Protocol):
    async def send(self, url: str, secret: str, event: WebhookEvent, attempt: int) -> WebhookAnswer:
        """One signed POST. Waits for the answer, at most ATTEMPT_TIMEOUT_S of
        actors.consumers.webhooks; whatever goes wrong outside is an answer, too."""
        ...


# ---- the other direction: how the server reaches a room --------------------------------------


class RoomRef(Protocol):
    """A room's mailbox. The room may be restarted behind it; the reference stays good."""

    def tell(self, message: Any) -> None:
        """Raises MailboxFull, and MailboxClosed once the room has been put away."""
        ...

    def tell_always(self, message: Any) -> None:
        """For Leave: past the mailbox's bound. Raises MailboxClosed."""
        ...

    def tell_first(self, message: Any) -> None:
        """For StopToys: ahead of all that waits. Raises MailboxClosed."""
        ...


class Arrival(Protocol):
    """Who is about to join."""

    def brought_up_to_date(self, viewer: ViewerRecord) -> ViewerRecord:
        """What was read of the user, with what has changed since `arriving`."""
        ...


class Rooms(Protocol):
    def arriving(self, user_id: str) -> AbstractContextManager[Arrival]:
        """Around reading a user's record and telling a room of the Join with it."""
        ...

    async def open(self, room_id: str) -> RoomRef:
        """The room, brought up if it sleeps. Raises Refused: ROOM_UNKNOWN; ROOM_FAILED; ROOM_BUSY,
        while the database does not answer."""
        ...
