"""The load client in C: what it counts, against our own sockets and against bytes of any shape."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from bench.contenders import LIMIT_COALESCED, SOCKETS, Dialect, Message, Running, chosen
from bench.crowd import Answer, Crowd, open_crowd
from bench.peers import FELT_BY
from bench.placement import place

MEMBERS = FELT_BY + 20
CORES = place().client


@pytest.mark.slow  # a server in a process of its own
@pytest.mark.parametrize(("key", "due"), [(SOCKETS, 1), (SOCKETS, 4), (LIMIT_COALESCED, 4)])
def test_every_frame_of_a_window_is_counted(key: str, due: int) -> None:
    [contender] = chosen([key])
    with (
        contender.open(place(), MEMBERS) as running,
        open_crowd(running, MEMBERS, CORES) as crowd,
    ):
        assert crowd.fill(MEMBERS, FELT_BY, 8).failures == {}
        measured = crowd.window(running.dialect.everyone(0), due, 0.05, 0.15)
        answer = measured.answer
        assert answer.failures == {}
        assert answer.members == MEMBERS
        assert answer.frames > 0
        # The next is sent only for one that has reached everyone; the rest are under way.
        assert abs(answer.published * MEMBERS - answer.frames) <= due * MEMBERS
        frame_bytes = answer.bytes / answer.frames
        assert frame_bytes == pytest.approx(191 if key == SOCKETS else 206, abs=5)


@pytest.mark.slow  # as above
def test_each_message_is_timed_and_goes_to_the_first_alone() -> None:
    [contender] = chosen([SOCKETS])
    with (
        contender.open(place(), MEMBERS) as running,
        open_crowd(running, MEMBERS, CORES) as crowd,
    ):
        crowd.fill(MEMBERS, FELT_BY, 8)
        assert running.dialect.routed is not None
        answer = crowd.rate(running.dialect.routed, 200, 0.05, 0.2).answer
        assert answer.failures == {}
        assert answer.published >= 1
        assert len(answer.samples_ns) == answer.published
        assert all(each > 0 for each in answer.samples_ns)


@pytest.mark.slow  # as above
def test_members_leave_and_come_back() -> None:
    [contender] = chosen([SOCKETS])
    with (
        contender.open(place(), MEMBERS) as running,
        open_crowd(running, MEMBERS, CORES) as crowd,
    ):
        crowd.fill(MEMBERS, FELT_BY, 8)
        assert crowd.leave(10, 5).members == MEMBERS - 5
        assert crowd.join(5, 5).members == MEMBERS
        crowd.begin_watch(b"\xa9tipNotice", 1.5, 10, 0, MEMBERS)
        answer = crowd.watched()
        assert answer.failures == {}
        assert 1 <= answer.joined <= 15
        assert len(answer.samples_ns) == answer.joined


# ---- bytes of any shape ----------------------------------------------------------------------

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
MARKED = b"\x82\x08event\x01\x02\x03"
LONG = b"\x82\x7e\x01\x00" + b"event".ljust(256)
OTHER = b"\x82\x03abc"
_NO_MESSAGE = Message(b"", b"")
HEARING_S = 0.5
"""Long enough for a thread on a busy machine to get its turn, and say what it has to say."""


@dataclass
class Talk:
    """One member of a server that says what it is told: `first` after the upgrade request, `then`
    once the member is in and counted."""

    crowd: Crowd
    go: threading.Event

    def hear(self) -> Answer:
        assert self.crowd.join(1, 1).members == 1
        self.crowd.begin_watch(b"event", HEARING_S, 0, 0, 1)
        self.go.set()
        return self.crowd.watched()


@contextmanager
def talk(
    first: Callable[[socket.socket], None],
    then: Callable[[socket.socket], None] = lambda _sock: None,
) -> Iterator[Talk]:
    go = threading.Event()

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):  # the end of the test
            while True:
                sock, _ = listening.accept()
                with sock:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    while b"\r\n\r\n" not in sock.recv(4096, socket.MSG_PEEK):
                        pass
                    sock.recv(4096)
                    first(sock)
                    if go.wait(5):
                        then(sock)

    dialect = Dialect("/", None, lambda _number: b"", b"", lambda _use: _NO_MESSAGE, None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        running = Running(os.getpid(), listening.getsockname()[1], dialect)
        try:
            with open_crowd(running, 1, CORES) as crowd:
                yield Talk(crowd, go)
        finally:
            go.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def say(data: bytes) -> Callable[[socket.socket], None]:
    return lambda sock: sock.sendall(data)


def say_and_stay(data: bytes) -> Callable[[socket.socket], None]:
    """Until the other side has gone."""

    def speak(sock: socket.socket) -> None:
        sock.sendall(data)
        sock.recv(1)

    return speak


def test_frames_may_come_in_any_pieces() -> None:
    def speak(sock: socket.socket) -> None:
        data = MARKED + OTHER + LONG
        for at in range(len(data)):
            sock.sendall(data[at : at + 1])
        sock.recv(1)

    with talk(say(UPGRADED), speak) as one:
        answer = one.hear()
    assert (answer.frames, answer.others, answer.failures) == (2, 1, {})
    assert answer.reads > 1


def test_frames_behind_the_upgrade_count_too() -> None:
    with talk(say(UPGRADED + MARKED[:4]), say_and_stay(MARKED[4:] + LONG)) as one:
        answer = one.hear()
    assert (answer.frames, answer.failures) == (2, {})


def test_pings_are_answered() -> None:
    heard: list[bytes] = []

    def speak(sock: socket.socket) -> None:
        for ping, size in ((b"\x89\x02hi", 8), (b"\x81\x012", 7)):
            sock.sendall(ping)
            heard.append(sock.recv(size, socket.MSG_WAITALL))
        sock.recv(1)

    with talk(say(UPGRADED), speak) as one:
        assert one.hear().failures == {}
    assert heard == [b"\x8a\x82\0\0\0\0hi", b"\x81\x81\0\0\0\x003"]


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (b"\x88\x02\x11\x94", "closed by the server: 4500"),
        (b"\x02\x01a", "bad bytes"),
        (b"\xc2\x01a", "bad bytes"),
        (b"\x82\x81\0\0\0\0a", "bad bytes"),
        (b"\x83\x01a", "opcode 3"),
        (b"\x82\x7f" + b"\xff" * 8, "closed without a close frame"),
    ],
)
def test_what_is_no_message_is_a_failure(said: bytes, failure: str) -> None:
    with talk(say(UPGRADED), say(said)) as one:
        answer = one.hear()
    assert answer.failures == {failure: 1}
    assert answer.members == 0


def test_a_refused_upgrade_is_a_failure() -> None:
    with talk(say(b"HTTP/1.1 503 Busy\r\n\r\n")) as one:
        answer = one.crowd.join(1, 1, 0.05)
    assert answer.members == 0
    assert answer.failures["HTTP 503"] >= 1
    assert answer.failures["not in in time"] == 1
