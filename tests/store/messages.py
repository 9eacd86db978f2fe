"""Messages to test with: complete ones out of the few fields that a test is about."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from actors.messaging.ports import Message
from protocol.mood_messages import TIERS, AuthorKind, MessageType, Mood
from protocol.tip_activated import MembershipTier


def private(**changes: Any) -> Message:
    """From model-1 to alex, due now."""
    now = datetime.now(UTC)
    plain = Message(
        message_id=uuid4(),
        message_type=MessageType.PRIVATE_CUSTOM,
        author_kind=AuthorKind.MODEL,
        author_id="model-1",
        author_name="Ruby Rain",
        recipient_id="alex",
        recipient_is_model=False,
        model_id="model-1",
        tier=MembershipTier.VIP_GOLD,
        priority=TIERS[MembershipTier.VIP_GOLD].priority,
        mood=Mood.NEUTRAL,
        mood_confidence=100,
        content="Hello, you.",
        created_at=now,
        due_at=now - timedelta(seconds=1),
    )
    return msgspec.structs.replace(plain, **changes)


def from_viewer(**changes: Any) -> Message:
    """From alex to model-1."""
    return private(
        **{
            "author_kind": AuthorKind.VIEWER,
            "author_id": "alex",
            "author_name": "Alex",
            "recipient_id": "model-1",
            "recipient_is_model": True,
            **changes,
        }
    )


def thanks(tip_id: str, **changes: Any) -> Message:
    """To room-1, for alex."""
    return private(
        **{
            "message_type": MessageType.PUBLIC_MICRO,
            "room_id": "room-1",
            "tip_id": tip_id,
            "content": "Thank you!",
            **changes,
        }
    )
