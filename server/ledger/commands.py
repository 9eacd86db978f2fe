"""`tiproom ledger verify | export | archive`: what an auditor and an operator run, beside a running
server or without one. Exit status: 0 done and all well; 1 verify has findings, or the month cannot
be moved away; 2 the command could not do its work."""

import argparse
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
import trio

from actors.ports import StoreUnavailable
from server.ledger.export import Format, FormatMissing, OutputFailed, export
from server.ledger.findings import LISTED_MAX
from server.ledger.progress import Progress
from server.ledger.verify import Verified, verify
from server.settings import BadSettings, Settings, load
from server.store.bridge import Bridge, open_bridge
from server.store.embedded import EmbeddedFailed, programs_dir, running_or_started
from server.store.ledger_snapshot import LedgerSnapshot, read_snapshot, read_two_snapshots
from server.store.migrate import MigrationRefused, pending_migrations
from server.store.months import ArchiveRefused, archive_month

DONE: Final = 0
NOT_WELL: Final = 1
CANNOT: Final = 2
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""


class CannotRun(Exception):
    """One line for the operator, with no secret in it."""


class LedgerDatabase(msgspec.Struct, frozen=True):
    """The database in use, and how an operator's own commands reach it: `shell_dsn` and `programs`
    (where psql and pg_dump are, empty or with a slash at its end) as a shell takes them."""

    dsn: str
    shell_dsn: str
    programs: str = ""
    note: str | None = None
    """What it takes for them to work."""


Job = Callable[[Bridge, LedgerDatabase], Awaitable[int]]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ledger = commands.add_parser("ledger", help="verify, export and archive the ledger")
    jobs = ledger.add_subparsers(dest="job", required=True)
    verifying = jobs.add_parser("verify", help="recompute everything and say what is wrong")
    exporting = jobs.add_parser("export", help="write entries as CSV or Parquet")
    exporting.add_argument("--format", type=Format, choices=list(Format), required=True)
    exporting.add_argument("--output", type=Path, required=True, metavar="PATH")
    exporting.add_argument("--from", dest="first", type=_day, metavar="YYYY-MM-DD", help="in UTC")
    exporting.add_argument(
        "--to", dest="last", type=_day, metavar="YYYY-MM-DD", help="in UTC, the whole day"
    )
    archiving = jobs.add_parser("archive", help="move the oldest month away")
    archiving.add_argument("month", type=_month, metavar="YYYY-MM")
    for job in (verifying, exporting, archiving):
        job.add_argument("--data-dir", help="where the embedded PostgreSQL keeps its data")


def main(options: Mapping[str, Any], environment: Mapping[str, str]) -> int:
    """The exit status. Without `DATABASE_URL` it is the embedded PostgreSQL: the one that a running
    server has, else one that is started for this; never a new one."""
    overrides = {} if options["data_dir"] is None else {"data_dir": options["data_dir"]}
    try:
        settings = load(environment, overrides, serving=False)
    except BadSettings as error:
        for problem in error.problems:
            _say(problem)
        return CANNOT
    jobs: dict[str, Job] = {
        "verify": lambda bridge, database: _verify(bridge, database.dsn),
        "export": lambda bridge, database: _export(bridge, database.dsn, options),
        "archive": lambda bridge, database: _archive(bridge, database, options["month"]),
    }
    status = INTERRUPTED
    try:
        status = trio.run(_run, settings, environment, jobs[options["job"]])
    except* KeyboardInterrupt:
        if options["job"] == "archive":
            _say("interrupted; whether it is done is not known: run it again")
        else:
            _say("interrupted; nothing was changed")
    return status


async def _run(settings: Settings, environment: Mapping[str, str], job: Job) -> int:
    try:
        async with _database(settings, environment) as database, open_bridge() as bridge:
            try:
                with _explained():
                    await _check_migrated(bridge, database.dsn)
                    return await job(bridge, database)
            except CannotRun as error:  # here, because the bridge would wrap it in a group
                _say(str(error))
                return CANNOT
    except CannotRun as error:
        _say(str(error))
        return CANNOT


