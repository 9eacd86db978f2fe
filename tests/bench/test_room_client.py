"""The Python client against a hand-written server side, on a clock that jumps: when it comes back
and when it does not, what it says again, and what it never sends twice."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial, wraps
from types import NoneType
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bench.client.credentials import Credentials, NoCredentials
from bench.client.questions import RequestError
from bench.client.room_client import Heard, Late, Lost, ReportRefused, RoomClient, Status
from protocol.codec import CODECS
from protocol.errors import ErrorCode
from protocol.frames import (
    Connect,
    Error,
    Gap,
    Ok,
    PresenceChanged,
    RefreshToken,
    ReportSettings,
    ReportToys,
    Resume,
    ResumeToys,
    SelfChanged,
    SetPresence,
    Snapshot,
    StopToys,
    Tip,
    TipNotice,
    TipReceipt,
    Typing,
)
from protocol.gating import Preferences
from protocol.lovense import ReportedToy
from protocol.tip_activated import LovenseMode
from tests.bench.room_server import SELF, SERVER_TIME_MS, RoomServer, snapshot

URL = "ws://tiproom.test/rooms/room-1"
TOY = ReportedToy(id="t1", name="lush", toy_type="lush", status="on", battery=90)
RECEIPT = TipReceipt("tip-1", 5, 45, "Tip", "2026-01-01T00:00:00Z")


def on_a_clock_that_jumps(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @wraps(test)
    def run(**arguments: Any) -> None:
        trio.run(partial(test, **arguments), clock=MockClock(autojump_threshold=0))

    return run


def notice(offset: int) -> TipNotice:
    return TipNotice("e1", offset, "kim", 5, "Tip", "kim tipped", "2026-01-01T00:00:00Z")


class Visit:
    """One client, and all that it heard. `token_life_s`: of each token, in turn token-1, ..."""

    def __init__(self, server: RoomServer, **options: Any) -> None:
        self.server = server
        self.heard: list[Heard] = []
        self.tokens = 0
        self.token_life_s: float | None = None
        self.issuer_is_down = False
        self.client = RoomClient(
            URL,
            self._issue,
            self.heard.append,
            open_stream=server.open_stream,
            draw=lambda: 0.999,
            **options,
        )

    async def _issue(self) -> Credentials:
        if self.issuer_is_down:
            raise NoCredentials("the issuer is down")
        self.tokens += 1
        now_ms = self.client.server_now_ms() or SERVER_TIME_MS
        life_s = self.token_life_s
        ends_ms = None if life_s is None else int(now_ms + life_s * 1000)
        return Credentials(f"token-{self.tokens}", ends_ms)

    def of(self, kind: Any) -> list[Any]:
        return [each for each in self.heard if isinstance(each, kind)]

    @property
    def states(self) -> list[str]:
        return [status.state for status in self.of(Status)]

    async def settled(self, state: str) -> Status:
        """All that can happen now has happened, and it is so."""
        await wait_all_tasks_blocked()
        assert self.client.status.state == state
        return self.client.status


@asynccontextmanager
async def visit(
    *, online: bool = True, subprotocol: str | None = None, **options: Any
) -> AsyncIterator[Visit]:
    """It runs within the block."""
    codec = {} if subprotocol is None else {"subprotocol": subprotocol}
    async with trio.open_nursery() as nursery:
        one = Visit(RoomServer(nursery, **codec), **codec, **options)
        nursery.start_soon(one.client.run)
        if online:
            await one.client.online()
            await wait_all_tasks_blocked()
        yield one
        nursery.cancel_scope.cancel()


async def ask(client: RoomClient, answers: list[Any], *, resend: bool = False) -> None:
    """A tip; what came of it."""
    try:
        answers.append(
            await client.request(lambda ref: Tip(ref, "tip-1", "b-1", 5), NoneType, resend=resend)
        )
    except RequestError as error:
        answers.append(error.code)


# ---- coming, and coming back -----------------------------------------------------------------


@pytest.mark.parametrize("subprotocol", CODECS)
@on_a_clock_that_jumps
async def test_it_introduces_itself_first_and_keeps_the_rooms_state(subprotocol: str) -> None:
    page = {"integration": LovenseMode.EXTENSION, "page_id": "page-1"}
    async with visit(subprotocol=subprotocol, **page) as one:
        assert one.server.last == [Connect(1, "token-1", LovenseMode.EXTENSION, None, "page-1")]
        client = one.client
        assert client.room is not None
        assert (client.room.room_id, client.self_view, client.viewers) == ("room-1", SELF, 3)
        await one.server.send(PresenceChanged("e1", 7, 4))
        poorer = msgspec.structs.replace(SELF, balance=45)
        await one.server.send(SelfChanged(poorer))
        assert client.viewers == 4
        assert client.self_view == poorer
        assert one.states == ["connecting", "online"]
        assert one.of(Gap | Lost) == []


@pytest.mark.parametrize("code", [1011, 1012, 4000, 4001, 4499])
@on_a_clock_that_jumps
async def test_it_comes_back_after_a_close_that_allows_it(code: int) -> None:
    async with visit() as one:
        await one.server.close(code)
        status = await one.settled("waiting")
        assert status == Status("waiting", code, "", pytest.approx(0.4995))
        await trio.sleep(0.49)
        assert len(one.server.frames) == 1
        await trio.sleep(0.02)
        await one.settled("online")
        assert one.server.last[0].resume == Resume("e1", 7)  # type: ignore[union-attr]


@pytest.mark.parametrize("code", [4500, 4502, 4507, 4999])
@on_a_clock_that_jumps
async def test_it_stays_away_after_a_close_that_forbids_it(code: int) -> None:
    async with visit() as one:
        await one.server.close(code, "no more")
        assert await one.settled("refused") == Status("refused", code, "no more")
        await trio.sleep(3600)
        assert len(one.server.frames) == 1
        answers: list[Any] = []
        await ask(one.client, answers, resend=True)
        assert answers == ["CLOSED"]
        with pytest.raises(RequestError, match="no more"):
            await one.client.online()


@on_a_clock_that_jumps
async def test_the_words_of_a_refused_connect_are_kept() -> None:
    async with visit(online=False) as one:
        one.server.refusals.append((ErrorCode.SECOND_MODEL_PAGE, 4502))
        status = await one.settled("refused")
        assert status.reason == "Open elsewhere."


@on_a_clock_that_jumps
async def test_it_comes_back_as_it_was_told() -> None:
    async with visit() as one:
        await one.server.close(4000, "the server is going away; come back; in 42.5 s")
        status = await one.settled("waiting")
        assert status == Status("waiting", 4000, "the server is going away; come back", 42.5)
        await trio.sleep(42.4)
        assert len(one.server.frames) == 1
        await trio.sleep(0.2)
        assert len(one.server.frames) == 2


@on_a_clock_that_jumps
async def test_a_connection_lost_without_a_word_comes_back_within_the_servers_window() -> None:
    async with visit(online=False) as one:
        one.server.snapshots[0] = snapshot(reconnect_within_s=30.0)
        await one.client.online()
        await one.server.break_off()
        assert (await one.settled("waiting")).retry_in_s == pytest.approx(29.97)
        await trio.sleep(30)
        await one.server.send(PresenceChanged("e1", 7, 4, reconnect_within_s=2.0))
        await one.server.break_off()
        assert (await one.settled("waiting")).retry_in_s == pytest.approx(1.998)


@pytest.mark.parametrize("fault", ["reachable", "upgrades"])
@on_a_clock_that_jumps
async def test_it_goes_on_trying_while_nobody_answers(fault: str) -> None:
    async with visit(online=False) as one:
        setattr(one.server, fault, False)
        status = await one.settled("waiting")
        assert status.code == 1006
        await trio.sleep(60)
        setattr(one.server, fault, True)
        await one.client.online()
        waits = [each.retry_in_s for each in one.of(Status) if each.state == "waiting"]
        assert waits[:4] == pytest.approx([0.4995, 0.999, 1.998, 3.996])


@on_a_clock_that_jumps
async def test_an_issuer_that_is_down_is_asked_again() -> None:
    async with visit(online=False) as one:
        one.issuer_is_down = True
        assert (await one.settled("waiting")).reason == "the issuer is down"
        one.issuer_is_down = False
        await one.client.online()


@on_a_clock_that_jumps
async def test_it_leaves_with_a_close_frame_and_for_good() -> None:
    async with visit() as one:
        answers: list[Any] = []
        one.server.answers = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, one.client, answers)
            await wait_all_tasks_blocked()
            one.client.close()
        await trio.sleep(60)
        await one.settled("closed")
        assert answers == ["CLOSED"]
        assert one.server.goodbyes == [1000]
        assert len(one.server.frames) == 1


@on_a_clock_that_jumps
async def test_it_leaves_though_a_ping_crosses_with_its_close_frame() -> None:
    async with visit() as one:
        open_stream = one.client._open_stream

        async def open_and_be_pinged_at_the_end() -> trio.abc.Stream:
            stream = await open_stream()
            send_all = stream.send_all

            async def send(data: bytes | bytearray | memoryview) -> None:
                if data[0] == 0x88:
                    await one.server.say(b"\x89\x00")
                await send_all(data)

            stream.send_all = send  # type: ignore[method-assign]
            return stream

        one.client._open_stream = open_and_be_pinged_at_the_end
        await one.server.break_off()
        await one.client.online()
        one.client.close()
        await trio.sleep(60)  # nobody reads the answer to the close frame any more
        await one.settled("closed")


@on_a_clock_that_jumps
async def test_it_can_leave_while_it_waits_to_come_back() -> None:
    async with visit() as one:
        one.server.reachable = False
        await one.server.break_off()
        one.client.close()
        await one.settled("closed")


# ---- what happened ---------------------------------------------------------------------------


@on_a_clock_that_jumps
async def test_history_is_heard_once_and_a_gap_is_told() -> None:
    async with visit() as one:
        for offset in (8, 8, 9, 12):
            await one.server.send(notice(offset))
        assert one.of(TipNotice | Lost) == [notice(8), notice(9), Lost(2), notice(12)]


@on_a_clock_that_jumps
async def test_what_was_missed_comes_late_before_the_snapshot_that_brought_it() -> None:
    async with visit() as one:
        missed = (notice(8), notice(9))
        one.server.snapshots[0] = snapshot(offset=9, recovered=True, missed=missed)
        await one.server.break_off()
        await one.client.online()
        await one.server.send(notice(10))
        heard = one.of(Late | Lost | Snapshot | TipNotice)[1:]
        assert heard == [Late(notice(8)), Late(notice(9)), one.server.snapshots[0], notice(10)]


@pytest.mark.parametrize(
    ("changes", "lost"), [({"offset": 12}, Lost(5)), ({"epoch": "e2"}, Lost(None))]
)
@on_a_clock_that_jumps
async def test_what_a_fresh_start_does_not_bring_is_lost(
    changes: dict[str, Any], lost: Lost
) -> None:
    async with visit() as one:
        one.server.snapshots[0] = snapshot(**changes)
        await one.server.break_off()
        await one.client.online()
        assert one.of(Lost) == [lost]


# ---- asking ----------------------------------------------------------------------------------


@on_a_clock_that_jumps
async def test_a_request_is_answered_by_its_ref_with_its_own_type() -> None:
    async with visit() as one:
        one.server.answers = False
        found: list[Any] = []

        async def tip() -> None:
            found.append(await one.client.tip("tip-1", "b-1", 5))

        async def prefer() -> None:
            found.append(await one.client.set_preferences(feel_all_tips=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tip)
            await wait_all_tasks_blocked()
            nursery.start_soon(prefer)
            await wait_all_tasks_blocked()
            first, second = (frame.ref for frame in one.server.last[1:])  # type: ignore[union-attr]
            preferences = {"reactToMyTips": False, "feelAllTips": True}
            await one.server.send(Ok(second, preferences))
            await one.server.send(Ok(first, RECEIPT))
        assert found == [Preferences(False, True), RECEIPT]


@on_a_clock_that_jumps
async def test_a_refusal_carries_the_servers_code() -> None:
    async with visit() as one:
        one.server.answers = False
        answers: list[Any] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, one.client, answers)
            await wait_all_tasks_blocked()
            [tip] = one.server.said(Tip)
            await one.server.send(Error(tip.ref, ErrorCode.INSUFFICIENT_TOKENS, "No.", False))
        assert answers == [ErrorCode.INSUFFICIENT_TOKENS]


@on_a_clock_that_jumps
async def test_only_what_may_be_asked_twice_survives_a_lost_connection() -> None:
    async with visit() as one:
        one.server.answers = False
        once: list[Any] = []
        again: list[Any] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, one.client, once)
            nursery.start_soon(lambda: ask(one.client, again, resend=True))
            await wait_all_tasks_blocked()
            await one.server.break_off()
            assert (once, again) == (["DISCONNECTED"], [])
            await ask(one.client, once)
            assert once[1:] == ["DISCONNECTED"]
            one.server.answers = True
        assert again == [None]
        assert len(one.server.said(Tip)) == 1


@on_a_clock_that_jumps
async def test_what_is_asked_while_a_connection_is_closed_is_asked_on_the_next() -> None:
    async with visit() as one, trio.open_nursery() as nursery:
        once: list[Any] = []
        again: list[Any] = []
        open_stream = one.client._open_stream

        async def open_and_ask_at_its_end() -> trio.abc.Stream:
            stream = await open_stream()
            close = stream.aclose

            async def ask_and_close() -> None:
                assert one.client.status.state == "online"
                nursery.start_soon(ask, one.client, once)
                nursery.start_soon(lambda: ask(one.client, again, resend=True))
                with trio.CancelScope(shield=True):
                    await wait_all_tasks_blocked()
                one.client._open_stream = open_stream
                await close()

            stream.aclose = ask_and_close  # type: ignore[method-assign]
            return stream

        one.client._open_stream = open_and_ask_at_its_end
        for _ in range(2):
            await one.server.break_off()
            await one.settled("waiting")
            await one.client.online()
            await wait_all_tasks_blocked()
        assert (once, again) == (["DISCONNECTED"], [None])
        assert len(one.server.said(Tip)) == 1


@on_a_clock_that_jumps
async def test_a_question_without_an_answer_means_that_the_connection_is_dead() -> None:
    async with visit() as one:
        one.server.answers = False
        answers: list[Any] = []
        began_s = trio.current_time()
        await ask(one.client, answers)
        assert answers == ["DISCONNECTED"]
        assert trio.current_time() - began_s == pytest.approx(10)
        assert one.client.status == Status("waiting", 1006, "no answer", pytest.approx(0.4995))


@on_a_clock_that_jumps
async def test_a_request_that_is_given_up_is_passed_over() -> None:
    async with visit() as one:
        one.server.answers = False
        with trio.move_on_after(1):
            await one.client.tip("tip-1", "b-1", 5)
        [tip] = one.server.said(Tip)
        await one.server.send(Ok(tip.ref, RECEIPT))
        await trio.sleep(60)
        await one.settled("online")


# ---- what is said again ----------------------------------------------------------------------


@on_a_clock_that_jumps
async def test_toys_settings_and_away_are_told_again_after_every_snapshot() -> None:
    async with visit(online=False) as one:
        one.client.report_toys()
        one.client.report_toys(TOY)
        one.client.report_settings(None)
        await one.client.online()
        one.client.set_away(True)
        await one.server.break_off()
        await one.client.online()
        await wait_all_tasks_blocked()
        kinds = [type(frame) for frame in one.server.last]
        assert kinds == [Connect, ReportSettings, ReportToys, SetPresence]
        assert one.server.said(ReportToys)[0].toys == (TOY,)
        one.client.set_away(False)
        await wait_all_tasks_blocked()
        assert [each.state for each in one.server.said(SetPresence)] == ["away", "online"]


@on_a_clock_that_jumps
async def test_a_report_that_the_server_does_not_take_is_heard() -> None:
    async with visit() as one:
        one.server.answers = False
        one.client.report_toys(TOY)
        await wait_all_tasks_blocked()
        [report] = one.server.said(ReportToys)
        await one.server.send(Error(report.ref, ErrorCode.RATE_LIMITED, "Wait.", True))
        assert one.of(ReportRefused) == [ReportRefused(ErrorCode.RATE_LIMITED, "Wait.")]


@on_a_clock_that_jumps
async def test_what_has_no_answer_is_dropped_without_a_connection() -> None:
    async with visit() as one:
        one.client.tell(Typing())
        await wait_all_tasks_blocked()
        assert one.server.said(Typing) == [Typing()]
        await one.server.break_off()
        one.client.tell(Typing())
        await one.client.online()
        await wait_all_tasks_blocked()
        assert one.server.said(Typing) == []


# ---- the stop --------------------------------------------------------------------------------


@on_a_clock_that_jumps
async def test_a_stop_is_kept_until_the_server_has_done_it_and_goes_first() -> None:
    async with visit() as one:
        one.server.answers = False
        one.client.report_toys(TOY)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: ask(one.client, [], resend=True))
            await wait_all_tasks_blocked()
            await one.server.close(4000, "come back; in 60.0 s")
            one.server.answers = True
            one.client.stop_toys()
            assert one.client.stop_waits
            # Who has a toy to stop does not wait until the crowd may come back.
            await one.settled("online")
        kinds = [type(frame) for frame in one.server.last]
        assert kinds == [Connect, StopToys, ReportToys, Tip]
        assert not one.client.stop_waits


@on_a_clock_that_jumps
async def test_a_stop_that_is_refused_is_said_again_and_first_after_a_snapshot() -> None:
    async with visit() as one:
        one.server.answers = False
        one.client.stop_toys()
        await wait_all_tasks_blocked()
        [stop] = one.server.said(StopToys)
        busy = Error(stop.ref, ErrorCode.ROOM_BUSY, "Busy.", True, retry_after_s=3.0)
        await one.server.send(busy)
        await trio.sleep(2.9)
        assert len(one.server.said(StopToys)) == 1
        await trio.sleep(0.2)
        assert len(one.server.said(StopToys)) == 2
        await one.server.send(
            Error(one.server.said(StopToys)[1].ref, ErrorCode.ROOM_BUSY, "Busy.", True)
        )
        one.server.answers = True
        await one.server.break_off()
        await one.client.online()
        await wait_all_tasks_blocked()
        assert [type(frame) for frame in one.server.last] == [Connect, StopToys]
        assert not one.client.stop_waits


@on_a_clock_that_jumps
async def test_going_on_takes_back_a_stop_that_is_on_its_way() -> None:
    async with visit() as one:
        one.server.answers = False
        one.client.stop_toys()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.client.resume_toys)
            await wait_all_tasks_blocked()
            [resume] = one.server.said(ResumeToys)
            await one.server.send(Ok(resume.ref))
        assert not one.client.stop_waits


# ---- token -----------------------------------------------------------------------------------


@on_a_clock_that_jumps
async def test_a_token_is_replaced_in_band_before_its_end() -> None:
    async with visit(online=False) as one:
        one.token_life_s = 3600
        await trio.sleep(3539)
        assert one.server.said(RefreshToken) == []
        await trio.sleep(2)
        assert [each.token for each in one.server.said(RefreshToken)] == ["token-2"]
        assert len(one.server.frames) == 1


@on_a_clock_that_jumps
async def test_a_token_that_has_expired_is_not_used_again() -> None:
    async with visit() as one:
        await one.server.close(4004)
        await one.client.online()
        assert [each[0].token for each in one.server.frames] == ["token-1", "token-2"]  # type: ignore[union-attr]


@on_a_clock_that_jumps
async def test_a_token_outlives_a_lost_connection() -> None:
    async with visit(online=False) as one:
        one.token_life_s = 3600
        await one.client.online()
        await one.server.break_off()
        await one.client.online()
        assert one.tokens == 1


@on_a_clock_that_jumps
async def test_an_issuer_that_is_down_while_online_is_asked_again() -> None:
    async with visit(online=False) as one:
        one.token_life_s = 100
        await one.client.online()
        one.issuer_is_down = True
        await trio.sleep(60)
        one.issuer_is_down = False
        await trio.sleep(30)
        assert one.server.said(RefreshToken) != []
        await one.settled("online")
