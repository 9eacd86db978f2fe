"""Gives back what was held too long: a hold may carry an expiry that refunds it (spec 2)."""

from typing import Final

import structlog
import trio

from actors.ledger import LedgerActor, Post
from actors.ports import HoldStore, StoreUnavailable
from actors.runtime.ask import Ask, AskTimeout
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from actors.transfers import HoldRecord, Outcome, Release
from protocol.errors import ErrorCode, Refusal

INTERVAL_S: Final = 5.0
"""The longest that an expired hold waits. It cannot settle any more in that time."""
HOLDS_PER_PASS: Final = 256
ANSWER_TIMEOUT_S: Final = 30.0


async def run_hold_expiry(
    store: HoldStore,
    ledger: LedgerActor,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """At once, and every `INTERVAL_S`, until cancelled. A release is a compare-and-set: several
    servers may find the same hold, one gives it back."""
    log = structlog.get_logger("tiproom.escrow")
    task_status.started()
    while True:
        try:
            holds = await store.expired_holds(HOLDS_PER_PASS)
            asks = [_release(ledger, hold) for hold in holds]
            outcomes: list[Outcome] = [await ask.wait(ANSWER_TIMEOUT_S) for ask in asks]
        except (StoreUnavailable, MailboxFull, MailboxClosed, AskTimeout) as error:
            log.warning("expired_holds_wait", reason=type(error).__name__)
        else:
            kept = 0
            for hold, outcome in zip(holds, outcomes, strict=True):
                if isinstance(outcome, Refusal) and outcome.code is not ErrorCode.HOLD_ENDED:
                    kept += 1
                    log.error("expired_hold_kept", hold_id=hold.hold_id, code=outcome.code)
            if len(holds) == HOLDS_PER_PASS and not kept:
                continue
        await trio.sleep(INTERVAL_S)


def _release(ledger: LedgerActor, hold: HoldRecord) -> Ask[Outcome]:
    ask: Ask[Outcome] = Ask()
    ledger.tell(Post(Release(hold), ask))
    return ask
