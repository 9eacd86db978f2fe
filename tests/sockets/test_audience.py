"""One room's events on their way to its members: portions, newcomers, both encodings."""

import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from protocol.codec import CODECS, JSON, MSGPACK, Codec
from server.sockets.audience import Audience
from server.sockets.framing import message_frame
from server.sockets.outbox import Outbox
from tests.sockets.conftest import notice
from tests.sockets.test_outbox import Owner


class Member:
    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        for sock in (ours, self.theirs):
            sock.setblocking(False)
        self.socks = (ours, self.theirs)
        self.outbox = Outbox(ours, 1000, 1000, Owner(), Counter())

    def read(self) -> bytes:
        try:
            return self.theirs.recv(65536)
        except BlockingIOError:
            return b""


@pytest.fixture
def members() -> Iterator[list[Member]]:
    some = [Member() for _ in range(5)]
    yield some
    for member in some:
        for sock in member.socks:
            sock.close()


def framed(offset: int, codec: Codec = CODECS[MSGPACK]) -> bytes:
    return message_frame(codec.encode(notice(offset)), codec.binary)


def test_portions_reach_everyone_in_order(members: list[Member]) -> None:
    audience = Audience()
    for number, member in enumerate(members):
        audience.admit(number, CODECS[MSGPACK], member.outbox)
    audience.gather(notice(1))
    assert audience.gather(notice(2)) == 2
    frames_sent, bytes_sent = audience.seal()
    assert (frames_sent, bytes_sent) == (10, 5 * len(framed(1) + framed(2)))
    assert audience.write_some(2) == 2
    audience.gather(notice(3))
    audience.seal()
    assert [member.read() for member in members[:3]] == [framed(1) + framed(2)] * 2 + [b""]
    assert audience.write_some(4) == 4
    assert audience.unwritten
    assert audience.write_some(100) == 4
    assert not audience.unwritten
    assert [member.read() for member in members[:2]] == [framed(3)] * 2
    assert [member.read() for member in members[2:]] == [framed(1) + framed(2) + framed(3)] * 3


def test_who_comes_later_gets_what_comes_later(members: list[Member]) -> None:
    audience = Audience()
    audience.admit(0, CODECS[MSGPACK], members[0].outbox)
    audience.gather(notice(1))
    audience.seal()
    audience.admit(1, CODECS[JSON], members[1].outbox)
    audience.gather(notice(2))
    audience.seal()
    audience.write_some(100)
    assert members[0].read() == framed(1) + framed(2)
    assert members[1].read() == framed(2, CODECS[JSON])
    audience.dismiss(0)
    assert len(audience) == 1
    audience.gather(notice(3))
    assert audience.seal()[0] == 1
