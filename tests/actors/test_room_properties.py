"""What holds in every room, whatever its members do and in which order.

`CheckedRoom` looks at the room from outside after each single step: at the frames, the audit and
the books. How long the model's toy is taken is worked out here anew, from the frames alone.
"""

from collections import Counter, defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.ports import PendingActivation, Requeued
from actors.room import room as rules
from actors.room.activation_queue import ActivationQueue, activation_key
from actors.room.effects import Effect, StoreRequeue
from actors.room.messages import (
    Activate,
    Join,
    Leave,
    PlatformSettingsChanged,
    RequeueByRequest,
    RoomMessage,
    _RequeueStored,
)
from protocol import frames
from protocol.audit import FINAL_STATES, TargetState
from protocol.errors import ErrorCode, Refusal
from protocol.gating import Preferences
from protocol.tip_activated import ViewerSyncMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import PlatformSettings, QueueMode
from protocol.vibration import level
from tests.actors.rooms import (
    BROADCAST,
    FREE,
    GOLD,
    LEVELS,
    LEVELS_WITHOUT_CLEAR,
    MODEL,
    NO_TOY,
    PLAY_S,
    TOY,
    Inbox,
    SteppedRoom,
    events,
    model_join,
    record,
    viewer_join,
)

RATE, LIMIT = 3, 3
EXPIRES_S = 5.0
"""A page may start a command this long after it was sent."""
VIEWERS = ("uid-ann", "uid-bob", "uid-zoe")
WISHES = Preferences(react_to_my_tips=True, feel_all_tips=True)
MENU = (TipMenuRow("row", 60, level(10, 5), "A row", True, 0),)
SETTINGS = PlatformSettings(enable_lovense=True, lovense_rate_limit_per_min=RATE)


