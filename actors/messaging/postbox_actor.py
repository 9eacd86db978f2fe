"""Postbox actor: one task, the only one that sends the messages of one room or model; runs
`postbox.step` and carries out its effects.

It waits in one place only. Rooms answer into its mailbox. A crash forgets: the post office brings
it up anew with what the database has, and knows what was handed to a room before.
"""

from collections.abc import Iterable
from typing import Final, assert_never
from uuid import UUID

import structlog
import trio

from actors.messaging.frames import NEUTRAL_AGAIN, private_frame, public_frame
from actors.messaging.message_log import MessageLog
from actors.messaging.ports import Message, MessageChange
from actors.messaging.postbox import (
    Answered,
    Command,
    Effect,
    EndMood,
    Hand,
    PostboxState,
    Record,
    Take,
    _Due,
    next_due_s,
    step,
)
from actors.ports import StoreUnavailable
from actors.room.actor import RoomActor
from actors.room.messages import PublishEvent, SendToUser
from actors.room.registry import RoomRegistry
from actors.runtime.mailbox import Mailbox, MailboxClosed, MailboxFull
from actors.runtime.moment import Chance
from protocol.errors import Refusal, Refused
from protocol.frames import ReceiptWanted
from protocol.mood_messages import MessageState

MAILBOX_LIMIT: Final = 10_000
IDLE_S: Final = 60.0
"""A postbox with nothing in it is put away after this long."""
HANDLED_MAX: Final = 50_000


class Handled:
    """What this process has handed to rooms, across the lives of all postboxes: so that nothing is
    sent twice because a postbox crashed, or because the database was asked before it knew."""

    def __init__(self) -> None:
        self.under_way: set[UUID] = set()
        """A room has it, and has not answered."""
        self._sent: dict[int, None] = {}
        """The last ones, as numbers, oldest first: 5 MB at most, and half of what UUIDs take."""

    def sent(self, message_id: UUID) -> None:
        self._sent[message_id.int] = None
        if len(self._sent) > HANDLED_MAX:
            del self._sent[next(iter(self._sent))]

    def is_new(self, message_id: UUID) -> bool:
        return message_id.int not in self._sent and message_id not in self.under_way


class PostboxActor:
    """`tell` it something; `run` it until it is put away. Raises what its step raises."""

    def __init__(
        self,
        key: str,
        rooms: RoomRegistry,
        log: MessageLog,
        handled: Handled,
        chance: Chance,
        beside: trio.Nursery,
    ) -> None:
        """`key`: `room:{roomId}`, `model:{modelId}` or `system`. `beside`: outlives a crash, so
        that what was asked of a room is answered all the same."""
        self.key = key
        self.mailbox: Mailbox[Command] = Mailbox(MAILBOX_LIMIT)
        self._rooms = rooms
        self._messages = log
        self._handled = handled
        self._chance = chance
        self._beside = beside
        self._state = PostboxState()
        self._log = structlog.get_logger("tiproom.messaging.postbox").bind(postbox=key)

    def tell(self, command: Command) -> None:
        """Raises MailboxFull, MailboxClosed."""
        self.mailbox.put(command)

    @property
    def waiting(self) -> int:
        return len(self._state.waiting)

    async def run(self) -> None:
        """Until it is put away."""
        try:
            while not self.mailbox.closed:
                await self._turn()
        finally:
            self.mailbox.close()

    async def _turn(self) -> None:
        state = self._state
        deadline_s = min(next_due_s(state), trio.current_time() + IDLE_S)
        command = await self.mailbox.get(deadline_s)
        if command is None and state.empty and len(self.mailbox) == 0:
            self.mailbox.close()
            return
        if isinstance(command, Take):
            command = Take(
                tuple(
                    each
                    for each in command.messages
                    if each.message_id in state.waiting or self._handled.is_new(each.message_id)
                )
            )
        self._carry_out(step(state, command or _Due(), self._chance.now()))

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Hand(message):
                    self._handled.under_way.add(message.message_id)
                    if message.room_id is not None:
                        self._publish(message, message.room_id)
                    else:
                        self._send(message)
                case Record(change):
                    self._messages.write(change)
                case EndMood():
                    self._end_mood()
                case _:
                    assert_never(effect)

    # ---- public ----

    def _publish(self, message: Message, room_id: str) -> None:
        room = self._rooms.awake(room_id)
        if room is None:
            self._beside.start_soon(self._publish_asleep, message, room_id)
        else:
            self._publish_in(room, message)

    async def _publish_asleep(self, message: Message, room_id: str) -> None:
        try:
            room = await self._rooms.open(room_id)
        except (Refused, StoreUnavailable):
            self.answered(message, Answered(message.message_id, 0, failed=True))
        else:
            self._publish_in(room, message)

    def _publish_in(self, room: RoomActor, message: Message) -> None:
        reply = _Reply(self, message, 1)
        try:
            room.tell(SendToUser(message.recipient_id, ReceiptWanted(str(message.message_id))))
            room.tell(PublishEvent(public_frame(message), reply))
        except (MailboxFull, MailboxClosed):
            reply.answer(None, failed=True)

    # ---- private ----

    def _send(self, message: Message) -> None:
        """To all rooms where he is or is about to be, for he may have several open."""
        found = self._rooms.whereabouts.rooms_of(message.recipient_id)
        reply = _Reply(self, message, len(found))
        if not found:
            self.answered(message, Answered(message.message_id, 0))
        frame = private_frame(message)
        for room in found:
            try:
                room.tell(SendToUser(message.recipient_id, frame, reply))
            except (MailboxFull, MailboxClosed):
                reply.answer(None, failed=True)

    def answered(self, message: Message, answer: Answered) -> None:
        """All rooms that were asked have answered."""
        self._handled.under_way.discard(message.message_id)
        if answer.sockets:
            self._handled.sent(message.message_id)
        try:
            self.mailbox.put_always(answer)
        except MailboxClosed:  # it has crashed: what was sent is written down all the same
            if answer.sockets:
                now = self._chance.now()
                self._messages.write(
                    MessageChange(message.message_id, MessageState.SENT, now.utc, attempts=1)
                )

    # ---- the room's mood ----

    def _end_mood(self) -> None:
        room = self._rooms.awake(self.key.removeprefix("room:"))
        if room is None:  # nobody is there to see it
            return
        try:
            room.tell(PublishEvent(NEUTRAL_AGAIN))
        except (MailboxFull, MailboxClosed):
            self._log.warning("mood_not_told")


class _Reply:
    """Gathers what the rooms answer for one message."""

    def __init__(self, postbox: PostboxActor, message: Message, rooms: int) -> None:
        self._postbox = postbox
        self._message = message
        self._open = rooms
        self._sockets = 0
        self._failed = False

    def answer(self, result: object, *, failed: bool = False) -> None:
        """`result`: a room's count of sockets; None of a public one, which then counts as one."""
        self._failed = self._failed or failed or isinstance(result, Refusal)
        if isinstance(result, int):
            self._sockets += result
        elif not failed and result is None:
            self._sockets += 1
        self._open -= 1
        if self._open == 0:
            answer = Answered(self._message.message_id, self._sockets, self._failed)
            self._postbox.answered(self._message, answer)
