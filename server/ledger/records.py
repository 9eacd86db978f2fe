"""Rows of the ledger as an auditor reads them: decoded strictly, and without the code that wrote
them (server/store/postings.py), so that a mistake there is not a mistake here, too."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from protocol.tip_activated import Item

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Leg(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One entry of a transfer. `created_us`: microseconds since 1970."""

    entry_id: str
    account_id: str
    amount: int
    balance_after: int
    created_us: int


class _Content(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class TipContent(_Content, frozen=True):
    """Of a tip, and of a purchase that was not held before."""

    room_id: str
    broadcast_id: str
    user_id: str
    amount: int


class HeldPurchaseContent(_Content, frozen=True):
    refund_tokens: int


class DepositContent(_Content, frozen=True):
    user_id: str
    amount: int


class HoldContent(_Content, frozen=True):
    user_id: str
    room_id: str
    amount: int
    item: Item


class RefundContent(_Content, frozen=True):
    refunds: str
    tokens: int


class NoContent(_Content, frozen=True):
    pass


class TipAnswer(_Content, frozen=True):
    item_name: str
    timestamp: str


class HoldAnswer(_Content, frozen=True):
    broadcast_id: str
    model_id: str
    expires_at: Annotated[datetime, Meta(tz=True)] | None

    @property
    def expires_us(self) -> int | None:
        if self.expires_at is None:
            return None
        return (self.expires_at - _EPOCH) // timedelta(microseconds=1)


Content = (
    TipContent | HeldPurchaseContent | DepositContent | HoldContent | RefundContent | NoContent
)

_CONTENTS: Final[dict[str, tuple[type[Content], ...]]] = {
    "tip": (TipContent,),
    "purchase": (TipContent, HeldPurchaseContent),
    "deposit": (DepositContent,),
    "hold": (HoldContent,),
    "release": (NoContent,),
    "refund": (RefundContent,),
}


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of holds."""

    hold_id: str
    user_id: str
    room_id: str
    broadcast_id: str
    model_id: str
    amount: int
    item: Item
    expires_us: int | None
    debit_ref: UUID
    state: Literal["HELD", "SETTLED", "REFUNDED", "PARTIALLY_REFUNDED"]
    refunded: int


# ---- events ------------------------------------------------------------------------------------


class EventLedger(_Content, frozen=True):
    ledger_id: str
    source_ref: str
    debit_ref: str
    credit_ref: str
    status: Literal["SETTLED"]


class EventRoom(_Content, frozen=True):
    room_id: str
    broadcast_id: str


class EventModel(_Content, frozen=True):
    model_id: str
    model_display_name: str
    lovense_mode: str
    viewer_sync_mode: str


class EventTipper(_Content, frozen=True):
    user_id: str
    username: str
    membership_tier: str
    is_vip: bool


class EventTransaction(_Content, frozen=True):
    currency: Literal["TOKENS"]
    amount: int


class EventItem(_Content, frozen=True):
    item_type: str
    item_id: str
    item_name: str
    description_public: str
    vibration: msgspec.Raw
    bonus_points: int


class Event(_Content, frozen=True):
    """TipActivated as far as the ledger can prove it (spec: 1, and protocol/tip_activated.py, whose
    patterns take five times as long). What is for toys is only there."""

    event_name: Literal["TipActivated"]
    event_id: UUID
    tip_id: str
    timestamp: str
    ledger: EventLedger
    room: EventRoom
    model: EventModel
    tipper: EventTipper
    transaction: EventTransaction
    item: EventItem
    viewer_sync: msgspec.Raw
    routing: msgspec.Raw


_EVENT: Final = msgspec.json.Decoder(Event)
_LEGS: Final = msgspec.json.Decoder(list[Leg])
_HOLD: Final = msgspec.json.Decoder(Hold)
_DECODERS: Final[dict[type[Any], msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (*{each for kinds in _CONTENTS.values() for each in kinds}, TipAnswer, HoldAnswer)
}


def legs_of(field: bytes) -> list[Leg] | None:
    """None: the transfer has no entries."""
    return _LEGS.decode(field) if field else None


def hold_of(field: bytes) -> Hold | None:
    """None: there is no such hold. Raises msgspec.DecodeError."""
    return _HOLD.decode(field) if field else None


def event_of(field: bytes) -> Event:
    """Raises msgspec.ValidationError with the path of the first bad field, or its base
    msgspec.DecodeError."""
    return _EVENT.decode(field)


def content_of(kind: str, field: bytes) -> Content | None:
    """None where it is not what such a transfer has, to the byte: repeats are compared as text."""
    for each in _CONTENTS.get(kind, ()):
        found = decode_or_none(each, field)
        if found is not None:
            # Whatever the order of fields and the spaces, it would be read; but not recognised.
            return found if msgspec.json.encode(found) == field else None
    return None


def decode_or_none(kind: type[T], field: bytes) -> T | None:
    """None where the JSON is not of this kind."""
    try:
        found: T = _DECODERS[kind].decode(field)
    except msgspec.DecodeError:
        return None
    return found
