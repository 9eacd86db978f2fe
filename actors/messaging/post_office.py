"""Post office: a postbox for each room and each model, brought up when it gets something; who has
connected; and what was left behind by a crash, a full mailbox or a database that was away.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec
import structlog
import trio

from actors.messaging.frames import mood_frame
from actors.messaging.message_log import MessageLog
from actors.messaging.ports import Message, MessageChange, MessageStore, RoomMood
from actors.messaging.postbox import Command, SetMoodEnd, Take
from actors.messaging.postbox_actor import Handled, PostboxActor
from actors.ports import StoreUnavailable
from actors.room.messages import PublishEvent
from actors.room.registry import RoomRegistry
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from actors.runtime.moment import Chance
from protocol.mood_messages import MessageState

SWEEP_INTERVAL_S: Final = 15.0
OVERDUE_S: Final = 15.0
"""What is pending for so much longer than it should be has been left behind."""
SWEEP_MAX: Final = 1_000
ARRIVALS_PER_LOOK_MAX: Final = 500
ARRIVALS_RETRY_S: Final = 1.0


class PostOfficeStatistics(msgspec.Struct, frozen=True, rename="camel"):
    postboxes: int
    waiting: int
    """Messages in postboxes; those of absent recipients wait in the database."""
    unwritten: int
    """Changes that the database does not have yet."""


class PostOffice:
    """Implements actors.ports.MemberMail. Run it in a nursery of the application."""

    def __init__(
        self, store: MessageStore, rooms: RoomRegistry, log: MessageLog, chance: Chance
    ) -> None:
        self._store = store
        self._rooms = rooms
        self._messages = log
        self._chance = chance
        self._handled = Handled()
        self._postboxes: dict[str, PostboxActor] = {}
        self._nursery: trio.Nursery | None = None
        self._arrivals: dict[str, None] = {}
        """Who has connected, and nobody has looked yet; in order."""
        self._arrived = trio.Event()
        self._everything = True
        """The next sweep takes what is not due yet, too: this process, or a postbox, is new."""
        self._sweep = trio.Event()
        self._log = structlog.get_logger("tiproom.messaging")

    def statistics(self) -> PostOfficeStatistics:
        waiting = sum(postbox.waiting for postbox in self._postboxes.values())
        return PostOfficeStatistics(len(self._postboxes), waiting, self._messages.waiting)

    # ---- for others ----

    def post(self, messages: Iterable[Message]) -> None:
        """Each to its postbox. Never waits, never fails: what cannot be taken now is found by the
        sweep."""
        by_key: dict[str, list[Message]] = {}
        for message in messages:
            by_key.setdefault(_key(message), []).append(message)
        for key, some in by_key.items():
            self._tell(key, Take(tuple(some)))

    def look_again(self) -> None:
        """Something may be stored that nobody has posted: take up all that is unsent."""
        self._everything = True
        self._sweep.set()

    def mood_set(self, mood: RoomMood) -> None:
        """Tell the room, and it again when the mood has expired."""
        room = self._rooms.awake(mood.room_id)
        if room is not None:
            try:
                room.tell(PublishEvent(mood_frame(mood)))
            except (MailboxFull, MailboxClosed):
                self._log.warning("mood_not_told", room_id=mood.room_id)
        self._time_mood(mood)

    def connected(self, user_id: str) -> None:
        self._arrivals[user_id] = None
        self._arrived.set()

    def delivered(self, user_id: str, message_id: str) -> None:
        self._receipt(user_id, message_id, MessageState.DELIVERED)

    def read(self, user_id: str, message_id: str) -> None:
        self._receipt(user_id, message_id, MessageState.READ)

    def _receipt(self, user_id: str, message_id: str, state: MessageState) -> None:
        try:
            known = UUID(message_id)
        except ValueError:
            return  # no id of a message
        now = self._chance.now()
        self._messages.write(MessageChange(known, state, now.utc, user_id))

    # ---- postboxes ----

    def _tell(self, key: str, command: Command) -> None:
        postbox = self._postboxes.get(key)
        if postbox is None or postbox.mailbox.closed:
            if self._nursery is None:  # not running: the first sweep finds it
                return
            postbox = self._postboxes[key] = PostboxActor(
                key, self._rooms, self._messages, self._handled, self._chance, self._nursery
            )
            self._nursery.start_soon(self._run_postbox, postbox)
        try:
            postbox.tell(command)
        except MailboxFull:
            self._log.warning("left_to_sweep", postbox=key)

    async def _run_postbox(self, postbox: PostboxActor) -> None:
        try:
            await postbox.run()
        except Exception:
            # A fault of ours, and this postbox's alone: what it had is taken up anew.
            self._log.exception("postbox_crashed", postbox=postbox.key)
            self.look_again()
        finally:
            if self._postboxes.get(postbox.key) is postbox:
                del self._postboxes[postbox.key]

    def _time_mood(self, mood: RoomMood) -> None:
        now = self._chance.now()
        ends_at_s = None
        if mood.expires_at is not None:
            ends_at_s = now.clock_s + (mood.expires_at - now.utc).total_seconds()
        self._tell(f"room:{mood.room_id}", SetMoodEnd(ends_at_s))

    # ---- life ----

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._look_for_arrivals)
            self._nursery.start_soon(self._sweep_often)
            task_status.started()

    async def _look_for_arrivals(self) -> None:
        """One question for all who have come since the last."""
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            while self._arrivals:
                users = list(self._arrivals)[:ARRIVALS_PER_LOOK_MAX]
                for user_id in users:
                    del self._arrivals[user_id]
                try:
                    self.post(await self._store.load_waiting(users, self._chance.now().utc))
                except StoreUnavailable:
                    self._log.warning("arrivals_wait", users=len(users) + len(self._arrivals))
                    self._arrivals = {**dict.fromkeys(users), **self._arrivals}
                    await trio.sleep(ARRIVALS_RETRY_S)
                except Exception:
                    self._log.exception("arrivals_missed", users=len(users))  # a fault of ours

    async def _sweep_often(self) -> None:
        while True:
            self._sweep = trio.Event()
            everything, self._everything = self._everything, False
            try:
                await self._sweep_once(everything)
            except StoreUnavailable:
                self._log.warning("sweep_waits")
                self._everything = self._everything or everything
            except Exception:
                self._log.exception("sweep_failed")
                self._everything = self._everything or everything
            with trio.move_on_after(SWEEP_INTERVAL_S):
                await self._sweep.wait()

    async def _sweep_once(self, everything: bool) -> None:
        if everything:
            for mood in await self._store.load_running_moods():
                self._time_mood(mood)
        self.post(await self._store.load_unsent(None if everything else OVERDUE_S, SWEEP_MAX))
        expired = await self._store.expire_waiting()
        if expired:
            self._log.info("messages_expired", messages=expired)


def _key(message: Message) -> str:
    if message.room_id is not None:
        return f"room:{message.room_id}"
    return "system" if message.model_id is None else f"model:{message.model_id}"
