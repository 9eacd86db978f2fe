"""Everything that must be there before the load: wallets, a tip menu, tokens."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import trio

from actors.ports import UserRecord
from protocol.tip_activated import MembershipTier
from protocol.tip_menu import TipMenuRow
from protocol.vibration import level
from server.auth import Authority, Identity, Role
from server.store.bridge import open_bridge
from server.store.demo import MODEL_ID, MODEL_NAME, ROOM_ID
from server.store.store import Store, open_store

VIBRATING_AMOUNT: Final = 77
"""Tokens of the one row in the model's tip menu."""
QUIET_AMOUNT_MAX: Final = 9
"""Tokens; below `lovenseMinTipForActivation` (10): settled, announced, and no toy moves."""

_TOKEN_LIFE: Final = timedelta(hours=2)
_WALLET_TOKENS: Final = 100_000_000
_DEPOSITS_AT_ONCE: Final = 8


class TokenBooth:
    """Signs tokens with a secret that the server is given, as a platform does."""

    def __init__(self) -> None:
        self.secret = secrets.token_urlsafe(48)
        self._authority = Authority(self.secret.encode())

    def admin(self) -> str:
        return self._issue("bench-admin", "Bench", Role.ADMIN, MembershipTier.FREE, None)

    def model(self) -> str:
        return self._issue(MODEL_ID, MODEL_NAME, Role.MODEL, MembershipTier.FREE, ROOM_ID)

    def viewer(self, number: int) -> str:
        """The tiers in turn: every fifth viewer has the same."""
        user = viewer(number)
        return self._issue(user.user_id, user.username, Role.VIEWER, user.membership_tier, ROOM_ID)

    def page(self, user: UserRecord, role: Role, room_id: str) -> str:
        """Of any user, for any room."""
        return self._issue(user.user_id, user.username, role, user.membership_tier, room_id)

    def _issue(
        self, user_id: str, username: str, role: Role, tier: MembershipTier, room_id: str | None
    ) -> str:
        return self._authority.issue(
            Identity(
                user_id=user_id,
                username=username,
                role=role,
                membership_tier=tier,
                room_id=room_id,
                expires_at_utc=datetime.now(UTC) + _TOKEN_LIFE,
            )
        )


def viewer(number: int) -> UserRecord:
    tiers = list(MembershipTier)
    name = f"viewer-{number:05d}"
    return UserRecord(name, name, tiers[number % len(tiers)])


async def prepare_room(dsn: str, viewers: int) -> None:
    """Give `viewers` users a full wallet, and the demo's model a menu of one short vibration.
    The server has been up, so that the schema and the demo are there; nobody has joined yet."""
    row = TipMenuRow(
        row_id="bench",
        tip_amount=VIBRATING_AMOUNT,
        vibration=level(10, 1),
        description="Short buzz",
        active=True,
        order=0,
    )
    async with open_bridge() as bridge, open_store(dsn, bridge) as store:
        await store.rooms.save_tip_menu(MODEL_ID, [row])
        await fill_wallets(store, viewers)


async def broadcast_of(dsn: str) -> str:
    """The id of what the demo's room has on air."""
    async with open_bridge() as bridge, open_store(dsn, bridge) as store:
        room = await store.rooms.load_room(ROOM_ID)
    assert room is not None
    assert room.broadcast is not None, "the demo's room is live"
    return room.broadcast.broadcast_id


async def fill_wallets(store: Store, viewers: int) -> None:
    """More tokens for each of `viewers` users than a run can spend."""
    await fill_wallets_of(store, [viewer(number) for number in range(viewers)])


async def fill_wallets_of(store: Store, users: Sequence[UserRecord]) -> None:
    """As `fill_wallets`, of these users."""
    limiter = trio.CapacityLimiter(_DEPOSITS_AT_ONCE)
    async with trio.open_nursery() as nursery:
        for user in users:
            nursery.start_soon(_fill_wallet, store, user, limiter)


async def _fill_wallet(store: Store, user: UserRecord, limiter: trio.CapacityLimiter) -> None:
    async with limiter:
        await store.members.save_user(user)
        await store.ledger.deposit(f"bench:{user.user_id}", user.user_id, _WALLET_TOKENS)
