"""Rolling restarts of the whole server under load: one room whose members tip all the while. The
next server is started and stands by; the first is told to stop, as a deployment does it, and the
next takes over, on the same ports. Is anything lost, and how long until everyone is back?

Every member is over the Python client, which comes back and resumes as a page does. Each tip of a
tipper has another amount, so that every member can tell which tips he was told of.
"""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

import trio

from actors.ports import UserRecord
from bench.activation_rooms import fetch, prepare, quiet_rooms
from bench.client.backoff import STABLE_AFTER_S
from bench.client.credentials import Credentials
from bench.client.questions import RequestError
from bench.client.room_client import Heard, Late, Lost, RoomClient, Status
from bench.distribution import distribution
from bench.load import NS_PER_S
from bench.placement import Machine, Placement
from bench.progress import Progress
from bench.results_restart import RestartResult, RestartRound
from bench.room_setup import TokenBooth
from bench.server import DatabaseProcess, ServerProcess, run_database, run_server
from protocol.frames import TipNotice
from server.auth import Role

BEFORE_S: Final = STABLE_AFTER_S + 1.0
"""Of tips, before each restart: until then a client takes the connection for a bad one."""
AFTER_S: Final = 3.0
"""Of tips after the last; and again for the last notices."""
BACK_TIMEOUT_S: Final = 60.0
TOYS_FROM_TOKENS: Final = 99_999
"""No tip moves a toy: amounts only tell tips apart."""
_TIPS: Final = """
SELECT event #>> '{tipper,username}' AS username, (event #>> '{transaction,amount}')::int AS amount
FROM outbox WHERE tip_id LIKE 'restart-%'"""


@dataclass(frozen=True)
class RestartPlan:
    members: int
    tippers: int
    """Of the members."""
    tips_per_s: float
    restarts: int
    seed: int
    before_s: float = BEFORE_S
    after_s: float = AFTER_S


def run_restarts(
    plan: RestartPlan,
    command: str,
    described: Machine,
    placement: Placement,
    progress: Progress,
    folder: Path,
) -> RestartResult:
    """Raises BenchFailed when the room does not fill, or does not fill again."""
    booth = TokenBooth()
    with run_database(folder / "postgres", placement.database) as database:
        scenario = _Scenario(plan, booth, database, placement, progress, folder)
        started_at_utc = datetime.now(UTC)
        trio.run(scenario.run)
    members = scenario.members
    settled = scenario.settled
    missed = [len(set(settled) - set(member.told)) for member in members]
    return RestartResult(
        command=command,
        seed=plan.seed,
        started_at_utc=started_at_utc.isoformat(timespec="seconds"),
        machine=described,
        placement=placement,
        members=plan.members,
        tips_per_s=plan.tips_per_s,
        rounds=scenario.rounds,
        tips_sent=scenario.sent,
        tips_answered=len(scenario.answered),
        tips_settled=len(settled),
        settled_twice=len(settled) - len(set(settled)),
        notices_due=len(settled) * plan.members,
        notices_missed=sum(missed),
        missed_in_silence=sum(
            count for count, member in zip(missed, members, strict=True) if not member.gaps
        ),
        notices_doubled=sum(len(member.told) - len(set(member.told)) for member in members),
        snapshots_with_a_gap=sum(member.gaps for member in members),
        failures=dict(scenario.failures),
    )


@dataclass(frozen=True)
class _Tip:
    """What tells a tip apart: to the members, and in the ledger."""

    username: str
    amount: int


class _Member:
    """One client, and what it was told."""

    def __init__(self) -> None:
        self.told: list[_Tip] = []
        self.gaps = 0
        self.back_s: float | None = None
        """When it was online again, trio's clock; None while it is not."""
        self.client: RoomClient

    def hear(self, what: Heard) -> None:
        match what:
            case TipNotice(username=username, amount=amount):
                self.told.append(_Tip(username, amount))
            case Late(TipNotice(username=username, amount=amount)):
                self.told.append(_Tip(username, amount))
            case Lost():
                self.gaps += 1
            case Status("online"):
                self.back_s = trio.current_time()
            case Status():
                self.back_s = None
            case _:
                pass


