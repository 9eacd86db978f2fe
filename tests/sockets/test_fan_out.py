"""Delivery over real sockets: order, slow members, heartbeats, and what is left afterwards."""

import socket
import struct
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import msgspec
import pytest
import structlog.testing
import trio
import trio.testing
from trio_websocket import ConnectionClosed
from websockets.sync.client import connect as websockets_connect
from websockets.typing import Subprotocol

from protocol.codec import CODECS, JSON, MSGPACK
from protocol.errors import CloseCode
from protocol.frames import Command, Connect, Ok, PresenceChanged, Snapshot, Tip, ToysStopped
from protocol.lovense import Integration, VendorCall
from server.sockets.fan_out import OTHER_CODES
from tests.conformance.wire import frames_of
from tests.sockets.conftest import (
    ROOM,
    Client,
    House,
    StartHouse,
    client_frame,
    notice,
    presence,
    rest_of,
    upgrade,
)


async def test_a_broadcast_reaches_every_member_in_the_own_encoding(house: House) -> None:
    async with (
        house.member("a") as one,
        house.member("b", subprotocols=(JSON,)) as two,
        house.member("c", subprotocols=(MSGPACK,)) as three,
        house.client() as not_joined,
    ):
        for offset in range(5):
            house.broadcast(presence(offset))
        for client in (one, two, three):
            assert [await client.hear() for _ in range(5)] == [presence(n) for n in range(5)]
        await not_joined.say(Connect(1, house.token("d")))
        assert await not_joined.hear() == Ok(1), "an event came before the join"


async def test_another_rooms_events_do_not_come(house: House) -> None:
    async with house.member() as client:
        house.delivery.broadcast("room-2", presence(1))
        house.broadcast(presence(2))
        assert await client.hear() == presence(2)


async def test_what_is_sent_to_one_who_is_gone_is_dropped(house: House) -> None:
    async with house.member():
        [session_id] = [join.session_id for join in house.room.joins]
    await house.room.until(lambda: house.room.left == [session_id])
    house.delivery.send(session_id, Ok(9))
    house.delivery.admit(ROOM, session_id)
    house.delivery.close(session_id, CloseCode.KICKED)
    assert house.delivery.admitted(ROOM) == 0


async def test_close_sends_what_is_due_first(house: House) -> None:
    async with house.member() as client:
        [join] = house.room.joins
        for offset in range(20):
            house.broadcast(presence(offset))
        house.delivery.close(join.session_id, CloseCode.KICKED)
        house.broadcast(presence(99))
        house.delivery.close(join.session_id, CloseCode.SLOW_CONSUMER)
        assert [await client.hear() for _ in range(20)] == [presence(n) for n in range(20)]
        with pytest.raises(ConnectionClosed) as caught:
            await client.hear()
        assert caught.value.reason is not None
        assert caught.value.reason.code == CloseCode.KICKED
    await house.room.until(lambda: house.room.left == [join.session_id])
    assert house.delivery.statistics().closes == {CloseCode.KICKED: 1}


async def test_close_codes_of_a_peers_own_are_counted_as_one(house: House) -> None:
    """Or each would be one more line of the metrics, and the peer may choose of 2,000."""
    for code in (1000, 3000, 4321, 4999, CloseCode.KICKED):
        async with await house.raw_member() as stream:
            await stream.send_all(client_frame(0x88, code.to_bytes(2, "big")))
            await rest_of(stream)
    await house.room.until(lambda: len(house.room.left) == 5)
    await trio.testing.wait_all_tasks_blocked()
    assert house.delivery.statistics().closes == {1000: 1, OTHER_CODES: 3, CloseCode.KICKED: 1}


@pytest.mark.slow  # fills the kernel's buffers first
async def test_a_slow_member_is_closed_and_the_others_get_everything(
    start_house: StartHouse,
) -> None:
    """The slow one's frames stay whole up to the close frame, and nothing comes after it."""
    house = await start_house(outbox_bytes_max=64 * 1024)
    slow_stream = await house.raw_member(receive_buffer_bytes=8 * 1024)
    async with slow_stream, house.member() as quick:
        [slow] = (one for one in house.delivery if one.codec is CODECS[JSON])
        sent = 0
        while slow.close_code is None:
            house.broadcast(notice(sent))
            assert await quick.hear() == notice(sent)
            sent += 1
        house.broadcast(notice(sent))
        assert await quick.hear() == notice(sent)
        frames = list(frames_of(await rest_of(slow_stream)))
    assert {opcode for opcode, _ in frames[:-1]} == {1}
    events = [CODECS[JSON].decode_server(payload.decode()) for _, payload in frames[:-1]]
    assert events == [notice(n) for n in range(len(events))]
    assert len(events) < sent
    opcode, payload = frames[-1]
    assert (opcode, int.from_bytes(payload[:2], "big")) == (8, CloseCode.SLOW_CONSUMER)
    await house.room.until(lambda: len(house.room.left) == 2)
    assert house.delivery.slow_closed == 1


