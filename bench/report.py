"""The results in words: a table for the terminal, JSON for machines."""

from pathlib import Path
from typing import Final

import msgspec

from bench.distribution import Spread
from bench.report_activation import activation_lines
from bench.report_comparison import (
    busy_lines,
    client_note,
    fan_out_lines,
    goal_lines,
    latency_lines,
    memory_lines,
    storm_lines,
)
from bench.report_lines import counted, fact, latency, ms, row, title
from bench.report_stage import stage_lines
from bench.results import LedgerLoad, LedgerResult, RoomResult, Run
from bench.results_comparison import Load

MIB: Final = 1024 * 1024
NOISE_PERCENT: Final = 10.0
"""Of one core, taken by processes outside the bench: above it absolute figures mean little."""
CLIENT_BUSY_PERCENT: Final = 85.0
"""Of its core: above it the load client may be what is slow."""


def write_json(run: Run, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2))


def failures(run: Run) -> int:
    """All that failed, of every kind."""
    found = [run.room.failures] if run.room is not None else []
    found += [each.failures for each in run.fan_out]
    found += [each.failures for each in run.latency]
    found += [each.failures for each in run.storm]
    found += [each.failures for each in run.memory]
    found += [each.failures for each in run.busy]
    found += [run.ledger.failures] if run.ledger is not None else []
    found += [run.activation.failures] if run.activation is not None else []
    found += [run.stage.failures] if run.stage is not None else []
    return sum(sum(each.values()) for each in found)


def table(run: Run) -> str:
    """Everything that a reader needs to judge the run, the run's own weaknesses included."""
    lines = [*_heading(run)]
    if run.room is not None:
        lines += _room(run.room)
    lines += fan_out_lines(run.fan_out)
    lines += latency_lines(run.latency)
    lines += storm_lines(run.storm)
    lines += memory_lines(run.memory)
    lines += busy_lines(run.busy)
    if run.ledger is not None:
        lines += _ledger(run.ledger)
    if run.activation is not None:
        lines += activation_lines(run.activation)
    if run.stage is not None:
        lines += stage_lines(run.stage)
    lines += goal_lines(run.goals)
    lines += ["", *client_note(run.fan_out), *_warnings(run)]
    return "\n".join(lines)


def _heading(run: Run) -> list[str]:
    machine, placed = run.machine, run.placement
    return [
        "",
        f"Tiproom bench   {run.started_at_utc}   seed {run.seed}",
        f"  {run.command}",
        f"  {machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python}",
        f"  cores: server {_cores(placed.server)}; load client {_cores(placed.client)}; "
        f"PostgreSQL {_cores(placed.database)}"
        + (" (shared with the client)" if placed.database == placed.client else ""),
    ]


def _room(room: RoomResult) -> list[str]:
    joined, memory, client = room.connecting, room.memory, room.client
    quiet_per_s = room.tips_per_s - room.vibrations_per_s
    return [
        *title(
            f"One room: {room.viewers:,} viewers and the model, "
            f"{room.tips_per_s:g} tips/s for {room.seconds:g} s"
        ),
        f"  {room.vibrations_per_s:g} tips/s move the toy (one activation at a time, none waits); "
        f"the other {quiet_per_s:g} are",
        "  below the minimum for it: they settle and are announced to every member all the same.",
        "",
        row("ms", ("samples", "p50", "p95", "p99", "max")),
        latency("tip -> settled (the tipper's ok)", room.tip_to_settled),
        latency("tip -> command (the model's socket)", room.tip_to_command),
        latency("settled -> command (of one tip)", room.settled_to_command),
        latency("tip -> activated (the audit's time)", room.tip_to_activated),
        latency("tip -> done (the tipper's page)", room.tip_to_done),
        latency("fan-out, first to last member", room.fan_out_spread),
        latency("connecting, TCP to snapshot", joined.duration),
        "",
        fact(
            "tips",
            f"{room.tips_settled:,} settled of {room.tips_sent:,} sent, "
            f"{room.tips_per_commit:.2f} in one commit",
        ),
        fact("notices", f"{room.notices_delivered:,} of {room.notices_due:,} delivered"),
        fact("frames delivered", f"{room.frames_per_s:,.0f}/s (as the tips ask for, not the most)"),
        fact(
            "server CPU",
            f"{room.server_cpu_percent:.0f} % of a core, "
            f"{room.server_cpu_idle_percent:.1f} % when nobody tips; "
            f"{room.server_cpu_s_per_million_frames:.1f} s per million frames, all in",
        ),
        fact("PostgreSQL CPU", f"{room.database_cpu_percent:.0f} % of a core"),
        fact(
            "memory per viewer",
            f"{memory.idle_per_viewer / 1024:.1f} kB idle, "
            f"{memory.after_load_per_viewer / 1024:.1f} kB after the load "
            f"(server {memory.empty / MIB:.0f} -> {memory.idle / MIB:.0f} -> "
            f"{memory.after_load / MIB:.0f} MiB)",
        ),
        fact(
            "connects",
            f"{joined.members_per_s:,.0f}/s, {joined.at_once} at once; "
            f"{joined.server_cpu_ms_per_member:.2f} ms server CPU each",
        ),
        fact(
            "load client",
            f"{client.cpu_percent:.0f} % of its core; reads p50 "
            f"{ms(client.read_lag.p50)}, p99 {ms(client.read_lag.p99)} ms late (kernel stamps)",
        ),
        fact("others' CPU", f"{room.others_cpu_percent:.0f} % of a core"),
        fact("failures", counted(room.failures)),
    ]


