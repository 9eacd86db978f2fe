"""Mood messaging, wired: its actors, and what HTTP asks of it."""

from typing import Final

import trio

from actors.messaging.escalation import run_escalation
from actors.messaging.message_log import MessageLog
from actors.messaging.ports import RoomMood
from actors.messaging.post_office import PostOffice
from actors.messaging.template_book import TemplateBook
from actors.messaging.thanks import ThanksConsumer
from actors.messaging.writing import WritingDesk
from actors.room.registry import RoomRegistry
from actors.runtime.moment import Chance
from protocol.mood_messages import MoodDraft
from server.mood_lexicon import LexiconDetector
from server.store.store import Store

FLUSH_TIMEOUT_S: Final = 2.0


class Messaging:
    """Made in `app`. `thanks` is the ledger's consumer, `office` the sessions' mail."""

    def __init__(self, store: Store, rooms: RoomRegistry, escalation_s: float) -> None:
        chance = Chance()
        self._store = store.messages
        self._chance = chance
        self._escalation_s = escalation_s
        self._log = MessageLog(store.messages)
        self.moods = store.moods
        self.reads = store.message_reads
        self.templates = store.templates
        self.office = PostOffice(store.messages, rooms, self._log, chance)
        self.book = TemplateBook(store.messages)
        self.thanks = ThanksConsumer(store.messages, self.book, self.office, chance)
        self.desk = WritingDesk(
            store.messages, rooms, self.book, self.office, LexiconDetector(), chance
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; `drain` first, or what waits to be written is found out later."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._log.run)
            await nursery.start(self.office.run)
            await nursery.start(self.book.run)
            await nursery.start(self.thanks.run)
            await nursery.start(
                run_escalation,
                self._store,
                self.book,
                self.office,
                self._chance,
                self._escalation_s,
            )
            task_status.started()

    async def drain(self) -> None:
        """Take no more tips, and return when what was said so far is stored."""
        await self.thanks.drain()
        await self._log.flush()

    async def catch_up(self) -> None:
        """So that what is read next knows what was said so far; for a while, not for ever."""
        with trio.move_on_after(FLUSH_TIMEOUT_S):
            await self._log.flush()

    async def set_mood(self, room_id: str, draft: MoodDraft, who: str) -> RoomMood:
        """Stored, and then told to the room. Raises Refused: ROOM_UNKNOWN, RATE_LIMITED."""
        mood = await self.moods.set_mood(room_id, draft, who)
        self.office.mood_set(mood)
        return mood
