"""A viewer's page that loses its connection for a moment, with the whole real server behind it."""

import re

import httpx
import pytest
from playwright.sync_api import BrowserContext, WebSocketRoute, expect

from tests.browser.demo import Demo, expect_online
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow  # a real server and a real browser


def test_a_viewer_who_returns_reads_once_what_was_tipped_meanwhile(
    demo_server: ServerProcess, context: BrowserContext
) -> None:
    demo = Demo(demo_server, context)
    routes: list[WebSocketRoute] = []

    def tip(number: int) -> None:
        with httpx.Client(base_url=demo_server.http_url) as http:
            token = http.post("/demo/tokens", json={"as": "jo"}).json()["token"]
            admin = http.post("/demo/tokens", json={"as": "admin"}).json()["token"]
            headers = {"Authorization": f"Bearer {admin}"}
            room = http.get("/admin/rooms/room-1", headers=headers).json()["room"]
            body = {"tipId": f"t-{number}", "amount": number, "broadcastId": room["broadcastId"]}
            headers = {"Authorization": f"Bearer {token}"}
            answer = http.post("/rooms/room-1/tips", json=body, headers=headers)
            assert answer.status_code == 200, answer.text

    def on_socket(route: WebSocketRoute) -> None:
        routes.append(route)
        if len(routes) == 2:  # the page knocks again; what happened meanwhile has happened
            tip(3)
            tip(4)
        route.connect_to_server()

    context.route_web_socket(re.compile("/rooms/"), on_socket)
    page = demo.open_viewer("alex")
    feed = page.get_by_test_id("feed").get_by_role("listitem")
    tip(2)
    expect(feed).to_have_count(1)
    routes[0].close(code=1011, reason="lost")
    expect(feed).to_have_count(3)
    expect_online(page)
    expect(feed.first).to_contain_text("4 tokens")
    tip(5)
    expect(feed).to_have_count(4)
    assert demo.errors == []
