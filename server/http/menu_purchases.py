"""Buying from performance menus over HTTP, and what became of it (spec 5)."""

from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from actors.runtime.ask import Ask, AskTimeout
from actors.runtime.mailbox import MailboxFull
from actors.stage.ports import PurchaseOrder
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.performance_menu import ItemVersion
from protocol.stage import PurchaseReceipt
from protocol.tip_activated import Id
from server.auth import Role
from server.http.body import accepts, answers, json, query
from server.http.guard import allow, caller
from server.services import ASK_TIMEOUT_S, Services
from server.store.stage_store import PurchaseRecord, StageMove

PAGE_DEFAULT, PAGE_MAX = 50, 200
_UUID: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)"
_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)


class PurchaseBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """No price: it is the server's. `version`: the item's as it was shown, so that nobody pays
    another price than he has seen."""

    idempotency_key: Id
    menu_id: Id
    item_id: Id
    version: ItemVersion


class PurchasesQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`before`: a purchaseId; the page begins with the one before it."""

    before: Annotated[str, Meta(pattern=_UUID)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class PurchasePage(msgspec.Struct, frozen=True, rename="camel"):
    """The newest first. `next`: the `before` of the following page, null on the last."""

    purchases: list[PurchaseRecord]
    next: UUID | None


class PurchaseHistory(msgspec.Struct, frozen=True, rename="camel"):
    """One purchase, and every move of it: who and when."""

    purchase: PurchaseRecord
    moves: list[StageMove]


def blueprint(services: Services) -> Blueprint:
    purchases = Blueprint("menu_purchases", __name__, url_prefix="/menus/purchases")
    stages = services.stage_store

    @purchases.post("")
    @allow(services.authority, Role.VIEWER)
    @accepts(PurchaseBody)
    @answers(
        PurchaseReceipt,
        *_ERRORS,
        ErrorCode.INSUFFICIENT_TOKENS,
        ErrorCode.MENU_UNKNOWN,
        ErrorCode.MENU_HIDDEN,
        ErrorCode.MENU_ITEM_CHANGED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.STAGE_FULL,
    )
    async def post_purchase(body: PurchaseBody) -> Response:
        """Buy an item

        Queue mode OFF settles at once, and the toys react. ON holds the tokens, and the item waits
        on the model's stage. The same idempotencyKey for the same item gets the same answer for
        ever; an unknown outcome (503) is resolved by sending it again. At most 60 requests a
        minute.
        """
        identity = caller()
        services.request_rate.count(identity.user_id)
        now = services.chance.now()
        order = PurchaseOrder(
            purchase_id=services.chance.uuid7(now),
            user_id=identity.user_id,
            username=identity.username,
            membership_tier=identity.membership_tier,
            room_id=identity.room_id or "",
            idempotency_key=body.idempotency_key,
            menu_id=body.menu_id,
            item_id=body.item_id,
            version=body.version,
        )
        ask: Ask[PurchaseReceipt | Refusal] = Ask()
        try:
            services.desk.buy(order, ask)
            answer = await ask.wait(ASK_TIMEOUT_S)
        except (MailboxFull, AskTimeout) as error:
            raise Refused(ErrorCode.LEDGER_UNAVAILABLE) from error
        if isinstance(answer, Refusal):
            raise Refused(answer.code, answer.field, answer.detail, answer.retry_after_s)
        return json(answer)

    @purchases.get("")
    @allow(services.authority, Role.VIEWER)
    @query(PurchasesQuery)
    @answers(PurchasePage, *_ERRORS)
    async def list_purchases(wanted: PurchasesQuery) -> Response:
        """The caller's own purchases, the newest first"""
        before = UUID(wanted.before) if wanted.before else None
        found = await stages.purchases_of(caller().user_id, before, wanted.limit + 1)
        shown = found[: wanted.limit]
        more = len(found) > wanted.limit
        return json(PurchasePage(shown, shown[-1].purchase_id if more else None))

    @purchases.get("/<purchase_id>")
    @allow(services.authority, Role.VIEWER, Role.MODEL, Role.ADMIN, Role.SERVICE)
    @answers(PurchaseHistory, *_ERRORS, ErrorCode.PURCHASE_UNKNOWN)
    async def get_purchase(purchase_id: str) -> Response:
        """One purchase: its buyer's, its model's or staff's to see"""
        purchase = await purchase_of(services, purchase_id)
        identity = caller()
        may = {Role.VIEWER: purchase.user_id, Role.MODEL: purchase.model_id}
        if may.get(identity.role, identity.user_id) != identity.user_id:
            raise Refused(ErrorCode.FORBIDDEN)
        return json(PurchaseHistory(purchase, await stages.moves_of(purchase.purchase_id)))

    return purchases


async def purchase_of(services: Services, purchase_id: str) -> PurchaseRecord:
    """Raises Refused: PURCHASE_UNKNOWN."""
    try:
        wanted = UUID(purchase_id)
    except ValueError as error:
        raise Refused(ErrorCode.PURCHASE_UNKNOWN) from error
    purchase = await services.stage_store.load_purchase(wanted)
    if purchase is None:
        raise Refused(ErrorCode.PURCHASE_UNKNOWN)
    return purchase
