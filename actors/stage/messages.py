"""What a stage's actor receives, and what its step wants done."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from actors.room.messages import ReplyTo
from protocol.errors import Refusal
from protocol.frames import OwnFrame
from protocol.stage import AbandonTerms, Move, StageAction, StageItem, StageOrder

SYSTEM = "system"


class _Message(msgspec.Struct, frozen=True):
    pass


class Joined(_Message, frozen=True):
    """A purchase is READY. One that is known already changes nothing."""

    item: StageItem


class Act(_Message, frozen=True):
    """Somebody wants a move. `item`: as the database had it, for what is not on the stage (any
    more). Answered with `None | Refusal`; a repeat as the first time."""

    item: StageItem
    action: StageAction
    who: str
    terms: AbandonTerms | None = None
    reply_to: ReplyTo | None = None

    @property
    def purchase_id(self) -> UUID:
        return self.item.purchase_id


class ChangeOrder(_Message, frozen=True):
    """Answered with `None | Refusal`."""

    order: StageOrder
    who: str
    reply_to: ReplyTo


class ModelPresent(_Message, frozen=True):
    """Her page has opened, or is gone."""

    present: bool


class _Stored(_Message, frozen=True):
    """The database has made the move, or says why not. `item`: as it is stored now, where it is
    not as the move has it."""

    act: Act
    move: Move
    outcome: datetime | Refusal
    item: StageItem | None


class _OrderStored(_Message, frozen=True):
    command: ChangeOrder


class _Due(_Message, frozen=True):
    """A moment that the stage waits for has come."""


StageMessage = Joined | Act | ChangeOrder | ModelPresent | _Stored | _OrderStored | _Due


# ---- effects ---------------------------------------------------------------------------------


class StoreMove(_Message, frozen=True):
    """Comes back as _Stored."""

    act: Act
    move: Move


class StoreOrder(_Message, frozen=True):
    """Comes back as _OrderStored."""

    command: ChangeOrder


class Answer(_Message, frozen=True):
    reply_to: ReplyTo
    result: Any


class Tell(_Message, frozen=True):
    """To all pages of a user."""

    user_id: str
    frame: OwnFrame


class Pay(_Message, frozen=True):
    """A move of this purchase owes something."""

    purchase_id: UUID


Effect = StoreMove | StoreOrder | Answer | Tell | Pay
