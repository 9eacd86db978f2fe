"""The pages of many rooms in one load client: they join, report toys, ask, and are asked to play.

What a scenario measures hangs on its `Watcher`; this only keeps the pages going.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from actors.ports import UserRecord
from bench.load import NS_PER_S, LoadClient, Member
from bench.room_setup import TokenBooth
from bench.server import BenchFailed
from protocol.codec import MSGPACK
from protocol.frames import (
    ClientFrame,
    Command,
    CommandAccepted,
    CommandActivated,
    Connect,
    Error,
    Ok,
    ReportSettings,
    ReportToys,
    ServerFrame,
    SetPreferences,
    Snapshot,
)
from protocol.lovense import ReportedSettings, ReportedToy
from protocol.tip_activated import LovenseMode
from server.auth import Role

LEVEL_S: Final = 0.02
"""How long a model's only level plays: her toy is free again as soon as it can be."""

_JOINS_AT_ONCE: Final = 64
_JOIN_TIMEOUT_S: Final = 120.0
_CONNECT_REF: Final = 1
LEVELS: Final = ReportedSettings(
    levels={"level1": {"min": 1, "max": "infinity", "time": LEVEL_S, "vLevel": 10}}
)


@dataclass(frozen=True)
class Page:
    user: UserRecord
    room_id: str
    role: Role
    feels_all_tips: bool = False
    """A viewer with a toy that plays every tip; a model's page always has one."""


class Watcher(Protocol):
    """`now_ns`: time.perf_counter_ns at the read."""

    def on_own_frame(self, number: int, frame: ServerFrame, now_ns: int, /) -> None:
        """Not an answer, nor a snapshot. A command is still to be played: `play`."""
        ...


class Pages:
    """Implements bench.load.Listener. A page's number is its place in `pages`."""

    def __init__(
        self, port: int, booth: TokenBooth, pages: Sequence[Page], watcher: Watcher
    ) -> None:
        self.client = LoadClient(port, self)
        self.refused: Counter[str] = Counter()
        """Answers that are errors, by code."""
        self.broadcasts: dict[str, str] = {}
        """By room."""
        self._pages = pages
        self._tokens = [booth.page(page.user, page.role, page.room_id) for page in pages]
        self._watcher = watcher
        self._members: dict[int, Member] = {}
        self._asked: dict[int, Callable[[int], None]] = {}
        self._last_ref = _CONNECT_REF
        self._next_to_join = 0
        self._ready = 0

    def join(self) -> None:
        """Everyone, with toys and preferences. Raises BenchFailed when somebody cannot."""
        for _ in range(_JOINS_AT_ONCE):
            self._join_next()
        if not self.wait(_JOIN_TIMEOUT_S, lambda: self._ready == len(self._pages)):
            raise BenchFailed(
                f"{self._ready} of {len(self._pages)} pages are ready: "
                f"{self.client.failures} {self.refused}"
            )

    def ask(
        self, number: int, frame_of: Callable[[int], ClientFrame], on_ok: Callable[[int], None]
    ) -> int:
        """Send what `frame_of` makes of a ref; `on_ok` gets the moment of the `ok`, an error is
        counted in `refused`. Returns the moment of sending (time.perf_counter_ns)."""
        self._last_ref += 1
        self._asked[self._last_ref] = on_ok
        return self.client.send(self._members[number], frame_of(self._last_ref))

    @property
    def unanswered(self) -> int:
        return len(self._asked)

    def play(self, number: int, command: Command) -> None:
        """As a page does whose toy reacts at once."""
        member = self._members[number]
        self.client.send(member, CommandAccepted(command.command_id))
        self.client.send(member, CommandActivated(command.command_id))

    def wait(self, seconds: float, is_done: Callable[[], bool] | None = None) -> bool:
        """Serve everyone until `is_done`: True; or for so long: False."""
        deadline_ns = time.perf_counter_ns() + int(seconds * NS_PER_S)
        return self.client.run_until(deadline_ns, is_done)

    # ---- what comes in -------------------------------------------------------------------

    def on_upgraded(self, member: Member) -> None:
        is_model = self._pages[member.number].role is Role.MODEL
        integration = LovenseMode.EXTENSION if is_model else None
        self.client.send(member, Connect(_CONNECT_REF, self._tokens[member.number], integration))

    def on_frame(self, member: Member, frame: ServerFrame, now_ns: int) -> None:
        match frame:
            case Ok(ref=ref):
                if ref != _CONNECT_REF:
                    self._asked.pop(ref)(now_ns)
            case Error(ref=ref, code=code):
                self._asked.pop(ref or 0, None)
                self.refused[code.value] += 1
            case Snapshot():
                self._on_snapshot(member, frame)
            case _:
                self._watcher.on_own_frame(member.number, frame, now_ns)

    def _on_snapshot(self, member: Member, snapshot: Snapshot) -> None:
        page, number = self._pages[member.number], member.number
        self._members[number] = member
        assert snapshot.room.broadcast_id is not None, "every room was set on air"
        self.broadcasts[page.room_id] = snapshot.room.broadcast_id
        toy = ReportedToy(id=f"t{number}", name="lush", toy_type="lush", status="on", battery=90)
        if page.role is Role.MODEL:
            self.ask(number, lambda ref: ReportSettings(ref, LEVELS), _nothing_more)
            self.ask(number, lambda ref: ReportToys(ref, (toy,)), self._on_ready)
        elif page.feels_all_tips:
            self.ask(number, lambda ref: ReportToys(ref, (toy,)), _nothing_more)
            self.ask(number, lambda ref: SetPreferences(ref, feel_all_tips=True), self._on_ready)
        else:
            self._on_ready(0)

    def _on_ready(self, _now_ns: int) -> None:
        self._ready += 1
        self._join_next()

    def _join_next(self) -> None:
        if self._next_to_join < len(self._pages):
            number = self._next_to_join
            self._next_to_join += 1
            path = f"/rooms/{self._pages[number].room_id}"
            # The first and the last of those whom a command goes to.
            self.client.connect(number, path, MSGPACK, probe=number in (0, len(self._pages) - 1))


def _nothing_more(_now_ns: int) -> None:
    """Of an answer only its coming counts."""
