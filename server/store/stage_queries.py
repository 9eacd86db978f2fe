"""The SQL of purchases from performance menus and of stages, by name. The rest: queries.py."""

from typing import Final

_STAGE_ITEM: Final = """
SELECT p.purchase_id, p.user_id::text, p.username, p.item_id::text, p.item, p.tokens, p.queue_mode,
       p.duration_sec, p.state, p.settled, p.ready_at, p.started_at, p.abandon_kind,
       p.abandon_tokens"""

# ---- buying ------------------------------------------------------------------------------------

LOCK_BUYERS: Final = """
SELECT u.user_id::text FROM users u WHERE u.user_id = ANY($1::text[])
ORDER BY u.user_id FOR NO KEY UPDATE"""
"""One purchase of a user after the other, on all servers: so that keys and daily limits hold."""

LOAD_PURCHASE_BEGUN: Final = """
SELECT purchase_id, user_id::text, room_id::text, broadcast_id::text, model_id::text, menu_id::text,
       item_id::text, item, tokens, queue_mode, start_offset_ms, state, answer,
       node = $2 OR attempted_at < now() - $3 * interval '1 second' AS free
FROM menu_purchases
WHERE purchase_id = $1"""

TAKE_PURCHASE: Final = """
UPDATE menu_purchases SET node = $2, attempted_at = now()
WHERE purchase_id = $1 AND state = 'CREATED'"""

LOOK: Final = """
SELECT (SELECT k.purchase_id FROM menu_purchases k
        WHERE k.user_id = $3 AND k.idempotency_key = $4 AND k.state <> 'FAILED') AS known_id,
       m.menu_id IS NOT NULL AS found, m.model_id::text, m.queue_mode, m.visibility,
       m.active AND i.active AS active,
       i.version, i.item_id, i.name, i.description, i.token_value, i.bonus_points, i.vibration,
       i.start_offset_ms, i.duration_sec, i.active AS item_active, i.position, i.category, i.icon,
       i.max_daily_purchases,
       (SELECT r.room_id::text FROM rooms r WHERE r.model_id = m.model_id) AS room_id,
       (SELECT b.broadcast_id::text FROM broadcasts b JOIN rooms r ON r.room_id = b.room_id
        WHERE r.model_id = m.model_id AND b.ended_at IS NULL) AS broadcast_id,
       EXISTS (SELECT FROM subscriptions s WHERE s.user_id = $3 AND s.model_id = m.model_id
               AND s.active_until > now()) AS is_subscriber,
       EXISTS (SELECT FROM menu_whitelists w WHERE w.menu_id = m.menu_id AND w.user_id = $3)
           AS is_listed,
       (SELECT count(*) FROM menu_purchases p
        WHERE p.user_id = $3 AND p.item_id = $2
          AND p.created_at >= date_trunc('day', now(), 'UTC')
          AND p.state NOT IN ('FAILED', 'CANCELLED')
          AND p.abandon_kind IS DISTINCT FROM 'FULL_REFUND') AS bought_today
FROM (VALUES (1)) one LEFT JOIN menus m ON m.menu_id = $1
LEFT JOIN menu_items i ON i.menu_id = m.menu_id AND i.item_id = $2"""
"""A purchase of this key, and what is on offer: one row. What was given back whole does not count
for the day."""

LOCK_STAGES: Final = """
SELECT s.model_id::text, s.stage_order FROM stages s WHERE s.model_id = ANY($1::text[])
ORDER BY s.model_id FOR UPDATE"""

ADD_PURCHASE: Final = """
INSERT INTO menu_purchases (purchase_id, user_id, username, idempotency_key, model_id, room_id,
                            broadcast_id, menu_id, item_id, item, tokens, queue_mode,
                            start_offset_ms, duration_sec, node)
SELECT $1, $2, $3, $4, $5::public_id, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
WHERE $12 = 'OFF' OR (SELECT count(*) FROM menu_purchases
                      WHERE model_id = $5::public_id AND queue_mode = 'ON'
                        AND state IN ('CREATED', 'READY', 'STARTED')) < $16
RETURNING purchase_id"""
"""Nothing is added where the stage is as deep as it may be; its lock is held."""

LOCK_PAID: Final = f"""{_STAGE_ITEM}, p.model_id::text, p.created_at, p.answer, now()
FROM menu_purchases p
WHERE p.purchase_id = ANY($1::uuid[])
ORDER BY p.purchase_id FOR UPDATE"""
"""Before the stages: in this order wherever both are held."""

