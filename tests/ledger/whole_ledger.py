"""A ledger with every kind of transfer in it, and what an auditor says of it."""

from actors.ports import UserRecord
from actors.transfers import Deposit
from protocol.tip_activated import MembershipTier, TipActivated
from server.ledger.findings import Finding
from server.ledger.verify import Verified, verify
from server.ledger.watcher import Watcher
from server.store.bridge import Bridge
from server.store.ledger_snapshot import LedgerSnapshot, read_two_snapshots
from server.store.store import Store
from tests.store.rows import pending_events
from tests.store.settlements import tip
from tests.store.transfers import (
    FAR_AHEAD,
    held,
    hold,
    post_first,
    refund_of,
    release_of,
    settlement_of,
)

ALEX, SAM = "alex", "sam"


async def fill(store: Store) -> None:
    """Deposits, tips at several shares, holds of every end, refunds in parts, points."""
    await open_wallets(store)
    await post_first(store, tip("t-1", ALEX, 15), tip("t-2", SAM, 1), tip("t-3", ALEX, 100))
    await post_first(store, tip("t-4", ALEX, 40, share_percent=100, model_id="model-2"))
    await post_first(store, tip("t-5", SAM, 30, share_percent=0, username='Ünï "q" \\ \U0001f600'))
    await post_first(store, tip("purchase:direct", SAM, 25))
    await post_first(store, settlement_of(await held(store, hold("h-settled", ALEX, 20))))
    await post_first(store, settlement_of(await held(store, hold("h-partly", SAM, 21)), 7))
    await held(store, hold("h-released", ALEX, 9, expires_at=FAR_AHEAD))
    await post_first(store, await release_of(store, "h-released"))
    await held(store, hold("h-held", ALEX, 33, expires_at=FAR_AHEAD))
    await held(store, hold("h-also-held", SAM, 4))
    await do_events(store)
    for number, (source_ref, tokens) in enumerate(
        [
            ("tip:t-3", 33),
            ("tip:t-3", 10),
            ("tip:t-3", 57),
            ("purchase:h-partly", 5),
            ("tip:t-1", 2),
        ]
    ):
        await post_first(store, await refund_of(store, f"r-{number}", source_ref, tokens))
    await store.loyalty.take_back_points(100)


async def open_wallets(store: Store) -> None:
    for user_id in (ALEX, SAM):
        await store.members.save_user(UserRecord(user_id, user_id, MembershipTier.FREE))
        await post_first(store, Deposit(f"{user_id}-1", user_id, 1000))


async def do_events(store: Store) -> list[TipActivated]:
    """All consumers are done with all events; points are credited."""
    events = await pending_events(store, "loyalty", 1000)
    await store.loyalty.credit_points(events)
    rooms = await pending_events(store, "room", 1000)
    await store.rooms.append_audit([], [event.tip_id for event in rooms])
    await store.messages.record_thanks(await pending_events(store, "messaging", 1000), [])
    return events


async def audit(bridge: Bridge, dsn: str) -> Verified:
    async def work(snapshot: LedgerSnapshot, beside: LedgerSnapshot) -> Verified:
        return await verify(snapshot, Watcher(), beside)

    return await read_two_snapshots(bridge, dsn, work)


async def findings(bridge: Bridge, dsn: str) -> list[Finding]:
    return (await audit(bridge, dsn)).findings.listed
