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
CHALLENGE: Final = "Bearer"
"""The `WWW-Authenticate` of every 401 (RFC 6750, 3)."""

_FOR_STATUS: Final = {
    400: ErrorCode.INVALID_FIELD,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    408: ErrorCode.REQUEST_TIMEOUT,
    413: ErrorCode.BODY_TOO_LARGE,
    416: ErrorCode.RANGE_NOT_SATISFIABLE,
}
"""Each status that Quart and Werkzeug answer of their own accord."""
_OF_THE_STATUS: Final = ("Allow", "Content-Range")
"""Headers without which a 405 (RFC 9110, 15.5.6) or a 416 (15.5.17) is incomplete."""


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
        response.headers["WWW-Authenticate"] = CHALLENGE
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
        response = problem(Refusal(_FOR_STATUS.get(error.code or 500, ErrorCode.INTERNAL)))
        for name, value in error.get_headers():
            if name in _OF_THE_STATUS:
                response.headers[name] = value
        return response

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
