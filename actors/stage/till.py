"""The till: has a purchase paid, and what the stage owes moved, through the room and the ledger.

What it is asked again it asks again: the ledger does each thing once (`holdId` and `purchaseId` are
the purchase's id).
"""

from typing import Any, Final

from actors.ledger import LedgerActor, Post
from actors.ports import MemberStore, Rooms
from actors.room.messages import HoldByRequest, PurchaseByRequest, SettleHoldByRequest
from actors.runtime.ask import Ask, AskTimeout
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from actors.stage.ports import Accounts, OwedPayment, Purchase, PurchaseOrder, ToyDelays
from actors.transfers import HoldRecord, Outcome, Refund, Release, Transfer
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.performance_menu import MenuQueueMode
from protocol.stage import PaymentKind
from protocol.tip_activated import PURCHASE_PREFIX, source_ref_of

ANSWER_TIMEOUT_S: Final = 15.0
REFUND_ATTEMPTS: Final = 5
"""Each is overtaken only by another refund of the same purchase, which has then been posted."""

_UNKNOWN: Final = Refusal(ErrorCode.LEDGER_UNAVAILABLE)
_NOT_ASKED: Final = frozenset(
    {
        ErrorCode.ROOM_BUSY,
        ErrorCode.ROOM_FAILED,
        ErrorCode.ROOM_UNKNOWN,
        ErrorCode.INTERNAL,
    }
)
"""The ledger has not seen the request, which says nothing of an earlier one."""


class Till:
    """Every method waits. Raises StoreUnavailable where the database does not answer a look-up:
    then nothing was asked of the ledger."""

    def __init__(
        self,
        rooms: Rooms,
        ledger: LedgerActor,
        accounts: Accounts,
        members: MemberStore,
        delays: ToyDelays,
    ) -> None:
        self._rooms = rooms
        self._ledger = ledger
        self._accounts = accounts
        self._members = members
        self._delays = delays

    async def buy(self, purchase: Purchase, order: PurchaseOrder) -> int | Refusal:
        """The buyer's tokens right after it, held or settled. Refused: LEDGER_UNAVAILABLE where
        nobody knows; anything else for sure."""
        outcome = await self._buy(purchase, order)
        if isinstance(outcome, Refusal):
            if purchase.again and outcome.code in _NOT_ASKED:
                return _UNKNOWN
            return outcome
        balance: int = outcome.balance
        return balance

    async def _buy(self, purchase: Purchase, order: PurchaseOrder) -> Any:
        ask: Ask[Any] = Ask()
        purchase_id = str(purchase.purchase_id)
        if purchase.queue_mode is MenuQueueMode.ON:
            hold = HoldByRequest(
                ask, purchase_id, purchase.user_id, purchase.tokens, purchase.item, None
            )
            return await self._ask_room(purchase.room_id, hold, ask)
        sale = PurchaseByRequest(
            ask,
            purchase_id,
            purchase.broadcast_id,
            purchase.user_id,
            order.username,
            order.membership_tier,
            purchase.tokens,
            purchase.item,
        )
        tip_id = f"{PURCHASE_PREFIX}{purchase_id}"
        return await self._delayed(
            tip_id, purchase.start_offset_ms, self._ask_room, purchase.room_id, sale, ask
        )

    async def pay(self, owed: OwedPayment) -> Refusal | None:
        """None: it is done, now or before."""
        match owed.payment.kind:
            case PaymentKind.REFUND:
                return await self._refund(owed)
            case PaymentKind.RELEASE:
                hold = await self._accounts.load_hold(owed.hold_id)
                if hold is None:
                    return Refusal(ErrorCode.HOLD_UNKNOWN)
                return _refusal(await self._post(Release(hold)))
            case PaymentKind.SETTLE:
                hold = await self._accounts.load_hold(owed.hold_id)
                if hold is None:
                    return Refusal(ErrorCode.HOLD_UNKNOWN)
                outcome = await self._delayed(
                    owed.tip_id, owed.start_offset_ms, self._settle, hold, owed
                )
                return _refusal(outcome)

    async def _settle(self, hold: HoldRecord, owed: OwedPayment) -> Any:
        user = await self._members.load_user(hold.user_id)
        if user is None:
            return Refusal(ErrorCode.USER_UNKNOWN)
        ask: Ask[Any] = Ask()
        settle = SettleHoldByRequest(
            ask, hold, owed.payment.refund_tokens, user.username, user.membership_tier
        )
        return await self._ask_room(hold.room_id, settle, ask)

    async def _refund(self, owed: OwedPayment) -> Refusal | None:
        outcome: Any = Refusal(ErrorCode.REFUND_MOVED)
        for _ in range(REFUND_ATTEMPTS):
            settled = await self._accounts.load_settled(source_ref_of(owed.tip_id))
            if settled is None:
                return Refusal(ErrorCode.TIP_UNKNOWN)
            tokens = owed.payment.refund_tokens
            exceeds = tokens > settled.amount - settled.refunded
            refusal = Refusal(ErrorCode.REFUND_EXCEEDS) if exceeds else None
            refund = Refund(f"stage:{owed.purchase_id}", settled, tokens, refusal)
            outcome = await self._post(refund)
            if not isinstance(outcome, Refusal) or outcome.code is not ErrorCode.REFUND_MOVED:
                break
        return _refusal(outcome)

    async def _delayed(self, tip_id: str, offset_ms: int, work: Any, *args: Any) -> Any:
        """`work(*args)`, whose vibration starts so long after it has settled."""
        if not offset_ms:
            return await work(*args)
        self._delays.delay(tip_id, offset_ms / 1000)
        try:
            return await work(*args)
        finally:
            self._delays.forget_delay(tip_id)  # handed over by now, or not settled by this

    async def _ask_room(self, room_id: str, question: Any, ask: Ask[Any]) -> Any:
        try:
            room = await self._rooms.open(room_id)
            room.tell(question)
        except Refused as refused:
            return refused.refusal
        except (MailboxFull, MailboxClosed):
            return Refusal(ErrorCode.ROOM_BUSY)
        try:
            return await ask.wait(ANSWER_TIMEOUT_S)
        except AskTimeout:
            return _UNKNOWN

    async def _post(self, transfer: Transfer) -> Outcome:
        ask: Ask[Outcome] = Ask()
        try:
            self._ledger.tell(Post(transfer, ask))
            return await ask.wait(ANSWER_TIMEOUT_S)
        except (MailboxFull, MailboxClosed, AskTimeout):
            return _UNKNOWN


def _refusal(outcome: Any) -> Refusal | None:
    return outcome if isinstance(outcome, Refusal) else None
