"""What a member may say, and what is answered to the rest."""

import re
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog.testing
import trio.testing
from trio_websocket import ConnectionClosed

from actors.room.messages import MemberFrame, TierChanged
from actors.room.user_news import UserNews
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from protocol.codec import JSON, MSGPACK
from protocol.errors import CLOSES, FAILED_ROOM_REST_S, CloseCode, ErrorCode
from protocol.frames import (
    CommandAccepted,
    Connect,
    EndBroadcast,
    Error,
    ListMembers,
    MessageDelivered,
    MessageRead,
    Ok,
    PresenceChanged,
    RefreshToken,
    Resume,
    ResumeToys,
    SetPresence,
    Snapshot,
    StopToys,
    Tip,
    Typing,
)
from protocol.tip_activated import LovenseMode, MembershipTier
from server.auth import Authority, Role
from server.sockets.verb_limits import VERB_RATES
from tests.garbage import nothing_left_for_the_collector
from tests.sockets.conftest import (
    Client,
    House,
    StartHouse,
    client_frame,
    json_frame,
    presence,
    rest_of,
    upgrade,
)

HOUR = timedelta(hours=1)
FORGER = Authority(b"another secret of thirty-two bytes")


async def heard_until_close(client: Client) -> tuple[list[Any], int]:
    """All frames up to the close, and its code."""
    frames = []
    while True:
        try:
            frames.append(await client.hear())
        except ConnectionClosed as closed:
            reason = closed.reason
            break
    assert reason is not None
    if reason.code in CLOSES:
        rule = CLOSES[CloseCode(reason.code)]
        text, _, back_in = (reason.reason or "").partition("; in ")
        assert text == rule.text
        assert bool(back_in) is (rule.crowd or rule.rest_s > 0)
    return frames, reason.code


async def told_to_come_back_in_s(client: Client) -> float:
    """By the reason of the close that comes next."""
    with pytest.raises(ConnectionClosed) as closed:
        await client.hear()
    found = re.search(r"; in (\d+\.\d) s\Z", closed.value.reason.reason or "")
    assert found is not None
    return float(found[1])


def tip(ref: int = 2) -> Tip:
    return Tip(ref, f"t-{ref}", "b-1", 10)


# ---- connect -----------------------------------------------------------------------------------


@pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])
async def test_a_viewer_joins_with_what_the_token_and_the_database_say(
    house: House, subprotocol: str
) -> None:
    async with house.client(subprotocols=(subprotocol,)) as client:
        token = house.token("v-1", membership_tier=MembershipTier.VIP_GOLD)
        snapshot = await client.connect(token, resume=Resume("e-0", 7), page_id="p-1")
        assert snapshot.self.balance == 100
        [join] = house.room.joins
        assert (join.user_id, join.is_model, join.integration) == ("v-1", False, None)
        assert (join.membership_tier, join.page_id) == (MembershipTier.VIP_GOLD, "p-1")
        assert join.resume == Resume("e-0", 7)
        await client.say(tip())
        assert await client.hear() == Ok(2)
    await house.room.until(lambda: house.room.left == [join.session_id])


async def test_a_model_joins_with_her_integration_and_no_wallet(house: House) -> None:
    house.rooms.store_down = True  # her facts are the room's: no viewer is loaded
    async with house.client() as client:
        token = house.token("m-1", role=Role.MODEL)
        await client.connect(token, integration=LovenseMode.CAM_KIT)
        [join] = house.room.joins
        assert (join.is_model, join.integration) == (True, LovenseMode.CAM_KIT)
        assert join.viewer.balance is None


async def test_events_follow_the_snapshot_in_order(house: House) -> None:
    house.room.events_on_join = 50
    async with house.member() as client:
        assert [await client.hear() for _ in range(50)] == [presence(n) for n in range(50)]


