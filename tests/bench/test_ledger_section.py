"""The bench's section "ledger", as short as it gets: what it measures, not how fast."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import report
from bench.placement import machine, place
from bench.progress import Progress
from bench.results import LedgerLoad, LedgerResult, Run
from bench.scenario_ledger import (
    DATABASE_CONNECTIONS_MAX,
    GROUP_COMMIT,
    HOT_TIPPERS,
    NO_ACTOR,
    ONE_BY_ONE,
    WIDE_CONNECTIONS,
    LedgerPlan,
    run_ledger,
)
from bench.server import run_database
from server.store.store import SETTLING_CONNECTIONS

ROUNDS = 1
TIPPERS = (1, 8)


@pytest.fixture(scope="module")
def result() -> Iterator[LedgerResult]:
    # Not pytest's own folder, see tests/fixtures_postgres.py.
    with tempfile.TemporaryDirectory(prefix="tiproom-bench-") as name:
        folder = Path(name) / "postgres"
        with run_database(folder, place().database, DATABASE_CONNECTIONS_MAX) as database:
            yield run_ledger(LedgerPlan(ROUNDS, 0.05, TIPPERS), database, folder, Progress())


@pytest.mark.slow  # a PostgreSQL of its own that syncs, and a dozen rounds
def test_every_way_settles_and_the_books_agree(result: LedgerResult) -> None:
    assert result.failures == {}
    assert [(each.way, each.tippers, each.connections) for each in result.loads] == [
        (GROUP_COMMIT, 1, SETTLING_CONNECTIONS),
        (ONE_BY_ONE, 1, SETTLING_CONNECTIONS),
        (NO_ACTOR, 1, SETTLING_CONNECTIONS),
        (GROUP_COMMIT, 8, SETTLING_CONNECTIONS),
        (ONE_BY_ONE, 8, SETTLING_CONNECTIONS),
        (NO_ACTOR, 8, SETTLING_CONNECTIONS),
        (NO_ACTOR, 8, WIDE_CONNECTIONS),
        (f"{GROUP_COMMIT}, mixed", HOT_TIPPERS, SETTLING_CONNECTIONS),
    ]
    assert all(each.latency.samples >= each.tippers for each in result.loads)
    assert all(each.per_s.low > 0 for each in result.loads)
    assert result.sync.per_s > 0
    assert list(result.ratios) == list(TIPPERS)


@pytest.mark.slow  # the same run
def test_only_group_commit_shares_a_commit(result: LedgerResult) -> None:
    def per_commit(way: str, tippers: int) -> float:
        found: list[LedgerLoad] = [
            each for each in result.loads if (each.way, each.tippers) == (way, tippers)
        ]
        return found[0].per_commit

    assert per_commit(ONE_BY_ONE, 8) == per_commit(ONE_BY_ONE, 1) == per_commit(NO_ACTOR, 8) == 1
    assert per_commit(GROUP_COMMIT, 1) == 1
    assert per_commit(GROUP_COMMIT, 8) > 1


@pytest.mark.slow  # the same run
def test_the_table_names_every_load(result: LedgerResult) -> None:
    run = Run(
        command="bench",
        seed=1,
        started_at_utc="2026-01-01T00:00:00+00:00",
        machine=machine(),
        placement=place(),
        room=None,
        fan_out=[],
        ledger=result,
    )
    table = report.table(run)
    assert table.count(GROUP_COMMIT) >= 3
    assert table.count(ONE_BY_ONE) > table.count(NO_ACTOR) >= 3
    assert "failures            none" in table
    assert report.failures(run) == 0
