"""The SQL statements of the store, by name; of menus and stages in menu_queries.py and
stage_queries.py. What the ledger does in one transaction is a function
in migrations/0001_ledger.sql; here is only its call."""

from typing import Final

# ---- migrations ------------------------------------------------------------------------------

LOCK_MIGRATIONS: Final = "SELECT pg_advisory_lock(8466837)"
"""Held by the session: one starter at a time. The number is only ours."""

CREATE_MIGRATIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""

HAS_MIGRATIONS: Final = "SELECT to_regclass('schema_migrations') IS NOT NULL"

LIST_MIGRATIONS: Final = "SELECT name, checksum FROM schema_migrations"

RECORD_MIGRATION: Final = "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)"

# ---- the server's turn -----------------------------------------------------------------------

TRY_TURN: Final = "SELECT pg_try_advisory_lock(8466836)"

WAIT_FOR_TURN: Final = "SELECT pg_advisory_lock(8466836)"
"""Held by the session, as long as its server runs."""

COUNT_SESSIONS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = $1"""

# ---- ledger ----------------------------------------------------------------------------------

POST_TRANSFERS: Final = """
SELECT outcome, transfer_id, balance, answer
FROM post_transfers($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                    $18, $19)"""
"""One round trip, one transaction, one row for each request, in order."""

LOAD_ACCOUNT: Final = """
SELECT account_id, kind, owner_id::text AS owner_id, balance, last_seq, created_at
FROM accounts WHERE account_id = $1"""

LOAD_ENTRIES: Final = """
SELECT e.seq, e.entry_id, e.transfer_id, t.source_ref, e.amount, e.balance_after, e.hash,
       e.created_at
FROM entries e JOIN transfers t ON t.transfer_id = e.transfer_id
WHERE e.account_id = $1 AND e.seq < coalesce($2::bigint, 9223372036854775807)
ORDER BY e.seq DESC
LIMIT $3"""

_HOLD: Final = """
SELECT hold_id, user_id, room_id, broadcast_id, model_id, amount, item, expires_at, debit_ref,
       created_at, state, refunded, ended_at
FROM holds"""

LOAD_HOLD: Final = f"{_HOLD} WHERE hold_id = $1"

EXPIRED_HOLDS: Final = """
SELECT hold_id, user_id, amount, expires_at
FROM holds
WHERE state = 'HELD' AND expires_at <= now()
  AND (expires_at, hold_id::text) > (coalesce($1::timestamptz, '-infinity'), $2::text)
ORDER BY expires_at, hold_id::text
LIMIT $3"""

LOAD_SETTLED: Final = """
SELECT t.source_ref,
       o.event -> 'tipper' ->> 'userId' AS user_id,
       o.event -> 'model' ->> 'modelId' AS model_id,
       (o.event -> 'transaction' ->> 'amount')::int AS amount,
       (SELECT e.amount::int FROM entries e
        WHERE e.transfer_id = t.transfer_id
          AND e.entry_id = (o.event -> 'ledger' ->> 'creditRef')::uuid) AS model_tokens,
       (SELECT coalesce(sum((r.content ->> 'tokens')::int), 0)::int FROM transfers r
        WHERE r.refunds = t.source_ref) AS refunded
FROM transfers t
JOIN outbox o ON o.tip_id = CASE t.kind WHEN 'tip' THEN substr(t.source_ref, 5)
                            ELSE t.source_ref END
WHERE t.source_ref IN ($1, CASE WHEN starts_with($1, 'purchase:') THEN 'tip:' || $1 END)
  AND t.kind IN ('tip', 'purchase')"""
"""Before 0006 a tip could be named as a purchase is today; there is never one of both."""

LOAD_REFUND: Final = """
SELECT transfer_id, balance, refunds, (content ->> 'tokens')::int AS tokens
FROM transfers WHERE source_ref = 'refund:' || $1::text"""

LEDGER_SUMMARY: Final = """
SELECT coalesce(-sum(balance) FILTER (WHERE kind = 'issuance'), 0)::bigint AS issued,
       coalesce(sum(balance) FILTER (WHERE kind = 'user'), 0)::bigint AS wallets,
       coalesce(sum(balance) FILTER (WHERE kind = 'model'), 0)::bigint AS models,
       coalesce(sum(balance) FILTER (WHERE kind = 'escrow'), 0)::bigint AS escrow,
       coalesce(sum(balance) FILTER (WHERE kind = 'revenue'), 0)::bigint AS revenue,
       (SELECT count(*) FROM holds WHERE state = 'HELD') AS open_holds
FROM accounts"""

# ---- events ----------------------------------------------------------------------------------


def _undone(consumer: str) -> str:
    """Of an event `o`: the consumer has neither done nor skipped it."""
    return f"""
    NOT EXISTS (SELECT FROM event_done d WHERE d.consumer = {consumer} AND d.tip_id = o.tip_id)
    AND NOT EXISTS (
        SELECT FROM skipped_events s WHERE s.consumer = {consumer} AND s.tip_id = o.tip_id)"""


PENDING_EVENTS: Final = f"""
SELECT o.seq, o.tip_id, o.event
FROM outbox o
WHERE o.seq > $2 AND o.seq > (SELECT c.cursor FROM event_consumers c WHERE c.name = $1)
  AND {_undone("$1")}
ORDER BY o.seq
LIMIT $3"""
"""By what is undone, never by "after the last": the later may be done before the earlier."""

LOCK_CONSUMER: Final = "SELECT FROM event_consumers WHERE name = $1 FOR NO KEY UPDATE"
"""Whoever moves the cursor of a consumer that keeps a record looks at that record behind this. It
holds up nobody who adds to the record."""

ADVANCE_CURSOR: Final = f"""
UPDATE event_consumers c SET cursor = done.up_to
FROM (
    SELECT coalesce(
        (SELECT o.seq - 1 FROM outbox o
         WHERE o.seq > was.cursor AND {_undone("$1")}
         ORDER BY o.seq LIMIT 1),
        (SELECT max(o.seq) FROM outbox o),
        was.cursor
    ) AS up_to
    FROM event_consumers was WHERE was.name = $1
) done
WHERE c.name = $1 AND c.cursor < done.up_to"""
"""Up to the first that is undone; one snapshot sees no event without all those before it."""


def _within_bytes(page: str, bytes_max: str) -> str:
    """Of a page of events, in order of seq, those that together have no more; one at least."""
    return f"""
