"""`python -m bench`: run the scenarios, write bench/results/<time>.json and .png, print a table."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trio

from bench import picture, report
from bench.placement import Placement, machine, pin, place
from bench.progress import Progress
from bench.results import ActivationResult, FanOutResult, LedgerResult, RoomResult, Run
from bench.room_setup import TokenBooth, prepare_room
from bench.scenario_activation import plan_for, run_activation
from bench.scenario_fan_out import PEERS, run_fan_out
from bench.scenario_ledger import DATABASE_CONNECTIONS_MAX, LedgerPlan, run_ledger
from bench.scenario_room import Load, RoomScenario
from bench.server import BenchFailed, run_database, run_server

RESULTS_DIR: Final = Path(__file__).resolve().parent / "results"
RATE_LIMIT_PER_MIN: Final = 600
"""The platform's largest, so that the room's limit is not what is measured."""
SECTIONS: Final = ("room", "fan-out", "ledger", "activation")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 if nothing failed in what was measured, 1 otherwise."""
    options = _parser().parse_args(arguments)
    sections = [options.section] if options.section else list(SECTIONS)
    load = Load(
        options.viewers, options.tips_per_s, options.vibrations_per_s, options.seconds, options.seed
    )
    plan = LedgerPlan(options.ledger_rounds, options.ledger_round_seconds)
    progress = Progress()
    started_at_utc = datetime.now(UTC)
    described, placement = machine(), place()
    pin(0, placement.client)
    try:
        room = _room(load, placement, progress) if "room" in sections else None
        fan_out = _fan_out(load, placement, progress) if "fan-out" in sections else []
        ledger = _ledger(plan, placement, progress) if "ledger" in sections else None
        activation = (
            _activation(load.seconds, placement, progress) if "activation" in sections else None
        )
    except BenchFailed as error:
        progress.done()
        print(f"bench: {error}", file=sys.stderr)
        return 1
    progress.done()
    run = Run(
        command=shlex.join(["python", "-m", "bench", *(arguments or sys.argv[1:])]),
        seed=load.seed,
        started_at_utc=started_at_utc.isoformat(timespec="seconds"),
        machine=described,
        placement=placement,
        room=room,
        fan_out=fan_out,
        ledger=ledger,
        activation=activation,
    )
    RESULTS_DIR.mkdir(exist_ok=True)
    stem = RESULTS_DIR / started_at_utc.strftime("%Y%m%dT%H%M%SZ")
    report.write_json(run, stem.with_suffix(".json"))
    print(report.table(run))
    if room is not None:
        picture.draw(run, stem.with_suffix(".png"))
    print(f"\nwritten to {stem}.json" + (" and .png" if room is not None else ""))
    return 1 if report.failures(run) else 0


def _room(load: Load, placement: Placement, progress: Progress) -> RoomResult:
    booth = TokenBooth()
    with tempfile.TemporaryDirectory(prefix="tiproom-bench-") as folder:
        data_dir = Path(folder)
        progress.step("PostgreSQL and the server start")
        with (
            run_database(data_dir / "postgres", placement.database) as database,
            run_server(
                data_dir / "server", placement.server, database.dsn, booth.secret, booth.admin()
            ) as server,
        ):
            progress.step(f"{load.viewers} wallets are filled")
            trio.run(prepare_room, database.dsn, load.viewers)
            server.patch("/admin/settings", {"lovenseRateLimitPerMin": RATE_LIMIT_PER_MIN})
            return RoomScenario(load, server, database, booth, progress).run()


def _fan_out(load: Load, placement: Placement, progress: Progress) -> list[FanOutResult]:
    return [run_fan_out(peer, load.viewers, placement.server, progress) for peer in PEERS]


def _ledger(plan: LedgerPlan, placement: Placement, progress: Progress) -> LedgerResult:
    """This process is the one that settles: it gets the server's core."""
    pin(0, placement.server)
    try:
        with tempfile.TemporaryDirectory(prefix="tiproom-bench-") as folder:
            progress.step("PostgreSQL starts")
            data_dir = Path(folder) / "postgres"
            with run_database(data_dir, placement.database, DATABASE_CONNECTIONS_MAX) as database:
                return run_ledger(plan, database, data_dir, progress)
    finally:
        pin(0, placement.client)


def _activation(seconds: float, placement: Placement, progress: Progress) -> ActivationResult:
    booth = TokenBooth()
    with tempfile.TemporaryDirectory(prefix="tiproom-bench-") as folder:
        data_dir = Path(folder)
        progress.step("PostgreSQL and the server start")
        with (
            run_database(
                data_dir / "postgres", placement.database, keep_commit_times=True
            ) as database,
            run_server(
                data_dir / "server", placement.server, database.dsn, booth.secret, booth.admin()
            ) as server,
        ):
            server.patch("/admin/settings", {"lovenseRateLimitPerMin": RATE_LIMIT_PER_MIN})
            return run_activation(plan_for(seconds), server, database, booth, progress)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--tips-per-s", type=float, default=50.0, help="of all viewers together")
    parser.add_argument(
        "--vibrations-per-s", type=float, default=5.0, help="of them, those that move the toy"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="measured, without warm-up")
    parser.add_argument("--ledger-rounds", type=int, default=5, help="of each way to settle")
    parser.add_argument("--ledger-round-seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--section", choices=SECTIONS, help="only this one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
