"""Mood messages: what there is to say of one, as tables (spec 6). Read `TIERS`, then `FORWARD`.

A message's text belongs to this layer alone: no room, no event and no log line holds it.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from protocol.tip_activated import NO_NUL_PATTERN, Id, MembershipTier

CONTENT_MAX: Final = 1_000
"""Characters of a message as it is sent."""
OFFLINE_DAYS_MAX: Final = 1
"""How long a message waits for a recipient who is not connected."""
RETRIES_MAX: Final = 3
"""After the first attempt. Then the message is FAILED and a dead letter."""
MESSAGES_PER_MIN_MAX: Final = 30
"""Of one author."""
MOOD_CHANGES_PER_HOUR_MAX: Final = 60
"""Of one room (spec 6)."""
MOOD_EXPIRY_MAX_S: Final = 24 * 3600

Text = Annotated[str, Meta(min_length=1, max_length=CONTENT_MAX, pattern=NO_NUL_PATTERN)]
Confidence = Annotated[int, Meta(ge=0, le=100)]


class Mood(StrEnum):
    HAPPY = "happy"
    SAD = "sad"
    ANGRY = "angry"
    NEUTRAL = "neutral"
    EXCITED = "excited"
    ANXIOUS = "anxious"
    UNKNOWN = "unknown"
    """Nothing in the text tells."""


class MessageType(StrEnum):
    PUBLIC_MICRO = "public_micro"
    """The thanks for a tip, to the whole room."""
    PRIVATE_CUSTOM = "private_custom"
    """To one member."""
    ESCALATION_AUTO = "escalation_auto"
    """To a viewer whose own message the model has not read in time."""


class DetectedMood(msgspec.Struct, frozen=True, rename="camel"):
    """A mood and how sure that is, 0..100."""

    mood: Mood
    confidence: Confidence


# ---- tiers -----------------------------------------------------------------------------------


class TierRule(msgspec.Struct, frozen=True):
    """`priority`, 1..10: the higher goes first of what is due at once. `delay_s`: from when the
    message was taken to when it is sent."""

    priority: int
    delay_s: float


TIERS: Final[dict[MembershipTier, TierRule]] = {
    MembershipTier.VIP_DIAMOND: TierRule(10, 0.0),
    MembershipTier.VIP_PLATINUM: TierRule(10, 0.0),
    MembershipTier.VIP_GOLD: TierRule(8, 1.0),
    MembershipTier.VIP_SILVER: TierRule(5, 5.0),
    MembershipTier.FREE: TierRule(3, 30.0),
}
"""Of the viewer whom a message concerns, tipper, recipient or author; never the caller's choice."""


# ---- states ----------------------------------------------------------------------------------


class MessageState(StrEnum):
    PENDING = "pending"
    """Its time has not come, or its recipient is not connected."""
    SENT = "sent"
    """Given to the recipient's sockets, or to the room."""
    DELIVERED = "delivered"
    """The recipient's page has it."""
    READ = "read"
    FAILED = "failed"


class FailureReason(StrEnum):
    """Why a message was not sent."""

    ROOM_UNAVAILABLE = "ROOM_UNAVAILABLE"
    """The room took it neither at first nor in three retries."""
    EXPIRED = "EXPIRED"
    """Its recipient did not connect for a day."""


FORWARD: Final[dict[MessageState, frozenset[MessageState]]] = {
    MessageState.PENDING: frozenset(MessageState) - {MessageState.PENDING},
    MessageState.SENT: frozenset({MessageState.DELIVERED, MessageState.READ, MessageState.FAILED}),
    MessageState.DELIVERED: frozenset({MessageState.READ}),
    MessageState.READ: frozenset(),
    MessageState.FAILED: frozenset(),
}
"""What may follow. A state that was passed over is passed at the same moment: a page may answer
before it is written down that it was sent to."""


def moves_on(old: MessageState, new: MessageState) -> bool:
    """Whether `new` may follow `old`. What may not, is no error and changes nothing: a receipt that
    comes again, or late."""
    return new in FORWARD[old]


# ---- who may write ---------------------------------------------------------------------------


class AuthorKind(StrEnum):
    MODEL = "model"
    VIEWER = "viewer"
    SYSTEM = "system"
    """The platform's back end, and staff."""


class Between(msgspec.Struct, frozen=True):
    """What the server's own records say of author and recipient. `recipient_in_room`: is in the
    author's room now. `recipient_tipped`, `author_tipped`: has ever tipped the other."""

    author_kind: AuthorKind
    recipient_known: bool
    recipient_is_model: bool
    recipient_in_room: bool = False
    recipient_tipped: bool = False
    author_tipped: bool = False


def may_write(between: Between) -> bool:
    """A model to viewers of her room or her past tippers, a viewer to the model that he tipped, the
    system to anyone there is (spec 6)."""
    match between.author_kind:
        case AuthorKind.SYSTEM:
            return between.recipient_known
        case AuthorKind.MODEL:
            is_hers = between.recipient_in_room or between.recipient_tipped
            return is_hers and not between.recipient_is_model
        case AuthorKind.VIEWER:
            return between.recipient_is_model and between.author_tipped


# ---- what people send ------------------------------------------------------------------------


class MessageDraft(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A private message as its author sends it. Without `content` a template is chosen, for which
    `mood` may be named; only a model and the system have templates. `requestId`: the author's own
    id for this message; the same again is answered as the first and sends nothing."""

    recipient_id: Id
    content: Text | None = None
    mood: Mood | None = None
    request_id: Id | None = None


class MoodDraft(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A room's mood as its model sets it. Without `expiresInS` it holds until the next."""

    mood: Mood
    confidence: Confidence = 100
    expires_in_s: Annotated[int, Meta(ge=1, le=MOOD_EXPIRY_MAX_S)] | None = None


NEUTRAL: Final = DetectedMood(Mood.NEUTRAL, 100)
"""Of a room whose mood nobody has set, or whose mood has expired."""
