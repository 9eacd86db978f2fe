"""Performance menus over HTTP: their model edits them, others see what is on offer to them."""

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from server.ready_menus import NAMES, load_ready_menus
from tests.e2e.site import MODEL, SERVICE, Site, token

MENUS, MENU = "/menus", "/menus/{menu_id}"
ITEMS, ITEM = "/menus/{menu_id}/items", "/menus/{menu_id}/items/{item_id}"
OF_MODEL = "/models/{model_id}/menus"
LEVEL: Final = {"type": "LEVEL", "strength": 5, "durationSec": 3}


def menus(site: Site, who: str = "model") -> list[dict[str, Any]]:
    answer = site.request("GET", OF_MODEL, who)
    assert answer.status_code == 200, answer.text
    found = answer.json()["menus"]
    assert isinstance(found, list)
    return found


def send(site: Site, method: str, path: str, body: Any = None, **ids: str) -> httpx.Response:
    return site.request(method, path, "model", json=body, ids=ids)


def done(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(autouse=True)
def _as_it_was(site: Site) -> Iterator[None]:
    yield
    for menu in menus(site):
        if not menu["menuId"].startswith("ready-"):
            done(send(site, "DELETE", MENU, menu_id=menu["menuId"]))


def test_the_demo_has_the_three_ready_menus(site: Site) -> None:
    """As the specification says of each."""
    found = [
        (each["name"], each["queueMode"], each["visibility"], len(each["items"]))
        for each in menus(site)
    ]
    assert found == [
        ("Quick Fun", "OFF", "public", 7),
        ("Private Energy", "ON", "public", 7),
        ("VIP Experience", "ON", "subscribers_only", 7),
    ]
    assert len(load_ready_menus()) == len(NAMES) == 3


def test_a_menu_is_added_changed_and_removed(site: Site) -> None:
    menu = done(send(site, "POST", MENUS, {"name": "Mine", "queueMode": "ON"}))
    assert (menu["modelId"], menu["items"], menu["whitelist"]) == (MODEL, [], [])
    menu_id = menu["menuId"]
    body = {"name": "Dance", "tokenValue": 50, "vibration": LEVEL, "maxDailyPurchases": 3}
    item = done(send(site, "POST", ITEMS, body, menu_id=menu_id))
    assert (item["version"], item["vibration"], item["durationSec"]) == (1, LEVEL, 60)
    ids = {"menu_id": menu_id, "item_id": item["itemId"]}
    assert done(send(site, "PUT", ITEM, body, **ids))["version"] == 1
    assert done(send(site, "PUT", ITEM, body | {"tokenValue": 60}, **ids))["version"] == 2
    changed = done(send(site, "PUT", MENU, {"name": "Ours", "queueMode": "OFF"}, menu_id=menu_id))
    assert (changed["name"], changed["items"][0]["version"]) == ("Ours", 3)
    assert done(site.request("GET", MENU, "model", ids=ids)) == changed
    done(send(site, "DELETE", ITEM, **ids))
    assert send(site, "DELETE", ITEM, **ids).json()["code"] == "MENU_ITEM_UNKNOWN"
    assert send(site, "PUT", ITEM, body, **ids).json()["code"] == "MENU_ITEM_UNKNOWN"
    done(send(site, "DELETE", MENU, menu_id=menu_id))
    for method, path in [("GET", MENU), ("DELETE", MENU), ("PUT", MENU), ("POST", ITEMS)]:
        gone = send(site, method, path, body if path == ITEMS else {"name": "x"}, **ids)
        assert (gone.status_code, gone.json()["code"]) == (404, "MENU_UNKNOWN")


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        (MENUS, {"name": "", "queueMode": "on", "x": 1}, {"name", "queueMode", "x"}),
        (
            MENUS,
            {"visibility": "all", "whitelist": ["a b"]},
            {"name", "visibility", "whitelist[0]"},
        ),
        (
            ITEMS,
            {"name": "x" * 66, "tokenValue": 100_000, "vibration": {"type": "LEVEL"}},
            {"name", "tokenValue", "vibration.strength", "vibration.durationSec"},
        ),
        (ITEMS, {"tokenValue": 1, "price": 1}, {"name", "price"}),
    ],
)
def test_every_bad_field_is_named_and_nothing_changes(
    site: Site, path: str, body: dict[str, Any], fields: set[str]
) -> None:
    before = menus(site)
    answer = send(site, "POST", path, body, menu_id="ready-1")
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_FIELD")
    assert {error["field"] for error in answer.json()["errors"]} == fields
    assert menus(site) == before


