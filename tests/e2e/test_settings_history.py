"""Who changed which setting, over HTTP: the admin sees all, everybody else the own."""

from typing import Any

from tests.e2e.site import MODEL, Site

ALL, OWN = "/admin/settings/history", "/lovense/settings/history"


def changes(site: Site, who: str, path: str, **query: Any) -> tuple[list[dict[str, Any]], Any]:
    answer = site.request("GET", path, who, params=query)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    return page["changes"], page["next"]


def set_mode(site: Site, mode: str) -> None:
    body = {"lovenseQueueMode": mode}
    answer = site.request("PATCH", "/admin/settings", "admin", json=body)
    assert answer.status_code == 200, answer.text


def test_every_change_of_the_platform_by_page(site: Site) -> None:
    modes = ["priority", "batch", "fifo"]
    for mode in modes:
        set_mode(site, mode)
    set_mode(site, "fifo")  # no change, no line
    found, cursor = changes(site, "admin", ALL, scope="platform", limit=2)
    assert [(each["name"], each["old"], each["new"]) for each in found] == [
        ("lovenseQueueMode", "batch", "fifo"),
        ("lovenseQueueMode", "priority", "batch"),
    ]
    assert {each["ownerId"] for each in found} == {None}
    [older], _ = changes(site, "admin", ALL, scope="platform", limit=1, after=cursor)
    assert (older["old"], older["new"]) == ("fifo", "priority")
    assert older["changeId"] < found[-1]["changeId"]
    assert older["at"].endswith("Z")


def test_a_models_own_settings_and_nobody_elses(site: Site) -> None:
    path = "/models/{model_id}/settings"
    for threshold in (40, None):
        body = {"tipThreshold": threshold}
        assert site.request("PATCH", path, "model", json=body).status_code == 200
    found, _ = changes(site, "model", OWN, limit=2)
    assert [(e["name"], e["old"], e["new"], e["who"]) for e in found] == [
        ("tipThreshold", 40, None, MODEL),
        ("tipThreshold", None, 40, MODEL),
    ]
    everything, _ = changes(site, "model", OWN, limit=200)
    assert {each["ownerId"] for each in everything} == {MODEL}
    assert found == changes(site, "admin", ALL, scope="model", ownerId=MODEL, limit=2)[0]


def test_limits_on_a_device(site: Site) -> None:
    pair = {"toyId": "history-toy"}
    device = site.request("POST", "/lovense/devices/pair", "sam", json=pair).json()["deviceId"]
    one, ids = "/lovense/devices/{device_id}", {"device_id": device}
    limit = {"maxStrength": 7, "enabled": False, "nickname": "Mine"}
    assert site.request("PUT", one, "sam", ids=ids, json=limit).status_code == 200
    assert site.request("DELETE", one, "sam", ids=ids).status_code == 200
    found, _ = changes(site, "sam", OWN)
    assert {(e["name"], e["old"], e["new"]) for e in found} == {
        (f"{device}.maxStrength", 20, 7),
        (f"{device}.enabled", True, False),
        (f"{device}.maxStrength", 7, 20),
        (f"{device}.enabled", False, True),
    }
    assert {(e["scope"], e["ownerId"], e["who"]) for e in found} == {("device", "sam", "sam")}


def test_who_may(site: Site) -> None:
    assert site.request("GET", ALL, "model").status_code == 403
    assert site.request("GET", OWN, "admin").status_code == 403
    assert site.request("GET", ALL).status_code == 401
