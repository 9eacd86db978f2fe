"""Builders: a room driven step by step on a clock of its own, with its members and its ledger."""

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from actors.ports import Broadcast, DevicesSeen, Requeued, RoomRecord, ViewerRecord
from actors.room import room
from actors.room.effects import (
    Admit,
    Answer,
    Close,
    Effect,
    PostTransfer,
    Publish,
    PutAway,
    ReportDevices,
    Send,
    SendToModel,
    StoreBroadcast,
    StorePreferences,
    StoreRequeue,
    WriteAudit,
)
from actors.room.messages import (
    Activate,
    Join,
    Leave,
    MemberFrame,
    RoomMessage,
    TransferAnswered,
    _BroadcastStored,
    _Due,
    _PreferencesStored,
    _RequeueStored,
)
from actors.room.state import Context
from actors.runtime.moment import Chance, Moment
from actors.target_step import record_of
from actors.transfers import NewHold, Settled, Settlement
from protocol import frames
from protocol.audit import FINAL_STATES, Reason, TargetRecord, TargetState, ToyTestRecord
from protocol.errors import CloseCode
from protocol.gating import Preferences
from protocol.lovense import ReportedSettings, ReportedToy
from protocol.tip_activated import LovenseMode, MembershipTier, TipActivated, ViewerSyncMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import ModelSettings, PlatformSettings
from tests.actors.ports import STARTED_AT_UTC, Books

ROOM, MODEL, BROADCAST = "room-1", "model-1", "broadcast-1"
MODEL_PAGE = 1
"""Session of the model's first page."""
TOY = ReportedToy(id="toy", status="1")
NO_TOY = ReportedToy(id="toy", status=0)
LEVELS = ReportedSettings(
    levels={"level1": {"min": 1, "max": 99_999, "time": 5, "vLevel": 10}},
    special={"clear": {"enable": True, "token": 7}},
)
LEVELS_WITHOUT_CLEAR = ReportedSettings(levels=LEVELS.levels)
FREE, GOLD = MembershipTier.FREE, MembershipTier.VIP_GOLD
PLAY_S = 5.0
"""How long one command plays by `LEVELS`."""

T = TypeVar("T")


def record(
    *,
    sync: ViewerSyncMode = ViewerSyncMode.OFF,
    live: bool = True,
    mode: LovenseMode = LovenseMode.EXTENSION,
    menu: tuple[TipMenuRow, ...] = (),
    room_id: str = ROOM,
    model_id: str = MODEL,
    **platform: Any,
) -> RoomRecord:
    """A room as the database has it; `platform`: settings that differ from the demo's."""
    return RoomRecord(
        room_id=room_id,
        model_id=model_id,
        model_display_name="Mia",
        broadcast=Broadcast(BROADCAST, mode) if live else None,
        model_settings=ModelSettings(viewer_sync_mode=sync, lovense_mode=mode),
        platform_settings=PlatformSettings(**{"enable_lovense": True, **platform}),
        tip_menu=menu,
        pending=(),
    )


def model_join(
    session_id: int = MODEL_PAGE,
    *,
    ref: int | None = 1,
    page_id: str | None = "page-1",
    user_id: str = MODEL,
    integration: LovenseMode | None = LovenseMode.EXTENSION,
    resume: frames.Resume | None = None,
) -> Join:
    viewer = ViewerRecord(Preferences(), None)
    return Join(
        session_id, ref, user_id, "Mia", True, FREE, viewer, integration, resume, page_id=page_id
    )


def viewer_join(
    session_id: int,
    user_id: str,
    *,
    ref: int | None = 1,
    tier: MembershipTier = FREE,
    preferences: Preferences | None = None,
    balance: int | None = 1_000,
    resume: frames.Resume | None = None,
    is_moderator: bool = False,
) -> Join:
    viewer = ViewerRecord(preferences or Preferences(), balance)
    return Join(
        session_id,
        ref,
        user_id,
        user_id.title(),
        False,
        tier,
        viewer,
        None,
        resume,
        is_moderator=is_moderator,
    )


class Inbox:
    """Where an answer over HTTP arrives."""

    def __init__(self) -> None:
        self.answers: list[Any] = []

    def answer(self, result: Any) -> None:
        self.answers.append(result)

    @property
    def only(self) -> Any:
        [answer] = self.answers
        return answer


