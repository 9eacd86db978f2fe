"""The whole server for minutes on end: one room in which most are idle, some drop out and come
back, some leave and return, some tip, some read too slowly. Is its memory flat?

Those who only watch, and drop out, are in the load client in C; those who act are over the Python
client, in this process (soak_members)."""

import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

import trio

from bench.activation_rooms import prepare, quiet_rooms
from bench.contenders import NOTICE, UNLIMITED, Running, whole_dialect
from bench.crowd import Answer, Crowd, open_crowd
from bench.distribution import distribution
from bench.meter import Meter
from bench.placement import Machine, Placement, own_bytes, pss_bytes, rss_bytes
from bench.progress import Progress
from bench.results_soak import SoakResult, SoakSample
from bench.room_setup import TokenBooth
from bench.server import (
    BenchFailed,
    DatabaseProcess,
    ServerProcess,
    allow_sockets,
)
from bench.soak_members import Cast
from bench.trend import Trend, Verdict, trend
from bench.whole_server import open_whole_server

SAMPLE_EVERY_S: Final = 10.0
GROWTH_MB_PER_MIN_MAX: Final = 0.1
"""What counts as flat: less than 150 MB in a day."""
TIPPERS: Final = 40
WANDERERS: Final = 30
SLOW_READERS: Final = 10
JOINS_AT_ONCE: Final = 64
JOINS_PER_S_MIN: Final = 100
"""A server that takes fewer has broken down."""
RATE_LIMIT_PER_MIN: Final = 600
OUTBOX_BYTES_MAX: Final = 192 * 1024
"""A fifth of the default, so that slow readers reach it, are closed and come back, again and again:
otherwise what waits for them would grow for most of the run."""
SPARE_SOCKETS: Final = 200
MB: Final = 1024 * 1024


@dataclass(frozen=True)
class SoakPlan:
    members: int
    minutes: float
    seed: int
    tips_per_s: float = 5.0
    vibrations_per_s: float = 0.5
    """Of the tips, those that move the toy."""
    reconnects_per_s: float = 5.0

    @property
    def seconds(self) -> float:
        return 60 * self.minutes

    @property
    def watchers(self) -> int:
        return self.members - 1 - TIPPERS - WANDERERS - SLOW_READERS


def run_soak(
    plan: SoakPlan, command: str, described: Machine, placement: Placement, progress: Progress
) -> SoakResult:
    """Raises BenchFailed when the room does not fill."""
    if plan.watchers < 1:
        raise BenchFailed("so few members cannot do all that a soak is made of")
    allow_sockets(plan.members + SPARE_SOCKETS)
    started_at_utc, booth = datetime.now(UTC), TokenBooth()
    pages = quiet_rooms(1, TIPPERS + WANDERERS + SLOW_READERS)
    room_id = pages[0].room_id
    with ExitStack() as stack:
        progress.step("PostgreSQL and the server start")
        settings = {
            **UNLIMITED,
            "TIPROOM_SOCKETS__CONNECTIONS_MAX": str(plan.members + SPARE_SOCKETS),
            "TIPROOM_SOCKETS__OUTBOX_BYTES_MAX": str(OUTBOX_BYTES_MAX),
        }
        database, server = stack.enter_context(open_whole_server(placement, booth, settings))
        server.patch("/admin/settings", {"lovenseRateLimitPerMin": RATE_LIMIT_PER_MIN})
        trio.run(prepare, database.dsn, pages)
        dialect = whole_dialect(booth, room_id, "none", 1)
        running = Running(server.pid, server.socket_port, dialect, database.pids())
        crowd = stack.enter_context(open_crowd(running, plan.watchers, placement.client))
        users = [page.user for page in pages[1:]]
        cast = Cast(
            url=f"ws://127.0.0.1:{server.socket_port}/rooms/{room_id}",
            room_id=room_id,
            broadcast_id=f"{room_id}-broadcast",
            booth=booth,
            model=pages[0].user,
            tippers=users[:TIPPERS],
            wanderers=users[TIPPERS : TIPPERS + WANDERERS],
            slow=users[TIPPERS + WANDERERS :],
            tips_per_s=plan.tips_per_s,
            vibrations_per_s=plan.vibrations_per_s,
            draw=random.Random(plan.seed),
        )
        soak = _Soak(plan, server, database, crowd, cast, progress)
        trio.run(soak.run)
        rss, own = _trends(soak.samples)
        metrics = server.metrics()
        watched, seen = soak.watched, cast.seen
        failures = seen.failures + soak.failures
        return SoakResult(
            command=command,
            seed=plan.seed,
            started_at_utc=started_at_utc.isoformat(timespec="seconds"),
            machine=described,
            placement=placement,
            members=plan.members,
            minutes=plan.minutes,
            tips_per_s=plan.tips_per_s,
            reconnects_per_s=plan.reconnects_per_s,
            samples=soak.samples,
            rss_trend=rss,
            own_trend=own,
            verdict=_verdict(own),
            tips_sent=seen.tips_sent,
            tips_settled=seen.tips_settled,
            tip_to_settled=distribution(soak.settled_ns),
            tip_to_command=distribution(soak.command_ns),
            notices_delivered=watched.frames,
            drop_outs=watched.joined,
            returns=seen.returns,
            late_events=seen.late_events,
            lost_events=seen.lost_events,
            slow_ends=seen.slow_ends,
            closes=_labelled(metrics, 'tiproom_closes_total{code="'),
            left_out=_labelled(metrics, 'tiproom_frames_left_out_total{class="'),
            failures=dict(failures),
        )


