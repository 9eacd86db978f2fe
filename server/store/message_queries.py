"""Every SQL statement of mood messaging, by name (tables: migrations/0012_messaging.sql)."""

from typing import Final

_MESSAGE: Final = """
SELECT m.message_id, m.message_type, m.author_kind, m.author_id::text, m.author_name,
       m.recipient_id::text, m.recipient_is_model, m.room_id::text, m.model_id::text, m.tip_id,
       m.answers, m.tier, m.priority, m.mood, m.mood_confidence, m.content, m.template_id::text,
       m.template_version, m.request_id::text, m.created_at, m.due_at
FROM mood_messages m"""

_COLUMNS: Final = """message_id, message_type, author_kind, author_id, author_name, recipient_id,
    recipient_is_model, room_id, model_id, tip_id, answers, tier, priority, mood, mood_confidence,
    content, template_id, template_version, request_id, created_at, due_at"""

_NEW: Final = """json_to_recordset($1::json) n(
    message_id uuid, message_type text, author_kind text, author_id text, author_name text,
    recipient_id text, recipient_is_model boolean, room_id text, model_id text, tip_id text,
    answers uuid, tier text, priority int, mood text, mood_confidence int, content text,
    template_id text, template_version int, request_id text, created_at timestamptz,
    due_at timestamptz)"""

_USED: Final = """
used AS (
    UPDATE message_templates t SET usage = t.usage + u.times, last_used_at = now()
    FROM (SELECT template_id, template_version, count(*) AS times FROM added
          WHERE template_id IS NOT NULL GROUP BY template_id, template_version) u
    WHERE t.template_id = u.template_id AND t.version = u.template_version
)"""

LOCK_TEMPLATE_COUNTS: Final = "SELECT pg_advisory_xact_lock(8466841)"
"""Of whoever counts a use or a success: one after the other, so that none waits in a circle."""

# ---- thanks ----------------------------------------------------------------------------------

RECENT_TEMPLATES: Final = """
SELECT u.user_id, m.template_id::text
FROM unnest($1::text[]) u(user_id)
CROSS JOIN LATERAL (
    SELECT r.template_id, r.seq FROM mood_messages r
    WHERE r.recipient_id = u.user_id AND r.template_id IS NOT NULL
    ORDER BY r.seq DESC LIMIT $2
) m
ORDER BY u.user_id, m.seq DESC"""

ROOM_MOODS: Final = """
SELECT o.room_id, m.room_id IS NOT NULL AND coalesce(m.expires_at > now(), true) AS holds,
       m.mood, m.confidence, m.set_at, m.expires_at
FROM unnest($1::text[]) o(room_id)
LEFT JOIN LATERAL (
    SELECT * FROM room_moods r WHERE r.room_id = o.room_id ORDER BY r.seq DESC LIMIT 1
) m ON true"""
"""A row for each room."""

RECORD_THANKS: Final = f"""
WITH done AS (
    INSERT INTO event_done (consumer, tip_id)
    SELECT 'messaging', t.tip_id FROM unnest($2::text[]) t(tip_id) ORDER BY t.tip_id
    ON CONFLICT DO NOTHING
    RETURNING tip_id
), known AS (
    INSERT INTO tippers (model_id, user_id)
    SELECT DISTINCT t.model_id, t.user_id FROM unnest($3::text[], $4::text[]) t(model_id, user_id)
    ORDER BY t.model_id, t.user_id
    ON CONFLICT DO NOTHING
), added AS (
    INSERT INTO mood_messages ({_COLUMNS})
    SELECT {", ".join(f"n.{name.strip()}" for name in _COLUMNS.split(","))}
    FROM {_NEW} JOIN done ON done.tip_id = n.tip_id
    ORDER BY n.created_at, n.message_id
    RETURNING tip_id, template_id, template_version
), {_USED}
SELECT tip_id FROM added"""
"""One statement: a tip that is done already brings no second thanks, whoever asks and how often."""

# ---- writing ---------------------------------------------------------------------------------

LOAD_PARTIES: Final = """
SELECT r.username AS recipient_username, r.membership_tier AS recipient_tier,
       a.membership_tier AS author_tier,
       rm.display_name AS recipient_model_name, am.display_name AS author_model_name,
       EXISTS (SELECT FROM tippers t WHERE t.model_id = $1 AND t.user_id = $2) AS recipient_tipped,
       EXISTS (SELECT FROM tippers t WHERE t.model_id = $2 AND t.user_id = $1) AS author_tipped
FROM (VALUES (true)) one
LEFT JOIN users r ON r.user_id = $2
LEFT JOIN users a ON a.user_id = $1
LEFT JOIN models rm ON rm.model_id = $2
LEFT JOIN models am ON am.model_id = $1"""
"""Always one row."""

LOCK_AUTHOR: Final = "SELECT pg_advisory_xact_lock(8466842, hashtext($1))"
"""Of messages that come together from one author, each counts those before it."""

LOAD_REQUEST: Final = f"{_MESSAGE} WHERE m.author_id = $1 AND m.request_id = $2"

