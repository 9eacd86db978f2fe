"""The vendor's API by its documented codes, and by everything else that can come back."""

import gzip
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
import trio
from structlog.testing import capture_logs

from protocol.errors import ErrorCode, Refused
from server.vendors.lovense import ANSWER_BYTES_MAX, Lovense, open_lovense
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


@pytest.fixture
def vendor() -> Iterator[VendorStandIn]:
    with vendor_stand_in() as vendor:
        yield vendor


async def refusal(lovense: Lovense, product: str = CAM_KIT) -> ErrorCode:
    ask = lovense.model_token if product == CAM_KIT else lovense.viewer_token
    with pytest.raises(Refused) as caught:
        await ask("model-1", "Ruby Rain")
    return caught.value.refusal.code


async def test_a_models_token_is_asked_for_as_a_form(vendor: VendorStandIn) -> None:
    async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
        token = await lovense.model_token("model-1", 'Rübe & "Rain"=1')
    assert token == f"{MODEL_TOKEN}model-1"
    [asked] = vendor.asked
    assert asked.path == CAM_KIT
    form = parse_qs(asked.body.decode(), strict_parsing=True)
    assert form["dToken"] == [DEVELOPER_TOKEN]
    assert [json.loads(each) for each in form["mInfo"]] == [
        {"mId": "model-1", "mName": 'Rübe & "Rain"=1'}
    ]


async def test_a_viewers_token_is_asked_for_in_json(vendor: VendorStandIn) -> None:
    async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
        token = await lovense.viewer_token("alex", "Älex")
    assert token == f"{AUTH_TOKEN}alex"
    [asked] = vendor.asked
    assert asked.path == BASIC
    assert json.loads(asked.body) == {"token": DEVELOPER_TOKEN, "uid": "alex", "uname": "Älex"}


@pytest.mark.parametrize("product", [CAM_KIT, BASIC])
async def test_a_wrong_developer_token_is_refused(vendor: VendorStandIn, product: str) -> None:
    async with open_lovense("another", vendor.url) as lovense:
        assert await refusal(lovense, product) is ErrorCode.VENDOR_REFUSED


@pytest.mark.parametrize(
    ("product", "code"),
    [(CAM_KIT, code) for code in (401, 402, 505, "401", 0, "0", -1, "", "2OO", "٢٠٠")]
    + [(BASIC, code) for code in (1, 200, 501, "1", "00000000000", "-0")],
)
async def test_every_other_code_is_a_refusal(
    vendor: VendorStandIn, product: str, code: int | str
) -> None:
    data = {"mToken": "m", "authToken": "a"}
    vendor.given = Given(200, json.dumps({"code": code, "data": data}).encode())
    async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
        assert await refusal(lovense, product) is ErrorCode.VENDOR_REFUSED


@pytest.mark.parametrize("status", [200, 201, 400, 401])
async def test_its_types_are_loose_and_its_status_says_nothing(
    vendor: VendorStandIn, status: int
) -> None:
    answer = {"result": "true", "code": "200", "data": {"mToken": "m", "more": [1]}, "more": None}
    vendor.given = Given(status, json.dumps(answer).encode())
    async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
        assert await lovense.model_token("model-1", "Ruby") == "m"
    vendor.given = Given(status, b'{"code": "0", "data": {"authToken": "a"}}')
    async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
        assert await lovense.viewer_token("alex", "alex") == "a"


