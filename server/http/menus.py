"""Performance menus over HTTP: read by whoever may see them, edited by their model (spec 5)."""

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from protocol.errors import ErrorCode, Refused
from protocol.performance_menu import PerformanceMenu, Visibility, may_see
from protocol.performance_menu_edit import ItemDraft, ItemView, MenuDraft, MenuView, view_menu
from protocol.tip_activated import Id
from server.auth import Role
from server.http.body import accepts, answers, json
from server.http.guard import allow, caller
from server.http.validated import accepts_validated
from server.services import Services

_MENU: Final = "/menus/<id_but(purchases):menu_id>"
_ITEM: Final = f"{_MENU}/items/<item_id>"
_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)


class MenuList(msgspec.Struct, frozen=True, rename="camel"):
    """The oldest first. A viewer gets those that he may buy from."""

    menus: list[MenuView]


class SubscriptionBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Until when a user is a model's subscriber, with a time zone; a past moment ends it."""

    user_id: Id
    model_id: Id
    active_until: Annotated[datetime, Meta(tz=True)]


class Subscription(msgspec.Struct, frozen=True, rename="camel"):
    """As it is stored now; UTC."""

    user_id: str
    model_id: str
    active_until: datetime


def blueprint(services: Services) -> Blueprint:
    menus = Blueprint("menus", __name__)
    performance = services.performance_menus
    readers = allow(services.authority, Role.VIEWER, Role.MODEL, Role.ADMIN, Role.SERVICE)
    owner = allow(services.authority, Role.MODEL)

    @menus.get("/models/<model_id>/menus")
    @readers
    @answers(MenuList, *_ERRORS, ErrorCode.USER_UNKNOWN)
    async def list_menus(model_id: str) -> Response:
        """A model's menus

        She and staff get all of each; others what is on offer to them.
        """
        found = await performance.load_all(model_id)
        whole = _sees_all(model_id)
        subscribed = not whole and await performance.is_subscriber(caller().user_id, model_id)
        shown = [menu for menu in found if whole or _on_offer(menu, subscribed)]
        return json(MenuList([view_menu(menu, model_id, whole=whole) for menu in shown]))

    @menus.get(_MENU)
    @readers
    @answers(MenuView, *_ERRORS, ErrorCode.MENU_UNKNOWN, ErrorCode.MENU_HIDDEN)
    async def get_menu(menu_id: str) -> Response:
        """One menu"""
        owned = await performance.load(menu_id)
        whole = _sees_all(owned.model_id)
        if not whole:
            if not owned.menu.active:
                raise Refused(ErrorCode.MENU_UNKNOWN)
            user_id = caller().user_id
            if not _on_offer(owned.menu, await performance.is_subscriber(user_id, owned.model_id)):
                raise Refused(ErrorCode.MENU_HIDDEN)
        return json(view_menu(owned.menu, owned.model_id, whole=whole))

    @menus.post("/menus")
    @owner
    @accepts_validated(MenuDraft)
    @answers(MenuView, *_ERRORS, ErrorCode.USER_UNKNOWN, ErrorCode.LIMIT_REACHED)
    async def post_menu(draft: MenuDraft) -> Response:
        """Add a menu, without items

        `queueMode` ON: what is bought waits on the stage, with its tokens held. OFF: it settles at
        once. A `private` menu is for the users of its whitelist.
        """
        return json(await performance.add_menu(caller().user_id, draft))

    @menus.put(_MENU)
    @owner
    @accepts_validated(MenuDraft)
    @answers(MenuView, *_ERRORS, ErrorCode.MENU_UNKNOWN)
    async def put_menu(draft: MenuDraft, menu_id: str) -> Response:
        """Replace a menu; its items stay

        What was bought before stays as it was bought. With another `queueMode` each item gets a
        new version.
        """
        return json(await performance.replace_menu(caller().user_id, menu_id, draft))

    @menus.delete(_MENU)
    @owner
    @answers(None, *_ERRORS, ErrorCode.MENU_UNKNOWN)
    async def delete_menu(menu_id: str) -> Response:
        """Remove a menu and its items"""
        await performance.remove_menu(caller().user_id, menu_id)
        return json(None)

    @menus.post(f"{_MENU}/items")
    @owner
    @accepts_validated(ItemDraft)
    @answers(
        ItemView,
        *_ERRORS,
        ErrorCode.MENU_UNKNOWN,
        ErrorCode.PATTERN_UNKNOWN,
        ErrorCode.LIMIT_REACHED,
    )
    async def post_item(draft: ItemDraft, menu_id: str) -> Response:
        """Add an item to a menu

        A stored pattern is copied into it.
        """
        return json(await performance.add_item(caller().user_id, menu_id, draft))

    @menus.put(_ITEM)
    @owner
    @accepts_validated(ItemDraft)
    @answers(
        ItemView,
        *_ERRORS,
        ErrorCode.MENU_UNKNOWN,
        ErrorCode.MENU_ITEM_UNKNOWN,
        ErrorCode.PATTERN_UNKNOWN,
    )
    async def put_item(draft: ItemDraft, menu_id: str, item_id: str) -> Response:
        """Replace an item

        Its `version` grows if that changes anything: who buys an older one is refused.
        """
        return json(await performance.replace_item(caller().user_id, menu_id, item_id, draft))

    @menus.delete(_ITEM)
    @owner
    @answers(None, *_ERRORS, ErrorCode.MENU_UNKNOWN, ErrorCode.MENU_ITEM_UNKNOWN)
    async def delete_item(menu_id: str, item_id: str) -> Response:
        """Remove an item"""
        await performance.remove_item(caller().user_id, menu_id, item_id)
        return json(None)

    @menus.put("/subscriptions")
    @allow(services.authority, Role.SERVICE)
    @accepts(SubscriptionBody)
    @answers(Subscription, *_ERRORS, ErrorCode.USER_UNKNOWN)
    async def put_subscription(body: SubscriptionBody) -> Response:
        """Say until when a user is a model's subscriber

        Menus for subscribers only are checked against this at every purchase.
        """
        try:
            until = body.active_until.astimezone(UTC)
        except OverflowError as error:  # the first and the last hours of the calendar
            raise Refused(ErrorCode.INVALID_FIELD, "activeUntil") from error
        await services.menu_store.save_subscription(body.user_id, body.model_id, until)
        return json(Subscription(body.user_id, body.model_id, until))

    return menus


def _sees_all(model_id: str) -> bool:
    identity = caller()
    is_owner = identity.role is Role.MODEL and identity.user_id == model_id
    return is_owner or identity.role in (Role.ADMIN, Role.SERVICE)


def _on_offer(menu: PerformanceMenu, is_subscriber: bool) -> bool:
    return menu.active and may_see(
        Visibility(menu.visibility),
        is_subscriber=is_subscriber,
        is_listed=caller().user_id in menu.whitelist,
    )
