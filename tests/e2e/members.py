"""Members of a room over foreign WebSocket clients: Python's `websockets` and Node's `ws`.

Frames are plain dicts: nothing of ours decodes or encodes them here.
"""

import json
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Final, Protocol

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

ANSWER_TIMEOUT_S: Final = 10.0
JSON: Final = "tiproom.v1.json"
MSGPACK: Final = "tiproom.v1.msgpack"
NODE_CLIENT: Final = Path(__file__).resolve().parent.parent / "clients" / "node" / "tipper.js"

Frame = dict[str, Any]


class Closed(Exception):
    """The server ended the connection with this close code; 1006 without one."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Socket(Protocol):
    """One open WebSocket with one subprotocol."""

    def send(self, frame: Mapping[str, Any]) -> None: ...

    def receive(self, timeout_s: float) -> Frame:
        """The next frame. Raises TimeoutError, Closed."""
        ...


class WebsocketsSocket:
    """Over `websockets`. `raw` is the last message as it came."""

    def __init__(self, connection: ClientConnection) -> None:
        self._binary = connection.subprotocol == MSGPACK
        self.connection = connection
        self.raw: bytes | str = b""

    def send(self, frame: Mapping[str, Any]) -> None:
        message = msgspec.msgpack.encode(frame) if self._binary else json.dumps(frame)
        try:
            self.connection.send(message)
        except ConnectionClosed as closed:
            raise _closed(closed) from closed

    def receive(self, timeout_s: float) -> Frame:
        try:
            self.raw = self.connection.recv(timeout_s)
        except ConnectionClosed as closed:
            raise _closed(closed) from closed
        if isinstance(self.raw, bytes):
            assert self._binary
            frame = msgspec.msgpack.decode(self.raw)
        else:
            assert not self._binary
            frame = json.loads(self.raw)
        assert isinstance(frame, dict)
        return frame


@contextmanager
def websockets_client(url: str, subprotocol: str) -> Iterator[WebsocketsSocket]:
    """An open socket; closed in order after the block.

    It leaves pings to the server: the library's own take their bytes from the global `random`, and
    hypothesis refuses a strategy in another thread that sees it move.
    """
    wanted = [Subprotocol(subprotocol)]
    with connect(
        url, subprotocols=wanted, compression=None, max_size=2**20, ping_interval=None
    ) as connection:
        assert connection.subprotocol == subprotocol
        yield WebsocketsSocket(connection)


def _closed(closed: ConnectionClosed) -> Closed:
    return Closed(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Closed(1006, "")


class NodeSocket:
    """Over `ws`, in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._events: queue.Queue[Frame] = queue.Queue()

    def read(self, lines: IO[str]) -> None:
        """In a thread: everything that the process says."""
        for line in lines:
            self._events.put(json.loads(line))

    def opened(self) -> str:
        """The subprotocol, once the socket is open."""
        event = self._events.get(timeout=ANSWER_TIMEOUT_S)
        assert event["event"] == "open", event
        subprotocol = event["subprotocol"]
        assert isinstance(subprotocol, str)
        return subprotocol

    def send(self, frame: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(frame) + "\n")

    def receive(self, timeout_s: float) -> Frame:
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty as empty:
            raise TimeoutError from empty
        match event:
            case {"event": "frame", "frame": dict(frame)}:
                return frame
            case {"event": "close", "code": int(code), "reason": str(reason)}:
                raise Closed(code, reason)
            case _:
                raise AssertionError(event)


@contextmanager
def node_client(url: str, subprotocol: str) -> Iterator[NodeSocket]:
    """An open socket; closed in order after the block."""
    node = Path(sys.executable).with_name("node")  # of the environment, as `make` sets it up
    command = [str(node), str(NODE_CLIENT), url, subprotocol]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        socket = NodeSocket(process)
        reader = threading.Thread(target=socket.read, args=[process.stdout])
        reader.start()
        try:
            assert socket.opened() == subprotocol
            yield socket
        finally:
            process.stdin.close()
            process.wait(ANSWER_TIMEOUT_S)
            reader.join()


Client = Callable[[str, str], AbstractContextManager[Socket]]
"""`client(url, subprotocol)`"""


class Member:
    """Someone at a socket who can ask, and wait for what the server sends."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.received: list[Frame] = []
        """Everything since the socket opened."""
        self.snapshot: Frame = {}
        self._waiting: deque[Frame] = deque()
        self._ref = 0

    @property
    def broadcast_id(self) -> str:
        """As the snapshot named it."""
        broadcast_id = self.snapshot["room"]["broadcastId"]
        assert isinstance(broadcast_id, str)
        return broadcast_id

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send({"type": kind, **fields})

    def ask(self, kind: str, ref: int | None = None, **fields: Any) -> Frame:
        """The `ok` or `error` to it; what else comes meanwhile waits for `until`."""
        if ref is None:
            self._ref += 1
            ref = self._ref
        self.send(kind, ref=ref, **fields)
        passed: list[Frame] = []
        while True:
            frame = self._receive()
            if frame["type"] in ("ok", "error") and frame["ref"] == ref:
                self._waiting.extend(passed)
                return frame
            passed.append(frame)

    def join(self, token: str, **fields: Any) -> Frame:
        """Connect, and take the snapshot."""
        answer = self.ask("connect", token=token, **fields)
        assert answer["type"] == "ok", answer
        self.snapshot = self.until("snapshot")
        return self.snapshot

    def tip(self, tip_id: str, amount: Any, broadcast_id: str | None = None, **more: Any) -> Frame:
        broadcast_id = broadcast_id or self.broadcast_id
        return self.ask("tip", tipId=tip_id, amount=amount, broadcastId=broadcast_id, **more)

    def until(self, kind: str, **fields: Any) -> Frame:
        """The next frame of this kind with these values; what comes before it stays."""
        passed: deque[Frame] = deque()
        while True:
            frame = self.next()
            if frame["type"] == kind and all(frame[name] == fields[name] for name in fields):
                self._waiting.extendleft(reversed(passed))
                return frame
            passed.append(frame)

    def next(self) -> Frame:
        """Whatever comes next."""
        return self._waiting.popleft() if self._waiting else self._receive()

    def so_far(self, kind: str) -> list[Frame]:
        """All frames of a kind that the room had sent before it answered this question, which it
        refuses and which so changes nothing; the socket keeps the order."""
        is_viewer = self.snapshot["self"]["role"] == "viewer"
        answer = self.ask("endBroadcast" if is_viewer else "setPreferences")
        assert answer["code"] == "FORBIDDEN"
        return [frame for frame in self.received if frame["type"] == kind]

    def run(self, command: Frame) -> None:
        """Answer a command as a page whose toy reacts."""
        self.send("commandAccepted", commandId=command["commandId"])
        self.send("commandActivated", commandId=command["commandId"])

    def closed(self) -> Closed:
        """Take what still comes, until the server has closed."""
        while True:
            try:
                self._receive()
            except Closed as closed:
                return closed

    def _receive(self) -> Frame:
        frame = self.socket.receive(ANSWER_TIMEOUT_S)
        self.received.append(frame)
        return frame