class _Scenario:
    """One run. Used once."""

    def __init__(
        self,
        plan: RestartPlan,
        booth: TokenBooth,
        database: DatabaseProcess,
        placement: Placement,
        progress: Progress,
        folder: Path,
    ) -> None:
        self._plan = plan
        self._booth = booth
        self._database = database
        self._placement = placement
        self._progress = progress
        self._folder = folder
        self._started = 0
        self._pages = quiet_rooms(1, plan.members)
        self._draw = random.Random(plan.seed)
        self._ports = (0, 0)
        """Of the first server; the next ones have the same."""
        self.members = [_Member() for _ in range(plan.members)]
        self.rounds: list[RestartRound] = []
        self.sent = 0
        self.answered: list[tuple[float, float]] = []
        """Of each tip that was answered: asked and answered, trio's clock."""
        self.settled: list[_Tip] = []
        """As the ledger has them at the end."""
        self.failures: Counter[str] = Counter()

    async def run(self) -> None:
        plan = self._plan
        running = ExitStack()
        try:
            self._progress.step("the server starts")
            server = await self._start(running)
            self._ports = server.http_port, server.socket_port
            server.patch("/admin/settings", {"lovenseMinTipForActivation": TOYS_FROM_TOKENS})
            await prepare(self._database.dsn, self._pages)
            async with trio.open_nursery() as clients:
                self._progress.step(f"{plan.members} members connect")
                for page, member in zip(self._pages[1:], self.members, strict=True):
                    member.client = self._client(page.user, member, server.socket_port)
                    clients.start_soon(member.client.run)
                for member in self.members:
                    await member.client.online()
                async with trio.open_nursery() as tips:
                    stopped = trio.Event()
                    tips.start_soon(self._keep_tipping, tips, stopped)
                    for number in range(1, plan.restarts + 1):
                        await trio.sleep(plan.before_s)
                        self._progress.step(f"restart {number} of {plan.restarts}")
                        running = await self._restart(running)
                    await trio.sleep(plan.after_s)
                    stopped.set()
                await trio.sleep(plan.after_s)
                await self._read_ledger()
                clients.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(running.close)

    async def _start(
        self, running: ExitStack, on_standby: Callable[[], object] | None = None
    ) -> ServerProcess:
        http_port, socket_port = self._ports
        self._started += 1
        starting = run_server(
            self._folder / f"server-{self._started}",
            self._placement.server,
            self._database.dsn,
            self._booth.secret,
            self._booth.admin(),
            http_port=http_port,
            socket_port=socket_port,
            on_standby=on_standby,
        )
        return await trio.to_thread.run_sync(running.enter_context, starting)

    async def _restart(self, running: ExitStack) -> ExitStack:
        anew, stands_by = ExitStack(), trio.Event()
        token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._start, anew, lambda: token.run_sync_soon(stands_by.set))
            await stands_by.wait()
            told_s = trio.current_time()
            await trio.to_thread.run_sync(running.close)
            ended_s = trio.current_time()
        ready_s = trio.current_time()
        with trio.fail_after(BACK_TIMEOUT_S):
            for member in self.members:
                await member.client.online()
        backs = [member.back_s - ready_s for member in self.members if member.back_s is not None]
        after = [answered_s for _, answered_s in self.answered if answered_s > ready_s]
        before = [answered_s for _, answered_s in self.answered if answered_s <= ready_s]
        self.rounds.append(
            RestartRound(
                drain_s=ended_s - told_s,
                take_over_s=ready_s - ended_s,
                back=distribution(int(max(0.0, back_s) * NS_PER_S) for back_s in backs),
                silent_s=min(after, default=trio.current_time()) - max(before, default=told_s),
            )
        )
        return anew

    # ---- members ---------------------------------------------------------------------------

    def _client(self, user: UserRecord, member: _Member, port: int) -> RoomClient:
        room_id = self._pages[0].room_id

        async def fetch_credentials() -> Credentials:
            await trio.lowlevel.checkpoint()
            return Credentials(self._booth.page(user, Role.VIEWER, room_id))

        url = f"ws://127.0.0.1:{port}/rooms/{room_id}"
        return RoomClient(url, fetch_credentials, member.hear, draw=self._draw.random)

    async def _keep_tipping(self, nursery: trio.Nursery, stopped: trio.Event) -> None:
        """The tippers in turn, also while there is no server."""
        amounts = count(1)
        while not stopped.is_set():
            amount = next(amounts)
            tippers = self.members[: self._plan.tippers]
            for member in tippers:
                with trio.move_on_after(1 / self._plan.tips_per_s):
                    await stopped.wait()
                    return
                nursery.start_soon(self._tip, member.client, amount)

    async def _tip(self, client: RoomClient, amount: int) -> None:
        self.sent += 1
        asked_s = trio.current_time()
        broadcast_id = f"{self._pages[0].room_id}-broadcast"
        try:
            await client.tip(f"restart-{self.sent}", broadcast_id, amount)
        except RequestError as error:
            self.failures[f"tip {error.code}"] += 1
        else:
            self.answered.append((asked_s, trio.current_time()))

    async def _read_ledger(self) -> None:
        self.settled = [
            _Tip(row["username"], row["amount"]) for row in await fetch(self._database.dsn, _TIPS)
        ]
