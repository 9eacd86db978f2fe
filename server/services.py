"""What the handlers of HTTP reach: made in `app`, given to each blueprint."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from actors.audit_writer import AuditWriter
from actors.ledger import LedgerActor
from actors.ports import MemberStore, SettingsStore, TipTrace
from actors.room.messages import ReplyTo
from actors.room.registry import RoomRegistry
from actors.runtime.ask import Ask
from protocol.errors import Refusal, Refused
from server.auth import Authority
from server.platform_settings import PlatformChanges
from server.settings import Settings
from server.sockets.fan_out import FanOut

ASK_TIMEOUT_S: Final = 10.0
"""For a room's answer to a request: longer than a settlement may take."""


@dataclass(frozen=True)
class Services:
    settings: Settings
    authority: Authority
    rooms: RoomRegistry
    ledger: LedgerActor
    audit: AuditWriter
    fan_out: FanOut
    members: MemberStore
    settings_store: SettingsStore
    platform: PlatformChanges
    trace: Callable[[str], Awaitable[TipTrace | None]]
    database_ready: Callable[[], Awaitable[None]]
    """Raises StoreUnavailable."""

    async def ask_room(
        self, room_id: str, question: Callable[[ReplyTo], Any], *, first: bool = False
    ) -> Any:
        """One room's answer to `question(reply_to)`. `first`: ahead of all that waits there, and
        never refused by a full mailbox. Raises Refused, MailboxFull, MailboxClosed, AskTimeout."""
        room = await self.rooms.open(room_id)
        ask: Ask[Any] = Ask()
        tell = room.tell_first if first else room.tell
        tell(question(ask))
        answer = await ask.wait(ASK_TIMEOUT_S)
        if isinstance(answer, Refusal):
            raise Refused(answer.code, answer.field, answer.detail, answer.retry_after_s)
        return answer