async def test_a_member_who_never_reads_again_is_dropped_in_time(start_house: StartHouse) -> None:
    house = await start_house(outbox_bytes_max=64 * 1024, close_timeout_s=0.05)
    async with await house.raw_member(receive_buffer_bytes=8 * 1024):
        [connection] = house.delivery
        while connection.close_code is None:
            house.broadcast(notice(1))
        await house.room.until(lambda: len(house.room.left) == 1)
        await house.server.drain(5)
    assert house.server.connections == 0


@pytest.mark.slow  # fills the kernel's buffers first
async def test_a_slow_member_who_catches_up_misses_nothing(house: House) -> None:
    """Through the backlog and back to direct sends, several times."""
    async with await house.raw_member(receive_buffer_bytes=8 * 1024) as stream:
        [connection] = house.delivery
        sent = 0
        got = b""
        for _ in range(3):
            while connection.outbox.backlog_bytes < 200_000:
                house.broadcast(notice(sent))
                sent += 1
            while connection.outbox.backlog_bytes:
                got += await stream.receive_some(100_000)
        house.delivery.close(connection.session_id, CloseCode.KICKED)
        got += await rest_of(stream)
    frames = [payload for opcode, payload in frames_of(got) if opcode == 1]
    events = [CODECS[JSON].decode_server(payload.decode()) for payload in frames]
    assert events == [notice(n) for n in range(sent)]


async def test_pongs_do_not_corrupt_broadcasts(house: House) -> None:
    """Pings under a broadcast that backs up: every pong whole and in order, between frames."""
    async with await house.raw_member(receive_buffer_bytes=8 * 1024) as stream:
        got = bytearray()
        pings = 200

        async def read() -> None:
            got.extend(await rest_of(stream))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for number in range(pings):
                await stream.send_all(client_frame(0x89, str(number).encode()))
                for part in range(20):
                    house.broadcast(notice(20 * number + part))
            ask = b'{"type":"endBroadcast","ref":2}'
            # In fragments: a whole message would not wait for the pongs.
            await stream.send_all(client_frame(0x01, ask[:5]) + client_frame(0x80, ask[5:]))
            await house.room.until(lambda: len(house.room.told) == 1)
            [connection] = house.delivery
            house.delivery.close(connection.session_id, CloseCode.KICKED)
    frames = list(frames_of(bytes(got)))
    assert [payload for opcode, payload in frames if opcode == 10] == [
        str(number).encode() for number in range(pings)
    ]
    texts = [payload.decode() for opcode, payload in frames if opcode == 1]
    events = [CODECS[JSON].decode_server(text) for text in texts]
    assert events == [notice(n) for n in range(20 * pings)]


async def test_one_who_pings_and_never_reads_fills_no_memory(start_house: StartHouse) -> None:
    """The server stops reading instead of queueing pongs; in the end the sender is stuck."""
    house = await start_house(close_timeout_s=0.05)
    async with await house.raw_member(receive_buffer_bytes=8 * 1024) as stream:
        [connection] = house.delivery
        pings = client_frame(0x89, b"x" * 100) * 100

        async def ping_for_ever() -> None:
            while True:
                await stream.send_all(pings)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping_for_ever)
            await trio.testing.wait_all_tasks_blocked(cushion=0.05)
            assert 0 < connection.outbox.backlog_bytes < 1000
            assert connection.close_code is None
            nursery.cancel_scope.cancel()


async def test_a_foreign_client_reads_all_while_it_pings(house: House) -> None:
    """The `websockets` library, in a thread; it offers compression, which is declined."""
    token = house.token()
    codec = CODECS[MSGPACK]

    def talk() -> list[object]:
        url = f"ws://127.0.0.1:{house.port}/rooms/{ROOM}"
        with websockets_connect(url, subprotocols=[Subprotocol(MSGPACK)], max_queue=None) as client:
            client.send(codec.encode(Connect(1, token)))
            heard: list[object] = []
            for number in range(102):
                pong = client.ping(str(number))
                heard.append(codec.decode_server(client.recv()))
                assert pong.wait(5)
            client.send(codec.encode(Tip(2, "t-1", "b-1", 1)))
            heard.append(codec.decode_server(client.recv()))
            return heard

    house.room.events_on_join = 100
    heard = await trio.to_thread.run_sync(talk)
    assert heard[0] == Ok(1)
    assert isinstance(heard[1], Snapshot)
    assert heard[2:] == [*(presence(n) for n in range(100)), Ok(2)]


