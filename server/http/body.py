"""Bodies in and out: strict structs, and the same structs in the OpenAPI document."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from quart import Quart, Response, g, request
from quart_schema import document_querystring, document_request, document_response

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
    refused with the path of the first bad field. Documents the body and these refusals."""
    decoder = msgspec.json.Decoder(kind)

    def decorate(
        handler: Callable[Concatenate[B, P], Awaitable[R]],
    ) -> Callable[P, Awaitable[R]]:
        @document_request(kind)
        @fails(ErrorCode.MALFORMED_FRAME, ErrorCode.BODY_TOO_LARGE, ErrorCode.INVALID_FIELD)
        @wraps(handler)
        async def decoding(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                body = decoder.decode(await read_body())
            except msgspec.ValidationError as error:
                raise Refused(ErrorCode.INVALID_FIELD, field_path(error)) from error
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise Refused(ErrorCode.MALFORMED_FRAME, detail="The body is not JSON.") from error
            return await handler(body, *args, **kwargs)

        return decoding

    return decorate


def query(
    kind: type[B],
) -> Callable[[Callable[Concatenate[B, P], Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """The handler's first argument is the decoded query string; what is not exactly a `kind`, a
    name that comes twice and (if `kind` forbids it) an unknown name are refused by name. Every
    field of `kind` has a default. Documents the parameters and these refusals."""

    def decorate(
        handler: Callable[Concatenate[B, P], Awaitable[R]],
    ) -> Callable[P, Awaitable[R]]:
        @document_querystring(kind)
        @fails(ErrorCode.INVALID_FIELD)
        @wraps(handler)
        async def decoding(*args: P.args, **kwargs: P.kwargs) -> R:
            return await handler(_decode_query(kind), *args, **kwargs)

        return decoding

    return decorate


def _decode_query(kind: type[B]) -> B:
    texts = request.args.to_dict(flat=False)
    try:
        decoded = msgspec.convert(
            {name: values[0] for name, values in texts.items()}, kind, strict=False
        )
    except msgspec.ValidationError as error:
        raise Refused(ErrorCode.INVALID_FIELD, field_path(error)) from error
    for field in msgspec.structs.fields(kind):
        values = texts.get(field.encode_name, [])
        # Not strict, msgspec reads "1e2", "1.0" and "null", too: one value has one spelling.
        if len(values) > 1 or any(
            text != _spelling(getattr(decoded, field.name)) for text in values
        ):
            raise Refused(ErrorCode.INVALID_FIELD, field.encode_name)
    return decoded


def _spelling(value: Any) -> str | None:
    """Of a value in a query string; None cannot be spelled."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def answers(
    kind: Any, *errors: ErrorCode
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Documents what a handler answers: `kind` with 200, and a Problem for each error."""

    def decorate(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        return fails(*errors)(document_response(kind, 200)(handler))

    return decorate


def fails(
    *errors: ErrorCode,
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Documents a Problem for each error."""

    def decorate(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        for status in sorted({ERRORS[code].http_status for code in errors}):
            handler = document_response(Problem, status)(handler)
        return handler

    return decorate


async def read_body() -> bytes:
    """The request's body. Raises what becomes BODY_TOO_LARGE, or RequestTimeout."""
    data = await request.get_data()
    assert isinstance(data, bytes)
    g.body_is_read = True
    return data


def close_behind_unread_bodies(app: Quart) -> None:
    """An answer that was given before the whole body came (no token, too large) ends the
    connection: what is still to come must not be taken for, nor delay, a next request."""

    @app.after_request
    async def close_behind(response: Response) -> Response:
        has_body = request.content_length or "Transfer-Encoding" in request.headers
        if has_body and not g.get("body_is_read", False):
            response.headers["Connection"] = "close"
        return response


def json(value: Any) -> Response:
    """`value` as the JSON response."""
    return Response(msgspec.json.encode(value), content_type="application/json")
