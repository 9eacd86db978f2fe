"""Accounts, statements and holds, as they stand. Reads only: all writing is the ledger's."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from actors.ports import ExpiredHold
from actors.transfers import HoldRecord, HoldState, SettledTransfer
from protocol.tip_activated import Item
from server.store import queries
from server.store.database import Connection, Database, is_storable


class AccountRecord(msgspec.Struct, frozen=True, rename="camel"):
    """`lastSeq`: how many entries the account has ever had."""

    account_id: str
    kind: str
    owner_id: str | None
    balance: int
    last_seq: int
    created_at: datetime


class EntryRecord(msgspec.Struct, frozen=True, rename="camel"):
    """One line of a statement. `seq` counts in this account, from 1, without gaps; `hash` is the
    chain's, in hex."""

    seq: int
    entry_id: UUID
    transfer_id: UUID
    source_ref: str
    amount: int
    balance_after: int
    hash: str
    created_at: datetime


class LedgerSummary(msgspec.Struct, frozen=True, rename="camel"):
    """Where all tokens are, at one moment: `issued` is the sum of the four after it."""

    issued: int
    wallets: int
    models: int
    escrow: int
    revenue: int
    open_holds: int


class RefundRecord(msgspec.Struct, frozen=True):
    """A refund that was posted. `refunds`: source_ref of what it gave back."""

    transfer_id: UUID
    balance: int
    refunds: str
    tokens: int


class PostgresAccounts:
    """Implements actors.ports.HoldStore, and answers what HTTP asks of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_account(self, account_id: str) -> AccountRecord | None:
        """None: there is no such account."""
        if not is_storable(account_id):
            return None
        rows = await self._database.run(_fetch, queries.LOAD_ACCOUNT, account_id)
        return AccountRecord(**dict(rows[0])) if rows else None

    async def load_entries(
        self, account_id: str, before: int | None, limit: int
    ) -> list[EntryRecord]:
        """The newest first, from the one before the entry number `before` on (None: the newest).
        Months that were moved away are not in it."""
        rows = await self._database.run(_fetch, queries.LOAD_ENTRIES, account_id, before, limit)
        return [EntryRecord(**{**dict(row), "hash": row["hash"].hex()}) for row in rows]

    async def summary(self) -> LedgerSummary:
        """Reads every account and hold: for a person, not for a loop."""
        [row] = await self._database.run(_fetch, queries.LEDGER_SUMMARY)
        return LedgerSummary(**dict(row))

    async def load_hold(self, hold_id: str) -> HoldRecord | None:
        """None: there is no such hold."""
        if not is_storable(hold_id):
            return None
        rows = await self._database.run(_fetch, queries.LOAD_HOLD, hold_id)
        return _hold(rows[0]) if rows else None

    async def expired_holds(self, after: ExpiredHold | None, limit: int) -> list[ExpiredHold]:
        """See the port."""
        place = (None, "") if after is None else (after.expires_at, after.hold_id)
        rows = await self._database.run(_fetch, queries.EXPIRED_HOLDS, *place, limit)
        return [ExpiredHold(**dict(row)) for row in rows]

    async def load_settled(self, source_ref: str) -> SettledTransfer | None:
        """A tip or purchase, for a refund. None: it was never settled, or its month was moved
        away."""
        if not is_storable(source_ref):
            return None
        rows = await self._database.run(_fetch, queries.LOAD_SETTLED, source_ref)
        if not rows:
            return None
        row = rows[0]
        return SettledTransfer(
            source_ref=row["source_ref"],
            user_id=row["user_id"],
            model_id=row["model_id"],
            amount=row["amount"],
            model_tokens=row["model_tokens"],
            refunded=row["refunded"],
        )

    async def load_refund(self, refund_id: str) -> RefundRecord | None:
        """Known for ever, also when the month of its tip was moved away. None: never posted."""
        rows = await self._database.run(_fetch, queries.LOAD_REFUND, refund_id)
        return RefundRecord(**dict(rows[0])) if rows else None


def _hold(row: asyncpg.Record) -> HoldRecord:
    return HoldRecord(
        hold_id=row["hold_id"],
        user_id=row["user_id"],
        room_id=row["room_id"],
        broadcast_id=row["broadcast_id"],
        model_id=row["model_id"],
        amount=row["amount"],
        item=msgspec.json.decode(row["item"], type=Item),
        expires_at=row["expires_at"],
        debit_ref=row["debit_ref"],
        created_at=row["created_at"],
        state=HoldState(row["state"]),
        refunded=row["refunded"],
        ended_at=row["ended_at"],
    )


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)
