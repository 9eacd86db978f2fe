"""`python -m bench`: run the scenarios, write bench/results/<time>.json and .png, print a table."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import trio

from bench import picture, picture_comparison, picture_stage, report, scenario_stage
from bench.comparison import NORMAL, SHORT, ComparisonPlan
from bench.contenders import Contender, chosen
from bench.goals import goals
from bench.placement import Placement, machine, pin, place
from bench.progress import Progress
from bench.results import ActivationResult, LedgerResult, RoomResult, Run, StageResult
from bench.results_comparison import BusyRoomResult
from bench.room_setup import TokenBooth, prepare_room
from bench.scenario_activation import ActivationPlan, plan_for, run_activation
from bench.scenario_busy_room import BusyPlan, run_busy_room
from bench.scenario_fan_out import run_fan_out
from bench.scenario_latency import run_latency
from bench.scenario_ledger import DATABASE_CONNECTIONS_MAX, LedgerPlan, run_ledger
from bench.scenario_memory import run_memory
from bench.scenario_room import Load, RoomScenario
from bench.scenario_storm import run_storm
from bench.server import BenchFailed, allow_sockets, run_database
from bench.whole_server import open_whole_server

RESULTS_DIR: Final = Path(__file__).resolve().parent / "results"
RATE_LIMIT_PER_MIN: Final = 600
"""The platform's largest, so that the room's limit is not what is measured."""
SECTIONS: Final = (
    "room",
    "fan-out",
    "latency",
    "storm",
    "memory",
    "busy",
    "ledger",
    "activation",
    "stage",
)
BUSY_VIEWERS: Final = (1000, 5000)
SHORT_S: Final = 10.0
SPARE_SOCKETS: Final = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 if nothing failed in what was measured, 1 otherwise."""
    options = _parser().parse_args(arguments)
    sections = options.section or list(SECTIONS)
    seconds = min(options.seconds, SHORT_S) if options.short else options.seconds
    load = Load(
        options.viewers, options.tips_per_s, options.vibrations_per_s, seconds, options.seed
    )
    plan = LedgerPlan(options.ledger_rounds, options.ledger_round_seconds)
    progress = Progress()
    started_at_utc = datetime.now(UTC)
    described, placement = machine(), place()
    pin(0, placement.client)
    try:
        contenders, comparison = chosen(options.peers), _comparison(options)
        allow_sockets(2 * max(comparison.members) + SPARE_SOCKETS)
        room = _room(load, placement, progress) if "room" in sections else None
        measure = _Comparing(comparison, contenders, placement, progress)
        fan_out = run_fan_out(*measure) if "fan-out" in sections else []
        latency = run_latency(*measure) if "latency" in sections else []
        storm = run_storm(*measure) if "storm" in sections else []
        memory = run_memory(*measure) if "memory" in sections else []
        busy = _busy(options, load, placement, progress) if "busy" in sections else []
        ledger = _ledger(plan, placement, progress) if "ledger" in sections else None
        activation = (
            _activation(plan_for(load.seconds, options.held_tips), placement, progress)
            if "activation" in sections
            else None
        )
        stage = _stage(load.seconds, placement, progress) if "stage" in sections else None
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
        latency=latency,
        storm=storm,
        memory=memory,
        busy=busy,
        goals=goals(fan_out, latency, storm, memory, busy),
        ledger=ledger,
        activation=activation,
        stage=stage,
    )
    _write(run, RESULTS_DIR / started_at_utc.strftime("%Y%m%dT%H%M%SZ"))
    return 1 if report.failures(run) else 0


def _write(run: Run, stem: Path) -> None:
    """`stem`.json, and pictures of what there is one of."""
    stem.parent.mkdir(exist_ok=True)
    written = [stem.with_suffix(".json")]
    report.write_json(run, written[0])
    print(report.table(run))
    if run.room is not None:
        written.append(stem.with_suffix(".png"))
        picture.draw(run, written[-1])
    if picture_comparison.drawable(run.fan_out):
        written.append(stem.with_name(f"{stem.name}-peers.png"))
        picture_comparison.draw_comparison(run, written[-1])
    if run.stage is not None:
        written.append(stem.with_name(f"{stem.name}-stage.png"))
        picture_stage.draw_stage(run.stage, run, written[-1])
    print("\nwritten to " + ", ".join(map(str, written)))


