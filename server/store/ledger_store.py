"""The ledger and the loyalty points. The rules of a settlement are in `settle_tips`
(migrations/0001_ledger.sql); this file hands it a batch and reads the outcomes."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import structlog

from actors.ports import Settled, Settlement, SettlementOutcome
from protocol import tip_activated
from protocol.codec import field_path
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.tip_activated import Amount, Id, TipActivated
from server.store import queries
from server.store.database import Connection, Database, is_storable

DEPOSIT_TOKENS_MAX: Final = 1_000_000_000
"""Of one deposit; far from where a 64-bit sum would end."""
SOURCE_REF_LENGTH_MAX: Final = 128

LOYALTY: Final = "loyalty"
"""Its name in the table event_consumers."""

_REFUSALS: Final = {
    "conflict": Refusal(ErrorCode.TIP_CONFLICT),
    "user_unknown": Refusal(ErrorCode.USER_UNKNOWN),
    "insufficient": Refusal(ErrorCode.INSUFFICIENT_TOKENS),
}


class Deposited(msgspec.Struct, frozen=True):
    """Tokens stand in the wallet. `first`: this very call put them there; otherwise `balance` is
    that of the first time."""

    transfer_id: UUID
    balance: int
    first: bool


class SourceRefConflict(Exception):
    """A deposit's reference was used before for another wallet or another amount."""


class PostgresLedger:
    """Implements actors.ports.LedgerStore."""

    def __init__(self, database: Database, settling: Database) -> None:
        """`settling`: connections that only settlements use, so that nothing delays them."""
        self._database = database
        self._settling = settling
        self._log = structlog.get_logger("tiproom.store.ledger")

    async def settle(self, batch: Sequence[Settlement]) -> list[SettlementOutcome]:
        """See the port. A request that no row can hold (an amount outside 1..99,999, NUL in a
        text) is refused with INVALID_FIELD. Should the database refuse a row all the same, the
        batch is settled in parts until that request fails alone, with INTERNAL. Raises
        ValueError for a request whose event says something else than its other fields."""
        outcomes: list[SettlementOutcome | None] = [_unstorable(request) for request in batch]
        storable = [at for at, refusal in enumerate(outcomes) if refusal is None]
        settled = await self._settle([batch[at] for at in storable])
        for at, outcome in zip(storable, settled, strict=True):
            outcomes[at] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    async def _settle(self, batch: Sequence[Settlement]) -> list[SettlementOutcome]:
        if not batch:
            return []
        try:
            rows = await self._settling.run(_fetch, queries.SETTLE_TIPS, *_columns(batch))
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.exceptions.DataError) as error:
            if len(batch) == 1:
                self._log.error("settlement_refused_by_database", reason=type(error).__name__)
                return [Refusal(ErrorCode.INTERNAL)]
            half = len(batch) // 2
            return [*await self._settle(batch[:half]), *await self._settle(batch[half:])]
        return [_outcome(request, row) for request, row in zip(batch, rows, strict=True)]

    async def pending_events(self, consumer: str, limit: int) -> list[TipActivated]:
        """See the port. An event that cannot be decoded is logged and set aside, so that the
        others come through."""
        rows = await self._database.run(_fetch, queries.PENDING_EVENTS, consumer, limit)
        events: list[TipActivated] = []
        for row in rows:
            try:
                events.append(tip_activated.decode(row["event"]))
            except msgspec.DecodeError as error:
                reason = type(error).__name__
                self._log.error("event_set_aside", tip_id=row["tip_id"], reason=reason)
        return events

    async def deposit(self, user_id: str, amount: int, source_ref: str) -> Deposited:
        """Bring `amount` tokens (1..DEPOSIT_TOKENS_MAX) into a wallet, once per `source_ref`
        (`deposit:...`, at most SOURCE_REF_LENGTH_MAX characters) for ever. Raises ValueError
        outside these limits, SourceRefConflict, Refused with USER_UNKNOWN."""
        if not 1 <= amount <= DEPOSIT_TOKENS_MAX:
            raise ValueError("amount is out of range")
        if (
            not source_ref.startswith("deposit:")
            or len(source_ref) > SOURCE_REF_LENGTH_MAX
            or not is_storable(source_ref + user_id)
        ):
            raise ValueError("source_ref must be deposit:..., without NUL, and not too long")
        [row] = await self._database.run(
            _fetch, queries.DEPOSIT_TOKENS, user_id, amount, source_ref
        )
        match row["outcome"]:
            case "settled" | "repeat" as outcome:
                return Deposited(row["transfer_id"], row["balance"], outcome == "settled")
            case "user_unknown":
                raise Refused(ErrorCode.USER_UNKNOWN)
            case _:
                raise SourceRefConflict(source_ref)


