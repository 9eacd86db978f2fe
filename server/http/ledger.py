"""The ledger over HTTP: deposits, refunds, accounts and their statements. Holds: `holds.py`.

What moves tokens carries an id of the caller's; the same id with the same content gets the same
bytes for ever, so an unknown outcome (503) is resolved by sending it again.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
import structlog
from msgspec import Meta
from quart import Blueprint, Response

from actors.transfers import Deposit, Posted, Refund
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.tip_activated import Amount, Id, source_ref_of
from server.auth import Role
from server.http.body import accepts, answers, json, query
from server.http.guard import allow, caller
from server.services import Services
from server.store.account_store import AccountRecord, EntryRecord, LedgerSummary, PostgresAccounts
from server.store.ledger_store import DEPOSIT_TOKENS_MAX
from server.store.postings import model_account, user_account

PAGE_DEFAULT, PAGE_MAX = 50, 200
"""Entries."""
REFUND_ATTEMPTS: Final = 5
"""Each is overtaken only by another refund of the same tip, which has then been posted."""

READ_ERRORS: Final = (ErrorCode.TOKEN_INVALID, ErrorCode.FORBIDDEN, ErrorCode.LEDGER_UNAVAILABLE)
POST_ERRORS: Final = (*READ_ERRORS, ErrorCode.TRANSFER_CONFLICT)


class TransferReceipt(msgspec.Struct, frozen=True, rename="camel"):
    """`balance`: of the user's wallet, right after it."""

    transfer_id: UUID
    amount: int
    balance: int


class DepositBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Tokens that a user has paid for."""

    deposit_id: Id
    user_id: Id
    amount: Annotated[int, Meta(ge=1, le=DEPOSIT_TOKENS_MAX)]


class RefundBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`tipId`: of a tip, or `purchase:{holdId}`."""

    refund_id: Id
    tip_id: Id
    tokens: Amount