def _ledger(ledger: LedgerResult) -> list[str]:
    """CPU of PostgreSQL and of Python is of one core each: 100 % is the end of either."""
    sync = ledger.sync
    return [
        *title(
            f"Ledger: closed-loop tippers into one room, fsync on; {ledger.rounds} rounds of "
            f"{ledger.round_s:g} s each, in turn"
        ),
        f"  {'':21}{'tippers':>8}{'pool':>5}{'/s':>8}{'(rounds)':>14}{'p50':>8}{'p99':>8}"
        f"{'/commit':>9}{'py':>6}{'pg':>6}{'us py':>7}{'us pg':>7}",
        *(_ledger_load(each) for each in ledger.loads),
        "",
        *(
            fact(
                f"{tippers} tippers" if tippers > 1 else "1 tipper",
                f"group commit {_times(ratio)} the throughput of one by one (its best way)",
            )
            for tippers, ratio in ledger.ratios.items()
        ),
        fact(
            "p50 of 1 tipper",
            f"{_times(ledger.p50_ratio_alone)} of one by one, "
            f"{_times(ledger.p50_ratio_no_actor)} without an actor",
        ),
        fact(
            "limit: disk",
            f"{sync.per_s:,.0f} syncs/s of 8 kB, p50 {ms(sync.duration.p50)} ms, "
            f"p99 {ms(sync.duration.p99)} ms; each commit takes one",
        ),
        *(_ledger_limit(each) for each in ledger.loads if each is _fastest(ledger)),
        fact("others' CPU", f"up to {ledger.others_cpu_percent:.0f} % of a core"),
        fact("failures", counted(ledger.failures)),
    ]


def _ledger_load(load: LedgerLoad) -> str:
    spread = f"{load.per_s.low:,.0f}-{load.per_s.high:,.0f}"
    python_percent = load.trio_cpu_percent + load.bridge_cpu_percent
    return (
        f"  {load.way:21}{load.tippers:>8}{load.connections:>5}{load.per_s.median:>8,.0f}"
        f"{spread:>14}{ms(load.latency.p50):>8}{ms(load.latency.p99):>8}{load.per_commit:>9.1f}"
        f"{python_percent:>5.0f}%{load.database_cpu_percent:>5.0f}%"
        f"{load.python_us_per_transfer:>7.0f}{load.database_us_per_transfer:>7.0f}"
    )


def _ledger_limit(load: LedgerLoad) -> str:
    python_per_s = 1e6 / load.python_us_per_transfer
    database_per_s = 1e6 / load.database_us_per_transfer
    return fact(
        "limit: CPU",
        f"one core of PostgreSQL {database_per_s:,.0f}/s, one of Python {python_per_s:,.0f}/s "
        f"({load.tippers} tippers); reached {load.per_s.median:,.0f}/s",
    )


def _fastest(ledger: LedgerResult) -> LedgerLoad:
    return max(ledger.loads, key=lambda load: load.per_s.median)


def _times(ratio: Spread) -> str:
    return f"{ratio.median:.2f} x ({ratio.low:.2f}-{ratio.high:.2f})"


def noise_percent(run: Run) -> float:
    """Of one core: the most that processes outside the bench took in any part of it."""
    measured = [each.others_percent for each in _loads(run)]
    measured += [
        each.others_cpu_percent
        for each in (run.room, run.ledger, run.activation, run.stage)
        if each is not None
    ]
    return max(measured, default=0.0)


def _loads(run: Run) -> list[Load]:
    found = [each.load for each in run.fan_out] + [each.load for each in run.latency]
    found += [each.load for each in run.storm] + [each.load for each in run.busy]
    return [each for each in found if each is not None]


def _warnings(run: Run) -> list[str]:
    """Why not to believe this run."""
    noise, lines = noise_percent(run), []
    if noise > NOISE_PERCENT:
        lines.append(
            f"  NOISY: other processes took up to {noise:.0f} % of a core. Latencies, rates and "
            "their ratio say\n         nothing; CPU per frame is off by up to a third. Repeat it "
            "on a quiet machine."
        )
    lines += [
        f"  The load client was busy ({each.load.client_percent:.0f} %) against {each.server} "
        f"({each.members:,} members, {each.due} due): its rate may be the client's."
        for each in run.fan_out
        if each.load is not None and each.load.client_percent > CLIENT_BUSY_PERCENT
    ]
    return lines


def _cores(cores: list[int]) -> str:
    return ",".join(map(str, cores))
