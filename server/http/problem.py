"""Errors over HTTP: `application/problem+json` (RFC 9457) with our code, for every error."""

from typing import Final

import msgspec
import structlog
from quart import Quart, Response
from werkzeug.exceptions import HTTPException

from actors.ports import StoreUnavailable
from actors.runtime.ask import AskTimeout
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from protocol.errors import ERRORS, ErrorCode, Refusal, Refused

MEDIA_TYPE: Final = "application/problem+json"

_FOR_STATUS: Final = {
    400: ErrorCode.INVALID_FIELD,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.BODY_TOO_LARGE,
}


class InvalidField(msgspec.Struct, frozen=True, rename="camel"):
    field: str | None
    detail: str


class Problem(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`code` is ours and stable; `field` is the dotted path of what was wrong; `errors` lists all
    of them where there are several."""

    type: str
    title: str
    status: int
    code: ErrorCode
    detail: str
    field: str | None = None
    errors: list[InvalidField] = []


class ManyRefused(Exception):
    """Several fields of one request were refused."""

    def __init__(self, refusals: list[Refusal]) -> None:
        super().__init__(f"{len(refusals)} refusals")
        self.refusals = refusals


def problem(refusal: Refusal, others: list[Refusal] | None = None) -> Response:
    """The response to a refusal."""
    rule = ERRORS[refusal.code]
    body = Problem(
        type=f"urn:tiproom:error:{refusal.code}",
        title=rule.text,
        status=rule.http_status,
        code=refusal.code,
        detail=refusal.text,
        field=refusal.field,
        errors=[InvalidField(each.field, each.text) for each in others or []],
    )
    response = Response(msgspec.json.encode(body), status=rule.http_status, content_type=MEDIA_TYPE)
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(int(refusal.retry_after_s) + 1)
    if rule.http_status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def install(app: Quart) -> None:
    """Every error of `app` becomes a problem."""
    log = structlog.get_logger("tiproom.http")

    @app.errorhandler(Refused)
    async def refused(error: Refused) -> Response:
        return problem(error.refusal)

    @app.errorhandler(ManyRefused)
    async def many_refused(error: ManyRefused) -> Response:
        return problem(error.refusals[0], error.refusals)

    @app.errorhandler(HTTPException)
    async def http_exception(error: HTTPException) -> Response:
        return problem(Refusal(_FOR_STATUS.get(error.code or 500, ErrorCode.INTERNAL)))

    @app.errorhandler(MailboxFull)
    @app.errorhandler(MailboxClosed)
    @app.errorhandler(AskTimeout)
    async def busy(_error: Exception) -> Response:
        return problem(Refusal(ErrorCode.ROOM_BUSY))

    @app.errorhandler(StoreUnavailable)
    async def store_unavailable(_error: Exception) -> Response:
        return problem(Refusal(ErrorCode.LEDGER_UNAVAILABLE))

    @app.errorhandler(Exception)
    async def failed(error: Exception) -> Response:
        log.error("request_failed", exc_info=error)
        return problem(Refusal(ErrorCode.INTERNAL))
