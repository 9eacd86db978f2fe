"""One seeded run of the whole system: the real actors, faulty ports, unruly members.

A run has two parts. For `CHAOS_S` members tip, leave, reload and answer badly, rooms crash, the
database is slow or away, and the process is killed before and after commits; then everything is
well again, what a page does not know yet it asks for again, and the house comes to rest. What
must hold then is in `problems`.

Everything is drawn from the seed: members, faults, ids, jitter, and the order in which trio runs
what is ready (`deterministic_scheduler`). Time is virtual.

Known and left out: a new *process* does not know what the model's toy was playing when the old
one was killed, so that the first command after a kill may overlap. Within a process, across
crashes of the room included, an overlap is a failure.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from actors.audit_writer import AuditWriter
from actors.consumers.relay import run_relay
from actors.ledger import LedgerActor
from actors.ports import SessionId, StoreUnavailable
from actors.room.actor import RoomActor
from actors.room.messages import Join, PlatformSettingsChanged, RequeueByRequest
from actors.runtime.ask import Ask
from protocol import frames
from protocol.audit import FINAL_STATES, TargetState
from protocol.errors import ERRORS, CloseCode
from protocol.gating import Preferences
from protocol.tip_activated import ViewerSyncMode
from protocol.toy_settings import PlatformSettings, QueueMode
from tests.actors.house import House, Relay, open_house
from tests.actors.ports import REVENUE, Books, Database, Sockets
from tests.actors.rooms import BROADCAST, FREE, GOLD, model_join, record, viewer_join
from tests.simulation.pages import ModelPage, Page, Toy

CHAOS_S = 90.0
REST_S = 700.0
"""Longer than anything may wait: ten minutes in a queue, and a relay's pass."""
KILLS_MAX = 3
TOKENS = 600
NONSENSE: Any = object()
"""A message that no room understands: its step raises."""

ROOMS = {"room-1": "model-1", "room-2": "model-2"}
VIEWERS = {"ann": FREE, "bob": GOLD, "cat": GOLD, "dan": FREE}
ON = PlatformSettings(enable_lovense=True, lovense_rate_limit_per_min=20)


