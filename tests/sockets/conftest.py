"""A server on a real port with a small room behind it, and clients to talk to it."""

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from actors.ports import StoreUnavailable, UserRecord, ViewerRecord
from actors.room.messages import Join, Leave, MemberFrame
from actors.room.whereabouts import Arrival, Whereabouts
from actors.runtime.mailbox import MailboxClosed
from protocol.codec import CODECS, MSGPACK
from protocol.errors import ErrorCode, Refused
from protocol.frames import (
    ClientFrame,
    Connect,
    Ok,
    PresenceChanged,
    RoomEvent,
    RoomView,
    SelfView,
    ServerFrame,
    Snapshot,
    Tip,
    TipNotice,
)
from protocol.gating import Gates, Preferences
from protocol.tip_activated import LovenseMode, MembershipTier, ViewerSyncMode
from server.auth import Authority, Identity, Role
from server.sockets.fan_out import FanOut
from server.sockets.limits import SocketLimits
from server.sockets.listener import SocketServer, serve_sockets
from server.sockets.member_book import MemberBook
from server.sockets.room_endpoint import RoomEndpoint

ROOM = "room-1"
ORIGIN = "https://rooms.example"
TEST_TIMEOUT_S = 30
SECRET = b"0123456789abcdef0123456789abcdef"


class Doorman:
    """The smallest room: admits who joins, answers tips with `ok`, remembers what it was told."""

    def __init__(self, delivery: FanOut, room_id: str) -> None:
        self.delivery = delivery
        self.room_id = room_id
        self.joins: list[Join] = []
        self.told: list[Any] = []
        self.first: list[Any] = []
        self.left: list[int] = []
        self.changed = trio.lowlevel.ParkingLot()
        self.refusing: type[Exception] | None = None
        self.events_on_join = 0

    def tell(self, message: Any) -> None:
        if self.refusing is not None:
            raise self.refusing
        match message:
            case Join():
                self._join(message)
            case MemberFrame(session_id, Tip() as tip):
                self.told.append(message)
                self.delivery.send(session_id, Ok(tip.ref))
            case _:
                self.told.append(message)
        self.delivery.flush()
        self.changed.unpark_all()

    def tell_always(self, message: Any) -> None:
        if self.refusing is MailboxClosed:
            raise MailboxClosed
        assert isinstance(message, Leave)
        self.left.append(message.session_id)
        self.changed.unpark_all()

    def tell_first(self, message: Any) -> None:
        self.first.append(message)
        self.changed.unpark_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self.changed.park()

    def _join(self, join: Join) -> None:
        self.joins.append(join)
        if join.ref is not None:
            self.delivery.send(join.session_id, Ok(join.ref))
        self.delivery.send(join.session_id, self._snapshot(join))
        self.delivery.admit(self.room_id, join.session_id)
        for offset in range(self.events_on_join):
            self.delivery.broadcast(self.room_id, presence(offset))

    def _snapshot(self, join: Join) -> Snapshot:
        room = RoomView(
            self.room_id, "model-1", "Model", True, "b-1", LovenseMode.EXTENSION,
            ViewerSyncMode.OFF, True, False, False, (),
        )  # fmt: skip
        own = SelfView(
            join.user_id, join.username, "model" if join.is_model else "viewer",
            join.membership_tier, join.viewer.balance, False, False, False, Gates(False, False),
            False,
        )  # fmt: skip
        return Snapshot("e-1", 0, False, 0, room, own, len(self.joins))


def notice(offset: int) -> TipNotice:
    """An event that is never dropped."""
    return TipNotice(
        "e-1", offset, username="ann", amount=5, item_name="", description_public="",
        timestamp="2026-01-01T00:00:00-05:00",
    )  # fmt: skip


def presence(offset: int, viewers: int = 1) -> PresenceChanged:
    return PresenceChanged("e-1", offset, viewers)


