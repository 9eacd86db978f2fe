"""The whole server on a database of its own, as most sections measure it."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.placement import Placement
from bench.room_setup import TokenBooth
from bench.server import DatabaseProcess, ServerProcess, run_database, run_server


@contextmanager
def open_whole_server(
    placement: Placement,
    booth: TokenBooth,
    settings: Mapping[str, str] | None = None,
    *,
    keep_commit_times: bool = False,
) -> Iterator[tuple[DatabaseProcess, ServerProcess]]:
    """Empty, but for what the server itself puts there; each on its cores, in a folder that goes
    with them. `settings`: of the server's environment. Raises BenchFailed."""
    with tempfile.TemporaryDirectory(prefix="tiproom-bench-") as name:
        folder = Path(name)
        with (
            run_database(
                folder / "postgres", placement.database, keep_commit_times=keep_commit_times
            ) as database,
            run_server(
                folder / "server",
                placement.server,
                database.dsn,
                booth.secret,
                booth.admin(),
                settings,
            ) as server,
        ):
            yield database, server
