"""The upgrade, right and wrong (RFC 6455, 4.2; RFC 9112): by raw bytes."""

import pytest
import trio
import trio.testing

from tests.conformance.conftest import Echo
from tests.conformance.wire import ACCEPT, UPGRADE, close, frames_of, text

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"


def less(line: bytes, instead: bytes = b"") -> bytes:
    """The upgrade without one of its lines."""
    assert line in UPGRADE
    return UPGRADE.replace(line, instead)


def more(*lines: bytes) -> bytes:
    """The upgrade with further lines."""
    return UPGRADE[:-2] + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


ACCEPTED = {
    "as the RFC shows it": UPGRADE,
    "names in any case": less(VERSION, b"sEC-wEBsOCKET-vERSION: 13\r\n"),
    "values in any case": less(b"Upgrade: websocket", b"Upgrade: WebSocket"),
    "several connection options": less(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"),
    "another origin": more(b"Origin: https://foreign.example"),
    "subprotocols in two lines": more(
        b"Sec-WebSocket-Protocol: a, b", b"Sec-WebSocket-Protocol: c"
    ),
    "many headers": more(*(b"X-%d: y" % n for n in range(100))),
    # Not as the RFC has it, and harmless:
    "HTTP/1.0": less(b"HTTP/1.1", b"HTTP/1.0"),
    "lines that end with LF alone": UPGRADE.replace(b"\r\n", b"\n"),
}

REFUSED = {
    "another method": (less(b"GET", b"POST"), 400),
    "no method": (b"\r\n\r\n\x16\x03\x01", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a target that is not ASCII": (less(b"/echo", b"/\xff"), 400),
    "no Host": (less(b"Host: x\r\n"), 400),
    "two Hosts": (more(b"Host: y"), 400),
    "a Host that is no name": (less(b"Host: x", b"Host: xn--\xc3\xa4"), 400),
    "no Upgrade": (less(b"Upgrade: websocket\r\n"), 400),
    "another upgrade": (less(b"websocket", b"h2c"), 400),
    "no Connection": (less(b"Connection: Upgrade\r\n"), 400),
    "no upgrade in Connection": (less(b"Connection: Upgrade", b"Connection: close"), 400),
    "no version": (less(VERSION), 400),
    "an older version": (less(VERSION, b"Sec-WebSocket-Version: 8\r\n"), 426),
    "a newer version": (less(VERSION, b"Sec-WebSocket-Version: 14\r\n"), 426),
    "two versions": (more(b"Sec-WebSocket-Version: 13"), 400),
    "no key": (less(KEY), 400),
    "a key that is too short": (less(KEY, b"Sec-WebSocket-Key: c2hvcnQ=\r\n"), 400),
    "a key that is too long": (less(KEY, KEY[:-4] + b"AAAA==\r\n"), 400),
    "a key that is no base64": (less(KEY, b"Sec-WebSocket-Key: " + b"!" * 24 + b"\r\n"), 400),
    "two keys": (more(KEY[:-2]), 400),
    "a subprotocol that is not ASCII": (more(b"Sec-WebSocket-Protocol: \xff"), 400),
    "a blank before the colon": (less(b"Host: x", b"Host : x"), 400),
    "a NUL in a value": (less(b"Host: x", b"Host: x\0"), 400),
    "a header without end": (UPGRADE[:-2] + b"X: " + b"y" * 300_000, 400),
    "a body": (more(b"Content-Length: 5") + b"hello", 400),
    "frames before the answer": (UPGRADE + text(b"early") + close(), 400),
    # Not as the RFC has it: wsproto reads them more strictly, and nobody sends them.
    "a list of upgrades": (less(b"websocket", b"h2c, websocket"), 400),
    "Connection in two lines": (more(b"Connection: keep-alive"), 400),
}


@pytest.mark.parametrize("request_bytes", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_an_upgrade_is_accepted(echo: Echo, request_bytes: bytes) -> None:
    async with await echo.connect() as stream:
        await stream.send_all(request_bytes)
        head = await stream.receive_some(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: " + ACCEPT in head
        await stream.send_all(text(b"a") + close())
        frames = b"".join([chunk async for chunk in stream])
        assert [payload for _, payload in frames_of(frames)] == [b"a", b"\x03\xe8"]


@pytest.mark.parametrize(("request_bytes", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_no_upgrade_is_answered_over_http_and_ended(
    echo: Echo, request_bytes: bytes, status: int
) -> None:
    async with await echo.connect() as stream:
        await stream.send_all(request_bytes)
        answer = b"".join([chunk async for chunk in stream])
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1
    if status == 426:
        assert b"Sec-WebSocket-Version: 13\r\n" in answer
    await echo.gone()


@pytest.mark.parametrize("at", range(1, len(UPGRADE), 7))
async def test_an_upgrade_may_come_in_two(echo: Echo, at: int) -> None:
    async with await echo.connect() as stream:
        await stream.send_all(UPGRADE[:at])
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(UPGRADE[at:])
        assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 101 ")
        await stream.send_all(text(b"a"))
        assert await stream.receive_some(4096) == b"\x81\x01a"


async def test_compression_is_declined(echo: Echo) -> None:
    """Autobahn 12 and 13 do not apply: no extension is agreed, and a compressed frame is one with
    a reserved bit (case 3.4)."""
    offer = (
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate"
    )
    async with await echo.connect() as stream:
        await stream.send_all(more(offer))
        answer = await stream.receive_some(4096)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in answer.lower()


async def test_a_subprotocol_is_one_of_those_offered_or_none(echo: Echo) -> None:
    for request_bytes, chosen in ((more(b"Sec-WebSocket-Protocol: a, b"), True), (UPGRADE, False)):
        async with await echo.connect() as stream:
            await stream.send_all(request_bytes)
            answer = await stream.receive_some(4096)
        assert (b"\r\nSec-WebSocket-Protocol: a\r\n" in answer) is chosen
        assert (b"Sec-WebSocket-Protocol" in answer) is chosen


@pytest.mark.slow  # waits out the handshake's deadline, 0.2 s here
async def test_a_header_that_does_not_end_in_time_is_dropped(echo: Echo) -> None:
    async with await echo.connect() as stream:
        await stream.send_all(UPGRADE[:-4])
        assert b"".join([chunk async for chunk in stream]) == b""
    await echo.gone()
