"""Messaging on in-memory ports: a store of messages with the real rules, and a house with post.

A test that wants faults sets `Messages.before` and `Messages.after`, as in tests.actors.ports.
"""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import trio

from actors.messaging.message_log import MessageLog
from actors.messaging.ports import (
    Message,
    MessageChange,
    Parties,
    RoomMood,
    ThanksFacts,
    UnreadMessage,
)
from actors.messaging.post_office import PostOffice
from actors.messaging.template_book import TemplateBook
from actors.messaging.thanks import ThanksConsumer
from actors.ports import PendingEvents
from actors.runtime.moment import Chance
from protocol.errors import ErrorCode, Refused
from protocol.message_templates import Template
from protocol.mood_messages import (
    NEUTRAL,
    OFFLINE_DAYS_MAX,
    TIERS,
    AuthorKind,
    DetectedMood,
    FailureReason,
    MessageState,
    MessageType,
    Mood,
    moves_on,
)
from protocol.tip_activated import MembershipTier, TipActivated
from tests.actors.house import House, utc_now
from tests.actors.ports import STARTED_AT_UTC, Hook, _turn
from tests.actors.rooms import MODEL


def template(
    number: int, message_type: MessageType = MessageType.PUBLIC_MICRO, **changes: Any
) -> Template:
    plain = Template(
        f"{message_type.value}-{number}",
        1,
        "T",
        message_type,
        None,
        None,
        f"Thank you, {{{{username}}}}! ({number})",
        ("username",),
        (),
        True,
        0,
        0,
        None,
        "staff",
        STARTED_AT_UTC,
    )
    return msgspec.structs.replace(plain, **changes)


TEMPLATES = tuple(template(number, kind) for kind in MessageType for number in range(7))


