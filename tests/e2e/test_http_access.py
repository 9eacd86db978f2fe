"""Every documented path against every kind of caller, and the document against itself."""

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

import jwt
import pytest
from jsonschema import Draft202012Validator

from server.auth import Role
from tests.e2e.site import PROBLEM, SECRET, SERVICE, Site, problem_of, token

GUARDED: Final = {
    ("POST", "/rooms/{room_id}/tips"): {"viewer", "service"},
    ("GET", "/preferences"): {"viewer"},
    ("PUT", "/rooms/{room_id}/preferences"): {"viewer"},
    ("POST", "/rooms/{room_id}/broadcast"): {"model", "service"},
    ("DELETE", "/rooms/{room_id}/broadcast"): {"model", "service"},
    ("GET", "/admin/settings"): {"admin"},
    ("PATCH", "/admin/settings"): {"admin"},
    ("GET", "/admin/settings/history"): {"admin"},
    ("GET", "/models/{model_id}/settings"): {"model", "admin"},
    ("PATCH", "/models/{model_id}/settings"): {"model", "admin"},
    ("GET", "/lovense/tip-menu"): {"model", "admin"},
    ("POST", "/lovense/tip-menu"): {"model", "admin"},
    ("PUT", "/lovense/tip-menu/{row_id}"): {"model", "admin"},
    ("DELETE", "/lovense/tip-menu/{row_id}"): {"model", "admin"},
    ("PUT", "/lovense/tip-menu/reorder"): {"model", "admin"},
    ("GET", "/lovense/tip-menu/coverage"): {"model", "admin"},
    ("GET", "/lovense/patterns"): {"model", "admin"},
    ("POST", "/lovense/patterns"): {"model", "admin"},
    ("PUT", "/lovense/patterns/{pattern_id}"): {"model", "admin"},
    ("DELETE", "/lovense/patterns/{pattern_id}"): {"model", "admin"},
    ("GET", "/admin/rooms"): {"admin"},
    ("GET", "/admin/rooms/{room_id}"): {"admin"},
    ("POST", "/admin/rooms/{room_id}/toys/stop"): {"admin"},
    ("POST", "/admin/rooms/{room_id}/toys/resume"): {"admin"},
    ("POST", "/admin/users/{user_id}/kick"): {"admin"},
    ("GET", "/admin/tips/{tip_id}"): {"admin"},
    ("POST", "/ledger/deposits"): {"service"},
    ("POST", "/ledger/refunds"): {"service", "admin"},
    ("GET", "/ledger/summary"): {"admin"},
    ("GET", "/ledger/accounts/{account_id}"): {"service", "admin", "model", "viewer"},
    ("GET", "/ledger/accounts/{account_id}/entries"): {"service", "admin", "model", "viewer"},
    ("POST", "/ledger/holds"): {"service"},
    ("GET", "/ledger/holds/{hold_id}"): {"service", "admin"},
    ("POST", "/ledger/holds/{hold_id}/settle"): {"service"},
    ("POST", "/ledger/holds/{hold_id}/release"): {"service"},
    ("PUT", "/users/{user_id}"): {"service"},
    ("GET", "/users/{user_id}"): {"service"},
    ("PUT", "/models/{model_id}"): {"service"},
    ("GET", "/events"): {"service"},
    ("POST", "/webhooks"): {"admin", "service"},
    ("GET", "/webhooks"): {"admin", "service"},
    ("GET", "/webhooks/{webhook_id}"): {"admin", "service"},
    ("PATCH", "/webhooks/{webhook_id}"): {"admin", "service"},
    ("DELETE", "/webhooks/{webhook_id}"): {"admin", "service"},
    ("POST", "/webhooks/{webhook_id}/secret"): {"admin", "service"},
    ("POST", "/webhooks/{webhook_id}/replay"): {"admin", "service"},
    ("GET", "/webhooks/{webhook_id}/deliveries"): {"admin", "service"},
    ("POST", "/webhooks/{webhook_id}/deliveries/{seq}/redeliver"): {"admin", "service"},
    ("GET", "/admin/lovense/dead-letters"): {"admin"},
    ("POST", "/admin/lovense/dead-letters/{record_id}/requeue"): {"admin"},
    ("POST", "/admin/lovense/dead-letters/{record_id}/dismiss"): {"admin"},
    ("GET", "/admin/skipped-events"): {"admin"},
    ("POST", "/admin/skipped-events/{consumer}/{tip_id}/retry"): {"admin"},
    ("POST", "/lovense/test-activation"): {"model"},
    ("GET", "/lovense/session"): {"model", "viewer"},
    ("GET", "/lovense/settings/history"): {"model", "viewer"},
    ("GET", "/lovense/devices"): {"model", "viewer"},
    ("POST", "/lovense/devices/pair"): {"model", "viewer"},
    ("PUT", "/lovense/devices/{device_id}"): {"model", "viewer"},
    ("DELETE", "/lovense/devices/{device_id}"): {"model", "viewer"},
    ("GET", "/lovense/devices/{device_id}/status"): {"model", "viewer"},
    ("GET", "/lovense/activations"): {"model", "viewer"},
    ("GET", "/lovense/activations/stats"): {"model", "viewer"},
    ("POST", "/mood-messages"): {"model", "viewer", "service", "admin"},
    ("GET", "/mood-messages"): {"model", "viewer"},
    ("GET", "/mood-messages/{message_id}"): {"model", "viewer", "service", "admin"},
    ("PATCH", "/mood-messages/{message_id}/read"): {"model", "viewer"},
    ("GET", "/admin/mood-messages/analytics"): {"admin"},
    ("GET", "/admin/mood-messages/dead-letters"): {"admin"},
    ("POST", "/admin/mood-messages/dead-letters/{message_id}/dismiss"): {"admin"},
    ("GET", "/admin/message-templates"): {"admin"},
    ("POST", "/admin/message-templates"): {"admin"},
    ("POST", "/admin/message-templates/shipped"): {"admin"},
    ("GET", "/admin/message-templates/{template_id}"): {"admin"},
    ("PUT", "/admin/message-templates/{template_id}"): {"admin"},
    ("DELETE", "/admin/message-templates/{template_id}"): {"admin"},
    ("GET", "/rooms/{room_id}/mood"): {"model", "viewer", "service", "admin"},
    ("PUT", "/rooms/{room_id}/mood"): {"model", "service", "admin"},
    ("GET", "/models/{model_id}/menus"): {"model", "viewer", "service", "admin"},
    ("GET", "/menus/{menu_id}"): {"model", "viewer", "service", "admin"},
    ("POST", "/menus"): {"model"},
    ("PUT", "/menus/{menu_id}"): {"model"},
    ("DELETE", "/menus/{menu_id}"): {"model"},
    ("POST", "/menus/{menu_id}/items"): {"model"},
    ("PUT", "/menus/{menu_id}/items/{item_id}"): {"model"},
    ("DELETE", "/menus/{menu_id}/items/{item_id}"): {"model"},
    ("PUT", "/subscriptions"): {"service"},
    ("POST", "/menus/purchases"): {"viewer"},
    ("GET", "/menus/purchases"): {"viewer"},
    ("GET", "/menus/purchases/{purchase_id}"): {"model", "viewer", "service", "admin"},
    ("GET", "/models/{model_id}/stage"): {"model", "viewer", "service", "admin"},
    ("PATCH", "/models/{model_id}/stage"): {"model"},
    ("POST", "/stage/purchases/{purchase_id}/start"): {"model"},
    ("POST", "/stage/purchases/{purchase_id}/finish"): {"model"},
    ("POST", "/stage/purchases/{purchase_id}/abandon"): {"model", "admin"},
    ("POST", "/stage/purchases/{purchase_id}/cancel"): {"viewer"},
    ("GET", "/stage/health"): {"admin"},
    ("GET", "/stage/dead-letters"): {"admin"},
    ("POST", "/stage/dead-letters/{letter_id}/retry"): {"admin"},
    ("POST", "/stage/dead-letters/{letter_id}/dismiss"): {"admin"},
}
"""Who may call: written down by hand, so that a new path or role must be written down, too."""
PUBLIC: Final = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/demo/tokens")}
METHODS: Final = {"get", "put", "post", "delete", "patch"}

