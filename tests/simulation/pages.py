"""Simulated browser pages: they answer late, never, twice, or leave and come back.

A page keeps the commandIds that it has run, as the real one does, and it knows when its toy
plays: the model's page is the witness that two commands never overlap.
"""

import random
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from actors.room.actor import RoomActor
from actors.room.messages import Join, Leave, MemberFrame
from actors.room.registry import RoomRegistry
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from protocol import frames
from protocol.errors import ErrorCode, Refused
from tests.actors.rooms import LEVELS, PLAY_S, TOY

EPSILON_S = 1e-6


class Toy:
    """When it plays; `overlaps` are commands that began while another one still ran."""

    def __init__(self, *, forgetful: bool = False) -> None:
        self.plays_until_s = float("-inf")
        self.overlaps: list[str] = []
        self._forgetful = forgetful
        self._ran: set[str] = set()

    def has_run(self, command_id: str) -> bool:
        return command_id in self._ran and not self._forgetful

    def start(self, command_id: str) -> None:
        now_s = trio.current_time()
        if now_s < self.plays_until_s - EPSILON_S:
            self.overlaps.append(command_id)
        self._ran.add(command_id)
        self.plays_until_s = now_s + PLAY_S

    def stop(self) -> None:
        self.plays_until_s = trio.current_time()

    def unknown_to_the_server(self) -> None:
        """Its process has ended, and with it the knowledge of what plays (see the module
        `world`): what begins next is no overlap that this server could have avoided."""
        self.plays_until_s = float("-inf")


