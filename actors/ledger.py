"""Ledger actor: the one writer of tips. It settles what queued up during the last commit.

One round trip and one commit carry the whole batch, each request with its own outcome; at low
load a batch is one tip and waits for no timer. Only what the database has committed is answered,
and only a first settlement is handed to the consumers: the event is emitted once.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import structlog
import trio

from actors.ports import LedgerStore, Settled, Settlement, SettlementOutcome, StoreUnavailable
from actors.runtime.mailbox import Mailbox
from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import TipActivated

MAILBOX_LIMIT: Final = 10_000
BATCH_MAX: Final = 256
"""Tips in one commit: enough to make the commit's cost small, few enough to keep it short."""


class SettlementReply(Protocol):
    """Where the outcome goes; never waits."""

    def answer(self, result: SettlementOutcome) -> None: ...


class SettleRequest(msgspec.Struct, frozen=True):
    settlement: Settlement
    reply_to: SettlementReply


class Consumer(Protocol):
    """A reader of TipActivated, each tipId once, however often it is handed over."""

    @property
    def name(self) -> str: ...

    def hand(self, event: TipActivated) -> None:
        """Never waits, never fails: what cannot be taken now comes again by the relay."""
        ...


class LedgerStatistics(msgspec.Struct, frozen=True, rename="camel"):
    waiting: int
    batches: int
    settled: int
    last_batch: int


class LedgerActor:
    """`tell` it a SettleRequest; run it in a nursery of the application."""

    def __init__(self, store: LedgerStore, consumers: Sequence[Consumer]) -> None:
        self._store = store
        self._consumers = list(consumers)
        self._mailbox: Mailbox[SettleRequest] = Mailbox(MAILBOX_LIMIT)
        self._ended = trio.Event()
        self._batches = self._settled = self._last_batch = 0
        self._log = structlog.get_logger("tiproom.ledger")

    def tell(self, request: SettleRequest) -> None:
        """Raises MailboxFull, MailboxClosed."""
        self._mailbox.put(request)

    def add_consumer(self, consumer: Consumer) -> None:
        """Before the actor runs."""
        self._consumers.append(consumer)

    def statistics(self) -> LedgerStatistics:
        waiting = self._mailbox.statistics().waiting
        return LedgerStatistics(waiting, self._batches, self._settled, self._last_batch)

    async def drain(self) -> None:
        """Take no more, and return when what waits is settled and `run` has ended."""
        self._mailbox.close()
        await self._ended.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until `drain`, and then until what waited is settled."""
        task_status.started()
        while (first := await self._mailbox.get()) is not None:
            batch = [first]
            while len(batch) < BATCH_MAX and (request := self._mailbox.get_nowait()) is not None:
                batch.append(request)
            await self._settle(batch)
        self._ended.set()

    async def _settle(self, batch: list[SettleRequest]) -> None:
        self._batches += 1
        self._last_batch = len(batch)
        outcomes: Sequence[SettlementOutcome]
        # Settled or not: nobody knows after a failure. The same tipId again finds out.
        unknown = [Refusal(ErrorCode.LEDGER_UNAVAILABLE)] * len(batch)
        try:
            outcomes = await self._store.settle([request.settlement for request in batch])
        except StoreUnavailable:
            self._log.error("settlement_unknown", tips=len(batch))
            outcomes = unknown
        except Exception:
            # A fault of ours: these tips answer for it, not every room of the process.
            self._log.exception("settlement_failed", tips=len(batch))
            outcomes = unknown
        for request, outcome in zip(batch, outcomes, strict=True):
            request.reply_to.answer(outcome)
            if isinstance(outcome, Settled) and outcome.first:
                self._settled += 1
                for consumer in self._consumers:
                    consumer.hand(outcome.event)