GOOD = b'{"code": 200, "data": {"mToken": "m"}}'
UNUSABLE = {
    "empty": Given(200, b""),
    "a page": Given(200, b"<!doctype html>"),
    "not UTF-8": Given(200, b'{"code": 200, "data": {"mToken": "\xff"}}'),
    "a list": Given(200, b"[200]"),
    "deep": Given(200, b"[" * 60_000),
    "no code": Given(200, b'{"data": {"mToken": "m"}}'),
    "no data": Given(200, b'{"code": 200}'),
    "a text as data": Given(200, b'{"code": 200, "data": "m"}'),
    "no token": Given(200, b'{"code": 200, "data": {"mtoken": "m"}}'),
    "an empty token": Given(200, b'{"code": 200, "data": {"mToken": ""}}'),
    "a number as token": Given(200, b'{"code": 200, "data": {"mToken": 5}}'),
    "a long token": Given(200, json.dumps({"code": 200, "data": {"mToken": "m" * 5000}}).encode()),
    "too long": Given(200, GOOD + b" " * ANSWER_BYTES_MAX),
    "compressed": Given(200, gzip.compress(GOOD), {"Content-Encoding": "gzip"}),
    "a failure": Given(500, GOOD),
    "a gateway's failure": Given(502, b"bad gateway"),
    "a redirect": Given(302, GOOD, {"Location": BASIC}),
    "a lasting redirect": Given(308, GOOD, {"Location": BASIC}),
}


@pytest.mark.parametrize("given", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_an_answer_that_cannot_be_used(vendor: VendorStandIn, given: Given) -> None:
    vendor.given = given
    async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
        assert await refusal(lovense) is ErrorCode.VENDOR_UNAVAILABLE
        assert [asked.path for asked in vendor.asked] == [CAM_KIT]
        vendor.given = None
        assert await lovense.model_token("model-1", "Ruby") == f"{MODEL_TOKEN}model-1"


async def test_a_vendor_that_does_not_answer(vendor: VendorStandIn) -> None:
    vendor.hold.clear()
    async with open_lovense(DEVELOPER_TOKEN, vendor.url, timeout_s=0.05) as lovense:
        assert await refusal(lovense) is ErrorCode.VENDOR_UNAVAILABLE
        vendor.hold.set()


async def test_a_crowd_waits_no_longer_than_one(vendor: VendorStandIn) -> None:
    vendor.hold.clear()
    refusals: list[ErrorCode] = []

    async def ask(lovense: Lovense) -> None:
        refusals.append(await refusal(lovense))

    async with (
        open_lovense(DEVELOPER_TOKEN, vendor.url, timeout_s=0.1) as lovense,
        trio.open_nursery() as nursery,
    ):
        for _ in range(40):
            nursery.start_soon(ask, lovense)
    assert refusals == [ErrorCode.VENDOR_UNAVAILABLE] * 40
    assert len(vendor.asked) <= 16


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with open_lovense(DEVELOPER_TOKEN, f"http://127.0.0.1:{port}") as lovense:
        assert await refusal(lovense) is ErrorCode.VENDOR_UNAVAILABLE


async def test_one_users_cookie_does_not_go_with_anothers_request(vendor: VendorStandIn) -> None:
    vendor.given = Given(200, GOOD, {"Set-Cookie": "session=ruby; Path=/"})
    async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
        for model_id in ("model-1", "model-2"):
            await lovense.model_token(model_id, model_id)
    assert len(vendor.asked) == 2
    assert all("cookie" not in asked.headers for asked in vendor.asked)


async def test_no_secret_is_logged(vendor: VendorStandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refused = Given(200, b'{"code": 401, "message": "a-secret", "data": {"mToken": "a-secret"}}')
    entries: list[Any]
    with capture_logs() as entries:
        async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
            await lovense.model_token("model-1", "Ruby Rain")
            await lovense.viewer_token("model-1", "Ruby Rain")
            for given in (refused, UNUSABLE["no token"], UNUSABLE["a failure"]):
                vendor.given = given
                for product in (CAM_KIT, BASIC):
                    await refusal(lovense, product)
    logged = caplog.text + repr(entries)
    assert "vendor_refused" in logged
    assert "vendor_unavailable" in logged
    for secret in (DEVELOPER_TOKEN, MODEL_TOKEN, AUTH_TOKEN, "a-secret", "Ruby", "model-1"):
        assert secret not in logged
