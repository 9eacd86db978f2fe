-- The toy layer: queue modes.

-- Of a target in state MERGED: the tip whose command plays for this one, too.
ALTER TABLE activation_audit ADD COLUMN merged_into public_id;

-- In the queue mode priority; null: by the amount.
ALTER TABLE tip_menu_rows ADD COLUMN priority smallint CHECK (priority BETWEEN 1 AND 20);

-- ---- dead letters and requeues ----

-- How often the target had been requeued: one final state for each number.
ALTER TABLE activation_audit ADD COLUMN requeue smallint NOT NULL DEFAULT 0
    CHECK (requeue >= 0);

-- A target that is DEAD, and what an admin decided about it. Written with the audit record.
CREATE TABLE dead_letters (
    record_id uuid PRIMARY KEY,  -- of the audit; grows with time
    tip_id text NOT NULL,
    room_id public_id NOT NULL,
    target_type text NOT NULL,
    target_id public_id NOT NULL,
    requeue smallint NOT NULL,  -- of the target that died; a requeue of this letter has one more
    attempts integer NOT NULL,
    reason text,
    died_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'requeued', 'dismissed')),
    decision_id uuid,
    decided_by text,
    decided_at timestamptz,
    note text CHECK (length(note) BETWEEN 1 AND 200),
    outcome text,  -- the final state of what was requeued; null while it is under way
    UNIQUE (tip_id, target_type, target_id, requeue),
    CHECK ((state = 'open') = (decided_at IS NULL)),
    CHECK ((state = 'open') = (decided_by IS NULL)),
    CHECK ((state = 'open') = (note IS NULL)),
    CHECK (outcome IS NULL OR state = 'requeued')
);
CREATE INDEX dead_letters_by_state ON dead_letters (state, record_id);
CREATE INDEX dead_letters_under_way ON dead_letters (room_id)
    WHERE state = 'requeued' AND outcome IS NULL;

INSERT INTO dead_letters (record_id, tip_id, room_id, target_type, target_id, requeue, attempts,
                          reason, died_at)
SELECT record_id, tip_id, room_id, target_type, target_id, 0, attempt, reason, at_utc
FROM activation_audit WHERE state = 'DEAD'
ON CONFLICT DO NOTHING;

-- ---- tip menus and pattern libraries ----

ALTER TABLE tip_menu_rows ADD COLUMN device_ids text[] NOT NULL DEFAULT '{}'
    CHECK (cardinality(device_ids) <= 16);

-- Patterns that models have drawn. A row of the tip menu holds its own copy.
CREATE TABLE patterns (
    model_id public_id NOT NULL REFERENCES models,
    pattern_id public_id NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 65),
    pattern json NOT NULL,  -- protocol/vibration.py: Pattern
    seq bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (model_id, pattern_id)
);

-- ---- tests: a model tries a row of her menu on her own toy ----

-- protocol/audit.py, ToyTestRecord: no tip, no event and no ledger row belongs to it.
ALTER TABLE activation_audit
    ADD COLUMN test_id uuid,
    ADD COLUMN menu_row_id public_id,
    ALTER COLUMN tip_id DROP NOT NULL,
    ALTER COLUMN event_id DROP NOT NULL,
    ALTER COLUMN ledger_id DROP NOT NULL,
    ADD CHECK (num_nulls(tip_id, event_id, ledger_id) = CASE WHEN test_id IS NULL THEN 0 ELSE 3 END),
    ADD CHECK ((test_id IS NULL) = (menu_row_id IS NULL)),
    ADD CHECK (test_id IS NULL OR target_type = 'MODEL_TOY');

-- ---- devices: the toys of members, as their pages report them, and what their owners set ----

CREATE TABLE devices (
    device_id uuid PRIMARY KEY,  -- protocol/devices.py: device_id_of
    owner_id public_id NOT NULL,
    toy_id text NOT NULL CHECK (length(toy_id) <= 64),
    toy_type text NOT NULL CHECK (length(toy_type) <= 64),
    name text NOT NULL CHECK (length(name) <= 64),
    nickname text NOT NULL CHECK (length(nickname) <= 64),  -- as reported
    own_nickname text CHECK (length(own_nickname) BETWEEN 1 AND 64),  -- as its owner set it here
    firmware text NOT NULL CHECK (length(firmware) <= 64),
    capabilities text[] NOT NULL,
    battery smallint CHECK (battery BETWEEN 0 AND 100),
    status text NOT NULL CHECK (status IN ('connected', 'disconnected')),
    last_seen_at timestamptz,
    last_connected_at timestamptz,
    paired_at timestamptz NOT NULL DEFAULT now(),
    override json NOT NULL,  -- protocol/devices.py: DeviceOverride
    UNIQUE (owner_id, toy_id)
);
CREATE INDEX devices_connected ON devices (owner_id) WHERE status = 'connected';

-- ---- history: who sees a target's end, and how long it took ----

ALTER TABLE activation_audit
    ADD COLUMN tipper_id public_id,
    ADD COLUMN latency_ms integer CHECK (latency_ms >= 0);

-- Of final states alone: a third of the rows. The first answers the numbers without the table.
CREATE INDEX activation_audit_ends_in_room
    ON activation_audit (room_id, at_utc, record_id) INCLUDE (state, latency_ms, test_id)
    WHERE state IN ('ACTIVATED', 'FAILED', 'EXPIRED', 'SKIPPED', 'MERGED', 'DEAD');
CREATE INDEX activation_audit_ends_on_own_toy ON activation_audit (target_id, at_utc, record_id)
    WHERE state IN ('ACTIVATED', 'FAILED', 'EXPIRED', 'SKIPPED', 'MERGED', 'DEAD')
      AND target_type <> 'MODEL_TOY';
CREATE INDEX activation_audit_ends_by_own_tip ON activation_audit (tipper_id, at_utc, record_id)
    WHERE state IN ('ACTIVATED', 'FAILED', 'EXPIRED', 'SKIPPED', 'MERGED', 'DEAD')
      AND target_type = 'MODEL_TOY';
