"""Who may call: a bearer token on every path but the few that say otherwise."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import msgspec
from quart import g, request
from quart_schema import security_scheme

from protocol.errors import ErrorCode, Refused
from server.auth import Authority, Identity, Role
from server.http.body import fails
from server.http.openapi import document_roles
from server.http.path_ids import NO_SUCH, kind_of

P = ParamSpec("P")
R = TypeVar("R")


def bearer(authority: Authority) -> Identity:
    """The identity behind the request's token. Raises Refused: TOKEN_MISSING, TOKEN_INVALID,
    TOKEN_EXPIRED."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(ErrorCode.TOKEN_MISSING)
    return authority.verify(token.strip())


def allow(
    authority: Authority, *roles: Role
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Only these roles, and only ids in the path that can be ids; the handler finds the caller by
    `caller()`. Documents the refusals of a caller."""

    def decorate(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @security_scheme([{"bearer": []}])
        @fails(ErrorCode.TOKEN_MISSING, ErrorCode.FORBIDDEN)
        @wraps(handler)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            identity = bearer(authority)
            if identity.role not in roles:
                raise Refused(ErrorCode.FORBIDDEN)
            _check_ids(kwargs)
            g.identity = identity
            return await handler(*args, **kwargs)

        return document_roles(guarded, roles)

    return decorate


def _check_ids(path_values: Mapping[str, Any]) -> None:
    """What cannot be an id names nothing, and never reaches a room or the database."""
    for name, value in path_values.items():
        try:
            msgspec.convert(value, kind_of(name))
        except msgspec.ValidationError as error:
            raise Refused(NO_SUCH.get(name, ErrorCode.NOT_FOUND)) from error


def caller() -> Identity:
    """Who called, inside a handler that `allow` guards."""
    identity: Any = g.identity
    assert isinstance(identity, Identity)
    return identity


def own_room(room_id: str) -> None:
    """Members act in the room that their token names; the platform's back end in any. Raises
    Refused: WRONG_ROOM."""
    identity = caller()
    if identity.role is not Role.SERVICE and identity.room_id != room_id:
        raise Refused(ErrorCode.WRONG_ROOM)
