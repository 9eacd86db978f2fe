"""The members of a soak who act, each over the Python client: the model whose toy plays, tippers,
those who leave and come back, and those who read too slowly. What they saw is in `Seen`."""

import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from actors.ports import UserRecord
from bench.activation_rooms import SHORT_AMOUNT
from bench.client.credentials import Credentials
from bench.client.opening import OpenStream, stream_to
from bench.client.questions import RequestError
from bench.client.room_client import Heard, Late, Lost, ReportRefused, RoomClient, Status
from bench.pages import LEVELS
from bench.room_setup import QUIET_AMOUNT_MAX, TokenBooth
from protocol.frames import Command, CommandAccepted, CommandActivated, Typing
from protocol.lovense import ReportedToy
from protocol.tip_activated import LovenseMode
from server.auth import Role

STAY_S: Final = (5.0, 20.0)
"""How long one who comes and goes is there, and then away."""
SLOW_READ_BYTES: Final = 1024
SLOW_BUFFER_BYTES: Final = 8 * 1024
SLOW_PAUSE_S: Final = 2.0
TOY: Final = ReportedToy(id="t0", name="lush", toy_type="lush", status="on", battery=90)


class Seen:
    """What all of them saw. Nanoseconds, perf_counter."""

    def __init__(self) -> None:
        self.sent_ns: dict[str, int] = {}
        """Tips without an answer, or without their command."""
        self.settled_ns: list[int] = []
        """Durations; as the next, taken out with each sample."""
        self.command_ns: list[int] = []
        self.tips_sent = 0
        self.tips_settled = 0
        self.returns = 0
        self.slow_ends = 0
        self.late_events = 0
        self.lost_events = 0
        self.failures: Counter[str] = Counter()


