"""Lines of the report: titles, facts, rows of figures."""

from collections.abc import Iterable
from typing import Final

from bench.distribution import Distribution

_WIDTH: Final = 84


def title(text: str) -> list[str]:
    return ["", text, "-" * _WIDTH]


def latency(name: str, values: Distribution) -> str:
    return row(
        name,
        (
            f"{values.samples:,}",
            *(ms(each) for each in (values.p50, values.p95, values.p99)),
            ms(values.max),
        ),
    )


def row(name: str, cells: Iterable[str]) -> str:
    return f"  {name:38}" + "".join(f"{cell:>9}" for cell in cells)


def fact(name: str, text: str) -> str:
    return f"  {name:20}{text}"


def ms(value: float | None) -> str:
    """ "-": too few samples for this percentile."""
    return "-" if value is None else f"{value:.2f}"


def counted(failures: dict[str, int]) -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in failures.items()) or "none"
