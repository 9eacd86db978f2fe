"""The echo server on a port of its own, and bare connections to it."""

from functools import partial

import pytest
import trio

from server.sockets.limits import SocketLimits
from server.sockets.listener import SocketServer
from tests.conformance.echo import serve_echo
from tests.conformance.wire import UPGRADE

TEST_TIMEOUT_S = 30
MESSAGE_BYTES_MAX = 8 * 1024 * 1024


class Echo:
    """The running server."""

    def __init__(self, server: SocketServer) -> None:
        self.server = server
        self.port = server.port

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def opened(self) -> trio.SocketStream:
        """Hands are shaken; no frame has come."""
        stream = await self.connect()
        await stream.send_all(UPGRADE)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += await stream.receive_some(4096)
        assert answer.startswith(b"HTTP/1.1 101 ")
        return stream

    async def gone(self) -> None:
        """Every connection has been given back."""
        while self.server.connections:
            await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
async def echo(nursery: trio.Nursery) -> Echo:
    limits = SocketLimits(
        message_bytes_max=MESSAGE_BYTES_MAX,
        receive_bytes=256 * 1024,
        outbox_bytes_max=4 * MESSAGE_BYTES_MAX,
        close_timeout_s=1.0,
        handshake_timeout_s=0.2,
    )
    nursery.start_soon(_hang_is_a_failure)
    return Echo(await nursery.start(partial(serve_echo, 0, limits)))


async def _hang_is_a_failure() -> None:
    await trio.sleep(TEST_TIMEOUT_S)
    raise trio.TooSlowError