LINES: Final = """
SELECT p.model_id::text, p.purchase_id, p.item_id::text, p.tokens, p.duration_sec, p.state,
       p.ready_at, p.started_at
FROM menu_purchases p
WHERE p.model_id = ANY($1::text[]) AND p.queue_mode = 'ON' AND p.state IN ('READY', 'STARTED')"""

CONFIRM_PURCHASE: Final = """
WITH confirmed AS (
    UPDATE menu_purchases
    SET state = 'READY', ready_at = now(), settled = queue_mode = 'OFF', answer = $2
    WHERE purchase_id = $1
    RETURNING purchase_id, user_id
)
INSERT INTO stage_moves (purchase_id, before, after, who)
SELECT purchase_id, 'CREATED', 'READY', user_id FROM confirmed"""
"""One that is CREATED, and locked."""

FAIL_PURCHASE: Final = """
UPDATE menu_purchases SET state = 'FAILED', failed_code = $2
WHERE purchase_id = $1 AND state = 'CREATED'
  AND NOT EXISTS (SELECT FROM transfers WHERE source_ref IN
                  ('hold:' || purchase_id, 'purchase:' || purchase_id))"""

STALE_PURCHASES: Final = """
SELECT p.purchase_id, p.model_id::text,
       (SELECT t.balance FROM transfers t
        WHERE t.source_ref = CASE p.queue_mode WHEN 'ON' THEN 'hold:' ELSE 'purchase:' END
                             || p.purchase_id) AS balance
FROM menu_purchases p
WHERE p.state = 'CREATED' AND p.attempted_at < now() - $1 * interval '1 second'
ORDER BY p.attempted_at
LIMIT $2
FOR UPDATE OF p SKIP LOCKED"""

# ---- stages ------------------------------------------------------------------------------------

ITEMS_ON_STAGE: Final = f"""{_STAGE_ITEM}
FROM menu_purchases p
WHERE p.model_id = $1 AND p.queue_mode = 'ON' AND p.state IN ('READY', 'STARTED')"""

LOAD_STAGE_ITEM: Final = f"{_STAGE_ITEM} FROM menu_purchases p WHERE p.purchase_id = $1"

LOAD_STAGE: Final = """
SELECT s.stage_order, r.room_id::text,
       (SELECT greatest(p.started_at, p.ended_at) FROM menu_purchases p
        WHERE p.model_id = s.model_id AND p.queue_mode = 'ON'
          AND greatest(p.started_at, p.ended_at) IS NOT NULL
        ORDER BY greatest(p.started_at, p.ended_at) DESC LIMIT 1) AS last_moved_at
FROM stages s JOIN rooms r ON r.model_id = s.model_id
WHERE s.model_id = $1"""

BUSY_STAGES: Final = """
SELECT DISTINCT model_id::text FROM menu_purchases
WHERE queue_mode = 'ON' AND state IN ('READY', 'STARTED')"""

MOVE_PURCHASE: Final = """
WITH on_air AS (
    SELECT b.broadcast_id FROM broadcasts b JOIN rooms r ON r.room_id = b.room_id
    WHERE $3 = 'STARTED' AND b.ended_at IS NULL
      AND r.model_id = (SELECT p.model_id FROM menu_purchases p WHERE p.purchase_id = $1)
    FOR SHARE OF b
), moved AS (
    UPDATE menu_purchases
    SET state = $3,
        started_at = CASE WHEN $3 = 'STARTED' THEN now() ELSE started_at END,
        ended_at = CASE WHEN $3 = 'STARTED' THEN NULL ELSE now() END,
        settled = settled OR $5::text IS NOT DISTINCT FROM 'SETTLE',
        abandon_kind = $8, abandon_tokens = $9
    WHERE purchase_id = $1 AND state = $2
      AND ($3 <> 'STARTED' OR EXISTS (SELECT FROM on_air))
    RETURNING purchase_id
), recorded AS (
    INSERT INTO stage_moves (purchase_id, before, after, who)
    SELECT purchase_id, $2, $3, $4 FROM moved
), owed AS (
    INSERT INTO stage_payments (purchase_id, step, kind, refund_tokens)
    SELECT purchase_id, $6, $5, $7 FROM moved WHERE $5::text IS NOT NULL
)
SELECT (SELECT now() FROM moved) AS moved_at,
       $3 <> 'STARTED' OR EXISTS (SELECT FROM on_air) AS may_start"""
"""A broadcast that is held cannot end before the statement does: see
refuse_end_while_performing()."""

SAVE_STAGE_ORDER: Final = """
UPDATE stages s SET stage_order = $2 FROM stages old
WHERE s.model_id = $1 AND old.model_id = s.model_id
RETURNING old.stage_order"""

# ---- payments ----------------------------------------------------------------------------------

