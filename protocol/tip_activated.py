"""TipActivated: the one event that drives every toy (spec 1, which wins every conflict).

It is emitted once per settled tip, after tokens were debited and credited, and never otherwise.
Names, order and enum values are the specification's and are never changed. Read the struct
`TipActivated` at the end first.
"""

import inspect
import re
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from protocol.vibration import Vibration

AMOUNT_MAX: Final = 99_999
"""Tokens of one tip (spec: ledger, 422 above)."""

ID_LENGTH_MAX: Final = 64
ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$(?!\n)"
"""`$(?!\\n)` is the true end for Python and for ECMAScript: `\\Z` means nothing to the readers of
the JSON Schema, and Python's `$` alone lets a line feed follow."""

PURCHASE_PREFIX: Final = "purchase:"
"""Begins the tipId of every purchase and of nothing else."""

NO_NUL_PATTERN: Final = r"^[^\x00]*$"
"""PostgreSQL stores no NUL in text, so what may be stored must not hold one."""

Id = Annotated[str, Meta(pattern=ID_PATTERN, max_length=ID_LENGTH_MAX)]
"""Ids that come from outside: letters, digits, `. _ : -`; 1..64 characters. No NUL, no spaces."""
Amount = Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]
PublicText = Annotated[str, Meta(max_length=200, pattern=NO_NUL_PATTERN)]
Username = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_NUL_PATTERN)]

EVENT_ZONE: Final = timezone(timedelta(hours=-5))
"""A fixed offset by specification: no daylight saving, never Z."""
_TIMESTAMP_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}-05:00$(?!\n)"
Timestamp = Annotated[str, Meta(pattern=_TIMESTAMP_PATTERN)]
"""`YYYY-MM-DDTHH:mm:ss-05:00`; that the date exists is checked by `parse_timestamp`."""
_TIMESTAMPS_KEPT: Final = 256
"""Read ones: an event's is asked for several times, and a second has many events."""


class LovenseMode(StrEnum):
    """The model's integration; exactly one per broadcast."""

    EXTENSION = "EXTENSION"
    CAM_KIT = "CAM_KIT"


class ViewerSyncMode(StrEnum):
    OFF = "OFF"
    SHARED_MOMENT = "SHARED_MOMENT"
    VIP_ROOM_SYNC = "VIP_ROOM_SYNC"


class MembershipTier(StrEnum):
    FREE = "FREE"
    VIP_SILVER = "VIP_SILVER"
    VIP_GOLD = "VIP_GOLD"
    VIP_PLATINUM = "VIP_PLATINUM"
    VIP_DIAMOND = "VIP_DIAMOND"

    @property
    def is_vip(self) -> bool:
        return self is not MembershipTier.FREE


class ItemType(StrEnum):
    TIP = "TIP"
    MENU_ITEM = "MENU_ITEM"


