"""Who gets which product, script and token, and how often the vendor is asked."""

from collections.abc import Awaitable, Callable, Iterator

import pytest
import trio

from protocol.errors import ErrorCode, Refused
from protocol.tip_activated import LovenseMode
from protocol.toy_settings import CAM_SITE_NAME
from server.vendors.lovense import API_URL, open_lovense
from server.vendors.toy_sessions import PAGE_HOSTS, ToySessions, VendorUrls
from server.vendors.user_tokens import ASKS_BURST, ASKS_PER_S, KEPT_S, UserTokens
from tests.actors.house import on_virtual_clock
from tests.vendors.stand_in import (
    AUTH_TOKEN,
    DEVELOPER_TOKEN,
    MODEL_TOKEN,
    VendorStandIn,
    vendor_stand_in,
)


@pytest.fixture
def vendor() -> Iterator[VendorStandIn]:
    with vendor_stand_in() as vendor:
        yield vendor


async def test_without_a_developer_token_everything_is_simulated() -> None:
    sessions = ToySessions(None, VendorUrls())
    for mode in LovenseMode:
        session = await sessions.of_model(mode, "model-1", "Ruby Rain", True)
        assert (session.integration, session.simulated) == (mode, True)
        assert session.script_url is session.model_token is session.settings_url is None
    viewer = await sessions.of_viewer("alex", "Alex", True)
    assert viewer.simulated
    assert viewer.script_url is viewer.auth_token is None
    assert sessions.page_hosts == ()


async def test_the_extension_needs_no_token(vendor: VendorStandIn) -> None:
    async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
        sessions = ToySessions(lovense, VendorUrls())
        session = await sessions.of_model(LovenseMode.EXTENSION, "model-1", "Ruby Rain", True)
    assert session.script_url == f"{API_URL}/cam-extension/static/js-sdk/broadcast.js"
    assert (session.website_name, session.model_name) == (CAM_SITE_NAME, "Ruby Rain")
    assert session.model_token is session.settings_url is None
    assert vendor.asked == []


async def test_cam_kit_gets_the_models_own_token(vendor: VendorStandIn) -> None:
    async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
        sessions = ToySessions(lovense, VendorUrls(api=vendor.url))
        session = await sessions.of_model(LovenseMode.CAM_KIT, "model/1&", "Ruby Rain", True)
    assert session.model_token == f"{MODEL_TOKEN}model/1&"
    query = f"?mToken={MODEL_TOKEN}model%2F1%26"
    assert session.script_url == f"{vendor.url}/api/cam/model/v2/model.js{query}"
    assert session.settings_url == f"{vendor.url}/api/cam/model/v2/setting{query}"


async def test_a_viewer_gets_a_token_and_each_script_can_be_moved(vendor: VendorStandIn) -> None:
    async with open_lovense(DEVELOPER_TOKEN, vendor.url) as lovense:
        usual = await ToySessions(lovense, VendorUrls()).of_viewer("alex", "Alex", True)
        urls = VendorUrls(
            extension_script="https://a.example/e.js",
            cam_kit_script="https://b.example:8443/k.js",
            basic_sdk_script="https://a.example/b.js",
        )
        sessions = ToySessions(lovense, urls)
        moved = await sessions.of_viewer("alex", "Alex", True)
    assert usual.script_url == f"{API_URL}/basic-sdk/core.min.js"
    assert (usual.uid, usual.platform) == ("alex", CAM_SITE_NAME)
    assert usual.auth_token == moved.auth_token == f"{AUTH_TOKEN}alex"
    assert moved.script_url == "https://a.example/b.js"
    assert sessions.page_hosts == (*PAGE_HOSTS, "https://a.example", "https://b.example:8443")


def in_virtual_time(main: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        on_virtual_clock(main)

    return run


class Vendor:
    """Counts who asked; fails while `away`."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    async def ask(self) -> str:
        self.asked += 1
        number = self.asked
        await trio.sleep(0.001)
        if self.away:
            raise Refused(ErrorCode.VENDOR_UNAVAILABLE)
        return f"token-{number}"


async def refusal(tokens: UserTokens, vendor: Vendor, user: str = "ann") -> ErrorCode:
    with pytest.raises(Refused) as caught:
        await tokens.get(user, vendor.ask)
    assert (caught.value.refusal.retry_after_s is not None) == (
        caught.value.refusal.code is ErrorCode.RATE_LIMITED
    )
    return caught.value.refusal.code


@in_virtual_time
async def test_several_pages_and_reloads_ask_once() -> None:
    tokens, vendor = UserTokens(), Vendor()
    got: list[str] = []

    async def page() -> None:
        got.append(await tokens.get("ann", vendor.ask))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(page)
    await trio.sleep(KEPT_S - 1)
    await page()
    assert got == ["token-1"] * 6
    await trio.sleep(2)
    await page()
    assert (got[-1], vendor.asked) == ("token-2", 2)
    assert await tokens.get("bob", vendor.ask) == "token-3"


@in_virtual_time
async def test_a_vendor_that_fails_is_asked_with_measure() -> None:
    tokens, vendor = UserTokens(), Vendor()
    vendor.away = True
    for _ in range(ASKS_BURST):
        assert await refusal(tokens, vendor) is ErrorCode.VENDOR_UNAVAILABLE
    for _ in range(20):
        assert await refusal(tokens, vendor) is ErrorCode.RATE_LIMITED
    assert vendor.asked == ASKS_BURST
    assert await refusal(tokens, vendor, "bob") is ErrorCode.VENDOR_UNAVAILABLE
    await trio.sleep(1 / ASKS_PER_S)
    vendor.away = False
    assert (await tokens.get("ann", vendor.ask)).startswith("token-")


@in_virtual_time
async def test_a_page_that_leaves_leaves_the_next_one_its_turn() -> None:
    tokens, vendor = UserTokens(), Vendor()
    with trio.move_on_after(0.0001) as gone:
        await tokens.get("ann", vendor.ask)
    assert gone.cancelled_caught
    assert await tokens.get("ann", vendor.ask) == "token-2"


@in_virtual_time
async def test_what_is_kept_is_bounded() -> None:
    tokens, vendor = UserTokens(users_max=2), Vendor()
    for user in ("ann", "bob", "ann", "cat"):
        await tokens.get(user, vendor.ask)
        assert len(tokens) <= 2
    assert await tokens.get("ann", vendor.ask) == "token-1"
    assert await tokens.get("bob", vendor.ask) == "token-4"
