"""The section "activation" in words, beside the targets of the spec."""

from bench.report_lines import counted, fact, latency, ms, row, title
from bench.results import ActivationLevel, ActivationResult, Stops
from bench.scenario_activation import (
    TARGET_ERROR_PERCENT,
    TARGET_PER_S,
    TARGET_SUCCESS_PERCENT,
    TARGET_TO_ACTIVATED_MS,
    meets_targets,
)
from bench.scenario_vip_room import (
    TARGET_ALL_AUDITED_MS,
    TARGET_ALL_COMMANDS_MS,
    TARGET_STOP_P99_MS,
)


def activation_lines(result: ActivationResult) -> list[str]:
    best = max(
        (each for each in result.levels if meets_targets(each)),
        key=lambda each: each.activated_per_s,
        default=None,
    )
    tips = result.vip_tips
    return [
        *title(
            f"Activation: {result.rooms} rooms, {result.tippers} tippers in each; "
            "every tip moves a toy"
        ),
        f"  {'offered/s':>10}{'done/s':>8}{'tips':>8}{'settled p99':>13}{'activated p50':>15}"
        f"{'p99':>8}{'success':>9}{'errors':>8}{'srv':>6}{'cli':>5}{'pg':>5}",
        *(_level(each) for each in result.levels),
        "",
        fact("sustained", "no level met the targets" if best is None else _sustained(best)),
        *([] if result.held is None else [fact("held", _held(result.held))]),
        fact(
            "targets",
            f"{TARGET_PER_S:g}/s, p99 < {TARGET_TO_ACTIVATED_MS:g} ms, "
            f"success > {TARGET_SUCCESS_PERCENT:g} %, errors < {TARGET_ERROR_PERCENT:g} %",
        ),
        *title(f"One room: {result.vips:,} VIPs who feel all tips, {tips.tips} tips"),
        row("ms", ("samples", "p50", "p95", "p99", "max")),
        latency("tip -> settled (the tipper's ok)", tips.to_settled),
        latency("tip -> command (each socket)", tips.to_command),
        latency(f"... the last (target {TARGET_ALL_COMMANDS_MS:g})", tips.to_last_command),
        latency(f"tip -> all audited (target {TARGET_ALL_AUDITED_MS:g})", tips.to_audited),
        latency("a question to the room meanwhile", tips.echo),
        latency("the load client's own lag", tips.read_lag),
        *_stops("stop", result.stops),
        *_stops("stop, no database", result.stops_without_database),
        fact("failures", counted(result.failures)),
    ]


def _level(level: ActivationLevel) -> str:
    activated = level.tip_to_activated
    return (
        f"  {level.offered_per_s:>10,.0f}{level.activated_per_s:>8,.0f}{level.tips_sent:>8,}"
        f"{ms(level.tip_to_settled.p99):>13}{ms(activated.p50):>15}{ms(activated.p99):>8}"
        f"{level.success_percent:>8.2f}%{level.error_percent:>7.2f}%"
        f"{level.server_cpu_percent:>5.0f}%{level.client_cpu_percent:>4.0f}%"
        f"{level.database_cpu_percent:>4.0f}%"
    )


def _sustained(level: ActivationLevel) -> str:
    return (
        f"{level.activated_per_s:,.0f} activations/s, {level.activated_per_s / TARGET_PER_S:.1f} x "
        f"the target; tip -> activated p99 {ms(level.tip_to_activated.p99)} ms, "
        f"success {level.success_percent:.2f} %"
    )


def _held(level: ActivationLevel) -> str:
    """With the share of failures that so many tips can rule out: by the rule of three, where none
    failed, with 95 % confidence."""
    counted_out = (
        f"{level.activated_per_s:,.0f}/s for {level.seconds:.0f} s, {level.tips_sent:,} tips"
    )
    p99 = f"tip -> activated p99 {ms(level.tip_to_activated.p99)} ms"
    if level.success_percent < 100:
        return f"{counted_out}, {p99}, success {level.success_percent:.4f} %"
    return f"{counted_out}, {p99}, none failed: success > {100 - 300 / level.tips_sent:.3f} %"


def _stops(name: str, stops: Stops) -> list[str]:
    return [
        latency(f"{name} (p99 target {TARGET_STOP_P99_MS:g})", stops.to_stop),
        latency(f"... the last; {stops.waiting_min} or more wait", stops.to_last_stop),
    ]
