"""Dead letters over HTTP: an admin reads them, has one sent again, dismisses another."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.site import Site, new_data_dir, new_tip_id, running_site
from tests.fixtures_postgres import NewDatabase

LETTERS = "/admin/lovense/dead-letters"
REQUEUE, DISMISS = f"{LETTERS}/{{record_id}}/requeue", f"{LETTERS}/{{record_id}}/dismiss"
NOTE = {"note": "asked for by the viewer"}
QUEUE_LIMIT = 200
UNKNOWN = "00000000-0000-7000-8000-000000000000"

pytestmark = pytest.mark.slow  # a server of its own, and more tips than its queue takes


def page(site: Site, **query: Any) -> dict[str, Any]:
    answer = site.request("GET", LETTERS, "admin", params=query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def decide(site: Site, path: str, record_id: str, body: Any = NOTE) -> tuple[int, Any]:
    answer = site.request("POST", path, "admin", ids={"record_id": record_id}, json=body)
    return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def full_site(new_database: NewDatabase) -> Iterator[Site]:
    """Toys are stopped, the queue is full, and two more tips found no place."""
    with (
        new_data_dir() as path,
        new_database() as dsn,
        running_site(path, DATABASE_URL=dsn) as site,
    ):
        site.change_platform(lovenseRateLimitPerMin=600)
        stop = {"reason": "a full queue"}
        assert (
            site.request("POST", "/admin/rooms/{room_id}/toys/stop", "admin", json=stop).status_code
            == 200
        )
        viewers = [site.demo_token(name) for name in ("alex", "sam", "jo", "kim")]
        broadcast_id = site.broadcast_id()
        for number in range(QUEUE_LIMIT + 2):
            posted = site.post_tip(viewers[number % 4], new_tip_id(), 10, broadcastId=broadcast_id)
            assert posted.status_code == 200, posted.text
        yield site


def test_an_admin_reads_requeues_and_dismisses(full_site: Site) -> None:
    site = full_site
    first, second = page(site)["deadLetters"]
    assert (first["reason"], first["attempts"], first["state"]) == ("queue_full", 0, "open")
    assert first["targetType"] == "MODEL_TOY"
    assert first["broadcastId"] == site.broadcast_id()
    cursor = page(site, limit=1)["next"]
    assert cursor == first["recordId"]
    assert page(site, limit=1, after=cursor) == {"deadLetters": [second], "next": None}

    full = decide(site, REQUEUE, first["recordId"])
    assert (full[0], full[1]["code"]) == (503, "ROOM_BUSY")
    assert page(site)["deadLetters"] == [first, second]

    resume = {"reason": "go on"}
    site.request("POST", "/admin/rooms/{room_id}/toys/resume", "admin", json=resume)
    with site.model() as model:
        model.run(model.until("command"))
        model.until("command")  # the one before it has made room
        status, requeued = decide(site, REQUEUE, first["recordId"])
        assert status == 200, requeued
        assert (requeued["state"], requeued["decidedBy"]) == ("requeued", "demo-admin")
        assert (requeued["note"], requeued["outcome"]) == (NOTE["note"], None)
        assert requeued["decidedAt"] is not None

    for path in (REQUEUE, DISMISS):
        again = decide(site, path, first["recordId"])
        assert (again[0], again[1]["code"]) == (409, "DEAD_LETTER_DECIDED")

    status, dismissed = decide(site, DISMISS, second["recordId"])
    assert (status, dismissed["state"]) == (200, "dismissed")
    assert page(site)["deadLetters"] == []
    assert page(site, state="dismissed")["deadLetters"] == [dismissed]

    trace = site.trace(first["tipId"])["targets"]
    assert [(each["state"], each["requeue"]) for each in trace] == [("DEAD", 0), ("QUEUED", 1)]


def test_after_the_broadcast_nothing_of_it_is_requeued_and_what_waited_is_over(
    full_site: Site,
) -> None:
    """Follows the test above."""
    site = full_site
    [letter] = page(site, state="requeued")["deadLetters"]
    assert site.request("DELETE", "/rooms/{room_id}/broadcast", "model").status_code == 200
    [letter] = page(site, state="requeued")["deadLetters"]
    assert letter["outcome"] == "SKIPPED"


@pytest.mark.parametrize("path", [REQUEUE, DISMISS])
@pytest.mark.parametrize("record_id", [UNKNOWN, "no-uuid"])
def test_there_is_no_such_letter(site: Site, path: str, record_id: str) -> None:
    status, problem = decide(site, path, record_id)
    assert (status, problem["code"]) == (404, "DEAD_LETTER_UNKNOWN")


@pytest.mark.parametrize("path", [REQUEUE, DISMISS])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "note"),
        ({"note": ""}, "note"),
        ({"note": "x" * 201}, "note"),
        ({"note": "a\0b"}, "note"),
        ({"note": 5}, "note"),
        ({"note": "x", "who": "somebody else"}, None),
    ],
)
def test_a_bad_note_is_refused(site: Site, path: str, body: Any, field: str | None) -> None:
    status, problem = decide(site, path, UNKNOWN, body)
    assert (status, problem["code"]) == (422, "INVALID_FIELD")
    assert field is None or problem["field"] == field


@pytest.mark.parametrize(
    ("query", "field"),
    [({"state": "lost"}, "state"), ({"limit": 0}, "limit"), ({"after": "x"}, "after")],
)
def test_a_bad_query_is_refused(site: Site, query: dict[str, Any], field: str) -> None:
    answer = site.request("GET", LETTERS, "admin", params=query)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
