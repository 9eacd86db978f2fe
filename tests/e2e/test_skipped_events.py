"""Skipped events over HTTP: an admin sees what a consumer could not take, and has it retried."""

from typing import Any

import pytest

from tests.e2e.site import Site, new_tip_id, token

SKIPPED = "/admin/skipped-events"
RETRY = f"{SKIPPED}/{{consumer}}/{{tip_id}}/retry"
REASON = {"reason": "mended"}


def page(site: Site, **query: Any) -> Any:
    answer = site.request("GET", SKIPPED, "admin", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def skipped_tips(site: Site) -> list[str]:
    """Two tips that the consumer `room` could not take: their toys wait for the model's page."""
    tip_ids = sorted(new_tip_id() for _ in range(2))
    for tip_id in tip_ids:
        assert site.post_tip(site.demo_token("jo"), tip_id, 15).is_success
        site.query("INSERT INTO skipped_events VALUES ('room', $1, 'bad')", tip_id)
    return tip_ids


def test_an_admin_reads_and_retries(site: Site, skipped_tips: list[str]) -> None:
    first, second = page(site)["skippedEvents"]
    assert [first["tipId"], second["tipId"]] == skipped_tips
    assert (first["consumer"], first["reason"], first["seq"] > 0) == ("room", "bad", True)
    cursor = f"room/{first['tipId']}"
    assert page(site, limit=1) == {"skippedEvents": [first], "next": cursor}
    assert page(site, limit=1, after=cursor) == {"skippedEvents": [second], "next": None}
    trace = site.request("GET", "/admin/tips/{tip_id}", "admin", ids={"tip_id": first["tipId"]})
    [room] = [each for each in trace.json()["consumers"] if each["consumer"] == "room"]
    assert (room["done"], room["skipped"]) == (False, "bad")

    for tip_id in skipped_tips:
        ids = {"consumer": "room", "tip_id": tip_id}
        assert site.request("POST", RETRY, "admin", ids=ids, json=REASON).status_code == 200
        again = site.request("POST", RETRY, "admin", ids=ids, json=REASON)
        assert (again.status_code, again.json()["code"]) == (404, "SKIPPED_EVENT_UNKNOWN")
    assert page(site) == {"skippedEvents": [], "next": None}


def test_nobody_else_does(site: Site, skipped_tips: list[str]) -> None:
    ids = {"consumer": "room", "tip_id": skipped_tips[0]}
    for who in ("jo", "model"):
        assert site.request("GET", SKIPPED, who).status_code == 403
        assert site.request("POST", RETRY, who, ids=ids, json=REASON).status_code == 403
    service = token("service", "back-end", room=None)
    assert site.request("GET", SKIPPED, bearer=service).status_code == 403
    for tip_id in skipped_tips:
        ids = {"consumer": "room", "tip_id": tip_id}
        assert site.request("POST", RETRY, "admin", ids=ids, json=REASON).status_code == 200