class CheckedRoom(SteppedRoom):
    """Checks every step; keeps who is connected, and when the model's toy may be playing."""

    def __init__(self) -> None:
        self.joins: dict[int, Join] = {}
        self.taken_until_s = float("-inf")
        self.taken_by: str | None = None
        self.starts_s: list[float] = []
        self.started: set[str] = set()
        self.seen = 0
        self.events_seen = 0
        self.public: dict[str, set[str]] = defaultdict(set)
        self.requeued: list[Requeued] = []
        super().__init__(
            record(sync=ViewerSyncMode.VIP_ROOM_SYNC, lovense_rate_limit_per_min=RATE, menu=MENU)
        )
        self.state.queue = ActivationQueue(LIMIT)

    def tell(self, message: RoomMessage) -> list[Effect]:
        if isinstance(message, Join):
            self.joins[message.session_id] = msgspec.structs.replace(message, ref=None)
        elif isinstance(message, Leave):
            self.joins.pop(message.session_id, None)
        effects = super().tell(message)
        self.check()
        return effects

    def carry_out(self, effects: Any) -> None:
        super().carry_out(effects)
        for session_id in self.closed:
            self.joins.pop(session_id, None)

    def crash(self) -> None:
        """The actor falls and comes back; the sockets stay, and pages report again."""
        kept = rules.keep(self.state)
        pending = tuple(
            PendingActivation(event, tuple(r for r in self.audit if r.tip_id == event.tip_id))
            for event in events(self)
            if event.tip_id not in self.finished
        )
        known = msgspec.structs.replace(
            self.record,
            pending=pending,
            requeued=tuple(each for each in self.requeued if self._is_under_way(each)),
            broadcast=self.state.broadcast,
            platform_settings=self.state.platform,
        )
        self.state = rules.new_state(known, self.ctx, 50, 10)
        self.state.queue = ActivationQueue(LIMIT, known.platform_settings.lovense_queue_mode)
        self.state.tips_at_ledger = len(self.held)
        self.carry_out(rules.revive(self.state, kept, list(self.joins.values()), self.ctx))
        self.carry_out(rules.restore(self.state, known, self.ctx))
        self.check()

    def requeue_stored(self, effect: StoreRequeue) -> _RequeueStored:
        """Of two decisions on one letter the first counts."""
        if effect.letter_id in {each.letter_id for each in self.requeued}:
            decided = Refusal(ErrorCode.DEAD_LETTER_DECIDED)
            return _RequeueStored(effect.asker, effect.letter_id, None, decided)
        stored = super().requeue_stored(effect)
        assert stored.requeued is not None
        self.requeued.append(stored.requeued)
        return stored

    def _is_under_way(self, requeued: Requeued) -> bool:
        return not any(
            each.state in FINAL_STATES
            and (each.tip_id, each.target_id) == (requeued.event.tip_id, requeued.target_id)
            and each.requeue == requeued.number
            for each in self.audit
        )

    # ---- what must hold ----

    def check(self) -> None:
        new, self.seen = self.sent[self.seen :], len(self.sent)
        for session_id, frame in new:
            self._check_model_toy(session_id, frame)
            self._check_leaks(session_id, frame)
        for event in self.published[self.events_seen :]:
            self._check_secrets(event, ())
        self.events_seen = len(self.published)
        self._check_rate()
        self._check_finals()
        self._check_counts()

    def _check_model_toy(self, session_id: int, frame: object) -> None:
        join = self._join_of(session_id)
        if join is None or not join.is_model:
            assert not isinstance(frame, frames.ToyTestCommand), "a test on another's toy"
            return
        if isinstance(frame, frames.ToysStopped) and frame.call is not None:
            self.taken_until_s = self.at_s
        if not isinstance(frame, frames.Command | frames.ToyTestCommand):
            return
        overlaps = frame.command_id != self.taken_by and self.at_s < self.taken_until_s - 1e-6
        assert not overlaps, "two overlapping commands to the model's toy"
        self.taken_by = frame.command_id
        self.taken_until_s = max(self.taken_until_s, self.at_s + EXPIRES_S + PLAY_S)

    def model_activated(self, command: frames.Command | frames.ToyTestCommand) -> None:
        """The toy began at this moment, at the latest."""
        if command.command_id == self.taken_by:
            self.taken_until_s = min(self.taken_until_s, self.at_s + PLAY_S)

    def model_failed(self, command: frames.Command | frames.ToyTestCommand) -> None:
        if command.command_id == self.taken_by:
            self.taken_until_s = min(self.taken_until_s, self.at_s)

    def _check_rate(self) -> None:
        for each in self.audit:
            if each.state is TargetState.SENT and each.tip_id not in self.started:
                self.started.add(each.tip_id)
                at_s = (each.at_utc - self.origin_utc).total_seconds()
                if self.starts_s[-1:] != [at_s]:  # what starts together is one activation
                    self.starts_s.append(at_s)
        for first, last in zip(self.starts_s, self.starts_s[RATE:], strict=False):
            assert last - first >= 60 - 1e-6, "over the rate"
        assert len(self.state.queue) <= LIMIT + 1 + self.restored, "over the bound"

    @property
    def restored(self) -> int:
        """After a crash what played waits too; each crash can add one. What an admin requeues
        finds its place, too."""
        return self.crashes + len(self.requeued)

    crashes = 0

    @property
    def origin_utc(self) -> Any:
        return self.audit[0].at_utc

    def _check_finals(self) -> None:
        finals = Counter(
            (each.tip_id, each.target_id, each.target_type, each.requeue)
            for each in self.audit
            if each.state in FINAL_STATES
        )
        assert not [key for key, count in finals.items() if count > 1], "two final states"
        assert len(self.finished) == len(set(self.finished)), "finished twice"

    def _check_counts(self) -> None:
        state = self.state
        assert state.tips_at_ledger == len(self.held)
        under_way = {activation_key(r.event.tip_id, r.letter_id) for r in self.requeued}
        for tip_id, unfinished in state.unfinished.items():
            if tip_id in under_way:
                assert unfinished.targets_open == 1
                continue
            event = self.books.tips[tip_id][1]
            closed = {
                (each.target_type, each.target_id)
                for each in self.audit
                if each.tip_id == tip_id and each.state in FINAL_STATES
            }
            assert unfinished.targets_open == len(event.routing.targets) - len(closed)
            assert unfinished.targets_open > 0
        assert {each.activation.key for each in state.outstanding.values()} <= set(state.unfinished)
        assert not set(state.unfinished) & set(state.finished)
        assert state.flags == {each.user_id: each.flags() for each in state.viewers.values()}

    def _check_leaks(self, session_id: int, frame: object) -> None:
        join = self._join_of(session_id)
        if join is not None and not join.is_model:
            self._check_secrets(frame, (join.user_id,))

    def _check_secrets(self, frame: object, own: tuple[str, ...]) -> None:
        text = msgspec.json.encode(frame).decode()
        assert not [user for user in VIEWERS if user not in own and user in text], text
        for event in events(self):
            refs = (event.ledger.ledger_id, event.ledger.debit_ref, event.ledger.credit_ref)
            assert not [ref for ref in (*refs, str(event.event_id)) if ref in text], text

    def _join_of(self, session_id: int) -> Join | None:
        return self.every_join.get(session_id)

    @property
    def every_join(self) -> dict[int, Join]:
        self.__dict__.setdefault("_every_join", {}).update(self.joins)
        return self.__dict__["_every_join"]  # type: ignore[no-any-return]


