"""Messages that are nearly frames, said by a member: each that is no frame is answered by one
error, and the room hears of none."""

import pytest
import structlog.testing
import trio

from protocol.codec import CODECS, JSON, MSGPACK
from protocol.errors import Refused
from protocol.frames import Error, Tip
from tests.conformance.hostile_messages import hostile_messages
from tests.sockets.conftest import StartHouse

MANY = 1_000_000


@pytest.mark.slow  # thousands of messages
@pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])
async def test_what_is_no_frame_is_answered_and_nothing_happens(
    start_house: StartHouse, subprotocol: str
) -> None:
    codec = CODECS[subprotocol]
    refusals = []
    for hostile in hostile_messages(subprotocol):
        try:
            codec.decode(hostile.message)
        except Refused as error:
            refusals.append((hostile, error.refusal))
    house = await start_house(bad_frames_max=MANY, frames_burst=MANY, frames_per_s=MANY)
    with structlog.testing.capture_logs() as logs:
        async with house.member(subprotocols=(subprotocol,)) as client:

            async def say_all() -> None:
                for hostile, _ in refusals:
                    await client.socket.send_message(hostile.message)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(say_all)
                for hostile, refusal in refusals:
                    answer = await client.hear()
                    assert isinstance(answer, Error), hostile.what
                    assert (answer.code, answer.field) == (refusal.code, refusal.field)
                    assert answer.ref == codec.ref_of(hostile.message)
            await client.say(Tip(2, "t-1", "b-1", 1))
            await client.hear()
    assert logs == []
    assert [type(message.frame) for message in house.room.told] == [Tip]
    assert house.room.first == []
