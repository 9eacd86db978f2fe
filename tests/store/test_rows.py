"""Rows of the database as structs."""

from uuid import UUID

import msgspec
import pytest

from server.store.rows import read_rows
from tests.garbage import nothing_left_for_the_collector


class Thing(msgspec.Struct, frozen=True, rename="camel"):
    thing_id: UUID
    amount: int


ROW = {"thing_id": UUID(int=7), "amount": 3, "more": None}


def test_columns_without_a_field_are_left_out() -> None:
    assert read_rows([ROW], Thing) == [Thing(UUID(int=7), 3)]


def test_a_field_without_a_column_is_an_error() -> None:
    with pytest.raises(KeyError, match="amount"):
        read_rows([{"thing_id": UUID(int=7)}], Thing)


def test_reading_leaves_nothing_for_the_collector() -> None:
    read_rows([ROW], Thing)
    with nothing_left_for_the_collector():
        read_rows([ROW], Thing)