class _Soak:
    """One run. Used once."""

    def __init__(
        self,
        plan: SoakPlan,
        server: ServerProcess,
        database: DatabaseProcess,
        crowd: Crowd,
        cast: Cast,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._server = server
        self._database = database
        self._crowd = crowd
        self._cast = cast
        self._progress = progress
        self.samples: list[SoakSample] = []
        self.settled_ns: list[int] = []
        self.command_ns: list[int] = []
        self.failures: Counter[str] = Counter()
        self._process_s = time.process_time()
        self.watched: Answer

    async def run(self) -> None:
        plan, crowd = self._plan, self._crowd
        self._progress.step(f"{plan.members:,} members connect")
        async with trio.open_nursery() as nursery:
            await nursery.start(self._cast.run)
            within_s = 30 + plan.watchers / JOINS_PER_S_MIN
            join = partial(crowd.join, plan.watchers, JOINS_AT_ONCE, within_s)
            joined = await trio.to_thread.run_sync(join)
            if joined.members != plan.watchers:
                raise BenchFailed(f"{joined.members} watchers are in: {joined.failures}")
            self._progress.step(f"{plan.minutes:g} minutes")
            begin = partial(
                crowd.begin_watch, NOTICE, plan.seconds, plan.reconnects_per_s, 0, plan.watchers
            )
            await trio.to_thread.run_sync(begin)
            self._cast.begin()
            await self._sample_all()
            self.watched = await trio.to_thread.run_sync(crowd.watched)
            nursery.cancel_scope.cancel()
        self.failures = Counter(self.watched.failures)
        if self.watched.members != plan.watchers:
            self.failures["not back at the end"] = plan.watchers - self.watched.members

    async def _sample_all(self) -> None:
        plan = self._plan
        meter = Meter(self._server.pid, self._database.pids(), self._crowd.pid)
        began_s = trio.current_time()
        for number in range(1, int(plan.seconds / SAMPLE_EVERY_S) + 1):
            at_s = number * SAMPLE_EVERY_S
            await trio.sleep_until(began_s + at_s)
            metrics = await trio.to_thread.run_sync(self._server.metrics)
            self.samples.append(self._sample(at_s, metrics, meter))
            self._progress.advance(at_s / plan.seconds, f"{self.samples[-1].own_mb:.1f} MB")

    def _sample(self, at_s: float, metrics: dict[str, float], meter: Meter) -> SoakSample:
        seen, pid, used = self._cast.seen, self._server.pid, meter.lap()
        settled, seen.settled_ns = seen.settled_ns, []
        commands, seen.command_ns = seen.command_ns, []
        self.settled_ns += settled
        self.command_ns += commands
        return SoakSample(
            at_s=at_s,
            rss_mb=rss_bytes(pid) / MB,
            pss_mb=pss_bytes(pid) / MB,
            own_mb=own_bytes(pid) / MB,
            descriptors=len(os.listdir(f"/proc/{pid}/fd")),
            tasks=int(metrics["tiproom_tasks"]),
            sockets=int(metrics["tiproom_sockets"]),
            outbox_mb=metrics["tiproom_outbox_bytes"] / MB,
            server_cpu_percent=used.server_percent,
            others_cpu_percent=max(0.0, used.others_percent - self._own_percent(used.seconds)),
            tip_to_settled=distribution(settled),
            tip_to_command=distribution(commands),
        )

    def _own_percent(self, seconds: float) -> float:
        """This process, which acts, is no stranger to the run."""
        now_s = time.process_time()
        before_s, self._process_s = self._process_s, now_s
        return 100 * (now_s - before_s) / seconds


def _trends(samples: Sequence[SoakSample]) -> tuple[Trend | None, Trend | None]:
    """Of the second half: by then everything has been seen once."""
    half = samples[len(samples) // 2 :]
    minutes = [each.at_s / 60 for each in half]
    return (
        trend(minutes, [each.rss_mb for each in half]),
        trend(minutes, [each.own_mb for each in half]),
    )


def _verdict(found: Trend | None) -> Verdict:
    return "not known" if found is None else found.verdict(GROWTH_MB_PER_MIN_MAX)


def _labelled(metrics: dict[str, float], start: str) -> dict[str, int]:
    """By the one label."""
    return {
        name.removeprefix(start).rstrip('"}'): int(value)
        for name, value in metrics.items()
        if name.startswith(start)
    }
