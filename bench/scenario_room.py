"""One room of the real server: a thousand viewers, the model's page, tips arriving at random.

Tips come as a Poisson stream spread over all viewers. The toy rule is one activation at a time, so
only a few tips a second (`vibrations_per_s`, evenly spaced) buy a vibration; the others are below
the minimum for a toy: they settle and are announced to everyone, and play nothing. The model's page
reports a level of 0.1 s, so that no activation waits for the one before: what is measured is the
way of a tip, not the length of a toy's turn. The page answers each command at once.
"""

import gc
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from bench.distribution import distribution
from bench.load import NS_PER_S, LoadClient, Member, Seen
from bench.meter import Meter, Used
from bench.placement import cpu_s, rss_bytes
from bench.progress import Progress
from bench.results import ClientHealth, Connecting, Memory, RoomResult, Second
from bench.room_setup import QUIET_AMOUNT_MAX, VIBRATING_AMOUNT, TokenBooth
from bench.server import BenchFailed, DatabaseProcess, ServerProcess
from bench.tip_life import SentTip, between, missing, tip_to_activated
from protocol.codec import MSGPACK
from protocol.frames import (
    ActivationChanged,
    Command,
    CommandAccepted,
    CommandActivated,
    Connect,
    Error,
    Ok,
    ReportSettings,
    ReportToys,
    ServerFrame,
    Snapshot,
    Tip,
    TipNotice,
)
from protocol.lovense import ReportedSettings, ReportedToy
from protocol.tip_activated import LovenseMode
from server.store.demo import ROOM_ID

JOINS_AT_ONCE: Final = 64
JOIN_TIMEOUT_S: Final = 60.0
IDLE_S: Final = 2.0
WARM_UP_S: Final = 3.0
DRAIN_TIMEOUT_S: Final = 15.0
LEVEL_S: Final = 0.1
"""How long the model's only level plays."""

_MODEL: Final = -1
"""The model's page among the members' numbers."""
_CONNECT_REF: Final = 1
_SETTLED: Final = "tiproom_tips_settled_total"
_BATCHES: Final = "tiproom_ledger_batches_total"
_TOY: Final = ReportedToy(id="t1", name="lush", toy_type="lush", status="on", battery=90)
_SETTINGS: Final = ReportedSettings(
    levels={"level1": {"min": 1, "max": "infinity", "time": LEVEL_S, "vLevel": 10}}
)


@dataclass(frozen=True)
class Load:
    viewers: int
    tips_per_s: float
    vibrations_per_s: float
    seconds: float
    seed: int


@dataclass(frozen=True)
class _Filled:
    """The room with everyone in it, before the first tip."""

    empty_bytes: int
    """The server's memory with the room up and nobody but the model in it."""
    connecting: Connecting
    idle_cpu_percent: float
    idle_bytes: int


@dataclass(frozen=True)
class _Measured:
    used: Used
    frames: int
    client: ClientHealth
    metrics_before: dict[str, float]
    metrics_after: dict[str, float]
    rss_bytes: int


