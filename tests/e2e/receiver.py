"""An outside system that takes webhooks: a plain HTTP server on this machine, in a thread. It
checks each signature as docs/webhooks.md tells receivers to."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

WAIT_S: Final = 30.0
CLOCKS_DIFFER_S: Final = 300


@dataclass
class Receiver:
    """`got`: the events that it said yes to, in order; `refused`: how often it did not. What it
    answers is `status`; None: nothing at all, while `hung` is not set."""

    secret: str = ""
    status: int | None = 200
    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    refused: int = 0
    forged: int = 0
    hung: threading.Event = field(default_factory=threading.Event)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def take(self, headers: Mapping[str, str], body: bytes) -> int | None:
        with self._news:
            if not self._is_genuine(headers, body):
                self.forged += 1
                return 401
            self.attempts.append(int(headers["Tiproom-Delivery-Attempt"]))
            if self.status == 200:
                event = json.loads(body)
                assert event["eventId"] == headers["Tiproom-Event-Id"]
                assert event["tipId"] == headers["Tiproom-Tip-Id"]
                self.got.append(event)
                self.bodies.append(body)
            else:
                self.refused += 1
            self._news.notify_all()
            return self.status

    def _is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        timestamp = headers["Tiproom-Timestamp"]
        signed = timestamp.encode() + b"." + body
        expected = "v1=" + hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
        return (
            hmac.compare_digest(expected, headers["Tiproom-Signature"])
            and abs(time.time() - int(timestamp)) < CLOCKS_DIFFER_S
        )

    @property
    def tip_ids(self) -> list[str]:
        return [event["tipId"] for event in self.got]

    def until(self, tip_id: str) -> None:
        """Until it has got this one."""
        with self._news:
            assert self._news.wait_for(lambda: tip_id in self.tip_ids, WAIT_S), self.tip_ids

    def until_refused(self, times: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.refused >= times, WAIT_S), self.refused


@contextmanager
def listening() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take(self.headers, body)
            if status is None:
                receiver.hung.wait(WAIT_S)
                self.close_connection = True
                return
            self.send_response(status)
            if status == 302:
                self.send_header("Location", receiver.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Nothing on the tests' own output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_port}/tips"
        try:
            yield receiver
        finally:
            receiver.hung.set()
            server.shutdown()
            thread.join()
