"""Template book: the templates in force, in memory, as the database had them a moment ago."""

from typing import Final

import msgspec
import structlog
import trio

from actors.messaging.ports import MessageStore
from actors.ports import StoreUnavailable
from actors.runtime.moment import Moment
from protocol.message_templates import Template, choose
from protocol.mood_messages import MessageType, Mood
from protocol.tip_activated import MembershipTier

REFRESH_INTERVAL_S: Final = 30.0
"""For what was changed by way of another server, and for what was read."""


class TemplateBook:
    """What is chosen is counted here at once: the next choice sees it, though the database may
    not have it yet."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store
        self._templates: dict[str, Template] | None = None
        self._changed = trio.Event()
        self._log = structlog.get_logger("tiproom.messaging.templates")

    def changed(self) -> None:
        """Somebody has edited one: read them anew."""
        self._changed.set()

    async def load(self) -> None:
        """Read them. Raises StoreUnavailable."""
        self._changed = trio.Event()
        loaded = await self._store.load_templates()
        self._templates = {template.template_id: template for template in loaded}

    async def ready(self) -> None:
        """Read them if nobody has: no choice is made without. Raises StoreUnavailable."""
        if self._templates is None:
            await self.load()

    def choose(
        self,
        message_type: MessageType,
        mood: Mood,
        tier: MembershipTier,
        recent: tuple[str, ...],
        now: Moment,
    ) -> Template | None:
        """As protocol.message_templates.choose, after `ready`."""
        assert self._templates is not None
        chosen = choose(self._templates.values(), message_type, mood, tier, recent)
        if chosen is not None:
            used = msgspec.structs.replace(chosen, usage=chosen.usage + 1, last_used_at=now.utc)
            self._templates[chosen.template_id] = used
        return chosen

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        while True:
            try:
                await self.load()
            except StoreUnavailable:
                self._log.warning("templates_unavailable")
            except Exception:
                self._log.exception("templates_unavailable")  # a fault of ours
            with trio.move_on_after(REFRESH_INTERVAL_S):
                await self._changed.wait()
