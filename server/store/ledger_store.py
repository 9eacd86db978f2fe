"""The ledger: posts batches of transfers. What each kind writes stands in postings.py, what holds
for all of them in `post_transfers` (migrations/0006_auditable_ledger.sql)."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

import asyncpg
import msgspec
import structlog
from msgspec import Meta

from actors.transfers import (
    Deposit,
    HoldId,
    NewHold,
    Outcome,
    Posted,
    Refund,
    Settlement,
    Transfer,
)
from protocol.codec import field_path
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.tip_activated import AMOUNT_MAX, ID_PATTERN, Amount, Id
from server.store import queries
from server.store.database import Connection, Database, is_storable
from server.store.postings import Posting, columns, outcome, posting

DEPOSIT_TOKENS_MAX: Final = 1_000_000_000
"""Of one deposit; far from where a 64-bit sum would end."""


class PostgresLedger:
    """Posts transfers; the one writer of balances."""

    def __init__(self, settling: Database) -> None:
        """`settling`: connections that only this uses, so that nothing delays it."""
        self._settling = settling
        self._log = structlog.get_logger("tiproom.store.ledger")

    async def post(self, batch: Sequence[Transfer]) -> list[Outcome]:
        """See actors.ports.LedgerStore. A request that no row can hold (an amount outside
        1..99,999, NUL in a text) is refused with INVALID_FIELD. Should the database refuse a row
        all the same, the batch is posted in parts until that request fails alone, with INTERNAL;
        so does a settlement whose event says something else than its other fields."""
        outcomes: list[Outcome | None] = []
        ready: list[tuple[int, Transfer, Posting]] = []
        for at, request in enumerate(batch):
            refusal = _unstorable(request)
            if refusal is None:
                try:
                    ready.append((at, request, posting(request)))
                except ValueError:  # ours; the others of the batch do not pay for it
                    self._log.exception("transfer_contradicts_itself")
                    refusal = Refusal(ErrorCode.INTERNAL)
            outcomes.append(refusal)
        posted = await self._post([(request, rows) for _, request, rows in ready])
        for (at, _, _), each in zip(ready, posted, strict=True):
            outcomes[at] = each
        return [each for each in outcomes if each is not None]

    async def _post(self, batch: Sequence[tuple[Transfer, Posting]]) -> list[Outcome]:
        if not batch:
            return []
        arguments = columns([rows for _, rows in batch])
        try:
            rows = await self._settling.run(_fetch, queries.POST_TRANSFERS, *arguments)
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.exceptions.DataError) as error:
            if len(batch) == 1:
                self._log.error("transfer_refused_by_database", reason=type(error).__name__)
                return [Refusal(ErrorCode.INTERNAL)]
            half = len(batch) // 2
            return [*await self._post(batch[:half]), *await self._post(batch[half:])]
        return [outcome(request, row) for (request, _), row in zip(batch, rows, strict=True)]

    async def deposit(self, deposit_id: str, user_id: str, amount: int) -> Posted:
        """Post one deposit, for whoever runs no ledger actor. Raises Refused."""
        [answer] = await self.post([Deposit(deposit_id, user_id, amount)])
        if isinstance(answer, Refusal):
            raise Refused(answer.code, answer.field, answer.detail)
        assert isinstance(answer, Posted)
        return answer


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)


class _TipContent(msgspec.Struct, frozen=True, rename="camel"):
    """What the rows of a tip can hold."""

    tip_id: Id
    room_id: Id
    broadcast_id: Id
    user_id: Id
    model_id: Id
    amount: Amount


class _DepositContent(msgspec.Struct, frozen=True, rename="camel"):
    deposit_id: Id
    user_id: Id
    amount: Annotated[int, Meta(ge=1, le=DEPOSIT_TOKENS_MAX)]


class _HoldContent(msgspec.Struct, frozen=True, rename="camel"):
    hold_id: HoldId
    user_id: Id
    room_id: Id
    amount: Amount


class _RefundContent(msgspec.Struct, frozen=True, rename="camel"):
    refund_id: Id
    tokens: Amount


def _unstorable(request: Transfer) -> Refusal | None:
    """Why no row can hold this request, whatever the ledger says of it."""
    match request:
        case Settlement(event=event):
            said = event if request.unless_known is None else None
            return _unstorable_tip(request) or (
                None
                if said is None
                else _unstorable_text(
                    username=said.tipper.username,
                    modelDisplayName=said.model.model_display_name,
                    itemName=said.item.item_name,
                    descriptionPublic=said.item.description_public,
                )
            )
        case Deposit():
            content = {
                "depositId": request.deposit_id,
                "userId": request.user_id,
                "amount": request.amount,
            }
            return _mismatch(content, _DepositContent)
        case NewHold(item=item):
            content = {
                "holdId": request.hold_id,
                "userId": request.user_id,
                "roomId": request.room_id,
                "amount": request.amount,
            }
            return _mismatch(content, _HoldContent) or _unstorable_text(
                itemName=item.item_name, descriptionPublic=item.description_public
            )
        case Refund():
            content = {"refundId": request.refund_id, "tokens": request.tokens}
            return _mismatch(content, _RefundContent)
        case _:
            return None  # of a hold that stands in the database


_match_id = re.compile(ID_PATTERN).match


def _unstorable_tip(request: Settlement) -> Refusal | None:
    ids = (
        request.tip_id,
        request.room_id,
        request.broadcast_id,
        request.tipper_id,
        request.model_id,
    )
    # Nearly all: a quarter of the time that it takes to name a field.
    if all(map(_match_id, ids)) and 1 <= request.amount <= AMOUNT_MAX:
        return None
    tip_id, room_id, broadcast_id, user_id, model_id = ids
    content = {
        "tipId": tip_id,
        "roomId": room_id,
        "broadcastId": broadcast_id,
        "userId": user_id,
        "modelId": model_id,
        "amount": request.amount,
    }
    return _mismatch(content, _TipContent)


def _mismatch(content: dict[str, Any], kind: type[msgspec.Struct]) -> Refusal | None:
    try:
        msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        return Refusal(ErrorCode.INVALID_FIELD, field_path(error))
    return None


def _unstorable_text(**texts: str) -> Refusal | None:
    for field, text in texts.items():
        if not is_storable(text):
            return Refusal(ErrorCode.INVALID_FIELD, field)
    return None
