"""What changed of a user elsewhere, told to the rooms in which he is."""

from typing import Any

import structlog

from actors.room.messages import BalanceChanged, TierRegistered
from actors.room.registry import RoomRegistry
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from protocol.tip_activated import MembershipTier


class UserNews:
    """Implements actors.ledger.WalletWatcher. Nothing here waits or fails: a room that is too full
    to listen shows what it knew until the user's next change or reconnect. Costs one look-up for
    each room that is awake."""

    def __init__(self, rooms: RoomRegistry) -> None:
        self._rooms = rooms
        self._log = structlog.get_logger("tiproom.users")

    def balance_changed(self, user_id: str, balance: int) -> None:
        self._tell(user_id, BalanceChanged(user_id, balance))

    def tier_registered(self, user_id: str, tier: MembershipTier) -> None:
        self._tell(user_id, TierRegistered(user_id, tier))

    def _tell(self, user_id: str, news: Any) -> None:
        for room in self._rooms:
            if not room.has_viewer(user_id):
                continue
            try:
                room.tell(news)
            except (MailboxFull, MailboxClosed):
                self._log.warning("news_not_told", room_id=room.room_id, news=type(news).__name__)
