"""One room of VIPs who all feel all tips: a tip to every toy, and the model's stop.

The pages answer a command only when all have theirs, or after a while: the answers' work in the
load client would otherwise be counted as the server's delay.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from typing import Final

import trio

from bench.activation_rooms import (
    ASKERS,
    LONG_AMOUNT,
    SHORT_AMOUNT,
    TIPPERS,
    VIP_ROOM,
    fetch,
)
from bench.distribution import distribution
from bench.load import NS_PER_S
from bench.pages import Page, Pages
from bench.progress import Progress
from bench.results import Stops, VipTips
from bench.room_setup import TokenBooth
from bench.server import BenchFailed, DatabaseProcess, ServerProcess
from protocol.frames import (
    ClientFrame,
    Command,
    QueueChanged,
    ResumeToys,
    ServerFrame,
    StopToys,
    Tip,
    ToysStopped,
)

TARGET_ALL_COMMANDS_MS: Final = 50.0
TARGET_ALL_AUDITED_MS: Final = 1000.0
TARGET_STOP_P99_MS: Final = 50.0

ECHO_EVERY_S: Final = 0.05
ANSWER_WITHIN_S: Final = 0.2
"""After the first command of a tip."""
TIMEOUT_S: Final = 15.0
REST_S: Final = 0.3
"""Between two clicks: her page may stop five times a second."""

_MODEL: Final = 0
_TIPPER: Final = 1
_FILLERS: Final = range(1, 1 + TIPPERS)
_ASKING: Final = range(1 + TIPPERS, 1 + TIPPERS + ASKERS)
_COMMITTED: Final = """
SELECT tip_id, max(pg_xact_commit_timestamp(xmin)) AS at_utc, count(*) AS rows
FROM activation_audit WHERE state = 'SENT' AND tip_id = ANY($1) GROUP BY tip_id"""


@dataclass(frozen=True)
class VipPlan:
    vips: int
    tips: int
    tip_every_s: float
    """At least 1.1: a viewer's toy plays for 1 s."""
    waiting: int
    """Activations in the queue when the model stops; at most 200."""
    clicks: int


@dataclass(frozen=True)
class VipMeasured:
    tips: VipTips
    stops: Stops
    stops_without_database: Stops
    failures: Counter[str]


