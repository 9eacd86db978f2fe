"""Who gets how much: shares and refunds, as laws over all amounts."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from protocol.shares import model_part_of_refund, model_share
from protocol.tip_activated import AMOUNT_MAX

AMOUNTS = st.integers(1, AMOUNT_MAX)
PERCENTS = st.integers(0, 100)


@st.composite
def cut_amounts(draw: DrawFn) -> tuple[int, list[int]]:
    """An amount, and positive parts that sum to it or to less."""
    amount = draw(AMOUNTS)
    marks = sorted(draw(st.sets(st.integers(1, amount), max_size=8)))
    return amount, [high - low for low, high in zip([0, *marks], marks, strict=False)]


@given(AMOUNTS, PERCENTS)
def test_a_share_is_within_the_amount_and_rounds_down(amount: int, percent: int) -> None:
    hers = model_share(amount, percent)
    assert 0 <= hers <= amount
    assert 0 <= amount * percent - hers * 100 < 100


@given(AMOUNTS)
def test_nothing_and_all(amount: int) -> None:
    assert model_share(amount, 0) == 0
    assert model_share(amount, 100) == amount


@given(AMOUNTS, PERCENTS, PERCENTS)
def test_a_larger_share_is_never_less(amount: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert model_share(amount, low) <= model_share(amount, high)


@given(cut_amounts(), PERCENTS)
def test_refunds_in_parts_sum_to_the_refund_in_one(
    cut: tuple[int, list[int]], percent: int
) -> None:
    amount, parts = cut
    model_tokens = model_share(amount, percent)
    before, hers = 0, 0
    for part in parts:
        hers += model_part_of_refund(amount, model_tokens, before, part)
        before += part
    assert hers == (model_part_of_refund(amount, model_tokens, 0, before) if before else 0)


@given(cut_amounts(), PERCENTS)
def test_each_part_takes_from_both_sides_and_from_neither_more_than_it_got(
    cut: tuple[int, list[int]], percent: int
) -> None:
    amount, parts = cut
    hers_left = model_share(amount, percent)
    model_tokens, platforms_left = hers_left, amount - hers_left
    before = 0
    for part in parts:
        hers = model_part_of_refund(amount, model_tokens, before, part)
        assert 0 <= hers <= part
        hers_left, platforms_left = hers_left - hers, platforms_left - (part - hers)
        assert hers_left >= 0
        assert platforms_left >= 0
        before += part


@given(AMOUNTS, st.data())
def test_a_whole_refund_takes_what_each_got(amount: int, data: st.DataObject) -> None:
    model_tokens = data.draw(st.integers(0, amount))
    assert model_part_of_refund(amount, model_tokens, 0, amount) == model_tokens
