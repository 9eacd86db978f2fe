"""One server for all tests that leave it as they found it; and some of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Site, new_data_dir, running_site
from tests.fixtures_postgres import NewDatabase


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with new_data_dir() as path:
        yield path


@pytest.fixture(scope="session")
def shared_site(new_database: NewDatabase) -> Iterator[Site]:
    with (
        new_data_dir() as path,
        new_database() as dsn,
        running_site(path, DATABASE_URL=dsn) as site,
    ):
        site.change_platform(lovenseRateLimitPerMin=600)
        yield site


@pytest.fixture(scope="module")
def site_of_file(shared_site: Site) -> Iterator[Site]:
    """What its tips left waiting for a toy is over with the file: the next file's would wait behind
    it, for minutes if no page plays it."""
    yield shared_site
    for on in (False, True):
        shared_site.change_platform(enableLovense=on)


@pytest.fixture
def site(site_of_file: Site) -> Iterator[Site]:
    """The shared server: live on EXTENSION, toys on, VIP_ROOM_SYNC. It logs no error."""
    logged = len(site_of_file.server.log)
    yield site_of_file
    news = site_of_file.server.log[logged:]
    assert [line for line in news if line.get("level") == "error"] == []
