"""The consumer `room`: hands each event to the actor of its room, which runs the toys."""

from typing import Final

import structlog
import trio

from actors.ports import StoreUnavailable
from actors.room.messages import Activate
from actors.room.registry import RoomRegistry
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from protocol.errors import Refused
from protocol.tip_activated import TipActivated

WAITING_MAX: Final = 1_000
"""Events that are told to a room behind its coming up."""


class ToyConsumer:
    """Implements actors.ledger.Consumer. The room marks the event done when its last target is
    final, so whatever is lost on the way comes again by the relay."""

    name: Final = "room"

    def __init__(self, rooms: RoomRegistry, nursery: trio.Nursery) -> None:
        self._rooms = rooms
        self._nursery = nursery
        self._for_sleepers: dict[str, dict[str, TipActivated]] = {}
        """By room that is being woken: events by tipId. One task a room, however many events."""
        self._delays_s: dict[str, float] = {}
        self._delayed: set[str] = set()
        self._log = structlog.get_logger("tiproom.consumers.room")

    def delay(self, tip_id: str, seconds: float) -> None:
        """Before the tip settles: its event goes to the room so long after it was handed over. Not
        kept over a crash, after which it goes at once."""
        self._delays_s[tip_id] = seconds

    def forget_delay(self, tip_id: str) -> None:
        """It does not settle."""
        self._delays_s.pop(tip_id, None)

    def hand(self, event: TipActivated) -> None:
        seconds = self._delays_s.pop(event.tip_id, None)
        if seconds is not None:
            self._delayed.add(event.tip_id)
            self._nursery.start_soon(self._hand_later, event, seconds)
        elif event.tip_id not in self._delayed:  # else it is the relay, which cannot know
            self._hand(event)

    async def _hand_later(self, event: TipActivated, seconds: float) -> None:
        await trio.sleep(seconds)
        self._delayed.remove(event.tip_id)
        self._hand(event)

    def _hand(self, event: TipActivated) -> None:
        room = self._rooms.awake(event.room.room_id)
        if room is None:
            waiting = self._for_sleepers.get(event.room.room_id)
            if waiting is None:
                waiting = self._for_sleepers[event.room.room_id] = {}
                self._nursery.start_soon(self._wake, event.room.room_id)
            if len(waiting) < WAITING_MAX:
                waiting[event.tip_id] = event
            return
        try:
            room.tell(Activate(event))
        except (MailboxFull, MailboxClosed):
            self._log.warning("left_to_relay", tip_id=event.tip_id)

    async def _wake(self, room_id: str) -> None:
        """A room that sleeps finds what is pending itself when it comes up; what was settled while
        it did is told. Whatever is lost here comes again by the relay."""
        try:
            room = await self._rooms.open(room_id)
            for event in self._for_sleepers[room_id].values():
                room.tell(Activate(event))
        except (Refused, StoreUnavailable, MailboxFull, MailboxClosed):
            self._log.warning("left_to_relay", room_id=room_id)
        finally:
            del self._for_sleepers[room_id]
