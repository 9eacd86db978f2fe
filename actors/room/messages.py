"""What a room's actor receives. Commands are imperative; what happened elsewhere is past tense;
what a room tells itself starts with `_`."""

from typing import Any, Protocol
from uuid import UUID

import msgspec

from actors.ports import Broadcast, Requeued, SessionId, ViewerRecord
from actors.transfers import HoldRecord
from protocol.devices import DeviceOverride
from protocol.errors import Refusal
from protocol.frames import ClientFrame, OwnFrame, Resume, RoomEvent
from protocol.gating import Preferences
from protocol.tip_activated import Item, LovenseMode, MembershipTier, TipActivated
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import ModelSettings, PlatformSettings


class ReplyTo(Protocol):
    """Where one answer goes. `answer` never waits and is called at most once."""

    def answer(self, result: Any) -> None: ...


class MemberReply(msgspec.Struct, frozen=True):
    """The answer goes to a member's socket, as `ok` or `error` with this ref."""

    session_id: SessionId
    ref: int


Asker = MemberReply | ReplyTo


class _Message(msgspec.Struct, frozen=True):
    pass


# ---- from sockets ----------------------------------------------------------------------------


class Join(_Message, frozen=True):
    """A member whose token was checked. The room answers with `ok(ref)` and a snapshot, or with
    an error and a close. `integration`: set for the model's page, None for a viewer's."""

    session_id: SessionId
    ref: int | None
    """None: the room restarted behind an open socket; only a snapshot is sent."""
    user_id: str
    username: str
    is_model: bool
    membership_tier: MembershipTier
    viewer: ViewerRecord
    integration: LovenseMode | None
    resume: Resume | None
    page_id: str | None = None
    is_moderator: bool = False


class Leave(_Message, frozen=True):
    """The session's socket is gone. Never refused, whatever the mailbox holds."""

    session_id: SessionId


class MemberFrame(_Message, frozen=True):
    """A frame of a member who has joined; `connect` and `refreshToken` never come here."""

    session_id: SessionId
    frame: ClientFrame


class TierChanged(_Message, frozen=True):
    """A refreshed token carries another tier."""

    session_id: SessionId
    membership_tier: MembershipTier


# ---- from HTTP -------------------------------------------------------------------------------


class TipByRequest(_Message, frozen=True):
    """A tip over HTTP, by the viewer or by the platform for a user. Answered with
    `TipReceipt | Refusal`."""

    reply_to: ReplyTo
    tip_id: str
    broadcast_id: str
    amount: int
    user_id: str
    username: str
    membership_tier: MembershipTier


class PurchaseByRequest(_Message, frozen=True):
    """Sell a user an item, settled at once, in the broadcast `broadcast_id`. Answered with
    `TipReceipt | Refusal`."""

    reply_to: ReplyTo
    purchase_id: str
    broadcast_id: str
    user_id: str
    username: str
    membership_tier: MembershipTier
    amount: int
    item: Item


class HoldByRequest(_Message, frozen=True):
    """Hold a user's tokens for an item, by the platform. Answered with `Posted | Refusal`."""

    reply_to: ReplyTo
    hold_id: str
    user_id: str
    amount: int
    item: Item
    expires_in_s: float | None
    """After this the hold is given back by itself."""


class SettleHoldByRequest(_Message, frozen=True):
    """Settle a hold of this room, but for `refund_tokens` (0 <= it < held), which go back. Answered
    with `TipReceipt | Refusal`."""

    reply_to: ReplyTo
    hold: HoldRecord
    refund_tokens: int
    username: str
    membership_tier: MembershipTier


class SetPreferencesByRequest(_Message, frozen=True):
    """Preferences over HTTP, for a viewer who is in the room. Answered with
    `Preferences | Refusal`."""

    reply_to: ReplyTo
    user_id: str
    react_to_my_tips: bool | None
    feel_all_tips: bool | None


class StartBroadcastByRequest(_Message, frozen=True):
    """Answered with `BroadcastStarted | Refusal`."""

    reply_to: ReplyTo
    lovense_mode: LovenseMode | None


class EndBroadcastByRequest(_Message, frozen=True):
    """Answered with `None | Refusal`."""

    reply_to: ReplyTo


class StopToysByRequest(_Message, frozen=True):
    """An admin stops all toys of the room. Answered with None."""

    reply_to: ReplyTo


