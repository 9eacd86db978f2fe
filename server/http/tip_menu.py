"""A model's tip menu and pattern library, by herself or by staff for her (spec 3)."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from actors.room.messages import InspectLevels
from protocol.coverage import MenuCoverage, menu_coverage
from protocol.errors import ErrorCode, Refused
from protocol.pattern_library import PRESETS, PatternDraft, Preset, StoredPattern
from protocol.tip_activated import Id
from protocol.tip_menu_edit import ROWS_MAX, Menu, RowDraft, RowView, view_row
from server.auth import Role
from server.http.body import answers, json, query
from server.http.guard import allow, caller
from server.http.validated import accepts_validated
from server.services import Services

_ROW: Final = "/tip-menu/<id_but(reorder, coverage):row_id>"
_ERRORS: Final = (ErrorCode.USER_UNKNOWN, ErrorCode.LEDGER_UNAVAILABLE)


class MenuOwner(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Whose menu: staff name the model, a model has her own."""

    model_id: Id | None = None


class TipMenu(msgspec.Struct, frozen=True, rename="camel"):
    """The rows by their order, the inactive ones too."""

    rows: list[RowView]


class RowOrder(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Every row of the menu once, in the order wanted."""

    row_ids: Annotated[tuple[Id, ...], Meta(max_length=ROWS_MAX)]


class Patterns(msgspec.Struct, frozen=True, rename="camel"):
    """`presets`: the vendor's, which every model has. `patterns`: her own, the oldest first."""

    presets: tuple[Preset, ...]
    patterns: tuple[StoredPattern, ...]


def blueprint(services: Services) -> Blueprint:
    tip_menu = Blueprint("tip_menu", __name__, url_prefix="/lovense")
    menus = services.tip_menus
    who_may = allow(services.authority, Role.MODEL, Role.ADMIN)

    # ---- the menu ----

    @tip_menu.get("/tip-menu")
    @who_may
    @query(MenuOwner)
    @answers(TipMenu, *_ERRORS)
    async def get_tip_menu(owner: MenuOwner) -> Response:
        """A model's tip menu"""
        loaded = await menus.load(_model_of(owner))
        return json(_viewed(loaded.menu))

    @tip_menu.post("/tip-menu")
    @who_may
    @query(MenuOwner)
    @accepts_validated(RowDraft)
    @answers(
        RowView,
        *_ERRORS,
        ErrorCode.TIP_AMOUNT_TAKEN,
        ErrorCode.LIMIT_REACHED,
        ErrorCode.PATTERN_UNKNOWN,
    )
    async def post_row(draft: RowDraft, owner: MenuOwner) -> Response:
        """Add a row, the last

        In force at once: viewers see it, and the next tip of its amount plays it. Of the active
        rows each has another amount. A stored pattern is copied into the row. `deviceIds` is kept
        for an integration that takes a toy's id; the Cam Extension and Cam Kit do not, there her
        own settings decide which toys react.
        """
        menu, row_id = await menus.add_row(_model_of(owner), draft, caller().user_id)
        return json(_view_of(menu, row_id))

    @tip_menu.put(_ROW)
    @who_may
    @query(MenuOwner)
    @accepts_validated(RowDraft)
    @answers(
        RowView,
        *_ERRORS,
        ErrorCode.MENU_ROW_UNKNOWN,
        ErrorCode.TIP_AMOUNT_TAKEN,
        ErrorCode.PATTERN_UNKNOWN,
    )
    async def put_row(draft: RowDraft, owner: MenuOwner, row_id: str) -> Response:
        """Replace a row, in its place

        What has been tipped before plays as it was bought.
        """
        menu = await menus.replace_row(_model_of(owner), row_id, draft, caller().user_id)
        return json(_view_of(menu, row_id))

    @tip_menu.delete(_ROW)
    @who_may
    @query(MenuOwner)
    @answers(None, *_ERRORS, ErrorCode.MENU_ROW_UNKNOWN)
    async def delete_row(owner: MenuOwner, row_id: str) -> Response:
        """Remove a row

        What has been tipped before plays as it was bought.
        """
        await menus.remove_row(_model_of(owner), row_id, caller().user_id)
        return json(None)

    @tip_menu.put("/tip-menu/reorder")
    @who_may
    @query(MenuOwner)
    @accepts_validated(RowOrder)
    @answers(TipMenu, *_ERRORS, ErrorCode.MENU_MISMATCH)
    async def put_order(order: RowOrder, owner: MenuOwner) -> Response:
        """Put the rows into another order"""
        menu = await menus.reorder(_model_of(owner), order.row_ids, caller().user_id)
        return json(_viewed(menu))

    @tip_menu.get("/tip-menu/coverage")
    @who_may
    @query(MenuOwner)
    @answers(MenuCoverage, *_ERRORS, ErrorCode.ROOM_BUSY)
    async def get_coverage(owner: MenuOwner) -> Response:
        """Which rows the model's own toy settings can express

        By the settings that her open page has reported; `known` is false without one. With it come
        the settings that would express every row.
        """
        for room_id in (await menus.load(_model_of(owner))).room_ids:
            # A room that sleeps has no page open, and need not be woken to say so.
            if services.rooms.awake(room_id) is not None:
                found = await services.ask_room(room_id, InspectLevels)
                if found.known:
                    return json(menu_coverage(found.tip_menu, found.level_map, found.platform))
        return json(MenuCoverage(known=False))

    # ---- the library ----

    @tip_menu.get("/patterns")
    @who_may
    @query(MenuOwner)
    @answers(Patterns, *_ERRORS)
    async def get_patterns(owner: MenuOwner) -> Response:
        """The presets, and the patterns that the model has stored"""
        loaded = await menus.load(_model_of(owner))
        return json(Patterns(PRESETS, loaded.library))

    @tip_menu.post("/patterns")
    @who_may
    @query(MenuOwner)
    @accepts_validated(PatternDraft)
    @answers(StoredPattern, *_ERRORS, ErrorCode.LIMIT_REACHED)
    async def post_pattern(draft: PatternDraft, owner: MenuOwner) -> Response:
        """Store a pattern"""
        return json(await menus.add_pattern(_model_of(owner), draft, caller().user_id))

    @tip_menu.put("/patterns/<pattern_id>")
    @who_may
    @query(MenuOwner)
    @accepts_validated(PatternDraft)
    @answers(StoredPattern, *_ERRORS, ErrorCode.PATTERN_UNKNOWN)
    async def put_pattern(draft: PatternDraft, owner: MenuOwner, pattern_id: str) -> Response:
        """Replace a stored pattern

        Rows of the tip menu that were made of it keep what they were made of.
        """
        model_id = _model_of(owner)
        return json(await menus.replace_pattern(model_id, pattern_id, draft, caller().user_id))

    @tip_menu.delete("/patterns/<pattern_id>")
    @who_may
    @query(MenuOwner)
    @answers(None, *_ERRORS, ErrorCode.PATTERN_UNKNOWN)
    async def delete_pattern(owner: MenuOwner, pattern_id: str) -> Response:
        """Remove a stored pattern

        Rows of the tip menu that were made of it keep what they were made of.
        """
        await menus.remove_pattern(_model_of(owner), pattern_id, caller().user_id)
        return json(None)

    return tip_menu


def _model_of(owner: MenuOwner) -> str:
    """Whose menu the caller means. Raises Refused."""
    identity = caller()
    if identity.role is Role.MODEL:
        if owner.model_id not in (None, identity.user_id):
            raise Refused(ErrorCode.FORBIDDEN, "modelId", "A model has her own menu.")
        return identity.user_id
    if owner.model_id is None:
        raise Refused(ErrorCode.INVALID_FIELD, "modelId", "Staff name the model.")
    return owner.model_id


def _viewed(menu: Menu) -> TipMenu:
    return TipMenu([view_row(row) for row in menu])


def _view_of(menu: Menu, row_id: str) -> RowView:
    return next(view_row(row) for row in menu if row.row_id == row_id)