@pytest.mark.parametrize(
    ("fields", "error", "close"),
    [
        ({"expires_at_utc": datetime.now(UTC) - HOUR}, "TOKEN_EXPIRED", CloseCode.TOKEN_EXPIRED),
        ({"room_id": "room-2"}, "WRONG_ROOM", CloseCode.WRONG_ROOM),
        ({"room_id": None}, "WRONG_ROOM", CloseCode.WRONG_ROOM),
        ({"role": Role.ADMIN}, "FORBIDDEN", CloseCode.TOKEN_INVALID),
        ({"role": Role.SERVICE}, "FORBIDDEN", CloseCode.TOKEN_INVALID),
    ],
)
async def test_a_token_that_does_not_fit_is_told_so_and_closed(
    house: House, fields: dict[str, Any], error: str, close: CloseCode
) -> None:
    async with house.client() as client:
        await client.say(Connect(7, house.token(**fields)))
        frames, code = await heard_until_close(client)
    assert [(frame.ref, frame.code) for frame in frames] == [(7, error)]
    assert code == close
    assert house.room.joins == []


async def test_a_forged_token_is_told_so_and_closed(house: House) -> None:
    house.authority, right = FORGER, house.authority
    async with house.client() as client:
        await client.say(Connect(7, house.token()))
        frames, code = await heard_until_close(client)
    assert [frame.code for frame in frames] == [ErrorCode.TOKEN_INVALID]
    assert code == CloseCode.TOKEN_INVALID
    assert right is not FORGER


@pytest.mark.parametrize(
    ("role", "integration"), [(Role.MODEL, None), (Role.VIEWER, LovenseMode.EXTENSION)]
)
async def test_the_integration_is_the_models_and_can_be_corrected(
    house: House, role: Role, integration: LovenseMode | None
) -> None:
    right = LovenseMode.EXTENSION if role is Role.MODEL else None
    async with house.client() as client:
        await client.say(Connect(7, house.token(role=role), integration))
        error = await client.hear()
        assert isinstance(error, Error)
        assert (error.code, error.field) == (ErrorCode.INVALID_FIELD, "integration")
        await client.connect(house.token(role=role), integration=right)


async def test_the_first_frame_must_be_connect(house: House) -> None:
    async with house.client() as client:
        await client.say(tip(5))
        error = await client.hear()
        assert isinstance(error, Error)
        assert (error.ref, error.code) == (5, ErrorCode.TOKEN_MISSING)
        await client.connect(house.token())
    assert house.room.told == []


async def test_an_unknown_room_is_told_so_and_closed(house: House) -> None:
    async with house.client(path="/rooms/room-2") as client:
        await client.say(Connect(7, house.token(room_id="room-2")))
        frames, code = await heard_until_close(client)
    assert [frame.code for frame in frames] == [ErrorCode.ROOM_UNKNOWN]
    assert code == CloseCode.ROOM_UNKNOWN


@pytest.mark.parametrize("trouble", ["store", "full", "closed"])
async def test_a_room_that_cannot_be_had_now_is_to_come_back_to(house: House, trouble: str) -> None:
    house.rooms.store_down = trouble == "store"
    house.room.refusing = {"full": MailboxFull, "closed": MailboxClosed}.get(trouble)
    async with house.client() as client:
        await client.say(Connect(7, house.token()))
        frames, code = await heard_until_close(client)
    assert [(frame.code, frame.retry) for frame in frames] == [(ErrorCode.ROOM_BUSY, True)]
    assert code == CloseCode.ROOM_RESTARTING
    assert house.room.left == []


async def test_a_room_put_away_while_joining_is_opened_once_more(house: House) -> None:
    house.room.refusing = MailboxClosed

    def comes_up_second_time() -> None:
        if house.rooms.opened == 2:
            house.room.refusing = None

    house.rooms.on_open = comes_up_second_time
    async with house.member():
        assert house.rooms.opened == 2


async def test_a_balance_that_changes_while_the_room_comes_up_is_in_the_join(house: House) -> None:
    """The wallet was read before; the room has nobody yet whom it could tell."""
    user_id = house.authority.verify(house.token()).user_id
    news = UserNews(house.rooms.whereabouts)
    house.rooms.on_open = lambda: news.balance_changed(user_id, 7)
    async with house.member():
        [join] = house.room.joins
        assert join.viewer.balance == 7
        assert house.rooms.whereabouts.arrivals_of(user_id) == []


# ---- frames ------------------------------------------------------------------------------------


