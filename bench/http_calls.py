"""HTTP/1.1 in the load client's loop: requests over connections that stay open, one under way on
each. What is more than they can take waits in line, and its time counts from when it was asked for.
"""

import json
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from bench.load import LoadClient

_HEADER_END: Final = b"\r\n\r\n"
_READ_BYTES: Final = 64 * 1024

OnAnswer = Callable[[int, Any, int], None]
"""Status, JSON, and the moment (time.perf_counter_ns) at which all of it was there."""


class _Call(NamedTuple):
    request: bytes
    on_answer: OnAnswer


class _Connection:
    """One socket; `call`: what it waits for an answer to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.call: _Call | None = None
        self.used = False
        """It has had an answer: one that ends now was closed for being idle."""


class HttpCalls:
    """`failures` counts what was no answer of the server's, by kind."""

    def __init__(self, client: LoadClient, port: int, connections_max: int) -> None:
        self._client = client
        self._port = port
        self._connections_max = connections_max
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._waiting: deque[_Call] = deque()
        self.failures: Counter[str] = Counter()

    @property
    def unanswered(self) -> int:
        return len(self._waiting) + len(self._open) - len(self._idle)

    def post(self, path: str, bearer: str, body: Any, on_answer: OnAnswer) -> int:
        """Returns the moment of asking (time.perf_counter_ns)."""
        now_ns = time.perf_counter_ns()
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {bearer}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self._waiting.append(_Call(head.encode() + data, on_answer))
        self._send_next()
        return now_ns

    def close(self) -> None:
        for connection in list(self._open):
            self._drop(connection)

    def _send_next(self) -> None:
        while self._waiting:
            if self._idle:
                connection = self._idle.pop()
            elif len(self._open) < self._connections_max:
                connection = self._connect()
            else:
                return
            connection.call = self._waiting.popleft()
            try:
                connection.sock.send(connection.call.request)
            except OSError:
                self._lost(connection)

    def _connect(self) -> _Connection:
        sock = socket.create_connection(("127.0.0.1", self._port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        connection = _Connection(sock)
        self._open.add(connection)
        self._client.watch(sock.fileno(), select.EPOLLIN, lambda: self._receive(connection))
        return connection

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(connection)
            return
        connection.received += data
        head, end, body = connection.received.partition(_HEADER_END)
        if not end or len(body) < _content_length(head):
            return
        now_ns, call = time.perf_counter_ns(), connection.call
        connection.received, connection.call, connection.used = b"", None, True
        self._idle.append(connection)
        if call is None:
            self.failures["an answer to nothing"] += 1
        else:
            call.on_answer(int(head[9:12]), json.loads(body), now_ns)
        self._send_next()

    def _lost(self, connection: _Connection) -> None:
        """An idle one that the server has closed takes its request to another."""
        call = connection.call
        self._drop(connection)
        if call is not None and connection.used:
            self._waiting.appendleft(call)
            self._send_next()
        elif call is not None:
            self.failures["connection lost"] += 1

    def _drop(self, connection: _Connection) -> None:
        self._client.unwatch(connection.sock.fileno())
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.sock.close()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
