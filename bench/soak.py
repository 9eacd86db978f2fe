"""`python -m bench.soak`: thousands of members for minutes on end; is memory flat? Writes
bench/results/soak-<time>.json and .png, and prints a table."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from bench.picture_soak import draw_soak
from bench.placement import machine, pin, place
from bench.progress import Progress
from bench.scenario_soak import SoakPlan, run_soak
from bench.server import BenchFailed
from bench.soak_lines import soak_lines

RESULTS_DIR: Final = Path(__file__).resolve().parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 if memory does not grow and nothing failed, 1 otherwise."""
    options = _parser().parse_args(arguments)
    plan = SoakPlan(
        options.members,
        options.minutes,
        options.seed,
        tips_per_s=options.tips_per_s,
        reconnects_per_s=options.reconnects_per_s,
    )
    command = shlex.join(["python", "-m", "bench.soak", *(arguments or sys.argv[1:])])
    described, placement, progress = machine(), place(), Progress()
    pin(0, placement.client)
    try:
        result = run_soak(plan, command, described, placement, progress)
    except BenchFailed as error:
        progress.done()
        print(f"bench: {error}", file=sys.stderr)
        return 1
    progress.done()
    print("\n".join(soak_lines(result)))
    RESULTS_DIR.mkdir(exist_ok=True)
    stem = RESULTS_DIR / f"soak-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    stem.with_suffix(".json").write_bytes(
        msgspec.json.format(msgspec.json.encode(result), indent=2)
    )
    draw_soak(result, stem.with_suffix(".png"))
    print(f"\nwritten to {stem}.json, {stem}.png")
    return 1 if result.verdict == "grows" or result.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--members", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--tips-per-s", type=float, default=5.0)
    parser.add_argument("--reconnects-per-s", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
