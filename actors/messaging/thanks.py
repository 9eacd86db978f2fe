"""The consumer `messaging`: one public thanks for each tip, for ever, in the room where it fell."""

from collections.abc import Sequence
from typing import Final

import structlog
import trio

from actors.messaging.compose import make_thanks
from actors.messaging.ports import Message, MessageStore
from actors.messaging.post_office import PostOffice
from actors.messaging.template_book import TemplateBook
from actors.ports import StoreUnavailable
from actors.runtime.mailbox import Mailbox, MailboxClosed, MailboxFull
from actors.runtime.moment import Chance
from protocol.mood_messages import NEUTRAL, MessageType
from protocol.tip_activated import TipActivated

MAILBOX_LIMIT: Final = 10_000
BATCH_MAX: Final = 256


class ThanksConsumer:
    """Implements actors.ledger.Consumer; an actor of its own, so that it delays nobody.

    A tip is done when its thanks is stored, in one transaction; only the thanks that were stored
    now are posted. What was stored before a crash is found by the post office's sweep.
    """

    name: Final = "messaging"

    def __init__(
        self, store: MessageStore, book: TemplateBook, office: PostOffice, chance: Chance
    ) -> None:
        self._store = store
        self._book = book
        self._office = office
        self._chance = chance
        self._mailbox: Mailbox[tuple[TipActivated, float]] = Mailbox(MAILBOX_LIMIT)
        self._ended = trio.Event()
        self._log = structlog.get_logger("tiproom.messaging.thanks")

    def hand(self, event: TipActivated) -> None:
        try:
            self._mailbox.put((event, trio.current_time()))
        except (MailboxFull, MailboxClosed):
            self._log.warning("left_to_relay", tip_id=event.tip_id)

    async def drain(self) -> None:
        """Take no more, and return when what waits is stored and `run` has ended."""
        self._mailbox.close()
        await self._ended.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while (first := await self._mailbox.get()) is not None:
            batch = {first[0].tip_id: first}  # the relay may have handed over what already waited
            while len(batch) < BATCH_MAX and (more := self._mailbox.get_nowait()) is not None:
                batch.setdefault(more[0].tip_id, more)
            try:
                await self._thank(list(batch.values()))
            except StoreUnavailable:
                self._log.error("left_to_relay", tips=len(batch))
                self._office.look_again()  # they may be stored
            except Exception:
                # A fault of ours: thanks come late, and nothing else of the server stops for it.
                self._log.exception("left_to_relay", tips=len(batch))
        self._ended.set()

    async def _thank(self, batch: Sequence[tuple[TipActivated, float]]) -> None:
        events = [event for event, _ in batch]
        await self._book.ready()
        facts = await self._store.load_facts(
            list({event.tipper.user_id for event in events}),
            list({event.room.room_id for event in events}),
        )
        recent = {user_id: tuple(had) for user_id, had in facts.recent.items()}
        thanks: list[Message] = []
        for event, handed_s in batch:
            now, tipper = self._chance.now(), event.tipper
            mood = facts.moods.get(event.room.room_id, NEUTRAL)
            had = recent.get(tipper.user_id, ())
            template = self._book.choose(
                MessageType.PUBLIC_MICRO, mood.mood, tipper.membership_tier, had, now
            )
            if template is None:
                self._log.warning("no_template", tip_id=event.tip_id)
                continue
            recent[tipper.user_id] = (template.template_id, *had)
            # The delay began when the tip was settled, not when its batch came up.
            age_s = now.clock_s - handed_s
            message_id = self._chance.uuid7(now)
            thanks.append(make_thanks(event, template, mood, message_id, now, age_s))
        stored = await self._store.record_thanks(events, thanks)
        self._office.post(message for message in thanks if message.tip_id in stored)