# ---- operations ------------------------------------------------------------------------------

viewer = st.sampled_from(VIEWERS)
tip = st.tuples(st.just("tip"), viewer, st.sampled_from((5, 50, 60)))
passing = st.tuples(st.just("pass"), st.sampled_from((0.3, 2.0, 4.8, 5.0, 7.1, 31.0)))
answer = st.tuples(st.just("answer"), st.sampled_from(("activated", "accepted", "failed")))
plain = st.one_of(tip, passing, answer)
"""What rooms are full of; the rest comes in between."""
special = st.one_of(
    st.tuples(st.just("repeat"), viewer, st.integers(0, 5)),
    st.tuples(st.just("viewer_answer"), viewer, st.sampled_from(("activated", "failed"))),
    st.tuples(st.just("wrong_answer"), viewer),
    st.tuples(st.just("model_page"), st.sampled_from(("leave", "same", "other", "report", "bare"))),
    st.tuples(st.just("viewer_page"), viewer, st.sampled_from(("leave", "join", "toy", "no_toy"))),
    st.tuples(st.just("tier"), viewer, st.sampled_from((FREE, GOLD))),
    st.tuples(st.just("wish"), viewer, st.booleans()),
    st.tuples(st.just("try")),
    st.tuples(st.just("answer_try"), st.sampled_from(("activated", "accepted", "failed"))),
    st.tuples(st.just("requeue")),
    st.tuples(st.just("stop"), st.sampled_from(("model", *VIEWERS))),
    st.tuples(st.just("resume")),
    st.tuples(st.just("kill"), st.booleans()),
    st.tuples(st.just("mode"), st.sampled_from(QueueMode)),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("ledger"), st.booleans()),
    st.tuples(st.just("end")),
    st.tuples(st.just("start")),
    st.tuples(st.just("crash")),
    st.tuples(st.just("recover")),
)


episode = st.lists(st.one_of(plain, plain, plain, special), min_size=5, max_size=25)


METHODS = {"model_page": "model", "viewer_page": "viewer", "try": "try_row"}


