"""Who gets how much of an amount of tokens (spec 2: model's share, refunds). Integers only."""


def model_share(amount: int, percent: int) -> int:
    """The model's tokens of `amount` (>= 0) at `percent` (0..100); the rest, and so the rounding,
    is the platform's."""
    return amount * percent // 100


def model_part_of_refund(amount: int, model_tokens: int, refunded_before: int, tokens: int) -> int:
    """What the model gives back when `tokens` more of a settled `amount` are refunded, of which
    she got `model_tokens`; the platform gives the rest. However a refund is cut into parts, the
    parts together are the same, and a whole refund takes exactly what each side got."""

    def hers(refunded: int) -> int:
        return refunded * model_tokens // amount

    return hers(refunded_before + tokens) - hers(refunded_before)