class Cast:
    """Everyone of one room; `run` plays them until it is cancelled."""

    def __init__(
        self,
        *,
        url: str,
        room_id: str,
        broadcast_id: str,
        booth: TokenBooth,
        model: UserRecord,
        tippers: list[UserRecord],
        wanderers: list[UserRecord],
        slow: list[UserRecord],
        tips_per_s: float,
        vibrations_per_s: float,
        draw: random.Random,
    ) -> None:
        self.seen = Seen()
        self._url = url
        self._room_id = room_id
        self._broadcast_id = broadcast_id
        self._booth = booth
        self._model = model
        self._tippers = tippers
        self._wanderers = wanderers
        self._slow = slow
        self._quiet_per_s = tips_per_s - vibrations_per_s
        self._vibrations_per_s = vibrations_per_s
        self._draw = draw
        self._clients: list[RoomClient] = []
        self._tipping = trio.Event()

    @property
    def size(self) -> int:
        return 1 + len(self._tippers) + len(self._wanderers) + len(self._slow)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Started once the model and the tippers are in."""
        async with trio.open_nursery() as nursery:
            model = self._model_client()
            nursery.start_soon(model.run)
            await model.online()
            for user in self._tippers:
                client = self._client(user, self._viewer_heard)
                self._clients.append(client)
                nursery.start_soon(client.run)
            for client in self._clients:
                await client.online()
            for user in self._wanderers:
                nursery.start_soon(self._wander, user)
            for user in self._slow:
                nursery.start_soon(self._client(user, self._slow_heard, self._slow_stream()).run)
            task_status.started()
            await self._tipping.wait()
            nursery.start_soon(self._keep_tipping, nursery, self._quiet_per_s, False)
            nursery.start_soon(self._keep_tipping, nursery, self._vibrations_per_s, True)

    def begin(self) -> None:
        """From now on they tip."""
        self._tipping.set()

    # ---- the model -------------------------------------------------------------------------

    def _model_client(self) -> RoomClient:
        def heard(what: Heard) -> None:
            self._viewer_heard(what)
            if isinstance(what, Command):
                sent_ns = self.seen.sent_ns.get(what.tip_id)
                if sent_ns is not None and what.attempt == 1:
                    self.seen.command_ns.append(time.perf_counter_ns() - sent_ns)
                client.tell(CommandAccepted(what.command_id))
                client.tell(CommandActivated(what.command_id))

        client = RoomClient(
            self._url,
            self._credentials(self._model, Role.MODEL),
            heard,
            integration=LovenseMode.EXTENSION,
            page_id="soak",
        )
        client.report_settings(LEVELS)
        client.report_toys(TOY)
        return client

    # ---- those who tip ---------------------------------------------------------------------

    async def _keep_tipping(self, nursery: trio.Nursery, per_s: float, vibrates: bool) -> None:
        """At random; those that move the toy evenly spaced, for one plays at a time."""
        number = 0
        while True:
            await trio.sleep(1 / per_s if vibrates else self._draw.expovariate(per_s))
            client = self._draw.choice(self._clients)
            amount = SHORT_AMOUNT if vibrates else self._draw.randint(1, QUIET_AMOUNT_MAX)
            number += 1
            tip_id = f"soak-{'loud' if vibrates else 'quiet'}-{number}"
            nursery.start_soon(self._tip, client, tip_id, amount)

    async def _tip(self, client: RoomClient, tip_id: str, amount: int) -> None:
        seen = self.seen
        seen.tips_sent += 1
        seen.sent_ns[tip_id] = began_ns = time.perf_counter_ns()
        try:
            await client.tip(tip_id, self._broadcast_id, amount)
        except RequestError as error:
            seen.failures[f"tip {error.code}"] += 1
            return
        seen.settled_ns.append(time.perf_counter_ns() - began_ns)
        seen.tips_settled += 1
        if amount != SHORT_AMOUNT:
            del seen.sent_ns[tip_id]

    # ---- those who come and go, and those who are slow ---------------------------------------

    async def _wander(self, user: UserRecord) -> None:
        """One page that is closed in order and opened again; and again it is away, or writes."""
        while True:
            await trio.sleep(self._draw.uniform(*STAY_S))
            async with trio.open_nursery() as nursery:
                client = self._client(user, self._viewer_heard)
                nursery.start_soon(client.run)
                await client.online()
                self.seen.returns += 1
                client.tell(Typing())
                await trio.sleep(self._draw.uniform(*STAY_S) / 2)
                client.set_away(True)
                await trio.sleep(self._draw.uniform(*STAY_S) / 2)
                client.close()

    def _slow_stream(self) -> OpenStream:
        open_stream = stream_to(self._url)

        async def open_slowly() -> trio.abc.Stream:
            stream = await open_stream()
            assert isinstance(stream, trio.SocketStream)
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
            return _SlowStream(stream)

        return open_slowly

    # ---- all of them -----------------------------------------------------------------------

    def _client(
        self,
        user: UserRecord,
        heard: Callable[[Heard], object],
        open_stream: OpenStream | None = None,
    ) -> RoomClient:
        fetch = self._credentials(user, Role.VIEWER)
        return RoomClient(self._url, fetch, heard, open_stream=open_stream, draw=self._draw.random)

    def _credentials(self, user: UserRecord, role: Role) -> Callable[[], Awaitable[Credentials]]:
        async def fetch() -> Credentials:
            await trio.lowlevel.checkpoint()
            return Credentials(self._booth.page(user, role, self._room_id))

        return fetch

    def _slow_heard(self, what: Heard) -> None:
        """Who reads too slowly is closed, by the bound of what waits for him or because his answer
        to a ping comes too late, and mostly without a word that reaches him."""
        self.seen.slow_ends += isinstance(what, Status) and what.state == "waiting"

    def _viewer_heard(self, what: Heard) -> None:
        match what:
            case Late():
                self.seen.late_events += 1
            case Lost(count):
                self.seen.lost_events += count or 0
            case ReportRefused(code):
                self.seen.failures[f"report {code}"] += 1
            case Status("waiting" | "refused", code, reason):
                self.seen.failures[f"lost its connection: {code} {reason}".rstrip()] += 1
            case _:
                pass  # for people


class _SlowStream(trio.abc.Stream):
    """Reads little, and seldom."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner
        self._reads = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        self._reads += 1
        if self._reads > 5:  # hands are shaken, and the snapshot has come
            await trio.sleep(SLOW_PAUSE_S)
            max_bytes = SLOW_READ_BYTES
        return await self._inner.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._inner.aclose()
