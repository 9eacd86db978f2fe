"""What a verification can find: each finding has a code for machines, a place and a sentence."""

from collections import Counter
from enum import StrEnum
from typing import Final

import msgspec

LISTED_MAX: Final = 100
"""Findings of one code that are listed; all are counted. One change can break a million rows."""


class Code(StrEnum):
    """What is wrong. Each is documented in docs/operations.md."""

    ENTRY_MISSING = "ENTRY_MISSING"
    ENTRY_NUMBER = "ENTRY_NUMBER"
    ENTRY_HASH = "ENTRY_HASH"
    ENTRY_BALANCE = "ENTRY_BALANCE"
    ENTRY_NEGATIVE = "ENTRY_NEGATIVE"
    ENTRY_WITHOUT_TRANSFER = "ENTRY_WITHOUT_TRANSFER"
    ACCOUNT_MISSING = "ACCOUNT_MISSING"
    ACCOUNT_BALANCE = "ACCOUNT_BALANCE"
    ACCOUNT_LAST_ENTRY = "ACCOUNT_LAST_ENTRY"
    BALANCES_SUM = "BALANCES_SUM"
    TRANSFER_WITHOUT_ENTRIES = "TRANSFER_WITHOUT_ENTRIES"
    TRANSFER_SUM = "TRANSFER_SUM"
    TRANSFER_ENTRIES = "TRANSFER_ENTRIES"
    TRANSFER_CONTENT = "TRANSFER_CONTENT"
    TRANSFER_ANSWER = "TRANSFER_ANSWER"
    TRANSFER_TIME = "TRANSFER_TIME"
    REFUND_EXCEEDS = "REFUND_EXCEEDS"
    REFUND_TARGET = "REFUND_TARGET"
    REFUND_ENTRIES = "REFUND_ENTRIES"
    EVENT_MISSING = "EVENT_MISSING"
    EVENT_WITHOUT_TRANSFER = "EVENT_WITHOUT_TRANSFER"
    EVENT_TWICE = "EVENT_TWICE"
    EVENT_INVALID = "EVENT_INVALID"
    EVENT_FIELD = "EVENT_FIELD"
    EVENT_NUMBER = "EVENT_NUMBER"
    EVENT_SKIPPED = "EVENT_SKIPPED"
    HOLD_MISSING = "HOLD_MISSING"
    HOLD_FIELD = "HOLD_FIELD"
    HOLD_STATE = "HOLD_STATE"
    ESCROW_BALANCE = "ESCROW_BALANCE"
    POINTS_MISSING = "POINTS_MISSING"
    POINTS_WITHOUT_TRANSFER = "POINTS_WITHOUT_TRANSFER"
    POINTS_AMOUNT = "POINTS_AMOUNT"
    POINTS_BALANCE = "POINTS_BALANCE"
    ARCHIVE_DATE = "ARCHIVE_DATE"


class Finding(msgspec.Struct, frozen=True):
    """`where` names the rows, `text` says what is wrong with them."""

    code: Code
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.where}: {self.text}"


class Findings:
    """What was found so far, at most `LISTED_MAX` of a code in full."""

    def __init__(self) -> None:
        self.listed: list[Finding] = []
        self.counts: Counter[Code] = Counter()

    def add(self, code: Code, text: str, **where: object) -> None:
        """`where`: the rows, by name; None and "" are left out."""
        self.counts[code] += 1
        if self.counts[code] <= LISTED_MAX:
            places = " ".join(
                f"{name}={_shown(value)}"
                for name, value in where.items()
                if value not in (None, "")
            )
            self.listed.append(Finding(code, places, text))

    def take(self, others: "Findings") -> None:
        """Add what another look has found, of other codes than this one."""
        assert self.counts.keys().isdisjoint(others.counts)
        self.listed += others.listed
        self.counts += others.counts

    @property
    def total(self) -> int:
        return self.counts.total()


def _shown(value: object) -> str:
    """A value out of the database on one line: whoever wrote it there chose no line of ours, and
    no command for a terminal."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if text.isprintable() and " " not in text else ascii(text)