class RoomScenario:
    """Used once: `run`."""

    def __init__(
        self,
        load: Load,
        server: ServerProcess,
        database: DatabaseProcess,
        booth: TokenBooth,
        progress: Progress,
    ) -> None:
        self._load = load
        self._server = server
        self._database = database
        self._progress = progress
        self._random = random.Random(load.seed)
        self._client = LoadClient(server.socket_port, self)
        self._tokens = [booth.viewer(number) for number in range(load.viewers)]
        self._model_token = booth.model()
        self._viewers: dict[int, Member] = {}
        self._joined_ns: list[int] = []
        self._next_to_join = 0
        self._model_ready = False
        self._broadcast_id = ""
        self._tips: dict[str, SentTip] = {}
        self._asked: dict[tuple[int, int], SentTip] = {}
        self._last_ref = _CONNECT_REF
        self._meter = Meter(server.pid)
        self._frames_before = 0
        self._seconds: list[Second] = []
        self._settled_this_second: list[int] = []

    def run(self) -> RoomResult:
        """Raises BenchFailed when the room does not even fill."""
        try:
            filled = self._fill()
            gc.collect()
            gc.freeze()
            gc.disable()  # a collection over thousands of objects would look like a slow server
            self._warm_up()
            return self._result(filled, self._measure())
        finally:
            gc.enable()
            self._client.close()

    # ---- what comes in -------------------------------------------------------------------

    def on_upgraded(self, member: Member) -> None:
        is_model = member.number == _MODEL
        self._client.send(
            member,
            Connect(
                _CONNECT_REF,
                self._model_token if is_model else self._tokens[member.number],
                LovenseMode.EXTENSION if is_model else None,
            ),
        )

    def on_frame(self, member: Member, frame: ServerFrame, now_ns: int) -> None:
        match frame:
            case Ok(ref=ref):
                self._on_ok(member, ref, now_ns)
            case Error(ref=ref, code=code):
                self._asked.pop((member.number, ref or 0), None)
                self._client.failures[f"refused: {code.value}"] += 1
            case Snapshot():
                self._on_snapshot(member, frame, now_ns)
            case Command():
                self._on_command(member, frame, now_ns)
            case ActivationChanged(tip_id=tip_id, state="done"):
                if (tip := self._tips.get(tip_id)) is not None:
                    tip.done_ns = now_ns
            case _:
                pass  # the balance, the gates, the model's queue: for people

    def _on_ok(self, member: Member, ref: int, now_ns: int) -> None:
        tip = self._asked.pop((member.number, ref), None)
        if tip is not None:
            tip.settled_ns = now_ns
            self._settled_this_second.append(now_ns - tip.sent_ns)

    def _on_snapshot(self, member: Member, snapshot: Snapshot, now_ns: int) -> None:
        if member.number == _MODEL:
            assert snapshot.room.broadcast_id is not None, "the demo's room is live"
            self._broadcast_id = snapshot.room.broadcast_id
            self._client.send(member, ReportSettings(2, _SETTINGS))
            self._client.send(member, ReportToys(3, (_TOY,)))
            self._model_ready = True
            return
        self._viewers[member.number] = member
        self._joined_ns.append(now_ns - member.began_ns)
        self._join_next()

    def _on_command(self, member: Member, command: Command, now_ns: int) -> None:
        tip = self._tips.get(command.tip_id)
        if command.attempt > 1:  # a page answers again, and runs nothing again
            self._client.failures["command sent again"] += 1
        elif tip is not None:  # else it is late, and of the warm-up
            tip.command_ns = now_ns
        self._client.send(member, CommandAccepted(command.command_id))
        self._client.send(member, CommandActivated(command.command_id))

    # ---- filling the room ----------------------------------------------------------------

    def _fill(self) -> _Filled:
        self._join_model()
        empty_bytes = rss_bytes(self._server.pid)
        connecting = self._join_viewers()
        idle_cpu_percent = self._rest()
        return _Filled(empty_bytes, connecting, idle_cpu_percent, rss_bytes(self._server.pid))

    def _join_model(self) -> None:
        self._progress.step("the model's page connects")
        self._client.connect(_MODEL, f"/rooms/{ROOM_ID}", MSGPACK, probe=True)
        if not self._client.run_until(_from_now(JOIN_TIMEOUT_S), lambda: self._model_ready):
            raise BenchFailed(f"the model's page did not connect: {self._client.failures}")

    def _join_viewers(self) -> Connecting:
        viewers = self._load.viewers
        self._progress.step(f"{viewers} viewers connect")
        began_ns, cpu_before_s = time.perf_counter_ns(), cpu_s(self._server.pid)
        for _ in range(min(JOINS_AT_ONCE, viewers)):
            self._join_next()
        full = self._client.run_until(
            _from_now(JOIN_TIMEOUT_S), lambda: len(self._viewers) == viewers
        )
        if not full:
            raise BenchFailed(
                f"{len(self._viewers)} of {viewers} viewers connected: {self._client.failures}"
            )
        seconds = (time.perf_counter_ns() - began_ns) / NS_PER_S
        cpu_used_s = cpu_s(self._server.pid) - cpu_before_s
        return Connecting(
            members=viewers,
            at_once=JOINS_AT_ONCE,
            seconds=seconds,
            members_per_s=viewers / seconds,
            duration=distribution(self._joined_ns),
            server_cpu_ms_per_member=1000 * cpu_used_s / viewers,
        )

    def _join_next(self) -> None:
        if self._next_to_join < self._load.viewers:
            self._client.connect(self._next_to_join, f"/rooms/{ROOM_ID}", MSGPACK)
            self._next_to_join += 1

    def _rest(self) -> float:
        """The CPU that it takes to do nothing, percent of one core."""
        self._progress.step("the full room rests")
        self._client.run_until(_from_now(IDLE_S))  # the last presence counts go out
        before_s = cpu_s(self._server.pid)
        self._client.run_until(_from_now(IDLE_S))
        used_s = cpu_s(self._server.pid) - before_s
        return 100 * used_s / IDLE_S

    # ---- tips ----------------------------------------------------------------------------

    def _warm_up(self) -> None:
        """The same load, not counted: a cold server's first seconds say little."""
        self._progress.step("warm-up")
        self._plan_tips(WARM_UP_S)
        self._client.run_until(_from_now(WARM_UP_S))
        self._drain()
        self._tips.clear()
        self._settled_this_second.clear()
        self._frames_before = 0
        self._client.forget()

    def _measure(self) -> _Measured:
        """The load, counted; returns once everything due has come, or is late."""
        load, client = self._load, self._client
        self._progress.step(f"{load.tips_per_s:g} tips/s to {load.viewers} viewers")
        metrics_before = self._server.metrics()
        self._meter = Meter(self._server.pid, self._database.pids())
        began_ns = time.perf_counter_ns()
        for second in range(1, int(load.seconds) + 1):
            client.at(began_ns + second * NS_PER_S, partial(self._end_second, second))
        self._plan_tips(load.seconds)
        client.run_until(began_ns + int(load.seconds * NS_PER_S))
        used = self._meter.total()
        frames = client.frames
        health = ClientHealth(
            used.client_percent, distribution(client.lag_ns), distribution(client.late_ns)
        )
        self._drain()
        return _Measured(
            used,
            frames,
            health,
            metrics_before,
            self._server.metrics(),
            rss_bytes(self._server.pid),
        )

    def _plan_tips(self, seconds: float) -> None:
        """All tips of the coming `seconds`, by the seed: who, when, how much."""
        load, rng = self._load, self._random
        now_ns = time.perf_counter_ns()
        tippers = list(range(load.viewers))
        rng.shuffle(tippers)
        moments: list[tuple[float, int]] = []
        quiet_per_s = load.tips_per_s - load.vibrations_per_s
        at_s = rng.expovariate(quiet_per_s)
        while at_s < seconds:
            moments.append((at_s, rng.randint(1, QUIET_AMOUNT_MAX)))
            at_s += rng.expovariate(quiet_per_s)
        moments += [
            ((number + 0.5) / load.vibrations_per_s, VIBRATING_AMOUNT)
            for number in range(int(seconds * load.vibrations_per_s))
        ]
        for number, (at_s, amount) in enumerate(sorted(moments)):
            tipper = tippers[number % len(tippers)]
            self._client.at(now_ns + int(at_s * NS_PER_S), partial(self._tip, tipper, amount))

    def _tip(self, tipper: int, amount: int) -> None:
        self._last_ref += 1
        ref = self._last_ref
        tip_id = f"bench-{self._load.seed}-{ref}"
        frame = Tip(ref, tip_id, self._broadcast_id, amount)
        tip = SentTip(tip_id, amount == VIBRATING_AMOUNT, 0, datetime.now(UTC))
        self._tips[tip_id] = self._asked[tipper, ref] = tip
        tip.sent_ns = self._client.send(self._viewers[tipper], frame)

    def _drain(self) -> None:
        """Wait for what is still under way; what does not come in time is a failure."""
        self._client.run_until(_from_now(DRAIN_TIMEOUT_S), self._is_quiet)

    def _is_quiet(self) -> bool:
        if self._asked:
            return False
        settled = [tip for tip in self._tips.values() if tip.settled_ns is not None]
        if any(tip.vibrates and tip.done_ns is None for tip in settled):
            return False
        return sum(each.count for each in self._notices()) >= len(settled) * self._members

    @property
    def _members(self) -> int:
        return self._load.viewers + 1

    def _notices(self) -> list[Seen]:
        return [seen for seen in self._client.seen() if isinstance(seen.event, TipNotice)]

    def _end_second(self, second: int) -> None:
        """One more point of the timeline."""
        used = self._meter.lap()
        frames = self._client.frames - self._frames_before
        self._frames_before = self._client.frames
        settled = distribution(self._settled_this_second)
        self._settled_this_second.clear()
        self._seconds.append(
            Second(
                at_s=second,
                frames_per_s=frames / used.seconds,
                server_cpu_percent=used.server_percent,
                client_cpu_percent=used.client_percent,
                database_cpu_percent=used.database_percent,
                tip_to_settled=settled,
            )
        )
        p50 = "-" if settled.p50 is None else f"{settled.p50:.1f}"
        self._progress.advance(
            second / self._load.seconds,
            f"{frames / used.seconds:,.0f} frames/s   tip to settled p50 {p50} ms   "
            f"server {used.server_percent:.0f} %   failures {self._client.failures.total()}",
        )

    # ---- what it amounts to --------------------------------------------------------------

    def _result(self, filled: _Filled, measured: _Measured) -> RoomResult:
        load, used = self._load, measured.used
        tips, notices = list(self._tips.values()), self._notices()
        settled = sum(1 for tip in tips if tip.settled_ns is not None)
        self._progress.step("the audit of each vibrating tip")
        to_activated = tip_to_activated(tips, self._server, self._client.failures)
        self._client.failures.update(missing(tips, notices, self._client, self._members))
        if self._asked:
            self._client.failures["tip without an answer"] += len(self._asked)
        frames_per_s = measured.frames / used.seconds
        before, after = measured.metrics_before, measured.metrics_after
        batches = after[_BATCHES] - before[_BATCHES]
        return RoomResult(
            viewers=load.viewers,
            seconds=load.seconds,
            tips_per_s=load.tips_per_s,
            vibrations_per_s=load.vibrations_per_s,
            tips_sent=len(tips),
            tips_settled=settled,
            tips_per_commit=(after[_SETTLED] - before[_SETTLED]) / batches if batches else 0.0,
            connecting=filled.connecting,
            tip_to_settled=between(tips, "sent_ns", "settled_ns"),
            tip_to_command=between(tips, "sent_ns", "command_ns"),
            settled_to_command=between(tips, "settled_ns", "command_ns"),
            tip_to_activated=to_activated,
            tip_to_done=between(tips, "sent_ns", "done_ns"),
            fan_out_spread=distribution(seen.last_ns - seen.first_ns for seen in notices),
            notices_due=settled * self._members,
            notices_delivered=sum(seen.count for seen in notices),
            frames_per_s=frames_per_s,
            server_cpu_percent=used.server_percent,
            server_cpu_idle_percent=filled.idle_cpu_percent,
            server_cpu_s_per_million_frames=used.server_percent / 100 / frames_per_s * 1e6,
            database_cpu_percent=used.database_percent,
            others_cpu_percent=used.others_percent,
            memory=Memory(
                empty=filled.empty_bytes,
                idle=filled.idle_bytes,
                after_load=measured.rss_bytes,
                idle_per_viewer=(filled.idle_bytes - filled.empty_bytes) // load.viewers,
                after_load_per_viewer=(measured.rss_bytes - filled.empty_bytes) // load.viewers,
            ),
            client=measured.client,
            failures=dict(self._client.failures),
            timeline=self._seconds,
        )


def _from_now(seconds: float) -> int:
    return time.perf_counter_ns() + int(seconds * NS_PER_S)
