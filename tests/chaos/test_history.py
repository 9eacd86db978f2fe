"""The checks of histories, each turned red by the smallest thing that is wrong."""

import pytest

from tests.chaos.history import (
    DOUBLED,
    LOST,
    Attempt,
    Booked,
    History,
    Told,
    problems,
    problems_at_rest,
)


def alex(*told: tuple[str, int, int]) -> History:
    """(source_ref, tokens, balance as told), from 100 on."""
    history = History("alex", 100)
    for ref, tokens, balance in told:
        history.attempt(Attempt(ref, "alex", tokens))
        history.acknowledged(ref, Told(f"{ref} {balance}".encode(), balance))
    return history


def booked(*rows: tuple[str, int, int], user_id: str = "alex") -> list[Booked]:
    return [Booked(ref, user_id, tokens, balance) for ref, tokens, balance in rows]


TWO = (("tip:1", -10, 90), ("hold:2", -20, 70))


def test_what_was_told_and_settled_is_well() -> None:
    history = alex(*TWO)
    history.attempt(Attempt("tip:refused", "alex", -500))
    history.refuse("tip:refused", "INSUFFICIENT_TOKENS")
    history.acknowledged("tip:1", Told(b"tip:1 90", 90))
    history.attempt(Attempt("release:2", "alex", 20))
    assert problems([history], booked(*TWO)) == []
    # Settled and not told is as well as not settled: until everyone has asked again.
    assert problems([history], booked(*TWO, ("release:2", 20, 90))) == []
    assert problems_at_rest([history]) == ["release:2 was never answered"]


@pytest.mark.parametrize(
    ("rows", "symptom"),
    [
        (booked(TWO[0]), f"hold:2 {LOST}"),
        (booked(*TWO, TWO[1]), f"hold:2 {DOUBLED}"),
        (booked(*TWO, ("tip:3", -1, 69)), "tip:3 is settled and was never attempted"),
        (booked(TWO[0], ("hold:2", -20, 71)), "hold:2 was acknowledged with balance 70, not 71"),
        (booked(TWO[0], ("hold:2", -21, 70)), "hold:2 moved -21 tokens of alex, not -20 of alex"),
        (
            booked(TWO[0]) + booked(TWO[1], user_id="sam"),
            "hold:2 moved -20 tokens of sam, not -20 of alex",
        ),
    ],
)
def test_a_database_that_says_something_else(rows: list[Booked], symptom: str) -> None:
    assert problems([alex(*TWO)], rows) == [symptom]


def test_two_answers() -> None:
    history = alex(*TWO)
    history.acknowledged("tip:1", Told(b"tip:1 90 ", 90))
    assert problems([history], booked(*TWO)) == ["tip:1 was answered in two ways"]
    history = alex(*TWO)
    history.refuse("hold:2", "INSUFFICIENT_TOKENS")
    assert problems([history], booked(*TWO)) == ["hold:2 was answered in two ways"]


def test_what_was_refused_is_not_settled() -> None:
    history = alex(TWO[0])
    history.attempt(Attempt("hold:2", "alex", -20))
    history.refuse("hold:2", "INSUFFICIENT_TOKENS")
    assert problems([history], booked(TWO[0])) == []
    assert problems([history], booked(*TWO)) == ["hold:2 was refused and is settled"]


def test_balances_that_do_not_follow_show_a_lost_commit_without_the_database() -> None:
    """The second tip was taken from a wallet that had forgotten the first."""
    rows = (("tip:1", -10, 90), ("tip:2", -20, 80))
    assert problems([alex(*rows)], booked(*rows)) == ["tip:2 was told 80 after 90 and -20"]