class Entry(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One line of a statement. What follows `createdAt` is for the platform alone: the ledger's
    references never reach a member (spec 1)."""

    seq: int
    kind: str
    amount: int
    balance_after: int
    created_at: datetime
    entry_id: UUID | None = None
    transfer_id: UUID | None = None
    source_ref: str | None = None
    hash: str | None = None


class EntryPage(msgspec.Struct, frozen=True, rename="camel"):
    """The newest entry first. `next`: the `before` of the following page, None on the last."""

    entries: list[Entry]
    next: int | None


class EntriesQuery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`before`: the number of an entry; the page begins with the one before it."""

    before: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


def blueprint(services: Services) -> Blueprint:
    ledger = Blueprint("ledger", __name__, url_prefix="/ledger")
    accounts = services.accounts
    log = structlog.get_logger("tiproom.ledger")

    @ledger.post("/deposits")
    @allow(services.authority, Role.SERVICE)
    @accepts(DepositBody)
    @answers(TransferReceipt, *POST_ERRORS, ErrorCode.USER_UNKNOWN)
    async def post_deposit(body: DepositBody) -> Response:
        """Put tokens into a user's wallet

        The same depositId with the same content gets the same answer for ever.
        """
        posted = await services.post(Deposit(body.deposit_id, body.user_id, body.amount))
        return json(receipt(posted, body.amount))

    @ledger.post("/refunds")
    @allow(services.authority, Role.SERVICE, Role.ADMIN)
    @accepts(RefundBody)
    @answers(
        TransferReceipt,
        *POST_ERRORS,
        ErrorCode.TIP_UNKNOWN,
        ErrorCode.REFUND_EXCEEDS,
        ErrorCode.REFUND_UNCOVERED,
        ErrorCode.REFUND_MOVED,
    )
    async def post_refund(body: RefundBody) -> Response:
        """Give back tokens of a settled tip or purchase, all or some

        Model and platform give back in the proportion in which they got it; who no longer has the
        tokens owes nothing: the refund is refused. The same refundId with the same content gets
        the same answer for ever. A tip whose month was moved away is unknown to a new refund.
        """
        posted = await _refund(services, body)
        if posted.first:
            log.warning(
                "tip_refunded",
                tip_id=body.tip_id,
                refund_id=body.refund_id,
                who=caller().user_id,
            )
        return json(receipt(posted, body.tokens))

    @ledger.get("/summary")
    @allow(services.authority, Role.ADMIN)
    @answers(LedgerSummary, *READ_ERRORS)
    async def get_summary() -> Response:
        """Where all tokens are

        `issued` is the sum of wallets, models, escrow and revenue, or something is wrong.
        """
        return json(await accounts.summary())

    @ledger.get("/accounts/<account_id>")
    @allow(services.authority, Role.SERVICE, Role.ADMIN, Role.MODEL, Role.VIEWER)
    @answers(AccountRecord, *READ_ERRORS, ErrorCode.ACCOUNT_UNKNOWN)
    async def get_account(account_id: str) -> Response:
        """One account and its balance

        Members see their own. A model's account comes into being with her first tokens.
        """
        return json(await _account(services, account_id))

    @ledger.get("/accounts/<account_id>/entries")
    @allow(services.authority, Role.SERVICE, Role.ADMIN, Role.MODEL, Role.VIEWER)
    @query(EntriesQuery)
    @answers(EntryPage, *READ_ERRORS, ErrorCode.ACCOUNT_UNKNOWN)
    async def list_entries(wanted: EntriesQuery, account_id: str) -> Response:
        """The statement of an account, newest entry first

        Entries never change and their numbers have no gaps, so that pages fit together whatever is
        posted meanwhile. What was moved away with its month is not in it.
        """
        await _account(services, account_id)
        entries = await accounts.load_entries(account_id, wanted.before, wanted.limit + 1)
        shown = entries[: wanted.limit]
        following = shown[-1].seq if len(entries) > wanted.limit else None
        whole = caller().role in (Role.SERVICE, Role.ADMIN)
        return json(EntryPage([_line(each, whole) for each in shown], following))

    return ledger


def _line(entry: EntryRecord, whole: bool) -> Entry:
    line = Entry(
        entry.seq,
        entry.source_ref.partition(":")[0],
        entry.amount,
        entry.balance_after,
        entry.created_at,
    )
    if not whole:
        return line
    return msgspec.structs.replace(
        line,
        entry_id=entry.entry_id,
        transfer_id=entry.transfer_id,
        source_ref=entry.source_ref,
        hash=entry.hash,
    )


def receipt(posted: Posted, amount: int) -> TransferReceipt:
    return TransferReceipt(posted.transfer_id, amount, posted.balance)


async def _refund(services: Services, body: RefundBody) -> Posted:
    """Raises Refused. What exceeds the tip is still asked of the ledger: a refund that was made
    before is answered as the first time, whatever is left of the tip by now."""
    for attempts_left in reversed(range(REFUND_ATTEMPTS)):
        settled = await services.accounts.load_settled(source_ref_of(body.tip_id))
        if settled is None:
            return await known_refund(services.accounts, body)
        exceeds = body.tokens > settled.amount - settled.refunded
        refusal = Refusal(ErrorCode.REFUND_EXCEEDS, "tokens") if exceeds else None
        try:
            return await services.post(Refund(body.refund_id, settled, body.tokens, refusal))
        except Refused as refused:
            if refused.refusal.code is not ErrorCode.REFUND_MOVED or not attempts_left:
                raise
    raise AssertionError("the last attempt answers or raises")


async def known_refund(accounts: PostgresAccounts, body: RefundBody) -> Posted:
    """Of a tip whose month was moved away nothing new is refunded, and what was is answered as the
    first time. Raises Refused: TIP_UNKNOWN, TRANSFER_CONFLICT."""
    known = await accounts.load_refund(body.refund_id)
    if known is None:
        raise Refused(ErrorCode.TIP_UNKNOWN, "tipId")
    # The second: a tip from before purchases had ids of their own.
    same_tip = known.refunds in (source_ref_of(body.tip_id), f"tip:{body.tip_id}")
    if not same_tip or known.tokens != body.tokens:
        raise Refused(ErrorCode.TRANSFER_CONFLICT)
    return Posted(known.transfer_id, known.balance, first=False)


async def _account(services: Services, account_id: str) -> AccountRecord:
    """One that the caller may see. Raises Refused: FORBIDDEN, whether or not there is one;
    ACCOUNT_UNKNOWN."""
    identity = caller()
    if identity.role in (Role.VIEWER, Role.MODEL):
        own = {user_account(identity.user_id)}
        if identity.role is Role.MODEL:
            own.add(model_account(identity.user_id))
        if account_id not in own:
            raise Refused(ErrorCode.FORBIDDEN)
    found = await services.accounts.load_account(account_id)
    if found is None:
        raise Refused(ErrorCode.ACCOUNT_UNKNOWN)
    return found
