"""One member's connection to a room. Read `run`, then `_converse`, then `_take`.

It connects, asks (`request`, answered once by its ref), listens (`heard` gets all else, in order),
comes back by itself when the connection is lost, and says again after every snapshot what the
server forgets with a socket: toys, settings, away. Only `run`, `request` and `online` wait.
"""

import math
import random
from collections.abc import Awaitable, Callable
from functools import partial
from types import NoneType
from typing import Final, Literal, TypeVar

import msgspec
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection
from wsproto.utilities import LocalProtocolError

from bench.client.backoff import LOST_WITHOUT_A_WORD, Backoff, come_back_s, read_reason
from bench.client.credentials import Credentials, NoCredentials, refresh_in_s
from bench.client.opening import NotOpened, OpenStream, open_websocket_over, stream_to
from bench.client.place import Place
from bench.client.questions import ANSWER_TIMEOUT_S, Question, Questions, RequestError
from protocol.codec import CODECS, MSGPACK
from protocol.errors import CloseCode, ErrorCode, reconnects
from protocol.frames import (
    ClientFrame,
    Connect,
    Error,
    HistoryEvent,
    ModelFrame,
    Ok,
    OwnFrame,
    PresenceChanged,
    RefreshToken,
    ReportSettings,
    ReportToys,
    ResumeToys,
    RoomChanged,
    RoomEvent,
    RoomView,
    SelfChanged,
    SelfView,
    ServerFrame,
    SetPreferences,
    SetPresence,
    Snapshot,
    StopToys,
    Tip,
    TipReceipt,
)
from protocol.gating import Preferences
from protocol.lovense import ReportedSettings, ReportedToy
from protocol.tip_activated import LovenseMode

CLOSE_TIMEOUT_S: Final = 2.0
"""For the server's answer to our close frame."""

Result = TypeVar("Result")


class Status(msgspec.Struct, frozen=True):
    """waiting: will come back after `retry_in_s`; refused: the server does not want this client
    back. `code`, `reason`: of the close, where there was one; the words are fit to be shown."""

    state: Literal["idle", "connecting", "online", "waiting", "refused", "closed"]
    code: int | None = None
    reason: str = ""
    retry_in_s: float | None = None


class Late(msgspec.Struct, frozen=True):
    """What happened while there was no connection, before the snapshot that brought it."""

    event: HistoryEvent


class Lost(msgspec.Struct, frozen=True):
    """Events of the room that this client will not get. None: some perhaps, the room itself has
    started anew."""

    count: int | None


class StopChanged(msgspec.Struct, frozen=True):
    """A stop was pressed that the server has not confirmed; or now it has."""

    waits: bool


class ReportRefused(msgspec.Struct, frozen=True):
    """Toys or settings that the server did not take."""

    code: ErrorCode
    text: str


Heard = RoomEvent | OwnFrame | ModelFrame | Late | Lost | Status | StopChanged | ReportRefused


class _Ended(msgspec.Struct, frozen=True):
    """How a connection ended."""

    code: int = LOST_WITHOUT_A_WORD
    reason: str = ""