class Messages:
    """Implements MessageStore, and EventStore for the consumer `messaging`."""

    def __init__(self, templates: Sequence[Template] = TEMPLATES) -> None:
        self.templates = {each.template_id: each for each in templates}
        self.messages: dict[UUID, Message] = {}
        self.states: dict[UUID, MessageState] = {}
        self.reasons: dict[UUID, FailureReason | None] = {}
        self.attempts: dict[UUID, int] = {}
        self.read_counts: dict[str, int] = {}
        self.done: set[str] = set()
        self.undone: dict[str, TipActivated] = {}
        self.tipped: set[tuple[str, str]] = set()
        self.moods: dict[str, RoomMood] = {}
        self.tiers: dict[str, MembershipTier] = {}
        self.model_names: dict[str, str] = {MODEL: "Aurora"}
        self.escalated: set[UUID] = set()
        self.before: Hook = _turn
        self.after: Hook = _turn

    def settled(self, *events: TipActivated) -> None:
        """The ledger has committed them."""
        self.undone.update({event.tip_id: event for event in events})

    def only(self, **wanted: Any) -> Message:
        [found] = self.all(**wanted)
        return found

    def all(self, **wanted: Any) -> list[Message]:
        return [
            each
            for each in self.messages.values()
            if all(getattr(each, name) == value for name, value in wanted.items())
        ]

    # ---- the port ----

    async def pending_events(self, _consumer: str, _after: int, limit: int) -> PendingEvents:
        await self.before("pending_events")
        return PendingEvents(tuple(self.undone.values())[:limit], None)

    async def load_templates(self) -> list[Template]:
        await self.before("load_templates")
        return list(self.templates.values())

    async def load_facts(self, user_ids: Sequence[str], room_ids: Sequence[str]) -> ThanksFacts:
        await self.before("load_facts")
        recent = {
            user_id: [
                each.template_id
                for each in reversed(self.messages.values())
                if each.recipient_id == user_id and each.template_id is not None
            ][:5]
            for user_id in user_ids
        }
        return ThanksFacts(recent, {room_id: self._mood(room_id) for room_id in room_ids})

    def _mood(self, room_id: str) -> DetectedMood:
        mood = self.moods.get(room_id)
        if mood is None or (mood.expires_at is not None and mood.expires_at <= utc_now()):
            return NEUTRAL
        return DetectedMood(mood.mood, mood.confidence)

    async def record_thanks(
        self, events: Sequence[TipActivated], thanks: Sequence[Message]
    ) -> set[str]:
        await self.before("record_thanks")
        new = {event.tip_id for event in events} - self.done
        self.done |= new
        for event in events:
            self.undone.pop(event.tip_id, None)
            self.tipped.add((event.model.model_id, event.tipper.user_id))
        stored = [message for message in thanks if message.tip_id in new]
        for message in stored:
            self._add(message)
        await self.after("record_thanks")
        return {message.tip_id for message in stored if message.tip_id is not None}

    def _add(self, message: Message) -> None:
        assert message.message_id not in self.messages
        self.messages[message.message_id] = message
        self.states[message.message_id] = MessageState.PENDING

    async def load_parties(self, author_id: str, recipient_id: str) -> Parties:
        await self.before("load_parties")
        return Parties(
            recipient_username=recipient_id if recipient_id in self.tiers else None,
            recipient_tier=self.tiers.get(recipient_id),
            author_tier=self.tiers.get(author_id),
            recipient_model_name=self.model_names.get(recipient_id),
            author_model_name=self.model_names.get(author_id),
            recipient_tipped=(author_id, recipient_id) in self.tipped,
            author_tipped=(recipient_id, author_id) in self.tipped,
        )

    async def add_message(self, message: Message, per_min_max: int | None) -> Message:
        await self.before("add_message")
        known = self._request(message.author_id, message.request_id)
        if known is None:
            since = utc_now() - timedelta(minutes=1)
            recent = [
                each for each in self.all(author_id=message.author_id) if each.created_at > since
            ]
            if per_min_max is not None and len(recent) >= per_min_max:
                raise Refused(ErrorCode.RATE_LIMITED, retry_after_s=1.0)
            self._add(message)
        await self.after("add_message")
        return known or message

    def _request(self, author_id: str, request_id: str | None) -> Message | None:
        found = [] if request_id is None else self.all(author_id=author_id, request_id=request_id)
        return found[0] if found else None

    async def load_request(self, author_id: str, request_id: str) -> Message | None:
        await self.before("load_request")
        return self._request(author_id, request_id)

    async def load_unsent(self, overdue_s: float | None, limit: int) -> list[Message]:
        await self.before("load_unsent")
        latest = utc_now() - timedelta(seconds=overdue_s or 0)
        found = [
            each
            for each in self._pending()
            if each.due_at is not None and (overdue_s is None or each.due_at <= latest)
        ]
        await self.after("load_unsent")
        return found[:limit]

    def _pending(self) -> list[Message]:
        return [
            each
            for each in self.messages.values()
            if self.states[each.message_id] is MessageState.PENDING
        ]

    async def load_waiting(self, user_ids: Sequence[str], now_utc: datetime) -> list[Message]:
        await self.before("load_waiting")
        return [
            each
            for each in self._pending()
            if each.room_id is None
            and each.recipient_id in user_ids
            and (each.due_at is None or each.due_at <= now_utc)
        ]

    async def change_messages(self, changes: Sequence[MessageChange]) -> None:
        await self.before("change_messages")
        for change in changes:
            message = self.messages.get(change.message_id)
            if message is not None and change.recipient_id in (None, message.recipient_id):
                self._change(message, change)
        await self.after("change_messages")

    def _change(self, message: Message, change: MessageChange) -> None:
        old = self.states[message.message_id]
        if change.state is None and old is MessageState.PENDING:
            waiting = msgspec.structs.replace(message, due_at=None)
            self.messages[message.message_id] = waiting
        if change.state is None or not moves_on(old, change.state):
            return
        self.states[message.message_id] = change.state
        self.reasons[message.message_id] = change.reason
        self.attempts[message.message_id] = max(
            self.attempts.get(message.message_id, 0), change.attempts
        )
        if change.state is MessageState.READ and message.template_id is not None:
            reads = self.read_counts.get(message.template_id, 0)
            self.read_counts[message.template_id] = reads + 1

    async def expire_waiting(self) -> int:
        await self.before("expire_waiting")
        latest = utc_now() - timedelta(days=OFFLINE_DAYS_MAX)
        expired = [
            each for each in self._pending() if each.due_at is None and each.created_at <= latest
        ]
        for each in expired:
            self._change(
                each,
                MessageChange(
                    each.message_id, MessageState.FAILED, utc_now(), reason=FailureReason.EXPIRED
                ),
            )
        return len(expired)

    async def load_unread(self, wait_s: float, limit: int) -> list[UnreadMessage]:
        await self.before("load_unread")
        latest = utc_now() - timedelta(seconds=wait_s)
        return [
            UnreadMessage(
                each.message_id,
                each.author_id,
                each.author_name,
                each.tier,
                MODEL,
                self.model_names[MODEL],
                each.mood,
                each.mood_confidence,
            )
            for each in self.all(author_kind=AuthorKind.VIEWER)
            if each.message_id not in self.escalated
            and self.states[each.message_id] not in (MessageState.READ, MessageState.FAILED)
            and each.created_at <= latest
        ][:limit]

    async def record_escalations(
        self, unread: Sequence[UUID], escalations: Sequence[Message]
    ) -> set[UUID]:
        await self.before("record_escalations")
        new = set(unread) - self.escalated
        self.escalated |= new
        stored = [each for each in escalations if each.answers in new]
        for each in stored:
            self._add(each)
        await self.after("record_escalations")
        return {each.message_id for each in stored}

    async def load_running_moods(self) -> list[RoomMood]:
        await self.before("load_running_moods")
        return [
            each
            for each in self.moods.values()
            if each.expires_at is not None and each.expires_at > utc_now()
        ]


@dataclass
class Post:
    store: Messages
    log: MessageLog
    office: PostOffice
    book: TemplateBook
    thanks: ThanksConsumer


@asynccontextmanager
async def open_post(house: House, store: Messages, seed: int = 1) -> AsyncIterator[Post]:
    """Messaging beside a house; it ends as a killed process does."""
    chance = Chance(random.Random(seed), utc_now)
    log = MessageLog(store)
    office = PostOffice(store, house.rooms, log, chance)
    book = TemplateBook(store)
    thanks = ThanksConsumer(store, book, office, chance)
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        await nursery.start(office.run)
        await nursery.start(book.run)
        await nursery.start(thanks.run)
        yield Post(store, log, office, book, thanks)
        nursery.cancel_scope.cancel()


def private(message_id: int, **changes: Any) -> Message:
    """From the model to ann, due at the start."""
    plain = Message(
        message_id=UUID(int=message_id),
        message_type=MessageType.PRIVATE_CUSTOM,
        author_kind=AuthorKind.MODEL,
        author_id=MODEL,
        author_name="Aurora",
        recipient_id="ann",
        recipient_is_model=False,
        model_id=MODEL,
        tier=MembershipTier.VIP_DIAMOND,
        priority=TIERS[MembershipTier.VIP_DIAMOND].priority,
        mood=Mood.NEUTRAL,
        mood_confidence=100,
        content="Hello, you.",
        created_at=STARTED_AT_UTC,
        due_at=STARTED_AT_UTC,
    )
    return msgspec.structs.replace(plain, **changes)


def after(seconds: float) -> datetime:
    return STARTED_AT_UTC + timedelta(seconds=seconds)
