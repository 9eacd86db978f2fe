"""Percentiles that are not claimed where there are too few samples for them."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

SAMPLES_MIN: Final = {50: 1, 95: 20, 99: 100}
"""Percentile -> samples below which it would only be another name for the maximum."""

NS_PER_MS: Final = 1_000_000


class Distribution(msgspec.Struct, frozen=True):
    """Milliseconds, by nearest rank. None: too few samples to say."""

    samples: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


def distribution(values_ns: Iterable[int]) -> Distribution:
    """Of durations in nanoseconds; they may be negative."""
    ordered = sorted(values_ns)
    return Distribution(
        samples=len(ordered),
        p50=percentile_ms(ordered, 50),
        p95=percentile_ms(ordered, 95),
        p99=percentile_ms(ordered, 99),
        max=ordered[-1] / NS_PER_MS if ordered else None,
    )


def percentile_ms(ordered_ns: list[int], percent: int) -> float | None:
    """The nearest rank of sorted values; `percent` is one of SAMPLES_MIN."""
    if len(ordered_ns) < SAMPLES_MIN[percent]:
        return None
    rank = -(-len(ordered_ns) * percent // 100)
    return ordered_ns[rank - 1] / NS_PER_MS


class Spread(msgspec.Struct, frozen=True):
    """Of the rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread | None:
    """None of no values."""
    return Spread(statistics.median(values), min(values), max(values)) if values else None
