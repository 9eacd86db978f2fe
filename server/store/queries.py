"""Every SQL statement of the store, by name. What the ledger does in one transaction is a function
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

LIST_MIGRATIONS: Final = "SELECT name, checksum FROM schema_migrations"

RECORD_MIGRATION: Final = "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)"

# ---- ledger ----------------------------------------------------------------------------------

SETTLE_TIPS: Final = """
SELECT outcome, balance, event
FROM settle_tips($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"""
"""One round trip, one transaction, one row for each request, in order."""

DEPOSIT_TOKENS: Final = "SELECT outcome, transfer_id, balance FROM deposit_tokens($1, $2, $3)"

PENDING_EVENTS: Final = """
SELECT o.tip_id, o.event
FROM event_deliveries d JOIN outbox o ON o.tip_id = d.tip_id
WHERE d.consumer = $1 AND d.done_at IS NULL
ORDER BY d.seq
LIMIT $2"""
"""By what is undone, never by "after the last": a late commit would be missed."""

FINISH_DELIVERIES: Final = """
UPDATE event_deliveries d SET done_at = now()
FROM (
    SELECT consumer, tip_id FROM event_deliveries
    WHERE consumer = $1 AND tip_id = ANY ($2::text[]) AND done_at IS NULL
    ORDER BY tip_id FOR UPDATE
) mine
WHERE d.consumer = mine.consumer AND d.tip_id = mine.tip_id"""
"""Rows locked by tip id, so that two who finish the same tips never wait in a circle."""

CREDIT_POINTS: Final = """
WITH credited AS (
    INSERT INTO points_entries (tip_id, user_id, points)
    SELECT e.tip_id, e.user_id, e.points
    FROM unnest($1::text[], $2::text[], $3::bigint[]) e(tip_id, user_id, points)
    ORDER BY e.tip_id
    ON CONFLICT (tip_id) DO NOTHING
    RETURNING user_id, points
), totalled AS (
    INSERT INTO points_accounts AS a (user_id, balance)
    SELECT user_id, sum(points)::bigint FROM credited GROUP BY user_id ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET balance = a.balance + excluded.balance
)
UPDATE event_deliveries d SET done_at = now()
FROM (
    SELECT consumer, tip_id FROM event_deliveries
    WHERE consumer = $4 AND tip_id = ANY ($1::text[]) AND done_at IS NULL
    ORDER BY tip_id FOR UPDATE
) mine
WHERE d.consumer = mine.consumer AND d.tip_id = mine.tip_id"""
"""Only the tips that this very statement records are added; all are marked done."""

LOAD_POINTS: Final = "SELECT balance FROM points_accounts WHERE user_id = $1"

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
SELECT row_id, tip_amount, vibration, description, active, position
FROM tip_menu_rows WHERE model_id = $1 ORDER BY position, row_id"""

PENDING_EVENTS_OF_ROOM: Final = """
SELECT o.tip_id, o.event
FROM event_deliveries d JOIN outbox o ON o.tip_id = d.tip_id
WHERE d.consumer = 'room' AND d.done_at IS NULL AND o.room_id = $1
ORDER BY d.seq"""

AUDIT_OF_TIPS: Final = """
SELECT record_id, tip_id, event_id, ledger_id, room_id, target_type, target_id, attempt, state,
       reason, code, call, fit, at_utc
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
INSERT INTO tip_menu_rows (model_id, row_id, tip_amount, vibration, description, active, position)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""

# ---- members ---------------------------------------------------------------------------------

LOAD_VIEWER: Final = """
SELECT p.react_to_my_tips, p.feel_all_tips, a.balance
FROM (VALUES ($1::text)) v(user_id)
LEFT JOIN viewer_preferences p ON p.user_id = v.user_id
LEFT JOIN accounts a ON a.account_id = 'user:' || v.user_id"""
"""Always one row."""

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

# ---- trace -----------------------------------------------------------------------------------

TRACE_TIP: Final = """
SELECT t.transfer_id, t.settled_at, o.event
FROM tips t JOIN outbox o ON o.tip_id = t.tip_id WHERE t.tip_id = $1"""

TRACE_ENTRIES: Final = """
SELECT entry_id, account_id, amount, balance_after, created_at
FROM entries WHERE transfer_id = $1 ORDER BY amount, account_id"""

TRACE_CONSUMERS: Final = """
SELECT consumer, done_at FROM event_deliveries WHERE tip_id = $1 ORDER BY consumer"""
