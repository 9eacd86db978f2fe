"""The section "stage" in words, beside the seed's wishes."""

from bench.report_lines import counted, fact, latency, ms, row, title
from bench.results import StageLevel, StageResult
from bench.scenario_stage import (
    WISH_JOIN_P99_MS,
    WISH_PER_S,
    WISH_SETTLED_P99_MS,
    meets_wishes,
)


def stage_lines(result: StageResult) -> list[str]:
    best = max(
        (each for each in result.levels if meets_wishes(each)),
        key=lambda each: each.bought_per_s,
        default=None,
    )
    return [
        *title(
            f"Stage: {result.models} models, {result.buyers} buyers of each; every purchase holds "
            "its tokens"
        ),
        f"  {'offered/s':>10}{'bought/s':>10}{'asked':>8}{'answer p50':>12}{'p99':>8}"
        f"{'joined p50':>12}{'p99':>8}{'srv':>6}{'cli':>5}{'pg':>5}",
        *(_level(each) for each in result.levels),
        "",
        fact("sustained", "no level met the wish" if best is None else _sustained(best)),
        fact("wishes", f"{WISH_PER_S:g}/s, joined p99 < {WISH_JOIN_P99_MS:g} ms"),
        *title(f"Performances: {result.performances_per_s:g}/s, each a start and a finish"),
        row("ms", ("samples", "p50", "p95", "p99", "max")),
        latency(f"start -> settled (p99 wish {WISH_SETTLED_P99_MS:g})", result.start_to_settled),
        latency(f"finish -> settled (p99 wish {WISH_SETTLED_P99_MS:g})", result.finish_to_settled),
        *title(f"Thanks: {result.tips_per_s:g} tips/s; how late after the tier's delay"),
        row("ms", ("samples", "p50", "p95", "p99", "max")),
        *(
            latency(f"{each.tier}, after {each.delay_s:g} s", each.lateness)
            for each in result.thanks
        ),
        fact("failures", counted(result.failures)),
    ]


def _level(level: StageLevel) -> str:
    return (
        f"  {level.offered_per_s:>10,.0f}{level.bought_per_s:>10,.0f}{level.asked:>8,}"
        f"{ms(level.to_answer.p50):>12}{ms(level.to_answer.p99):>8}"
        f"{ms(level.to_joined.p50):>12}{ms(level.to_joined.p99):>8}"
        f"{level.server_cpu_percent:>5.0f}%{level.client_cpu_percent:>4.0f}%"
        f"{level.database_cpu_percent:>4.0f}%"
    )


def _sustained(level: StageLevel) -> str:
    return (
        f"{level.bought_per_s:,.0f} purchases/s, {level.bought_per_s / WISH_PER_S:.2f} of the "
        f"wish; joined p99 {ms(level.to_joined.p99)} ms"
    )
