"""Everything that travels over a member's socket, as tagged unions (field `type`).

Client to server: a frame with a `ref` asks; exactly one `ok` or `error` with that ref answers.
Server to client, three kinds that never mix: *answers* (`ok`, `error`; carry a ref), *room
events* (carry the room's `epoch` and `offset`; everyone gets the same bytes), and *own frames*
(only this member's: snapshot, gates, commands, balance).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode
from protocol.gating import Gates
from protocol.lovense import (
    TOYS_MAX,
    Fit,
    Level,
    ReportedSettings,
    ReportedToy,
    Short,
    Toy,
    VendorCall,
)
from protocol.mood_messages import AuthorKind, MessageType, Mood
from protocol.stage import StageOrder, StageState
from protocol.tip_activated import (
    Amount,
    Id,
    LovenseMode,
    MembershipTier,
    ViewerSyncMode,
)
from protocol.toy_settings import QueueMode

Ref = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Token = Annotated[str, Meta(max_length=4096)]
EpochMs = Annotated[int, Meta(description="milliseconds since 1970-01-01 UTC")]


# ---- client -> server ------------------------------------------------------------------------


class _Client(
    msgspec.Struct, frozen=True, rename="camel", tag_field="type", forbid_unknown_fields=True
):
    pass


class Resume(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Where a returning client stopped: the `epoch`, and the `offset` up to which it has all."""

    epoch: Short
    offset: Annotated[int, Meta(ge=0)]


class Connect(_Client, frozen=True, tag="connect"):
    """The first frame of every socket, within the handshake time. A model's page names the one
    integration that it runs; a viewer's page leaves it out."""

    ref: Ref
    token: Token
    integration: LovenseMode | None = None
    resume: Resume | None = None
    page_id: Id | None = None
    """The same for one page's life, reloads included: a page that comes back takes the place of
    its own lost socket at once, instead of being refused as a second page."""


class RefreshToken(_Client, frozen=True, tag="refreshToken"):
    """A newer token for the same user, role and room; the socket stays."""

    ref: Ref
    token: Token


class Tip(_Client, frozen=True, tag="tip"):
    """A tip of the viewer who is connected. The same tipId again is answered as the first time.

    `ok` carries a TipReceipt.
    """

    ref: Ref
    tip_id: Id
    broadcast_id: Id
    amount: Amount


class SetPreferences(_Client, frozen=True, tag="setPreferences"):
    """A viewer's toggles; a field that is left out stays. `ok` carries the Preferences."""

    ref: Ref
    react_to_my_tips: bool | None = None
    feel_all_tips: bool | None = None


class ReportToys(_Client, frozen=True, tag="reportToys"):
    """All toys that the page's integration knows now; replaces the last report."""

    ref: Ref
    toys: Annotated[tuple[ReportedToy, ...], Meta(max_length=TOYS_MAX)]


class ReportSettings(_Client, frozen=True, tag="reportSettings"):
    """The model's own levels and specials, as her integration gives them; None: it has none.
    Sent on ready and on every change; replaces the last report."""

    ref: Ref
    settings: ReportedSettings | None


class SetPresence(_Client, frozen=True, tag="setPresence"):
    """This page is looked at, or not: `away`. A member is away if all of his pages are. Without
    it a page is online."""

    state: Literal["online", "away"]


class Typing(_Client, frozen=True, tag="typing"):
    """The member is writing; repeated while he is. Cleared 5 s after the last one, or by
    `active: false`."""

    active: bool = True


class ListMembers(_Client, frozen=True, tag="listMembers"):
    """Who is here, those who matter first: model, moderators, VIPs, who has tipped in this
    broadcast, the others; by name among equals. `after`: the `next` of the page before. `ok`
    carries a MemberPage."""

    ref: Ref
    after: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class CommandAccepted(_Client, frozen=True, tag="commandAccepted"):
    """The page has the command and will run it, or has run it before."""

    command_id: Short


class CommandActivated(_Client, frozen=True, tag="commandActivated"):
    """The toy reacts: the integration's own evidence was seen."""

    command_id: Short


class CommandFailed(_Client, frozen=True, tag="commandFailed"):
    """The page could not run the command. `code`: its own word for why, kept in the audit."""

    command_id: Short
    code: Short


class StopToys(_Client, frozen=True, tag="stopToys"):
    """A model: stop everything in the room and pause the queue. A viewer: stop the own toy, which
    then gets nothing until `resumeToys`."""

    ref: Ref


class ResumeToys(_Client, frozen=True, tag="resumeToys"):
    """A model: the queue goes on. A viewer: the own toy takes part again."""

    ref: Ref


