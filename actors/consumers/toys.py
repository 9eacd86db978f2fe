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


class ToyConsumer:
    """Implements actors.ledger.Consumer. The room marks the event done when its last target is
    final, so whatever is lost on the way comes again by the relay."""

    name: Final = "room"

    def __init__(self, rooms: RoomRegistry, nursery: trio.Nursery) -> None:
        self._rooms = rooms
        self._nursery = nursery
        self._log = structlog.get_logger("tiproom.consumers.room")

    def hand(self, event: TipActivated) -> None:
        room = self._rooms.awake(event.room.room_id)
        if room is None:
            self._nursery.start_soon(self._wake, event)
            return
        try:
            room.tell(Activate(event))
        except (MailboxFull, MailboxClosed):
            self._log.warning("left_to_relay", tip_id=event.tip_id)

    async def _wake(self, event: TipActivated) -> None:
        """A room that sleeps finds the event itself when it comes up: it is pending there."""
        try:
            room = await self._rooms.open(event.room.room_id)
            room.tell(Activate(event))
        except (Refused, StoreUnavailable, MailboxFull, MailboxClosed):
            self._log.warning("left_to_relay", tip_id=event.tip_id)
