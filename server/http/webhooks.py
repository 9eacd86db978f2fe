"""Webhooks: outside systems that get every TipActivated by a signed POST (docs/webhooks.md).

Every act is logged with who did it; a secret is answered once, and never logged or listed.
"""

from typing import Annotated, Final

import msgspec
import structlog
from msgspec import UNSET, Meta, UnsetType
from quart import Blueprint, Response

from actors.runtime.moment import Chance
from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import Id, PublicText
from server.auth import Role
from server.http.body import accepts, answers, json, query
from server.http.events import SEQ_MAX, Seq
from server.http.guard import allow, caller
from server.services import Services
from server.store.webhook_store import DeliveryRecord, DeliveryState, WebhookRecord, WebhookState
from server.webhooks.address import check_url
from server.webhooks.signature import new_secret

PAGE_DEFAULT, PAGE_MAX = 50, 200

_ROLES: Final = (Role.ADMIN, Role.SERVICE)
_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)

Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]


class NewWebhook(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`url`: https; what else is asked of it stands in docs/webhooks.md."""

    url: str
    description: PublicText | None = None


class WebhookChange(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What is left out stays as it is. While it is paused, events wait for it."""

    url: str | UnsetType = UNSET
    description: PublicText | UnsetType | None = UNSET
    state: WebhookState | UnsetType = UNSET


class WebhookSecret(msgspec.Struct, frozen=True, rename="camel"):
    """The one time that `secret` is shown."""

    webhook: WebhookRecord
    secret: str


class WebhooksQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: a webhookId, the cursor."""

    after: Id | None = None
    limit: Limit = PAGE_DEFAULT


class WebhookPage(msgspec.Struct, frozen=True, rename="camel"):
    """Oldest first. `next`: the cursor of the following page, None on the last."""

    webhooks: list[WebhookRecord]
    next: str | None


class DeliveriesQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`state`: only these. `after`: a seq, the cursor."""

    state: DeliveryState | None = None
    after: Seq = 0
    limit: Limit = PAGE_DEFAULT


class DeliveryPage(msgspec.Struct, frozen=True, rename="camel"):
    """In the order of the events. `next`: the cursor of the following page, None on the last."""

    deliveries: list[DeliveryRecord]
    next: int | None


class Replay(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`after`: seq of the last event that the receiver needs no more; 0: from the first one."""

    after: Seq


def blueprint(services: Services) -> Blueprint:
    webhooks = Blueprint("webhooks", __name__, url_prefix="/webhooks")
    store = services.webhooks
    private_allowed = services.settings.private_webhooks
    chance = Chance()
    log = structlog.get_logger("tiproom.webhooks")

    def done(act: str, webhook_id: str, **more: int) -> None:
        log.warning(act, webhook_id=webhook_id, who=caller().user_id, **more)
        services.dispatcher.changed(webhook_id)

    @webhooks.post("")
    @allow(services.authority, *_ROLES)
    @accepts(NewWebhook)
    @answers(WebhookSecret, *_ERRORS, ErrorCode.TOO_MANY_WEBHOOKS)
    async def add_webhook(new: NewWebhook) -> Response:
        """A new endpoint; it gets what is settled from now on

        The answer holds its secret, this once.
        """
        check_url(new.url, private_allowed)
        webhook_id, secret = str(chance.uuid7(chance.now())), new_secret()
        await store.add(webhook_id, new.url, secret, new.description)
        done("webhook_added", webhook_id)
        return json(WebhookSecret(await store.load(webhook_id), secret))

    @webhooks.get("")
    @allow(services.authority, *_ROLES)
    @query(WebhooksQuery)
    @answers(WebhookPage, *_ERRORS)
    async def list_webhooks(wanted: WebhooksQuery) -> Response:
        """All endpoints, by page"""
        found = await store.page(wanted.after or "", wanted.limit + 1)
        shown = found[: wanted.limit]
        more = len(found) > wanted.limit
        return json(WebhookPage(shown, shown[-1].webhook_id if more else None))

    @webhooks.get("/<webhook_id>")
    @allow(services.authority, *_ROLES)
    @answers(WebhookRecord, *_ERRORS, ErrorCode.WEBHOOK_UNKNOWN)
    async def get_webhook(webhook_id: str) -> Response:
        """One endpoint: how far it is, and how it does"""
        return json(await store.load(webhook_id))

    @webhooks.patch("/<webhook_id>")
    @allow(services.authority, *_ROLES)
    @accepts(WebhookChange)
    @answers(WebhookRecord, *_ERRORS, ErrorCode.WEBHOOK_UNKNOWN)
    async def change_webhook(change: WebhookChange, webhook_id: str) -> Response:
        """Another address or description; pause and resume"""
        if isinstance(change.url, str):
            check_url(change.url, private_allowed)
        await store.change(
            webhook_id,
            url=change.url if isinstance(change.url, str) else None,
            description=change.description,
            state=change.state if isinstance(change.state, WebhookState) else None,
        )
        done("webhook_changed", webhook_id)
        return json(await store.load(webhook_id))

    @webhooks.delete("/<webhook_id>")
    @allow(services.authority, *_ROLES)
    @answers(None, *_ERRORS, ErrorCode.WEBHOOK_UNKNOWN)
    async def delete_webhook(webhook_id: str) -> Response:
        """Deliver nothing more to it, and forget what it has not got"""
        await store.delete(webhook_id)
        done("webhook_deleted", webhook_id)
        return json(None)

    @webhooks.post("/<webhook_id>/secret")
    @allow(services.authority, *_ROLES)
    @answers(WebhookSecret, *_ERRORS, ErrorCode.WEBHOOK_UNKNOWN)
    async def change_secret(webhook_id: str) -> Response:
        """A new secret, answered this once; the old one ends now"""
        secret = new_secret()
        await store.change_secret(webhook_id, secret)
        done("webhook_secret_changed", webhook_id)
        return json(WebhookSecret(await store.load(webhook_id), secret))

    @webhooks.get("/<webhook_id>/deliveries")
    @allow(services.authority, *_ROLES)
    @query(DeliveriesQuery)
    @answers(DeliveryPage, *_ERRORS, ErrorCode.WEBHOOK_UNKNOWN)
    async def list_deliveries(wanted: DeliveriesQuery, webhook_id: str) -> Response:
        """Deliveries that did not go well at first, by page"""
        found = await store.deliveries(webhook_id, wanted.state, wanted.after, wanted.limit + 1)
        shown = found[: wanted.limit]
        return json(DeliveryPage(shown, shown[-1].seq if len(found) > wanted.limit else None))

    @webhooks.post("/<webhook_id>/deliveries/<seq>/redeliver")
    @allow(services.authority, *_ROLES)
    @answers(None, *_ERRORS, ErrorCode.WEBHOOK_UNKNOWN, ErrorCode.DELIVERY_UNKNOWN)
    async def redeliver(webhook_id: str, seq: str) -> Response:
        """One more attempt of one delivery, now; of a dead one, too"""
        number = _seq(seq)
        await store.redeliver(webhook_id, number)
        done("webhook_redelivery", webhook_id, seq=number)
        return json(None)

    @webhooks.post("/<webhook_id>/replay")
    @allow(services.authority, *_ROLES)
    @accepts(Replay)
    @answers(WebhookRecord, *_ERRORS, ErrorCode.WEBHOOK_UNKNOWN, ErrorCode.EVENTS_ARCHIVED)
    async def replay(wanted: Replay, webhook_id: str) -> Response:
        """Go on after another event: earlier to have events again, later to skip them"""
        await store.replay(webhook_id, wanted.after)
        done("webhook_replay", webhook_id, after=wanted.after)
        return json(await store.load(webhook_id))

    return webhooks


def _seq(text: str) -> int:
    """Of a path. Raises Refused: DELIVERY_UNKNOWN for what can be no seq."""
    seq = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0
    if not 0 < seq <= SEQ_MAX:
        raise Refused(ErrorCode.DELIVERY_UNKNOWN)
    return seq
