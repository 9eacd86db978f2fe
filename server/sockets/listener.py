"""The socket port: accepts TCP connections, bounds them, and drains them at the end."""

import errno
import ipaddress
import socket
from collections import Counter
from typing import Any, Final

import structlog
import trio

from actors.runtime.moment import Chance
from protocol.errors import CloseCode
from protocol.reconnect import come_back_in_s
from server.sockets.connection import Connection
from server.sockets.fan_out import FanOut
from server.sockets.heartbeat import HeartbeatWheel
from server.sockets.lifetime import Endpoint, serve_connection
from server.sockets.limits import SocketLimits

_log = structlog.get_logger(__name__)

LISTEN_BACKLOG: Final = 4096
ACCEPT_BACKOFF_S: Final = 0.1
"""Out of descriptors or buffers: the kernel keeps those who wait; trying at once would spin."""
TURNS_BETWEEN_CROWDS: Final = 8
"""Of the scheduler, where more want in than are accepted in one: about what a handshake takes. So
the first of a storm are in at once, and not all of them at its end."""

_OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BUSY_ANSWER: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Retry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)
_DRAIN_BATCHES_MAX: Final = 20
_DRAIN_TELLING_SHARE: Final = 0.5
"""Of the time to drain; the rest is for the closes to be taken."""
_REFUSALS_WAITING_MAX: Final = 100
_REFUSAL_TIMEOUT_S: Final = 1.0


