"""Gives back what was held too long: a hold may carry an expiry that refunds it (spec 2)."""

from collections.abc import Sequence
from typing import Final

import structlog
import trio

from actors.ledger import LedgerActor, Post
from actors.ports import ExpiredHold, HoldStore, StoreUnavailable
from actors.runtime.ask import Ask, AskTimeout
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from actors.transfers import Outcome, Release
from protocol.errors import ErrorCode, Refusal

INTERVAL_S: Final = 5.0
"""The longest that an expired hold waits. It cannot settle any more in that time."""
HOLDS_PER_PAGE: Final = 256
KEPT_REST_S: Final = 300.0
"""Before a hold that the ledger refused to give back is tried again: what is wrong with it does not
mend itself, and thousands of them would be the ledger's main work."""
ANSWER_TIMEOUT_S: Final = 30.0


async def run_hold_expiry(
    store: HoldStore,
    ledger: LedgerActor,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """All that have expired, page by page, at once and every `INTERVAL_S`, until cancelled. A
    release is a compare-and-set: several servers may find the same hold, one gives it back. One
    that cannot go back holds up none behind it."""
    log = structlog.get_logger("tiproom.escrow")
    sweep = _Sweep(ledger)
    task_status.started()
    last: ExpiredHold | None = None
    while True:
        try:
            page = await store.expired_holds(last, HOLDS_PER_PAGE)
            await sweep.give_back(page)
        except (StoreUnavailable, MailboxFull, MailboxClosed, AskTimeout) as error:
            log.warning("expired_holds_wait", reason=type(error).__name__)
        except Exception:
            # A fault of ours: holds wait for the next look, and nothing else of the server does.
            log.exception("expired_holds_wait")
        else:
            last = page[-1] if len(page) == HOLDS_PER_PAGE else None
            if last is not None:
                continue
        await trio.sleep(INTERVAL_S)


class _Sweep:
    def __init__(self, ledger: LedgerActor) -> None:
        self._ledger = ledger
        self._rests_until_s: dict[str, float] = {}
        """Holds that were refused."""
        self._log = structlog.get_logger("tiproom.escrow")

    async def give_back(self, holds: Sequence[ExpiredHold]) -> None:
        """Raises MailboxFull, MailboxClosed, AskTimeout."""
        now_s = trio.current_time()
        # Those that are over, too: such a hold may have ended in another way.
        self._rests_until_s = {
            each: until_s for each, until_s in self._rests_until_s.items() if until_s > now_s
        }
        due = [each for each in holds if each.hold_id not in self._rests_until_s]
        asks = [self._release(hold) for hold in due]
        for hold, ask in zip(due, asks, strict=True):
            outcome = await ask.wait(ANSWER_TIMEOUT_S)
            if not isinstance(outcome, Refusal) or outcome.code is ErrorCode.HOLD_ENDED:
                continue
            self._log.error("expired_hold_kept", hold_id=hold.hold_id, code=outcome.code)
            if outcome.code is not ErrorCode.LEDGER_UNAVAILABLE:  # that may be over in a moment
                self._rests_until_s[hold.hold_id] = now_s + KEPT_REST_S

    def _release(self, hold: ExpiredHold) -> Ask[Outcome]:
        ask: Ask[Outcome] = Ask()
        self._ledger.tell(Post(Release(hold), ask))
        return ask
