"""Every case of the table, over a real connection: whole, frame by frame as the kernel cuts it, and
byte by byte."""

import pytest
import trio

from tests.conformance.conftest import Echo
from tests.conformance.frame_cases import CASES, Answer, Case
from tests.conformance.wire import CLOSE, each_byte, frame, frames_of

OCTETS_MAX = 600
"""Longer ones are not sent byte by byte: they say nothing new, and take long."""


async def answers_to(stream: trio.SocketStream, pieces: list[bytes], case: Case) -> list[Answer]:
    """Until the server has ended its side, which must not be a reset. `pieces`: of `case.sent`."""
    heard = Heard()

    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(heard.listen, stream)
        for piece in pieces:
            try:
                await stream.send_all(piece)
            except trio.BrokenResourceError:
                break  # it had heard enough
            await trio.lowlevel.checkpoint()  # the server's turn
        if case.then:
            await heard.until(sum(len(_framed(*answer)) for answer in case.answers[:-1]))
            await stream.send_all(case.then)
    return [
        (opcode, _code(payload) if opcode == CLOSE else payload)
        for opcode, payload in frames_of(heard.data)
    ]


class Heard:
    """All that a server says."""

    def __init__(self) -> None:
        self.data = b""
        self._more = trio.lowlevel.ParkingLot()

    async def listen(self, stream: trio.SocketStream) -> None:
        async for chunk in stream:
            self.data += chunk
            self._more.unpark_all()

    async def until(self, size: int) -> None:
        while len(self.data) < size:
            await self._more.park()


def _framed(opcode: int, payload: bytes | int) -> bytes:
    """As long as the server's."""
    assert isinstance(payload, bytes)
    return frame(opcode, payload, mask=None)


def _code(payload: bytes) -> bytes | int:
    return int.from_bytes(payload[:2], "big") if payload else b""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
async def test_a_case_is_answered_as_the_rfc_says(echo: Echo, case: Case) -> None:
    """The same, however the bytes are cut."""
    assert await answers_to(await echo.opened(), [case.sent], case) == list(case.answers), case.what
    if len(case.sent) <= OCTETS_MAX:
        pieces = each_byte(case.sent)
        assert await answers_to(await echo.opened(), pieces, case) == list(case.answers), case.what
    await echo.gone()


def test_every_case_has_a_number_of_its_own() -> None:
    numbers = [case.number for case in CASES]
    assert len(set(numbers)) == len(numbers)
