"""What must hold of the database after every fault (spec 2), and what must hold of it at rest.

Of the ledger itself `tiproom ledger verify` is asked: balances, sums, chains, one event for each
settlement and none without, escrow. Here is what it leaves out: the consumers' effects, and what is
bought for the stage (stage_invariants.py). Each check is a query for what breaks it; the first
column of a row names what is wrong.
"""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec
import trio

from server.ledger.verify import verify
from server.ledger.watcher import Watcher
from server.store.bridge import open_bridge
from server.store.ledger_snapshot import LedgerSnapshot, read_snapshot
from tests.chaos.history import Booked
from tests.chaos.stage_invariants import (
    STAGE_ALWAYS,
    STAGE_AT_REST,
    Moved,
    Totals,
    moves,
    totals,
)

CONSUMERS: Final = ("room", "loyalty", "messaging")

BOOKED: Final = """
SELECT coalesce('buy:' || p.idempotency_key, t.source_ref) AS source_ref, t.balance,
       coalesce(max(substr(e.account_id, 6)), max(h.user_id), t.content ->> 'userId') AS user_id,
       coalesce(sum(e.amount), 0)::bigint AS tokens
FROM transfers t
LEFT JOIN entries e ON e.transfer_id = t.transfer_id AND starts_with(e.account_id, 'user:')
LEFT JOIN holds h ON t.source_ref = 'purchase:' || h.hold_id
LEFT JOIN menu_purchases p ON t.source_ref =
    CASE p.queue_mode WHEN 'ON' THEN 'hold:' ELSE 'purchase:' END || p.purchase_id
WHERE NOT starts_with(t.source_ref, 'deposit:demo:')
  AND t.source_ref NOT IN (
      SELECT kind || s.purchase_id FROM menu_purchases s
      CROSS JOIN unnest(ARRAY['release:', 'purchase:', 'refund:stage:']) kind
      WHERE s.queue_mode = 'ON' OR kind <> 'purchase:')
GROUP BY t.transfer_id, p.purchase_id"""
"""As tests/chaos/history.py compares it; without the tokens that the demo's viewers begin with.
What was bought from a menu has the name that its buyer gave it; what a move of the stage made of
its tokens nobody asked the ledger for."""

_SETTLED: Final = """
(SELECT CASE WHEN starts_with(tip_id, 'purchase:') THEN tip_id ELSE 'tip:' || tip_id END
            AS source_ref,
        tip_id, (event -> 'item' ->> 'bonusPoints')::bigint AS points
 FROM outbox)"""

ALWAYS: Final = {
    "done and not settled": """
        SELECT d.consumer || ' ' || d.tip_id FROM event_done d
        WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.tip_id = d.tip_id)""",
    "points of another number": f"""
        SELECT p.source_ref FROM points_entries p
        LEFT JOIN {_SETTLED} o USING (source_ref)
        WHERE NOT starts_with(p.source_ref, 'refund:') AND p.points IS DISTINCT FROM o.points""",
    "points not totalled": """
        SELECT user_id
        FROM points_accounts a
        FULL JOIN (SELECT user_id, sum(points) AS points FROM points_entries GROUP BY user_id) p
            USING (user_id)
        WHERE a.balance IS DISTINCT FROM p.points""",
    "a target that ended twice": """
        SELECT tip_id FROM activation_audit
        WHERE state NOT IN ('QUEUED', 'SENT', 'TIMEOUT')
        GROUP BY tip_id, target_type, target_id HAVING count(*) > 1""",
    "a target of another event": """
        SELECT a.tip_id FROM activation_audit a LEFT JOIN outbox o USING (tip_id)
        WHERE a.event_id::text IS DISTINCT FROM o.event ->> 'eventId'""",
}

AT_REST: Final = {
    "not done by": """
        SELECT c.name || ' ' || o.tip_id FROM unnest($1::text[]) c(name) CROSS JOIN outbox o
        WHERE NOT EXISTS (
            SELECT FROM event_done d WHERE d.consumer = c.name AND d.tip_id = o.tip_id)""",
    "no points earned, or none taken back": """
        SELECT t.source_ref FROM transfers t
        WHERE 'loyalty' = ANY ($1::text[]) AND t.kind IN ('tip', 'purchase', 'refund')
          AND NOT EXISTS (SELECT FROM points_entries p WHERE p.source_ref = t.source_ref)""",
    "a thanks that was never sent": """
        SELECT m.tip_id FROM mood_messages m
        WHERE 'messaging' = ANY ($1::text[]) AND m.tip_id IS NOT NULL AND m.state = 'failed'
           OR 'messaging' = ANY ($1::text[]) AND m.tip_id IS NOT NULL AND m.state = 'pending'
              AND m.due_at < now() - interval '1 minute'""",
    "no thanks at all": """
        SELECT o.tip_id FROM outbox o
        WHERE 'messaging' = ANY ($1::text[])
          AND NOT EXISTS (SELECT FROM mood_messages m WHERE m.tip_id = o.tip_id)""",
    "a target that never ended": """
        SELECT tip_id FROM activation_audit
        WHERE 'room' = ANY ($1::text[])
        GROUP BY tip_id, target_type, target_id
        HAVING bool_and(state IN ('QUEUED', 'SENT', 'TIMEOUT'))""",
    "no target at all": """
        SELECT o.tip_id FROM outbox o
        WHERE 'room' = ANY ($1::text[])
          AND NOT EXISTS (SELECT FROM activation_audit a WHERE a.tip_id = o.tip_id)""",
}


class Findings(msgspec.Struct, frozen=True):
    """The broken invariants, and the transfers to compare with histories."""

    problems: list[str]
    booked: list[Booked]
    totals: Totals = Totals()
    """Of what was bought from menus."""
    moved: Sequence[Moved] = ()


def look(dsn: str, *, consumers: Sequence[str] = CONSUMERS, at_rest: bool = False) -> Findings:
    """Beside a server that may be at work. `consumers`: those that have run; at rest they have done
    everything. Raises what asyncpg raises, StoreUnavailable."""

    async def main() -> Findings:
        async with open_bridge() as bridge:
            verified = await read_snapshot(bridge, dsn, audit)
            effects = await bridge.run(_effects, dsn, list(consumers), at_rest)
        ledger = [str(finding) for finding in verified.findings.listed]
        return msgspec.structs.replace(effects, problems=[*ledger, *effects.problems])

    async def audit(snapshot: LedgerSnapshot) -> Any:
        return await verify(snapshot, Watcher())

    return trio.run(main)


async def _effects(dsn: str, consumers: list[str], at_rest: bool) -> Findings:
    connection = await asyncpg.connect(dsn)
    found: list[str] = []
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # Without it, what was planned for empty tables would take seconds in full ones.
            await connection.execute("SET LOCAL enable_nestloop = off")
            for name, sql in (ALWAYS | STAGE_ALWAYS | (STAGE_AT_REST if at_rest else {})).items():
                found += [f"{name}: {row[0]}" for row in await connection.fetch(sql)]
            for name, sql in AT_REST.items() if at_rest else ():
                found += [f"{name}: {row[0]}" for row in await connection.fetch(sql, consumers)]
            rows = await connection.fetch(BOOKED)
            bought, moved = await totals(connection), await moves(connection)
    finally:
        await connection.close()
    booked = [
        Booked(row["source_ref"], row["user_id"], row["tokens"], row["balance"]) for row in rows
    ]
    return Findings(found, booked, bought, moved)
