"""What a room's step wants done, in delivery order. The actor carries it out; see `actor.py`."""

from typing import Any
from uuid import UUID

import msgspec

from actors.ports import Broadcast, DevicesSeen, ModelSessionId, SessionId
from actors.room.messages import Asker, ReplyTo
from actors.target_step import AuditEntry
from actors.transfers import Transfer
from protocol.errors import CloseCode
from protocol.frames import Error, ModelFrame, Ok, OwnFrame, RoomEvent
from protocol.gating import Preferences


class _Effect(msgspec.Struct, frozen=True):
    pass


class Admit(_Effect, frozen=True):
    """From now on this session gets the room's events."""

    session_id: SessionId


class Send(_Effect, frozen=True):
    session_id: SessionId
    frame: OwnFrame | Ok | Error


class SendToModel(_Effect, frozen=True):
    """What no other member may get."""

    session_id: ModelSessionId
    frame: ModelFrame


class Publish(_Effect, frozen=True):
    event: RoomEvent


class Close(_Effect, frozen=True):
    session_id: SessionId
    code: CloseCode


class Answer(_Effect, frozen=True):
    """To whoever asked over HTTP."""

    reply_to: ReplyTo
    result: Any


class PostTransfer(_Effect, frozen=True):
    """To the ledger; its answer comes back as TransferAnswered."""

    transfer: Transfer
    user_id: str
    """Whose wallet it moves."""
    asker: Asker


class WriteAudit(_Effect, frozen=True):
    """`finished`: tips that need nothing more of this room, ever; `logged`: they stand in the log,
    too."""

    entries: tuple[AuditEntry, ...]
    finished: tuple[str, ...]
    logged: bool = False


class StoreBroadcast(_Effect, frozen=True):
    """Store that `broadcast` starts (`starts`) or ends; comes back as _BroadcastStored."""

    broadcast: Broadcast
    starts: bool
    asker: Asker


class StorePause(_Effect, frozen=True):
    """Store that all toys are paused, or go on, in this broadcast. Nothing comes back: what holds
    here holds; the database only carries it over a crash of the process."""

    broadcast_id: str
    paused: bool


class StorePreferences(_Effect, frozen=True):
    """Comes back as _PreferencesStored."""

    user_id: str
    preferences: Preferences
    asker: Asker


class ReportDevices(_Effect, frozen=True):
    """All toys of a member as they are now. Nothing comes back."""

    seen: DevicesSeen


class StoreRequeue(_Effect, frozen=True):
    """Store an admin's decision on a dead letter; comes back as _RequeueStored. The decision has
    an id, so that one whose outcome is unknown can be stored again."""

    letter_id: UUID
    decision_id: UUID
    who: str
    note: str
    asker: Asker


class PutAway(_Effect, frozen=True):
    """Nobody is here and nothing is due: the room may sleep, if nothing has arrived since."""


Effect = (
    Admit
    | Send
    | SendToModel
    | Publish
    | Close
    | Answer
    | PostTransfer
    | WriteAudit
    | StoreBroadcast
    | StorePause
    | StorePreferences
    | StoreRequeue
    | ReportDevices
    | PutAway
)
