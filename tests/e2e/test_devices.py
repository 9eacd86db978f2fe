"""Devices over HTTP: an owner's toys as the own page reports them, and limits at once."""

from typing import Any

import pytest

from tests.e2e.members import Member
from tests.e2e.site import TOY, Site, new_tip_id, token

DEVICES = "/lovense/devices"
PAIR, ONE, STATUS = f"{DEVICES}/pair", f"{DEVICES}/{{device_id}}", f"{DEVICES}/{{device_id}}/status"


def own(site: Site, who: str) -> dict[str, dict[str, Any]]:
    """By toyId."""
    answer = site.request("GET", DEVICES, who)
    assert answer.status_code == 200, answer.text
    return {each["toyId"]: each for each in answer.json()["devices"]}


def change(site: Site, who: str, device_id: str, body: Any) -> tuple[int, dict[str, Any]]:
    answer = site.request("PUT", ONE, who, ids={"device_id": device_id}, json=body)
    return answer.status_code, answer.json()


def told(member: Member, **fields: Any) -> None:
    assert member.ask("reportToys", **fields)["type"] == "ok"


def test_a_viewers_toy_is_seen_limited_and_lost(site: Site) -> None:
    toy = TOY | {"id": "toy-of-dee", "battery": "15", "fVersion": 300}
    with site.model() as model, site.viewer("dee") as viewer:
        told(viewer, toys=[toy])
        device = own(site, "dee")["toy-of-dee"]
        assert device["status"] == "connected"
        assert (device["battery"], device["firmware"]) == (15, "300")
        assert device["capabilities"] == ["vibrate"]
        warning = viewer.until("deviceWarning")
        assert (warning["kind"], warning["battery"]) == ("battery", 15)
        assert warning["deviceId"] == device["deviceId"]

        preferences = site.request(
            "PUT", "/rooms/{room_id}/preferences", "dee", json={"reactToMyTips": True}
        )
        assert preferences.status_code == 200, preferences.text
        limits = {"maxStrength": 3, "nickname": "Mine"}
        status, changed = change(site, "dee", device["deviceId"], limits)
        assert (status, changed["nickname"]) == (200, "Mine")
        assert changed["override"] == {"maxStrength": 3, "enabled": True, "functions": None}
        assert viewer.tip(new_tip_id(), 30)["type"] == "ok"
        assert viewer.until("command")["call"]["args"][0]["vibrate"] == 3
        model.run(model.until("command"))

        status, _ = change(site, "dee", device["deviceId"], {"enabled": False})
        assert status == 200
        assert viewer.until("selfChanged")["self"] is not None
        assert viewer.until("stop")["call"]["method"] == "stopToyAction"
        while viewer.until("selfChanged")["self"]["toyConnected"]:
            pass

        told(viewer, toys=[])
        assert viewer.until("deviceWarning")["kind"] == "connection"
    lost = own(site, "dee")["toy-of-dee"]
    assert lost["status"] == "disconnected"
    assert lost["lastConnectedAt"] is not None
    where = {"device_id": device["deviceId"]}
    state = site.request("GET", STATUS, "dee", ids=where).json()
    assert (state["status"], state["battery"]) == ("disconnected", 15)
    assert site.request("DELETE", ONE, "dee", ids=where).status_code == 200
    assert "toy-of-dee" not in own(site, "dee")


def test_limits_wait_for_the_next_visit(site: Site) -> None:
    paired = site.request("POST", PAIR, "jo", json={"toyId": "toy-of-jo", "toyType": "Lush"})
    assert paired.status_code == 200, paired.text
    device_id = paired.json()["deviceId"]
    assert change(site, "jo", device_id, {"enabled": False})[0] == 200
    with site.viewer("jo", toy=True) as viewer:
        assert viewer.so_far("selfChanged")[-1]["self"]["toyConnected"] is False
        assert change(site, "jo", device_id, {"enabled": True})[0] == 200
        while not viewer.until("selfChanged")["self"]["toyConnected"]:
            pass
    assert site.request("DELETE", ONE, "jo", ids={"device_id": device_id}).status_code == 200


