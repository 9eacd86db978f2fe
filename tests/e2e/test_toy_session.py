"""`GET /lovense/session`: who gets which token, and that it goes nowhere else."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.members import JSON
from tests.e2e.site import MODEL, ROOM, SERVICE, Site, running_site, token
from tests.vendors.stand_in import (
    AUTH_TOKEN,
    BASIC,
    CAM_KIT,
    DEVELOPER_TOKEN,
    MODEL_TOKEN,
    Given,
    VendorStandIn,
    vendor_stand_in,
)

PATH = "/lovense/session"


@pytest.fixture
def vendor() -> Iterator[VendorStandIn]:
    with vendor_stand_in() as vendor:
        yield vendor


@pytest.fixture
def real_site(vendor: VendorStandIn, data_dir: Path, database_dsn: str) -> Iterator[Site]:
    """With a developer token."""
    environment = {
        "DATABASE_URL": database_dsn,
        "TIPROOM_LOVENSE_DEVELOPER_TOKEN": DEVELOPER_TOKEN,
        "TIPROOM_LOVENSE_API_URL": vendor.url,
    }
    with running_site(data_dir, **environment) as site:
        yield site


def test_without_a_developer_token_toys_are_simulated(site: Site) -> None:
    model = site.request("GET", PATH, "model")
    assert (model.status_code, model.headers["cache-control"]) == (200, "no-store")
    assert model.json() == {
        "role": "model",
        "integration": "EXTENSION",
        "simulated": True,
        "autoConnect": True,
        "websiteName": "XXXChatNow",
        "modelName": "Ruby Rain",
        "scriptUrl": None,
        "modelToken": None,
        "settingsUrl": None,
    }
    viewer = site.request("GET", PATH, "alex").json()
    assert viewer == {
        "role": "viewer",
        "integration": "BASIC_SDK",
        "simulated": True,
        "autoConnect": True,
        "uid": "alex",
        "platform": "XXXChatNow",
        "scriptUrl": None,
        "authToken": None,
    }
    assert "lovense" not in model.headers["content-security-policy"]


def test_a_page_connects_by_itself_where_the_site_and_the_model_say_so(site: Site) -> None:
    def set_to(platform: bool, own: bool) -> tuple[bool, bool]:
        body = {"lovenseEnableAutoConnect": platform}
        assert site.request("PATCH", "/admin/settings", "admin", json=body).status_code == 200
        path = "/models/{model_id}/settings"
        answer = site.request("PATCH", path, "model", json={"autoConnect": own})
        assert answer.status_code == 200, answer.text
        both = (site.request("GET", PATH, who).json() for who in ("model", "alex"))
        return tuple(each["autoConnect"] for each in both)  # type: ignore[return-value]

    assert set_to(False, True) == (False, False)
    assert set_to(True, False) == (False, True)
    assert set_to(True, True) == (True, True)


def test_only_models_and_viewers_may(site: Site) -> None:
    assert site.request("GET", PATH).status_code == 401
    for bearer in (token("admin", "boss"), token("moderator", "mo"), SERVICE):
        assert site.request("GET", PATH, bearer=bearer).status_code == 403
    assert site.request("GET", PATH, bearer=token("model", "model-2")).status_code == 403


@pytest.mark.slow  # a server of its own
def test_each_gets_the_own_token_and_nobody_and_no_log_another(
    real_site: Site, vendor: VendorStandIn
) -> None:
    site = real_site
    with site.viewer("dee", JSON, toy=True) as viewer, site.model(subprotocol=JSON) as model:
        extension = site.request("GET", PATH, "model")
        assert extension.json()["integration"] == "EXTENSION"
        assert extension.json()["modelToken"] is None
        assert vendor.asked == []

        # The next broadcast's integration is none of this one's business.
        site.change_model(lovenseMode="CAM_KIT")
        assert site.request("GET", PATH, "model").json()["integration"] == "EXTENSION"
        broadcast = "/rooms/{room_id}/broadcast"
        assert site.request("DELETE", broadcast, "model").status_code == 200
        kit = site.request("GET", PATH, "model")
        assert kit.json()["integration"] == "CAM_KIT"
        assert kit.json()["modelToken"] == MODEL_TOKEN + MODEL
        assert kit.headers["cache-control"] == "no-store"
        site.change_model(lovenseMode="EXTENSION")

        for name in ("alex", "dee", "alex"):
            answer = site.request("GET", PATH, name)
            assert answer.json()["authToken"] == AUTH_TOKEN + name
            assert DEVELOPER_TOKEN not in answer.text
        assert [asked.path for asked in vendor.asked] == [CAM_KIT, BASIC, BASIC]

        started = site.request("POST", broadcast, "model", json={"lovenseMode": "EXTENSION"})
        assert started.status_code == 200, started.text
        for member in (viewer, model):
            # The answer comes behind all that the room was told before.
            assert member.ask("reportToys", toys=[])["type"] == "ok"
        sent = json.dumps([member.received for member in (viewer, model)])
        assert ROOM in sent
        for secret in (DEVELOPER_TOKEN, MODEL_TOKEN, AUTH_TOKEN):
            assert secret not in sent
            assert secret not in json.dumps(site.server.log)

    policy = answer.headers["content-security-policy"]
    for directive in ("script-src", "connect-src", "img-src"):
        [sources] = [each for each in policy.split("; ") if each.startswith(directive)]
        assert "https://*.lovense-api.com" in sources
        assert vendor.url in sources


@pytest.mark.slow  # a server of its own
def test_a_vendor_that_fails_is_said_so_and_not_asked_by_every_reload(
    real_site: Site, vendor: VendorStandIn
) -> None:
    refused = b'{"code": 501, "message": "a-secret-of-theirs"}'
    for given, status, code in [
        (Given(200, refused), 502, "VENDOR_REFUSED"),
        (Given(500, refused), 503, "VENDOR_UNAVAILABLE"),
    ]:
        vendor.given = given
        answer = real_site.request("GET", PATH, "alex")
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert "a-secret" not in answer.text
    for _ in range(10):
        answer = real_site.request("GET", PATH, "alex")
    assert (answer.status_code, answer.json()["code"]) == (429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["retry-after"]) <= 11
    assert len(vendor.asked) == 5
    vendor.given = None
    assert real_site.request("GET", PATH, "dee").status_code == 200
    assert "a-secret" not in json.dumps(real_site.server.log)