@pytest.mark.slow  # waits for real heartbeats
async def test_a_silent_member_is_closed_and_one_that_answers_pings_stays(
    start_house: StartHouse,
) -> None:
    house = await start_house(heartbeat_s=0.25)
    async with house.member() as living, await house.raw_member() as silent:
        with trio.fail_after(10):
            frames = list(frames_of(await rest_of(silent)))
            opcodes = [opcode for opcode, _ in frames]
            assert opcodes[:-1] == [9] * (len(opcodes) - 1)
            assert len(opcodes) >= 2
            assert int.from_bytes(frames[-1][1][:2], "big") == CloseCode.HEARTBEAT_LOST
            await living.say(Tip(2, "t-1", "b-1", 1))
            assert await living.hear() == Ok(2)


@contextmanager
def reset_on_close(stream: trio.SocketStream) -> Iterator[None]:
    """The peer's machine is gone: no close frame, no FIN."""
    yield
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@pytest.mark.slow  # 500 real handshakes
async def test_abrupt_disconnects_leave_nothing(house: House) -> None:
    """Resets before the request, in the handshake, after the join, and amid a broadcast."""
    await trio.testing.wait_all_tasks_blocked()
    tasks_before = trio.lowlevel.current_statistics().tasks_living
    joined = 0
    for number in range(500):
        stage = number % 4
        stream = await (house.raw_member() if stage >= 2 else house.raw())
        with reset_on_close(stream):
            if stage == 1:
                await stream.send_all(upgrade()[:60])
            if stage >= 2:
                joined += 1
            if stage == 3:
                house.broadcast(presence(number))
        if stage == 3:
            house.broadcast(presence(number))
    await house.room.until(lambda: len(house.room.left) == joined)
    await trio.testing.wait_all_tasks_blocked()
    assert len(house.delivery) == 0
    assert house.server.connections == 0
    assert house.delivery.admitted(ROOM) == 0
    assert trio.lowlevel.current_statistics().tasks_living == tasks_before


@pytest.mark.slow  # four members are told one after the other
async def test_a_drain_tells_members_in_batches_and_serves_those_not_yet_told(
    start_house: StartHouse,
) -> None:
    house = await start_house(drain_batch=1)
    codes: list[int] = []
    served: list[int] = []

    async def stay(member: Client, number: int) -> None:
        ref = 1
        try:
            while True:
                ref += 1
                await member.say(Tip(ref, f"t-{number}-{ref}", "b-1", 1))
                assert await member.hear() == Ok(ref)
                if codes:
                    served.append(number)
                await trio.sleep(0.03)
        except ConnectionClosed as closed:
            codes.append(closed.reason.code if closed.reason else 0)

    async with AsyncExitStack() as stack:
        members = [await stack.enter_async_context(house.member(f"v-{n}")) for n in range(4)]
        with trio.fail_after(3), structlog.testing.capture_logs() as logs:
            # Four batches, 0.2 s apart.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(house.server.drain, 8.0)
                for number, member in enumerate(members):
                    nursery.start_soon(stay, member, number)
    assert codes == [CloseCode.GOING_AWAY] * 4
    assert served, "after the first was told"
    assert [line["event"] for line in logs] == [
        "drain_began",
        *["drain_told"] * 4,
        "drain_members_gone",
    ]
    assert [line["told"] for line in logs if "told" in line] == [1, 2, 3, 4]
    assert {line["members"] for line in logs} == {4}
    assert house.server.connections == 0
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", house.port)


@pytest.mark.slow  # waits out a member who does not answer
async def test_drain_tells_everyone_and_ends_in_time(start_house: StartHouse) -> None:
    """A member who does not answer does not hold it up."""
    house = await start_house(close_timeout_s=30)
    ends: list[int] = []

    async def wait_for_end(*, task_status: trio.TaskStatus[None]) -> None:
        async with house.member() as client:
            task_status.started()
            with pytest.raises(ConnectionClosed) as caught:
                await client.hear()
            assert caught.value.reason is not None
            ends.append(caught.value.reason.code)

    with trio.fail_after(5):
        async with await house.raw_member(), await house.raw(), trio.open_nursery() as nursery:
            for _ in range(10):
                await nursery.start(wait_for_end)
            await house.server.drain(0.2)
            assert house.server.connections == 0
    assert ends == [CloseCode.GOING_AWAY] * 10
    assert len(house.room.left) == 11
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", house.port)


async def test_what_a_turn_says_to_a_member_is_one_write(house: House) -> None:
    """Own frames first: a command does not wait for what everyone is told."""
    async with await house.raw_member() as stream:
        [connection] = house.delivery
        house.delivery.send(connection.session_id, Ok(7))
        house.broadcast(notice(1), presence(2), notice(3))
        frames = frames_of(await stream.receive_some(65536))
        heard = [CODECS[JSON].decode_server(payload.decode()) for _, payload in frames]
    assert heard == [Ok(7), notice(1), presence(2), notice(3)]


