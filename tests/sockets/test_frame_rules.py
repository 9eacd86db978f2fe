"""The cases of tests/conformance against the room's endpoint: the same close codes for a member
and for a newcomer, and nothing is left behind."""

import pytest
import structlog.testing
import trio.testing

from tests.conformance.frame_cases import (
    CLOSING,
    DEVIATIONS,
    FRAGMENTS,
    MASKS_AND_LENGTHS,
    PINGS,
    RESERVED,
    UTF8,
    Case,
)
from tests.conformance.wire import CLOSE, PONG, TEXT, frames_of
from tests.sockets.conftest import House, rest_of, upgrade

CASES = [
    case
    for case in (
        *PINGS, *RESERVED, *MASKS_AND_LENGTHS, *FRAGMENTS, *UTF8, *CLOSING, *DEVIATIONS,
    )
    if len(case.sent) < 2000 and not case.number.startswith("7.1.1")
]  # fmt: skip


async def newcomer(house: House) -> trio.SocketStream:
    stream = await house.raw()
    await stream.send_all(upgrade())
    assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 101 ")
    return stream


@pytest.mark.slow  # some 150 connections, one after the other
@pytest.mark.parametrize("joined", [True, False], ids=["member", "newcomer"])
async def test_a_breach_closes_a_members_socket_with_the_code_of_the_rfc(
    house: House, joined: bool
) -> None:
    """What is no frame of ours is answered by an error meanwhile; pings by pongs."""
    with structlog.testing.capture_logs() as logs:
        for case in CASES:
            stream = await (house.raw_member() if joined else newcomer(house))
            async with stream:
                await stream.send_all(case.sent + case.then)
                *answers, (opcode, code) = frames_of(await rest_of(stream))
            assert {opcode for opcode, _ in answers} <= {TEXT, PONG}, case
            assert opcode == CLOSE, case
            assert code[:2] == _close_of(case), case
        await nothing_is_left(house)
    assert logs == []
    assert len(house.room.joins) == (len(CASES) if joined else 0)
    assert all(type(message).__name__ != "MemberFrame" for message in house.room.told)


async def nothing_is_left(house: House) -> None:
    await house.room.until(lambda: len(house.room.left) == len(house.room.joins))
    await trio.testing.wait_all_tasks_blocked()
    assert house.server.connections == 0
    assert len(house.delivery) == len(house.book) == 0
    assert house.delivery.admitted(house.room.room_id) == 0
    assert house.endpoint.admission.joining == house.endpoint.admission.waiting == 0


def _close_of(case: Case) -> bytes:
    opcode, code = case.answers[-1]
    assert opcode == CLOSE
    return code.to_bytes(2, "big") if isinstance(code, int) else code
