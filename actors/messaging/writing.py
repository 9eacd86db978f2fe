"""Writing: a person or the platform writes to one member. Checked, stored, then posted."""

from datetime import timedelta
from typing import Final

import msgspec

from actors.messaging.ports import Message, MessageStore, MoodDetector, Parties
from actors.messaging.post_office import PostOffice
from actors.messaging.template_book import TemplateBook
from actors.room.registry import RoomRegistry
from actors.runtime.moment import Chance
from protocol.errors import ErrorCode, Refused
from protocol.message_templates import Template, fill
from protocol.mood_messages import (
    MESSAGES_PER_MIN_MAX,
    NEUTRAL,
    TIERS,
    AuthorKind,
    Between,
    DetectedMood,
    MessageDraft,
    MessageType,
    may_write,
)
from protocol.tip_activated import MembershipTier

SYSTEM_NAME: Final = "System"
"""What members see of the platform's back end and of staff."""


class Author(msgspec.Struct, frozen=True):
    """Who writes, as the token says. `room_id`: a model's own."""

    kind: AuthorKind
    user_id: str
    username: str
    membership_tier: MembershipTier
    room_id: str | None


class WritingDesk:
    def __init__(
        self,
        store: MessageStore,
        rooms: RoomRegistry,
        book: TemplateBook,
        office: PostOffice,
        detector: MoodDetector,
        chance: Chance,
    ) -> None:
        self._store = store
        self._rooms = rooms
        self._book = book
        self._office = office
        self._detector = detector
        self._chance = chance

    async def write(self, author: Author, draft: MessageDraft) -> Message:
        """The message as it was taken; for a requestId that was used before, as it was then.
        Raises Refused (FORBIDDEN, USER_UNKNOWN, INVALID_FIELD, NO_TEMPLATE, RATE_LIMITED,
        MESSAGE_CONFLICT), StoreUnavailable: then the same requestId finds out."""
        if draft.request_id is not None:
            known = await self._store.load_request(author.user_id, draft.request_id)
            if known is not None:
                return _same(draft, known)
        if author.kind is AuthorKind.VIEWER:
            _check_own_words(draft)
        parties = await self._store.load_parties(author.user_id, draft.recipient_id)
        self._check(author, draft, parties)
        message = await self._compose(author, draft, parties)
        limit = None if author.kind is AuthorKind.SYSTEM else MESSAGES_PER_MIN_MAX
        stored = await self._store.add_message(message, limit)
        if stored.message_id != message.message_id:  # the same requestId, a moment ago
            return _same(draft, stored)
        self._office.post([stored])
        return stored

    def _check(self, author: Author, draft: MessageDraft, parties: Parties) -> None:
        is_model = parties.recipient_model_name is not None
        known = is_model or parties.recipient_username is not None
        if author.kind is AuthorKind.SYSTEM and not known:
            raise Refused(ErrorCode.USER_UNKNOWN, "recipientId")
        room = None if author.room_id is None else self._rooms.awake(author.room_id)
        present = self._rooms.whereabouts.rooms_of(draft.recipient_id)
        between = Between(
            author_kind=author.kind,
            recipient_known=known,
            recipient_is_model=is_model,
            recipient_in_room=room in present,
            recipient_tipped=parties.recipient_tipped,
            author_tipped=parties.author_tipped,
        )
        if not may_write(between):
            detail = "A model writes to viewers of her room and to who tipped her, a viewer to her."
            raise Refused(ErrorCode.FORBIDDEN, "recipientId", detail)

    async def _compose(self, author: Author, draft: MessageDraft, parties: Parties) -> Message:
        """Tier and priority follow from the viewer of the two; who is not registered is FREE."""
        tier = parties.recipient_tier or MembershipTier.FREE
        if author.kind is AuthorKind.VIEWER:
            tier = parties.author_tier or author.membership_tier
        to_model = parties.recipient_model_name is not None
        model_id = {
            AuthorKind.MODEL: author.user_id,
            AuthorKind.VIEWER: draft.recipient_id,
            AuthorKind.SYSTEM: draft.recipient_id if to_model else None,
        }[author.kind]
        mood = await self._mood(author, draft)
        name, content, template = _name(author, parties), draft.content, None
        if content is None:
            template = await self._template(draft, mood, tier)
            content = _text(template, name, draft, parties)
        now, rule = self._chance.now(), TIERS[tier]
        return Message(
            message_id=self._chance.uuid7(now),
            message_type=MessageType.PRIVATE_CUSTOM,
            author_kind=author.kind,
            author_id=author.user_id,
            author_name=name,
            recipient_id=draft.recipient_id,
            recipient_is_model=to_model,
            model_id=model_id,
            tier=tier,
            priority=rule.priority,
            mood=mood.mood,
            mood_confidence=mood.confidence,
            content=content,
            template_id=None if template is None else template.template_id,
            template_version=None if template is None else template.version,
            request_id=draft.request_id,
            created_at=now.utc,
            due_at=now.utc + timedelta(seconds=rule.delay_s),
        )

    async def _mood(self, author: Author, draft: MessageDraft) -> DetectedMood:
        """As it was named; else a viewer's as his words tell, a model's as her room has it."""
        if draft.mood is not None:
            return DetectedMood(draft.mood, 100)
        if author.kind is AuthorKind.VIEWER and draft.content is not None:
            return self._detector.detect(draft.content)
        if author.room_id is None:
            return NEUTRAL
        facts = await self._store.load_facts([], [author.room_id])
        return facts.moods[author.room_id]

    async def _template(
        self, draft: MessageDraft, mood: DetectedMood, tier: MembershipTier
    ) -> Template:
        await self._book.ready()
        facts = await self._store.load_facts([draft.recipient_id], [])
        had = tuple(facts.recent.get(draft.recipient_id, ()))
        chosen = self._book.choose(
            MessageType.PRIVATE_CUSTOM, mood.mood, tier, had, self._chance.now()
        )
        if chosen is None:
            raise Refused(ErrorCode.NO_TEMPLATE)
        return chosen


def _check_own_words(draft: MessageDraft) -> None:
    """A viewer writes himself, and his mood is what his words tell. Raises Refused."""
    if draft.content is None:
        raise Refused(ErrorCode.INVALID_FIELD, "content", "Write something.")
    if draft.mood is not None:
        raise Refused(ErrorCode.INVALID_FIELD, "mood", "A viewer's mood is detected.")


def _name(author: Author, parties: Parties) -> str:
    match author.kind:
        case AuthorKind.MODEL:
            return parties.author_model_name or author.username
        case AuthorKind.VIEWER:
            return author.username
        case AuthorKind.SYSTEM:
            return SYSTEM_NAME


def _text(template: Template, name: str, draft: MessageDraft, parties: Parties) -> str:
    who = parties.recipient_username or parties.recipient_model_name or draft.recipient_id
    return fill(template.content, {"username": who, "modelName": name})


def _same(draft: MessageDraft, known: Message) -> Message:
    """What a repeat is answered with. A text out of a template is not compared: another one would
    be chosen today."""
    words = known.content if known.template_id is None else None
    if (draft.recipient_id, draft.content) != (known.recipient_id, words):
        raise Refused(ErrorCode.MESSAGE_CONFLICT, "requestId")
    return known