class RoomClient:
    """Used once: `run` it in a task."""

    def __init__(
        self,
        url: str,
        fetch_credentials: Callable[[], Awaitable[Credentials]],
        heard: Callable[[Heard], object],
        *,
        integration: LovenseMode | None = None,
        page_id: str | None = None,
        subprotocol: str = MSGPACK,
        open_stream: OpenStream | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`url`: the room's, ws://host/rooms/{roomId}. `fetch_credentials` is called before the
        first connection and whenever the token nears its end; raises NoCredentials. `heard` must
        not wait. `integration`: a model's page only. `page_id`: the same for one page's life.
        `open_stream`: instead of TCP or TLS to the address. `draw`: for the jitter, in [0, 1).
        """
        self.status = Status("idle")
        self.room: RoomView | None = None
        """The latest; None until the first snapshot, as the next."""
        self.self_view: SelfView | None = None
        self.viewers = 0
        self.stop_waits = False
        self._url = url
        self._fetch_credentials = fetch_credentials
        self._heard = heard
        self._integration = integration
        self._page_id = page_id
        self._codec = CODECS[subprotocol]
        self._open_stream = open_stream or stream_to(url)
        self._draw = draw
        self._credentials: Credentials | None = None
        self._server_ahead_ms: float | None = None
        """Of trio's clock; None until the server has said what time it is."""
        self._place = Place()
        self._backoff = Backoff(draw)
        self._questions = Questions()
        self._connect_ref = 0
        self._refusal: Error | None = None
        """What the server said to `connect`; the close that follows says less."""
        self._toys: tuple[ReportedToy, ...] | None = None
        self._settings: ReportedSettings | None = None
        self._settings_known = False
        self._away = False
        self._stop_presses = 0
        """How often it was pressed: an answer counts for the presses before it alone."""
        self._stop_attempt = 0
        self._nursery: trio.Nursery | None = None
        self._outgoing: trio.MemorySendChannel[bytes | str] | None = None
        """To the socket; None without one."""
        self._connection: trio.CancelScope | None = None
        self._conversation: trio.CancelScope | None = None
        """Within it: what is said over an open WebSocket."""
        self._rest: trio.CancelScope | None = None
        """While it waits to come back."""
        self._closing = False
        self._news = trio.Event()
        """Of the status; a new one for each."""

    # ---- its life --------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and stay connected until `close` or a refusal. Cancelled, it drops the socket.

        Raises msgspec.DecodeError for what is no frame of this protocol, and what `heard` raises.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._stay()
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Leave for good. Open requests end with CLOSED."""
        self._closing = True
        for scope in (self._conversation or self._connection, self._rest):
            if scope is not None:
                scope.cancel()

    async def online(self) -> None:
        """Wait until it is. Raises RequestError with CLOSED if it will not be."""
        while self.status.state != "online":
            if self.status.state in ("refused", "closed"):
                raise RequestError("CLOSED", self.status.reason or "The connection was closed.")
            await self._news.wait()

    async def _stay(self) -> None:
        while not self._closing:
            self._set_status(Status("connecting"))
            ended = await self._connect_once()
            if self._closing:
                break
            words, told_s = read_reason(ended.reason)
            if self._refusal is not None:
                words = self._refusal.text
            if not reconnects(ended.code):
                self._questions.close(words or "The connection was closed.")
                self._set_status(Status("refused", ended.code, words))
                return
            await self._wait_to_come_back(ended.code, words, told_s)
        self._questions.close("The connection was closed.")
        self._set_status(Status("closed"))

    async def _wait_to_come_back(self, code: int, words: str, told_s: float | None) -> None:
        self._questions.lost()
        # Who has a toy to stop is no crowd, and neither is the one model of a room.
        in_haste = self._questions.must_stop
        retry_in_s = self._backoff.lost(
            code,
            None if in_haste else told_s,
            trio.current_time(),
            alone=in_haste or self._integration is not None,
        )
        with trio.CancelScope() as self._rest:
            self._set_status(Status("waiting", code, words, retry_in_s))
            await trio.sleep(retry_in_s)
        self._rest = None

    @property
    def _may_speak(self) -> bool:
        """From the snapshot until the connection ends; `status` tells that once it is closed."""
        return self.status.state == "online" and self._outgoing is not None

    def _retry_now(self) -> None:
        if self._rest is not None:
            self._rest.cancel()

    # ---- asking ----------------------------------------------------------------------------

    async def request(
        self,
        frame_of: Callable[[int], ClientFrame],
        result: type[Result],
        *,
        resend: bool = False,
    ) -> Result:
        """Ask what `frame_of` makes of a ref; the answer's result. `result`: what it is, NoneType
        for nothing. `resend`: survive a lost connection and ask again after it; only for what the
        server answers the same way twice (a tip with its tipId).

        Raises RequestError.
        """
        answered = trio.Event()
        endings: list[Ok | RequestError] = []

        def on_end(ending: Ok | RequestError) -> None:
            endings.append(ending)
            answered.set()

        ref = self._ask(frame_of, on_end, resend=resend)
        try:
            await answered.wait()
        finally:
            self._questions.forget(ref)
        [ending] = endings
        if isinstance(ending, RequestError):
            raise ending
        return msgspec.convert(ending.result, result)

    async def tip(self, tip_id: str, broadcast_id: str, amount: int) -> TipReceipt:
        """Once, however often the connection is lost. Raises RequestError."""
        return await self.request(
            lambda ref: Tip(ref, tip_id, broadcast_id, amount), TipReceipt, resend=True
        )

    async def set_preferences(
        self, *, react_to_my_tips: bool | None = None, feel_all_tips: bool | None = None
    ) -> Preferences:
        """A viewer's toggles. Raises RequestError."""
        return await self.request(
            lambda ref: SetPreferences(ref, react_to_my_tips, feel_all_tips), Preferences
        )

    def stop_toys(self) -> None:
        """Stop: a model all toys of the room, a viewer the own. Told now, or ahead of all else once
        there is a connection; and again until the server has done it: `stop_waits` until then. No
        answer of the server's means that it need not be done."""
        self._stop_presses += 1
        self._stop_attempt = 0
        self._set_stop_waits(True)
        self._deliver_stop()

    async def resume_toys(self) -> None:
        """The opposite; also of a stop that is still on its way. Raises RequestError."""
        presses = self._stop_presses
        await self.request(ResumeToys, NoneType)
        if presses == self._stop_presses:
            self._set_stop_waits(False)

    def tell(self, frame: ClientFrame) -> None:
        """Say something that has no answer. While there is no connection it is dropped: the server
        asks again for what it still needs."""
        if self._may_speak:
            self._send(frame)

    def set_away(self, away: bool) -> None:
        """Nobody looks at this page; said now and after every snapshot."""
        self._away = away
        self.tell(SetPresence("away" if away else "online"))

    def report_toys(self, *toys: ReportedToy) -> None:
        """All that the page knows; said now and after every snapshot."""
        self._toys = toys
        if self._may_speak:
            self._report_toys()

    def report_settings(self, settings: ReportedSettings | None) -> None:
        """The model's levels; said now and after every snapshot."""
        self._settings, self._settings_known = settings, True
        if self._may_speak:
            self._report_settings()

    def server_now_ms(self) -> float | None:
        """The server's clock, milliseconds since 1970; None before the first snapshot."""
        if self._server_ahead_ms is None:
            return None
        return trio.current_time() * 1000 + self._server_ahead_ms

    def _ask(
        self,
        frame_of: Callable[[int], ClientFrame],
        on_end: Callable[[Ok | RequestError], None],
        *,
        resend: bool,
    ) -> int:
        """`on_end` is called once, perhaps at once. The ref."""
        ref = self._questions.next_ref()
        question = Question(frame_of(ref), resend, on_end)
        if self.status.state in ("refused", "closed"):
            on_end(RequestError("CLOSED", "The connection was closed."))
        elif self._may_speak:
            self._questions.add(ref, question)
            self._put(question)
        elif resend:
            self._questions.add(ref, question)
            if question.stops:
                self._retry_now()
        else:
            on_end(RequestError("DISCONNECTED", "Not connected.", retry=True))
        return ref

    def _report_toys(self) -> None:
        toys = self._toys
        if toys is not None:
            self._ask(lambda ref: ReportToys(ref, toys), self._reported, resend=False)

    def _report_settings(self) -> None:
        if self._settings_known:
            settings = self._settings
            self._ask(lambda ref: ReportSettings(ref, settings), self._reported, resend=False)

    def _reported(self, ending: Ok | RequestError) -> None:
        """One that is lost with its connection is said again on the next."""
        if isinstance(ending, RequestError) and isinstance(ending.code, ErrorCode):
            self._heard(ReportRefused(ending.code, ending.text))

    # ---- the kept stop ---------------------------------------------------------------------

    def _deliver_stop(self) -> None:
        self._ask(StopToys, partial(self._stop_answered, self._stop_presses), resend=True)

    def _stop_answered(self, presses: int, ending: Ok | RequestError) -> None:
        if presses != self._stop_presses:
            return
        if isinstance(ending, Ok):
            self._set_stop_waits(False)
        elif ending.code != "CLOSED":
            wait_s = come_back_s(self._stop_attempt, ending.retry_after_s, 0.0, self._draw())
            self._stop_attempt += 1
            assert self._nursery is not None, "answered while it runs"
            self._nursery.start_soon(self._stop_later, presses, wait_s)

    async def _stop_later(self, presses: int, wait_s: float) -> None:
        await trio.sleep(wait_s)
        if presses == self._stop_presses:
            self._stop_if_it_waits()

    def _stop_if_it_waits(self) -> None:
        if self.stop_waits and not self._questions.must_stop:
            self._deliver_stop()

    def _set_stop_waits(self, waits: bool) -> None:
        if self.stop_waits is not waits:
            self.stop_waits = waits
            self._heard(StopChanged(waits))

    # ---- one connection --------------------------------------------------------------------

    async def _connect_once(self) -> _Ended:
        """From the token to the end of the socket."""
        self._refusal = None
        ended = _Ended()
        with trio.CancelScope() as self._connection:
            try:
                ended = await self._open_and_converse()
            except* (NotOpened, ConnectionRejected, NoCredentials) as group:
                ended = _Ended(reason=str(_first(group)))
            except* LocalProtocolError:
                # trio-websocket wants to answer a ping that crossed with our close frame.
                if not self._closing:
                    raise
        if self._connection.cancelled_caught and not self._closing:
            ended = _Ended(reason="no answer")
        self._connection = None
        if ended.code == CloseCode.TOKEN_EXPIRED:
            self._credentials = None
        return ended

    async def _open_and_converse(self) -> _Ended:
        if self._credentials is None or self._token_left_s(self._credentials) <= 0:
            self._credentials = await self._fetch_credentials()
        async with trio.open_nursery() as nursery:
            connection, stream = await open_websocket_over(
                self._open_stream, self._url, self._codec.subprotocol, nursery
            )
            try:
                return await self._converse(connection, self._credentials)
            finally:
                self._outgoing = self._conversation = None
                if self._closing:
                    with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                        await connection.aclose(1000)
                await trio.aclose_forcefully(stream)
                nursery.cancel_scope.cancel()
        raise AssertionError("a nursery that is cancelled from within ends with its block")

    async def _converse(self, connection: WebSocketConnection, credentials: Credentials) -> _Ended:
        self._outgoing, due = trio.open_memory_channel[bytes | str](math.inf)
        async with trio.open_nursery() as nursery:
            self._conversation = nursery.cancel_scope
            nursery.start_soon(self._write, connection, due)
            nursery.start_soon(self._keep_token_fresh)
            self._introduce(credentials.token)
            try:
                while True:
                    message = await connection.get_message()
                    self._take(self._codec.decode_server(message))
            except ConnectionClosed as closed:
                nursery.cancel_scope.cancel()
                if closed.reason is None:
                    return _Ended()
                return _Ended(closed.reason.code, closed.reason.reason or "")
        return _Ended()  # of our own will

    async def _write(
        self, connection: WebSocketConnection, due: trio.MemoryReceiveChannel[bytes | str]
    ) -> None:
        try:
            async for message in due:
                await connection.send_message(message)
        except ConnectionClosed:
            return  # the reader is told why

    def _introduce(self, token: str) -> None:
        self._connect_ref = self._questions.next_ref()
        self._send(
            Connect(self._connect_ref, token, self._integration, self._place.resume, self._page_id)
        )
        self._watch_for_answers(trio.current_time() + ANSWER_TIMEOUT_S)

    def _put(self, question: Question) -> None:
        question.asked_at_s = trio.current_time()
        self._send(question.frame)
        self._watch_for_answers(self._questions.deadline_s)

    def _watch_for_answers(self, deadline_s: float) -> None:
        """The other side is gone without a word if nothing has come by then."""
        assert self._connection is not None
        self._connection.deadline = deadline_s

    def _send(self, frame: ClientFrame) -> None:
        assert self._outgoing is not None, "there is a connection"
        data = self._codec.encode(frame)
        self._outgoing.send_nowait(data if self._codec.binary else data.decode())

    # ---- frames ----------------------------------------------------------------------------

    def _take(self, frame: ServerFrame) -> None:
        match frame:
            case Ok() | Error():
                self._take_answer(frame)
                return
            case Snapshot():
                self._take_snapshot(frame)
            case RoomChanged(room=room):
                self.room = room
            case PresenceChanged(viewers=viewers, reconnect_within_s=window_s):
                self.viewers, self._backoff.window_s = viewers, window_s
            case SelfChanged(self=self_view):
                self.self_view = self_view
            case _ if isinstance(frame, HistoryEvent):
                lost = self._place.advance(frame)
                if lost < 0:
                    return
                if lost > 0:
                    self._heard(Lost(lost))
            case _:
                pass  # is heard, and changes nothing here
        self._heard(frame)

    def _take_answer(self, answer: Ok | Error) -> None:
        if answer.ref not in (self._connect_ref, None):
            self._questions.answer(answer)
            self._watch_for_answers(self._questions.deadline_s)
        elif isinstance(answer, Error):
            self._refusal = answer
        else:
            self._watch_for_answers(math.inf)  # over a slow line a snapshot may take its time

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        lost = self._place.restart(snapshot)
        self.room, self.self_view = snapshot.room, snapshot.self
        self.viewers, self._backoff.window_s = snapshot.viewers, snapshot.reconnect_within_s
        self._server_ahead_ms = snapshot.server_time - trio.current_time() * 1000
        self._backoff.online(trio.current_time())
        self._watch_for_answers(self._questions.deadline_s)
        self._set_status(Status("online"))
        self._stop_if_it_waits()
        waiting = self._questions.unasked()
        for question in waiting:
            if question.stops:
                self._put(question)
        self._report_settings()
        self._report_toys()
        for question in waiting:
            if not question.stops:
                self._put(question)
        if self._away:
            self.set_away(True)
        if lost != 0:
            self._heard(Lost(lost))
        for event in snapshot.missed:
            self._heard(Late(event))

    def _set_status(self, status: Status) -> None:
        self.status = status
        news, self._news = self._news, trio.Event()
        news.set()
        self._heard(status)

    # ---- token -----------------------------------------------------------------------------

    def _token_left_s(self, credentials: Credentials) -> float:
        """As good as new where the server's clock is not known yet: they have just come."""
        now_ms = self.server_now_ms()
        return math.inf if now_ms is None else credentials.left_s(now_ms)

    async def _keep_token_fresh(self) -> None:
        await self.online()
        while True:
            assert self._credentials is not None, "connected with it"
            await trio.sleep(refresh_in_s(self._token_left_s(self._credentials)))
            try:
                credentials = await self._fetch_credentials()
                await self.request(partial(RefreshToken, token=credentials.token), NoneType)
                self._credentials = credentials
            except (NoCredentials, RequestError):
                # The server closes with TOKEN_EXPIRED at the end; until then there is time to try
                # again.
                continue


def _first(error: BaseException) -> BaseException:
    """Of a group, what it is about."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
