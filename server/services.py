"""What the handlers of HTTP reach: made in `app`, given to each blueprint."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from actors.audit_writer import AuditWriter
from actors.consumers.webhooks import WebhookDispatcher
from actors.device_writer import DeviceWriter
from actors.ledger import LedgerActor, Post
from actors.ports import TipTrace
from actors.room.messages import ReplyTo
from actors.room.registry import RoomRegistry
from actors.runtime.ask import Ask, AskTimeout
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from actors.runtime.moment import Chance
from actors.stage.desk import PurchaseDesk
from actors.stage.payments import Payments
from actors.stage.registry import StageRegistry
from actors.transfers import Outcome, Posted, Transfer
from protocol.errors import ErrorCode, Refusal, Refused
from server.auth import Authority
from server.http.event_stream import EventStreams
from server.http.request_rate import RequestRate
from server.messaging import Messaging
from server.performance_menus import PerformanceMenus
from server.platform_settings import PlatformChanges
from server.settings import Settings
from server.sockets.fan_out import FanOut
from server.sockets.listener import SocketServer
from server.sockets.member_book import MemberBook
from server.sockets.room_endpoint import RoomEndpoint
from server.store.account_store import PostgresAccounts
from server.store.dead_letters import PostgresDeadLetters
from server.store.device_store import PostgresDevices
from server.store.directory_store import PostgresDirectory
from server.store.history import PostgresHistory
from server.store.member_store import PostgresMembers
from server.store.menu_store import PostgresMenus
from server.store.revocation_store import PostgresRevocations
from server.store.settings_store import PostgresSettings
from server.store.skipped_events import PostgresSkippedEvents
from server.store.stage_store import PostgresStages
from server.store.webhook_store import PostgresWebhooks
from server.tip_menus import TipMenus
from server.vendors.toy_sessions import ToySessions

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
    sockets: SocketServer
    room_endpoint: RoomEndpoint
    book: MemberBook
    revocations: PostgresRevocations
    members: PostgresMembers
    directory: PostgresDirectory
    accounts: PostgresAccounts
    webhooks: PostgresWebhooks
    dispatcher: WebhookDispatcher
    streams: EventStreams
    dead_letters: PostgresDeadLetters
    skipped_events: PostgresSkippedEvents
    devices: PostgresDevices
    device_writer: DeviceWriter
    history: PostgresHistory
    messaging: Messaging
    settings_store: PostgresSettings
    platform: PlatformChanges
    tip_menus: TipMenus
    toy_sessions: ToySessions
    performance_menus: PerformanceMenus
    menu_store: PostgresMenus
    stage_store: PostgresStages
    desk: PurchaseDesk
    stages: StageRegistry
    payments: Payments
    request_rate: RequestRate
    chance: Chance
    trace: Callable[[str], Awaitable[TipTrace | None]]
    database_ready: Callable[[], Awaitable[None]]
    """Raises StoreUnavailable."""

    async def post(self, transfer: Transfer) -> Posted:
        """What the ledger says of `transfer`, which is no settlement. Raises Refused; with
        LEDGER_UNAVAILABLE where the outcome is unknown: the same again finds out."""
        ask: Ask[Outcome] = Ask()
        try:
            self.ledger.tell(Post(transfer, ask))
            answer = await ask.wait(ASK_TIMEOUT_S)
        except (MailboxFull, MailboxClosed, AskTimeout) as error:
            raise Refused(ErrorCode.LEDGER_UNAVAILABLE) from error
        if isinstance(answer, Refusal):
            raise Refused(answer.code, answer.field, answer.detail, answer.retry_after_s)
        assert isinstance(answer, Posted)
        return answer

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