class OneRoom:
    """Rooms, members and mail of the test: one room, every user known."""

    def __init__(self, delivery: FanOut) -> None:
        self.room = Doorman(delivery, ROOM)
        self.opened = 0
        self.on_open: Callable[[], None] = lambda: None
        self.store_down = False
        self.slow_until: trio.Event | None = None
        """The database answers no viewer's join before it."""
        self.whereabouts = Whereabouts()
        self.mail: list[tuple[str, str, str]] = []
        """What sessions said to it: which call, the user, the message."""

    def arriving(self, user_id: str) -> AbstractContextManager[Arrival]:
        return self.whereabouts.arriving(user_id)

    def connected(self, user_id: str) -> None:
        self.mail.append(("connected", user_id, ""))

    def delivered(self, user_id: str, message_id: str) -> None:
        self.mail.append(("delivered", user_id, message_id))

    def read(self, user_id: str, message_id: str) -> None:
        self.mail.append(("read", user_id, message_id))

    async def open(self, room_id: str) -> Doorman:
        await trio.lowlevel.checkpoint()
        self.opened += 1
        self.on_open()
        if room_id != ROOM:
            raise Refused(ErrorCode.ROOM_UNKNOWN)
        return self.room

    async def load_viewer(self, user_id: str) -> ViewerRecord:
        await trio.lowlevel.checkpoint()
        if self.slow_until is not None:
            await self.slow_until.wait()
        if self.store_down:
            raise StoreUnavailable
        if user_id == "cursed":
            raise ZeroDivisionError("a fault of ours")
        return ViewerRecord(Preferences(), 100)

    async def load_user(self, user_id: str) -> UserRecord | None:
        await trio.lowlevel.checkpoint()
        return UserRecord(user_id, user_id, MembershipTier.FREE)


class Client:
    """One page: speaks frames over a foreign end of the socket."""

    def __init__(self, socket: WebSocketConnection) -> None:
        assert socket.subprotocol is not None
        self.socket = socket
        self.codec = CODECS[socket.subprotocol]

    async def say(self, frame: ClientFrame) -> None:
        payload = self.codec.encode(frame)
        await self.socket.send_message(payload if self.codec.binary else payload.decode())

    async def hear(self) -> ServerFrame:
        return self.codec.decode_server(await self.socket.get_message())

    async def connect(self, token: str, **fields: Any) -> Snapshot:
        """Join; returns the snapshot."""
        await self.say(Connect(1, token, **fields))
        assert await self.hear() == Ok(1)
        snapshot = await self.hear()
        assert isinstance(snapshot, Snapshot)
        return snapshot


class House:
    """The running server."""

    def __init__(
        self,
        server: SocketServer,
        endpoint: RoomEndpoint,
        delivery: FanOut,
        rooms: OneRoom,
        authority: Authority,
        book: MemberBook,
    ) -> None:
        self.server = server
        self.endpoint = endpoint
        self.port = server.port
        self.delivery = delivery
        self.rooms = rooms
        self.room = rooms.room
        self.authority = authority
        self.book = book

    def broadcast(self, *events: RoomEvent) -> None:
        """In one turn of the room."""
        for event in events:
            self.delivery.broadcast(ROOM, event)
        self.delivery.flush()

    def token(self, user_id: str = "viewer-1", **fields: Any) -> str:
        identity = Identity(
            **{
                "user_id": user_id,
                "username": user_id,
                "role": Role.VIEWER,
                "room_id": ROOM,
                "expires_at_utc": datetime.now(UTC) + timedelta(hours=1),
                **fields,
            }
        )
        return self.authority.issue(identity)

    @asynccontextmanager
    async def client(
        self, path: str = f"/rooms/{ROOM}", subprotocols: tuple[str, ...] = (MSGPACK,), **more: Any
    ) -> AsyncIterator[Client]:
        # The stream is ours, because trio-websocket's client leaves it open when the server is
        # the first to close.
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream, trio.open_nursery() as nursery:
            opened = await wrap_client_stream(
                nursery, stream, "x", path, subprotocols=subprotocols, **more
            )
            yield Client(opened)
            with trio.move_on_after(1):
                await opened.aclose()
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def member(self, user_id: str = "viewer-1", **more: Any) -> AsyncIterator[Client]:
        """A client that has joined."""
        async with self.client(**more) as client:
            await client.connect(self.token(user_id))
            yield client

    async def raw(self, receive_buffer_bytes: int | None = None) -> trio.SocketStream:
        """A bare TCP connection, for what no library would send."""
        sock = trio.socket.socket()
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        await sock.connect(("127.0.0.1", self.port))
        return trio.SocketStream(sock)

    async def raw_member(self, receive_buffer_bytes: int | None = None) -> trio.SocketStream:
        """The same, joined with JSON; everything up to the snapshot has been read."""
        stream = await self.raw(receive_buffer_bytes)
        await stream.send_all(upgrade())
        joined = len(self.room.joins)
        await stream.receive_some(4096)
        await stream.send_all(json_frame(type="connect", ref=1, token=self.token()))
        await self.room.until(lambda: len(self.room.joins) > joined)
        await stream.receive_some(4096)
        return stream

    async def answer_to(self, request: bytes) -> bytes:
        """All that the server sends to these bytes, until it ends the connection."""
        async with await self.raw() as stream:
            await stream.send_all(request)
            return await rest_of(stream)