RECENT_OF_AUTHOR: Final = """
SELECT count(*) AS messages,
       extract(epoch FROM min(created_at) + interval '1 minute' - now())::float8 AS free_in_s
FROM (SELECT created_at FROM mood_messages
      WHERE author_id = $1 AND message_type = 'private_custom'
        AND created_at > now() - interval '1 minute'
      ORDER BY seq DESC LIMIT $2) m"""

ADD_MESSAGE: Final = f"""
WITH added AS (
    INSERT INTO mood_messages ({_COLUMNS})
    SELECT {_COLUMNS} FROM {_NEW}
    RETURNING template_id, template_version
), {_USED}
SELECT true FROM added"""

# ---- delivery --------------------------------------------------------------------------------

LOAD_UNSENT: Final = f"""{_MESSAGE}
WHERE m.state = 'pending' AND m.due_at <= coalesce(
    now() - $1::float8 * interval '1 second', 'infinity')
ORDER BY m.due_at
LIMIT $2"""

LOAD_WAITING: Final = f"""{_MESSAGE}
WHERE m.state = 'pending' AND m.room_id IS NULL AND m.recipient_id = ANY ($1::text[])
  AND (m.due_at IS NULL OR m.due_at <= $2)
ORDER BY m.seq"""

CHANGE_MESSAGE: Final = """
WITH changed AS (
    UPDATE mood_messages m SET
        state = coalesce($2, m.state),
        due_at = CASE WHEN $2::text IS NULL THEN NULL ELSE m.due_at END,
        sent_at = CASE WHEN $2 IN ('sent', 'delivered', 'read') THEN coalesce(m.sent_at, $3)
                  ELSE m.sent_at END,
        delivered_at = CASE WHEN $2 IN ('delivered', 'read') THEN coalesce(m.delivered_at, $3)
                       ELSE m.delivered_at END,
        read_at = CASE WHEN $2 = 'read' THEN $3::timestamptz END,
        failed_at = CASE WHEN $2 = 'failed' THEN $3::timestamptz END,
        reason = $5,
        attempts = greatest(m.attempts, $6::int)
    WHERE m.message_id = $1 AND m.state = ANY ($7::text[])
      AND ($4::text IS NULL OR m.recipient_id = $4)
    RETURNING m.template_id, m.template_version
)
UPDATE message_templates t SET successes = t.successes + 1
FROM changed
WHERE $2 = 'read' AND t.template_id = changed.template_id
  AND t.version = changed.template_version"""

EXPIRE_WAITING: Final = """
UPDATE mood_messages SET state = 'failed', reason = 'EXPIRED', failed_at = now()
WHERE state = 'pending' AND due_at IS NULL AND created_at <= now() - $1::int * interval '1 day'
RETURNING true"""

# ---- escalation ------------------------------------------------------------------------------

LOAD_UNREAD: Final = """
SELECT m.message_id, m.author_id::text, m.author_name, m.tier AS author_tier, m.model_id::text,
       o.display_name AS model_name, m.mood, m.mood_confidence
FROM mood_messages m JOIN models o ON o.model_id = m.model_id
WHERE m.author_kind = 'viewer' AND m.escalated_at IS NULL
  AND m.state IN ('pending', 'sent', 'delivered')
  AND m.created_at <= now() - $1::float8 * interval '1 second'
ORDER BY m.created_at
LIMIT $2"""

RECORD_ESCALATIONS: Final = f"""
WITH seen AS (
    UPDATE mood_messages SET escalated_at = now()
    WHERE message_id = ANY ($2::uuid[]) AND escalated_at IS NULL
      AND state IN ('pending', 'sent', 'delivered')
    RETURNING message_id
), added AS (
    INSERT INTO mood_messages ({_COLUMNS})
    SELECT {", ".join(f"n.{name.strip()}" for name in _COLUMNS.split(","))}
    FROM {_NEW} JOIN seen ON seen.message_id = n.answers
    RETURNING message_id, template_id, template_version
), {_USED}
SELECT message_id FROM added"""

# ---- reading ---------------------------------------------------------------------------------

_VIEW: Final = """
SELECT m.message_id, m.message_type, m.author_kind, m.author_id::text, m.author_name,
       m.recipient_id::text, m.room_id::text, m.model_id::text, m.tip_id, m.answers, m.tier,
       m.priority, m.mood, m.mood_confidence, m.content, m.template_id::text, m.template_version,
       m.state, m.reason, m.attempts, m.created_at, m.sent_at, m.delivered_at, m.read_at,
       m.failed_at, m.seq
FROM mood_messages m"""

_SHOWN_TO_RECIPIENT: Final = "m.state <> 'failed' AND (m.due_at IS NULL OR m.due_at <= now())"
"""What goes to him later, or never, is not his yet."""

LOAD_MESSAGE: Final = f"""{_VIEW}
WHERE m.message_id = $1
  AND ($2::text IS NULL OR m.author_id = $2 OR m.recipient_id = $2 AND {_SHOWN_TO_RECIPIENT})"""