class StartBroadcast(_Client, frozen=True, tag="startBroadcast"):
    """The model goes live, with exactly one integration for the whole broadcast: that of her
    settings if it is left out.

    `ok` carries a BroadcastStarted. A page that runs the other integration is then closed with
    a come-back code, to connect anew with the right one.
    """

    ref: Ref
    lovense_mode: LovenseMode | None = None


class EndBroadcast(_Client, frozen=True, tag="endBroadcast"):
    """The model goes off air; activations that still wait are skipped."""

    ref: Ref


class ToyTest(_Client, frozen=True, tag="testActivation"):
    """The model tries a row of her tip menu on her own toy: no tip, no tokens, no other target. It
    plays at once or not at all: never while a toy plays or tips wait. `ok` carries a
    ToyTestStarted."""

    ref: Ref
    row_id: Id


class MessageDelivered(_Client, frozen=True, tag="messageDelivered"):
    """The page has a message that is meant for its member: a `privateMessage`, or a `publicMessage`
    for which a `receiptWanted` came. Not answered; a repeat changes nothing."""

    message_id: Short


class MessageRead(_Client, frozen=True, tag="messageRead"):
    """The member has seen it. Not answered; it counts as delivered, too."""

    message_id: Short


ClientFrame = (
    Connect
    | RefreshToken
    | Tip
    | SetPreferences
    | ReportToys
    | ReportSettings
    | SetPresence
    | Typing
    | ListMembers
    | CommandAccepted
    | CommandActivated
    | CommandFailed
    | StopToys
    | ResumeToys
    | StartBroadcast
    | EndBroadcast
    | ToyTest
    | MessageDelivered
    | MessageRead
)

# ---- server -> client: answers ---------------------------------------------------------------


class _Server(msgspec.Struct, frozen=True, rename="camel", tag_field="type"):
    pass


class Ok(_Server, frozen=True, tag="ok"):
    """Done. `result` depends on what was asked; None where there is nothing to say."""

    ref: int
    result: Any = None


class Error(_Server, frozen=True, tag="error"):
    """Not done, and nothing changed, but for LEDGER_UNAVAILABLE: then nobody knows, and the same
    tipId again finds out. `ref` is None where the frame had none that could be read.
    `retry`: the same frame may succeed later. `retry_after_s`: not before."""

    ref: int | None
    code: ErrorCode
    text: str
    retry: bool
    field: str | None = None
    retry_after_s: float | None = None


