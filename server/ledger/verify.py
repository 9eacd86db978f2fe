"""Proof of the ledger (spec: ledger, Proof): everything recomputed from the entries, over one
snapshot, while the server runs. Memory does not grow with the ledger."""

from collections.abc import Callable

import msgspec

from server.ledger.books import check_archive, check_event_order, check_holds, check_points
from server.ledger.chains import Chains
from server.ledger.findings import Findings
from server.ledger.refunds import Refunds
from server.ledger.settled import SettledTransfers
from server.ledger.watcher import Watcher
from server.store import queries
from server.store.bridge import together
from server.store.ledger_snapshot import LedgerSnapshot, Row


class Verified(msgspec.Struct, frozen=True):
    """What was looked at, and what was found. All holds if `findings.total` is 0."""

    findings: Findings
    entries: int
    accounts: int
    transfers: int
    events: int
    holds: int


async def verify(
    snapshot: LedgerSnapshot, watcher: Watcher, beside: LedgerSnapshot | None = None
) -> Verified:
    """Check all of it. Waits for as long as that takes (bench/audit_speed.py measures it).
    `beside`: the same moment on a connection of its own, so that PostgreSQL sorts the entries
    while the transfers are looked at."""
    findings, of_transfers = Findings(), Findings()
    archived_us = await check_archive(snapshot, findings)

    entries = await snapshot.value(queries.COUNT_ENTRIES)
    watcher.begin("entries and transfers", entries + await snapshot.value(queries.COUNT_TRANSFERS))
    chains = Chains(findings)
    transfers = SettledTransfers(of_transfers, archived_us)
    looks = (
        snapshot.stream(queries.AUDIT_CHAINS, _watched(chains.take, watcher)),
        (beside or snapshot).stream(queries.AUDIT_SETTLED, _watched(transfers.take, watcher)),
    )
    if beside is not None:
        await together(*looks)
    else:  # a connection does one thing at a time
        for look in looks:
            await look
    chains.end()
    findings.take(of_transfers)

    watcher.begin("refunds, holds, points", 0)
    refunds = Refunds(findings)
    await snapshot.stream(queries.AUDIT_REFUNDS, refunds.take)
    refunds.end()
    holds = await check_holds(snapshot, findings, chains.escrow)
    await check_points(snapshot, findings)
    await check_event_order(snapshot, findings)
    return Verified(
        findings=findings,
        entries=chains.entries,
        accounts=chains.accounts,
        transfers=transfers.transfers,
        events=transfers.events,
        holds=holds,
    )


def _watched(take: Callable[[list[Row]], None], watcher: Watcher) -> Callable[[list[Row]], None]:
    def take_and_tell(rows: list[Row]) -> None:
        take(rows)
        watcher.advance(len(rows))

    return take_and_tell
