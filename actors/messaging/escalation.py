"""Escalation: a viewer whose message the model has not read in time hears so, once for each."""

from typing import Final

import structlog
import trio

from actors.messaging.compose import make_escalation
from actors.messaging.ports import Message, MessageStore
from actors.messaging.post_office import PostOffice
from actors.messaging.template_book import TemplateBook
from actors.ports import StoreUnavailable
from actors.runtime.moment import Chance
from protocol.mood_messages import MessageType

LOOK_INTERVAL_S: Final = 5.0
"""How much later than its wait an escalation may be made."""
UNREAD_MAX: Final = 500


async def run_escalation(
    store: MessageStore,
    book: TemplateBook,
    office: PostOffice,
    chance: Chance,
    wait_s: float,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`wait_s`: how long a model has to read a message. Until cancelled."""
    log = structlog.get_logger("tiproom.messaging.escalation")
    task_status.started()
    while True:
        try:
            while await _escalate(store, book, office, chance, wait_s) == UNREAD_MAX:
                pass
        except StoreUnavailable:
            log.warning("escalation_waits")
        except Exception:
            log.exception("escalation_waits")  # a fault of ours: nothing else stops for it
        await trio.sleep(LOOK_INTERVAL_S)


async def _escalate(
    store: MessageStore, book: TemplateBook, office: PostOffice, chance: Chance, wait_s: float
) -> int:
    unread = await store.load_unread(wait_s, UNREAD_MAX)
    if not unread:
        return 0
    await book.ready()
    facts = await store.load_facts([each.author_id for each in unread], [])
    recent = {user_id: tuple(had) for user_id, had in facts.recent.items()}
    made: list[Message] = []
    for each in unread:
        now, had = chance.now(), recent.get(each.author_id, ())
        template = book.choose(MessageType.ESCALATION_AUTO, each.mood, each.author_tier, had, now)
        if template is not None:
            recent[each.author_id] = (template.template_id, *had)
            made.append(make_escalation(each, template, chance.uuid7(now), now))
    stored = await store.record_escalations([each.message_id for each in unread], made)
    office.post(message for message in made if message.message_id in stored)
    return len(unread)
