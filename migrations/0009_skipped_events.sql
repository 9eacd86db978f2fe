-- What a consumer cannot take holds up nothing behind it, and is never passed over in silence.

-- Why a consumer did not get an event: it cannot be read, or the database refuses what follows from
-- it. Its cursor may pass it; `tiproom ledger verify` and an admin see it until it is retried or
-- done after all.
CREATE TABLE skipped_events (
    consumer text NOT NULL REFERENCES event_consumers (name) ON DELETE CASCADE,
    tip_id text NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 200),
    skipped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, tip_id)
);

-- Null: the event has no readable id, and is a dead letter from the start.
ALTER TABLE webhook_deliveries ALTER COLUMN event_id DROP NOT NULL;
