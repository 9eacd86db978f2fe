"""What messaging needs from the world, and the message as all of it knows it.

Every method of a store waits, and raises StoreUnavailable as actors.ports says.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from protocol.message_templates import Template
from protocol.mood_messages import (
    AuthorKind,
    DetectedMood,
    FailureReason,
    MessageState,
    MessageType,
    Mood,
)
from protocol.tip_activated import MembershipTier, TipActivated


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it was taken. Times are UTC; `due_at`: None while it waits for its recipient's
    next connection. Of a thanks the recipient is the tipper, whom it is meant for."""

    message_id: UUID
    message_type: MessageType
    author_kind: AuthorKind
    author_id: str
    author_name: str
    recipient_id: str
    recipient_is_model: bool
    room_id: str | None = None
    """Of a public one."""
    model_id: str | None = None
    """Author, recipient, or on whose behalf; None: the system's to a viewer."""
    tip_id: str | None = None
    answers: UUID | None = None
    """The unread message that this one escalates."""
    tier: MembershipTier
    priority: int
    mood: Mood
    mood_confidence: int
    content: str
    template_id: str | None = None
    template_version: int | None = None
    request_id: str | None = None
    created_at: datetime
    due_at: datetime | None


class MessageChange(msgspec.Struct, frozen=True):
    """What became of a message. `state` None: it waits for its recipient's next connection.
    `recipient_id`: who says so; nobody else's word is taken. None: we."""

    message_id: UUID
    state: MessageState | None
    at_utc: datetime
    recipient_id: str | None = None
    reason: FailureReason | None = None
    attempts: int = 0


class ThanksFacts(msgspec.Struct, frozen=True):
    """`recent`: userId -> templateIds of the last messages to him, the newest first. `moods`:
    roomId -> the room's mood now; NEUTRAL where there is none."""

    recent: Mapping[str, Sequence[str]]
    moods: Mapping[str, DetectedMood]


class Parties(msgspec.Struct, frozen=True):
    """What the records say of an author and a recipient. `recipient_tier` is None for one who is no
    registered user, the two names for one who is no model."""

    recipient_username: str | None
    recipient_tier: MembershipTier | None
    author_tier: MembershipTier | None
    recipient_model_name: str | None
    author_model_name: str | None
    recipient_tipped: bool
    author_tipped: bool


class UnreadMessage(msgspec.Struct, frozen=True):
    """A viewer's message that its model has not read in time."""

    message_id: UUID
    author_id: str
    author_name: str
    author_tier: MembershipTier
    model_id: str
    model_name: str
    mood: Mood
    mood_confidence: int


class RoomMood(msgspec.Struct, frozen=True):
    """A mood that was set; it holds until `expires_at` (UTC), or until the next."""

    room_id: str
    mood: Mood
    confidence: int
    set_at: datetime
    expires_at: datetime | None


class MessageStore(Protocol):
    async def load_templates(self) -> list[Template]:
        """All that are in force."""
        ...

    async def load_facts(self, user_ids: Sequence[str], room_ids: Sequence[str]) -> ThanksFacts: ...

    async def record_thanks(
        self, events: Sequence[TipActivated], thanks: Sequence[Message]
    ) -> set[str]:
        """Mark the events done for the consumer `messaging`, store the thanks of those that were
        not done before, and remember who tipped whom, in one transaction. The tipIds whose thanks
        were stored now: a tipId is among them once for ever."""
        ...

    async def load_parties(self, author_id: str, recipient_id: str) -> Parties: ...

    async def add_message(self, message: Message, per_min_max: int | None) -> Message:
        """Store it, or leave it at what was stored for the same author's requestId: what stands
        there is returned. Raises Refused with RATE_LIMITED past `per_min_max` of this author."""
        ...

    async def load_request(self, author_id: str, request_id: str) -> Message | None:
        """What was stored for it."""
        ...

    async def load_unsent(self, overdue_s: float | None, limit: int) -> list[Message]:
        """Pending and not waiting for a connection, the earliest due first: those overdue by so
        much, or (None) all."""
        ...

    async def load_waiting(self, user_ids: Sequence[str], now_utc: datetime) -> list[Message]:
        """Private ones to these, pending although their time has come by the caller's clock."""
        ...

    async def change_messages(self, changes: Sequence[MessageChange]) -> None:
        """In order, in one transaction. What protocol.mood_messages.FORWARD rules out changes
        nothing; the first READ counts for the template."""
        ...

    async def expire_waiting(self) -> int:
        """Fail those that have waited for OFFLINE_DAYS_MAX; how many."""
        ...

    async def load_unread(self, wait_s: float, limit: int) -> list[UnreadMessage]:
        """Viewers' messages that their model has not read for so long, and nothing was done."""
        ...

    async def record_escalations(
        self, unread: Sequence[UUID], escalations: Sequence[Message]
    ) -> set[UUID]:
        """Mark all of `unread` as seen to, and store those escalations whose message was not
        before, in one transaction. The ids of the escalations that were stored now."""
        ...

    async def load_running_moods(self) -> list[RoomMood]:
        """Those that are in force and will expire."""
        ...


class MoodDetector(Protocol):
    """Scores what a viewer writes. Pluggable: the server brings one that knows a lexicon."""

    def detect(self, text: str) -> DetectedMood:
        """Never waits."""
        ...
