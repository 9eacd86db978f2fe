"""What each client attempted and what it was told, kept on its side of the wire; and what follows.

Balances that add up prove nothing about a lost commit: a tip that was acknowledged and then
vanished leaves every sum right. So what the database has is compared with what people were told:

    acknowledged <= settled <= attempted

and each answer with the one that was given before. All checks are pure functions; each finding
is one line that names the transfer.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

LOST: Final = "was acknowledged and is not settled"
DOUBLED: Final = "was settled more than once"


class Attempt(msgspec.Struct, frozen=True):
    """One transfer that a client asks for. `tokens` is what it does to his wallet: negative takes
    out of it."""

    source_ref: str
    user_id: str
    tokens: int


class Told(msgspec.Struct, frozen=True):
    """An acknowledgement: the very bytes, and the wallet's balance that they name."""

    answer: bytes
    balance: int


class Booked(msgspec.Struct, frozen=True):
    """One transfer as the database has it; `tokens` as in Attempt, `balance` as it was answered."""

    source_ref: str
    user_id: str
    tokens: int
    balance: int


@dataclass
class History:
    """Of one client, who asks for one transfer after the other."""

    user_id: str
    first_balance: int
    attempts: dict[str, Attempt] = field(default_factory=dict)
    """By source_ref, in the order in which they were first sent."""
    told: dict[str, Told] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """source_ref -> error code, of a refusal for good."""
    differing: list[str] = field(default_factory=list)
    """Those that were answered in two ways."""
    alone: bool = True
    """Nobody else moves this user's tokens."""

    def attempt(self, attempt: Attempt) -> None:
        """Before it is sent for the first time."""
        assert attempt.source_ref not in self.attempts
        self.attempts[attempt.source_ref] = attempt

    def acknowledged(self, source_ref: str, told: Told) -> None:
        if source_ref in self.refused or self.told.setdefault(source_ref, told) != told:
            self.differing.append(source_ref)

    def refuse(self, source_ref: str, code: str) -> None:
        if source_ref in self.told or self.refused.setdefault(source_ref, code) != code:
            self.differing.append(source_ref)

    @property
    def unknown(self) -> list[str]:
        return [ref for ref in self.attempts if ref not in self.told and ref not in self.refused]


# ---- checks ------------------------------------------------------------------------------------


def problems(histories: Sequence[History], booked: Sequence[Booked]) -> list[str]:
    """What must never be, also while outcomes are unknown. `booked`: all of the ledger's transfers
    by which wallets of these users were touched or were asked to be, in any order; read after the
    last answer of `histories` came."""
    return [
        *_differing(histories),
        *_once(booked),
        *_acknowledged_is_settled(histories, booked),
        *_settled_was_attempted(histories, booked),
        *_balances_follow(histories),
    ]


def problems_at_rest(histories: Iterable[History]) -> list[str]:
    """Everybody has asked again for what he did not know."""
    return [f"{ref} was never answered" for history in histories for ref in history.unknown]


def _differing(histories: Iterable[History]) -> Iterator[str]:
    for history in histories:
        yield from (f"{ref} was answered in two ways" for ref in history.differing)


def _once(booked: Sequence[Booked]) -> Iterator[str]:
    counts = Counter(each.source_ref for each in booked)
    yield from (f"{ref} {DOUBLED}" for ref, n in counts.items() if n > 1)


def _acknowledged_is_settled(
    histories: Iterable[History], booked: Sequence[Booked]
) -> Iterator[str]:
    balances = {each.source_ref: each.balance for each in booked}
    for history in histories:
        for ref, told in history.told.items():
            if ref not in balances:
                yield f"{ref} {LOST}"
            elif balances[ref] != told.balance:
                yield f"{ref} was acknowledged with balance {told.balance}, not {balances[ref]}"
        yield from (
            f"{ref} was refused and is settled" for ref in history.refused.keys() & balances
        )


def _settled_was_attempted(histories: Iterable[History], booked: Sequence[Booked]) -> Iterator[str]:
    attempts = {ref: each for history in histories for ref, each in history.attempts.items()}
    for each in booked:
        attempt = attempts.get(each.source_ref)
        if attempt is None:
            yield f"{each.source_ref} is settled and was never attempted"
        elif (attempt.user_id, attempt.tokens) != (each.user_id, each.tokens):
            yield (
                f"{each.source_ref} moved {each.tokens} tokens of {each.user_id},"
                f" not {attempt.tokens} of {attempt.user_id}"
            )


def _balances_follow(histories: Iterable[History]) -> Iterator[str]:
    """A client asks for nothing new before he knows what became of the last, so each balance that
    he was told follows from the one before: without a look into the database."""
    for history in histories:
        if not history.alone:
            continue
        balance = history.first_balance
        for ref, attempt in history.attempts.items():
            told = history.told.get(ref)
            if told is None:
                continue
            if told.balance != balance + attempt.tokens:
                yield f"{ref} was told {told.balance} after {balance} and {attempt.tokens:+}"
            balance = told.balance