async def test_a_second_connect_is_refused(house: House) -> None:
    async with house.member() as client:
        await client.say(Connect(2, house.token()))
        error = await client.hear()
        assert isinstance(error, Error)
        assert (error.ref, error.code, error.field) == (2, ErrorCode.INVALID_FIELD, "type")
        assert len(house.room.joins) == 1


@pytest.mark.parametrize(
    ("message", "ref", "code", "field"),
    [
        ("{", None, ErrorCode.MALFORMED_FRAME, None),
        ("[" * 5000, None, ErrorCode.MALFORMED_FRAME, None),
        (b"\x80", None, ErrorCode.MALFORMED_FRAME, None),
        ('{"type":"dance","ref":4}', 4, ErrorCode.UNKNOWN_FRAME, "type"),
        ('{"ref":4}', 4, ErrorCode.UNKNOWN_FRAME, "type"),
        ('{"type":"endBroadcast","ref":0}', None, ErrorCode.INVALID_FIELD, "ref"),
        ('{"type":"endBroadcast","ref":"x"}', None, ErrorCode.INVALID_FIELD, "ref"),
        (
            '{"type":"tip","ref":4,"tipId":"t","broadcastId":"b","amount":0}',
            4, ErrorCode.INVALID_FIELD, "amount",
        ),
        ('{"type":"endBroadcast","ref":4,"x":1}', 4, ErrorCode.INVALID_FIELD, "x"),
    ],
)  # fmt: skip
async def test_a_bad_frame_is_answered_and_the_socket_stays(
    house: House, message: str | bytes, ref: int | None, code: ErrorCode, field: str | None
) -> None:
    async with house.member(subprotocols=(JSON,)) as client:
        await client.socket.send_message(message)
        error = await client.hear()
        assert isinstance(error, Error)
        assert (error.ref, error.code, error.field) == (ref, code, field)
        await client.say(tip())
        assert await client.hear() == Ok(2)


async def test_too_many_bad_frames_close(start_house: StartHouse) -> None:
    house = await start_house(bad_frames_max=3)
    async with house.member() as client:
        for _ in range(4):
            await client.socket.send_message(b"\xc1")
        frames, code = await heard_until_close(client)
    assert [frame.code for frame in frames] == [ErrorCode.MALFORMED_FRAME] * 4
    assert code == CloseCode.BAD_FRAMES


async def test_a_message_that_is_too_long_closes_with_1009(start_house: StartHouse) -> None:
    house = await start_house(message_bytes_max=1000)
    async with house.member() as client:
        await client.socket.send_message(b"x" * 1001)
        assert await heard_until_close(client) == ([], 1009)
    await house.room.until(lambda: len(house.room.left) == 1)


