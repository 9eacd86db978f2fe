-- Mood messaging (spec 6): messages, their templates, rooms' moods.

-- From now on: nobody is thanked for what was tipped before there were thanks.
INSERT INTO event_consumers (name, cursor)
SELECT 'messaging', greatest(a.last_seq, (SELECT coalesce(max(o.seq), 0) FROM outbox o))
FROM archived_events a;

-- Who has ever tipped whom: says who may write, for ever, when the events were moved away long ago.
CREATE TABLE tippers (
    model_id public_id NOT NULL,
    user_id public_id NOT NULL,
    PRIMARY KEY (model_id, user_id)
);
INSERT INTO tippers (model_id, user_id)
SELECT r.model_id, t.content ->> 'userId'
FROM transfers t JOIN rooms r ON r.room_id = t.content ->> 'roomId'
WHERE t.kind = 'tip'
UNION
SELECT h.model_id, h.user_id FROM holds h WHERE h.state IN ('SETTLED', 'PARTIALLY_REFUNDED');

-- ---- templates ---------------------------------------------------------------------------------

-- Every version that there ever was: messages name the one that they were made of.
CREATE TABLE message_templates (
    template_id public_id NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    current boolean NOT NULL DEFAULT true,  -- false: replaced by a later version, or removed
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    message_type text NOT NULL
        CHECK (message_type IN ('public_micro', 'private_custom', 'escalation_auto')),
    mood text CHECK (mood IN
        ('happy', 'sad', 'angry', 'neutral', 'excited', 'anxious', 'unknown')),  -- null: any
    tier text CHECK (tier IN
        ('FREE', 'VIP_SILVER', 'VIP_GOLD', 'VIP_PLATINUM', 'VIP_DIAMOND')),  -- null: any
    content text NOT NULL CHECK (length(content) BETWEEN 1 AND 300),
    tags text[] NOT NULL CHECK (cardinality(tags) <= 10),
    active boolean NOT NULL,
    usage bigint NOT NULL DEFAULT 0,
    successes bigint NOT NULL DEFAULT 0 CHECK (successes BETWEEN 0 AND usage),
    last_used_at timestamptz,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (template_id, version)
);
CREATE UNIQUE INDEX message_templates_current ON message_templates (template_id) WHERE current;

-- ---- messages ----------------------------------------------------------------------------------

CREATE TABLE mood_messages (
    message_id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    message_type text NOT NULL
        CHECK (message_type IN ('public_micro', 'private_custom', 'escalation_auto')),
    author_kind text NOT NULL CHECK (author_kind IN ('model', 'viewer', 'system')),
    author_id public_id NOT NULL,
    author_name text NOT NULL CHECK (length(author_name) BETWEEN 1 AND 64),
    recipient_id public_id NOT NULL,
    recipient_is_model boolean NOT NULL,
    room_id public_id,   -- of a public one
    model_id public_id,  -- author, recipient or on whose behalf; null: the system's to a viewer
    tip_id text UNIQUE,  -- of a thanks; event_done says it for ever, this is the second lock
    answers uuid UNIQUE REFERENCES mood_messages,  -- the unread message that this one escalates
    tier text NOT NULL CHECK (tier IN
        ('FREE', 'VIP_SILVER', 'VIP_GOLD', 'VIP_PLATINUM', 'VIP_DIAMOND')),
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 10),
    mood text NOT NULL CHECK (mood IN
        ('happy', 'sad', 'angry', 'neutral', 'excited', 'anxious', 'unknown')),
    mood_confidence smallint NOT NULL CHECK (mood_confidence BETWEEN 0 AND 100),
    content text NOT NULL CHECK (length(content) BETWEEN 1 AND 1000),
    template_id public_id,
    template_version integer,
    request_id public_id,  -- the author's own key for it
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'sent', 'delivered', 'read', 'failed')),
    reason text,           -- of a failed one
    attempts smallint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    due_at timestamptz,    -- null: it waits for its recipient's next connection
    sent_at timestamptz,
    delivered_at timestamptz,
    read_at timestamptz,
    failed_at timestamptz,
    escalated_at timestamptz,
    UNIQUE (author_id, request_id),
    FOREIGN KEY (template_id, template_version) REFERENCES message_templates (template_id, version),
    CHECK ((template_id IS NULL) = (template_version IS NULL)),
    CHECK ((message_type = 'public_micro') = (room_id IS NOT NULL)),
    CHECK ((message_type = 'public_micro') = (tip_id IS NOT NULL)),
    CHECK ((message_type = 'escalation_auto') = (answers IS NOT NULL)),
    CHECK ((state = 'failed') = (reason IS NOT NULL)),
    CHECK ((state = 'failed') = (failed_at IS NOT NULL)),
    CHECK (state NOT IN ('sent', 'delivered', 'read') OR sent_at IS NOT NULL),
    CHECK (state NOT IN ('delivered', 'read') OR delivered_at IS NOT NULL),
    CHECK ((state = 'read') = (read_at IS NOT NULL))
);
CREATE INDEX mood_messages_to ON mood_messages (recipient_id, seq);
CREATE INDEX mood_messages_by ON mood_messages (author_id, seq);
CREATE INDEX mood_messages_in_time ON mood_messages (created_at);
CREATE INDEX mood_messages_templates ON mood_messages (recipient_id, seq)
    WHERE template_id IS NOT NULL;
CREATE INDEX mood_messages_due ON mood_messages (due_at) WHERE state = 'pending';
CREATE INDEX mood_messages_waiting ON mood_messages (recipient_id)
    WHERE state = 'pending' AND room_id IS NULL;
CREATE INDEX mood_messages_unread ON mood_messages (created_at)
    WHERE author_kind = 'viewer' AND escalated_at IS NULL
      AND state IN ('pending', 'sent', 'delivered');
CREATE INDEX mood_messages_failed ON mood_messages (seq) WHERE state = 'failed';  -- dead letters

-- ---- rooms' moods ------------------------------------------------------------------------------

-- Every change; the newest counts until it expires.
CREATE TABLE room_moods (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_id public_id NOT NULL REFERENCES rooms,
    mood text NOT NULL CHECK (mood IN
        ('happy', 'sad', 'angry', 'neutral', 'excited', 'anxious', 'unknown')),
    confidence smallint NOT NULL CHECK (confidence BETWEEN 0 AND 100),
    set_by text NOT NULL,
    set_at timestamptz NOT NULL,
    expires_at timestamptz CHECK (expires_at > set_at)
);
CREATE INDEX room_moods_of_room ON room_moods (room_id, seq);
