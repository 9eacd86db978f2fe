"""Purchases with escrow over HTTP: a hold takes the tokens at once; it settles, or goes back."""

from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from actors.room.messages import HoldByRequest, SettleHoldByRequest
from actors.runtime.ask import AskTimeout
from actors.transfers import HoldId, HoldRecord, Release
from protocol.errors import ErrorCode, Refused
from protocol.frames import TipReceipt
from protocol.tip_activated import AMOUNT_MAX, Amount, Id, Item, ItemType, PublicText
from protocol.vibration import Vibration
from server.auth import Role
from server.http.body import accepts, answers, json
from server.http.guard import allow
from server.http.ledger import POST_ERRORS, READ_ERRORS, TransferReceipt, receipt
from server.services import Services

EXPIRES_IN_S_MAX: Final = 30 * 24 * 3600
BONUS_POINTS_MAX: Final = 1_000_000_000
"""Of one purchase; far from where a 64-bit sum would end."""

_ROOM_ERRORS: Final = (ErrorCode.ROOM_BUSY, ErrorCode.ROOM_FAILED)


class HeldItem(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What is bought: always a MENU_ITEM. `vibration`: what the toys do when it settles, at most
    for as long as the platform allows; null for nothing."""

    item_id: Id
    item_name: PublicText
    description_public: PublicText
    vibration: Vibration | None
    bonus_points: Annotated[int, Meta(ge=0, le=BONUS_POINTS_MAX)]

    def item(self) -> Item:
        return Item(
            ItemType.MENU_ITEM,
            self.item_id,
            self.item_name,
            self.description_public,
            self.vibration,
            self.bonus_points,
        )


class HoldBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`expiresInS`: after so many seconds what is still held goes back by itself; never if it is
    left out. It is no part of what `holdId` stands for."""

    hold_id: HoldId
    user_id: Id
    room_id: Id
    amount: Amount
    item: HeldItem
    expires_in_s: Annotated[int, Meta(ge=1, le=EXPIRES_IN_S_MAX)] | None = None


class SettleBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`refundTokens`: what goes back to the user, less than what is held; the rest settles."""

    refund_tokens: Annotated[int, Meta(ge=0, le=AMOUNT_MAX - 1)] = 0


def blueprint(services: Services) -> Blueprint:
    holds = Blueprint("holds", __name__, url_prefix="/ledger/holds")

    @holds.post("")
    @allow(services.authority, Role.SERVICE)
    @accepts(HoldBody)
    @answers(
        TransferReceipt,
        *POST_ERRORS,
        *_ROOM_ERRORS,
        ErrorCode.INSUFFICIENT_TOKENS,
        ErrorCode.USER_UNKNOWN,
        ErrorCode.ROOM_UNKNOWN,
        ErrorCode.ROOM_OFFLINE,
        ErrorCode.RATE_LIMITED,
    )
    async def post_hold(body: HoldBody) -> Response:
        """Hold a user's tokens for an item, in a live room

        Nothing is emitted until it settles. The same holdId with the same content gets the same
        answer for ever, also when the broadcast is over by then.
        """
        question = partial(
            HoldByRequest,
            hold_id=body.hold_id,
            user_id=body.user_id,
            amount=body.amount,
            item=body.item.item(),
            expires_in_s=body.expires_in_s,
        )
        return json(receipt(await _ask(services, body.room_id, question), body.amount))

    @holds.get("/<hold_id>")
    @allow(services.authority, Role.SERVICE, Role.ADMIN)
    @answers(HoldRecord, *READ_ERRORS, ErrorCode.HOLD_UNKNOWN)
    async def get_hold(hold_id: str) -> Response:
        """A hold and what became of it"""
        return json(await _hold(services, hold_id))

    @holds.post("/<hold_id>/settle")
    @allow(services.authority, Role.SERVICE)
    @accepts(SettleBody)
    @answers(
        TipReceipt,
        *POST_ERRORS,
        *_ROOM_ERRORS,
        ErrorCode.HOLD_UNKNOWN,
        ErrorCode.HOLD_ENDED,
        ErrorCode.USER_UNKNOWN,
    )
    async def settle_hold(body: SettleBody, hold_id: str) -> Response:
        """Settle a hold: the model is paid, and the toys of this moment react

        Its tipId is `purchase:{holdId}`. It settles also after the broadcast of the hold; toys are
        skipped then. A repeat gets the same answer for ever.
        """
        held = await _hold(services, hold_id)
        if body.refund_tokens >= held.amount:
            detail = "Less than what is held; a release gives back all of it."
            raise Refused(ErrorCode.INVALID_FIELD, "refundTokens", detail)
        user = await services.members.load_user(held.user_id)
        if user is None:
            raise Refused(ErrorCode.USER_UNKNOWN)
        question = partial(
            SettleHoldByRequest,
            hold=held,
            refund_tokens=body.refund_tokens,
            username=user.username,
            membership_tier=user.membership_tier,
        )
        return json(await _ask(services, held.room_id, question))

    @holds.post("/<hold_id>/release")
    @allow(services.authority, Role.SERVICE)
    @answers(TransferReceipt, *POST_ERRORS, ErrorCode.HOLD_UNKNOWN, ErrorCode.HOLD_ENDED)
    async def release_hold(hold_id: str) -> Response:
        """Give all of a hold back to the user

        Emits nothing. A repeat gets the same answer for ever, also for a hold that has expired.
        """
        held = await _hold(services, hold_id)
        return json(receipt(await services.post(Release(held)), held.amount))

    return holds


async def _hold(services: Services, hold_id: str) -> HoldRecord:
    """Raises Refused: HOLD_UNKNOWN."""
    held = await services.accounts.load_hold(hold_id)
    if held is None:
        raise Refused(ErrorCode.HOLD_UNKNOWN)
    return held


async def _ask(services: Services, room_id: str, question: Any) -> Any:
    try:
        return await services.ask_room(room_id, question)
    except AskTimeout as error:  # it may be posted yet: the same again finds out
        raise Refused(ErrorCode.LEDGER_UNAVAILABLE) from error