class SocketServer:
    """What `serve_sockets` reports once it listens."""

    def __init__(
        self,
        listening: list[socket.socket],
        limits: SocketLimits,
        delivery: FanOut,
        endpoint: Endpoint,
        chance: Chance,
    ) -> None:
        self.port: int = listening[0].getsockname()[1]
        self.refused: Counter[str] = Counter()
        """Connections answered with 503: because the `server` is full, or has enough of this
        `address`."""
        self._listening = listening
        self._limits = limits
        self._delivery = delivery
        self._endpoint = endpoint
        self._heartbeats = HeartbeatWheel(limits.heartbeat_s)
        self._chance = chance
        self._connections: set[Connection] = set()
        self._per_address: Counter[str] = Counter()
        self._crowd = 0
        """Who was here when the drain began."""
        self._refusals_waiting = 0
        self._accepting = trio.CancelScope()
        self._serving = trio.CancelScope()
        self._ended = trio.Event()

    @property
    def connections(self) -> int:
        """Open now, with those that still shake hands or close."""
        return len(self._connections)

    async def drain(self, timeout_s: float) -> None:
        """Accept nobody more, tell the members GOING_AWAY in batches, each member with a moment to
        come back, and return once all are gone; those who have not taken it after `timeout_s` are
        dropped. Who has not been told yet is served on. `serve_sockets` then returns."""
        began_s = trio.current_time()
        members = list(self._connections)
        self._accepting.cancel()
        _log.info("drain_began", members=len(members), timeout_s=timeout_s)
        self._crowd = len(members)
        for connection in members:
            connection.hurry(began_s + timeout_s)
        batch = max(self._limits.drain_batch, -(-len(members) // _DRAIN_BATCHES_MAX))
        pause_s = timeout_s * _DRAIN_TELLING_SHARE / _DRAIN_BATCHES_MAX
        for first in range(0, len(members), batch):
            for connection in members[first : first + batch]:
                connection.close(CloseCode.GOING_AWAY)
            _log.info("drain_told", told=min(first + batch, len(members)), members=len(members))
            if first + batch < len(members):
                await trio.sleep(pause_s)
        self._serving.cancel()
        await self._ended.wait()
        took_s = round(trio.current_time() - began_s, 3)
        _log.info("drain_members_gone", members=len(members), took_s=took_s)

    async def _serve(self) -> None:
        try:
            with self._serving:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._heartbeats.turn)
                    nursery.start_soon(self._delivery.run)
                    with self._accepting:
                        async with trio.open_nursery() as accepting:
                            for listening in self._listening:
                                accepting.start_soon(self._accept, listening, nursery)
                    self._stop_listening()
        finally:
            self._stop_listening()
            self._ended.set()

    def _stop_listening(self) -> None:
        for listening in self._listening:
            if listening.fileno() != -1:
                trio.lowlevel.notify_closing(listening)
                listening.close()

    async def _accept(self, listening: socket.socket, nursery: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(listening)
            for _ in range(self._limits.accepts_per_turn_max):
                try:
                    sock, address = listening.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno not in _OUT_OF_RESOURCES:
                        # The peer was gone before we came to it (ECONNABORTED and its kin).
                        continue
                    _log.warning("accept_failed", errno=error.errno, connections=self.connections)
                    await trio.sleep(ACCEPT_BACKOFF_S)
                    break
                self._welcome(sock, _address_key(address), nursery)
            else:
                for _ in range(TURNS_BETWEEN_CROWDS):
                    await trio.lowlevel.checkpoint()

    def _welcome(self, sock: socket.socket, address: str, nursery: trio.Nursery) -> None:
        sock.setblocking(False)
        if (full := self._full(address)) is not None:
            self.refused[full] += 1
            self._refuse(sock, nursery)
            return
        _tune(sock, self._limits)
        connection = Connection(
            self._delivery.next_session_id(),
            sock,
            self._limits,
            self._delivery.left_out,
            address,
            self._come_back_in_s,
        )
        self._connections.add(connection)
        self._per_address[address] += 1
        nursery.start_soon(self._serve_one, connection)

    def _come_back_in_s(self, code: CloseCode) -> float | None:
        """Not all members are of the room that closes, but all may be closed by now."""
        members = max(self._crowd, len(self._connections))
        return come_back_in_s(code, members, self._chance.draw())

    def _full(self, address: str) -> str | None:
        if len(self._connections) >= self._limits.connections_max:
            return "server"
        if address in self._limits.addresses_unlimited:
            return None
        full = self._per_address[address] >= self._limits.connections_per_address_max
        return "address" if full else None

    async def _serve_one(self, connection: Connection) -> None:
        address = connection.address
        try:
            await serve_connection(
                connection, self._endpoint, self._limits, self._delivery, self._heartbeats
            )
        finally:
            self._connections.discard(connection)
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]

    def _refuse(self, sock: socket.socket, nursery: trio.Nursery) -> None:
        """The answer fits any fresh socket's buffer. Past a number of those who still read it,
        the connection is just closed: turning away must not cost what it protects."""
        try:
            sock.send(_BUSY_ANSWER)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()
            return
        if self._refusals_waiting >= _REFUSALS_WAITING_MAX:
            sock.close()
            return
        self._refusals_waiting += 1
        nursery.start_soon(self._wait_for_end, sock)

    async def _wait_for_end(self, sock: socket.socket) -> None:
        """Closing at once would reset the connection and take the answer with it."""
        try:
            with trio.move_on_after(_REFUSAL_TIMEOUT_S):
                while True:
                    await trio.lowlevel.wait_readable(sock)
                    if not sock.recv(4096):
                        break
        except OSError as error:
            _log.debug("refused_peer_reset", errno=error.errno)
        finally:
            self._refusals_waiting -= 1
            trio.lowlevel.notify_closing(sock)
            sock.close()


async def serve_sockets(
    *,
    host: str,
    port: int,
    limits: SocketLimits,
    delivery: FanOut,
    endpoint: Endpoint,
    chance: Chance | None = None,
    task_status: trio.TaskStatus[SocketServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until drained or cancelled; both tell every member GOING_AWAY. `port` 0: any free
    one, reported as `SocketServer.port`.

    Raises OSError when the address cannot be had.
    """
    listening = await _listen(host, port)
    server = SocketServer(listening, limits, delivery, endpoint, chance or Chance())
    task_status.started(server)
    await server._serve()


async def _listen(host: str, port: int) -> list[socket.socket]:
    """One socket for each address of `host`, all on the same port."""
    found = await trio.socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listening: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            if port == 0 and listening:
                address = (address[0], listening[0].getsockname()[1], *address[2:])
            one = socket.create_server(address, family=family, backlog=LISTEN_BACKLOG)
            one.setblocking(False)
            listening.append(one)
    except OSError:
        for one in listening:
            one.close()
        raise
    return listening


def _tune(sock: socket.socket, limits: SocketLimits) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, limits.kernel_unsent_bytes_max
        )
    except OSError as error:
        # A peer that reset the connection already; its first read will say so.
        _log.debug("peer_gone_at_accept", errno=error.errno)


def _address_key(address: Any) -> str:
    """Who counts as one: an IPv4 address, or the /64 network that one IPv6 customer has."""
    text: str = address[0]
    if ":" not in text:
        return text
    host = ipaddress.ip_address(text.partition("%")[0])
    assert isinstance(host, ipaddress.IPv6Address)
    if host.is_loopback:
        return text
    if host.ipv4_mapped is not None:
        return str(host.ipv4_mapped)
    return str(ipaddress.IPv6Network((host, 64), strict=False))