@pytest.mark.parametrize(
    ("bytes_sent", "close"),
    [
        (client_frame(0x81, b"\xff"), 1007),
        (b"\x81\x05hello", 1002),
        (client_frame(0xC1, b"x"), 1002),
        (client_frame(0x83, b"x"), 1002),
        (client_frame(0x81, b"x" * 70_000) + client_frame(0x89, b"ping"), 1009),
    ],
)
async def test_a_breach_of_the_protocol_is_told_and_harms_nobody(
    house: House, bytes_sent: bytes, close: int
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with house.member() as other:
            async with await house.raw_member() as stream:
                await stream.send_all(bytes_sent)
                answer = await rest_of(stream)
            assert answer[0] == 0x88
            assert int.from_bytes(answer[2:4], "big") == close
            assert len(answer) == 2 + answer[1], "something follows the close frame"
            await house.room.until(lambda: len(house.room.left) == 1)
            await other.say(tip())
            assert await other.hear() == Ok(2)
    assert logs == []


async def test_a_ping_behind_a_message_that_was_too_long_is_no_fault_of_ours(
    start_house: StartHouse,
) -> None:
    house = await start_house(message_bytes_max=1000)
    with structlog.testing.capture_logs() as logs:
        async with await house.raw_member() as stream:
            await stream.send_all(client_frame(0x81, b"x" * 1001) + client_frame(0x89, b"ping"))
            assert (await rest_of(stream))[2:4] == (1009).to_bytes(2, "big")
        await house.room.until(lambda: len(house.room.left) == 1)
        await trio.testing.wait_all_tasks_blocked()
    assert logs == []


async def test_one_who_pings_takes_no_pong_and_is_gone_is_forgotten_at_once(house: House) -> None:
    """What cannot be answered any more ends the session, which waits for it."""
    async with await house.raw_member(receive_buffer_bytes=4096) as stream:
        [connection] = house.delivery

        async def ping() -> None:
            while True:
                await stream.send_all(client_frame(0x89, bytes(125)) * 100)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert connection.outbox.backlog_bytes, "it is no longer read"
            nursery.cancel_scope.cancel()
    await house.room.until(lambda: len(house.room.left) == 1)


async def test_a_message_that_is_too_long_in_fragments_ends_it_whatever_follows(
    start_house: StartHouse,
) -> None:
    house = await start_house(message_bytes_max=1000)
    async with await house.raw_member() as stream:
        await stream.send_all(client_frame(0x02, bytes(600)))
        for _ in range(3):
            await stream.send_all(client_frame(0x00, bytes(600)))
            await trio.testing.wait_all_tasks_blocked()
        assert (await stream.receive_some(1000))[2:4] == (1009).to_bytes(2, "big")
        await house.room.until(lambda: len(house.room.left) == 1)


async def test_a_member_is_one_task(house: House) -> None:
    """What shook hands does not stay: a second task, and what it holds, would double his memory."""
    before = trio.lowlevel.current_statistics().tasks_living
    async with await house.raw_member() as stream:
        await stream.send_all(client_frame(0x89, b"ping") + client_frame(0x01, b"{"))
        assert await stream.receive_some(100) == b"\x8a\x04ping"
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before + 1


PARSER = (
    *("FrameProtocol", "FrameDecoder", "MessageDecoder", "Buffer", "IncrementalDecoder", "Frame"),
    *("Header", "RsvBits", "XorMaskerSimple", "generator", "list"),
)
"""wsproto's, which refers to itself: 1.3 kB that is found young, with whatever else is new."""


async def test_one_who_has_gone_leaves_nothing_for_the_collector(house: House) -> None:
    async def come_and_go() -> None:
        left = len(house.room.left)
        async with await house.raw_member() as stream:
            await stream.send_all(client_frame(0x89, b"ping"))
            assert await stream.receive_some(100) == b"\x8a\x04ping"
            await stream.send_all(client_frame(0x01, b"a part of a message"))
            await trio.testing.wait_all_tasks_blocked()
        await house.room.until(lambda: len(house.room.left) > left)
        await trio.testing.wait_all_tasks_blocked()

    await come_and_go()
    with nothing_left_for_the_collector(PARSER):
        await come_and_go()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param([upgrade("/elsewhere")], id="no room's path"),
        pytest.param([upgrade() + b"x"], id="too early"),
        pytest.param([upgrade(), json_frame(type="connect", ref=1, token="x")], id="no token"),
        pytest.param([upgrade(), client_frame(0xF1, b"")], id="a reserved bit"),
        pytest.param([upgrade(), client_frame(0x81, b"\xff")], id="no UTF-8"),
        pytest.param([upgrade(), client_frame(0x81, bytes(70_000))], id="too long"),
        pytest.param([upgrade(), client_frame(0x88, b"\x03\xe8")], id="close"),
    ],
)
async def test_one_who_was_turned_away_leaves_nothing_for_the_collector(
    house: House, said: list[bytes]
) -> None:
    async def come_and_be_closed() -> None:
        async with await house.raw() as stream:
            for each in said[:-1]:
                await stream.send_all(each)
                await stream.receive_some(4096)
            await stream.send_all(said[-1])
            await rest_of(stream)
        await trio.testing.wait_all_tasks_blocked()
        assert house.server.connections == 0

    await come_and_be_closed()
    with nothing_left_for_the_collector(PARSER):
        await come_and_be_closed()


async def test_one_who_is_closed_while_sending_hears_why_instead_of_a_reset(house: House) -> None:
    async with await house.raw_member() as stream:
        await stream.send_all(client_frame(0x81, b"x" * 3_000_000))
        answer = await stream.receive_some(1000)
        assert answer[2:4] == (1009).to_bytes(2, "big")
        assert await stream.receive_some(1) == b""


