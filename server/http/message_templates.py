"""Message templates, by staff (spec 6)."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from protocol.errors import ErrorCode
from protocol.message_templates import Template, TemplateDraft, check
from protocol.mood_messages import MessageType, Mood
from protocol.tip_activated import Id, MembershipTier
from server.auth import Role
from server.http.body import answers, json, query
from server.http.guard import allow, caller
from server.http.problem import ManyRefused
from server.http.validated import accepts_validated
from server.services import Services
from server.shipped_templates import shipped_templates

PAGE_DEFAULT, PAGE_MAX = 50, 200
_TEMPLATE: Final = "/<id_but(shipped):template_id>"
_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)


class TemplatesQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`mood`, `tier`: those for exactly this one, not those for any. `after`: a templateId, the
    cursor."""

    type: MessageType | None = None
    mood: Mood | None = None
    tier: MembershipTier | None = None
    after: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class TemplatePage(msgspec.Struct, frozen=True, rename="camel"):
    """By templateId. `next`: the cursor of the following page, null on the last."""

    templates: list[Template]
    next: Id | None


class TemplateVersions(msgspec.Struct, frozen=True, rename="camel"):
    """The newest first: the first is in force."""

    versions: list[Template]


class Added(msgspec.Struct, frozen=True, rename="camel"):
    added: int


def blueprint(services: Services) -> Blueprint:
    pages = Blueprint("message_templates", __name__, url_prefix="/admin/message-templates")
    messaging = services.messaging
    staff = allow(services.authority, Role.ADMIN)

    @pages.get("")
    @staff
    @query(TemplatesQuery)
    @answers(TemplatePage, *_ERRORS)
    async def list_templates(wanted: TemplatesQuery) -> Response:
        """The templates in force

        By page: `after` is the templateId that the page before ended with, its `next`.
        """
        found = await messaging.templates.load_page(
            wanted.type, wanted.mood, wanted.tier, wanted.after, wanted.limit + 1
        )
        shown = found[: wanted.limit]
        more = len(found) > wanted.limit
        return json(TemplatePage(shown, shown[-1].template_id if more else None))

    @pages.post("")
    @staff
    @accepts_validated(TemplateDraft)
    @answers(Template, *_ERRORS, ErrorCode.LIMIT_REACHED)
    async def post_template(draft: TemplateDraft) -> Response:
        """Add a template

        In force within half a minute on every server. Its text may name `{{username}}` and
        `{{modelName}}`, a public one also `{{amount}}` and `{{itemName}}`.
        """
        _check(draft)
        added = await messaging.templates.add(draft, caller().user_id)
        messaging.book.changed()
        return json(added)

    @pages.post("/shipped")
    @staff
    @answers(Added, *_ERRORS, ErrorCode.LIMIT_REACHED)
    async def post_shipped() -> Response:
        """Add the templates that come with Tiproom

        Those that were never there; one that was changed or removed stays as it is.
        """
        added = await messaging.templates.add_shipped(shipped_templates(), caller().user_id)
        messaging.book.changed()
        return json(Added(added))

    @pages.get(_TEMPLATE)
    @staff
    @answers(TemplateVersions, *_ERRORS, ErrorCode.TEMPLATE_UNKNOWN)
    async def get_template(template_id: str) -> Response:
        """A template with all that it has been"""
        return json(TemplateVersions(await messaging.templates.load_versions(template_id)))

    @pages.put(_TEMPLATE)
    @staff
    @accepts_validated(TemplateDraft)
    @answers(Template, *_ERRORS, ErrorCode.TEMPLATE_UNKNOWN)
    async def put_template(draft: TemplateDraft, template_id: str) -> Response:
        """Replace a template

        It is a new version, and its uses and successes begin anew; messages keep the one that they
        were made of.
        """
        _check(draft)
        replaced = await messaging.templates.replace(template_id, draft, caller().user_id)
        messaging.book.changed()
        return json(replaced)

    @pages.delete(_TEMPLATE)
    @staff
    @answers(None, *_ERRORS, ErrorCode.TEMPLATE_UNKNOWN)
    async def delete_template(template_id: str) -> Response:
        """Remove a template; it stays in the record of its messages"""
        await messaging.templates.remove(template_id)
        messaging.book.changed()
        return json(None)

    return pages


def _check(draft: TemplateDraft) -> None:
    """Raises ManyRefused."""
    if faults := check(draft):
        raise ManyRefused(faults)
