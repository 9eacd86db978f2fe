"""Rows of the database as structs: columns are named as the fields are, in snake case."""

from collections.abc import Iterable
from functools import cache
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


class Row(Protocol):
    """asyncpg.Record, or a dict."""

    def __getitem__(self, column: str, /) -> Any: ...


def read_rows(rows: Iterable[Row], kind: type[S]) -> list[S]:
    """Each row as a `kind`; columns that it has no field for are left out. Raises KeyError for a
    field without a column, msgspec.ValidationError for a value that it does not take."""
    names = _names(kind)
    return [
        msgspec.convert({encoded: _plain(row[name]) for name, encoded in names}, kind)
        for row in rows
    ]


@cache
def _names(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """Of its fields, here and encoded. msgspec looks them up anew each time, and leaves a cycle for
    the collector with it."""
    return tuple((field.name, field.encode_name) for field in msgspec.structs.fields(kind))


def _plain(value: Any) -> Any:
    """The driver's own UUID is a subclass, which msgspec does not take for one."""
    return UUID(int=value.int) if isinstance(value, UUID) else value
