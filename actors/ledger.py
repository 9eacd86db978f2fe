"""Ledger actor: the one writer of balances. It posts what queued up during the last commit.

One round trip and one commit carry the whole batch, each request with its own outcome; at low
load a batch is one transfer and waits for no timer. Only what the database has committed is
answered, and only a first settlement is handed to the consumers: the event is emitted once.

Transfers go in two lanes, by their wallet: one lane's batch is made and answered while the other's
commits, and of one wallet nothing overtakes.
"""

from collections.abc import Sequence
from typing import Final, Protocol
from zlib import crc32

import msgspec
import structlog
import trio

from actors.ports import LedgerStore, StoreUnavailable
from actors.runtime.mailbox import Mailbox
from actors.transfers import Outcome, Settled, Settlement, Transfer, wallet_owner
from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import TipActivated

LANE_LIMIT: Final = 10_000
BATCH_MAX: Final = 256
"""Transfers in one commit: enough to make the commit's cost small, few enough to keep it short."""
LANES: Final = 2
"""The database posts one batch at a time; more lanes would only make them smaller."""


class OutcomeReply(Protocol):
    """Where the outcome goes; never waits."""

    def answer(self, result: Outcome) -> None: ...


class Post(msgspec.Struct, frozen=True):
    transfer: Transfer
    reply_to: OutcomeReply


class Consumer(Protocol):
    """A reader of TipActivated, each tipId once, however often it is handed over."""

    @property
    def name(self) -> str: ...

    def hand(self, event: TipActivated) -> None:
        """Never waits, never fails: what cannot be taken now comes again by the relay."""
        ...


class WalletWatcher(Protocol):
    """Learns what is left in a wallet after every transfer that is posted for the first time, in
    the order in which the ledger posted them, and behind the answer to whoever asked for it."""

    def balance_changed(self, user_id: str, balance: int) -> None:
        """Never waits, never fails."""
        ...


class LedgerStatistics(msgspec.Struct, frozen=True, rename="camel"):
    waiting: int
    batches: int
    settled: int
    """Tips and purchases; other transfers emit nothing and are not counted."""
    last_batch: int


class LedgerActor:
    """`tell` it a Post; run it in a nursery of the application. A wallet's transfers are posted and
    answered in the order in which they were told."""

    def __init__(
        self, store: LedgerStore, consumers: Sequence[Consumer], *, batch_max: int = BATCH_MAX
    ) -> None:
        """`batch_max`: transfers in one commit, at least 1."""
        self._store = store
        self._batch_max = batch_max
        self._consumers = list(consumers)
        self._watchers: list[WalletWatcher] = []
        self._lanes: list[Mailbox[Post]] = [Mailbox(LANE_LIMIT) for _ in range(LANES)]
        self._ended = trio.Event()
        self._batches = self._settled = self._last_batch = 0
        self._log = structlog.get_logger("tiproom.ledger")

    def tell(self, request: Post) -> None:
        """Raises MailboxFull, MailboxClosed."""
        # Not hash(), which another process would answer differently.
        wallet = wallet_owner(request.transfer).encode()
        self._lanes[crc32(wallet) % LANES].put(request)

    def add_consumer(self, consumer: Consumer) -> None:
        """Before the actor runs."""
        self._consumers.append(consumer)

    def watch_wallets(self, watcher: WalletWatcher) -> None:
        """Before the actor runs."""
        self._watchers.append(watcher)

    def statistics(self) -> LedgerStatistics:
        waiting = sum(len(lane) for lane in self._lanes)
        return LedgerStatistics(waiting, self._batches, self._settled, self._last_batch)

    async def drain(self) -> None:
        """Take no more, and return when what waits is posted and `run` has ended."""
        for lane in self._lanes:
            lane.close()
        await self._ended.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until `drain`, and then until what waited is posted."""
        task_status.started()
        async with trio.open_nursery() as nursery:
            for lane in self._lanes:
                nursery.start_soon(self._run_lane, lane)
        self._ended.set()

    async def _run_lane(self, lane: Mailbox[Post]) -> None:
        while (first := await lane.get()) is not None:
            batch = [first]
            while len(batch) < self._batch_max and (request := lane.get_nowait()) is not None:
                batch.append(request)
            await self._post(batch)

    async def _post(self, batch: list[Post]) -> None:
        self._batches += 1
        self._last_batch = len(batch)
        outcomes: Sequence[Outcome]
        # Posted or not: nobody knows after a failure. The same request again finds out.
        unknown = [Refusal(ErrorCode.LEDGER_UNAVAILABLE)] * len(batch)
        try:
            outcomes = await self._store.post([request.transfer for request in batch])
        except StoreUnavailable:
            self._log.error("posting_unknown", transfers=len(batch))
            outcomes = unknown
        except Exception:
            # A fault of ours: these requests answer for it, not every room of the process.
            self._log.exception("posting_failed", transfers=len(batch))
            outcomes = unknown
        for request, outcome in zip(batch, outcomes, strict=True):
            request.reply_to.answer(outcome)
            if isinstance(outcome, Refusal) or not outcome.first:
                continue
            if isinstance(outcome, Settled):
                self._emit(request.transfer)
            for watcher in self._watchers:
                watcher.balance_changed(wallet_owner(request.transfer), outcome.balance)

    def _emit(self, transfer: Transfer) -> None:
        assert isinstance(transfer, Settlement)
        assert transfer.event is not None
        self._settled += 1
        for consumer in self._consumers:
            consumer.hand(transfer.event)