def test_a_model_has_eight_menus_and_no_more(site: Site) -> None:
    for number in range(5):
        done(send(site, "POST", MENUS, {"name": f"Menu {number}"}))
    full = send(site, "POST", MENUS, {"name": "One more"})
    assert (full.status_code, full.json()["code"]) == (409, "LIMIT_REACHED")


def test_only_the_owner_edits(site: Site) -> None:
    body = {"name": "x", "tokenValue": 1}
    ids = {"menu_id": "ready-1", "item_id": "ready-1-1"}
    stranger = token("model", "model-2")
    for method, path, sent in [
        ("PUT", MENU, {"name": "x"}),
        ("DELETE", MENU, None),
        ("POST", ITEMS, body),
        ("PUT", ITEM, body),
        ("DELETE", ITEM, None),
    ]:
        for bearer in (stranger, site.demo_token("alex")):
            answer = site.request(method, path, bearer=bearer, json=sent, ids=ids)
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    unregistered = site.request("POST", MENUS, bearer=token("model", "model-9"), json={"name": "x"})
    assert (unregistered.status_code, unregistered.json()["code"]) == (404, "USER_UNKNOWN")
    unknown = site.request("GET", OF_MODEL, "alex", ids={"model_id": "nobody"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "USER_UNKNOWN")


def names(site: Site, who: str) -> list[str]:
    return [menu["name"] for menu in menus(site, who)]


def test_viewers_see_what_is_on_offer_to_them(site: Site) -> None:
    open_to_all = ["Quick Fun", "Private Energy"]
    assert names(site, "alex") == open_to_all
    assert names(site, "kim") == [*open_to_all, "VIP Experience"]
    private = {"name": "For two", "visibility": "private", "whitelist": ["alex", "sam"]}
    menu_id = done(send(site, "POST", MENUS, private))["menuId"]
    done(send(site, "POST", ITEMS, {"name": "On", "tokenValue": 1}, menu_id=menu_id))
    off = {"name": "Off", "tokenValue": 1, "active": False}
    done(send(site, "POST", ITEMS, off, menu_id=menu_id))
    assert names(site, "alex") == [*open_to_all, "For two"]
    shown = done(site.request("GET", MENU, "alex", ids={"menu_id": menu_id}))
    assert (shown["whitelist"], [item["name"] for item in shown["items"]]) == (None, ["On"])
    hidden = site.request("GET", MENU, "jo", ids={"menu_id": menu_id})
    assert (hidden.status_code, hidden.json()["code"]) == (403, "MENU_HIDDEN")
    done(send(site, "PUT", MENU, private | {"active": False}, menu_id=menu_id))
    assert names(site, "alex") == open_to_all
    inactive = site.request("GET", MENU, "alex", ids={"menu_id": menu_id})
    assert (inactive.status_code, inactive.json()["code"]) == (404, "MENU_UNKNOWN")
    assert names(site, "admin")[-1] == "For two"


def test_a_subscription_is_what_the_platform_says(site: Site) -> None:
    body = {"userId": "jo", "modelId": MODEL, "activeUntil": "2099-01-01T12:00:00+02:00"}
    stored = done(site.request("PUT", "/subscriptions", bearer=SERVICE, json=body))
    assert stored == body | {"activeUntil": "2099-01-01T10:00:00Z"}
    assert "VIP Experience" in names(site, "jo")
    ended = body | {"activeUntil": "2020-01-01T00:00:00Z"}
    done(site.request("PUT", "/subscriptions", bearer=SERVICE, json=ended))
    assert "VIP Experience" not in names(site, "jo")
    for change, field in [
        ({"userId": "nobody"}, "userId"),
        ({"modelId": "nobody"}, "modelId"),
    ]:
        answer = site.request("PUT", "/subscriptions", bearer=SERVICE, json=body | change)
        assert (answer.status_code, answer.json()["field"]) == (404, field)
    for moment in ("2099-01-01T12:00:00", "0001-01-01T00:00:00+14:00", "tomorrow"):
        answer = site.request(
            "PUT", "/subscriptions", bearer=SERVICE, json=body | {"activeUntil": moment}
        )
        assert (answer.status_code, answer.json()["field"]) == (422, "activeUntil")
    assert site.request("PUT", "/subscriptions", "admin", json=body).status_code == 403