class Page:
    """One member's page over all of its sockets. `rng` decides its manners."""

    def __init__(
        self,
        user_id: str,
        room_id: str,
        make_join: Callable[[int], Join],
        rng: random.Random,
        next_session: Callable[[], int],
        toy: Toy,
    ) -> None:
        self.user_id = user_id
        self.room_id = room_id
        self.toy = toy
        self.honest = False
        """Answers every command, and soon."""
        self.unheard_until_s = float("-inf")
        """Its answers are lost, while its toy runs."""
        self.connected = False
        self.session_id = 0
        self.asked: dict[str, tuple[str, int]] = {}
        """tipId -> broadcast and amount, of all tips of this page"""
        self.receipts: dict[str, frames.TipReceipt] = {}
        """tipId -> what this page was promised"""
        self.differing: list[str] = []
        """tipIds with two receipts that are not the same"""
        self.refused: dict[str, ErrorCode] = {}
        """tipId -> the last refusal"""
        self.resume: frames.Resume | None = None
        """Up to where it has all history events."""
        self.gaps: list[str] = []
        """Where the room was silent about something that this page has not got."""
        self.recovered = 0
        """Returns to a room that still had what was missed, and something was."""
        self._make_join = make_join
        self._rng = rng
        self._next_session = next_session
        self._room: RoomActor | None = None
        self._tasks: trio.Nursery
        self._ref = 0
        self._stops = 0
        self._tip_of_ref: dict[int, str] = {}

    # ---- connection --------------------------------------------------------------------------

    async def connect(
        self, rooms: RoomRegistry, tasks: trio.Nursery, register: Callable[["Page"], None]
    ) -> None:
        """Join by a new socket; a room that is down or full is left for another time."""
        self.session_id = self._next_session()
        self._tasks = tasks
        self._tip_of_ref.clear()
        register(self)
        try:
            self._room = await rooms.open(self.room_id)
            join = self._make_join(self.session_id)
            self._room.tell(msgspec.structs.replace(join, resume=self.resume))
        except (Refused, MailboxFull, MailboxClosed):
            return
        self.connected = True

    def disconnect(self) -> None:
        """The socket is gone; the toy plays on."""
        self.connected = False
        if self._room is not None:
            room, self._room = self._room, None
            if not room.mailbox.closed:
                room.tell_always(Leave(self.session_id))

    # ---- what goes out -----------------------------------------------------------------------

    def say(self, kind: type[Any], **fields: Any) -> None:
        self._ref += 1
        self._tell(kind(ref=self._ref, **fields))

    def tip(self, tip_id: str, broadcast_id: str, amount: int) -> None:
        self.asked[tip_id] = (broadcast_id, amount)
        self._tip_of_ref[self._ref + 1] = tip_id
        self.say(frames.Tip, tip_id=tip_id, broadcast_id=broadcast_id, amount=amount)

    def _tell(self, frame: Any) -> None:
        """What a full or closed room does not take is lost, as on a wire."""
        if self._room is None or not self.connected:
            return
        try:
            self._room.tell(MemberFrame(self.session_id, frame))
        except (MailboxFull, MailboxClosed):
            self.connected = False

    def report(self) -> None:
        self.say(frames.ReportToys, toys=(TOY,))

    # ---- what comes in -----------------------------------------------------------------------

    def receive(self, frame: object) -> None:
        match frame:
            case frames.Snapshot():
                self._take_snapshot(frame)
                self.report()
            case frames.TipNotice():
                self._take_event(frame)
            case frames.Command():
                self._tasks.start_soon(self._run_command, frame, self.session_id)
            case frames.ToysStopped(call):
                self._stops += 1
                if call is not None:
                    self.toy.stop()
            case frames.Ok(ref, frames.TipReceipt() as receipt):
                self._tip_of_ref.pop(ref, None)
                if self.receipts.setdefault(receipt.tip_id, receipt) != receipt:
                    self.differing.append(receipt.tip_id)
            case frames.Error(ref, code) if ref in self._tip_of_ref:
                self.refused[self._tip_of_ref.pop(ref)] = code
            case _:
                pass

    def _take_snapshot(self, snapshot: frames.Snapshot) -> None:
        if snapshot.recovered:
            self.recovered += bool(snapshot.missed)
            for event in snapshot.missed:
                self._take_event(event)
            if self.resume != frames.Resume(snapshot.epoch, snapshot.offset):
                self.gaps.append(f"recovered at {snapshot.offset}, and only {self.resume} is here")
        self.resume = frames.Resume(snapshot.epoch, snapshot.offset)

    def _take_event(self, event: frames.HistoryEvent) -> None:
        expected = None
        if self.resume is not None:
            expected = frames.Resume(self.resume.epoch, self.resume.offset + 1)
        got = frames.Resume(event.epoch, event.offset)
        if got != expected:
            self.gaps.append(f"{got} came where {expected} was due")
        self.resume = got

    async def _run_command(self, command: frames.Command, session_id: int) -> None:
        """Start the toy, late perhaps but never after the command has expired, and say so."""
        command_id, stops = command.command_id, self._stops
        expires_at_s = trio.current_time() + 5
        manner = 0.0 if self.honest else self._rng.random()
        if self.toy.has_run(command_id):
            if manner < 0.9:
                self._answer(session_id, frames.CommandActivated(command_id))
            return
        if manner > 0.93:
            return  # it never got there
        if manner > 0.85:
            self._answer(session_id, frames.CommandFailed(command_id, "toy_busy"))
            return
        self._answer(session_id, frames.CommandAccepted(command_id))
        await trio.sleep(self._rng.uniform(0.01, 0.3 if manner < 0.6 else 4.9))
        if (
            self.session_id != session_id  # reloaded: what waited is forgotten
            or self._stops != stops  # stopped: so it is then
            or self.toy.has_run(command_id)
            or trio.current_time() > expires_at_s
        ):
            return
        self.toy.start(command_id)
        if manner > 0.78:
            return  # it runs, and its answer is lost
        for _ in range(2 if manner > 0.7 else 1):
            self._answer(session_id, frames.CommandActivated(command_id))

    def _answer(self, session_id: int, frame: Any) -> None:
        unheard = not self.honest and trio.current_time() < self.unheard_until_s
        if session_id == self.session_id and not unheard:
            self._tell(frame)


class ModelPage(Page):
    """Reports her levels with her toys."""

    def report(self) -> None:
        self.say(frames.ReportSettings, settings=LEVELS)
        super().report()
