"""What changed of a user elsewhere, told to the rooms in which he is."""

import structlog

from actors.room.messages import BalanceChanged, SendToUser, TierRegistered
from actors.room.whereabouts import Whereabouts
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from protocol.frames import OwnFrame
from protocol.tip_activated import MembershipTier


class UserNews:
    """Implements actors.ledger.WalletWatcher. Nothing here waits or fails."""

    def __init__(self, whereabouts: Whereabouts) -> None:
        self._whereabouts = whereabouts
        self._log = structlog.get_logger("tiproom.users")

    def balance_changed(self, user_id: str, balance: int) -> None:
        """To every room, also a full one: a page would show a wrong balance until the next change.
        They are bounded elsewhere, by what the ledger posts for those who are there."""
        for arrival in self._whereabouts.arrivals_of(user_id):
            arrival.balance_changed(balance)
        for room in self._whereabouts.rooms_of(user_id):
            try:
                room.tell_always(BalanceChanged(user_id, balance))
            except MailboxClosed:
                continue  # it has ended; its sessions join anew

    def own_frame(self, user_id: str, frame: OwnFrame) -> None:
        """To all pages of the user. A room that is too full to listen leaves it out: a page reads
        the rest over HTTP."""
        for room in self._whereabouts.rooms_of(user_id):
            try:
                room.tell(SendToUser(user_id, frame))
            except (MailboxFull, MailboxClosed):
                self._log.warning("frame_not_told", user_id=user_id)

    def tier_registered(self, user_id: str, tier: MembershipTier) -> None:
        """A room that is too full to listen shows the old one until the user's next token."""
        for room in self._whereabouts.rooms_of(user_id):
            try:
                room.tell(TierRegistered(user_id, tier))
            except (MailboxFull, MailboxClosed):
                self._log.warning("tier_not_told", user_id=user_id)