class SteppedRoom:
    """A room without an actor: `tell` it something, let time `pass_s`, look at what came of it.

    Settlements and stores are answered at once, unless `holds_answers`; then they wait in
    `settlements` and `stores`. Every audit record is kept, and every frame by session.
    """

    def __init__(
        self, start: RoomRecord | None = None, *, seed: int = 1, at_s: float = 1_000.0
    ) -> None:
        self.record = start or record()
        self.at_s = at_s
        self.origin_s = at_s
        self.chance = Chance(random.Random(seed))
        self.books = Books(defaultdict(int))
        self.holds_answers = False
        self.settlements: list[PostTransfer] = []
        """All that were asked for."""
        self.held: list[PostTransfer] = []
        """Those that the ledger has yet to answer."""
        self.stores: list[StoreBroadcast | StorePreferences | StoreRequeue] = []
        self.sent: list[tuple[int, object]] = []
        self.published: list[frames.RoomEvent] = []
        self.audit: list[TargetRecord] = []
        self.toy_tests: list[ToyTestRecord] = []
        self.devices_seen: list[DevicesSeen] = []
        self.finished: list[str] = []
        self.closed: dict[int, CloseCode] = {}
        self.admitted: list[int] = []
        self.put_away = False
        self._next_ref = 100
        self.state = room.new_state(self.record, self.ctx, 50, 10)
        self.carry_out(room.restore(self.state, self.record, self.ctx))

    # ---- time ----

    @property
    def utc(self) -> datetime:
        return STARTED_AT_UTC + timedelta(seconds=self.at_s - self.origin_s)

    @property
    def ctx(self) -> Context:
        return Context(Moment(self.at_s, self.utc), self.chance)

    def pass_s(self, seconds: float) -> None:
        """Let time pass as the actor does: a step at each moment that the room asked for."""
        until_s = self.at_s + seconds
        idle_steps = 0
        while (due_s := room.next_due_s(self.state, self.ctx)) <= until_s:
            idle_steps = idle_steps + 1 if due_s <= self.at_s else 0
            assert idle_steps < 8, "the room asks for steps that bring it no further"
            self.at_s = max(self.at_s, due_s)
            self.tell(_Due())
            if self.put_away:
                break
        self.at_s = max(self.at_s, until_s)

    # ---- messages ----

    def tell(self, message: RoomMessage) -> list[Effect]:
        effects = room.step(self.state, message, self.ctx)
        self.carry_out(effects)
        return effects

    def ask(self, session_id: int, kind: type[frames._Client], **fields: Any) -> Any:
        """One frame of a member; its answer, a result or an Error. None: no answer yet."""
        self._next_ref += 1
        ref = self._next_ref
        self.tell(MemberFrame(session_id, kind(ref=ref, **fields)))
        return self.answer_to(session_id, ref)

    def answer_to(self, session_id: int, ref: int | None) -> Any:
        answers = [
            frame
            for frame in self.frames_to(session_id)
            if isinstance(frame, frames.Ok | frames.Error) and frame.ref == ref
        ]
        assert len(answers) <= 1, "one answer for each question"
        for each in answers:
            return each.result if isinstance(each, frames.Ok) else each
        return None

    def carry_out(self, effects: Iterable[Effect]) -> None:
        follow: list[RoomMessage] = []
        for effect in effects:
            match effect:
                case Send(session_id, frame) | SendToModel(session_id, frame):
                    self.sent.append((session_id, frame))
                case Publish(event):
                    self.published.append(event)
                case WriteAudit(entries, finished):
                    records = [record_of(each, self.chance) for each in entries]
                    self.audit += [each for each in records if isinstance(each, TargetRecord)]
                    self.toy_tests += [e for e in records if isinstance(e, ToyTestRecord)]
                    self.finished += finished
                case Close(session_id, code):
                    self.closed[session_id] = code
                case Admit(session_id):
                    self.admitted.append(session_id)
                case Answer(reply_to, result):
                    reply_to.answer(result)
                case PutAway():
                    self.put_away = True
                case PostTransfer():
                    self.settlements.append(effect)
                    if self.holds_answers:
                        self.held.append(effect)
                    else:
                        follow += self.settle(effect)
                case StoreBroadcast() | StorePreferences():
                    self.stores.append(effect)
                    if not self.holds_answers:
                        follow.append(stored(effect))
                case ReportDevices(seen):
                    self.devices_seen.append(seen)
                case StoreRequeue():
                    self.stores.append(effect)
                    if not self.holds_answers:
                        follow.append(self.requeue_stored(effect))
        for message in follow:
            self.tell(message)

    def settle_held(self, effect: PostTransfer) -> None:
        self.held.remove(effect)
        for message in self.settle(effect):
            self.tell(message)

    def settle(self, effect: PostTransfer) -> list[RoomMessage]:
        """What the ledger says: to the asker, and, where it settled, to the consumer."""
        request = effect.transfer
        assert isinstance(request, Settlement | NewHold)
        if request.unless_known is None:
            self.books.balances.setdefault(effect.user_id, 1_000_000)
        outcome = self.books.post(request)
        told: list[RoomMessage] = [TransferAnswered(effect.user_id, effect.asker, outcome)]
        if isinstance(outcome, Settled) and outcome.first:
            assert isinstance(request, Settlement)
            assert request.event is not None
            told.append(Activate(request.event))
        return told

    def requeue_stored(self, effect: StoreRequeue) -> _RequeueStored:
        """What the database says to a first decision on a letter."""
        [dead] = [each for each in self.audit if each.record_id == effect.letter_id]
        requeued = Requeued(
            letter_id=dead.record_id,
            event=self.books.tips[dead.tip_id][1],
            target_type=dead.target_type,
            target_id=dead.target_id,
            number=dead.requeue + 1,
            requeued_at_utc=self.utc,
        )
        return _RequeueStored(effect.asker, effect.letter_id, requeued, None)

    # ---- members ----

    def join_model(self, *, ready: bool = True, session_id: int = MODEL_PAGE, **join: Any) -> int:
        self.tell(model_join(session_id, **join))
        if ready:
            self.ask(session_id, frames.ReportSettings, settings=LEVELS)
            self.ask(session_id, frames.ReportToys, toys=(TOY,))
        return session_id

    def join_viewer(self, session_id: int, user_id: str, *, toy: bool = False, **join: Any) -> int:
        self.tell(viewer_join(session_id, user_id, **join))
        if toy:
            self.ask(session_id, frames.ReportToys, toys=(TOY,))
        return session_id

    def leave(self, session_id: int) -> None:
        self.tell(Leave(session_id))

    def tip(self, session_id: int, tip_id: str, amount: int = 50, **fields: Any) -> Any:
        fields.setdefault("broadcast_id", BROADCAST)
        return self.ask(session_id, frames.Tip, tip_id=tip_id, amount=amount, **fields)

    def activated(self, session_id: int, command: frames.Command) -> None:
        self.tell(MemberFrame(session_id, frames.CommandActivated(command.command_id)))

    def accepted(self, session_id: int, command: frames.Command) -> None:
        self.tell(MemberFrame(session_id, frames.CommandAccepted(command.command_id)))

    def failed(self, session_id: int, command: frames.Command, code: str = "broken") -> None:
        self.tell(MemberFrame(session_id, frames.CommandFailed(command.command_id, code)))

    # ---- what came of it ----

    def frames_to(self, session_id: int, kind: type[T] = object) -> list[T]:  # type: ignore[assignment]
        return [f for to, f in self.sent if to == session_id and isinstance(f, kind)]

    def commands(self, session_id: int) -> list[frames.Command]:
        return self.frames_to(session_id, frames.Command)

    def states(self, tip_id: str, target_id: str | None = None) -> list[TargetState]:
        """The audited life of a tip's target (of all, where none is named)."""
        return [
            each.state
            for each in self.audit
            if each.tip_id == tip_id and target_id in (None, each.target_id)
        ]

    def final(self, tip_id: str, target_id: str = MODEL) -> tuple[TargetState, Reason | None]:
        """The one final state of a target."""
        [state] = [
            (each.state, each.reason)
            for each in self.audit
            if (each.tip_id, each.target_id) == (tip_id, target_id) and each.state in FINAL_STATES
        ]
        return state

    def dead(self, tip_id: str, target_id: str = MODEL) -> TargetRecord:
        """The last of its records that says DEAD."""
        return [
            each
            for each in self.audit
            if (each.tip_id, each.target_id, each.state) == (tip_id, target_id, TargetState.DEAD)
        ][-1]

    def is_final(self, tip_id: str, target_id: str = MODEL) -> bool:
        return any(state in FINAL_STATES for state in self.states(tip_id, target_id))


def stored(effect: StoreBroadcast | StorePreferences) -> RoomMessage:
    """The database has done it."""
    if isinstance(effect, StorePreferences):
        return _PreferencesStored(effect.asker, effect.user_id, effect.preferences, None)
    return _BroadcastStored(effect.asker, effect.broadcast if effect.starts else None, None)


def events(stepped: SteppedRoom) -> list[TipActivated]:
    """What the ledger has emitted, oldest first."""
    return [event for _, event, _ in stepped.books.tips.values()]