@pytest.mark.parametrize("close", [b"", client_frame(0x88, b"\x03\xe8")], ids=["EOF", "close"])
async def test_what_was_said_before_the_end_still_counts(house: House, close: bytes) -> None:
    async with await house.raw_member() as stream:
        tips = [
            json_frame(type="tip", ref=ref, tipId=f"t-{ref}", broadcastId="b", amount=5)
            for ref in range(2, 12)
        ]
        await stream.send_all(b"".join(tips) + close)
        await stream.send_eof()
        await rest_of(stream)
    await house.room.until(lambda: len(house.room.left) == 1)
    assert [message.frame.ref for message in house.room.told] == list(range(2, 12))


async def test_a_fault_of_ours_closes_one_and_is_logged_without_what_was_said(house: House) -> None:
    with structlog.testing.capture_logs() as logs:
        async with house.member() as other:
            async with house.client() as client:
                await client.say(Connect(1, house.token("cursed")))
                assert await heard_until_close(client) == ([], 1011)
            await other.say(tip())
            assert await other.hear() == Ok(2)
    [line] = logs
    assert line["errors"] == ["ZeroDivisionError"]
    assert "load_viewer" in line["places"][0][-1]
    assert "a fault of ours" not in str(line)
    assert "cursed" not in str(line)


# ---- rate --------------------------------------------------------------------------------------


async def test_above_the_rate_is_refused_with_when_to_try_again(start_house: StartHouse) -> None:
    house = await start_house(frames_burst=3, frames_per_s=0.1)
    async with house.member() as client:
        for ref in (2, 3):
            await client.say(tip(ref))
            assert await client.hear() == Ok(ref)
        await client.say(tip(4))
        error = await client.hear()
        assert isinstance(error, Error)
        assert (error.ref, error.code, error.retry) == (4, ErrorCode.RATE_LIMITED, True)
        assert error.retry_after_s is not None
        assert 0 < error.retry_after_s <= 10
        await client.say(CommandAccepted("c-1"))
        error = await client.hear()
        assert isinstance(error, Error)
        assert (error.ref, error.code) == (None, ErrorCode.RATE_LIMITED)
    assert len(house.room.told) == 2
    assert house.endpoint.frames_refused == {("tip", "frames"): 1, ("commandAccepted", "frames"): 1}


async def test_stop_overtakes_the_rate(start_house: StartHouse) -> None:
    house = await start_house(frames_burst=1, frames_per_s=0.1)
    async with house.member() as client:
        await client.say(tip(2))
        error = await client.hear()
        assert isinstance(error, Error)
        assert error.code is ErrorCode.RATE_LIMITED
        for ref in range(3, 14):
            await client.say(StopToys(ref))
        refused = await client.hear()
        assert isinstance(refused, Error)
        assert (refused.ref, refused.code) == (13, ErrorCode.RATE_LIMITED)
    assert len(house.room.first) == 10


async def test_a_flood_closes(start_house: StartHouse) -> None:
    house = await start_house(frames_burst=1, frames_per_s=0.1, flood_refusals_max=20)
    async with house.member() as client:
        for ref in range(2, 23):
            await client.say(tip(ref))
        frames, code = await heard_until_close(client)
    assert [frame.code for frame in frames] == [ErrorCode.RATE_LIMITED] * 20
    assert code == CloseCode.FLOOD


# ---- the token's life --------------------------------------------------------------------------


@pytest.mark.slow  # a token's life is counted in whole seconds
async def test_an_expired_token_closes_the_socket_at_that_moment(start_house: StartHouse) -> None:
    house = await start_house(leeway_s=0.1)
    token = house.token(expires_at_utc=datetime.now(UTC) + timedelta(seconds=1))
    async with house.client() as client:
        await client.connect(token)
        frames, code = await heard_until_close(client)
    assert (frames, code) == ([], CloseCode.TOKEN_EXPIRED)
    await house.room.until(lambda: len(house.room.left) == 1)


