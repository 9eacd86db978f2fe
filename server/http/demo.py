"""The demo: pages, and tokens for whoever asks. Registered in demo mode only."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from quart import Blueprint, Response, redirect, request, send_from_directory
from quart_schema import hide

from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import MembershipTier
from server.auth import Identity, Role
from server.http.body import accepts, answers, json
from server.services import Services
from server.store.demo import MODEL_ID, MODEL_NAME, ROOM_ID, VIEWERS

TOKEN_LIFE: Final = timedelta(minutes=30)
WEB_DIR: Final = Path(__file__).resolve().parent.parent / "web"


class DemoTokenBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`as`: "model", "admin", or a demo viewer's name."""

    as_: Annotated[str, Meta(max_length=64)] = msgspec.field(name="as")


class DemoUser(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody whom a demo page can be; `as` is what to ask a token with."""

    as_: str = msgspec.field(name="as")
    username: str
    role: Role
    membership_tier: MembershipTier


class DemoToken(msgspec.Struct, frozen=True, rename="camel"):
    token: str
    socket_url: str
    room_id: str
    expires_at: str
    users: list[DemoUser]


def users() -> list[DemoUser]:
    """The model first, then the viewers; the admin plays no page."""
    viewers = [DemoUser(user_id, user_id, Role.VIEWER, tier) for user_id, tier in VIEWERS.items()]
    model = DemoUser("model", MODEL_NAME, Role.MODEL, MembershipTier.FREE)
    return [model, *viewers]


def identity_of(name: str) -> Identity:
    """Whom a demo token speaks for. Raises Refused: USER_UNKNOWN."""
    expires_at = datetime.now(UTC) + TOKEN_LIFE
    if name == "admin":
        return Identity(
            user_id="demo-admin", username="Admin", role=Role.ADMIN, expires_at_utc=expires_at
        )
    for user in users():
        if user.as_ == name:
            return Identity(
                user_id=MODEL_ID if user.role is Role.MODEL else user.as_,
                username=user.username,
                role=user.role,
                membership_tier=user.membership_tier,
                room_id=ROOM_ID,
                expires_at_utc=expires_at,
            )
    raise Refused(ErrorCode.USER_UNKNOWN, "as")


def blueprint(services: Services, socket_url: str) -> Blueprint:
    """`socket_url`: scheme, host and port of the socket port, without a path."""
    demo = Blueprint("demo", __name__, url_prefix="/demo")

    @demo.post("/tokens")
    @accepts(DemoTokenBody)
    @answers(DemoToken, ErrorCode.USER_UNKNOWN)
    async def demo_token(body: DemoTokenBody) -> Response:
        """A token for a demo page

        Demo mode only: it asks for no proof of anything.
        """
        identity = identity_of(body.as_)
        return json(
            DemoToken(
                token=services.authority.issue(identity),
                socket_url=f"{socket_url}/rooms/{ROOM_ID}",
                room_id=ROOM_ID,
                expires_at=identity.expires_at_utc.isoformat(),
                users=users(),
            )
        )

    @demo.get("/")
    @demo.get("/<any(model, viewer):page>")
    @hide
    async def demo_page(page: str = "index") -> Response:
        if page == "viewer" and request.args.get("as") is None:
            response = redirect("/demo/")
            assert isinstance(response, Response)
            return response
        return await send_from_directory(WEB_DIR / "demo", f"{page}.html")

    return demo