class PostgresLoyalty:
    """Implements actors.ports.LoyaltyStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def credit_points(self, events: Sequence[TipActivated]) -> None:
        """See the port. An event that was never settled is a violated constraint."""
        await self._database.run(
            _fetch,
            queries.CREDIT_POINTS,
            [event.tip_id for event in events],
            [event.tipper.user_id for event in events],
            [event.item.bonus_points for event in events],
            LOYALTY,
        )

    async def load_points(self, user_id: str) -> int:
        """A user's points; 0 for one who never got any."""
        rows = await self._database.run(_fetch, queries.LOAD_POINTS, user_id)
        return rows[0]["balance"] if rows else 0


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)


class _Content(msgspec.Struct, frozen=True, rename="camel"):
    """What the rows of a tip can hold."""

    tip_id: Id
    room_id: Id
    broadcast_id: Id
    user_id: Id
    model_id: Id
    amount: Amount


def _unstorable(request: Settlement) -> Refusal | None:
    """Why no row can hold this request, whatever the ledger says of it."""
    content = {
        "tipId": request.tip_id,
        "roomId": request.room_id,
        "broadcastId": request.broadcast_id,
        "userId": request.tipper_id,
        "modelId": request.model_id,
        "amount": request.amount,
    }
    try:
        msgspec.convert(content, _Content)
    except msgspec.ValidationError as error:
        return Refusal(ErrorCode.INVALID_FIELD, field_path(error))
    if request.unless_known is not None:
        return None
    event = request.event
    if event is None:
        raise ValueError("a settlement needs its event")
    for field, text in (
        ("username", event.tipper.username),
        ("modelDisplayName", event.model.model_display_name),
        ("itemName", event.item.item_name),
        ("descriptionPublic", event.item.description_public),
    ):
        if not is_storable(text):
            return Refusal(ErrorCode.INVALID_FIELD, field)
    _check_event(request, event)
    return None


def _check_event(request: Settlement, event: TipActivated) -> None:
    said = (
        event.tip_id,
        event.room.room_id,
        event.room.broadcast_id,
        event.tipper.user_id,
        event.model.model_id,
        event.transaction.amount,
        event.ledger.source_ref,
    )
    if said != (
        request.tip_id,
        request.room_id,
        request.broadcast_id,
        request.tipper_id,
        request.model_id,
        request.amount,
        f"tip:{request.tip_id}",
    ):
        raise ValueError("the event and its settlement do not say the same")
    if not 0 <= request.model_tokens <= request.amount:
        raise ValueError("model_tokens must be within 0..amount")
    if (request.revenue_ref is None) is not (request.model_tokens == request.amount):
        raise ValueError("revenue_ref belongs to a revenue entry, and to nothing else")


def _columns(batch: Sequence[Settlement]) -> tuple[list[Any], ...]:
    """The arguments of settle_tips. A request that only asks for a known tip names no accounts:
    it must not bring a model's account into being."""
    touched = sorted(
        {account for request in batch if request.unless_known is None for account in _of(request)}
    )
    slots = {account: at for at, account in enumerate(touched, start=1)}
    first_ats: dict[str, int] = {}
    for at, request in enumerate(batch, start=1):
        first_ats.setdefault(request.tip_id, at)
    rows: list[tuple[Any, ...]] = []
    for request in batch:
        content = (
            request.tip_id,
            first_ats[request.tip_id],
            request.room_id,
            request.broadcast_id,
            request.tipper_id,
            request.model_id,
            request.amount,
        )
        event = request.event if request.unless_known is None else None
        if event is None:
            rows.append((*content, *(None,) * 9))
            continue
        wallet, model_account = _of(request)
        ledger = event.ledger
        rows.append(
            (
                *content,
                request.model_tokens,
                slots[wallet],
                slots[model_account],
                ledger.source_ref,
                UUID(ledger.ledger_id),
                UUID(ledger.debit_ref),
                UUID(ledger.credit_ref),
                request.revenue_ref,
                tip_activated.encode(event).decode(),
            )
        )
    return (touched, *map(list, zip(*rows, strict=True)))


def _of(request: Settlement) -> tuple[str, str]:
    """The wallet and the model's account."""
    return f"user:{request.tipper_id}", f"model:{request.model_id}"


def _outcome(request: Settlement, row: asyncpg.Record) -> SettlementOutcome:
    match row["outcome"]:
        case "settled":
            assert request.event is not None
            return Settled(request.event, row["balance"], first=True)
        case "repeat":
            return Settled(tip_activated.decode(row["event"]), row["balance"], first=False)
        case "not_known":
            assert request.unless_known is not None
            return request.unless_known
        case outcome:
            return _REFUSALS[outcome]
