"""One room of the whole server on a busy evening: everyone watches, some drop out and come back,
lines are said and tips arrive, and a few of the tips move the model's toy. How long from a tip to
its command at the model's socket?

Viewers are in the load client in C, which lets them leave and come back, evenly spread. The model's
page and those who tip and talk are in this process, which measures. A line is a tip too small for
a toy: settled on disk and shown to everyone, so it costs more than a line of chat would. One
activation plays at a time and the model's only level lasts 0.1 s: see scenario_room.
"""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Final

import trio

from bench.activation_rooms import SHORT_AMOUNT, prepare, quiet_rooms
from bench.comparison import heaviest
from bench.contenders import NOTICE, UNLIMITED, Running, whole_dialect
from bench.crowd import Answer, open_crowd
from bench.distribution import distribution
from bench.load import NS_PER_S
from bench.meter import Meter, Used
from bench.pages import Pages
from bench.placement import Placement, rss_bytes
from bench.progress import Progress
from bench.results_comparison import BusyRoomResult
from bench.room_setup import QUIET_AMOUNT_MAX, TokenBooth
from bench.server import (
    BenchFailed,
    DatabaseProcess,
    ServerProcess,
    allow_sockets,
)
from bench.tip_life import SentTip, between
from bench.whole_server import open_whole_server
from protocol.frames import ActivationChanged, Command, ServerFrame, Tip, TipNotice

JOINS_AT_ONCE: Final = 64
JOINS_PER_S_MIN: Final = 200
"""A server that takes fewer has broken down."""
WARM_UP_S: Final = 3.0
DRAIN_TIMEOUT_S: Final = 15.0
RATE_LIMIT_PER_MIN: Final = 600
"""Of the toy: the platform's largest."""
SPARE_SOCKETS: Final = 200
MB: Final = 1024 * 1024


@dataclass(frozen=True)
class BusyPlan:
    viewers: int
    seconds: float
    seed: int
    lines_per_s: float = 10.0
    tips_per_s: float = 50.0
    vibrations_per_s: float = 5.0
    """Of the tips, those that move the toy."""
    reconnect_share: float = 0.3
    """Of the viewers, over `seconds`."""

    @property
    def tippers(self) -> int:
        """Each may tip 60 times a minute; nobody comes near that."""
        return max(20, round(2 * (self.tips_per_s + self.lines_per_s)))

    @property
    def reconnects_per_s(self) -> float:
        return self.viewers * self.reconnect_share / self.seconds


def run_busy_room(plan: BusyPlan, placement: Placement, progress: Progress) -> BusyRoomResult:
    """Raises BenchFailed when the room does not fill."""
    allow_sockets(plan.viewers + plan.tippers + SPARE_SOCKETS)
    booth = TokenBooth()
    pages = quiet_rooms(1, plan.tippers)
    room_id = pages[0].room_id
    settings = {
        **UNLIMITED,
        "TIPROOM_SOCKETS__CONNECTIONS_MAX": str(plan.viewers + plan.tippers + SPARE_SOCKETS),
    }
    progress.step("PostgreSQL and the server start")
    with open_whole_server(placement, booth, settings) as (database, server):
        server.patch("/admin/settings", {"lovenseRateLimitPerMin": RATE_LIMIT_PER_MIN})
        trio.run(prepare, database.dsn, pages)
        dialect = whole_dialect(booth, room_id, "none", 1)
        running = Running(server.pid, server.socket_port, dialect, database.pids())
        with open_crowd(running, plan.viewers, placement.client) as crowd:
            scenario = _BusyRoom(plan, server, database, booth, room_id, crowd.pid)
            progress.step(f"{plan.viewers:,} viewers connect")
            scenario.join()
            joined = crowd.join(plan.viewers, JOINS_AT_ONCE, 30 + plan.viewers / JOINS_PER_S_MIN)
            if joined.members != plan.viewers:
                raise BenchFailed(
                    f"{joined.members} of {plan.viewers} viewers are in: {joined.failures}"
                )
            progress.step(f"{plan.viewers:,} viewers: warm-up")
            scenario.warm_up()
            progress.step(f"{plan.viewers:,} viewers, {plan.tips_per_s:g} tips/s")
            crowd.begin_watch(NOTICE, plan.seconds, plan.reconnects_per_s, 0, plan.viewers)
            scenario.measure()
            watched = crowd.watched()
            scenario.drain()
            return scenario.result(watched)


