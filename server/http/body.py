"""Bodies in and out: strict structs, and the same structs in the OpenAPI document."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from quart import Response, request
from quart_schema import document_request, document_response

from protocol.codec import field_path
from protocol.errors import ERRORS, ErrorCode, Refused
from server.http.problem import Problem

P = ParamSpec("P")
R = TypeVar("R")
B = TypeVar("B", bound=msgspec.Struct)


def accepts(
    kind: type[B],
) -> Callable[[Callable[Concatenate[B, P], Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """The handler's first argument is the decoded JSON body; what is not exactly a `kind` is
    refused with the path of the first bad field."""
    decoder = msgspec.json.Decoder(kind)

    def decorate(
        handler: Callable[Concatenate[B, P], Awaitable[R]],
    ) -> Callable[P, Awaitable[R]]:
        @document_request(kind)
        @wraps(handler)
        async def decoding(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                body = decoder.decode(await request.get_data())
            except msgspec.ValidationError as error:
                raise Refused(ErrorCode.INVALID_FIELD, field_path(error)) from error
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise Refused(ErrorCode.MALFORMED_FRAME, detail="The body is not JSON.") from error
            return await handler(body, *args, **kwargs)

        return decoding

    return decorate


def answers(
    kind: Any, *errors: ErrorCode
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Documents what a handler answers: `kind` with 200, and a Problem for each error."""

    def decorate(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        documented = document_response(kind, 200)(handler)
        for status in sorted({ERRORS[code].http_status for code in errors}):
            documented = document_response(Problem, status)(documented)
        return documented

    return decorate


def json(value: Any) -> Response:
    """`value` as the JSON response."""
    return Response(msgspec.json.encode(value), content_type="application/json")