@pytest.mark.slow  # a token's life is counted in whole seconds
async def test_a_refreshed_token_keeps_the_socket_and_changes_the_tier(
    start_house: StartHouse,
) -> None:
    house = await start_house(leeway_s=0.1)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    async with house.client() as client, house.client() as other:
        await client.connect(house.token(expires_at_utc=soon))
        await other.connect(house.token(expires_at_utc=soon))
        await client.say(RefreshToken(2, house.token(membership_tier=MembershipTier.VIP_GOLD)))
        assert await client.hear() == Ok(2)
        session_id = house.room.joins[0].session_id
        assert house.room.told == [TierChanged(session_id, MembershipTier.VIP_GOLD)]
        assert (await heard_until_close(other))[1] == CloseCode.TOKEN_EXPIRED
        await client.say(tip(3))
        assert await client.hear() == Ok(3)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"user_id": "somebody"}, ErrorCode.FORBIDDEN),
        ({"role": Role.MODEL}, ErrorCode.FORBIDDEN),
        ({"room_id": "room-2"}, ErrorCode.FORBIDDEN),
        ({"expires_at_utc": datetime.now(UTC) - HOUR}, ErrorCode.TOKEN_EXPIRED),
    ],
)
async def test_a_token_of_another_does_not_refresh(
    house: House, fields: dict[str, Any], code: ErrorCode
) -> None:
    async with house.member() as client:
        token = house.token(**{"membership_tier": MembershipTier.VIP_GOLD, **fields})
        await client.say(RefreshToken(2, token))
        error = await client.hear()
        assert isinstance(error, Error)
        assert (error.ref, error.code) == (2, code)
        assert house.room.told == []
        await client.say(tip(3))
        assert await client.hear() == Ok(3)


# ---- the room behind it ------------------------------------------------------------------------


async def test_a_full_room_refuses_a_frame_but_never_a_stop_or_a_leave(house: House) -> None:
    async with house.member() as client:
        house.room.refusing = MailboxFull
        await client.say(tip())
        error = await client.hear()
        assert isinstance(error, Error)
        assert (error.ref, error.code, error.retry) == (2, ErrorCode.ROOM_BUSY, True)
        await client.say(StopToys(3))
        await house.room.until(lambda: len(house.room.first) == 1)
    await house.room.until(lambda: len(house.room.left) == 1)


async def test_a_room_that_was_put_away_is_joined_anew(house: House) -> None:
    async with house.member() as client:
        house.room.refusing = MailboxClosed

        def comes_up() -> None:
            house.room.refusing = None

        house.rooms.on_open = comes_up
        await client.say(tip())
        assert isinstance(await client.hear(), Snapshot)
        assert await client.hear() == Ok(2)
        first, second = house.room.joins
        assert (first.ref, second.ref) == (1, None)
        assert first.session_id == second.session_id
        house.broadcast(PresenceChanged("e-1", 1, 1))
        assert await client.hear() == PresenceChanged("e-1", 1, 1)


async def test_a_room_that_does_not_come_up_closes_to_come_back(house: House) -> None:
    async with house.member() as client:
        house.room.refusing = MailboxClosed
        await client.say(EndBroadcast(2))
        assert await heard_until_close(client) == ([], CloseCode.ROOM_RESTARTING)


async def test_a_crowd_that_is_closed_at_once_is_told_to_come_back_at_different_moments(
    house: House,
) -> None:
    async with AsyncExitStack() as stack:
        members = [await stack.enter_async_context(house.member(f"v-{n}")) for n in range(8)]
        for join in house.room.joins:
            house.delivery.close(join.session_id, CloseCode.ROOM_FAILED)
        moments = set()
        for member in members:
            moments.add(await told_to_come_back_in_s(member))
        assert min(moments) >= FAILED_ROOM_REST_S
        assert max(moments) <= FAILED_ROOM_REST_S + 1
        assert len(moments) > 1


async def test_mail_hears_of_who_joins_and_what_arrived(house: House) -> None:
    async with house.member() as client:
        await client.say(MessageDelivered("m-1"))
        await client.say(MessageRead("m-1"))
        await client.say(ResumeToys(2))
        await house.room.until(lambda: len(house.room.told) == 1)
        assert house.rooms.mail == [
            ("connected", "viewer-1", ""),
            ("delivered", "viewer-1", "m-1"),
            ("read", "viewer-1", "m-1"),
        ]


