"""What must hold of menu purchases and the stage (spec 5): to the token, held = settled + refunded
+ open, and each purchase in the one state that its tokens say.

A purchase's tokens are read from the ledger alone, its state from the stage alone.
"""

from typing import Any, Final

import asyncpg
import msgspec

_STAKES: Final = """
WITH refs AS (
    SELECT p.purchase_id, r.source_ref, r.takes
    FROM menu_purchases p CROSS JOIN LATERAL (VALUES
        ('hold:' || p.purchase_id, true),
        ('purchase:' || p.purchase_id, p.queue_mode = 'OFF'),
        ('release:' || p.purchase_id, false),
        ('refund:stage:' || p.purchase_id, false)) r(source_ref, takes)
), moved AS (
    SELECT r.purchase_id,
           -sum(e.amount) FILTER (WHERE r.takes AND starts_with(e.account_id, 'user:')) AS taken,
           sum(e.amount) FILTER (WHERE NOT r.takes AND starts_with(e.account_id, 'user:'))
               AS refunded,
           sum(e.amount) FILTER (WHERE e.account_id <> 'escrow'
                                 AND NOT starts_with(e.account_id, 'user:')) AS settled
    FROM refs r JOIN transfers t USING (source_ref) JOIN entries e USING (transfer_id)
    GROUP BY r.purchase_id
), stakes AS (
    SELECT p.purchase_id, p.state, p.tokens, p.queue_mode, p.abandon_kind, p.abandon_tokens,
           p.item ->> 'vibration' IS NOT NULL AS drives_toy,
           coalesce(m.taken, 0)::bigint AS taken, coalesce(m.settled, 0)::bigint AS settled,
           coalesce(m.refunded, 0)::bigint AS refunded,
           coalesce((SELECT h.amount FROM holds h
                     WHERE h.hold_id = p.purchase_id::text AND h.state = 'HELD'), 0) AS open
    FROM menu_purchases p LEFT JOIN moved m USING (purchase_id)
)"""
"""Of each purchase: taken from its buyer, gone to model and platform, given back, still held."""

_WHO: Final = "purchase_id || ' ' || state"

STAGE_ALWAYS: Final = {
    "held and neither settled, refunded nor open": f"""
        {_STAKES} SELECT {_WHO} FROM stakes WHERE taken <> settled + refunded + open""",
    "bought for nothing, or for another price": f"""
        {_STAKES} SELECT {_WHO} FROM stakes
        WHERE CASE state WHEN 'CREATED' THEN taken NOT IN (0, tokens) WHEN 'FAILED' THEN taken <> 0
              ELSE taken <> tokens END""",
    "a hold without a purchase": """
        SELECT h.hold_id FROM holds h
        WHERE h.hold_id ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$'
          AND NOT EXISTS (SELECT FROM menu_purchases p
                          WHERE p.purchase_id::text = h.hold_id AND p.state <> 'FAILED')""",
    "moves that do not lead to its state": """
        SELECT p.purchase_id || ' ' || p.state FROM menu_purchases p
        LEFT JOIN (SELECT purchase_id, array_agg(after ORDER BY moved_at) AS path
                   FROM stage_moves GROUP BY purchase_id) m USING (purchase_id)
        WHERE CASE WHEN p.state IN ('CREATED', 'FAILED') THEN m.path IS NOT NULL
              ELSE m.path[1] IS DISTINCT FROM 'READY'
                   OR m.path[cardinality(m.path)] IS DISTINCT FROM p.state END""",
    "two performed at once": """
        SELECT model_id FROM menu_purchases WHERE state = 'STARTED'
        GROUP BY model_id HAVING count(*) > 1""",
    "a dead letter of the stage": "SELECT purchase_id || ' ' || code FROM stage_dead_letters",
}

STAGE_AT_REST: Final = {
    "nobody knows whether it was bought": """
        SELECT purchase_id FROM menu_purchases WHERE state = 'CREATED'""",
    "owed and not paid": """
        SELECT purchase_id || ' ' || kind FROM stage_payments WHERE done_at IS NULL""",
    "tokens that its state does not say": f"""
        {_STAKES} SELECT {_WHO} || ': open ' || open || ', refunded ' || refunded FROM stakes
        WHERE state <> 'FAILED' AND (
            open <> CASE WHEN queue_mode = 'ON'
                              AND (state = 'READY' OR state = 'STARTED' AND NOT drives_toy)
                         THEN tokens ELSE 0 END
            OR refunded <> CASE WHEN state = 'CANCELLED' OR abandon_kind = 'FULL_REFUND' THEN tokens
                                ELSE coalesce(abandon_tokens, 0) END)""",
}

TOTALS: Final = f"""
{_STAKES} SELECT count(*) FILTER (WHERE taken > 0) AS purchases, sum(taken)::bigint AS held,
    sum(settled)::bigint AS settled, sum(refunded)::bigint AS refunded, sum(open)::bigint AS open
FROM stakes HAVING count(*) > 0"""

MOVES: Final = "SELECT purchase_id::text, after, who FROM stage_moves"


class Totals(msgspec.Struct, frozen=True):
    """Tokens of all purchases. `held`: taken from buyers, also where it settled at once."""

    purchases: int = 0
    held: int = 0
    settled: int = 0
    refunded: int = 0
    open: int = 0


class Moved(msgspec.Struct, frozen=True):
    """One move as the database has it."""

    purchase_id: str
    after: str
    who: str


async def totals(connection: Any) -> Totals:
    row: asyncpg.Record | None = await connection.fetchrow(TOTALS)
    return Totals() if row is None else Totals(**dict(row))


async def moves(connection: Any) -> list[Moved]:
    return [Moved(**dict(row)) for row in await connection.fetch(MOVES)]
