"""Headless Chromium on the real pages and on the page's modules.

`static_site` serves server/web as the HTTP port does (same paths, same content policy) without a
server behind it: enough for simulators, adapters and the client against a hand-written socket.
"""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

HARNESS = Path(__file__).with_name("harness.js")
WEB_DIR = Path(__file__).resolve().parents[2] / "server" / "web"
CONTENT_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'"
BLANK = b"<!doctype html><html lang=en><meta charset=utf-8><title>Blank</title><main></main>"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 30_000
"""On a busy machine a page and a server that was killed may need as long to find each other."""

expect.set_options(timeout=TIMEOUT_MS)


class _StaticHandler(SimpleHTTPRequestHandler):
    """/web/... from the folder, the tests' own harness, and else an empty page of that origin."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/web/"):
            self.path = self.path.removeprefix("/web")
            super().do_GET()
        elif self.path == "/harness.js":
            self._answer("text/javascript", HARNESS.read_bytes())
        else:
            self._answer("text/html; charset=utf-8", BLANK)

    def _answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", CONTENT_POLICY)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet: a failing test says enough."""


def harness(page: Page, function: str, argument: Any = None) -> None:
    """Call one function of harness.js in the page."""
    page.evaluate(
        "async ([name, argument]) => { await (await import('/harness.js'))[name](argument) }",
        [function, argument],
    )


@pytest.fixture(scope="session")
def static_site() -> Iterator[str]:
    """The address, without a slash at the end."""
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_StaticHandler, directory=str(WEB_DIR))
    ) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's, its headless shell where there is one: the whole browser takes four times as long
    to open a page. The absence of both is a failure, not a reason to skip."""
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    assert path is not None, "these tests need Chromium (apt install chromium-headless-shell)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser of its own: no storage shared with another test."""
    context = chromium.new_context()
    context.set_default_timeout(TIMEOUT_MS)
    yield context
    context.close()


@pytest.fixture
def blank(context: BrowserContext, static_site: str) -> Iterator[Page]:
    """An empty page that can import /web/...; an error on it that nobody expects fails the test."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{static_site}/")
    yield page
    assert errors == []


@pytest.fixture
def page(blank: Page) -> Page:
    """The same, with a clock that stands still until a test moves it."""
    blank.clock.install(time=0)
    blank.clock.pause_at(1_000)
    return blank