class TipReceipt(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to a tip, over a socket and over HTTP; a repeat gets the same bytes."""

    tip_id: str
    amount: int
    balance: int
    """The tipper's tokens right after this tip."""
    item_name: str
    timestamp: str


class MemberView(msgspec.Struct, frozen=True, rename="camel"):
    """What everyone may know of a member. `id`: the same until he leaves, and within this epoch.
    Who is in no list is offline."""

    id: int
    username: str
    role: Literal["viewer", "model", "moderator"]
    membership_tier: MembershipTier
    tipper: bool
    """Has tipped in this broadcast."""
    state: Literal["online", "away"]


class MemberPage(msgspec.Struct, frozen=True, rename="camel"):
    """`next`: for `after`, null on the last page. `viewers`: all, each counted once; the model's
    page, which is listed, is none. `version`: the change lists since are to be applied."""

    members: tuple[MemberView, ...]
    next: str | None
    viewers: int
    version: int


class BroadcastStarted(msgspec.Struct, frozen=True, rename="camel"):
    broadcast_id: str
    lovense_mode: LovenseMode


class ToyTestStarted(msgspec.Struct, frozen=True, rename="camel"):
    """A test is on its way to her page; `seconds`: how long the call plays."""

    test_id: str
    row_id: str
    call: VendorCall
    fit: Fit
    seconds: float


# ---- server -> client: room events, the same bytes for everyone -------------------------------


class _RoomEvent(_Server, frozen=True):
    """`offset`: of a history event its own, one more than that of the one before; of a state event
    that of the last history event before it."""

    epoch: str
    offset: int


class TipNotice(_RoomEvent, frozen=True, tag="tipNotice"):
    """The public part of a settled tip: nothing else of it reaches other members."""

    username: str
    amount: int
    item_name: str
    description_public: str
    timestamp: str


class RoomChanged(_RoomEvent, frozen=True, tag="roomChanged"):
    """The room's public state after a change."""

    room: "RoomView"


class PresenceChanged(_RoomEvent, frozen=True, tag="presenceChanged"):
    """How many viewers are here now, exactly; each counts once, however many tabs. With it, at
    most once a second, what changed since the `version` before: `here`, who came or is not as
    before; `gone`, the ids of who left. `omitted`: how many more changes are not listed, of those
    who matter least. A client that shows a list asks for it anew after an omission or a jump of
    `version`."""

    viewers: int
    reconnect_within_s: float = 0.0
    """As in a snapshot."""
    version: int = 0
    here: tuple[MemberView, ...] = ()
    gone: tuple[int, ...] = ()
    omitted: int = 0


class TypingMember(msgspec.Struct, frozen=True, rename="camel"):
    id: int
    username: str


class TypingView(msgspec.Struct, frozen=True, rename="camel"):
    """Who is writing: the first of them, and how many in all."""

    members: tuple[TypingMember, ...] = ()
    count: int = 0


class TypingChanged(_RoomEvent, frozen=True, tag="typingChanged"):
    """All who are writing now; at most once a second."""

    typing: TypingView


class PublicMessage(_RoomEvent, frozen=True, tag="publicMessage"):
    """A message to the whole room: the thanks for a tip. A page shows a `message_id` once; after a
    crash of the server it may come again. `content` is plain text, to be escaped where it is
    shown."""

    message_id: str
    message_type: MessageType
    author_name: str
    mood: Mood
    content: str
    created_at: EpochMs


class MoodChanged(_RoomEvent, frozen=True, tag="moodChanged"):
    """The room's mood. Without `expires_at` it holds until the next; otherwise it is neutral from
    then on, and another one of these says so. A page that has just joined asks over HTTP,
    `GET /rooms/{roomId}/mood`: the room itself does not know it."""

    mood: Mood
    confidence: int
    expires_at: EpochMs | None


HistoryEvent = TipNotice | PublicMessage
"""What happened: it is counted, kept for those who return, and missed by nobody unnoticed."""
StateEvent = RoomChanged | PresenceChanged | TypingChanged | MoodChanged
"""What is so now: the newest says all, a snapshot says the same, and none is kept."""
RoomEvent = HistoryEvent | StateEvent

# ---- server -> client: own frames ------------------------------------------------------------


class TipOption(msgspec.Struct, frozen=True, rename="camel"):
    """One button of the viewer's page: an amount and what it does."""

    amount: int
    description: str
    has_vibration: bool


class RoomView(msgspec.Struct, frozen=True, rename="camel"):
    """What everyone may know of a room. `toys_paused`: the model has stopped all toys."""

    room_id: str
    model_id: str
    model_display_name: str
    live: bool
    broadcast_id: str | None
    lovense_mode: LovenseMode | None
    viewer_sync_mode: ViewerSyncMode
    enable_lovense: bool
    toys_paused: bool
    model_toy_connected: bool
    tip_options: tuple[TipOption, ...]


class SelfView(msgspec.Struct, frozen=True, rename="camel"):
    """What a member knows of himself. `balance` is None for a model's page."""

    user_id: str
    username: str
    role: Literal["viewer", "model", "moderator"]
    membership_tier: MembershipTier
    balance: int | None
    toy_connected: bool
    react_to_my_tips: bool
    feel_all_tips: bool
    gates: Gates
    toys_paused: bool
    """A viewer has stopped the own toy; for a model, the room's toys are stopped."""


class Snapshot(_Server, frozen=True, tag="snapshot"):
    """The first own frame after `connect` succeeds; room events after it are later than it.
    `recovered`: `missed` has every history event between `resume` and `offset`; otherwise this
    snapshot replaces all that was known. One frame has both, so that nobody gets a part of it."""

    epoch: str
    offset: int
    recovered: bool
    server_time: EpochMs
    room: RoomView
    self: SelfView
    viewers: int
    presence_version: int = 0
    """Of the list of members; the first page of it is asked for by `listMembers`."""
    typing: TypingView = TypingView()
    missed: tuple[HistoryEvent, ...] = ()
    reconnect_within_s: float = 0.0
    """After a connection that was lost without a close frame: come back at a random moment within
    this long. The more members, the longer."""


class SelfChanged(_Server, frozen=True, tag="selfChanged"):
    """The viewer's own state after a change: gates, preferences, balance, toy."""

    self: SelfView


class Command(_Server, frozen=True, tag="command"):
    """Run one vendor call, once: a page that has run this `command_id` before answers as it did
    then. Not to be started after `expires_at`."""

    command_id: str
    tip_id: str
    attempt: int
    call: VendorCall
    duration_sec: int
    expires_at: EpochMs


class ToyTestCommand(_Server, frozen=True, tag="testCommand"):
    """To the model's page alone: run one vendor call for her own test. Answered as a `command`."""

    command_id: str
    call: VendorCall
    duration_sec: int
    expires_at: EpochMs


class ToysStopped(_Server, frozen=True, tag="stop"):
    """Stop now: forget commands that wait, make `call` if there is one, start nothing until the
    next command."""

    call: VendorCall | None


class QueuedTip(msgspec.Struct, frozen=True, rename="camel"):
    """A tip that waits for the toys. `wait_s`: seconds until it plays, as far as can be foreseen;
    None while the toys are stopped."""

    tip_id: str
    username: str
    amount: int
    wait_s: float | None


class QueueChanged(_Server, frozen=True, tag="queueChanged"):
    """To the model: the activation queue. `playing`: tipId of what plays. `next_in_s`: None while
    nothing waits or the toys are stopped. `upcoming`: the first ten, in the order of play; in
    mode batch those that play together have the same `wait_s`."""

    waiting: int
    playing: str | None
    paused: bool
    next_in_s: float | None
    mode: QueueMode
    upcoming: tuple[QueuedTip, ...]


class ActivationChanged(_Server, frozen=True, tag="activationChanged"):
    """To the tipper: how the own tip fares; after a snapshot for each that is not finished.
    `state`: queued, playing, done (a toy has reacted) or not_played; `position` counts from 1 while
    it waits, `wait_s` as in a QueuedTip."""

    tip_id: str
    state: Literal["queued", "playing", "done", "not_played"]
    position: int | None = None
    wait_s: float | None = None
    reason: str | None = None


DeviceWarningKind = Literal["battery", "connection"]


class DeviceWarning(_Server, frozen=True, tag="deviceWarning"):
    """To a toy's owner: it is nearly empty (`battery`: percent; once until it is charged), or it is
    not connected any more."""

    device_id: str
    name: str
    kind: DeviceWarningKind
    battery: int | None = None


class ModelToysChanged(_Server, frozen=True, tag="modelToysChanged"):
    """To the model: her toys and levels as the server understood them."""

    toys: tuple[Toy, ...]
    levels: tuple[Level, ...]


class Gap(_Server, frozen=True, tag="gap"):
    """To a member who reads too slowly: what was left out since the last of these. `sampled`: chat
    that is lost to this member; `latest_only`: states that newer ones replaced before they left, so
    that nothing is missing."""

    sampled: int
    latest_only: int


class PrivateMessage(_Server, frozen=True, tag="privateMessage"):
    """A message to this member alone. A page shows a `message_id` once, says `messageDelivered` as
    it has it and `messageRead` when the member has seen it. `content` is plain text, to be escaped
    where it is shown. `model_id`: the model whom it is from, to or about."""

    message_id: str
    message_type: MessageType
    author_kind: AuthorKind
    author_id: str
    author_name: str
    model_id: str | None
    mood: Mood
    mood_confidence: int
    content: str
    created_at: EpochMs


class ReceiptWanted(_Server, frozen=True, tag="receiptWanted"):
    """The `publicMessage` of this id is meant for this member, who says when it is delivered and
    read. It may come before the message."""

    message_id: str


class StagePlace(_Server, frozen=True, tag="stagePlace"):
    """To a buyer, whenever the stage moves: where the own purchase stands. `position` counts from 1
    and `wait_sec` is what is ahead, while it is READY. `refunded`: of an ended one, the tokens that
    go back."""

    purchase_id: str
    item_name: str
    state: StageState
    position: int | None = None
    wait_sec: float | None = None
    refunded: int | None = None


class StageNear(_Server, frozen=True, tag="stageNear"):
    """To a buyer, once: the own purchase is the third in line."""

    purchase_id: str
    item_name: str
    wait_sec: float


class StageEntry(msgspec.Struct, frozen=True, rename="camel"):
    """One purchase on the stage. `position` is null for what is performed."""

    purchase_id: str
    username: str
    item_name: str
    tokens: int
    drives_toy: bool
    duration_sec: int
    state: StageState
    position: int | None
    wait_sec: float | None


class StageChanged(_Server, frozen=True, tag="stageChanged"):
    """To the model: her whole stage after a move, what is performed first."""

    order: StageOrder
    entries: tuple[StageEntry, ...]


OwnFrame = (
    Snapshot
    | SelfChanged
    | Command
    | ToysStopped
    | QueueChanged
    | ActivationChanged
    | ModelToysChanged
    | DeviceWarning
    | Gap
    | PrivateMessage
    | ReceiptWanted
    | StagePlace
    | StageNear
    | StageChanged
)
ModelFrame = ToyTestCommand
"""No `OwnFrame`: what may go to any member's socket cannot be one."""
ServerFrame = Ok | Error | RoomEvent | OwnFrame | ModelFrame
