"""What the ledger is asked to post, and what it answers.

Every request has one idempotency key for ever, its `source_ref`: the same key with the same
content gets the first answer again, with other content it is refused.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, assert_never
from uuid import UUID

import msgspec
from msgspec import Meta

from protocol.errors import Refusal
from protocol.frames import TipReceipt
from protocol.tip_activated import ID_PATTERN, Item, TipActivated, source_ref_of

HOLD_ID_LENGTH_MAX: Final = 55
"""So that `purchase:{hold_id}` is an id, too."""
HoldId = Annotated[str, Meta(pattern=ID_PATTERN, max_length=HOLD_ID_LENGTH_MAX)]


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """One tip or purchase to settle: it debits the tipper, or with `hold` the escrow, credits the
    model, and emits its event. room, broadcast, tipper and amount (with `hold`: what is refunded)
    are the content that `tip_id` stands for. Ids of the rows to be written come with it, so that
    the event can be complete before it is stored.

    `unless_known`: answer from the record if this tip was settled before, else refuse with it
    and write nothing; `event` is None then.
    """

    tip_id: str
    room_id: str
    broadcast_id: str
    tipper_id: str
    amount: int
    """What the tip settles for; of a hold, what is not refunded."""
    model_id: str
    model_tokens: int
    """The model's share of `amount`; the rest is the platform's revenue."""
    revenue_ref: UUID | None
    """Id of the revenue entry; None where the platform's part is 0."""
    event: TipActivated | None
    hold: "SettledHold | None" = None
    is_purchase: bool = False
    """It settles at once, out of the wallet, and its tipId begins as a purchase's."""
    unless_known: Refusal | None = None

    @property
    def source_ref(self) -> str:
        if self.unless_known is not None and not self.is_purchase:
            # A tip: one of before 0006 may be named as a purchase is today.
            return f"tip:{self.tip_id}"
        return source_ref_of(self.tip_id)


class SettledHold(msgspec.Struct, frozen=True):
    """Where a settlement's tokens come from: `refund_tokens` (0 <= it < held) go back to the user,
    the rest settles."""

    hold_id: str
    refund_tokens: int
    escrow_ref: UUID
    """Id of the entry that takes the whole hold out of escrow."""
    refund_ref: UUID | None
    """Id of the entry that gives them back; None where that is 0."""


class Deposit(msgspec.Struct, frozen=True):
    """Issuance -> wallet, 1..1,000,000,000 tokens. Its user_id and amount are its content."""

    deposit_id: str
    user_id: str
    amount: int

    @property
    def source_ref(self) -> str:
        return f"deposit:{self.deposit_id}"


class NewHold(msgspec.Struct, frozen=True, kw_only=True):
    """Wallet -> escrow. Its content: user, room, amount and item. `hold_id` is also the purchaseId
    that it may be settled as."""

    hold_id: str
    user_id: str
    room_id: str
    amount: int
    item: Item
    broadcast_id: str
    model_id: str
    expires_at: datetime | None
    """When the hold is given back by itself; aware."""
    unless_known: Refusal | None = None
    """Answer from the record if this hold was made before, else refuse with it."""

    @property
    def source_ref(self) -> str:
        return f"hold:{self.hold_id}"


class HoldState(StrEnum):
    HELD = "HELD"
    SETTLED = "SETTLED"
    REFUNDED = "REFUNDED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"


class HeldTokens(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What it takes to give a hold back: nothing of what was bought, which may not even be
    readable any more."""

    hold_id: str
    user_id: str
    amount: int


class HoldRecord(HeldTokens, frozen=True, kw_only=True):
    """A hold as it stands. All but the last three never change."""

    room_id: str
    broadcast_id: str
    model_id: str
    item: Item
    expires_at: datetime | None
    debit_ref: UUID
    """Id of the entry that took the tokens from the user."""
    created_at: datetime
    state: HoldState
    refunded: int
    """Tokens that went back to the user when it ended."""
    ended_at: datetime | None


class Release(msgspec.Struct, frozen=True):
    """Escrow -> wallet, the whole hold; no event."""

    hold: HeldTokens

    @property
    def source_ref(self) -> str:
        return f"release:{self.hold.hold_id}"


class SettledTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """A tip or purchase as the ledger has it, for a refund."""

    source_ref: str
    user_id: str
    model_id: str
    amount: int
    model_tokens: int
    refunded: int
    """What earlier refunds gave back, together."""


class Refund(msgspec.Struct, frozen=True):
    """Model and platform -> wallet: `tokens` of what was settled, in the proportion in which they
    got it. Its content: the tip and the tokens. Emits no event."""

    refund_id: str
    settled: SettledTransfer
    tokens: int
    """1..settled.amount - settled.refunded, or `unless_known`."""
    unless_known: Refusal | None = None
    """Answer from the record if this refund was made before, else refuse with it."""

    @property
    def source_ref(self) -> str:
        return f"refund:{self.refund_id}"


Transfer = Settlement | Deposit | NewHold | Release | Refund


def wallet_owner(transfer: Transfer) -> str:
    """userId of the wallet whose balance is answered."""
    match transfer:
        case Settlement():
            return transfer.tipper_id
        case Deposit() | NewHold():
            return transfer.user_id
        case Release():
            return transfer.hold.user_id
        case Refund():
            return transfer.settled.user_id
        case _:
            assert_never(transfer)


class Settled(msgspec.Struct, frozen=True):
    """The tip stands in the ledger. `first`: this very call wrote it; otherwise the receipt is that
    of the first time."""

    receipt: TipReceipt
    first: bool

    @property
    def balance(self) -> int:
        """The tipper's wallet right after it."""
        return self.receipt.balance


class Posted(msgspec.Struct, frozen=True):
    """Any other transfer stands in the ledger; a repeat has the first id and balance."""

    transfer_id: UUID
    balance: int
    """The user's wallet right after it."""
    first: bool


Outcome = Settled | Posted | Refusal
