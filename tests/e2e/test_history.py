"""History over HTTP: what became of one's own activations, and nobody else's."""

from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.site import Site, new_tip_id, token

PATH, STATS = "/lovense/activations", "/lovense/activations/stats"


def history(site: Site, who: str, **query: Any) -> list[dict[str, Any]]:
    answer = site.request("GET", PATH, who, params=query)
    assert answer.status_code == 200, answer.text
    found = answer.json()["activations"]
    assert isinstance(found, list)
    return found


def stats(site: Site, who: str, **query: str) -> dict[str, Any]:
    answer = site.request("GET", STATS, who, params=query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def test_a_tip_on_the_models_toy_is_hers_and_the_tippers(site: Site) -> None:
    before = stats(site, "model")["byState"].get("ACTIVATED", 0)
    with site.model() as model, site.viewer("alex") as viewer:
        tip_id = new_tip_id()
        viewer.tip(tip_id, 30)
        model.run(model.until("command", tipId=tip_id))
        viewer.until("activationChanged", tipId=tip_id, state="done")
    for who in ("model", "alex"):
        [ended] = history(site, who, tipId=tip_id, targetType="MODEL_TOY")
        assert (ended["state"], ended["requeue"], ended["attempt"]) == ("ACTIVATED", 0, 1)
        assert 0 <= ended["latencyMs"] < 10_000
        assert ended["queuedAt"] <= ended["sentAt"] <= ended["endedAt"]
        assert ended["fit"]["kind"] == "nearest"
        assert "targetId" not in ended
    assert history(site, "sam", tipId=tip_id) == []
    numbers = stats(site, "model")
    assert numbers["byState"]["ACTIVATED"] == before + 1
    assert numbers["latency"]["p50Ms"] is not None
    assert 0 < numbers["successRate"] <= 1
    assert sum(each["byState"].get("ACTIVATED", 0) for each in numbers["hours"]) == before + 1


def test_a_models_test_is_in_her_history_and_in_no_number(site: Site) -> None:
    numbers = stats(site, "model")["byState"]
    with site.model() as model:
        started = site.request(
            "POST", "/lovense/test-activation", "model", json={"rowId": "menu-15"}
        )
        assert started.status_code == 200, started.text
        model.run(model.until("testCommand"))
        model.ask("resumeToys")
    ended = history(site, "model", limit=1)[0]
    assert (ended["testId"], ended["tipId"]) == (started.json()["testId"], None)
    assert (ended["menuRowId"], ended["state"]) == ("menu-15", "ACTIVATED")
    assert stats(site, "model")["byState"] == numbers


def test_pages_follow_one_another(site: Site) -> None:
    with site.viewer("sam") as viewer:
        for _ in range(3):
            viewer.tip(new_tip_id(), 5)  # too small for a toy: skipped at once
    everything = history(site, "sam", limit=200)
    assert len(everything) >= 3
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = site.request("GET", PATH, "sam", params={"limit": 2, **cursor}).json()
        found += page["activations"]
        if page["next"] is None:
            break
        cursor = {"after": page["next"]}
    assert found == everything


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "QUEUED"}, "state"),
        ({"tipId": "a b"}, "tipId"),
        ({"targetType": "toy"}, "targetType"),
        ({"after": "x"}, "after"),
        ({"limit": 201}, "limit"),
        ({"userId": "alex"}, None),
    ],
)
def test_a_bad_question(site: Site, query: dict[str, Any], field: str | None) -> None:
    answer = site.request("GET", PATH, "alex", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_FIELD")
    assert field is None or answer.json()["field"] == field


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-02-31T00:00:00Z"}, "from"),
        ({"to": "2026-01-01T00:00:00+00:00"}, "to"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "to"),
    ],
)
def test_a_bad_window(site: Site, query: dict[str, str], field: str) -> None:
    answer = site.request("GET", STATS, "alex", params=query)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize("path", [PATH, STATS])
def test_who_has_a_history(site: Site, path: str) -> None:
    assert site.request("GET", path, "admin").status_code == 403
    nobody = token("model", "model-without-a-room")
    assert site.request("GET", path, bearer=nobody).status_code == 403


def test_an_unknown_cursor_ends_it(site: Site) -> None:
    assert history(site, "model", after=str(uuid4())) == []
