"""A short attack; `python -m tests.conformance.fuzz` is the long one."""

from collections import Counter

import pytest

from tests.conformance.fuzz import run_fuzz
from tests.conformance.hostile_clients import KINDS, End
from tests.e2e.site import new_data_dir
from tests.fixtures_postgres import NewDatabase

CONNECTIONS = 400
SEED = "20261128"
DEADLINES = {
    "TIPROOM_SOCKETS__HANDSHAKE_TIMEOUT_S": "1",
    "TIPROOM_SOCKETS__CONNECT_TIMEOUT_S": "1",
    "TIPROOM_SOCKETS__JOIN_WAIT_S": "0.7",
}


@pytest.mark.slow  # a server of its own, and deadlines that are waited out
def test_hundreds_of_hostile_connections_harm_nobody_and_leave_nothing(
    new_database: NewDatabase,
) -> None:
    with new_data_dir() as data_dir, new_database() as dsn:
        report = run_fuzz(CONNECTIONS, SEED, print, data_dir, DATABASE_URL=dsn, **DEADLINES)
    assert report.problems == []
    assert report.connections >= CONNECTIONS
    assert report.witness.tips > 0
    kinds: Counter[str] = Counter()
    for name, count in report.ends.items():
        kinds[name.partition(": ")[0]] += count
    often = {kind.__name__ for kind, weight in KINDS.items() if weight >= 3}
    assert often <= set(kinds), "each kind that is not rare has come"
    assert {name.partition(": ")[2] for name in report.ends} >= {
        End.CLOSED,
        End.REFUSED,
        End.ENDED,
        End.LEFT,
    }
