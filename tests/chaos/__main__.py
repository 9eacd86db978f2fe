"""`python -m tests.chaos --kills 200 --seed 1`: a long campaign. Exit status 1 if anything is
wrong.

The seed gives the same faults after as many acknowledgements, the same clients with the same
amounts; what runs at once in threads and processes it does not repeat.
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.campaign import Report, run_campaign
from tests.chaos.faults import Fault


def draw_faults(kills: int, chance: random.Random) -> list[Fault]:
    """In any order; each kind as often as the others, but for a rest."""
    kinds = list(Fault)
    faults = [kinds[number % len(kinds)] for number in range(kills)]
    chance.shuffle(faults)
    return faults


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", default=None, help="default: a new one, which is printed")
    options = parser.parse_args(arguments)
    seed = options.seed or str(random.SystemRandom().randrange(10**9))
    print(f"{options.kills} kills, seed {seed}", flush=True)
    # Not below a folder that is closed to the system user which PostgreSQL runs as.
    data_dir = Path(tempfile.mkdtemp(prefix="tiproom-chaos-"))
    faults = draw_faults(options.kills, random.Random(seed))
    report = run_campaign(data_dir, faults, seed, lambda line: print(line, flush=True))
    print_report(report)
    if report.problems:
        print(f"The data are kept in {data_dir}")
        return 1
    shutil.rmtree(data_dir)
    return 0


def print_report(report: Report) -> None:
    kills = ", ".join(f"{count} {fault}" for fault, count in sorted(report.faults.items()))
    print(f"\nkills         {sum(report.faults.values())} ({kills})")
    print(f"transfers     {report.attempted} attempted, {report.cut_off} cut off")
    print(f"acknowledged  {report.acknowledged}; refused {report.refused}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.settled.items()))
    print(f"settled       {sum(report.settled.values())} ({kinds})")
    bought = report.bought
    print(
        f"stage         {bought.purchases} purchases: {bought.held} tokens held = {bought.settled}"
        f" settled + {bought.refunded} refunded + {bought.open} open"
    )
    moves = ", ".join(f"{count} {after}" for after, count in sorted(report.moves.items()))
    print(f"moves         {moves}")
    print(f"lost          {report.lost}")
    print(f"doubled       {report.doubled}")
    print(f"toy           {report.runs} activations")
    print(f"problems      {len(report.problems)}")
    print(f"seconds       {report.seconds:.0f}")
    for problem in report.problems:
        print(f"  {problem}")


if __name__ == "__main__":
    sys.exit(main())
