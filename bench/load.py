"""The load client: every member of the room in one epoll loop over raw sockets.

It must measure truly, so it must never be what is slow. An event of the room is the same bytes for
every member; bytes seen before are counted by one dictionary look-up and never decoded again. What
the client itself adds is measured, not assumed: the kernel stamps the arrival of everything on the
probe's socket, and `lag_ns` says how much later this loop came to read it.
"""

import errno
import heapq
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from bench.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    NotWebSocket,
    client_frame,
    read_upgrade,
    split_frames,
    upgrade_request,
)
from protocol.codec import CODECS, MSGPACK
from protocol.frames import (
    ClientFrame,
    PresenceChanged,
    RoomChanged,
    RoomEvent,
    ServerFrame,
    TipNotice,
)

READY_MAX: Final = 64
"""Sockets served before timers are looked at again: about half a millisecond of work."""
READ_BYTES: Final = 16 * 1024
NS_PER_S: Final = 1_000_000_000

_COUNT_POLL_S: Final = 0.05
_SO_TIMESTAMPNS: Final = 35
"""Linux; Python 3.11 does not name it."""
_CODEC: Final = CODECS[MSGPACK]


class Member:
    """One socket. `number` is the caller's own."""

    __slots__ = (
        "began_ns",
        "events",
        "hello",
        "number",
        "open",
        "recv",
        "rest",
        "sock",
        "upgraded",
    )

    def __init__(self, number: int, sock: socket.socket, hello: bytes, began_ns: int) -> None:
        self.number = number
        self.sock = sock
        self.recv: Callable[[int], bytes] = sock.recv
        self.hello = hello
        """What to say once the connection is up; then once the upgrade is."""
        self.began_ns = began_ns
        self.rest = b""
        self.events = 0
        """Room events received."""
        self.upgraded = False
        self.open = True


class Seen:
    """One room event, as all members together received it."""

    __slots__ = ("count", "event", "first_ns", "last_ns", "size")

    def __init__(self, event: RoomEvent, size: int, now_ns: int) -> None:
        """`size`: bytes of its frame."""
        self.event = event
        self.size = size
        self.count = 1
        self.first_ns = self.last_ns = now_ns


class Listener(Protocol):
    """What a scenario does with what comes in. `now_ns`: time.perf_counter_ns at the read."""

    def on_upgraded(self, member: Member, /) -> None: ...

    def on_frame(self, member: Member, frame: ServerFrame, now_ns: int, /) -> None:
        """An answer or an own frame; room events are only counted."""
        ...