SELECT * FROM (
    SELECT page.*, sum(octet_length(page.event::text)) OVER (ORDER BY page.seq) AS bytes,
           row_number() OVER (ORDER BY page.seq) AS place
    FROM ({page}) page
) measured
WHERE bytes <= {bytes_max} OR place = 1
ORDER BY seq"""


EVENTS_AFTER: Final = _within_bytes(
    "SELECT seq, tip_id, event FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2", "$3"
)

LAST_EVENT_SEQ: Final = """
SELECT greatest(a.last_seq, (SELECT max(o.seq) FROM outbox o)) AS seq FROM archived_events a"""

ARCHIVED_EVENT_SEQ: Final = "SELECT last_seq AS seq FROM archived_events"

FINISH_EVENTS: Final = """
INSERT INTO event_done (consumer, tip_id)
SELECT $1, t.tip_id FROM unnest($2::text[]) t(tip_id)
WHERE EXISTS (SELECT FROM outbox o WHERE o.tip_id = t.tip_id)
ORDER BY t.tip_id
ON CONFLICT DO NOTHING"""
"""What was never settled is never done: its turn may come."""

SKIP_EVENTS: Final = """
INSERT INTO skipped_events (consumer, tip_id, reason)
SELECT $1, t.tip_id, t.reason FROM unnest($2::text[], $3::text[]) t(tip_id, reason)
ORDER BY t.tip_id
ON CONFLICT DO NOTHING"""

LIST_SKIPPED_EVENTS: Final = """
SELECT s.consumer, s.tip_id, (SELECT min(o.seq) FROM outbox o WHERE o.tip_id = s.tip_id) AS seq,
       s.reason, s.skipped_at
FROM skipped_events s
WHERE (s.consumer, s.tip_id) > ($1::text, $2::text)
  AND NOT EXISTS (
      SELECT FROM event_done d WHERE d.consumer = s.consumer AND d.tip_id = s.tip_id)
ORDER BY s.consumer, s.tip_id
LIMIT $3"""

RETRY_SKIPPED_EVENT: Final = """
DELETE FROM skipped_events s USING outbox o
WHERE s.consumer = $1 AND s.tip_id = $2 AND o.tip_id = s.tip_id
RETURNING o.seq"""

LOWER_CURSOR: Final = "UPDATE event_consumers SET cursor = least(cursor, $2) WHERE name = $1"

# ---- loyalty ---------------------------------------------------------------------------------

CREDIT_POINTS: Final = """
WITH credited AS (
    INSERT INTO points_entries (source_ref, user_id, points)
    SELECT e.source_ref, e.user_id, e.points
    FROM unnest($2::text[], $3::text[], $4::bigint[]) e(source_ref, user_id, points)
    ORDER BY e.source_ref
    ON CONFLICT (source_ref) DO NOTHING
    RETURNING user_id, points
), totalled AS (
    INSERT INTO points_accounts AS a (user_id, balance)
    SELECT user_id, sum(points)::bigint FROM credited GROUP BY user_id ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET balance = a.balance + excluded.balance
)
INSERT INTO event_done (consumer, tip_id)
SELECT $5, t.tip_id FROM unnest($1::text[]) t(tip_id) ORDER BY t.tip_id
ON CONFLICT DO NOTHING"""
"""Only the tips that this very statement records are added; all are marked done."""

TAKE_BACK_POINTS: Final = """
WITH refunds AS (
    SELECT r.source_ref, r.refunds, (r.content ->> 'tokens')::bigint AS tokens,
           (sum((r.content ->> 'tokens')::bigint) OVER so_far)::bigint AS refunded
    FROM transfers r
    WHERE r.refunds IN (
        SELECT u.refunds FROM transfers u
        WHERE u.refunds IS NOT NULL
          AND NOT EXISTS (SELECT FROM points_entries p WHERE p.source_ref = u.source_ref)
    )
    WINDOW so_far AS (PARTITION BY r.refunds ORDER BY r.created_at, r.source_ref)
), taken AS (
    INSERT INTO points_entries (source_ref, user_id, points)
    SELECT r.source_ref, earned.user_id,
           (r.refunded - r.tokens) * earned.points / settled.tokens
           - r.refunded * earned.points / settled.tokens
    FROM refunds r
    JOIN points_entries earned ON earned.source_ref = r.refunds
    JOIN transfers t ON t.source_ref = r.refunds
    LEFT JOIN holds h ON t.kind = 'purchase' AND h.hold_id = substr(t.source_ref, 10)
    CROSS JOIN LATERAL (
        SELECT coalesce((t.content ->> 'amount')::bigint, h.amount - h.refunded) AS tokens
    ) settled
    WHERE NOT EXISTS (SELECT FROM points_entries p WHERE p.source_ref = r.source_ref)
    ORDER BY r.source_ref
    LIMIT $1
    ON CONFLICT (source_ref) DO NOTHING
    RETURNING user_id, points
), totalled AS (
    UPDATE points_accounts a SET balance = a.balance + t.points
    FROM (SELECT user_id, sum(points)::bigint AS points FROM taken GROUP BY user_id) t
    WHERE a.user_id = t.user_id
)
SELECT points FROM taken"""
"""However a refund is cut into parts, the parts together take the same. All that it needs is kept
for ever: its tip's event may have been moved away with its month."""

LOAD_POINTS: Final = "SELECT balance FROM points_accounts WHERE user_id = $1"

# ---- webhooks --------------------------------------------------------------------------------

ACTIVE_WEBHOOKS: Final = """
SELECT endpoint_id::text AS endpoint_id FROM webhook_endpoints WHERE state = 'active'
ORDER BY endpoint_id"""

WEBHOOK_HAS_WORK: Final = """
SELECT EXISTS (SELECT FROM outbox o WHERE o.seq > c.cursor)
    OR EXISTS (SELECT FROM webhook_deliveries d
               WHERE d.endpoint_id = w.endpoint_id AND d.state = 'retrying'
                 AND d.next_attempt_at <= now())
FROM webhook_endpoints w JOIN event_consumers c ON c.name = w.consumer
WHERE w.endpoint_id = $1 AND w.state = 'active'"""
"""Asked first: an endpoint at rest writes nothing."""

CLAIM_WEBHOOK: Final = """
UPDATE webhook_endpoints SET leased_by = $2, leased_until = now() + $3::float8 * interval '1 second'
WHERE endpoint_id = $1 AND state = 'active'
  AND (leased_by = $2 OR leased_until IS NULL OR leased_until <= now())
RETURNING url, secret, consumer"""