async def test_events_that_come_while_others_are_written_leave_together(
    start_house: StartHouse,
) -> None:
    house = await start_house(members_at_once=1)
    async with await house.raw_member() as early, await house.raw_member() as late:
        for number in (1, 2, 3):
            house.broadcast(notice(number))
        for stream in (early, late):
            sizes = []
            while sum(sizes) < 3:
                got = await stream.receive_some(65536)
                sizes.append(len(list(frames_of(got))))
            assert sizes == ([1, 2] if stream is early else [3]), "one write each"
            await trio.testing.wait_all_tasks_blocked()


async def test_a_command_does_not_wait_for_the_end_of_the_turn(house: House) -> None:
    """Behind what was said to the same member before."""
    call = VendorCall(Integration.CAM_KIT, "sendTip", (5, "ann"))
    command = Command("c-1", "tip-1", 1, call, 1, 4_102_444_800_000)
    async with house.member() as client:
        [connection] = house.delivery
        house.delivery.send(connection.session_id, Ok(7))
        house.delivery.send(connection.session_id, command)
        assert [await client.hear() for _ in range(2)] == [Ok(7), command]


async def test_what_has_patience_leaves_with_what_has_none(start_house: StartHouse) -> None:
    """In a room of more members than one turn is for."""
    house = await start_house(members_at_once=1)
    async with await house.raw_member() as one, await house.raw_member() as two:
        house.broadcast(presence(1))
        house.broadcast(notice(2))
        for stream in (one, two):
            assert len(list(frames_of(await stream.receive_some(65536)))) == 2, "one write"


async def test_patience_ends(start_house: StartHouse) -> None:
    """Also of what was said before somebody joined."""
    house = await start_house(members_at_once=1)
    async with house.member("a") as one, house.member("b") as two:
        house.broadcast(presence(1))
        async with house.member("c") as late:
            assert await one.hear() == await two.hear() == presence(1)
            house.broadcast(presence(2))
            assert await one.hear() == await two.hear() == await late.hear() == presence(2)


async def test_events_of_the_turn_in_which_somebody_joins_reach_the_others(house: House) -> None:
    """And those of later turns: the room is not forgotten with something unwritten."""
    async with house.member("a") as early, house.client() as late:
        house.delivery.broadcast(ROOM, notice(1))  # the turn goes on
        await late.connect(house.token("b"))
        house.broadcast(notice(2))
        assert [await early.hear() for _ in range(2)] == [notice(1), notice(2)]
        assert await late.hear() == notice(2)


async def test_a_new_snapshot_comes_behind_the_events_before_it(start_house: StartHouse) -> None:
    """After a crash of the room, or its members would see an old epoch return."""
    house = await start_house(members_at_once=1)
    async with house.member() as client:
        house.broadcast(notice(1))
        house.broadcast(notice(2))
        [join] = house.room.joins
        house.room.tell(msgspec.structs.replace(join, ref=None))
        assert [await client.hear() for _ in range(2)] == [notice(1), notice(2)]
        assert isinstance(await client.hear(), Snapshot)


async def test_a_close_comes_behind_the_events_before_it(start_house: StartHouse) -> None:
    house = await start_house(members_at_once=1)
    async with house.member() as client:
        house.broadcast(notice(1))
        house.broadcast(notice(2))
        [connection] = house.delivery
        house.delivery.close(connection.session_id, CloseCode.KICKED)
        assert [await client.hear() for _ in range(2)] == [notice(1), notice(2)]


@pytest.mark.slow  # fills the kernel's buffers first
async def test_a_stop_overtakes_a_full_queue(house: House) -> None:
    async with await house.raw_member(receive_buffer_bytes=8 * 1024) as stream:
        [connection] = house.delivery
        while connection.outbox.backlog_bytes < 200_000:
            house.broadcast(notice(1))
        waiting = connection.outbox.backlog_bytes
        house.delivery.send(connection.session_id, ToysStopped(None))
        house.delivery.close(connection.session_id, CloseCode.KICKED)
        got = await rest_of(stream)
    texts = [payload for opcode, payload in frames_of(got) if opcode == 1]
    at = next(number for number, text in enumerate(texts) if b'"stop"' in text)
    assert sum(map(len, texts[at:])) > waiting * 0.9


async def test_statistics_count_frames_and_bytes(house: House) -> None:
    async with house.member("a") as one, house.member("b") as two:
        before = house.delivery.statistics()
        event = PresenceChanged("e-1", 1, 2)
        house.broadcast(event)
        assert await one.hear() == await two.hear() == event
        after = house.delivery.statistics()
    size = len(CODECS[MSGPACK].encode(event)) + 2
    assert after.frames_sent - before.frames_sent == 2
    assert after.bytes_sent - before.bytes_sent == 2 * size
    assert (after.sessions, after.backlog_bytes) == (2, 0)