guarded = pytest.mark.parametrize(("method", "path"), GUARDED)


def operations(site: Site) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in site.document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def unsigned(claims: dict[str, Any]) -> str:
    """`alg: none`, as the classic attack has it."""
    parts = (json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


def forged() -> Iterator[tuple[str, str]]:
    """Name and token; each says that it is an admin's."""
    good = token("admin", "boss")
    claims = jwt.decode(good, SECRET, ["HS256"], audience="tiproom")
    yield "none", unsigned(claims)
    yield "other secret", jwt.encode(claims, "x" * 32, "HS256")
    yield "other algorithm", jwt.encode(claims, SECRET * 2, "HS512")
    yield "other audience", token("admin", "boss", aud="elsewhere")
    yield "unknown role", token("root", "boss")
    yield "changed", good.replace(".", "x.", 1)
    yield "garbage", "a.b.c"


def test_the_tables_name_every_documented_operation(site: Site) -> None:
    assert operations(site).keys() == GUARDED.keys() | PUBLIC


@guarded
def test_without_a_token_nobody_gets_in(site: Site, method: str, path: str) -> None:
    missing = site.request(method, path)
    assert (missing.status_code, missing.json()["code"]) == (401, "TOKEN_MISSING")
    assert missing.headers["www-authenticate"] == "Bearer"
    basic = site.request(method, path, headers={"Authorization": "Basic Ym9zczpib3Nz"})
    assert (basic.status_code, basic.json()["code"]) == (401, "TOKEN_MISSING")


@guarded
def test_a_token_that_is_not_good_does_not_get_in(site: Site, method: str, path: str) -> None:
    for name, bearer in forged():
        answer = site.request(method, path, bearer=bearer)
        assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_INVALID"), name
    expired = site.request(method, path, bearer=token("admin", "boss", exp=1_000_000_000))
    assert (expired.status_code, expired.json()["code"]) == (401, "TOKEN_EXPIRED")


@guarded
def test_another_role_does_not_get_in(site: Site, method: str, path: str) -> None:
    """Whatever else the request is: the role is looked at first."""
    for role in set(Role) - GUARDED[method, path]:
        answer = site.request(method, path, bearer=token(role, "somebody"))
        assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN"), role


@pytest.mark.parametrize("room", ["room-2", None])
@pytest.mark.parametrize(
    ("method", "path", "role", "body"),
    [
        (
            "POST",
            "/rooms/{room_id}/tips",
            "viewer",
            {"tipId": "t", "broadcastId": "b", "amount": 5},
        ),
        ("PUT", "/rooms/{room_id}/preferences", "viewer", {"reactToMyTips": True}),
        ("POST", "/rooms/{room_id}/broadcast", "model", {"lovenseMode": "EXTENSION"}),
        ("DELETE", "/rooms/{room_id}/broadcast", "model", None),
    ],
)
def test_a_token_for_another_room_does_not_get_in(
    site: Site, method: str, path: str, role: str, body: Any, room: str | None
) -> None:
    answer = site.request(method, path, bearer=token(role, "alex", room=room), json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "WRONG_ROOM")


@pytest.mark.parametrize(
    ("method", "body"), [("POST", {"lovenseMode": "EXTENSION"}), ("DELETE", None)]
)
def test_a_token_that_names_another_models_room_does_not_broadcast_there(
    site: Site, method: str, body: Any
) -> None:
    answer = site.request(
        method, "/rooms/{room_id}/broadcast", bearer=token("model", "model-2"), json=body
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


def test_another_models_settings_are_her_own(site: Site) -> None:
    path, other = "/models/{model_id}/settings", token("model", "model-2")
    for method, body in (("GET", None), ("PATCH", {"viewerSyncMode": "OFF"})):
        answer = site.request(method, path, bearer=other, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


def test_metrics_are_for_staff(site: Site) -> None:
    assert problem_of(site.http.get("/metrics"))["code"] == "TOKEN_MISSING"
    for role, status in {"viewer": 403, "model": 403, "admin": 200, "service": 200}.items():
        headers = {"Authorization": f"Bearer {token(role, 'somebody')}"}
        assert site.http.get("/metrics", headers=headers).status_code == status


def test_public_paths_answer_without_a_token(site: Site) -> None:
    assert site.request("GET", "/healthz").json() == {"status": "alive"}
    assert site.request("GET", "/readyz").json() == {"status": "ready"}
    unknown = site.request("POST", "/demo/tokens", json={"as": "nobody"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "USER_UNKNOWN")
    for page in ("/demo/", "/demo/model", "/demo/viewer?as=alex", "/web/sdk/client.js"):
        answer = site.http.get(page)
        assert answer.status_code == 200
        assert "default-src 'self'" in answer.headers["content-security-policy"]


# ---- bad changes of settings -------------------------------------------------------------------


def test_every_bad_setting_is_named_and_none_is_changed(site: Site) -> None:
    before = site.request("GET", "/admin/settings", "admin").json()
    bad = {
        "lovenseMaxActivationDuration": 0,
        "lovenseRateLimitPerMin": "many",
        "lovenseCamSiteName": "Other",
        "enableLovense": 1,
        "lovenseMinTipForActivation": 20,
    }
    answer = site.request("PATCH", "/admin/settings", "admin", json=bad)
    assert answer.status_code == 422
    named = {each["field"] for each in answer.json()["errors"]}
    assert named == bad.keys() - {"lovenseMinTipForActivation"}
    unknown = site.request("PATCH", "/admin/settings", "admin", json={"noSuchSetting": 1})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "SETTING_UNKNOWN")
    for body in (b"[]", b"{}", b"7"):
        answer = site.request("PATCH", "/admin/settings", "admin", content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_FIELD")
    assert site.request("GET", "/admin/settings", "admin").json() == before


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1e2", "9" * 5000])
def test_a_page_that_is_no_number_of_rows_is_refused(site: Site, limit: str) -> None:
    answer = site.request("GET", "/admin/rooms", "admin", params={"limit": limit})
    assert (answer.status_code, answer.json()["field"]) == (422, "limit")


def test_rooms_come_by_page(site: Site) -> None:
    site.broadcast_id()  # wakes the room
    whole = site.request("GET", "/admin/rooms", "admin").json()
    awake = [room["roomId"] for room in whole["rooms"]]
    assert "room-1" in awake, "beside those that other tests have woken"
    assert (awake, whole["next"]) == (sorted(awake), None)
    seen, params = [], {"limit": "1"}
    for _ in awake:
        page = site.request("GET", "/admin/rooms", "admin", params=params).json()
        seen += [room["roomId"] for room in page["rooms"]]
        params["after"] = seen[-1]
    assert (seen, page["next"]) == (awake, None)
    after = site.request("GET", "/admin/rooms", "admin", params={"after": awake[-1]}).json()
    assert after == {"rooms": [], "next": None}


def test_what_cannot_be_an_id_names_nothing(site: Site) -> None:
    """Nothing of the kind reaches a room or the database: no error is logged."""
    for name in ("none", "nul%00", "%ff", "%ed%a0%80", "a%20b", "x" * 65, "x" * 5000):
        ids = {"tip_id": name, "room_id": name, "model_id": name}
        for method, path, who, code in [
            ("GET", "/admin/tips/{tip_id}", token("admin", "boss"), "TIP_UNKNOWN"),
            ("GET", "/admin/rooms/{room_id}", token("admin", "boss"), "ROOM_UNKNOWN"),
            ("DELETE", "/rooms/{room_id}/broadcast", SERVICE, "ROOM_UNKNOWN"),
            ("GET", "/models/{model_id}/settings", token("admin", "boss"), "USER_UNKNOWN"),
        ]:
            answer = site.request(method, path, bearer=who, ids=ids)
            assert (answer.status_code, answer.json()["code"]) == (404, code), name


@pytest.mark.parametrize("name", ["none.js", "%00", "../settings.py", "x" * 5000, "sdk"])
def test_a_file_that_is_not_there(site: Site, name: str) -> None:
    answer = site.http.get(f"/web/{name}")
    assert (answer.status_code, problem_of(answer)["code"]) == (404, "NOT_FOUND")


# ---- the document ------------------------------------------------------------------------------


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_reference_of_the_document_resolves(site: Site) -> None:
    found = set(references(site.document))
    assert found
    for reference in found:
        assert reference.startswith("#/components/schemas/")
        assert reference.rsplit("/", 1)[1] in site.document["components"]["schemas"], reference


def test_every_schema_of_the_document_is_one(site: Site) -> None:
    assert site.document["openapi"].startswith("3.1")
    for schema in site.document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_says_what_it_does_and_how_it_fails(site: Site) -> None:
    for (method, path), operation in operations(site).items():
        where = f"{method} {path}"
        assert operation["summary"], where
        responses = operation["responses"]
        assert "200" in responses, where
        errors = {status for status in responses if status != "200"}
        for status in errors:
            (media_type,) = responses[status]["content"]
            assert media_type == PROBLEM, where
        if (method, path) in GUARDED:
            assert operation["security"] == [{"bearer": []}], where
            assert errors >= {"401", "403"}, where
        else:
            assert not operation.get("security"), where
        if "requestBody" in operation:
            assert errors >= {"400", "413", "422"}, where
        for name in ("room_id", "model_id", "tip_id", "user_id", "hold_id", "account_id"):
            declared = {each["name"] for each in operation.get("parameters", [])}
            assert (f"{{{name}}}" in path) == (name in declared), where


def test_a_real_problem_fits_its_schema(site: Site) -> None:
    answer = site.request("PATCH", "/admin/settings", "admin", json={"lovenseMode": 1, "x": 2})
    schemas = site.document["components"]["schemas"]
    schema = {"$ref": "#/components/schemas/Problem", "components": {"schemas": schemas}}
    Draft202012Validator(schema).validate(answer.json())