WEBHOOK_CURSOR: Final = "SELECT cursor FROM event_consumers WHERE name = $1"

DUE_DELIVERIES: Final = _within_bytes(
    """SELECT seq, tip_id, event_id::text, event, attempts FROM webhook_deliveries
    WHERE endpoint_id = $1 AND state = 'retrying' AND next_attempt_at <= now()
    ORDER BY seq LIMIT $2""",
    "$3",
)

UNDELIVERED_EVENTS: Final = _within_bytes(
    """SELECT seq, tip_id, event ->> 'eventId' AS event_id, event, 0 AS attempts
    FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2""",
    "$3",
)

RELEASE_WEBHOOKS: Final = "UPDATE webhook_endpoints SET leased_until = now() WHERE leased_by = $1"

ADVANCE_WEBHOOK: Final = """
WITH held AS (
    UPDATE webhook_endpoints SET last_success_at = now()
    WHERE endpoint_id = $1 AND leased_by = $2
    RETURNING endpoint_id, consumer
), moved AS (
    UPDATE event_consumers c SET cursor = $4 FROM held
    WHERE c.name = held.consumer AND c.cursor = $3
    RETURNING held.endpoint_id
), again AS (
    UPDATE webhook_deliveries d SET state = 'delivered', attempts = d.attempts + 1,
        next_attempt_at = NULL, last_status = NULL, last_error = NULL, last_attempt_at = now(),
        delivered_at = now()
    FROM moved
    WHERE d.endpoint_id = moved.endpoint_id AND d.seq > $3 AND d.seq <= $4
      AND d.state <> 'delivered'
)
SELECT true FROM moved"""
"""Compare-and-set: a replay may have moved the cursor meanwhile. It may also have brought back what
had failed before: `again`."""

SET_DELIVERY_ASIDE: Final = """
WITH held AS (
    UPDATE webhook_endpoints SET last_failure_at = now(),
        last_failure = coalesce($9::text, 'HTTP ' || $8::int)
    WHERE endpoint_id = $1 AND leased_by = $2
    RETURNING endpoint_id, consumer
), moved AS (
    UPDATE event_consumers c SET cursor = $4 FROM held
    WHERE c.name = held.consumer AND c.cursor = $3
    RETURNING held.endpoint_id
)
INSERT INTO webhook_deliveries AS d (endpoint_id, seq, tip_id, event_id, event, state, attempts,
                                     next_attempt_at, last_status, last_error)
SELECT moved.endpoint_id, $4, $5, $6, $7::json,
       CASE WHEN $10::float8 IS NULL THEN 'dead' ELSE 'retrying' END, 1,
       now() + $10::float8 * interval '1 second', $8::int, $9::text
FROM moved
ON CONFLICT (endpoint_id, seq) DO UPDATE SET state = excluded.state, attempts = 1,
    next_attempt_at = excluded.next_attempt_at, last_status = excluded.last_status,
    last_error = excluded.last_error, last_attempt_at = now(), delivered_at = NULL
RETURNING true"""

RECORD_REDELIVERY: Final = """
WITH held AS (
    UPDATE webhook_endpoints SET
        last_success_at = CASE $4 WHEN 'delivered' THEN now() ELSE last_success_at END,
        last_failure_at = CASE $4 WHEN 'delivered' THEN last_failure_at ELSE now() END,
        last_failure = CASE $4 WHEN 'delivered' THEN last_failure
                       ELSE coalesce($6::text, 'HTTP ' || $5::int) END
    WHERE endpoint_id = $1 AND leased_by = $2
    RETURNING endpoint_id
)
UPDATE webhook_deliveries d SET state = $4, attempts = d.attempts + 1,
    next_attempt_at = now() + $7::float8 * interval '1 second', last_status = $5::int,
    last_error = $6::text, last_attempt_at = now(),
    delivered_at = CASE $4 WHEN 'delivered' THEN now() END
FROM held
WHERE d.endpoint_id = held.endpoint_id AND d.seq = $3"""

PAUSE_GONE_WEBHOOK: Final = """
UPDATE webhook_endpoints SET state = 'paused', paused_because = 'gone', last_failure_at = now(),
    last_failure = 'HTTP 410'
WHERE endpoint_id = $1 AND leased_by = $2 AND state = 'active'"""

LOCK_WEBHOOKS: Final = "SELECT pg_advisory_xact_lock(8466840)"
"""One is added at a time, on all servers."""

ADD_WEBHOOK: Final = f"""
WITH room_left AS (
    SELECT WHERE (SELECT count(*) FROM webhook_endpoints) < $5::int
), consumer AS (
    INSERT INTO event_consumers (name, cursor)
    SELECT 'webhook:' || $1::text, ({LAST_EVENT_SEQ}) FROM room_left
)
INSERT INTO webhook_endpoints (endpoint_id, url, secret, description, since)
SELECT $1::text, $2, $3, $4, ({LAST_EVENT_SEQ}) FROM room_left
RETURNING true"""
"""From now on: its cursor starts at the newest event."""

_WEBHOOK: Final = """
SELECT w.endpoint_id::text AS webhook_id, w.url, w.description, w.state, w.paused_because,
       w.created_at, c.cursor, w.last_success_at, w.last_failure_at, w.last_failure,
       (SELECT count(*) FROM (SELECT FROM outbox o WHERE o.seq > c.cursor LIMIT $1) a) AS waiting,
       (SELECT count(*) FROM (SELECT FROM webhook_deliveries d WHERE d.state = 'retrying'
            AND d.endpoint_id = w.endpoint_id LIMIT $1) b) AS retrying,
       (SELECT count(*) FROM (SELECT FROM webhook_deliveries d WHERE d.state = 'dead'
            AND d.endpoint_id = w.endpoint_id LIMIT $1) b) AS dead
FROM webhook_endpoints w JOIN event_consumers c ON c.name = w.consumer"""

LOAD_WEBHOOK: Final = f"{_WEBHOOK} WHERE w.endpoint_id = $2"

LIST_WEBHOOKS: Final = f"{_WEBHOOK} WHERE w.endpoint_id > $2 ORDER BY w.endpoint_id LIMIT $3"

CHANGE_WEBHOOK: Final = """
UPDATE webhook_endpoints SET
    url = coalesce($2, url),
    description = CASE WHEN $3 THEN $4 ELSE description END,
    state = coalesce($5, state),
    paused_because = CASE $5 WHEN 'active' THEN NULL WHEN 'paused' THEN 'request'
                     ELSE paused_because END
WHERE endpoint_id = $1
RETURNING true"""