_OWED: Final = """
FROM stage_payments p
WHERE p.done_at IS NULL
  AND NOT EXISTS (SELECT FROM stage_payments e WHERE e.purchase_id = p.purchase_id
                  AND e.step < p.step AND e.done_at IS NULL)
  AND NOT EXISTS (SELECT FROM stage_dead_letters d WHERE d.purchase_id = p.purchase_id
                  AND d.step = p.step AND d.state <> 'retried')"""

OWING_PURCHASES: Final = f"SELECT p.purchase_id {_OWED} ORDER BY p.owed_at LIMIT $1"

LOAD_OWED: Final = f"""
SELECT p.step, p.kind, p.refund_tokens,
       (SELECT b.start_offset_ms FROM menu_purchases b WHERE b.purchase_id = p.purchase_id)
           AS start_offset_ms,
       (SELECT count(*) FROM stage_failures f WHERE f.purchase_id = p.purchase_id
        AND f.step = p.step
        AND f.failed_at > coalesce((SELECT max(d.died_at) FROM stage_dead_letters d
                                    WHERE d.purchase_id = p.purchase_id AND d.step = p.step),
                                   '-infinity')) AS failures
{_OWED} AND p.purchase_id = $1
ORDER BY p.step LIMIT 1"""

PAYMENT_DONE: Final = """
UPDATE stage_payments SET done_at = now()
WHERE purchase_id = $1 AND step = $2 AND done_at IS NULL"""

RECORD_FAILURE: Final = """
INSERT INTO stage_failures (purchase_id, step, code) VALUES ($1, $2, $3)"""

ADD_STAGE_LETTER: Final = """
INSERT INTO stage_dead_letters (letter_id, purchase_id, step, code) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING"""

# ---- what people see ---------------------------------------------------------------------------

_PURCHASE: Final = """
SELECT p.purchase_id, p.user_id::text, p.username, p.model_id::text, p.menu_id::text,
       p.item_id::text, p.item, p.tokens, p.queue_mode, p.duration_sec, p.state, p.created_at,
       p.started_at, p.ended_at, p.abandon_kind, p.abandon_tokens,
       EXISTS (SELECT FROM stage_payments o WHERE o.purchase_id = p.purchase_id
               AND o.done_at IS NULL) AS payment_due
FROM menu_purchases p"""

LOAD_PURCHASE: Final = f"{_PURCHASE} WHERE p.purchase_id = $1 AND p.state <> 'FAILED'"

PURCHASES_OF_USER: Final = f"""{_PURCHASE}
WHERE p.user_id = $1 AND p.state <> 'FAILED' AND ($2::uuid IS NULL OR p.purchase_id < $2)
ORDER BY p.purchase_id DESC
LIMIT $3"""

PURCHASES_ON_STAGE: Final = f"""{_PURCHASE}
WHERE p.model_id = $1 AND p.queue_mode = 'ON' AND p.state IN ('READY', 'STARTED')"""

STAGE_MOVES: Final = """
SELECT before, after, who, moved_at AS at FROM stage_moves
WHERE purchase_id = $1 ORDER BY moved_at, after"""

_STAGE_LETTER: Final = """
SELECT d.letter_id, d.purchase_id, p.model_id::text, p.user_id::text, o.kind, o.refund_tokens,
       p.tokens, d.code, d.died_at, d.state, d.decided_by, d.decided_at, d.note,
       o.done_at IS NOT NULL AS paid
FROM stage_dead_letters d
JOIN stage_payments o ON o.purchase_id = d.purchase_id AND o.step = d.step
JOIN menu_purchases p ON p.purchase_id = d.purchase_id"""

LIST_STAGE_LETTERS: Final = f"""{_STAGE_LETTER}
WHERE d.state = $1 AND ($2::uuid IS NULL OR d.letter_id > $2)
ORDER BY d.letter_id
LIMIT $3"""

LOAD_STAGE_LETTER: Final = f"{_STAGE_LETTER} WHERE d.letter_id = $1"

DECIDE_STAGE_LETTER: Final = """
UPDATE stage_dead_letters SET state = $2, decided_by = $3, decided_at = now(), note = $4
WHERE letter_id = $1 AND state = 'open'
RETURNING true"""

STAGE_MEASURES: Final = """
SELECT coalesce((SELECT max(n) FROM (
           SELECT count(*) AS n FROM menu_purchases
           WHERE queue_mode = 'ON' AND state IN ('CREATED', 'READY', 'STARTED')
           GROUP BY model_id) stage), 0) AS depth,
       (SELECT count(*) FROM stage_failures
        WHERE failed_at > now() - interval '1 hour') AS failures,
       (SELECT count(*) FROM stage_dead_letters WHERE state = 'open') AS letters"""