_PAGE: Final = """{view}
WHERE {whose}
  AND ($2::uuid IS NULL OR m.seq < (SELECT c.seq FROM mood_messages c WHERE c.message_id = $2))
  AND ($3::text IS NULL OR m.message_type = $3)
  AND ($4::text IS NULL OR m.mood = $4)
ORDER BY m.seq DESC
LIMIT $5"""

_BY: Final = _PAGE.format(view=_VIEW, whose="m.author_id = $1 AND m.recipient_id <> $1")
_TO: Final = _PAGE.format(view=_VIEW, whose=f"m.recipient_id = $1 AND {_SHOWN_TO_RECIPIENT}")

LIST_MESSAGES: Final = f"""
SELECT * FROM (({_BY}) UNION ALL ({_TO})) m ORDER BY m.seq DESC LIMIT $5"""
"""The newest first. Each branch follows one index."""

_FAILED: Final = f"""
SELECT m.*, r.dismissed_by, r.dismissed_at, r.note
FROM ({_VIEW} WHERE m.state = 'failed') m LEFT JOIN message_reviews r USING (message_id)"""

LIST_FAILED_MESSAGES: Final = f"""{_FAILED}
WHERE (r.message_id IS NOT NULL) = $3
  AND ($1::uuid IS NULL OR m.seq > (SELECT c.seq FROM mood_messages c WHERE c.message_id = $1))
ORDER BY m.seq
LIMIT $2"""

LOAD_FAILED_MESSAGE: Final = f"{_FAILED} WHERE m.message_id = $1"

DISMISS_FAILED_MESSAGE: Final = """
INSERT INTO message_reviews (message_id, dismissed_by, note)
SELECT message_id, $2, $3 FROM mood_messages WHERE message_id = $1 AND state = 'failed'
ON CONFLICT DO NOTHING
RETURNING true"""

COUNT_MESSAGES: Final = """
SELECT mood, tier, state, count(*) AS messages
FROM mood_messages WHERE created_at >= $1 AND created_at < $2
GROUP BY mood, tier, state"""

# ---- templates -------------------------------------------------------------------------------

_TEMPLATE: Final = """
SELECT template_id::text, version, name, message_type, mood, tier, content, tags, active, usage,
       successes, last_used_at, changed_by, changed_at
FROM message_templates"""

LOAD_TEMPLATES: Final = f"{_TEMPLATE} WHERE current ORDER BY template_id"

LIST_TEMPLATES: Final = f"""{_TEMPLATE}
WHERE current AND template_id > coalesce($1, '')
  AND ($2::text IS NULL OR message_type = $2)
  AND ($3::text IS NULL OR mood = $3)
  AND ($4::text IS NULL OR tier = $4)
ORDER BY template_id
LIMIT $5"""

LOAD_TEMPLATE_VERSIONS: Final = f"""{_TEMPLATE}
WHERE template_id = $1 AND EXISTS (
    SELECT FROM message_templates c WHERE c.template_id = $1 AND c.current)
ORDER BY version DESC
LIMIT $2"""

LOCK_TEMPLATES: Final = "SELECT pg_advisory_xact_lock(8466843)"
"""One edit at a time, on all servers: so their number holds, and versions count without a gap."""

COUNT_TEMPLATES: Final = "SELECT count(*) FROM message_templates WHERE current"

END_TEMPLATE: Final = """
UPDATE message_templates SET current = false WHERE template_id = $1 AND current
RETURNING version"""

ADD_TEMPLATE: Final = """
INSERT INTO message_templates (template_id, version, name, message_type, mood, tier, content, tags,
                               active, changed_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT DO NOTHING
RETURNING true"""

# ---- moods -----------------------------------------------------------------------------------

LOCK_MOOD: Final = """
SELECT r.model_id::text FROM rooms r WHERE r.room_id = $1 FOR NO KEY UPDATE"""

MOOD_OWNER: Final = "SELECT r.model_id::text FROM rooms r WHERE r.room_id = $1"

RECENT_MOODS: Final = """
SELECT count(*) AS changes,
       extract(epoch FROM min(set_at) + interval '1 hour' - now())::float8 AS free_in_s
FROM (SELECT set_at FROM room_moods WHERE room_id = $1 AND set_at > now() - interval '1 hour'
      ORDER BY seq DESC LIMIT $2) m"""

SET_MOOD: Final = """
INSERT INTO room_moods (room_id, mood, confidence, set_by, set_at, expires_at)
VALUES ($1, $2, $3, $4, now(), now() + $5::int * interval '1 second')
RETURNING set_at, expires_at"""

RUNNING_MOODS: Final = """
SELECT DISTINCT ON (m.room_id) m.room_id::text, m.mood, m.confidence, m.set_at, m.expires_at
FROM room_moods m
WHERE m.room_id IN (SELECT r.room_id FROM room_moods r WHERE r.expires_at > now())
ORDER BY m.room_id, m.seq DESC"""