CHANGE_WEBHOOK_SECRET: Final = """
UPDATE webhook_endpoints SET secret = $2 WHERE endpoint_id = $1 RETURNING true"""

DELETE_WEBHOOK: Final = """
DELETE FROM webhook_endpoints WHERE endpoint_id = $1 RETURNING consumer"""

DELETE_CONSUMER: Final = "DELETE FROM event_consumers WHERE name = $1"

LOCK_WEBHOOK: Final = """
SELECT consumer FROM webhook_endpoints WHERE endpoint_id = $1 FOR UPDATE"""

REPLAY_WEBHOOK: Final = f"""
UPDATE event_consumers SET cursor = $2
WHERE name = $1 AND $2 <= greatest(cursor, ({LAST_EVENT_SEQ}))
RETURNING true"""

BEGIN_REPLAY: Final = """
UPDATE webhook_endpoints SET since = least(since, $2), leased_by = NULL, leased_until = NULL
WHERE endpoint_id = $1"""
"""Whoever is delivering loses the lease: the cursor may be set to where it still stands, and must
not be moved by what was sent before."""

REDELIVER: Final = """
UPDATE webhook_deliveries SET state = 'retrying', next_attempt_at = now(), delivered_at = NULL
WHERE endpoint_id = $1 AND seq = $2
RETURNING true"""

LIST_DELIVERIES: Final = """
SELECT seq, tip_id, event_id, state, attempts, next_attempt_at, last_status, last_error,
       first_failed_at, last_attempt_at, delivered_at
FROM webhook_deliveries
WHERE endpoint_id = $1 AND state = ANY ($2::text[]) AND seq > $3
ORDER BY seq
LIMIT $4"""

# ---- rooms -----------------------------------------------------------------------------------

LOAD_ROOM: Final = """
SELECT m.model_id, m.display_name, m.settings, b.broadcast_id, b.lovense_mode,
       coalesce(b.toys_paused, false) AS toys_paused,
       (SELECT settings FROM platform_settings) AS platform_settings
FROM rooms r
JOIN models m ON m.model_id = r.model_id
LEFT JOIN broadcasts b ON b.room_id = r.room_id AND b.ended_at IS NULL
WHERE r.room_id = $1"""

LOAD_TIP_MENU: Final = """
SELECT row_id, tip_amount, vibration, description, active, position, priority, device_ids
FROM tip_menu_rows WHERE model_id = $1 ORDER BY position, row_id"""

PENDING_EVENTS_OF_ROOM: Final = f"""
SELECT o.tip_id, o.event
FROM outbox o
WHERE o.room_id = $1
  AND o.seq > (SELECT c.cursor FROM event_consumers c WHERE c.name = 'room')
  AND {_undone("'room'")}
ORDER BY o.seq"""

SKIP_REQUEUED: Final = """
UPDATE dead_letters SET outcome = 'SKIPPED'
WHERE record_id = ANY ($1::uuid[]) AND state = 'requeued' AND outcome IS NULL"""

AUDIT_OF_TIPS: Final = """
SELECT record_id, tip_id, event_id, ledger_id, room_id, target_type, target_id, attempt, state,
       reason, code, call, fit, merged_into, tipper_id, latency_ms, requeue, at_utc
FROM activation_audit WHERE tip_id = ANY ($1::text[]) ORDER BY seq"""

LAST_MODEL_TOY_SENT: Final = """
SELECT tip_id, at_utc, coalesce((fit ->> 'seconds')::float8, 0) AS seconds
FROM activation_audit
WHERE room_id = $1 AND target_type = 'MODEL_TOY' AND state = 'SENT'
ORDER BY seq DESC LIMIT 1"""

START_BROADCAST: Final = """
INSERT INTO broadcasts (broadcast_id, room_id, lovense_mode) VALUES ($1, $2, $3)
ON CONFLICT (broadcast_id) DO NOTHING
RETURNING true"""

SAVE_TOYS_PAUSED: Final = "UPDATE broadcasts SET toys_paused = $2 WHERE broadcast_id = $1"

IS_BROADCAST_OPEN: Final = """
SELECT EXISTS (
    SELECT FROM broadcasts
    WHERE broadcast_id = $1 AND room_id = $2 AND lovense_mode = $3 AND ended_at IS NULL
)"""

END_BROADCAST: Final = """
UPDATE broadcasts SET ended_at = now()
WHERE room_id = $1 AND broadcast_id = $2 AND ended_at IS NULL"""

ADD_MODEL: Final = """
INSERT INTO models (model_id, display_name, settings) VALUES ($1, $2, $3)
ON CONFLICT (model_id) DO NOTHING"""

ADD_ROOM: Final = """
INSERT INTO rooms (room_id, model_id) VALUES ($1, $2) ON CONFLICT (room_id) DO NOTHING"""

CLEAR_TIP_MENU: Final = "DELETE FROM tip_menu_rows WHERE model_id = $1"

ADD_TIP_MENU_ROW: Final = """
INSERT INTO tip_menu_rows (model_id, row_id, tip_amount, vibration, description, active, position,
                           priority, device_ids)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""

LOAD_MENU_OWNER: Final = """
SELECT ARRAY(SELECT room_id FROM rooms WHERE model_id = m.model_id) AS room_ids
FROM models m WHERE m.model_id = $1"""

LOCK_MENU_OWNER: Final = f"{LOAD_MENU_OWNER} FOR NO KEY UPDATE"
"""Until the transaction ends: one edit of her menu after the other, on all servers."""

LOAD_PATTERNS: Final = """
SELECT pattern_id, name, pattern FROM patterns WHERE model_id = $1 ORDER BY seq"""

SAVE_PATTERN: Final = """
INSERT INTO patterns (model_id, pattern_id, name, pattern) VALUES ($1, $2, $3, $4)
ON CONFLICT (model_id, pattern_id) DO UPDATE
SET name = excluded.name, pattern = excluded.pattern"""

REMOVE_PATTERNS: Final = """
DELETE FROM patterns WHERE model_id = $1 AND pattern_id = ANY ($2::text[])"""

# ---- members ---------------------------------------------------------------------------------

LOAD_VIEWERS: Final = """
SELECT v.user_id, p.react_to_my_tips, p.feel_all_tips, a.balance,
       (SELECT json_object_agg(d.toy_id, d.override)
        FROM devices d WHERE d.owner_id = v.user_id AND d.override::text <> '{}') AS overrides
