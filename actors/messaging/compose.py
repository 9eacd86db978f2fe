"""Messages out of events, drafts and templates: pure functions."""

from datetime import timedelta
from uuid import UUID

from actors.messaging.ports import Message, UnreadMessage
from actors.runtime.moment import Moment
from protocol.message_templates import Template, fill
from protocol.mood_messages import TIERS, AuthorKind, DetectedMood, MessageType
from protocol.tip_activated import TipActivated


def make_thanks(
    event: TipActivated,
    template: Template,
    mood: DetectedMood,
    message_id: UUID,
    now: Moment,
    age_s: float,
) -> Message:
    """The thanks for a tip that was settled `age_s` ago."""
    tipper, model = event.tipper, event.model
    rule = TIERS[tipper.membership_tier]
    created_at = now.utc - timedelta(seconds=age_s)
    content = fill(
        template.content,
        {
            "username": tipper.username,
            "modelName": model.model_display_name,
            "amount": str(event.transaction.amount),
            "itemName": event.item.item_name,
        },
    )
    return Message(
        message_id=message_id,
        message_type=MessageType.PUBLIC_MICRO,
        author_kind=AuthorKind.MODEL,
        author_id=model.model_id,
        author_name=model.model_display_name,
        recipient_id=tipper.user_id,
        recipient_is_model=False,
        room_id=event.room.room_id,
        model_id=model.model_id,
        tip_id=event.tip_id,
        tier=tipper.membership_tier,
        priority=rule.priority,
        mood=mood.mood,
        mood_confidence=mood.confidence,
        content=content,
        template_id=template.template_id,
        template_version=template.version,
        created_at=created_at,
        due_at=created_at + timedelta(seconds=rule.delay_s),
    )


def make_escalation(
    unread: UnreadMessage, template: Template, message_id: UUID, now: Moment
) -> Message:
    """What a viewer hears whose message the model has not read, in the mood of that message."""
    rule = TIERS[unread.author_tier]
    values = {"username": unread.author_name, "modelName": unread.model_name}
    return Message(
        message_id=message_id,
        message_type=MessageType.ESCALATION_AUTO,
        author_kind=AuthorKind.SYSTEM,
        author_id=unread.model_id,
        author_name=unread.model_name,
        recipient_id=unread.author_id,
        recipient_is_model=False,
        model_id=unread.model_id,
        answers=unread.message_id,
        tier=unread.author_tier,
        priority=rule.priority,
        mood=unread.mood,
        mood_confidence=unread.mood_confidence,
        content=fill(template.content, values),
        template_id=template.template_id,
        template_version=template.version,
        created_at=now.utc,
        due_at=now.utc + timedelta(seconds=rule.delay_s),
    )