class ResumeToysByRequest(_Message, frozen=True):
    """Answered with None."""

    reply_to: ReplyTo


class RequeueByRequest(_Message, frozen=True):
    """An admin has a dead target of a tip of `broadcast_id` sent again. Answered with
    `None | Refusal`."""

    reply_to: ReplyTo
    letter_id: UUID
    broadcast_id: str
    who: str
    note: str


class ToyTestByRequest(_Message, frozen=True):
    """The model tries a row of her menu. Answered with `ToyTestStarted | Refusal`."""

    reply_to: ReplyTo
    row_id: str


class Inspect(_Message, frozen=True):
    """Answered with the room's inspection as a mapping (see `inspection.py`)."""

    reply_to: ReplyTo


class InspectLevels(_Message, frozen=True):
    """Answered with `LevelsInspection` (see `inspection.py`)."""

    reply_to: ReplyTo


# ---- from elsewhere --------------------------------------------------------------------------


class TransferAnswered(_Message, frozen=True):
    """The ledger's answer to one of this room's transfers."""

    user_id: str
    asker: Any
    """Asker"""
    outcome: Any
    """actors.transfers.Outcome"""


class Activate(_Message, frozen=True):
    """A TipActivated for this room. A tipId seen before is a no-op."""

    event: TipActivated


class BalanceChanged(_Message, frozen=True):
    """A transfer that this room has not asked for moved a user's wallet."""

    user_id: str
    balance: int


class TierRegistered(_Message, frozen=True):
    """The platform has given a user another tier. It holds until a newer token says another."""

    user_id: str
    membership_tier: MembershipTier


class ModelRenamed(_Message, frozen=True):
    """The platform has given this room's model another name."""

    display_name: str


class DeviceOverridesChanged(_Message, frozen=True):
    """All that a user has set on the own toys, as it is stored now, by toyId."""

    user_id: str
    overrides: dict[str, DeviceOverride]


class PlatformSettingsChanged(_Message, frozen=True):
    settings: PlatformSettings


class ModelSettingsChanged(_Message, frozen=True):
    settings: ModelSettings


class TipMenuChanged(_Message, frozen=True):
    """The whole menu, as it is stored now."""

    rows: tuple[TipMenuRow, ...]


class PublishEvent(_Message, frozen=True):
    """An event that another part of the server has for everyone here. Its epoch and offset are left
    to the room. Answered with `None | Refusal`, if anyone asks."""

    event: RoomEvent
    reply_to: ReplyTo | None = None


class SendToUser(_Message, frozen=True):
    """A frame for one member, viewer or model. Answered with how many sockets got it, 0 for one who
    is not here, or with a Refusal, if anyone asks."""

    user_id: str
    frame: OwnFrame
    reply_to: ReplyTo | None = None


# ---- to itself -------------------------------------------------------------------------------


class _Due(_Message, frozen=True):
    """A moment that the room waits for has come."""


class _BroadcastStored(_Message, frozen=True):
    """The database has the broadcast's start (`started`) or end, or says why not."""

    asker: Any
    """Asker"""
    started: Broadcast | None
    failed: Refusal | None


class _PreferencesStored(_Message, frozen=True):
    asker: Any
    """Asker"""
    user_id: str
    preferences: Preferences
    failed: Refusal | None


class _RequeueStored(_Message, frozen=True):
    """The database has the decision, or says why not."""

    asker: Any
    """Asker"""
    letter_id: UUID
    requeued: Requeued | None
    failed: Refusal | None


RoomMessage = (
    Join
    | Leave
    | MemberFrame
    | TierChanged
    | TipByRequest
    | PurchaseByRequest
    | HoldByRequest
    | SettleHoldByRequest
    | SetPreferencesByRequest
    | StartBroadcastByRequest
    | EndBroadcastByRequest
    | StopToysByRequest
    | ResumeToysByRequest
    | RequeueByRequest
    | ToyTestByRequest
    | Inspect
    | InspectLevels
    | TransferAnswered
    | Activate
    | BalanceChanged
    | TierRegistered
    | ModelRenamed
    | DeviceOverridesChanged
    | PlatformSettingsChanged
    | ModelSettingsChanged
    | TipMenuChanged
    | PublishEvent
    | SendToUser
    | _Due
    | _BroadcastStored
    | _PreferencesStored
    | _RequeueStored
)
