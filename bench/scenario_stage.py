"""The stage and messages: purchases with escrow from many models' menus, performances that settle
them, and the thanks for tips, each after its tier's delay.

Buyers ask over HTTP and hear of their place over their own socket: a purchase has joined when that
is there. The load goes up in levels, evenly spaced, to the first that misses a target; after each
level the buyers cancel. Then the models start and finish, then everyone tips. The limit of requests
a user is set above what is asked for, so that it is not what is measured.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from time import perf_counter_ns
from typing import Any, Final

import trio

from bench.distribution import Distribution, distribution
from bench.http_calls import HttpCalls
from bench.load import NS_PER_S
from bench.meter import Meter
from bench.pages import Page, Pages
from bench.progress import Progress
from bench.results import StageLevel, StageResult, ThanksOfTier
from bench.room_setup import TokenBooth
from bench.server import BenchFailed, DatabaseProcess, ServerProcess
from bench.stage_rooms import SONG, WAVE, menu_of, prepare, stage_rooms
from protocol.frames import Command, PublicMessage, ReceiptWanted, ServerFrame, StagePlace, Tip
from protocol.mood_messages import TIERS
from protocol.tip_activated import MembershipTier
from server.auth import Role

WISH_PER_S: Final = 500.0
"""Purchases a second."""
WISH_JOIN_P99_MS: Final = 100.0
WISH_SETTLED_P99_MS: Final = 500.0
"""The three: the seed of spec 5."""

SETTINGS: Final = {"TIPROOM_PURCHASE_REQUESTS_PER_MIN": "10000"}
"""Of the server that this runs against."""
CONNECTIONS_MAX: Final = 64
_QUIET_TIP: Final = 5
"""Tokens; below the minimum for a toy."""
_DRAIN_TIMEOUT_S: Final = 20.0
_LATE_S: Final = 5.0
"""So much later than it is due a thanks is given up."""
_OK: Final = 200


@dataclass(frozen=True)
class StagePlan:
    models: int
    buyers: int
    """Of each model."""
    levels_per_s: tuple[float, ...]
    level_s: float
    performances: int
    """Of each model."""
    performances_per_s: float
    tips: int
    tips_per_s: float
    tiers: tuple[MembershipTier, ...] = tuple(TIERS)
    """Who tips."""


def plan_for(seconds: float) -> StagePlan:
    """`seconds`: of all levels together, if each wish is met."""
    levels = (50.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0)
    return StagePlan(100, 5, levels, max(1.0, seconds / len(levels)), 4, 50.0, 2_000, 200.0)


def run_stage(
    plan: StagePlan,
    server: ServerProcess,
    database: DatabaseProcess,
    booth: TokenBooth,
    progress: Progress,
) -> StageResult:
    """Raises BenchFailed when a room does not even fill."""
    rooms = stage_rooms(plan.models, plan.buyers)
    progress.step(f"{plan.models} models and {plan.models * plan.buyers} buyers are made")
    trio.run(prepare, database.dsn, rooms)
    scenario = _Scenario(plan, rooms, server, database, booth)
    with scenario.pages_open(progress):
        levels = scenario.run_levels(progress)
        # Before the performances, which are thanked for, too.
        progress.step("everyone tips, and is thanked")
        thanks = scenario.thank()
        progress.step("the models start and finish")
        started, finished = scenario.perform()
    return StageResult(
        models=plan.models,
        buyers=plan.buyers,
        levels=levels,
        performances_per_s=plan.performances_per_s,
        start_to_settled=started,
        finish_to_settled=finished,
        tips_per_s=plan.tips_per_s,
        thanks=thanks,
        others_cpu_percent=max(each.others_cpu_percent for each in levels),
        failures=dict(scenario.failures),
    )


def meets_wishes(level: StageLevel) -> bool:
    """All purchases of it have joined, and in time."""
    p99 = level.to_joined.p99 or level.to_joined.max
    return level.joined == level.asked and p99 is not None and p99 < WISH_JOIN_P99_MS


@dataclass(slots=True)
class _Bought:
    buyer: int
    item_id: str
    asked_ns: int = 0
    answered_ns: int | None = None
    purchase_id: str = ""
    position: int = 0


@dataclass
class _Performances:
    starts: list[tuple[int, int]] = field(default_factory=list)
    finishes: list[tuple[int, int]] = field(default_factory=list)
    """Of those that settle there: when it was asked for, and when its tokens had moved."""
    lines: dict[int, deque[_Bought]] = field(default_factory=dict)
    """Of each model, what is due, the one that is performed first."""
    ended: int = 0


@dataclass(slots=True)
class _Tipped:
    tier: MembershipTier
    settled_ns: int = 0
    thanked_ns: int | None = None


@dataclass
class _Tippers:
    """Of each buyer, the tips that are not thanked for yet, in order; and whose a message is."""

    unthanked: dict[int, deque[_Tipped]] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)


class _Scenario:
    """Implements bench.pages.Watcher."""

    def __init__(
        self,
        plan: StagePlan,
        rooms: Sequence[Page],
        server: ServerProcess,
        database: DatabaseProcess,
        booth: TokenBooth,
    ) -> None:
        self._plan = plan
        self._rooms = rooms
        self._server = server
        self._database = database
        self._pages = Pages(server.socket_port, booth, rooms, self)
        self._calls = HttpCalls(self._pages.client, server.http_port, CONNECTIONS_MAX)
        self._tokens = [booth.page(page.user, page.role, page.room_id) for page in rooms]
        self._models = [at for at, page in enumerate(rooms) if page.role is Role.MODEL]
        self._places_ns: dict[str, int] = {}
        """When a purchase's first place came to its buyer's socket."""
        self._tippers: _Tippers | None = None
        """While thanks are measured."""
        self._keys = count()
        self._errors: Counter[str] = Counter()

    @property
    def failures(self) -> Counter[str]:
        pages = self._pages
        return pages.client.failures + pages.refused + self._calls.failures + self._errors

    @contextmanager
    def pages_open(self, progress: Progress) -> Iterator[None]:
        progress.step(f"{len(self._rooms)} pages connect")
        try:
            self._pages.join()
            yield
        finally:
            self._calls.close()
            self._pages.client.close()

    # ---- what comes in -------------------------------------------------------------------

    def on_own_frame(self, number: int, frame: ServerFrame, now_ns: int) -> None:
        match frame:
            case StagePlace(purchase_id=purchase_id):
                self._places_ns.setdefault(purchase_id, now_ns)
            case Command():
                self._pages.play(number, frame)
            case ReceiptWanted(message_id=message_id):
                if self._tippers is not None:
                    self._tippers.messages[message_id] = number
            case PublicMessage(message_id=message_id):
                self._thanked(number, message_id, now_ns)
            case _:
                pass  # balances, stages, places of others: for people

    # ---- purchases -----------------------------------------------------------------------

    def run_levels(self, progress: Progress) -> list[StageLevel]:
        """The first, not counted, is for the server to warm up."""
        levels: list[StageLevel] = []
        progress.step("warm-up")
        self._level(self._plan.levels_per_s[0])
        for per_s in self._plan.levels_per_s:
            progress.step(f"{per_s:g} purchases/s over {self._plan.models} models")
            levels.append(self._level(per_s))
            if not meets_wishes(levels[-1]):
                break
        return levels

    def _level(self, per_s: float) -> StageLevel:
        plan, pages = self._plan, self._pages
        bought: list[_Bought] = []
        meter = Meter(self._server.pid, self._database.pids())
        began_ns = perf_counter_ns()
        for number in range(max(1, int(per_s * plan.level_s))):
            due_ns = began_ns + int(number / per_s * NS_PER_S)
            pages.client.at(due_ns, partial(self._buy, self._buyer(number), SONG, bought))
        pages.wait(plan.level_s)
        used = meter.total()
        self._drain()
        ends_ns = began_ns + int(plan.level_s * NS_PER_S)
        in_time = [each for each in bought if (each.answered_ns or ends_ns + 1) <= ends_ns]
        self._end(bought)
        return StageLevel(
            offered_per_s=per_s,
            seconds=plan.level_s,
            asked=len(bought),
            joined=sum(each.purchase_id in self._places_ns for each in bought),
            bought_per_s=len(in_time) / plan.level_s,
            to_answer=_between((each.asked_ns, each.answered_ns) for each in bought),
            to_joined=_between(
                (each.asked_ns, self._places_ns.get(each.purchase_id)) for each in bought
            ),
            server_cpu_percent=used.server_percent,
            client_cpu_percent=used.client_percent,
            database_cpu_percent=used.database_percent,
            others_cpu_percent=used.others_percent,
        )

    def _buyer(self, number: int) -> int:
        """The models in turn, and of each her buyers."""
        turn, model = divmod(number, self._plan.models)
        return self._models[model] + 1 + turn % self._plan.buyers

    def _buy(self, buyer: int, item_id: str, bought: list[_Bought]) -> None:
        purchase = _Bought(buyer, item_id)
        bought.append(purchase)

        def answered(status: int, body: Any, now_ns: int) -> None:
            if self._is_well(status, body):
                purchase.answered_ns = now_ns
                purchase.purchase_id, purchase.position = body["purchaseId"], body["position"]

        order = {
            "idempotencyKey": f"bench-{next(self._keys)}",
            "menuId": menu_of(self._rooms[buyer].room_id),
            "itemId": item_id,
            "version": 1,
        }
        purchase.asked_ns = self._calls.post(
            "/menus/purchases", self._tokens[buyer], order, answered
        )

    def _end(self, bought: Sequence[_Bought]) -> None:
        """The buyers cancel, and nothing is on any stage."""
        for each in bought:
            if each.purchase_id:
                self._act(each.buyer, each.purchase_id, "cancel", self._nothing_more)
        self._drain()

    # ---- performances --------------------------------------------------------------------

    def perform(self) -> tuple[Distribution, Distribution]:
        """From a start, and from a finish, to the answer that its tokens have moved."""
        plan, bought = self._plan, list[_Bought]()
        for number in range(plan.models * plan.performances):
            item_id = WAVE if number // plan.models % 2 else SONG
            self._buy(self._buyer(number), item_id, bought)
            if self._calls.unanswered > CONNECTIONS_MAX // 2:
                self._drain()
        self._drain()
        performed = _Performances()
        began_ns = perf_counter_ns()
        # The models in turn, each in the order of her line.
        for number, each in enumerate(sorted(bought, key=lambda each: each.position)):
            due_ns = began_ns + int(number / plan.performances_per_s * NS_PER_S)
            self._pages.client.at(due_ns, partial(self._is_due, each, performed))
        self._pages.wait(len(bought) / plan.performances_per_s)
        total = plan.models * plan.performances
        self._pages.wait(_DRAIN_TIMEOUT_S, lambda: performed.ended == total)
        if performed.ended < total:
            self._errors["a performance that did not end"] += total - performed.ended
        return _between(performed.starts), _between(performed.finishes)

    def _is_due(self, bought: _Bought, performed: _Performances) -> None:
        """One at a time on each stage: what is late holds up the next of this model."""
        model = max(each for each in self._models if each < bought.buyer)
        line = performed.lines.setdefault(model, deque())
        line.append(bought)
        if len(line) == 1:
            self._perform(model, line, performed)

    def _perform(self, model: int, line: deque[_Bought], performed: _Performances) -> None:
        bought = line[0]
        settles_at_start = bought.item_id == WAVE

        def started(now_ns: int) -> None:
            if settles_at_start:
                performed.starts.append((started_ns, now_ns))
            finished_ns = self._act(model, bought.purchase_id, "finish", lambda ns: ended(ns))

            def ended(now_ns: int) -> None:
                if not settles_at_start:
                    performed.finishes.append((finished_ns, now_ns))
                performed.ended += 1
                line.popleft()
                if line:
                    self._perform(model, line, performed)

        started_ns = self._act(model, bought.purchase_id, "start", started)

    def _act(self, who: int, purchase_id: str, action: str, on_done: Any) -> int:
        """`on_done` gets the moment of the answer, once all that the move owes is paid."""

        def answered(status: int, body: Any, now_ns: int) -> None:
            if not self._is_well(status, body):
                return
            if body["paymentDue"]:
                self._errors[f"{action}: not paid yet"] += 1
            on_done(now_ns)

        path = f"/stage/purchases/{purchase_id}/{action}"
        return self._calls.post(path, self._tokens[who], None, answered)

    # ---- thanks --------------------------------------------------------------------------

    def thank(self) -> list[ThanksOfTier]:
        """How late each thanks came, counted from the tip's `ok` and its tier's delay."""
        plan, pages, tippers = self._plan, self._pages, _Tippers()
        self._tippers = tippers
        tipped: list[_Tipped] = []
        who = [
            number
            for number, page in enumerate(self._rooms)
            if page.role is Role.VIEWER and page.user.membership_tier in plan.tiers
        ]
        began_ns = perf_counter_ns()
        for number in range(plan.tips):
            due_ns = began_ns + int(number / plan.tips_per_s * NS_PER_S)
            tip = partial(self._tip, who[number % len(who)], number, tippers, tipped)
            pages.client.at(due_ns, tip)
        pages.wait(plan.tips / plan.tips_per_s)
        longest_s = max(TIERS[tier].delay_s for tier in plan.tiers)
        pages.wait(longest_s + _LATE_S, lambda: not any(tippers.unthanked.values()))
        self._tippers = None
        unthanked = sum(each.thanked_ns is None for each in tipped)
        if unthanked:
            self._errors["a tip without its thanks"] += unthanked
        return [_of_tier(tier, tipped) for tier in plan.tiers]

    def _tip(self, tipper: int, number: int, tippers: _Tippers, tipped: list[_Tipped]) -> None:
        tip = _Tipped(self._rooms[tipper].user.membership_tier)
        tipped.append(tip)
        tippers.unthanked.setdefault(tipper, deque()).append(tip)
        broadcast_id = self._pages.broadcasts[self._rooms[tipper].room_id]
        tip_id = f"bench-thanks-{number}"

        def settled(now_ns: int) -> None:
            tip.settled_ns = now_ns

        self._pages.ask(tipper, lambda ref: Tip(ref, tip_id, broadcast_id, _QUIET_TIP), settled)

    def _thanked(self, number: int, message_id: str, now_ns: int) -> None:
        """At the tipper's own socket; the others' do not count. One user's tips are thanked for in
        their order, for they have the same delay."""
        tippers = self._tippers
        if tippers is None or tippers.messages.get(message_id) != number:
            return
        del tippers.messages[message_id]
        waiting = tippers.unthanked.get(number)
        if waiting:
            waiting.popleft().thanked_ns = now_ns
        else:
            self._errors["a thanks for no tip"] += 1

    # ---- all of them ---------------------------------------------------------------------

    def _is_well(self, status: int, body: Any) -> bool:
        if status != _OK:
            self._errors[str(body.get("code", status))] += 1
        return status == _OK

    def _drain(self) -> None:
        if not self._pages.wait(_DRAIN_TIMEOUT_S, lambda: self._calls.unanswered == 0):
            raise BenchFailed(f"{self._calls.unanswered} requests are not answered")

    def _nothing_more(self, _now_ns: int) -> None:
        """Of a cancel only its coming counts."""


def _of_tier(tier: MembershipTier, tipped: Sequence[_Tipped]) -> ThanksOfTier:
    delay_ns = int(TIERS[tier].delay_s * NS_PER_S)
    late = [
        each.thanked_ns - each.settled_ns - delay_ns
        for each in tipped
        if each.tier is tier and each.thanked_ns is not None
    ]
    return ThanksOfTier(tier.value, TIERS[tier].delay_s, distribution(late))


def _between(pairs: Any) -> Distribution:
    return distribution(late - early for early, late in pairs if late is not None)
