"""The HTTP upgrade, its limits and its timeouts."""

import pytest
import structlog.testing
import trio
import trio.testing
from trio_websocket import ConnectionClosed

from protocol.codec import JSON, MSGPACK
from protocol.errors import CLOSES, CloseCode
from server.sockets.handshake import Acceptance, Rejection
from server.sockets.room_endpoint import judge, room_id_of
from tests.sockets.conftest import ORIGIN, ROOM, House, StartHouse, rest_of, upgrade

ORIGINS = frozenset({ORIGIN})


@pytest.mark.parametrize(
    "target",
    ["/", "/rooms", "/rooms/", "/rooms/a/b", "/rooms/a%00b", "/rooms/-a", "/other/a",
     "/rooms/" + "a" * 65, "/rooms/../a", "/rooms/a%0a"],
)  # fmt: skip
def test_other_paths_are_not_found(target: str) -> None:
    verdict = judge(target, [], [MSGPACK], ORIGINS)
    assert isinstance(verdict, Rejection)
    assert verdict.status == 404


@pytest.mark.parametrize("target", ["/rooms/r:1", "/rooms/r:1?token=no", "/rooms/r%3A1"])
def test_the_path_names_the_room(target: str) -> None:
    assert room_id_of(target) == "r:1"
    assert judge(target, [], [JSON], ORIGINS) == Acceptance(JSON)


@pytest.mark.parametrize(
    ("origins", "status"),
    [
        ([], None),
        ([ORIGIN], None),
        (["null"], 403),
        (["https://rooms.example.evil"], 403),
        (["http://rooms.example"], 403),
        ([ORIGIN, "https://evil.example"], 403),
        (["\xff"], 403),
    ],
)
def test_every_origin_that_is_present_must_be_allowed(
    origins: list[str], status: int | None
) -> None:
    headers = [(b"origin", origin.encode("latin-1")) for origin in origins]
    verdict = judge(f"/rooms/{ROOM}", headers, [MSGPACK], ORIGINS)
    assert (verdict.status if isinstance(verdict, Rejection) else None) == status


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [([JSON, MSGPACK], MSGPACK), ([JSON], JSON), (["x", JSON], JSON)],
)
def test_the_server_prefers_msgpack(offered: list[str], chosen: str) -> None:
    assert judge(f"/rooms/{ROOM}", [], offered, ORIGINS) == Acceptance(chosen)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (upgrade("/nowhere"), b"404"),
        (upgrade(Origin="https://evil.example"), b"403"),
        (upgrade(subprotocols="chat"), b"400"),
        (upgrade(Origin=ORIGIN, subprotocols="chat, soap"), b"400"),
    ],
)
async def test_a_refused_upgrade_is_answered_over_http(
    house: House, request_bytes: bytes, status: bytes
) -> None:
    head, _, body = (await house.answer_to(request_bytes)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert body
    assert len(house.delivery) == 0


async def test_the_allowed_origin_is_let_in(house: House) -> None:
    async with house.client(extra_headers=[(b"Origin", ORIGIN.encode())]) as client:
        await client.connect(house.token())


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"POST /rooms/room-1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /rooms/room-1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /rooms/room-1 HTTP/1.1\r\nHost: " + b"a" * 40_000,
        upgrade().replace(b"Version: 13", b"Version: 8"),
        upgrade().replace(b"Host: x", b"Host: \xff\xfe"),
        upgrade().replace(b"Host: x", b"Host: xn--\xc3\xa4"),
    ],
)
async def test_what_is_no_upgrade_ends_at_once(house: House, request_bytes: bytes) -> None:
    with trio.fail_after(5), structlog.testing.capture_logs() as logs:
        answer = await house.answer_to(request_bytes)
        await trio.testing.wait_all_tasks_blocked()
    assert logs == []
    assert answer.startswith(b"HTTP/1.1 4") or answer == b""
    async with house.member():
        assert len(house.delivery) == 1


@pytest.mark.parametrize("last_bytes", [0, 1, 2, 3, 4, 60])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
async def test_a_request_may_come_in_pieces(house: House, last_bytes: int, line_end: bytes) -> None:
    """And of what reads it nothing is left: a member is one task."""
    request = upgrade().replace(b"\r\n", line_end)
    at = len(request) - last_bytes
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with await house.raw() as stream:
        for piece in filter(None, (request[:at], request[at:])):
            await stream.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 101 ")
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks + 1


async def test_an_end_before_the_request_frees_the_connection(house: House) -> None:
    async with await house.raw() as stream:
        await stream.send_eof()
        assert await rest_of(stream) == b""
        await trio.testing.wait_all_tasks_blocked()
        assert house.server.connections == 0


async def test_a_request_that_does_not_come_in_time_is_dropped(start_house: StartHouse) -> None:
    house = await start_house(handshake_timeout_s=0.05)
    assert await house.answer_to(upgrade()[:-2]) == b""


async def test_no_connect_in_time_closes(start_house: StartHouse) -> None:
    house = await start_house(connect_timeout_s=0.05)
    async with house.client() as client:
        with pytest.raises(ConnectionClosed) as caught:
            await client.hear()
    assert caught.value.reason is not None
    assert caught.value.reason.code == CloseCode.CONNECT_TIMEOUT
    assert caught.value.reason.reason == CLOSES[CloseCode.CONNECT_TIMEOUT].text


async def test_above_the_limit_of_connections_the_answer_is_503(start_house: StartHouse) -> None:
    house = await start_house(connections_max=1)
    async with house.member():
        assert (await house.answer_to(upgrade())).startswith(b"HTTP/1.1 503 ")
        assert house.server.refused == {"server": 1}


async def test_one_address_has_its_own_limit(start_house: StartHouse) -> None:
    house = await start_house(connections_per_address_max=2, addresses_unlimited=())
    async with house.member("a"), house.member("b"):
        assert (await house.answer_to(upgrade())).startswith(b"HTTP/1.1 503 ")
        assert house.server.refused == {"address": 1}
    await trio.testing.wait_all_tasks_blocked()
    async with house.member("c"):
        assert len(house.delivery) == 1
