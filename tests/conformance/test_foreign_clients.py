"""Clients that are not ours against the echo server: Python's `websockets`, Node's `ws`."""

import subprocess
import sys
from pathlib import Path

import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.conformance.conftest import MESSAGE_BYTES_MAX, Echo

NODE_CASES = Path(__file__).parents[1] / "clients" / "node" / "echo_cases.js"
SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20, 4 << 20)


def opened(port: int) -> ClientConnection:
    connection = connect(f"ws://127.0.0.1:{port}/any", compression="deflate", max_size=None)
    assert connection.protocol.extensions == [], "compression is offered, and declined"
    return connection


def say_all(port: int) -> None:
    with opened(port) as connection:
        for size in SIZES:
            for message in ("*" * size, b"\xfe" * size):
                connection.send(message)
                assert connection.recv() == message
        long = "κόσμε 😀" * 100_000
        connection.send(long)
        assert connection.recv() == long


def say_in_fragments(port: int) -> None:
    with opened(port) as connection:
        for parts in (["a", "", "b"], ["κ" * 3000] * 50, [b"\xff", b"\xfe" * 70_000]):
            connection.send(parts)
            joined = b"" if isinstance(parts[0], bytes) else ""
            assert connection.recv() == joined.join(parts)


def ping(port: int) -> None:
    with opened(port) as connection:
        waiting = [connection.ping(payload) for payload in (b"", b"a", b"\xff" * 125)]
        assert all(pong.wait(10) for pong in waiting)
        connection.pong(b"unasked")
        connection.send("still here")
        assert connection.recv() == "still here"


def close_with(port: int, code: int) -> None:
    with opened(port) as connection:
        connection.close(code, "why")
        assert (connection.close_code, connection.close_reason) == (code, "why")
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv()
    assert closed.value.rcvd_then_sent is False, "ours came first, and was answered"


def close_each(port: int) -> None:
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4999):
        close_with(port, code)


def say_too_much(port: int) -> None:
    with opened(port) as connection:
        connection.send(b"x" * (MESSAGE_BYTES_MAX + 1))
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("part", [say_in_fragments, ping, close_each, say_too_much])
async def test_websockets(echo: Echo, part: object) -> None:
    assert callable(part)
    await trio.to_thread.run_sync(part, echo.port)
    await echo.gone()


@pytest.mark.slow  # messages up to 4 MB, there and back
async def test_websockets_of_any_size(echo: Echo) -> None:
    await trio.to_thread.run_sync(say_all, echo.port)
    await echo.gone()


@pytest.mark.slow  # a process of Node, and messages up to 4 MB
async def test_node_ws(echo: Echo) -> None:
    node = Path(sys.executable).with_name("node")
    command = [str(node), str(NODE_CASES), f"ws://127.0.0.1:{echo.port}/any"]
    done = await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) > 50
    await echo.gone()
