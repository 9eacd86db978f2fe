"""Whether a series grows: a straight line through it, and how sure its slope is. Pure."""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

import msgspec

POINTS_MIN: Final = 5
ERRORS_WIDE: Final = 2.5
"""Standard errors on either side: 95 % of true slopes lie within, 90 % where values resemble their
neighbours much (as simulated, 30 values and more)."""
CORRELATION_MAX: Final = 0.95

Verdict = Literal["flat", "grows", "not known"]


class Trend(msgspec.Struct, frozen=True):
    """Of a value by time: `slope` per unit of time, true within +- `within` in nine cases of ten or
    more."""

    slope: float
    within: float

    def verdict(self, per_unit_max: float) -> Verdict:
        """flat: it does not grow by more than `per_unit_max`; grows: it does grow, and perhaps by
        more than that; otherwise it was watched for too short a time."""
        low, high = self.slope - self.within, self.slope + self.within
        if high <= per_unit_max:
            return "flat"
        return "grows" if low > 0 else "not known"


def trend(times: Sequence[float], values: Sequence[float]) -> Trend | None:
    """By least squares. Neighbours in time resemble each other, so that they say less than as many
    independent values: the error is widened by their correlation. None for too few values."""
    count = len(times)
    if count < POINTS_MIN:
        return None
    line = statistics.linear_regression(times, values)
    rest = [
        value - line.intercept - line.slope * time
        for time, value in zip(times, values, strict=True)
    ]
    mean = statistics.fmean(times)
    squares = sum((time - mean) ** 2 for time in times)
    total = sum(each**2 for each in rest)
    error = math.sqrt(total / (count - 2) / squares)
    products = sum(one * two for one, two in pairwise(rest))
    found = products / total if total else 0.0
    # Of what is left of few values it comes out too small (Kendall 1954, of a detrended series).
    correlation = min(max(found + (2 + 4 * found) / count, 0.0), CORRELATION_MAX)
    return Trend(line.slope, ERRORS_WIDE * error * math.sqrt((1 + correlation) / (1 - correlation)))
