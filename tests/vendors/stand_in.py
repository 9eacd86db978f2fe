"""A stand-in for the vendor's API, which answers by the documented codes and serves a stand-in
script of the same signatures. The vendor's own can be neither asked nor read by a test."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

DEVELOPER_TOKEN: Final = "the-developer-token-of-the-operator"
MODEL_TOKEN: Final = "m-token-of-"
AUTH_TOKEN: Final = "auth-token-of-"
"""Each followed by the user's id."""

CAM_KIT: Final = "/api/cam/model/getToken"
BASIC: Final = "/api/basicApi/getToken"

SCRIPT: Final = Path(__file__).with_name("stand_in_scripts.js")
SCRIPT_PATHS: Final = frozenset(
    {
        "/cam-extension/static/js-sdk/broadcast.js",
        "/api/cam/model/v2/model.js",
        "/basic-sdk/core.min.js",
    }
)


class Asked(NamedTuple):
    """One request that came; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


class Given(NamedTuple):
    """An answer that a test gives in place of the documented one."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class VendorStandIn:
    """`asked`: what came, by POST. `given`: what is answered instead. `script`: what it serves as
    each script; None: nothing. While `hold` is cleared, a POST is not answered."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.given: Given | None = None
        self.script: bytes | None = SCRIPT.read_bytes()
        self.hold = threading.Event()
        self.hold.set()

    def answer(self, path: str, content_type: str, body: bytes) -> Given:
        if self.given is not None:
            return self.given
        documented = self._cam_kit if path == CAM_KIT else self._basic
        return Given(200, json.dumps(documented(content_type, body)).encode())

    def _cam_kit(self, content_type: str, body: bytes) -> dict[str, Any]:
        assert content_type.startswith("application/x-www-form-urlencoded")
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        assert form.keys() == {"dToken", "mInfo"}
        if form["dToken"] != DEVELOPER_TOKEN:
            return {"result": False, "message": "Invalid token", "code": 401, "data": None}
        model = json.loads(form["mInfo"])
        if model.keys() != {"mId", "mName"}:
            return {"result": False, "message": "Invalid user information", "code": 402}
        data = {"mId": model["mId"], "mToken": MODEL_TOKEN + model["mId"]}
        return {"result": True, "message": "SuccessFully", "code": 200, "data": data}

    def _basic(self, content_type: str, body: bytes) -> dict[str, Any]:
        assert content_type == "application/json"
        user = json.loads(body)
        assert user.keys() == {"token", "uid", "uname"}
        if user["token"] != DEVELOPER_TOKEN:
            return {"code": 501, "message": "Invalid token", "data": None}
        return {"code": 0, "message": "Success", "data": {"authToken": AUTH_TOKEN + user["uid"]}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vendor: VendorStandIn

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        self.vendor.asked.append(Asked(self.path, headers, body))
        self.vendor.hold.wait()
        self._send(self.vendor.answer(self.path, headers.get("content-type", ""), body))

    def do_GET(self) -> None:
        script = self.vendor.script
        if script is not None and urlsplit(self.path).path in SCRIPT_PATHS:
            self._send(Given(200, script, {"Content-Type": "text/javascript"}))
        else:
            self._send(Given(404, b"none"))

    def _send(self, given: Given) -> None:
        self.send_response(given.status)
        for name, value in given.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(given.body)))
        self.end_headers()
        self.wfile.write(given.body)

    def log_message(self, *_: object) -> None:
        """Quiet: a failing test says enough."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that no longer waits for its answer is one of the cases."""


@contextmanager
def vendor_stand_in() -> Iterator[VendorStandIn]:
    """On a free port of 127.0.0.1."""
    vendor = VendorStandIn()
    handler = type("Handler", (_Handler,), {"vendor": vendor})
    with _Server(("127.0.0.1", 0), handler) as server:
        vendor.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield vendor
        finally:
            vendor.hold.set()
            server.shutdown()
            thread.join()