class _Comparing(NamedTuple):
    """What every section of the comparison is given."""

    plan: ComparisonPlan
    contenders: Sequence[Contender]
    placement: Placement
    progress: Progress


def _comparison(options: argparse.Namespace) -> ComparisonPlan:
    plan = SHORT if options.short else NORMAL
    return replace(
        plan,
        members=tuple(options.members or plan.members),
        rounds=options.rounds or plan.rounds,
    )


def _busy(
    options: argparse.Namespace, load: Load, placement: Placement, progress: Progress
) -> list[BusyRoomResult]:
    """Each size of the room by itself."""
    sizes = options.busy_viewers or ([1000] if options.short else BUSY_VIEWERS)
    return [
        run_busy_room(
            BusyPlan(
                viewers,
                load.seconds,
                load.seed,
                lines_per_s=options.lines_per_s,
                tips_per_s=load.tips_per_s,
                vibrations_per_s=load.vibrations_per_s,
                reconnect_share=options.reconnect_share,
            ),
            placement,
            progress,
        )
        for viewers in sizes
    ]


def _room(load: Load, placement: Placement, progress: Progress) -> RoomResult:
    booth = TokenBooth()
    progress.step("PostgreSQL and the server start")
    with open_whole_server(placement, booth) as (database, server):
        progress.step(f"{load.viewers} wallets are filled")
        trio.run(prepare_room, database.dsn, load.viewers)
        server.patch("/admin/settings", {"lovenseRateLimitPerMin": RATE_LIMIT_PER_MIN})
        return RoomScenario(load, server, database, booth, progress).run()


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


def _activation(plan: ActivationPlan, placement: Placement, progress: Progress) -> ActivationResult:
    booth = TokenBooth()
    progress.step("PostgreSQL and the server start")
    with open_whole_server(placement, booth, keep_commit_times=True) as (database, server):
        server.patch("/admin/settings", {"lovenseRateLimitPerMin": RATE_LIMIT_PER_MIN})
        return run_activation(plan, server, database, booth, progress)


def _stage(seconds: float, placement: Placement, progress: Progress) -> StageResult:
    booth, plan = TokenBooth(), scenario_stage.plan_for(seconds)
    progress.step("PostgreSQL and the server start")
    with open_whole_server(placement, booth, scenario_stage.SETTINGS) as (database, server):
        return scenario_stage.run_stage(plan, server, database, booth, progress)


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
    parser.add_argument(
        "--held-tips",
        type=int,
        default=30_000,
        help="activation: so many more at the highest level; with none failed, success > 99.99 %%",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--section", choices=SECTIONS, action="append", help="only this one; may be repeated"
    )
    parser.add_argument(
        "--short", action="store_true", help="a small room, one round: a look, not a figure"
    )
    compared = parser.add_argument_group("comparison: fan-out, latency, storm, memory")
    compared.add_argument(
        "--peers", type=_words, default=(), metavar="KEY,KEY", help="only these servers"
    )
    compared.add_argument(
        "--members",
        type=_numbers,
        metavar="N,N",
        help="in the room; latency and storm take the first",
    )
    compared.add_argument("--rounds", type=int, help="of every server, in turn")
    busy = parser.add_argument_group("busy: viewers who come and go, lines, tips")
    busy.add_argument(
        "--busy-viewers",
        type=_numbers,
        metavar="N,N",
        help="each by itself; 20000 where `ulimit -Hn` allows so many sockets",
    )
    busy.add_argument("--lines-per-s", type=float, default=10.0)
    busy.add_argument("--reconnect-share", type=float, default=0.3, help="over the time measured")
    return parser


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in _words(text))


if __name__ == "__main__":
    sys.exit(main())