class _Wire(Sockets):
    """Brings frames to pages; keeps none."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[SessionId, Page] = {}
        self.hang_up: Callable[[Page, SessionId], None]

    def register(self, page: Page) -> None:
        self._pages[page.session_id] = page

    def cut_all(self) -> None:
        """The process is gone, and all of its sockets."""
        for session_id in list(self._pages):
            self.forget(session_id)

    def forget(self, session_id: SessionId) -> None:
        """For good: a room that has not read its Leave yet may let it in once more."""
        super().forget(session_id)
        self._pages.pop(session_id, None)

    def send(self, session_id: SessionId, frame: object) -> None:
        page = self._pages.get(session_id)
        if page is not None and page.session_id == session_id and session_id not in self.closed:
            page.receive(frame)

    def close(self, session_id: SessionId, code: CloseCode) -> None:
        page = self._pages.get(session_id)
        super().close(session_id, code)
        if page is not None and page.session_id == session_id:
            self.hang_up(page, session_id)


class World:
    """`run` it, then ask for its `problems`. The types are for negative controls."""

    def __init__(
        self,
        seed: int,
        *,
        ledger_type: type[LedgerActor] = LedgerActor,
        audit_type: type[AuditWriter] = AuditWriter,
        books_type: type[Books] = Books,
        new_relay: Callable[[], Relay] = lambda: run_relay,
        forgetful_toys: bool = False,
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.ledger_type, self.audit_type = ledger_type, audit_type
        self.relays = new_relay()
        self.database = Database(
            [
                msgspec.structs.replace(
                    record(
                        sync=self.rng.choice(list(ViewerSyncMode)), room_id=room, model_id=model
                    ),
                    platform_settings=msgspec.structs.replace(
                        ON, lovense_queue_mode=self.rng.choice(list(QueueMode))
                    ),
                )
                for room, model in ROOMS.items()
            ],
            {},
        )
        self.database.books = books_type(dict.fromkeys(VIEWERS, TOKENS))
        self.database.before, self.database.after = self._before, self._after
        self.wire = _Wire()
        self.wire.hang_up = self._hang_up
        self.faulty = True
        self.kills = 0
        self.lives = 0
        self.room_crashes = 0
        self._killed = trio.Event()
        self._house: House | None = None
        self._life: trio.Nursery | None = None
        self._sessions = count(1)
        self._tips = count(1)
        self.models = [
            self._model_page(room, model, forgetful_toys) for room, model in ROOMS.items()
        ]
        self.viewers = [
            self._viewer_page(user_id, self.rng.choice(list(ROOMS))) for user_id in VIEWERS
        ]

    def run(self) -> None:
        """To the end, in a few milliseconds of real time."""
        with deterministic_scheduler(self.seed):
            trio.run(self._main, clock=MockClock(autojump_threshold=0))

    # ---- members -----------------------------------------------------------------------------

    @property
    def pages(self) -> list[Page]:
        return [*self.models, *self.viewers]

    def _model_page(self, room_id: str, model_id: str, forgetful: bool) -> ModelPage:
        def join(session_id: int) -> Join:
            return model_join(session_id, user_id=model_id)

        toy = Toy(forgetful=forgetful)
        return ModelPage(model_id, room_id, join, self.rng, self._next_session, toy)

    def _viewer_page(self, user_id: str, room_id: str) -> Page:
        wishes = Preferences(react_to_my_tips=True, feel_all_tips=VIEWERS[user_id].is_vip)

        def join(session_id: int) -> Join:
            balance = self.database.books.balances[user_id]
            return viewer_join(
                session_id,
                user_id,
                tier=VIEWERS[user_id],
                preferences=self.database.preferences.get(user_id, wishes),
                balance=balance,
            )

        return Page(user_id, room_id, join, self.rng, self._next_session, Toy())

    def _next_session(self) -> int:
        return next(self._sessions)

    def _hang_up(self, page: Page, session_id: SessionId) -> None:
        """The server has closed a socket; the page comes back later, as pages do."""

        async def come_back() -> None:
            await trio.sleep(0.01)
            if page.session_id == session_id:
                page.disconnect()

        if self._life is not None:
            self._life.start_soon(come_back)

    # ---- faults of the database --------------------------------------------------------------

    async def _before(self, _call: str) -> None:
        await trio.lowlevel.checkpoint()
        if not self.faulty:
            return
        drawn = self.rng.random()
        if drawn < 0.02:
            await self._kill()
        elif drawn < 0.06:
            raise StoreUnavailable
        elif drawn < 0.30:
            await trio.sleep(self.rng.uniform(0.01, 2.0))

    async def _after(self, _call: str) -> None:
        """Committed; whether anyone hears of it is another matter."""
        await trio.lowlevel.checkpoint()
        if not self.faulty:
            return
        drawn = self.rng.random()
        if drawn < 0.03:
            await self._kill()
        elif drawn < 0.06:
            raise StoreUnavailable

    async def _kill(self) -> None:
        if self.kills < KILLS_MAX:
            self.kills += 1
            self._killed.set()
            await trio.sleep_forever()

    # ---- the course of a run -----------------------------------------------------------------

    async def _main(self) -> None:
        async with trio.open_nursery() as outside:
            over = trio.Event()
            outside.start_soon(self._keep_alive, over)
            with trio.move_on_after(CHAOS_S):
                async with trio.open_nursery() as members:
                    for page in self.viewers:
                        members.start_soon(self._be_viewer, page)
                    for page in self.models:
                        members.start_soon(self._be_model, page)
                    members.start_soon(self._be_fate)
            await self._heal()
            over.set()

    async def _keep_alive(self, over: trio.Event) -> None:
        """One process after the other, until the run is over."""
        while not over.is_set():
            self.lives += 1
            self._killed = trio.Event()
            async with (
                open_house(
                    self.database,
                    self.wire,
                    seed=self.rng.getrandbits(32),
                    relay=True,
                    relays=self.relays,
                    ledger_type=self.ledger_type,
                    audit_type=self.audit_type,
                ) as house,
                trio.open_nursery() as life,
            ):
                self._house, self._life = house, life
                for page in self.pages:
                    self._connect(page)
                async with trio.open_nursery() as either:
                    for event in (self._killed, over):
                        either.start_soon(_then_cancel, event, either)
                self._house = self._life = None
                life.cancel_scope.cancel()
            self.wire.cut_all()
            for page in self.pages:
                page.disconnect()
                page.toy.unknown_to_the_server()
            if not over.is_set():
                await trio.sleep(self.rng.uniform(0.1, 3.0))

    def _connect(self, page: Page) -> None:
        if self._life is not None and self._house is not None and not page.connected:
            self._life.start_soon(page.connect, self._house.rooms, self._life, self.wire.register)

    def _reload(self, page: Page) -> None:
        self.wire.forget(page.session_id)
        page.disconnect()
        self._connect(page)

    async def _be_viewer(self, page: Page) -> None:
        rng = self.rng
        while True:
            await trio.sleep(rng.expovariate(1 / 4.0))
            drawn = rng.random()
            if not page.connected:
                self._connect(page)
            elif drawn < 0.55:
                stale = rng.random() < 0.05
                amount = rng.choice((1, 5, 10, 25, 60, 400))
                page.tip(f"tip-{next(self._tips)}", "old" if stale else BROADCAST, amount)
            elif drawn < 0.70 and page.asked:
                self._ask_again(page, rng.choice(list(page.asked)))
            elif drawn < 0.85:
                page.say(frames.SetPreferences, react_to_my_tips=rng.random() < 0.7)
            elif drawn < 0.90:
                page.say(frames.StopToys)
            elif drawn < 0.95:
                self._reload(page)
            else:
                self.wire.forget(page.session_id)
                page.disconnect()

    async def _be_model(self, page: Page) -> None:
        rng = self.rng
        while True:
            await trio.sleep(rng.expovariate(1 / 10.0))
            drawn = rng.random()
            if not page.connected:
                self._connect(page)
            elif drawn < 0.25:
                self._reload(page)
            elif drawn < 0.35:
                self.wire.forget(page.session_id)
                page.disconnect()
            elif drawn < 0.45:
                page.say(frames.StopToys)
            elif drawn < 0.80:
                page.say(frames.ResumeToys)
            else:
                page.report()

    async def _be_fate(self) -> None:
        """Rooms crash, the kill switch falls and is lifted, the database goes away for a while."""
        rng = self.rng
        while True:
            await trio.sleep(rng.expovariate(1 / 12.0))
            drawn = rng.random()
            if self._house is None:
                continue
            rooms = list(self._house.rooms)
            if drawn < 0.6 and rooms:
                self.room_crashes += 1
                rng.choice(rooms).tell_always(NONSENSE)
            elif drawn < 0.8:
                self._switch(rng.random() < 0.5)
            else:
                unheard_until_s = trio.current_time() + rng.uniform(10.0, 60.0)
                rng.choice(self.pages).unheard_until_s = unheard_until_s
            for room in rooms:
                self._requeue(room)

    def _requeue(self, room: RoomActor) -> None:
        """An admin has a dead target of the room's sent again."""
        dead = [
            each
            for each in self.database.audit
            if (each.room_id, each.state) == (room.room_id, TargetState.DEAD)
        ]
        if dead:
            letter = self.rng.choice(dead)
            ask: Ask[object] = Ask()
            room.tell_always(
                RequeueByRequest(ask, letter.record_id, BROADCAST, "admin", "a second chance")
            )

    def _switch(self, on: bool) -> None:
        settings = msgspec.structs.replace(
            ON, enable_lovense=on, lovense_queue_mode=self.rng.choice(list(QueueMode))
        )
        for room_id, known in self.database.rooms.items():
            self.database.rooms[room_id] = msgspec.structs.replace(
                known, platform_settings=settings
            )
        for room in self._house.rooms if self._house is not None else ():
            room.tell_first(PlatformSettingsChanged(settings))

    def _ask_again(self, page: Page, tip_id: str) -> None:
        page.tip(tip_id, *page.asked[tip_id])

    async def _heal(self) -> None:
        """All is well from here on. Pages come back and ask what they do not know."""
        self.faulty = False
        self._switch(True)
        for page in self.pages:
            page.honest = True
        for _ in range(20):
            await trio.sleep(10)
            for room in self._house.rooms if self._house is not None else ():
                self._requeue(room)
            for page in self.pages:
                self._connect(page)
            for page in self.models:
                page.say(frames.ResumeToys)
            for page in self.viewers:
                for tip_id in page.asked:
                    refusal = page.refused.get(tip_id)
                    told = tip_id in page.receipts or (refusal and not ERRORS[refusal].retry)
                    if not told:
                        self._ask_again(page, tip_id)
        await trio.sleep(REST_S)

    # ---- what must hold at rest --------------------------------------------------------------

    def problems(self) -> list[str]:
        return [
            *self._ledger_problems(),
            *self._consumer_problems(),
            *self._toy_problems(),
            *(f"{page.user_id}: {gap}" for page in self.pages for gap in page.gaps),
        ]

    def _ledger_problems(self) -> Iterator[str]:
        books = self.database.books
        if sum(books.balances.values()) != books.total:
            yield "tokens are not conserved"
        yield from (f"{who} is below zero" for who, has in books.balances.items() if has < 0)
        spent = Counter[str]()
        for (_, _, tipper, amount), _, _ in books.tips.values():
            spent[tipper] += amount
        for user_id in VIEWERS:
            if books.balances[user_id] != TOKENS - spent[user_id]:
                yield f"{user_id} has not paid exactly for the own tips"
        if REVENUE not in books.balances:
            yield "no revenue account"
        for page in self.viewers:
            for tip_id, receipt in page.receipts.items():
                if tip_id not in books.tips:
                    yield f"{tip_id} was acknowledged and is not settled"
                elif books.tips[tip_id][2] != receipt.balance:
                    yield f"{tip_id} was acknowledged with another balance"
            yield from (f"{tip_id} has two receipts that differ" for tip_id in page.differing)
            for tip_id in page.asked:
                refusal = page.refused.get(tip_id)
                if tip_id not in page.receipts and (refusal is None or ERRORS[refusal].retry):
                    yield f"{tip_id} was never answered ({refusal})"

    def _consumer_problems(self) -> Iterator[str]:
        tips = self.database.books.tips
        for consumer, undone in self.database.undone.items():
            yield from (f"{consumer} has not done {tip_id}" for tip_id in undone)
        for tip_id in {*self.database.points, *(each.tip_id for each in self.database.audit)}:
            if tip_id not in tips:
                yield f"{tip_id} reached a consumer and is not settled"
        for tip_id, (_, event, _) in tips.items():
            if self.database.points.get(tip_id) != event.item.bonus_points:
                yield f"loyalty has not credited {tip_id} as it should"
        for each in self.database.audit:
            if each.tip_id in tips and each.event_id != tips[each.tip_id][1].event_id:
                yield f"{each.tip_id} has more than one event"

    def _toy_problems(self) -> Iterator[str]:
        # After a commit whose answer was lost the same records are written again.
        distinct = {msgspec.msgpack.encode(each): each for each in self.database.audit}.values()
        finals = Counter(
            (each.tip_id, each.target_type, each.target_id, each.requeue)
            for each in distinct
            if each.state in FINAL_STATES
        )
        yield from (f"{key} has {n} final states" for key, n in finals.items() if n != 1)
        for tip_id, (_, event, _) in self.database.books.tips.items():
            ended = sum(key[0] == tip_id and key[3] == 0 for key in finals)
            if ended != max(1, len(event.routing.targets)):
                yield f"{tip_id} has {ended} final targets of {len(event.routing.targets)}"
        for _, requeued in self.database.decisions.values():
            tip_id, number = requeued.event.tip_id, requeued.number
            if (tip_id, requeued.target_type, requeued.target_id, number) not in finals:
                yield f"{tip_id} was requeued and has not ended"
        for page in self.models:
            yield from (f"{page.user_id}'s toy: {each} overlaps" for each in page.toy.overlaps)


async def _then_cancel(event: trio.Event, nursery: trio.Nursery) -> None:
    await event.wait()
    nursery.cancel_scope.cancel()


@contextmanager
def deterministic_scheduler(seed: int) -> Iterator[None]:
    """trio runs what is ready in random order, on purpose, and documents no way to seed that.
    This is what pytest-trio does for hypothesis: two private names of trio, in this one place.
    Should they go, runs are still valid, but a seed no longer repeats one exactly."""
    run = trio._core._run  # type: ignore[attr-defined]
    before, state = run._ALLOW_DETERMINISTIC_SCHEDULING, run._r.getstate()
    run._ALLOW_DETERMINISTIC_SCHEDULING = True
    run._r.seed(seed)
    try:
        yield
    finally:
        run._ALLOW_DETERMINISTIC_SCHEDULING = before
        run._r.setstate(state)
