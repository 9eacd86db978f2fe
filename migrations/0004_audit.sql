-- The life of every target of every tip: protocol/audit.py, TargetRecord. Written by COPY.

CREATE TABLE activation_audit (
    record_id uuid PRIMARY KEY,
    seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    tip_id public_id NOT NULL,
    event_id uuid NOT NULL,
    ledger_id text NOT NULL,
    room_id public_id NOT NULL,
    target_type text NOT NULL CHECK (target_type IN ('MODEL_TOY', 'TIPPER_TOY', 'VIP_VIEWER_TOY')),
    target_id public_id NOT NULL,
    attempt integer NOT NULL CHECK (attempt >= 0),
    state text NOT NULL CHECK (state IN ('QUEUED', 'SENT', 'ACTIVATED', 'FAILED', 'TIMEOUT',
        'EXPIRED', 'SKIPPED', 'MERGED', 'DEAD')),
    reason text,
    code text CHECK (length(code) <= 64),
    call json,
    fit json,
    at_utc timestamptz NOT NULL
);
CREATE INDEX activation_audit_model_toy ON activation_audit (room_id, seq)
    WHERE target_type = 'MODEL_TOY' AND state = 'SENT';
CREATE INDEX activation_audit_of_tip ON activation_audit (tip_id);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON activation_audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
