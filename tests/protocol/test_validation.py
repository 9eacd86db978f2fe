"""Every bad field of a body is named, wherever it stands."""

import json
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from protocol.errors import ErrorCode
from protocol.tip_menu_edit import RowDraft
from protocol.validation import REFUSALS_MAX, validate


class Small(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    how_many: Annotated[int, Meta(ge=1, le=9)]
    words: Annotated[tuple[Annotated[str, Meta(max_length=3)], ...], Meta(max_length=4)] = ()

    def __post_init__(self) -> None:
        if self.how_many == 7 and self.words:
            raise ValueError("`words` do not go with seven")


class Left(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="L"):
    left: bool


class Right(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="R"):
    right: Small | None


class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    side: Left | Right
    small: Annotated[Small, Meta(description="a part")]
    count: int | None = None


GOOD = {"side": {"type": "R", "right": {"howMany": 2}}, "small": {"howMany": 1, "words": ["a"]}}


def paths(raw: object) -> list[str | None]:
    found = validate(raw, Whole)
    assert isinstance(found, list)
    assert {refusal.code for refusal in found} == {ErrorCode.INVALID_FIELD}
    return [refusal.field for refusal in found]


def test_what_is_good_comes_out_as_its_struct() -> None:
    expected = Whole(Right(Small(2)), Small(1, ("a",)))
    assert validate(GOOD, Whole) == expected
    assert validate(GOOD | {"side": {"type": "R", "right": None}}, Whole) == Whole(
        Right(None), Small(1, ("a",))
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([], [None]),
        (None, [None]),
        ({}, ["side", "small"]),
        (GOOD | {"count": "5"}, ["count"]),
        (GOOD | {"count": 5.0}, ["count"]),
        (GOOD | {"count": True, "more": 1, "else": 2}, ["more", "else", "count"]),
        (GOOD | {"not a name": 1}, [None]),
        (GOOD | {"side": 1, "small": None}, ["side", "small"]),
        (GOOD | {"side": {}}, ["side.type"]),
        (GOOD | {"side": {"type": "M"}}, ["side.type"]),
        (GOOD | {"side": {"type": ["R"]}}, ["side.type"]),
        (GOOD | {"side": {"type": "L", "right": None}}, ["side.right", "side.left"]),
        (
            GOOD | {"side": {"type": "R", "right": {"howMany": 0, "words": ["", "four"]}}},
            ["side.right.howMany", "side.right.words[1]"],
        ),
        (GOOD | {"small": {"words": 5, "x": 1}}, ["small.x", "small.howMany", "small.words"]),
        (GOOD | {"small": {"howMany": 7, "words": ["a"]}}, ["small.words"]),
    ],
)
def test_each_bad_field_is_named(raw: object, expected: list[str | None]) -> None:
    assert paths(raw) == expected


def test_thousands_of_wrong_names_are_not_all_repeated() -> None:
    assert len(paths(GOOD | {f"x{number}": 1 for number in range(5_000)})) == REFUSALS_MAX


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["tipAmount", "vibration", "description", "active", "type", "strength", "zz", "a b"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_whatever_comes_is_read_as_msgspec_reads_it(raw: Any) -> None:
    """Refused exactly when msgspec refuses; and then by the sender's own names alone."""
    found = validate(raw, RowDraft)
    try:
        expected = msgspec.convert(raw, RowDraft)
    except msgspec.ValidationError:
        assert isinstance(found, list)
        assert found
        json.dumps([refusal.field for refusal in found])
    else:
        assert found == expected
