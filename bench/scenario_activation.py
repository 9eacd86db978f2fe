"""Activations platform-wide: many rooms of the real server, each with its model's page and tippers.

Every tip buys a vibration. The tips of a room are evenly spaced, and a level lasts 0.1 s: what is
measured is the platform, not the length of a toy's turn. The load goes up in levels to the first
that misses a target of spec 3; the highest that meets them all is then held for long, to count what
fails. The pages answer each command at once. Then the room of VIPs (`scenario_vip_room`), against
the same server.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from time import perf_counter_ns
from typing import Final

import trio

from bench.activation_rooms import SHORT_AMOUNT, fetch, prepare, quiet_rooms, vip_room
from bench.distribution import Distribution, distribution
from bench.load import NS_PER_S
from bench.meter import Meter, Used
from bench.pages import Pages
from bench.progress import Progress
from bench.results import ActivationLevel, ActivationResult
from bench.room_setup import TokenBooth
from bench.scenario_vip_room import VipPlan, VipRoomScenario
from bench.server import DatabaseProcess, ServerProcess
from bench.tip_life import SentTip, between
from protocol.frames import ActivationChanged, Command, ServerFrame, Tip
from server.auth import Role

TARGET_PER_S: Final = 100.0
TARGET_SUCCESS_PERCENT: Final = 99.5
TARGET_ERROR_PERCENT: Final = 0.5
TARGET_TO_ACTIVATED_MS: Final = 500.0
"""The four: spec 3, history and numbers."""

_DRAIN_TIMEOUT_S: Final = 20.0
_REST_S: Final = 0.5
_ACTIVATED: Final = """
SELECT tip_id, at_utc FROM activation_audit
WHERE state = 'ACTIVATED' AND target_type = 'MODEL_TOY' AND starts_with(tip_id, $1)"""


@dataclass(frozen=True)
class ActivationPlan:
    rooms: int
    tippers: int
    """In each room."""
    levels_per_s: tuple[float, ...]
    level_s: float
    vip: VipPlan
    held_tips: int = 0
    """At the highest level that met all targets; 0: it is not held."""


def plan_for(seconds: float, held_tips: int) -> ActivationPlan:
    """`seconds`: of all levels together, if each target is met."""
    levels = (100.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1600.0)
    clicks = max(2, min(10, int(seconds / 3)))
    vip = VipPlan(vips=1000, tips=clicks, tip_every_s=2.0, waiting=200, clicks=clicks)
    return ActivationPlan(200, 5, levels, seconds / len(levels), vip, held_tips)


def run_activation(
    plan: ActivationPlan,
    server: ServerProcess,
    database: DatabaseProcess,
    booth: TokenBooth,
    progress: Progress,
) -> ActivationResult:
    """Raises BenchFailed when a room does not even fill. The database must keep commit times."""
    quiet, vips = quiet_rooms(plan.rooms, plan.tippers), vip_room(plan.vip.vips)
    progress.step(f"{plan.rooms} rooms and {plan.vip.vips} VIPs are made")
    trio.run(prepare, database.dsn, [*quiet, *vips])
    platform = _Platform(plan, server, database, booth)
    with platform.pages_open(progress):
        levels = platform.run(progress)
        held = platform.hold(levels, progress)
    measured = VipRoomScenario(plan.vip, vips, server, database, booth).run(progress)
    return ActivationResult(
        rooms=plan.rooms,
        tippers=plan.tippers,
        levels=levels,
        held=held,
        vips=plan.vip.vips,
        vip_tips=measured.tips,
        stops=measured.stops,
        stops_without_database=measured.stops_without_database,
        others_cpu_percent=max(each.others_cpu_percent for each in levels),
        failures=dict(platform.pages.client.failures + measured.failures),
    )


def meets_targets(level: ActivationLevel) -> bool:
    """All four, but for the rate: of a level that asks for less than it, its own."""
    p99 = level.tip_to_activated.p99 or level.tip_to_activated.max
    return (
        p99 is not None
        and p99 < TARGET_TO_ACTIVATED_MS
        and level.success_percent > TARGET_SUCCESS_PERCENT
        and level.error_percent < TARGET_ERROR_PERCENT
    )


class _Platform:
    """Implements bench.pages.Watcher."""

    def __init__(
        self,
        plan: ActivationPlan,
        server: ServerProcess,
        database: DatabaseProcess,
        booth: TokenBooth,
    ) -> None:
        self._plan = plan
        self._server = server
        self._database = database
        self._rooms = quiet_rooms(plan.rooms, plan.tippers)
        self._models = [at for at, page in enumerate(self._rooms) if page.role is Role.MODEL]
        self._tips: dict[str, SentTip] = {}
        self._numbers = count()
        self.pages = Pages(server.socket_port, booth, self._rooms, self)

    @contextmanager
    def pages_open(self, progress: Progress) -> Iterator[None]:
        progress.step(f"{len(self._rooms)} pages connect")
        try:
            self.pages.join()
            yield
        finally:
            self.pages.client.close()

    def run(self, progress: Progress) -> list[ActivationLevel]:
        """The first, not counted, is for the server to warm up."""
        levels: list[ActivationLevel] = []
        progress.step("warm-up")
        self._level(self._plan.levels_per_s[0], self._plan.level_s)
        for per_s in self._plan.levels_per_s:
            progress.step(f"{per_s:g} activations/s over {self._plan.rooms} rooms")
            levels.append(self._level(per_s, self._plan.level_s))
            if not meets_targets(levels[-1]):
                break
        return levels

    def hold(self, levels: Sequence[ActivationLevel], progress: Progress) -> ActivationLevel | None:
        """The highest of these that met all targets, for so long that rare failures show."""
        met = [level.offered_per_s for level in levels if meets_targets(level)]
        if not met or not self._plan.held_tips:
            return None
        seconds = self._plan.held_tips / met[-1]
        progress.step(f"{met[-1]:g} activations/s, held for {seconds:.0f} s")
        return self._level(met[-1], seconds)

    # ---- what comes in -------------------------------------------------------------------

    def on_own_frame(self, number: int, frame: ServerFrame, now_ns: int) -> None:
        match frame:
            case Command(tip_id=tip_id):
                self._tips[tip_id].command_ns = now_ns
                self.pages.play(number, frame)
            case ActivationChanged(tip_id=tip_id, state="done" | "not_played"):
                self._tips[tip_id].done_ns = now_ns
            case _:
                pass  # balances and queues: for people

    # ---- one level -----------------------------------------------------------------------

    def _level(self, per_s: float, seconds: float) -> ActivationLevel:
        pages = self.pages
        prefix = f"bench-{per_s:g}-{next(self._numbers)}-"
        first, refused = len(self._tips), pages.refused.total()
        pages.client.forget()
        meter = Meter(self._server.pid, self._database.pids())
        began_ns, ends_at_utc = perf_counter_ns(), _now() + timedelta(seconds=seconds)
        for number in range(max(1, int(per_s * seconds))):
            due_ns = began_ns + int(number / per_s * NS_PER_S)
            pages.client.at(due_ns, partial(self._tip, prefix, number))
        pages.wait(seconds)
        used = meter.total()
        pages.wait(_DRAIN_TIMEOUT_S, self._is_quiet)
        pages.wait(_REST_S)  # the last answers reach the audit
        tips = list(self._tips.values())[first:]
        self._server.get(f"/admin/tips/{tips[0].tip_id}")  # asks for all that is to be written
        activated: dict[str, datetime] = {
            row["tip_id"]: row["at_utc"]
            for row in trio.run(fetch, self._database.dsn, _ACTIVATED, prefix)
        }
        errors = pages.refused.total() - refused + sum(1 for tip in tips if tip.settled_ns is None)
        return _described(per_s, seconds, ends_at_utc, tips, activated, errors, used)

    def _tip(self, prefix: str, number: int) -> None:
        """The rooms in turn, and in each room its tippers."""
        plan, pages = self._plan, self.pages
        turn, room = divmod(number, plan.rooms)
        tipper = self._models[room] + 1 + turn % plan.tippers
        tip_id = f"{prefix}{number}"
        broadcast_id = pages.broadcasts[self._rooms[tipper].room_id]
        tip = self._tips[tip_id] = SentTip(tip_id, True, 0, _now())

        def settled(now_ns: int) -> None:
            tip.settled_ns = now_ns

        tip.sent_ns = pages.ask(
            tipper, lambda ref: Tip(ref, tip_id, broadcast_id, SHORT_AMOUNT), settled
        )

    def _is_quiet(self) -> bool:
        if self.pages.unanswered:
            return False
        return all(tip.done_ns for tip in self._tips.values() if tip.settled_ns is not None)


def _described(
    per_s: float,
    seconds: float,
    ends_at_utc: datetime,
    tips: Sequence[SentTip],
    activated: dict[str, datetime],
    errors: int,
    used: Used,
) -> ActivationLevel:
    in_time = sum(1 for at_utc in activated.values() if at_utc <= ends_at_utc)
    return ActivationLevel(
        offered_per_s=per_s,
        seconds=seconds,
        tips_sent=len(tips),
        activated_per_s=in_time / seconds,
        tip_to_settled=between(tips, "sent_ns", "settled_ns"),
        tip_to_activated=_to_activated(tips, activated),
        success_percent=100 * len(activated) / len(tips),
        error_percent=100 * min(errors, len(tips)) / len(tips),
        server_cpu_percent=used.server_percent,
        client_cpu_percent=used.client_percent,
        database_cpu_percent=used.database_percent,
        others_cpu_percent=used.others_percent,
    )


def _to_activated(tips: Sequence[SentTip], activated: dict[str, datetime]) -> Distribution:
    return distribution(
        round((activated[tip.tip_id] - tip.sent_at_utc).total_seconds() * NS_PER_S)
        for tip in tips
        if tip.tip_id in activated
    )


def _now() -> datetime:
    return datetime.now(UTC)
