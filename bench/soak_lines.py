"""A soak in words."""

from collections.abc import Iterator

from bench.report_lines import counted, fact, latency, row, title
from bench.results_soak import SoakResult
from bench.trend import Trend


def soak_lines(result: SoakResult) -> Iterator[str]:
    first, last = result.samples[0], result.samples[-1]
    machine = result.machine
    yield f"\n  {result.command}"
    yield f"  {machine.cpu}, {machine.cores} cores, Python {machine.python}, seed {result.seed}"
    yield from title(f"Soak: {result.members:,} members for {result.minutes:g} minutes")
    yield fact("memory", verdict_text(result))
    yield fact("RSS", f"{first.rss_mb:.1f} -> {last.rss_mb:.1f} MB, {_slope(result.rss_trend)}")
    yield fact("PSS", f"{first.pss_mb:.1f} -> {last.pss_mb:.1f} MB")
    yield fact("own", f"{first.own_mb:.1f} -> {last.own_mb:.1f} MB, {_slope(result.own_trend)}")
    for name in ("descriptors", "tasks", "sockets"):
        values = [getattr(each, name) for each in result.samples]
        yield fact(name, f"{min(values):,} - {max(values):,}, at the end {values[-1]:,}")
    most = max(each.outbox_mb for each in result.samples)
    yield fact("outboxes", f"up to {most:.1f} MB, at the end {last.outbox_mb:.1f} MB")
    yield row("ms", ("samples", "p50", "p95", "p99", "max"))
    yield latency("tip -> settled (the tipper's ok)", result.tip_to_settled)
    yield latency("tip -> command (the model's socket)", result.tip_to_command)
    yield fact("tips", f"{result.tips_settled:,} settled of {result.tips_sent:,} sent")
    yield fact("notices", f"{result.notices_delivered:,} delivered to those who watch")
    yield fact(
        "coming back",
        f"{result.drop_outs:,} after dropping out, {result.returns:,} after leaving; "
        f"{result.late_events:,} events missed and got, {result.lost_events:,} lost and told",
    )
    left_out = ", ".join(f"{count:,} {name}" for name, count in result.left_out.items())
    yield fact("slow readers", f"ended {result.slow_ends} times; left out: {left_out}")
    yield fact("ended", ", ".join(f"{count:,} x {code}" for code, count in result.closes.items()))
    server = [each.server_cpu_percent for each in result.samples]
    others = [each.others_cpu_percent for each in result.samples]
    yield fact("CPU", f"server {_mean(server):.0f} % of a core, others {_mean(others):.0f} %")
    yield fact("failures", counted(result.failures))


def verdict_text(result: SoakResult) -> str:
    """Flat or not, and how sure."""
    return f"{result.verdict}: {_slope(result.own_trend)}"


def _slope(found: Trend | None) -> str:
    if found is None:
        return "too few samples for a trend"
    return f"{found.slope:+.3f} ± {found.within:.3f} MB a minute in the second half"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