async def test_frames_reach_the_room_with_their_session(house: House) -> None:
    async with house.member() as client:
        await client.say(ResumeToys(2))
        await house.room.until(lambda: len(house.room.told) == 1)
        session_id = house.room.joins[0].session_id
        assert house.room.told == [MemberFrame(session_id, ResumeToys(2))]
        for frame in (SetPresence("away"), Typing(), ListMembers(3)):
            await client.say(frame)
        await house.room.until(lambda: len(house.room.told) == 4)
        assert [each.frame for each in house.room.told[1:]] == [
            SetPresence("away"), Typing(), ListMembers(3),
        ]  # fmt: skip


async def test_a_moderator_joins_and_is_known_as_one(house: House) -> None:
    async with house.client() as client:
        await client.connect(house.token("mod-1", role=Role.MODERATOR))
        [join] = house.room.joins
        assert (join.is_moderator, join.is_model) == (True, False)


# ---- how many, how often -----------------------------------------------------------------------


async def test_a_verb_said_too_often_is_refused_with_the_time_to_wait(house: House) -> None:
    async with house.member() as client:
        for _ in range(VERB_RATES[RefreshToken].burst):
            await client.say(RefreshToken(2, house.token()))
            assert await client.hear() == Ok(2)
        await client.say(RefreshToken(3, house.token()))
        refused = await client.hear()
        assert isinstance(refused, Error)
        assert (refused.ref, refused.code, refused.retry) == (3, ErrorCode.RATE_LIMITED, True)
        assert refused.retry_after_s is not None
        assert 0 < refused.retry_after_s <= 1 / VERB_RATES[RefreshToken].per_s
        assert "connection" in refused.text
        assert house.endpoint.frames_refused == {("refreshToken", "connection"): 1}
        await client.say(tip())
        assert await client.hear() == Ok(2)


async def test_a_user_has_so_many_connections_and_the_next_is_told(
    start_house: StartHouse,
) -> None:
    house = await start_house(connections_per_user_max=2)
    async with house.member("v-1"), house.member("v-2"):
        async with house.member("v-1"), house.client() as third:
            await third.say(Connect(1, house.token("v-1")))
            [error], code = await heard_until_close(third)
            assert (error.code, code) == (
                ErrorCode.TOO_MANY_CONNECTIONS,
                CloseCode.TOO_MANY_CONNECTIONS,
            )
            left = len(house.room.left)
        await house.room.until(lambda: len(house.room.left) > left)
        async with house.member("v-1"):
            assert len(house.room.joins) == 4


async def test_a_kick_ends_all_connections_of_a_user_and_of_no_other(house: House) -> None:
    async with house.member("v-1") as one, house.member("v-1") as two, house.member("v-2") as v2:
        assert house.book.kick("v-1") == 2
        for client in (one, two):
            assert (await heard_until_close(client))[1] == CloseCode.KICKED
        await v2.say(tip())
        assert await v2.hear() == Ok(2)
        await house.room.until(lambda: len(house.room.left) == 2)
        assert house.book.kick("v-1") == 0


async def test_a_storm_of_joins_waits_in_turn_and_the_rest_is_told_to_come_back(
    start_house: StartHouse,
) -> None:
    house = await start_house(joins_at_once_max=1, joins_waiting_max=1)
    house.rooms.slow_until = trio.Event()
    async with house.client() as first, house.client() as second, house.client() as third:
        for number, client in enumerate((first, second)):
            await client.say(Connect(1, house.token(f"v-{number}")))
            await trio.testing.wait_all_tasks_blocked(0.05)
        await third.say(Connect(1, house.token("v-3")))
        [error], code = await heard_until_close(third)
        assert (error.code, code) == (ErrorCode.SERVER_BUSY, CloseCode.SERVER_BUSY)
        counted = house.endpoint.admission
        assert (counted.joining, counted.waiting, counted.queue_full) == (1, 1, 1)
        async with house.client() as model:  # a room's one model waits for nobody
            token = house.token("m-1", role=Role.MODEL)
            await model.connect(token, integration=LovenseMode.CAM_KIT)
        house.rooms.slow_until.set()
        for client in (first, second):
            assert await client.hear() == Ok(1)