async def rest_of(stream: trio.SocketStream) -> bytes:
    """What comes until the server ends its side; b"" from a reset, too."""
    got = b""
    try:
        async for chunk in stream:
            got += chunk
    except trio.BrokenResourceError:
        return got
    return got


def upgrade(
    path: str = f"/rooms/{ROOM}", subprotocols: str = "tiproom.v1.json", **headers: str
) -> bytes:
    """An HTTP upgrade as a client sends it."""
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {subprotocols}\r\n{more}\r\n"
    ).encode()


def client_frame(first_byte: int, payload: bytes) -> bytes:
    """A masked frame; the mask is zero, so that the payload stays readable."""
    length = len(payload)
    if length < 126:
        header = bytes([first_byte, 0x80 | length])
    elif length < 65536:
        header = bytes([first_byte, 0x80 | 126]) + length.to_bytes(2, "big")
    else:
        header = bytes([first_byte, 0x80 | 127]) + length.to_bytes(8, "big")
    return header + bytes(4) + payload


def json_frame(**fields: Any) -> bytes:
    return client_frame(0x81, json.dumps(fields).encode())


StartHouse = Callable[..., Awaitable[House]]


@pytest.fixture
def start_house(nursery: trio.Nursery) -> StartHouse:
    """`await start_house(heartbeat_s=0.1)`: a server with these limits, gone after the test."""

    async def start(leeway_s: float = 5.0, members_at_once: int = 256, **limits: Any) -> House:
        delivery = FanOut(members_at_once)
        rooms = OneRoom(delivery)
        book = MemberBook()
        authority = Authority(SECRET, leeway_s)
        bounds = SocketLimits(**{"close_timeout_s": 1.0, **limits})
        endpoint = RoomEndpoint(
            limits=bounds,
            origins=frozenset({ORIGIN}),
            authority=authority,
            rooms=rooms,
            members=rooms,
            delivery=delivery,
            book=book,
            mail=rooms,
        )
        serve = partial(
            serve_sockets,
            host="127.0.0.1",
            port=0,
            limits=bounds,
            delivery=delivery,
            endpoint=endpoint,
        )
        nursery.start_soon(_hang_is_a_failure)
        return House(await nursery.start(serve), endpoint, delivery, rooms, authority, book)

    return start


async def _hang_is_a_failure() -> None:
    """A test that waits for what never comes ends with an error, which pytest-trio hands on."""
    await trio.sleep(TEST_TIMEOUT_S)
    raise trio.TooSlowError


@pytest.fixture
async def house(start_house: StartHouse) -> House:
    return await start_house()