@asynccontextmanager
async def _database(
    settings: Settings, environment: Mapping[str, str]
) -> AsyncIterator[LedgerDatabase]:
    if settings.database_url is not None:
        yield LedgerDatabase(
            settings.database_url, _shell_dsn_of(settings.database_url, environment)
        )
        return
    try:
        async with running_or_started(settings.data_dir / "postgres") as (dsn, goes_on):
            yield LedgerDatabase(
                dsn,
                shlex.quote(dsn),
                shlex.quote(f"{programs_dir()}/"),
                None if goes_on else "while a server of this data folder runs",
            )
    except (EmbeddedFailed, PermissionError) as error:
        what = str(error).partition("\n")[0]  # what follows is PostgreSQL's own log
        raise CannotRun(f"the embedded PostgreSQL cannot be used: {what}") from error


def _shell_dsn_of(database_url: str, environment: Mapping[str, str]) -> str:
    """By name: it may hold a password."""
    for name in ("DATABASE_URL", "TIPROOM_DATABASE_URL"):
        if environment.get(name) == database_url:
            return f'"${name}"'
    return '"<database_url of the file TIPROOM_CONFIG>"'


async def _check_migrated(bridge: Bridge, dsn: str) -> None:
    pending = await pending_migrations(bridge, dsn)
    if pending:
        raise CannotRun(
            f"the database lacks {', '.join(pending)}: a server of this version applies it at start"
        )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (MigrationRefused, FormatMissing, OutputFailed) as error:
        raise CannotRun(str(error)) from error
    except (asyncpg.InterfaceError, ValueError) as error:
        # A URL that cannot be read. Its text may quote the URL, and with it a password.
        raise CannotRun("the database cannot be used: check DATABASE_URL") from error
    except (StoreUnavailable, asyncpg.PostgresError, OSError) as error:
        what = str(error).partition("\n")[0] or type(error).__name__
        raise CannotRun(f"the database cannot be used: {what}") from error


# ---- the jobs ------------------------------------------------------------------------------


async def _verify(bridge: Bridge, dsn: str) -> int:
    progress = Progress()

    async def work(snapshot: LedgerSnapshot, beside: LedgerSnapshot) -> Verified:
        return await verify(snapshot, progress, beside)

    try:
        verified = await read_two_snapshots(bridge, dsn, work)
    finally:
        progress.end()
    for line in report(verified):
        print(line)
    return NOT_WELL if verified.findings.total else DONE


def report(verified: Verified) -> Iterator[str]:
    """What `verify` prints: a line for each finding, then what was looked at."""
    findings = verified.findings
    yield from map(str, findings.listed)
    for code, count in findings.counts.items():
        if count > LISTED_MAX:
            yield f"{code}: {count - LISTED_MAX:,} more"
    looked_at = (
        f"{verified.entries:,} entries of {verified.accounts:,} accounts,"
        f" {verified.transfers:,} transfers, {verified.events:,} events, {verified.holds:,} holds"
    )
    if findings.total:
        yield f"NOT VERIFIED: {findings.total:,} findings in {looked_at}"
    else:
        yield f"verified: {looked_at}; all of it holds"


async def _export(bridge: Bridge, dsn: str, options: Mapping[str, Any]) -> int:
    progress = Progress()
    first, last, output = options["first"], options["last"], options["output"]
    begin = first and datetime.combine(first, time.min, UTC)
    end = last and datetime.combine(last + timedelta(days=1), time.min, UTC)

    async def work(snapshot: LedgerSnapshot) -> int:
        return await export(snapshot, options["format"], output, begin, end, progress)

    try:
        written = await read_snapshot(bridge, dsn, work)
    finally:
        progress.end()
    print(f"{written:,} entries in {output}")
    return DONE


async def _archive(bridge: Bridge, database: LedgerDatabase, month: datetime) -> int:
    try:
        detached = await archive_month(bridge, database.dsn, month)
    except ArchiveRefused as error:
        _say(f"{month:%Y-%m} stays: {error}")
        return NOT_WELL
    tables = " ".join(f"--table={name}" for name in detached)
    dsn, programs = database.shell_dsn, database.programs
    when = f", {database.note}" if database.note else ""
    print(f"moved out of the ledger: {', '.join(detached)}")
    print(f"They are tables of their own now. To keep them elsewhere and drop them here{when}:")
    print(f"  {programs}pg_dump --format=custom {tables} --file=ledger-{month:%Y-%m}.dump {dsn}")
    print(f'  {programs}psql {dsn} --command="DROP TABLE {", ".join(detached)}"')
    return DONE


# ---- arguments -----------------------------------------------------------------------------


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day like 2026-03-01") from None


def _month(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no month like 2026-03") from None


def _say(line: str) -> None:
    print(f"tiproom: {line}", file=sys.stderr)