class LoadClient:
    """`connect` members, set timers, then `run_until`. `failures` counts by kind."""

    def __init__(self, port: int, listener: Listener) -> None:
        self._port = port
        self._listener = listener
        self._epoll = select.epoll()
        self._members: dict[int, Member] = {}
        self._watched: dict[int, Callable[[], None]] = {}
        self._known: dict[bytes, Seen] = {}
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._timers_set = 0
        self.failures: Counter[str] = Counter()
        self.frames = 0
        """Server's messages received."""
        self.bytes = 0
        self.lag_ns: list[int] = []
        """Of the probe: from the kernel's arrival of bytes to this loop's read."""
        self.late_ns: list[int] = []
        """Of timers: how long after its moment one ran."""

    # ---- what a scenario calls -----------------------------------------------------------

    def connect(
        self, number: int, path: str, subprotocol: str | None, *, probe: bool = False
    ) -> Member:
        """Begin to open one socket; `on_upgraded` follows, or a failure is counted."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = upgrade_request(self._port, path, subprotocol)
        member = Member(number, sock, hello, time.perf_counter_ns())
        if probe:
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            member.recv = self._probing(sock)
        self._members[sock.fileno()] = member
        code = sock.connect_ex(("127.0.0.1", self._port))
        if code not in (0, errno.EINPROGRESS):
            self._lose(member, "connect refused")
            return member
        self._epoll.register(sock.fileno(), select.EPOLLOUT)
        return member

    def send(self, member: Member, frame: ClientFrame) -> int:
        """Now; returns the moment before the system call (time.perf_counter_ns)."""
        data = client_frame(BINARY, _CODEC.encode(frame))
        now_ns = time.perf_counter_ns()
        self._write(member, data)
        return now_ns

    def at(self, due_ns: int, action: Callable[[], None]) -> None:
        """Run `action` at `due_ns` (time.perf_counter_ns), up to a millisecond late: epoll's
        resolution."""
        self._timers_set += 1
        heapq.heappush(self._timers, (due_ns, self._timers_set, action))

    def watch(self, fd: int, events: int, on_ready: Callable[[], None]) -> None:
        """Serve a socket of somebody else's in the same loop."""
        self._watched[fd] = on_ready
        self._epoll.register(fd, events)

    def unwatch(self, fd: int) -> None:
        del self._watched[fd]
        self._epoll.unregister(fd)

    def run_until(self, deadline_ns: int, is_done: Callable[[], bool] | None = None) -> bool:
        """Serve sockets and timers. True as soon as `is_done` says so, looked at after each turn;
        False at the deadline."""
        while time.perf_counter_ns() < deadline_ns:
            self._turn(deadline_ns)
            if is_done is not None and is_done():
                return True
        return False

    def count_bytes(self, deadline_ns: int) -> int:
        """Read everything until the deadline and only count it: half the work of `run_until`, for
        a server that sends as fast as it can. Afterwards only `close` is of use."""
        buffer = memoryview(bytearray(READ_BYTES))
        readers = {fd: member.sock.recv_into for fd, member in self._members.items()}
        total, clock, poll = 0, time.perf_counter_ns, self._epoll.poll
        while clock() < deadline_ns:
            for fd, _ in poll(_COUNT_POLL_S, len(readers)):
                try:
                    size = readers[fd](buffer)
                except BlockingIOError:
                    continue
                except OSError as error:
                    self._lose(self._members[fd], _named(error))
                    continue
                if size == 0:
                    self._lose(self._members[fd], "closed while bytes were counted")
                total += size
        return total

    def seen(self) -> list[Seen]:
        """Every room event since `forget`."""
        return list(self._known.values())

    def forget(self) -> None:
        """Count anew from here: a measurement begins."""
        self._known.clear()
        self.frames = self.bytes = 0
        self.lag_ns.clear()
        self.late_ns.clear()
        for member in self._members.values():
            member.events = 0

    def members(self) -> list[Member]:
        """Those whose sockets are open."""
        return list(self._members.values())

    def close(self) -> None:
        """Drop every socket, without a word."""
        for member in self.members():
            self._drop(member)
        self._epoll.close()

    # ---- the loop ------------------------------------------------------------------------

    def _turn(self, deadline_ns: int) -> None:
        clock, members, known = time.perf_counter_ns, self._members, self._known
        now_ns = clock()
        while self._timers and self._timers[0][0] <= now_ns:
            due_ns, _, action = heapq.heappop(self._timers)
            self.late_ns.append(now_ns - due_ns)
            action()
            now_ns = clock()
        next_ns = min(deadline_ns, self._timers[0][0]) if self._timers else deadline_ns
        for fd, ready in self._epoll.poll(max(0.0, (next_ns - now_ns) / NS_PER_S), READY_MAX):
            member = members.get(fd)
            if member is None:
                watched = self._watched.get(fd)
                if watched is not None:
                    watched()
                continue  # or lost a moment ago, in this very batch
            if ready == select.EPOLLOUT:
                self._begin(member)
                continue
            try:
                data = member.recv(READ_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                self._lose(member, _named(error))
                continue
            now_ns = clock()
            if not member.rest:
                seen = known.get(data)
                if seen is not None:
                    seen.count += 1
                    seen.last_ns = now_ns
                    member.events += 1
                    self.frames += 1
                    self.bytes += len(data)
                    continue
            self._receive(member, data, now_ns)

    def _begin(self, member: Member) -> None:
        """The TCP connection is up, or has failed: then the write says so."""
        self._epoll.modify(member.sock.fileno(), select.EPOLLIN)
        self._write(member, member.hello)

    def _receive(self, member: Member, data: bytes, now_ns: int) -> None:
        if not data:
            self._lose(member, "closed without a close frame")
            return
        self.bytes += len(data)
        data = member.rest + data
        try:
            if not member.upgraded:
                after = read_upgrade(data)
                if after is None:
                    member.rest = data
                    return
                member.upgraded, data = True, after
                self._listener.on_upgraded(member)
            frames, rest_at = split_frames(data)
            member.rest = data[rest_at:]
            for opcode, start, payload_at, end in frames:
                self._take(member, opcode, data[start:end], payload_at - start, now_ns)
        except (NotWebSocket, msgspec.DecodeError) as error:
            self._lose(member, f"bad bytes: {error}")

    def _take(
        self, member: Member, opcode: int, whole: bytes, payload_at: int, now_ns: int
    ) -> None:
        """One frame, `whole` with its header."""
        seen = self._known.get(whole)
        if seen is not None:
            seen.count += 1
            seen.last_ns = now_ns
            member.events += 1
            self.frames += 1
            return
        payload = whole[payload_at:]
        if opcode == PING:
            self._write(member, client_frame(PONG, payload))
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big")
            self._lose(member, f"closed by the server: {code} {payload[2:].decode()}".rstrip())
        elif opcode == BINARY:
            self.frames += 1
            frame = _CODEC.decode_server(payload)
            if isinstance(frame, TipNotice | RoomChanged | PresenceChanged):
                self._known[whole] = Seen(frame, len(whole), now_ns)
                member.events += 1
            else:
                self._listener.on_frame(member, frame, now_ns)
        else:
            raise NotWebSocket(f"opcode {opcode}")

    def _write(self, member: Member, data: bytes) -> None:
        """Small frames on a socket that is read all the time: the kernel takes them whole."""
        if not member.open:
            self.failures["sent on a lost socket"] += 1
            return
        try:
            sent = member.sock.send(data)
        except OSError as error:
            self._lose(member, _named(error))
            return
        if sent < len(data):
            self._lose(member, "the kernel took only a part")

    def _lose(self, member: Member, why: str) -> None:
        if member.open:
            self.failures[why] += 1
            self._drop(member)

    def _drop(self, member: Member) -> None:
        member.open = False
        del self._members[member.sock.fileno()]
        member.sock.close()

    def _probing(self, sock: socket.socket) -> Callable[[int], bytes]:
        """A `recv` that also asks the kernel when the bytes came (CLOCK_REALTIME, as time_ns)."""

        def recv(size: int) -> bytes:
            data, stamps, _, _ = sock.recvmsg(size, 64)
            now_ns = time.time_ns()
            for level, kind, value in stamps:
                if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("qq", value)
                    self.lag_ns.append(now_ns - seconds * NS_PER_S - nanoseconds)
            return data

        return recv


def _named(error: OSError) -> str:
    """A kind of failure: `socket ECONNRESET`."""
    return f"socket {errno.errorcode.get(error.errno or 0, type(error).__name__)}"