FROM unnest($1::text[]) v(user_id)
LEFT JOIN viewer_preferences p ON p.user_id = v.user_id
LEFT JOIN accounts a ON a.account_id = 'user:' || v.user_id"""
"""Always a row for each."""

SAVE_PREFERENCES: Final = """
INSERT INTO viewer_preferences (user_id, react_to_my_tips, feel_all_tips) VALUES ($1, $2, $3)
ON CONFLICT (user_id) DO UPDATE
SET react_to_my_tips = excluded.react_to_my_tips, feel_all_tips = excluded.feel_all_tips"""

LOAD_USER: Final = "SELECT username, membership_tier FROM users WHERE user_id = $1"

SAVE_USER: Final = """
WITH wallet AS (
    INSERT INTO accounts (account_id, kind, owner_id) VALUES ('user:' || $1::text, 'user', $1::text)
    ON CONFLICT (account_id) DO NOTHING
)
INSERT INTO users (user_id, username, membership_tier) VALUES ($1::text, $2, $3)
ON CONFLICT (user_id) DO UPDATE
SET username = excluded.username, membership_tier = excluded.membership_tier"""
"""A user comes with an empty wallet."""

# ---- directory -------------------------------------------------------------------------------

SAVE_MODEL: Final = """
INSERT INTO models (model_id, display_name, settings) VALUES ($1, $2, $3)
ON CONFLICT (model_id) DO UPDATE SET display_name = excluded.display_name"""
"""A model who is there already keeps her settings."""

CLAIM_ROOM: Final = """
INSERT INTO rooms (room_id, model_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"""

ROOM_OWNER: Final = "SELECT model_id FROM rooms WHERE room_id = $1"

# ---- settings --------------------------------------------------------------------------------

LOAD_PLATFORM_SETTINGS: Final = "SELECT settings FROM platform_settings"

INITIALISE_PLATFORM_SETTINGS: Final = """
INSERT INTO platform_settings (settings) VALUES ($1) ON CONFLICT (only_row) DO NOTHING"""

SAVE_PLATFORM_SETTINGS: Final = """
INSERT INTO platform_settings (settings) VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET settings = excluded.settings"""

LOAD_MODEL: Final = """
SELECT m.settings, ARRAY(SELECT room_id FROM rooms WHERE model_id = m.model_id) AS room_ids
FROM models m WHERE m.model_id = $1"""

SAVE_MODEL_SETTINGS: Final = """
UPDATE models SET settings = $2 WHERE model_id = $1 RETURNING true"""

RECORD_SETTINGS: Final = """
INSERT INTO settings_history (scope, owner_id, name, old, new, who)
SELECT $1, $2, c.name, c.old::json, c.new::json, $6
FROM unnest($3::text[], $4::text[], $5::text[]) c(name, old, new)"""

LOAD_SETTINGS_HISTORY: Final = """
SELECT change_id, scope, owner_id, name, old, new, who, at
FROM settings_history
WHERE (cardinality($1::text[]) = 0 OR scope = ANY ($1))
  AND ($2::text IS NULL OR owner_id = $2)
  AND ($3::bigint IS NULL OR change_id < $3)
ORDER BY change_id DESC LIMIT $4"""

# ---- history ---------------------------------------------------------------------------------

_FINAL: Final = "a.state IN ('ACTIVATED', 'FAILED', 'EXPIRED', 'SKIPPED', 'MERGED', 'DEAD')"
_IN_ROOM: Final = f"a.room_id = $1 AND {_FINAL}"
_ON_OWN_TOY: Final = f"a.target_id = $1 AND a.target_type <> 'MODEL_TOY' AND {_FINAL}"
_BY_OWN_TIP: Final = f"a.tipper_id = $1 AND a.target_type = 'MODEL_TOY' AND {_FINAL}"

_ENDED: Final = """
SELECT a.record_id, a.tip_id, a.test_id, a.menu_row_id, a.target_type, a.target_id, a.state,
       a.reason, a.code, a.attempt, a.requeue, a.fit, a.latency_ms, a.at_utc
FROM activation_audit a
WHERE {scope}
  AND ($2::uuid IS NULL OR (a.at_utc, a.record_id) <
       (SELECT c.at_utc, c.record_id FROM activation_audit c WHERE c.record_id = $2))
  AND ($3::text IS NULL OR a.state = $3)
  AND ($4::text IS NULL OR a.tip_id = $4)
  AND ($5::text IS NULL OR a.target_type = $5)
ORDER BY a.at_utc DESC, a.record_id DESC
LIMIT $6"""

_WITH_TIMES: Final = """
SELECT e.record_id, e.tip_id, e.test_id, e.menu_row_id, e.target_type, e.state, e.reason, e.code,
       e.attempt, e.requeue, coalesce(e.fit, t.fit) AS fit, e.latency_ms, e.at_utc AS ended_at,
       t.queued_at, t.sent_at
FROM ({ended}) e
LEFT JOIN LATERAL (
    SELECT min(s.at_utc) FILTER (WHERE s.state = 'QUEUED') AS queued_at,
           min(s.at_utc) FILTER (WHERE s.state = 'SENT') AS sent_at,
           (array_agg(s.fit::text) FILTER (WHERE s.fit IS NOT NULL))[1]::json AS fit
    FROM activation_audit s
    WHERE s.tip_id = e.tip_id AND s.target_type = e.target_type AND s.target_id = e.target_id
      AND s.requeue = e.requeue
) t ON true
ORDER BY e.at_utc DESC, e.record_id DESC
LIMIT $6"""

HISTORY_OF_ROOM: Final = _WITH_TIMES.format(ended=_ENDED.format(scope=_IN_ROOM))
HISTORY_OF_VIEWER: Final = _WITH_TIMES.format(
    ended=f"({_ENDED.format(scope=_ON_OWN_TOY)}) UNION ALL ({_ENDED.format(scope=_BY_OWN_TIP)})"
)
"""The newest first. Each branch follows one index; the lateral part, that of the tip."""

_COUNTED: Final = """
SELECT a.state, date_trunc('hour', a.at_utc) AS hour, a.latency_ms
FROM activation_audit a
WHERE {scope} AND a.at_utc >= $2 AND a.at_utc < $3 AND a.test_id IS NULL"""

_STATISTICS: Final = """
SELECT hour, state, latency_ms, count(*) AS targets
FROM ({counted}) a
GROUP BY GROUPING SETS ((hour, state), (latency_ms))"""

MEMORY_FOR_GROUPS: Final = "SET LOCAL work_mem = '64MB'"

STATISTICS_OF_ROOM: Final = _STATISTICS.format(counted=_COUNTED.format(scope=_IN_ROOM))
STATISTICS_OF_VIEWER: Final = _STATISTICS.format(
    counted=f"{_COUNTED.format(scope=_ON_OWN_TOY)} UNION ALL {_COUNTED.format(scope=_BY_OWN_TIP)}"
)
"""One pass: a count for each hour and state, and one for each latency (hour and state null)."""

# ---- devices ---------------------------------------------------------------------------------

LOCK_OWNERS: Final = """
SELECT pg_advisory_xact_lock(8466840, hashtext(o)) FROM unnest($1::text[]) o ORDER BY hashtext(o)"""
"""Two writers of one owner's devices take turns, so that their number holds."""

COUNT_DEVICES: Final = """
SELECT owner_id::text, count(*) AS devices FROM devices WHERE owner_id = ANY ($1::text[])
GROUP BY owner_id"""

KNOWN_DEVICES: Final = "SELECT device_id FROM devices WHERE device_id = ANY ($1::uuid[])"

SEE_DEVICE: Final = """
INSERT INTO devices AS d (device_id, owner_id, toy_id, toy_type, name, nickname, firmware,
                          capabilities, battery, status, last_seen_at, last_connected_at, override)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
        CASE WHEN $10 <> 'disconnected' THEN $11::timestamptz END, '{}')
ON CONFLICT (device_id) DO UPDATE SET
    toy_type = excluded.toy_type, name = excluded.name, nickname = excluded.nickname,
    firmware = excluded.firmware, capabilities = excluded.capabilities,
    battery = coalesce(excluded.battery, d.battery), status = excluded.status,
    last_seen_at = excluded.last_seen_at,
    last_connected_at = coalesce(excluded.last_connected_at, d.last_connected_at)"""

LOSE_DEVICES: Final = """
UPDATE devices d SET status = 'disconnected'
FROM unnest($1::text[]) o(owner_id)
WHERE d.owner_id = o.owner_id AND d.status <> 'disconnected' AND d.device_id <> ALL ($2::uuid[])"""

LOSE_ALL_DEVICES: Final = (
    "UPDATE devices SET status = 'disconnected' WHERE status <> 'disconnected'"
)

PAIR_DEVICE: Final = """
INSERT INTO devices (device_id, owner_id, toy_id, toy_type, name, nickname, firmware,
                     capabilities, status, override)
VALUES ($1, $2, $3, $4, $5, '', '', $6, 'disconnected', '{}')
ON CONFLICT (device_id) DO NOTHING"""

_DEVICE: Final = """
SELECT device_id, toy_id, toy_type, name, coalesce(own_nickname, nickname) AS nickname, firmware,
       capabilities, battery, status, last_seen_at, last_connected_at, paired_at, override
FROM devices"""

LOAD_DEVICES: Final = f"{_DEVICE} WHERE owner_id = $1 ORDER BY paired_at, device_id"

LOAD_DEVICE: Final = f"{_DEVICE} WHERE owner_id = $1 AND device_id = $2"

CHANGE_DEVICE: Final = """
UPDATE devices SET override = $3, own_nickname = coalesce($4, own_nickname)
WHERE owner_id = $1 AND device_id = $2"""

FORGET_DEVICE: Final = """
DELETE FROM devices WHERE owner_id = $1 AND device_id = $2"""

LOAD_OVERRIDES: Final = """
SELECT toy_id, override FROM devices WHERE owner_id = $1 AND override::text <> '{}'"""

# ---- dead letters ----------------------------------------------------------------------------

ADD_DEAD_LETTERS: Final = """
INSERT INTO dead_letters (record_id, tip_id, room_id, target_type, target_id, requeue, attempts,
                          reason, died_at)
SELECT a.record_id, a.tip_id, a.room_id, a.target_type, a.target_id, a.requeue, a.attempt,
       a.reason, a.at_utc
FROM activation_audit a
WHERE a.record_id = ANY ($1::uuid[]) AND a.at_utc = ANY ($2::timestamptz[])
ON CONFLICT DO NOTHING"""
"""Of the records that the same transaction has just appended."""

END_REQUEUES: Final = """
UPDATE dead_letters d SET outcome = e.state
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[])
     e(tip_id, target_type, target_id, requeue, state)
WHERE d.tip_id = e.tip_id AND d.target_type = e.target_type AND d.target_id = e.target_id
  AND d.requeue = e.requeue - 1 AND d.state = 'requeued' AND d.outcome IS NULL"""

_DEAD_LETTER: Final = """
SELECT d.record_id, d.tip_id, d.room_id,
       (SELECT o.event -> 'room' ->> 'broadcastId' FROM outbox o WHERE o.tip_id = d.tip_id)
           AS broadcast_id,
       d.target_type, d.target_id, d.requeue, d.attempts, d.reason, d.died_at, d.state,
       d.decided_by, d.decided_at, d.note, d.outcome
FROM dead_letters d"""

LIST_DEAD_LETTERS: Final = f"""{_DEAD_LETTER}
WHERE d.state = $1 AND ($2::uuid IS NULL OR d.record_id > $2)
ORDER BY d.record_id
LIMIT $3"""

LOAD_DEAD_LETTER: Final = f"{_DEAD_LETTER} WHERE d.record_id = $1"

DISMISS_DEAD_LETTER: Final = """
UPDATE dead_letters SET state = 'dismissed', decided_by = $2, decided_at = now(), note = $3
WHERE record_id = $1 AND state = 'open'
RETURNING true"""

REQUEUE_DEAD_LETTER: Final = """
UPDATE dead_letters d
SET state = 'requeued', decision_id = $2, decided_by = $3, decided_at = now(), note = $4
WHERE d.record_id = $1 AND d.state = 'open'
  AND EXISTS (
      SELECT FROM outbox o
      JOIN broadcasts b ON b.broadcast_id = o.event -> 'room' ->> 'broadcastId'
      WHERE o.tip_id = d.tip_id AND b.ended_at IS NULL)"""
"""Only while its broadcast runs."""

_REQUEUED: Final = """
SELECT d.record_id, d.tip_id, d.target_type, d.target_id, d.requeue, d.decided_at, o.event
FROM dead_letters d JOIN outbox o ON o.tip_id = d.tip_id"""

LOAD_REQUEUED: Final = f"{_REQUEUED} WHERE d.record_id = $1 AND d.decision_id = $2"

REQUEUED_OF_ROOM: Final = f"""{_REQUEUED}
WHERE d.room_id = $1 AND d.state = 'requeued' AND d.outcome IS NULL
ORDER BY d.decided_at, d.record_id"""

STATE_OF_DEAD_LETTER: Final = "SELECT state FROM dead_letters WHERE record_id = $1"

# ---- trace -----------------------------------------------------------------------------------

TRACE_TIP: Final = """
SELECT t.source_ref, t.created_at, o.seq, o.event
FROM outbox o
JOIN transfers t ON t.source_ref IN (
    'tip:' || o.tip_id, CASE WHEN starts_with(o.tip_id, 'purchase:') THEN o.tip_id END)
WHERE o.tip_id = $1"""
"""Not by what the event says of itself: it may be what is wrong. Before 0006 a tip could be named
as a purchase is today; there is never one of both."""

TRACE_ENTRIES: Final = """
SELECT e.entry_id, e.account_id, t.kind, t.source_ref, e.amount, e.balance_after, e.created_at
FROM transfers t JOIN entries e ON e.transfer_id = t.transfer_id
WHERE t.source_ref = $1 OR t.refunds = $1
   OR t.source_ref = 'hold:' || substr($1, 10) AND starts_with($1, 'purchase:')
ORDER BY e.created_at, t.transfer_id, e.amount, e.account_id"""
"""Of the settlement, of the hold that it may come from, and of its refunds."""

TRACE_POINTS: Final = """
SELECT p.source_ref, p.user_id, p.points, p.created_at
FROM transfers t JOIN points_entries p ON p.source_ref = t.source_ref
WHERE t.source_ref = $1 OR t.refunds = $1
ORDER BY p.created_at, p.source_ref"""
"""Credited for the settlement, and taken back for its refunds."""

TRACE_CONSUMERS: Final = """
SELECT c.name AS consumer,
       coalesce(d.done_at, w.delivered_at) AS done_at,
       d.done_at IS NOT NULL OR o.seq <= c.cursor AND s.reason IS NULL
           AND coalesce(w.state, 'delivered') = 'delivered' AS done,
       CASE WHEN d.done_at IS NULL THEN s.reason END AS skipped
FROM event_consumers c
CROSS JOIN outbox o
LEFT JOIN event_done d ON d.consumer = c.name AND d.tip_id = o.tip_id
LEFT JOIN skipped_events s ON s.consumer = c.name AND s.tip_id = o.tip_id
LEFT JOIN webhook_endpoints e ON e.consumer = c.name
LEFT JOIN webhook_deliveries w ON w.endpoint_id = e.endpoint_id AND w.seq = o.seq
WHERE o.tip_id = $1 AND coalesce(e.since < o.seq, true)
ORDER BY c.name"""
"""Up to its cursor a consumer has done all but a webhook's failed deliveries; when it did, is only
known of what has a row of its own."""

# ---- months ----------------------------------------------------------------------------------

ADD_MONTHS: Final = "SELECT add_months(now(), $1)"

ARCHIVE_MONTH: Final = "SELECT name FROM archive_month($1) name"

# ---- audit -----------------------------------------------------------------------------------

COUNT_ENTRIES: Final = "SELECT count(*) FROM entries"

COUNT_TRANSFERS: Final = "SELECT count(*) FROM transfers"

AUDIT_ARCHIVED_US: Final = """
SELECT coalesce((extract(epoch FROM max(archived_until)) * 1000000)::bigint, 0)
FROM archived_accounts"""

AUDIT_ARCHIVE_IN_FUTURE: Final = """
SELECT EXISTS (SELECT FROM archived_accounts WHERE archived_until > now())"""

AUDIT_CHAINS: Final = """
SELECT account_id, seq, c3, c4, c5, c6, c7, c8, c9
FROM (
    SELECT coalesce(a.account_id, m.account_id) AS account_id, -1::bigint AS seq,
           a.balance::text AS c3, a.last_seq::text AS c4, encode(a.last_hash, 'hex') AS c5,
           m.balance::text AS c6, m.last_seq::text AS c7, encode(m.last_hash, 'hex') AS c8,
           NULL AS c9
    FROM accounts a FULL JOIN archived_accounts m ON m.account_id = a.account_id
    UNION ALL
    SELECT e.account_id, e.seq, e.entry_id::text, e.transfer_id::text, t.source_ref,
           e.amount::text, e.balance_after::text,
           (extract(epoch FROM e.created_at) * 1000000)::bigint::text, encode(e.hash, 'hex')
    FROM entries e LEFT JOIN transfers t ON t.transfer_id = e.transfer_id
) rows
ORDER BY account_id COLLATE "C", seq"""
"""Each account's row, then its entries. Of the row: balance, last_seq and last_hash, and the same
three at the end of what was moved away. An entry's first eight are what its hash covers, in that
order. None of our functions is asked: they may be what was changed."""

_LEGS: Final = """'[' || string_agg('["' || e.entry_id || '",' || to_json(e.account_id) || ','
    || e.amount || ',' || e.balance_after || ','
    || (extract(epoch FROM e.created_at) * 1000000)::bigint || ']', ',') || ']'"""
"""JSON; by hand in half of the time that json_agg takes."""

_EVENT_SOURCE: Final = """
CASE WHEN starts_with(o.tip_id, 'purchase:')
      AND NOT EXISTS (SELECT FROM transfers named WHERE named.source_ref = 'tip:' || o.tip_id)
     THEN o.tip_id ELSE 'tip:' || o.tip_id END"""
"""Before 0006 a tip could be named as a purchase is today."""

AUDIT_SETTLED: Final = f"""
SELECT t.transfer_id, t.source_ref, t.kind, t.content, t.answer, t.balance, t.refunds,
       (extract(epoch FROM t.created_at) * 1000000)::bigint, legs.legs,
       o.tip_id, o.room_id, o.event, (extract(epoch FROM o.created_at) * 1000000)::bigint,
       CASE WHEN h.hold_id IS NOT NULL THEN json_build_object(
           'hold_id', h.hold_id, 'user_id', h.user_id, 'room_id', h.room_id,
           'broadcast_id', h.broadcast_id, 'model_id', h.model_id, 'amount', h.amount,
           'item', h.item, 'debit_ref', h.debit_ref, 'state', h.state, 'refunded', h.refunded,
           'expires_us', (extract(epoch FROM h.expires_at) * 1000000)::bigint) END,
       p.user_id, p.points
FROM transfers t
LEFT JOIN (SELECT e.transfer_id, {_LEGS} AS legs FROM entries e GROUP BY e.transfer_id) legs
       ON legs.transfer_id = t.transfer_id
FULL JOIN (SELECT o.*, {_EVENT_SOURCE} AS source_ref FROM outbox o) o
       ON o.source_ref = t.source_ref
LEFT JOIN holds h ON h.hold_id = substr(t.source_ref, strpos(t.source_ref, ':') + 1)
                 AND t.kind IN ('hold', 'purchase', 'release')
LEFT JOIN points_entries p ON p.source_ref = t.source_ref"""
"""Each transfer with all that belongs to it; and events without one."""

AUDIT_REFUNDS: Final = f"""
SELECT r.refunds, t.kind, t.content,
       (SELECT {_LEGS} FROM entries e WHERE e.transfer_id = t.transfer_id),
       h.amount, h.user_id, earned.points,
       r.transfer_id, r.source_ref, r.content, own.legs, p.points
FROM transfers r
LEFT JOIN transfers t ON t.source_ref = r.refunds
LEFT JOIN holds h ON t.kind = 'purchase' AND h.hold_id = substr(t.source_ref, 10)
LEFT JOIN points_entries earned ON earned.source_ref = r.refunds
LEFT JOIN points_entries p ON p.source_ref = r.source_ref
LEFT JOIN LATERAL (
    SELECT {_LEGS} AS legs, max(e.seq) FILTER (WHERE e.account_id LIKE 'user:%') AS at
    FROM entries e WHERE e.transfer_id = r.transfer_id
) own ON true
WHERE r.kind = 'refund'
ORDER BY r.refunds, own.at NULLS FIRST, r.created_at, r.source_ref"""
"""By what they give back, then in the order of the wallet's entries; those moved away are first."""

AUDIT_HOLDS: Final = """
SELECT h.hold_id, h.state, h.amount, made.source_ref IS NOT NULL,
       settled.source_ref IS NOT NULL, released.source_ref IS NOT NULL
FROM holds h
LEFT JOIN transfers made ON made.source_ref = 'hold:' || h.hold_id
LEFT JOIN transfers settled ON settled.source_ref = 'purchase:' || h.hold_id
                           AND settled.content ->> 'refundTokens' IS NOT NULL
LEFT JOIN transfers released ON released.source_ref = 'release:' || h.hold_id"""

AUDIT_POINTS_MISSING: Final = """
SELECT d.tip_id
FROM event_done d
WHERE d.consumer = 'loyalty'
  AND NOT EXISTS (SELECT FROM points_entries p WHERE p.source_ref = 'tip:' || d.tip_id)
  AND NOT EXISTS (SELECT FROM points_entries p WHERE p.source_ref = d.tip_id)"""

AUDIT_POINTS_TRANSFERS: Final = """
SELECT p.source_ref, t.kind
FROM points_entries p LEFT JOIN transfers t ON t.source_ref = p.source_ref
WHERE t.kind IS NULL OR t.kind NOT IN ('tip', 'purchase', 'refund')"""

AUDIT_POINTS_BALANCES: Final = """
SELECT coalesce(a.user_id, e.user_id), a.balance, e.points
FROM points_accounts a
FULL JOIN (SELECT user_id::text, sum(points) AS points FROM points_entries GROUP BY 1) e
       ON e.user_id = a.user_id
WHERE a.balance IS DISTINCT FROM e.points"""

AUDIT_POINTS_REFUNDS: Final = """
SELECT p.source_ref, p.user_id, earned.user_id, p.points
FROM points_entries p
JOIN transfers r ON r.source_ref = p.source_ref AND r.kind = 'refund'
LEFT JOIN points_entries earned ON earned.source_ref = r.refunds
WHERE p.points > 0 OR p.user_id IS DISTINCT FROM earned.user_id"""

AUDIT_EVENTS_TWICE: Final = """
SELECT tip_id, string_agg(seq::text, ',' ORDER BY seq)
FROM outbox GROUP BY tip_id HAVING count(*) > 1"""

AUDIT_EVENT_NUMBERS: Final = """
SELECT seq, string_agg(tip_id, ',' ORDER BY tip_id)
FROM outbox GROUP BY seq HAVING count(*) > 1 OR seq > (SELECT last_value FROM outbox_seq)"""

AUDIT_SKIPPED_EVENTS: Final = """
SELECT s.consumer, s.tip_id, s.reason
FROM skipped_events s
WHERE EXISTS (SELECT FROM outbox o WHERE o.tip_id = s.tip_id)
  AND NOT EXISTS (
      SELECT FROM event_done d WHERE d.consumer = s.consumer AND d.tip_id = s.tip_id)
ORDER BY s.consumer, s.tip_id"""

EXPORT_ENTRIES: Final = """
SELECT e.account_id, e.seq, e.entry_id, e.transfer_id, t.kind, t.source_ref, e.amount,
       e.balance_after, encode(e.hash, 'hex'),
       (extract(epoch FROM e.created_at) * 1000000)::bigint
FROM entries e LEFT JOIN transfers t ON t.transfer_id = e.transfer_id
WHERE e.created_at >= coalesce($1::timestamptz, '-infinity')
  AND e.created_at < coalesce($2::timestamptz, 'infinity')
ORDER BY e.account_id COLLATE "C", e.seq"""

COUNT_EXPORTED: Final = """
SELECT count(*) FROM entries e
WHERE e.created_at >= coalesce($1::timestamptz, '-infinity')
  AND e.created_at < coalesce($2::timestamptz, 'infinity')"""

# ---- revoked tokens --------------------------------------------------------------------------

LIST_REVOCATIONS: Final = "SELECT user_id::text AS user_id, void_until_s FROM token_revocations"

SAVE_REVOCATION: Final = """
INSERT INTO token_revocations (user_id, void_until_s, revoked_by, reason) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) DO UPDATE SET void_until_s = excluded.void_until_s,
    revoked_by = excluded.revoked_by, reason = excluded.reason, revoked_at = now()
WHERE token_revocations.void_until_s < excluded.void_until_s"""
