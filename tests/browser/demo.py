"""The demo's pages as people use them, in a real browser against a real server."""

from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.server_process import ServerProcess

MODEL_ID = "model-1"
SERVER_AWAY = "net::ERR_"
"""In what the browser itself says while a server is restarted: refused, cut off before an answer or
in the middle of it. Where the server answered there is a status instead."""


class Demo:
    """Opens pages, and asks the HTTP port as the admin or the model. All pages share a browser
    profile, as the windows of one person who tries the demo do."""

    def __init__(self, server: ServerProcess, context: BrowserContext) -> None:
        self.server = server
        self._context = context
        self.errors: list[str] = []

    def open_model(self, query: str = "") -> Page:
        return self._open(f"/demo/model{query}")

    def open_viewer(self, name: str) -> Page:
        """Online."""
        page = self._open(f"/demo/viewer?as={name}")
        expect_online(page)
        return page

    def open_live(self) -> Page:
        """The model's page, online, with a live room."""
        page = self.open_model()
        expect_online(page)
        expect(page.get_by_test_id("live")).to_have_text("Live")
        return page

    def patch(self, path: str, change: dict[str, Any], who: str = "admin") -> None:
        response = self._context.request.patch(
            self.server.http_url + path, data=change, headers=self._authorization(who)
        )
        assert response.ok, response.text()

    def post(self, path: str, body: dict[str, Any], who: str = "admin") -> None:
        response = self._context.request.post(
            self.server.http_url + path, data=body, headers=self._authorization(who)
        )
        assert response.ok, response.text()

    def put(self, path: str, body: dict[str, Any], who: str = "admin") -> None:
        response = self._context.request.put(
            self.server.http_url + path, data=body, headers=self._authorization(who)
        )
        assert response.ok, response.text()

    def get(self, path: str, who: str = "admin") -> Any:
        response = self._context.request.get(
            self.server.http_url + path, headers=self._authorization(who)
        )
        assert response.ok, response.text()
        return response.json()

    def set_sync_mode(self, mode: str) -> None:
        self.patch(f"/models/{MODEL_ID}/settings", {"viewerSyncMode": mode}, "model")

    def _authorization(self, who: str) -> dict[str, str]:
        response = self._context.request.post(
            f"{self.server.http_url}/demo/tokens", data={"as": who}
        )
        assert response.ok, response.text()
        return {"authorization": f"Bearer {response.json()['token']}"}

    def _open(self, path: str) -> Page:
        page = self._context.new_page()
        page.on("pageerror", lambda error: self.errors.append(f"{path}: {error}"))
        page.on("console", lambda line: self._on_console(path, line.type, line.text))
        page.goto(self.server.http_url + path)
        return page

    def _on_console(self, path: str, kind: str, text: str) -> None:
        if kind == "error" and SERVER_AWAY not in text:
            self.errors.append(f"{path}: {text}")


def expect_online(page: Page) -> None:
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "online")


def expect_strength(page: Page, strength: int) -> None:
    expect(page.get_by_test_id("toy")).to_have_attribute("data-strength", str(strength))


def in_front(page: Page) -> Page:
    """The window that a person works in. Chromium draws what is behind it once a second at most,
    and a click waits until two pictures show its place alike."""
    page.bring_to_front()
    return page


def connect_toy(page: Page) -> None:
    """As a viewer does: the button, then the simulated scan."""
    in_front(page).get_by_test_id("connect-toy").click()
    page.get_by_test_id("scan").click()
    expect_strength(page, 0)


def opt_in(page: Page, toggle: str) -> None:
    """Switch a toggle on; in force when this returns."""
    in_front(page).get_by_test_id(toggle).check()
    expect(page.get_by_test_id(toggle)).to_have_attribute("aria-busy", "false")
    expect(page.get_by_test_id(toggle)).to_be_checked()


def tip(page: Page, amount: int) -> None:
    in_front(page).get_by_test_id(f"tip-{amount}").click()


def own_tip(page: Page) -> Any:
    """The newest of the viewer's own tips."""
    return page.get_by_test_id("own-tip").first
