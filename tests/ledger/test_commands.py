"""The command line of `tiproom ledger`: its status, its one line when it cannot work."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from server import cli
from server.store.bridge import open_bridge
from tests.e2e.site import query
from tests.ledger.months import backdate

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The exit status of `tiproom ledger ...` with that environment."""

    def run(*arguments: object, **environment: str) -> int:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return cli.main(["ledger", *map(str, arguments)])

    return run


def check_refused(captured: pytest.CaptureFixture[str], *parts: str) -> None:
    output, errors = captured.readouterr()
    assert output == ""
    [line] = errors.splitlines()
    assert line.startswith("tiproom: ")
    for part in parts:
        assert part in line


def test_an_empty_ledger_holds(
    run: Run, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", DATABASE_URL=database_dsn) == 0
    assert capsys.readouterr().out == (
        "verified: 0 entries of 3 accounts, 0 transfers, 0 events, 0 holds; all of it holds\n"
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_nothing_to_export(
    run: Run, database_dsn: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    output = tmp_path / "entries"
    assert run("export", f"--format={kind}", f"--output={output}", DATABASE_URL=database_dsn) == 0
    assert capsys.readouterr().out == f"0 entries in {output}\n"
    assert output.read_bytes()[:4] == {"csv": b"acco", "parquet": b"PAR1"}[kind]


def test_a_file_that_cannot_be_written(
    run: Run, database_dsn: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "none" / "entries.csv"
    assert run("export", "--format=csv", f"--output={output}", DATABASE_URL=database_dsn) == 2
    check_refused(capsys, str(output), "No such file")


def test_a_month_that_never_was(
    run: Run, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("archive", "2001-02", DATABASE_URL=database_dsn) == 1
    check_refused(capsys, "2001-02 stays", "no tables of this month")


@pytest.mark.parametrize("name", ["DATABASE_URL", "TIPROOM_DATABASE_URL"])
def test_archive_names_the_database_and_not_its_password(
    run: Run, database_dsn: str, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    async def make_old_month() -> str:
        async with open_bridge() as bridge:
            return await backdate(bridge, database_dsn, 1)

    assert run("archive", trio.run(make_old_month), **{name: database_dsn}) == 0
    output = capsys.readouterr().out
    dump, drop = output.splitlines()[-2:]
    assert dump.startswith("  pg_dump ")
    assert dump.endswith(f' "${name}"')
    assert f'  psql "${name}" --command="DROP TABLE activation_audit_' in drop
    assert database_dsn not in output


def test_a_folder_without_a_ledger_gets_none(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("verify", f"--data-dir={tmp_path}") == 2
    check_refused(capsys, str(tmp_path), "no data")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_migrated(
    run: Run, empty_database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", DATABASE_URL=empty_database_dsn) == 2
    check_refused(capsys, "lacks 0001_ledger.sql, ", "at start")
    tables = "SELECT FROM information_schema.tables WHERE table_schema = 'public'"
    assert query(empty_database_dsn, tables) == []


def test_a_migration_that_was_changed(
    run: Run, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change = "UPDATE schema_migrations SET checksum = 'other' WHERE name = '0001_ledger.sql'"
    query(database_dsn, change)
    assert run("verify", DATABASE_URL=database_dsn) == 2
    check_refused(capsys, "0001_ledger.sql was changed")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://tiproom:the-password@127.0.0.1:1/tiproom", "the database cannot be used"),
        ("postgresql://tiproom:the-password@host:port/x", "check DATABASE_URL"),
        ("mysql://tiproom:the-password@host/x", "database_url"),
    ],
)
def test_a_database_that_is_none(
    run: Run, capsys: pytest.CaptureFixture[str], url: str, said: str
) -> None:
    assert run("verify", DATABASE_URL=url) == 2
    output, errors = capsys.readouterr()
    assert said in errors
    assert "the-password" not in output + errors


def test_settings_that_cannot_be_used(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", TIPROOM_LOG_LEVEL="loud") == 2
    check_refused(capsys, "log_level")


@pytest.mark.parametrize(
    "arguments",
    [
        ("archive", "2026-13"),
        ("archive", "2026-01-01"),
        ("export", "--format=xlsx", "--output=x"),
        ("export", "--format=csv"),
        ("export", "--format=csv", "--output=x", "--from=yesterday"),
        ("balance",),
        (),
    ],
)
def test_arguments_that_are_none(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert "usage: tiproom ledger" in capsys.readouterr().err
