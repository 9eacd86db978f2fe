"""Messages and moods as members get them."""

from datetime import datetime

from actors.messaging.ports import Message, RoomMood
from protocol.frames import MoodChanged, PrivateMessage, PublicMessage
from protocol.mood_messages import NEUTRAL

NEUTRAL_AGAIN = MoodChanged("", 0, NEUTRAL.mood, NEUTRAL.confidence, None)


def public_frame(message: Message) -> PublicMessage:
    """Its epoch and offset are the room's to give."""
    return PublicMessage(
        epoch="",
        offset=0,
        message_id=str(message.message_id),
        message_type=message.message_type,
        author_name=message.author_name,
        mood=message.mood,
        content=message.content,
        created_at=_epoch_ms(message.created_at),
    )


def private_frame(message: Message) -> PrivateMessage:
    return PrivateMessage(
        message_id=str(message.message_id),
        message_type=message.message_type,
        author_kind=message.author_kind,
        author_id=message.author_id,
        author_name=message.author_name,
        model_id=message.model_id,
        mood=message.mood,
        mood_confidence=message.mood_confidence,
        content=message.content,
        created_at=_epoch_ms(message.created_at),
    )


def mood_frame(mood: RoomMood) -> MoodChanged:
    """Its epoch and offset are the room's to give."""
    expires_at = None if mood.expires_at is None else _epoch_ms(mood.expires_at)
    return MoodChanged("", 0, mood.mood, mood.confidence, expires_at)


def _epoch_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