class Play:
    """Carries out operations; what makes no sense at the moment does nothing."""

    def __init__(self) -> None:
        self.room = CheckedRoom()
        self.sessions = iter(range(10, 10_000))
        self.tips = 0
        self.settings = SETTINGS
        self.model_session = 0
        self._model("same")
        self._model("report")
        for user_id in VIEWERS:
            self._viewer(user_id, "join", GOLD if user_id == "uid-zoe" else FREE)
            self._viewer(user_id, "toy")

    def run(self, name: str, *args: Any) -> None:
        getattr(self, "_" + METHODS.get(name, name))(*args)

    def _session(self, user_id: str) -> int | None:
        found = self.room.state.viewers.get(user_id)
        return next(reversed(found.sessions)) if found is not None else None

    def _tip(self, user_id: str, amount: int) -> None:
        session = self._session(user_id)
        if session is not None:
            self.tips += 1
            broadcast = self.room.state.broadcast
            broadcast_id = broadcast.broadcast_id if broadcast else "gone"
            self.room.tip(session, f"tip-{self.tips}", amount, broadcast_id=broadcast_id)

    def _repeat(self, user_id: str, back: int) -> None:
        session = self._session(user_id)
        if session is not None and self.tips:
            self.room.tip(session, f"tip-{max(1, self.tips - back)}")
        if self.room.books.tips:
            for event in events(self.room)[-back - 1 :]:
                if all(each.transfer.tip_id != event.tip_id for each in self.room.held):
                    self.room.tell(Activate(event))

    def _pass(self, seconds: float) -> None:
        self.room.pass_s(seconds)

    def _answer(self, kind: str) -> None:
        page = self.room.state.model_page
        commands = self.room.commands(page.session_id) if page is not None else []
        if commands and page is not None:
            open_before = commands[-1].command_id in self.room.state.outstanding
            if open_before and kind == "activated":
                self.room.model_activated(commands[-1])
            elif open_before and kind == "failed":
                self.room.model_failed(commands[-1])
            getattr(self.room, kind)(page.session_id, commands[-1])

    def _try_row(self) -> None:
        if self.room.state.model_page is not None:
            self.room.ask(self.room.state.model_page.session_id, frames.ToyTest, row_id="row")

    def _answer_try(self, kind: str) -> None:
        page, test = self.room.state.model_page, self.room.state.toy_test
        if page is None or test is None:
            return
        tests = [each for _, each in self.room.sent if isinstance(each, frames.ToyTestCommand)]
        assert tests[-1].command_id == test.command_id
        if kind == "activated":
            self.room.model_activated(tests[-1])
        getattr(self.room, kind)(page.session_id, tests[-1])

    def _requeue(self) -> None:
        dead = [each for each in self.room.audit if each.state is TargetState.DEAD]
        if dead and not self.room.holds_answers:
            letter = dead[len(self.room.requeued) % len(dead)].record_id
            self.room.tell(RequeueByRequest(Inbox(), letter, BROADCAST, "boss", "again"))

    def _viewer_answer(self, user_id: str, kind: str) -> None:
        session = self._session(user_id)
        commands = self.room.commands(session) if session is not None else []
        if commands and session is not None:
            getattr(self.room, kind)(session, commands[-1])

    def _wrong_answer(self, user_id: str) -> None:
        session = self._session(user_id)
        for outstanding in list(self.room.state.outstanding.values()):
            if session is not None and outstanding.target.owner_id != user_id:
                written = len(self.room.audit)
                command = frames.Command(outstanding.command_id, "", 1, None, 1, 0)  # type: ignore[arg-type]
                self.room.activated(session, command)
                assert TargetState.ACTIVATED not in {e.state for e in self.room.audit[written:]}

    def _model(self, what: str) -> None:
        page = self.room.state.model_page
        if what in ("same", "other"):
            session = next(self.sessions)
            page_id = "page-1" if what == "same" else "page-2"
            self.room.tell(model_join(session, page_id=page_id))
        elif page is not None and what == "leave":
            self.room.leave(page.session_id)
        elif page is not None:
            levels = LEVELS if what == "report" else LEVELS_WITHOUT_CLEAR
            self.room.ask(page.session_id, frames.ReportSettings, settings=levels)
            self.room.ask(page.session_id, frames.ReportToys, toys=(TOY,))

    def _viewer(self, user_id: str, what: str, tier: Any = FREE) -> None:
        session = self._session(user_id)
        if what == "join":
            join = viewer_join(next(self.sessions), user_id, tier=tier, preferences=WISHES)
            self.room.tell(msgspec.structs.replace(join, username=user_id[4:]))
        elif session is not None and what == "leave":
            self.room.leave(session)
        elif session is not None:
            toys = (TOY,) if what == "toy" else (NO_TOY,)
            self.room.ask(session, frames.ReportToys, toys=toys)

    def _tier(self, user_id: str, tier: Any) -> None:
        self._viewer(user_id, "join", tier)

    def _wish(self, user_id: str, wanted: bool) -> None:
        session = self._session(user_id)
        if session is not None and not self.room.holds_answers:
            self.room.ask(session, frames.SetPreferences, react_to_my_tips=wanted)

    def _stop(self, who: str) -> None:
        page = self.room.state.model_page
        session = self._session(who) if who != "model" else page and page.session_id
        if session is not None:
            self.room.ask(session, frames.StopToys)

    def _resume(self) -> None:
        if self.room.state.model_page is not None:
            self.room.ask(self.room.state.model_page.session_id, frames.ResumeToys)

    def _kill(self, on: bool) -> None:
        self._change(enable_lovense=not on)

    def _mode(self, mode: QueueMode) -> None:
        self._change(lovense_queue_mode=mode)

    def _change(self, **settings: Any) -> None:
        self.settings = msgspec.structs.replace(self.settings, **settings)
        self.room.tell(PlatformSettingsChanged(self.settings))

    def _hold(self, held: bool) -> None:
        self.room.holds_answers = held

    def _ledger(self, newest_first: bool) -> None:
        waiting = list(self.room.held)
        for effect in reversed(waiting) if newest_first else waiting:
            self.room.settle_held(effect)

    def _end(self) -> None:
        if self.room.state.model_page is not None and not self.room.holds_answers:
            self.room.ask(self.room.state.model_page.session_id, frames.EndBroadcast)

    def _start(self) -> None:
        page = self.room.state.model_page
        if page is not None and not self.room.holds_answers:
            self.room.ask(page.session_id, frames.StartBroadcast, lovense_mode=page.integration)

    def _crash(self) -> None:
        self.room.crashes += 1
        self.room.crash()

    def recover(self) -> None:
        """Everything is as it should be again: else most of a long run would pass in a room that
        is paused, dark or empty."""
        self._hold(False)
        self._ledger(False)
        self._kill(False)
        if self.room.state.model_page is None:
            self._model("same")
        self._model("report")
        self._resume()
        if self.room.state.broadcast is None:
            self._start()
        for user_id in VIEWERS:
            if self._session(user_id) is None:
                self._viewer(user_id, "join", GOLD if user_id == "uid-zoe" else FREE)
            self._viewer(user_id, "toy")

    _recover = recover

    def rest(self) -> None:
        """Everyone leaves; whatever can still happen happens."""
        self._hold(False)
        self._ledger(False)
        for session_id in list(self.room.joins):
            self.room.leave(session_id)
        self.room.pass_s(700)


@pytest.mark.slow  # many random rooms, each checked after every step
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
@given(st.lists(episode, min_size=1, max_size=8))
def test_every_room_keeps_its_promises(episodes: list[list[tuple[Any, ...]]]) -> None:
    play = Play()
    for operations in episodes:
        for name, *args in operations:
            play.run(name, *args)
        play.recover()
    play.rest()
    room = play.room
    assert room.state.unfinished == {}
    assert room.state.outstanding == {}
    assert room.put_away
    assert sorted(room.finished) == sorted(room.books.tips)
    finals = {
        (each.tip_id, each.target_id, each.requeue)
        for each in room.audit
        if each.state in FINAL_STATES
    }
    for event in events(room):
        for target in event.routing.targets:
            assert (event.tip_id, target.owner_id, 0) in finals
    for each in room.requeued:
        assert (each.event.tip_id, each.target_id, each.number) in finals
    assert sum(amount for _, amount in room.books.entries.values()) == 0
    assert MODEL not in room.state.viewers
