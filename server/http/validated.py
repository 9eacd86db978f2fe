"""A body that is answered whole: every bad field of it is named, not only the first."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import msgspec
from quart_schema import document_request

from protocol.errors import ErrorCode, Refused
from protocol.validation import validate
from server.http.body import fails, read_body
from server.http.problem import ManyRefused

P = ParamSpec("P")
R = TypeVar("R")
B = TypeVar("B", bound=msgspec.Struct)


def accepts_validated(
    kind: type[B],
) -> Callable[[Callable[Concatenate[B, P], Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """As `body.accepts`, for what a person fills in. Documents the body and these refusals."""

    def decorate(
        handler: Callable[Concatenate[B, P], Awaitable[R]],
    ) -> Callable[P, Awaitable[R]]:
        @document_request(kind)
        @fails(ErrorCode.MALFORMED_FRAME, ErrorCode.BODY_TOO_LARGE, ErrorCode.INVALID_FIELD)
        @wraps(handler)
        async def decoding(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                raw = msgspec.json.decode(await read_body())
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise Refused(ErrorCode.MALFORMED_FRAME, detail="The body is not JSON.") from error
            body = validate(raw, kind)
            if isinstance(body, list):
                raise ManyRefused(body)
            return await handler(body, *args, **kwargs)

        return decoding

    return decorate
