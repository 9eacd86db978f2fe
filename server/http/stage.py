"""A model's stage over HTTP: what waits, its moves, its health and its dead letters (spec 5)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import structlog
import trio
from msgspec import Meta
from quart import Blueprint, Response

from actors.runtime.ask import Ask, AskTimeout
from actors.runtime.mailbox import MailboxFull
from actors.stage.messages import Act, ChangeOrder
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.stage import (
    AbandonTerms,
    StageAction,
    StageHealth,
    StageOrder,
    StageState,
    places,
)
from protocol.tip_activated import NO_NUL_PATTERN
from server.auth import Role
from server.http.body import accepts, answers, json, query
from server.http.guard import allow, caller
from server.http.menu_purchases import purchase_of
from server.services import ASK_TIMEOUT_S, Services
from server.store.stage_store import PurchaseRecord, StageLetter, StageLetterState

PAGE_DEFAULT, PAGE_MAX = 50, 200
PAYMENT_TIMEOUT_S: Final = 3.0
"""For what a move owes. It is paid all the same; `paymentDue` says that it is not yet."""
_UUID: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)"
_READ_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)
_MOVE_ERRORS: Final = (
    *_READ_ERRORS,
    ErrorCode.PURCHASE_UNKNOWN,
    ErrorCode.STAGE_WRONG_STATE,
    ErrorCode.RATE_LIMITED,
)


class StagePlaceView(msgspec.Struct, frozen=True, rename="camel"):
    """`position` from 1 and `waitSec`, the durations ahead: null for what is performed."""

    purchase: PurchaseRecord
    position: int | None
    wait_sec: float | None


class StageView(msgspec.Struct, frozen=True, rename="camel"):
    """What is performed first, then the line. A viewer sees his own purchases; `waiting` counts
    all."""

    model_id: str
    order: StageOrder
    waiting: int
    entries: list[StagePlaceView]


class StageOrderBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    order: StageOrder


class StageLettersQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: a letterId, the cursor."""

    state: StageLetterState = StageLetterState.OPEN
    after: Annotated[str, Meta(pattern=_UUID)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class StageLetterPage(msgspec.Struct, frozen=True, rename="camel"):
    """The oldest first. `next`: the cursor of the following page, null on the last."""

    dead_letters: list[StageLetter]
    next: UUID | None


class Review(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Why: it is kept with who and when."""

    note: Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL_PATTERN)]


def blueprint(services: Services) -> Blueprint:
    stage = Blueprint("stage", __name__)
    store = services.stage_store
    log = structlog.get_logger("tiproom.admin")

    @stage.get("/models/<model_id>/stage")
    @allow(services.authority, Role.MODEL, Role.VIEWER, Role.ADMIN, Role.SERVICE)
    @answers(StageView, *_READ_ERRORS, ErrorCode.USER_UNKNOWN)
    async def get_stage(model_id: str) -> Response:
        """What is performed and what waits

        The model sees her own stage, staff any; a viewer his own purchases on it.
        """
        identity = caller()
        if identity.role is Role.MODEL and identity.user_id != model_id:
            raise Refused(ErrorCode.FORBIDDEN)
        view = await _view(services, model_id)
        if identity.role is Role.VIEWER:
            own = [each for each in view.entries if each.purchase.user_id == identity.user_id]
            view = msgspec.structs.replace(view, entries=own)
        return json(view)

    @stage.patch("/models/<model_id>/stage")
    @allow(services.authority, Role.MODEL)
    @accepts(StageOrderBody)
    @answers(StageView, *_READ_ERRORS, ErrorCode.USER_UNKNOWN, ErrorCode.RATE_LIMITED)
    async def patch_stage(body: StageOrderBody, model_id: str) -> Response:
        """Change the order of the line

        `fifo`: as they came. `priority`: who paid more first. `batch`: the same performance in a
        row. In force at once; every buyer is told the new place.
        """
        if caller().user_id != model_id:
            raise Refused(ErrorCode.FORBIDDEN)
        if await store.load_stage(model_id) is None:
            raise Refused(ErrorCode.USER_UNKNOWN)
        ask: Ask[Any] = Ask()
        await _tell(services, model_id, ChangeOrder(body.order, caller().user_id, ask), ask)
        return json(await _view(services, model_id))

    # ---- moves ----

    @stage.post("/stage/purchases/<purchase_id>/start")
    @allow(services.authority, Role.MODEL)
    @answers(PurchaseRecord, *_MOVE_ERRORS, ErrorCode.STAGE_BUSY, ErrorCode.ROOM_OFFLINE)
    async def start_purchase(purchase_id: str) -> Response:
        """Start what is next

        One is performed at a time. The hold of an item that drives a toy settles now. While it is
        performed the broadcast cannot end. A repeat answers as the first.
        """
        return await _act(services, purchase_id, StageAction.START)

    @stage.post("/stage/purchases/<purchase_id>/finish")
    @allow(services.authority, Role.MODEL)
    @answers(PurchaseRecord, *_MOVE_ERRORS)
    async def finish_purchase(purchase_id: str) -> Response:
        """Finish what is performed

        What has not settled at its start settles now. An item of queue mode OFF has settled when it
        was bought: this only marks it as done. A repeat answers as the first.
        """
        return await _act(services, purchase_id, StageAction.FINISH)

    @stage.post("/stage/purchases/<purchase_id>/abandon")
    @allow(services.authority, Role.MODEL, Role.ADMIN)
    @accepts(AbandonTerms)
    @answers(PurchaseRecord, *_MOVE_ERRORS)
    async def abandon_purchase(body: AbandonTerms, purchase_id: str) -> Response:
        """Give up on what waits or is performed

        FULL_REFUND gives all tokens back, FULL_SETTLE none, PARTIAL_REFUND `tokens` of them. What
        has settled is refunded by a new transfer. A repeat on the same terms applies nothing twice;
        on other terms it is refused.
        """
        return await _act(services, purchase_id, StageAction.ABANDON, body)

    @stage.post("/stage/purchases/<purchase_id>/cancel")
    @allow(services.authority, Role.VIEWER)
    @answers(PurchaseRecord, *_MOVE_ERRORS)
    async def cancel_purchase(purchase_id: str) -> Response:
        """The buyer cancels before the start, and gets all tokens back"""
        return await _act(services, purchase_id, StageAction.CANCEL)

    # ---- health and dead letters ----

    @stage.get("/stage/health")
    @allow(services.authority, Role.ADMIN)
    @answers(StageHealth, *_READ_ERRORS)
    async def get_health() -> Response:
        """How all stages are

        degraded: capacity over 70 %, more than 50 failures in the last hour, or more than 20
        dead letters without a review. unhealthy: 90 %, 100, 50.
        """
        return json(await store.health())

    @stage.get("/stage/dead-letters")
    @allow(services.authority, Role.ADMIN)
    @query(StageLettersQuery)
    @answers(StageLetterPage, *_READ_ERRORS)
    async def list_stage_letters(wanted: StageLettersQuery) -> Response:
        """Tokens that could not be moved in three attempts"""
        after = UUID(wanted.after) if wanted.after else None
        found = await store.load_letters(wanted.state, after, wanted.limit + 1)
        shown = found[: wanted.limit]
        more = len(found) > wanted.limit
        return json(StageLetterPage(shown, shown[-1].letter_id if more else None))

    @stage.post("/stage/dead-letters/<letter_id>/retry")
    @allow(services.authority, Role.ADMIN)
    @accepts(Review)
    @answers(
        StageLetter,
        *_READ_ERRORS,
        ErrorCode.DEAD_LETTER_UNKNOWN,
        ErrorCode.DEAD_LETTER_DECIDED,
    )
    async def retry_stage_letter(body: Review, letter_id: str) -> Response:
        """Try three times more"""
        letter = await _decide(services, letter_id, StageLetterState.RETRIED, body.note)
        services.payments.owe(letter.purchase_id)
        log.warning("stage_letter_retried", letter_id=letter_id, who=caller().user_id)
        return json(letter)

    @stage.post("/stage/dead-letters/<letter_id>/dismiss")
    @allow(services.authority, Role.ADMIN)
    @accepts(Review)
    @answers(
        StageLetter,
        *_READ_ERRORS,
        ErrorCode.DEAD_LETTER_UNKNOWN,
        ErrorCode.DEAD_LETTER_DECIDED,
    )
    async def dismiss_stage_letter(body: Review, letter_id: str) -> Response:
        """Leave it at that: what is owed stays where it is"""
        letter = await _decide(services, letter_id, StageLetterState.DISMISSED, body.note)
        log.warning("stage_letter_dismissed", letter_id=letter_id, who=caller().user_id)
        return json(letter)

    return stage


async def _view(services: Services, model_id: str) -> StageView:
    """Raises Refused: USER_UNKNOWN."""
    stage = await services.stage_store.load_stage(model_id)
    if stage is None:
        raise Refused(ErrorCode.USER_UNKNOWN)
    found = await services.stage_store.purchases_on(model_id)
    line = {place.purchase_id: place for place in places(stage.items, stage.order, _now())}
    entries = []
    for purchase in found:
        place = line.get(purchase.purchase_id)
        if place is not None:
            entries.append(StagePlaceView(purchase, place.position, place.wait_s))
        elif purchase.state is StageState.STARTED:
            entries.append(StagePlaceView(purchase, None, None))
    entries.sort(key=lambda each: each.position or 0)
    return StageView(model_id, stage.order, len(line), entries)


def _now() -> datetime:
    return datetime.now(UTC)


async def _act(
    services: Services, purchase_id: str, action: StageAction, terms: AbandonTerms | None = None
) -> Response:
    purchase = await purchase_of(services, purchase_id)
    identity = caller()
    owner = {Role.MODEL: purchase.model_id, Role.VIEWER: purchase.user_id}
    if owner.get(identity.role, identity.user_id) != identity.user_id:
        raise Refused(ErrorCode.FORBIDDEN)
    item = await services.stage_store.load_item(purchase.purchase_id)
    if item is None:
        raise Refused(ErrorCode.STAGE_WRONG_STATE)
    ask: Ask[Any] = Ask()
    act = Act(item, action, identity.user_id, terms, ask)
    await _tell(services, purchase.model_id, act, ask)
    with trio.move_on_after(PAYMENT_TIMEOUT_S):  # so that who asks for a balance sees it
        await services.payments.attempted(purchase.purchase_id)
    return json(await services.stage_store.load_purchase(purchase.purchase_id))


async def _tell(
    services: Services, model_id: str, message: Act | ChangeOrder, ask: Ask[Any]
) -> None:
    """Raises Refused."""
    services.request_rate.count(caller().user_id)
    try:
        services.stages.tell(model_id, message)
        answer = await ask.wait(ASK_TIMEOUT_S)
    except (MailboxFull, AskTimeout) as error:  # it may be made yet: the same again finds out
        raise Refused(ErrorCode.LEDGER_UNAVAILABLE) from error
    if isinstance(answer, Refusal):
        raise Refused(answer.code, answer.field, answer.detail, answer.retry_after_s)


async def _decide(
    services: Services, letter_id: str, state: StageLetterState, note: str
) -> StageLetter:
    try:
        wanted = UUID(letter_id)
    except ValueError as error:
        raise Refused(ErrorCode.DEAD_LETTER_UNKNOWN) from error
    return await services.stage_store.decide_letter(wanted, state, caller().user_id, note)