class _BusyRoom:
    """The model's page and the tippers. Used once. Implements bench.pages.Watcher."""

    def __init__(
        self,
        plan: BusyPlan,
        server: ServerProcess,
        database: DatabaseProcess,
        booth: TokenBooth,
        room_id: str,
        crowd_pid: int,
    ) -> None:
        self._plan = plan
        self._server = server
        self._database = database
        self._room_id = room_id
        self._crowd_pid = crowd_pid
        self._random = random.Random(plan.seed)
        self._pages = Pages(server.socket_port, booth, quiet_rooms(1, plan.tippers), self)
        self._tips: dict[str, SentTip] = {}
        self._numbers = count()
        self._used: Used | None = None
        self._notices = 0

    def join(self) -> None:
        self._pages.join()

    def warm_up(self) -> None:
        """The same load, not counted."""
        self._load(WARM_UP_S)
        self.drain()
        self._tips.clear()
        self._pages.client.forget()

    def measure(self) -> None:
        meter = Meter(self._server.pid, self._database.pids(), self._crowd_pid)
        self._load(self._plan.seconds)
        self._used = meter.total()
        self._notices = sum(
            1 for seen in self._pages.client.seen() if isinstance(seen.event, TipNotice)
        )

    def drain(self) -> None:
        self._pages.wait(DRAIN_TIMEOUT_S, self._is_quiet)

    def result(self, watched: Answer) -> BusyRoomResult:
        plan, client = self._plan, self._pages.client
        tips = list(self._tips.values())
        settled = [tip for tip in tips if tip.settled_ns is not None]
        failures = client.failures + self._pages.refused
        failures.update(watched.failures)
        late = sum(1 for tip in settled if tip.vibrates and tip.command_ns is None)
        if late:
            failures["no command"] += late
        if len(settled) < len(tips):
            failures["tip without an answer"] += len(tips) - len(settled)
        if watched.members < plan.viewers:
            failures["not back at the end"] += plan.viewers - watched.members
        client.close()
        load = heaviest([self._used] if self._used is not None else [])
        assert load is not None, "measured before"
        due = self._notices * plan.viewers
        return BusyRoomResult(
            viewers=plan.viewers,
            tippers=plan.tippers,
            seconds=plan.seconds,
            lines_per_s=plan.lines_per_s,
            tips_per_s=plan.tips_per_s,
            vibrations_per_s=plan.vibrations_per_s,
            reconnect_share=plan.reconnect_share,
            tips_sent=len(tips),
            tips_settled=len(settled),
            tip_to_settled=between(tips, "sent_ns", "settled_ns"),
            tip_to_command=between(tips, "sent_ns", "command_ns"),
            settled_to_command=between(tips, "settled_ns", "command_ns"),
            reconnects=watched.joined,
            reconnect=distribution(watched.samples_ns),
            frames_per_s=(watched.frames + watched.others) / watched.seconds,
            delivered_share=watched.frames / due if due else 0.0,
            server_rss_mb=rss_bytes(self._server.pid) / MB,
            load=load,
            read_lag=distribution(client.lag_ns),
            failures=dict(failures),
        )

    # ---- bench.pages.Watcher -------------------------------------------------------------

    def on_own_frame(self, number: int, frame: ServerFrame, now_ns: int) -> None:
        match frame:
            case Command(tip_id=tip_id):
                tip = self._tips.get(tip_id)
                if tip is not None and tip.command_ns is None:
                    tip.command_ns = now_ns
                self._pages.play(number, frame)
            case ActivationChanged(tip_id=tip_id, state="done"):
                if (tip := self._tips.get(tip_id)) is not None:
                    tip.done_ns = now_ns
            case _:
                pass  # balances, gates, the model's queue: for people

    # ---- what is said and tipped ---------------------------------------------------------

    def _load(self, seconds: float) -> None:
        """Lines and tips come at random, those that move the toy evenly spaced."""
        plan, began_ns = self._plan, time.perf_counter_ns()
        moments = [
            ((number + 0.5) / plan.vibrations_per_s, SHORT_AMOUNT)
            for number in range(int(seconds * plan.vibrations_per_s))
        ]
        quiet_per_s = plan.lines_per_s + plan.tips_per_s - plan.vibrations_per_s
        at_s = self._random.expovariate(quiet_per_s)
        while at_s < seconds:
            moments.append((at_s, self._random.randint(1, QUIET_AMOUNT_MAX)))
            at_s += self._random.expovariate(quiet_per_s)
        for at_s, amount in moments:
            self._pages.client.at(began_ns + int(at_s * NS_PER_S), partial(self._tip, amount))
        self._pages.wait(seconds)

    def _tip(self, amount: int) -> None:
        number = next(self._numbers)
        tip_id, tipper = f"busy-{number}", 1 + number % self._plan.tippers
        broadcast_id = self._pages.broadcasts[self._room_id]
        tip = SentTip(tip_id, amount == SHORT_AMOUNT, 0, datetime.now(UTC))
        self._tips[tip_id] = tip

        def settled(now_ns: int) -> None:
            tip.settled_ns = now_ns

        tip.sent_ns = self._pages.ask(
            tipper, lambda ref: Tip(ref, tip_id, broadcast_id, amount), settled
        )

    def _is_quiet(self) -> bool:
        if self._pages.unanswered:
            return False
        settled = (tip for tip in self._tips.values() if tip.settled_ns is not None)
        return all(tip.done_ns is not None for tip in settled if tip.vibrates)
