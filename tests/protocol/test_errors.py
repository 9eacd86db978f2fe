"""The two tables: every code is in them, and a client can decide by them."""

import re

import pytest

from protocol.errors import (
    CLOSES,
    ERRORS,
    CloseCode,
    CloseRule,
    ErrorCode,
    ErrorRule,
    Refusal,
    Refused,
    reconnects,
)


def test_every_code_has_its_rule() -> None:
    assert set(ERRORS) == set(ErrorCode)
    assert set(CLOSES) == set(CloseCode)


@pytest.mark.parametrize(("code", "rule"), ERRORS.items(), ids=str)
def test_error_rule(code: ErrorCode, rule: ErrorRule) -> None:
    assert re.fullmatch("[A-Z]+(_[A-Z]+)*", code.value)
    assert code.value == code.name
    assert 400 <= rule.http_status <= 599
    assert rule.text.endswith(".")
    assert (rule.cause == "server") is (rule.http_status >= 500)
    if rule.http_status in (429, 503):
        assert rule.retry, "these two mean: later"


@pytest.mark.parametrize(("code", "rule"), CLOSES.items(), ids=str)
def test_close_rule(code: CloseCode, rule: CloseRule) -> None:
    assert 4000 <= code <= 4999
    assert 0 < len(rule.text.encode()) <= 123, "what a close frame can hold"
    assert reconnects(code) is (code < 4500)


@pytest.mark.parametrize(
    ("code", "back"),
    [
        (1000, True),
        (1006, True),
        (4000, True),
        (4499, True),
        (4500, False),
        (4999, False),
        (5000, True),
    ],
)
def test_range_decides_about_coming_back(code: int, back: bool) -> None:
    assert reconnects(code) is back


@pytest.mark.parametrize(
    ("code", "back"),
    [
        (CloseCode.TOKEN_EXPIRED, True),
        (CloseCode.SLOW_CONSUMER, True),
        (CloseCode.ROOM_RESTARTING, True),
        (CloseCode.TOKEN_INVALID, False),
        (CloseCode.SECOND_MODEL_PAGE, False),
        (CloseCode.INTEGRATION_CONFLICT, False),
        (CloseCode.ROOM_FAILED, True),
    ],
)
def test_codes_that_a_page_depends_on(code: CloseCode, back: bool) -> None:
    assert reconnects(code) is back


def test_refusal_speaks_the_tables_sentence_unless_it_has_its_own() -> None:
    assert Refusal(ErrorCode.NOT_FOUND).text == ERRORS[ErrorCode.NOT_FOUND].text
    assert Refusal(ErrorCode.NOT_FOUND, detail="No such row.").text == "No such row."


def test_refused_carries_the_answer_and_shows_only_its_code() -> None:
    refused = Refused(ErrorCode.INVALID_FIELD, "toys[0].id", "Too long.")
    assert refused.refusal == Refusal(ErrorCode.INVALID_FIELD, "toys[0].id", "Too long.")
    assert str(refused) == "INVALID_FIELD"
