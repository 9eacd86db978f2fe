"""`python -m bench.restart`: rolling restarts under a room that tips; is anything lost? Writes
bench/results/restart-<time>.json, and prints a table."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from bench.placement import machine, pin, place
from bench.progress import Progress
from bench.report_lines import counted, fact, latency, row, title
from bench.results_restart import RestartResult
from bench.scenario_restart import RestartPlan, run_restarts
from bench.server import BenchFailed

RESULTS_DIR: Final = Path(__file__).resolve().parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 if nothing was lost, 1 otherwise."""
    options = _parser().parse_args(arguments)
    plan = RestartPlan(
        options.members, options.tippers, options.tips_per_s, options.restarts, options.seed
    )
    command = shlex.join(["python", "-m", "bench.restart", *(arguments or sys.argv[1:])])
    described, placement, progress = machine(), place(), Progress()
    pin(0, placement.client)
    try:
        with tempfile.TemporaryDirectory(prefix="tiproom-bench-") as name:
            result = run_restarts(plan, command, described, placement, progress, Path(name))
    except BenchFailed as error:
        progress.done()
        print(f"bench: {error}", file=sys.stderr)
        return 1
    progress.done()
    print("\n".join(restart_lines(result)))
    RESULTS_DIR.mkdir(exist_ok=True)
    path = RESULTS_DIR / f"restart-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2))
    print(f"\nwritten to {path}")
    return 0 if result.lost_nothing else 1


def restart_lines(result: RestartResult) -> Iterator[str]:
    machine = result.machine
    yield f"\n  {result.command}"
    yield f"  {machine.cpu}, {machine.cores} cores, Python {machine.python}, seed {result.seed}"
    yield from title(
        f"Rolling restarts: {result.members:,} members, {result.tips_per_s:g} tips/s all the while"
    )
    yield row("ms", ("samples", "p50", "p95", "p99", "max"))
    for number, each in enumerate(result.rounds, start=1):
        yield latency(f"{number}: ready -> a member is back", each.back)
    for number, each in enumerate(result.rounds, start=1):
        yield fact(
            f"restart {number}",
            f"drained in {each.drain_s:.2f} s, taken over in {each.take_over_s:.2f} s; no tip was "
            f"answered for {each.silent_s:.2f} s",
        )
    yield fact(
        "tips",
        f"{result.tips_settled:,} settled and {result.tips_answered:,} answered of "
        f"{result.tips_sent:,} sent, {result.settled_twice} twice",
    )
    yield fact(
        "notices",
        f"{result.notices_due:,} due to members who are never away; {result.notices_missed:,} "
        f"missed, {result.missed_in_silence:,} of them in silence; {result.notices_doubled:,} "
        f"doubled; {result.snapshots_with_a_gap:,} snapshots told of a gap",
    )
    yield fact("failures", counted(result.failures))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.restart", description=__doc__)
    parser.add_argument("--members", type=int, default=500)
    parser.add_argument("--tippers", type=int, default=40)
    parser.add_argument("--tips-per-s", type=float, default=20.0)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