class VipRoomScenario:
    """Used once: `run`. Implements bench.pages.Watcher."""

    def __init__(
        self,
        plan: VipPlan,
        pages: Sequence[Page],
        server: ServerProcess,
        database: DatabaseProcess,
        booth: TokenBooth,
    ) -> None:
        self._plan = plan
        self._server = server
        self._database = database
        self._pages = Pages(server.socket_port, booth, pages, self)
        self._toys = plan.vips + 1
        self._commands: list[tuple[int, Command, int]] = []
        self._unplayed: list[tuple[int, Command]] = []
        self._stopped_ns: list[int] = []
        self._waiting = 0
        self._echo_ns: list[int] = []
        self._tips_sent = 0

    def run(self, progress: Progress) -> VipMeasured:
        """Raises BenchFailed when something does not come at all."""
        progress.step(f"{self._plan.vips} VIPs connect")
        try:
            self._pages.join()
            self._pages.wait(1.0)  # the last presence counts go out
            progress.step(f"a tip to {self._plan.vips} VIPs")
            tips = self._measure_tips()
            progress.step("the model stops all toys")
            self._fill_queue()
            stops = self._measure_stops(refill=True)
            progress.step("the model stops all toys, and no database answers")
            with self._database.frozen():
                without = self._measure_stops(refill=False)
            self._pages.wait(1.0)
        finally:
            self._pages.client.close()
        failures = self._pages.client.failures
        for code, refusals in self._pages.refused.items():
            failures[f"refused: {code}"] += refusals
        return VipMeasured(tips, stops, without, failures)

    # ---- what comes in -------------------------------------------------------------------

    def on_own_frame(self, number: int, frame: ServerFrame, now_ns: int) -> None:
        match frame:
            case Command():
                if not self._unplayed:
                    due_ns = now_ns + int(ANSWER_WITHIN_S * NS_PER_S)
                    self._pages.client.at(due_ns, self._play)
                self._commands.append((number, frame, now_ns))
                self._unplayed.append((number, frame))
                if len(self._unplayed) == self._toys:
                    self._play()
            case ToysStopped():
                self._stopped_ns.append(now_ns)
            case QueueChanged(waiting=waiting):
                self._waiting = waiting
            case _:
                pass  # balances, own tips: for people

    def _play(self) -> None:
        unplayed, self._unplayed = self._unplayed, []
        for number, command in unplayed:
            self._pages.play(number, command)

    # ---- a tip to everyone ---------------------------------------------------------------

    def _measure_tips(self) -> VipTips:
        plan = self._plan
        self._one_tip()  # the first is slower, and not counted
        self._pages.wait(plan.tip_every_s)
        self._pages.client.forget()
        settled, each, last = list[int](), list[int](), list[int]()
        sent_at_utc: dict[str, datetime] = {}
        echo_until_ns = _now_ns() + int(plan.tips * plan.tip_every_s * NS_PER_S)
        self._echo(echo_until_ns)
        for _ in range(plan.tips):
            began_ns, now_utc = _now_ns(), datetime.now(UTC)
            tip_id, sent_ns, settled_ns = self._one_tip()
            sent_at_utc[tip_id] = now_utc
            settled.append(settled_ns - sent_ns)
            arrived = [at_ns - sent_ns for _, _, at_ns in self._commands]
            each += arrived
            last.append(max(arrived))
            left_ns = began_ns + int(plan.tip_every_s * NS_PER_S) - _now_ns()
            self._pages.wait(max(0.0, left_ns / NS_PER_S))
        self._pages.wait(1.0)
        return VipTips(
            tips=plan.tips,
            to_settled=distribution(settled),
            to_command=distribution(each),
            to_last_command=distribution(last),
            to_audited=distribution(self._audited_ns(sent_at_utc)),
            echo=distribution(self._echo_ns),
            read_lag=distribution(self._pages.client.lag_ns),
        )

    def _one_tip(self) -> tuple[str, int, int]:
        """As `_settled_tip`; every command has come."""
        self._commands.clear()
        sent = self._settled_tip(_TIPPER, SHORT_AMOUNT)
        self._until(lambda: len(self._commands) == self._toys, "not every command came")
        return sent

    def _settled_tip(self, tipper: int, amount: int) -> tuple[str, int, int]:
        """Its id, when it was sent, when it was settled (time.perf_counter_ns)."""
        self._tips_sent += 1
        tip_id, broadcast_id = f"bench-vips-{self._tips_sent}", self._pages.broadcasts[VIP_ROOM]
        settled: list[int] = []
        sent_ns = self._pages.ask(
            tipper, lambda ref: Tip(ref, tip_id, broadcast_id, amount), settled.append
        )
        self._until(lambda: bool(settled), "a tip did not settle")
        return tip_id, sent_ns, settled[0]

    def _echo(self, until_ns: int) -> None:
        """One question after the other, each at its moment however long the last one took."""
        due_ns = _now_ns()
        for asker in cycle(_ASKING):
            if due_ns >= until_ns:
                break
            self._pages.client.at(due_ns, partial(self._ask_echo, asker, due_ns))
            due_ns += int(ECHO_EVERY_S * NS_PER_S)

    def _ask_echo(self, asker: int, due_ns: int) -> None:
        """Of a bystander who has stopped nothing: the room answers, and changes nothing."""
        self._pages.ask(asker, ResumeToys, lambda now_ns: self._echo_ns.append(now_ns - due_ns))

    def _audited_ns(self, sent_at_utc: dict[str, datetime]) -> list[int]:
        self._server.get(f"/admin/tips/{next(iter(sent_at_utc))}")  # all is written by then
        rows = trio.run(fetch, self._database.dsn, _COMMITTED, list(sent_at_utc))
        if any(row["rows"] != self._toys for row in rows) or len(rows) != len(sent_at_utc):
            self._pages.client.failures["tip without all its audit"] += 1
        return [
            round((row["at_utc"] - sent_at_utc[row["tip_id"]]).total_seconds() * NS_PER_S)
            for row in rows
        ]

    # ---- stop ----------------------------------------------------------------------------

    def _fill_queue(self) -> None:
        """One that plays for 30 s, and behind it as many as shall wait."""
        self._stop()
        for number in range(self._plan.waiting):
            self._settled_tip(_FILLERS[number % len(_FILLERS)], LONG_AMOUNT)
        self._resume()
        self._settled_tip(_TIPPER, LONG_AMOUNT)

    def _measure_stops(self, *, refill: bool) -> Stops:
        each, last, waiting = list[int](), list[int](), list[int]()
        for _ in range(self._plan.clicks):
            self._pages.wait(REST_S)
            waiting.append(self._waiting)
            arrived = self._stop()
            each += arrived
            last.append(max(arrived))
            self._pages.wait(REST_S)
            self._resume()
            if refill:
                self._settled_tip(_TIPPER, LONG_AMOUNT)
        return Stops(
            clicks=self._plan.clicks,
            waiting_min=min(waiting),
            to_stop=distribution(each),
            to_last_stop=distribution(last),
        )

    def _stop(self) -> list[int]:
        """How long each toy's page waited for its stop frame, nanoseconds."""
        self._stopped_ns.clear()
        sent_ns = self._ask_model(StopToys)
        self._until(lambda: len(self._stopped_ns) == self._toys, "not every stop frame came")
        return [at_ns - sent_ns for at_ns in self._stopped_ns]

    def _resume(self) -> None:
        """The head of the queue plays at every toy."""
        self._commands.clear()
        self._ask_model(ResumeToys)
        self._until(lambda: len(self._commands) == self._toys, "not every command came")

    def _ask_model(self, frame_of: Callable[[int], ClientFrame]) -> int:
        return self._pages.ask(_MODEL, frame_of, lambda _now_ns: None)

    def _until(self, is_done: Callable[[], bool], otherwise: str) -> None:
        if not self._pages.wait(TIMEOUT_S, is_done):
            came = f"{len(self._commands)} commands, {len(self._stopped_ns)} stops"
            lost = f"{dict(self._pages.client.failures)} {dict(self._pages.refused)}"
            raise BenchFailed(f"the room of VIPs: {otherwise} ({came}; {lost})")


def _now_ns() -> int:
    return time.perf_counter_ns()