class _Part(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Camel case on every wire; what is not specified is refused."""


class Ledger(_Part, frozen=True):
    """Ids of real, immutable ledger rows: the transfer, and the two entries."""

    ledger_id: str
    source_ref: str
    debit_ref: str
    credit_ref: str
    status: Literal["SETTLED"]


class Room(_Part, frozen=True):
    room_id: Id
    broadcast_id: Id


class Model(_Part, frozen=True):
    model_id: Id
    model_display_name: Username
    lovense_mode: LovenseMode
    viewer_sync_mode: ViewerSyncMode


class Tipper(_Part, frozen=True):
    """`isVip` is `membershipTier != FREE`; anything else is refused."""

    user_id: Id
    username: Username
    membership_tier: MembershipTier
    is_vip: bool

    def __post_init__(self) -> None:
        if self.is_vip is not self.membership_tier.is_vip:
            raise ValueError("`isVip` must be `membershipTier != FREE`")


class Transaction(_Part, frozen=True):
    currency: Literal["TOKENS"]
    amount: Amount


class Item(_Part, frozen=True):
    """What was bought. `bonusPoints` is for the loyalty consumer; the toy layer ignores it."""

    item_type: ItemType
    item_id: Id
    item_name: PublicText
    description_public: PublicText
    vibration: Vibration | None
    bonus_points: Annotated[int, Meta(ge=0)]


class ViewerSync(_Part, frozen=True):
    """The tipper's own flags, at the moment of the tip."""

    tipper_toy_connected: bool
    tipper_react_to_my_tips: bool
    tipper_feel_all_tips: bool


class _Target(_Part, frozen=True, tag_field="type"):
    pass


class ModelToy(_Target, frozen=True, tag="MODEL_TOY"):
    model_id: Id

    @property
    def owner_id(self) -> str:
        return self.model_id


class TipperToy(_Target, frozen=True, tag="TIPPER_TOY"):
    user_id: Id

    @property
    def owner_id(self) -> str:
        return self.user_id


class VipViewerToy(_Target, frozen=True, tag="VIP_VIEWER_TOY"):
    user_id: Id

    @property
    def owner_id(self) -> str:
        return self.user_id


Target = ModelToy | TipperToy | VipViewerToy


def target_type(target: Target) -> str:
    """`MODEL_TOY`, `TIPPER_TOY` or `VIP_VIEWER_TOY`."""
    return str(target.__struct_config__.tag)


class Routing(_Part, frozen=True):
    targets: tuple[Target, ...]


class TipActivated(_Part, frozen=True):
    """The canonical payload, in its specified order.

    A strict decoder refuses missing and unknown fields and unknown enum values, and names the
    field's path.
    """

    event_name: Literal["TipActivated"]
    event_id: UUID
    tip_id: Id
    timestamp: Timestamp
    ledger: Ledger
    room: Room
    model: Model
    tipper: Tipper
    transaction: Transaction
    item: Item
    viewer_sync: ViewerSync
    routing: Routing

    def __post_init__(self) -> None:
        parse_timestamp(self.timestamp)


def source_ref_of(tip_id: str) -> str:
    """The ledger's key of a tip: `tip:{tipId}`; a purchase's tipId is that key already,
    `purchase:{purchaseId}`. So no tip can ever take a purchase's."""
    return tip_id if tip_id.startswith(PURCHASE_PREFIX) else f"tip:{tip_id}"


def format_timestamp(moment: datetime) -> str:
    """`YYYY-MM-DDTHH:mm:ss-05:00`: whole seconds, cut off, at the fixed offset.

    Raises ValueError for a naive datetime.
    """
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no place in an event")
    return moment.astimezone(EVENT_ZONE).replace(microsecond=0).isoformat()


@lru_cache(_TIMESTAMPS_KEPT)
def parse_timestamp(text: str) -> datetime:
    """The aware UTC moment of an event's timestamp. Raises ValueError for any other form."""
    if not re.match(_TIMESTAMP_PATTERN, text):
        raise ValueError("`timestamp` must be YYYY-MM-DDTHH:mm:ss-05:00")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        # The last hours of year 9999 have no UTC moment; the month 13 has none at all.
        raise ValueError("`timestamp` must be a moment that exists") from error


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(TipActivated)


def encode(event: TipActivated) -> bytes:
    """The event as JSON; the same event always gives the same bytes."""
    return _encoder.encode(event)


def decode(data: bytes | str) -> TipActivated:
    """Strict. Raises msgspec.ValidationError with the path of the first bad field, or its base
    msgspec.DecodeError where the text is no JSON."""
    return _decoder.decode(data)


def json_schema() -> dict[str, object]:
    """JSON Schema (2020-12) of the event; checked in as docs/tip_activated.schema.json.

    It is a little wider than `decode`: `isVip` against the tier, the fields that a vibration's
    type asks for and the existence of a date are left to the decoder.
    """
    schema = msgspec.json.schema(TipActivated)
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