def test_a_models_toy_that_is_switched_off_skips_her_part(site: Site) -> None:
    with site.model() as model, site.viewer("alex") as viewer:
        device = own(site, "model")["toy-of-hers"]
        assert change(site, "model", device["deviceId"], {"enabled": False})[0] == 200
        tip_id = new_tip_id()
        viewer.tip(tip_id, 30)
        done = viewer.until("activationChanged", tipId=tip_id, state="not_played")
        assert done["reason"] == "no_toy"
        assert model.so_far("command") == []
        assert change(site, "model", device["deviceId"], {"enabled": True})[0] == 200


def test_nobody_sees_or_changes_anothers(site: Site) -> None:
    body = {"toyId": "toy-of-kim"}
    device_id = site.request("POST", PAIR, "kim", json=body).json()["deviceId"]
    where = {"device_id": device_id}
    for who in ("sam", "model"):
        assert "toy-of-kim" not in own(site, who)
        for method, path, more in (
            ("PUT", ONE, {"json": {"enabled": False}}),
            ("DELETE", ONE, {}),
            ("GET", STATUS, {}),
        ):
            answer = site.request(method, path, who, ids=where, **more)
            assert (answer.status_code, answer.json()["code"]) == (404, "DEVICE_UNKNOWN")
    answer = site.request("GET", DEVICES, bearer=token("moderator", "mo"))
    assert answer.status_code == 403
    assert own(site, "kim")["toy-of-kim"]["override"]["enabled"] is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"maxStrength": 21}, "maxStrength"),
        ({"maxStrength": -1}, "maxStrength"),
        ({"maxStrength": "5"}, "maxStrength"),
        ({"enabled": 1}, "enabled"),
        ({"enabled": None}, "enabled"),
        ({"functions": []}, "functions"),
        ({"functions": ["explode"]}, "functions[0]"),
        ({"nickname": ""}, "nickname"),
        ({"nickname": "a\0b"}, "nickname"),
        ({"strength": 5}, None),
    ],
)
def test_a_bad_limit_changes_nothing(site: Site, body: Any, field: str | None) -> None:
    paired = site.request("POST", PAIR, "kim", json={"toyId": "limited"}).json()
    status, problem = change(site, "kim", paired["deviceId"], body)
    assert (status, problem["code"]) == (422, "INVALID_FIELD")
    assert field is None or problem["field"] == field
    assert own(site, "kim")["limited"] == paired


def test_limits_can_be_lifted_again(site: Site) -> None:
    paired = site.request("POST", PAIR, "kim", json={"toyId": "limited"}).json()
    limits = {"maxStrength": 0, "functions": ["vibrate", "pump"], "enabled": False}
    status, changed = change(site, "kim", paired["deviceId"], limits)
    assert (status, changed["override"]) == (200, limits)
    status, changed = change(site, "kim", paired["deviceId"], {"maxStrength": None})
    assert changed["override"] == limits | {"maxStrength": 20}
    free = {"functions": None, "enabled": True}
    status, changed = change(site, "kim", paired["deviceId"], free)
    assert (status, changed) == (200, paired)


@pytest.mark.parametrize("body", [{}, {"toyId": ""}, {"toyId": "x" * 65}, {"toyId": "a\0b"}])
def test_a_bad_pairing(site: Site, body: Any) -> None:
    answer = site.request("POST", PAIR, "kim", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "toyId")


@pytest.mark.parametrize("device_id", ["00000000-0000-4000-8000-000000000000", "no-uuid"])
def test_there_is_no_such_device(site: Site, device_id: str) -> None:
    answer = site.request("GET", STATUS, "kim", ids={"device_id": device_id})
    assert (answer.status_code, answer.json()["code"]) == (404, "DEVICE_UNKNOWN")
