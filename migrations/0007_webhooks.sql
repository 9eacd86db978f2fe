-- Outside systems that get every TipActivated by a signed POST (docs/webhooks.md).
--
-- A webhook is a consumer like any other: its place in the outbox is event_consumers.cursor, under
-- the name `webhook:{endpoint_id}`. Everything up to it was delivered or has a row in
-- webhook_deliveries; so a delivery that goes well writes no row at all.

CREATE TABLE webhook_endpoints (
    endpoint_id public_id PRIMARY KEY,
    consumer text NOT NULL GENERATED ALWAYS AS ('webhook:' || endpoint_id) STORED
        UNIQUE REFERENCES event_consumers (name),
    url text NOT NULL CHECK (length(url) <= 2048),
    secret text NOT NULL,  -- as it is: a signature needs it
    description text CHECK (length(description) <= 200),
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused')),
    paused_because text CHECK (paused_because IN ('request', 'gone')),
    created_at timestamptz NOT NULL DEFAULT now(),
    since bigint NOT NULL,  -- only events after it were ever to be delivered
    -- Which server delivers now: one at a time, until the lease ends.
    leased_by uuid,
    leased_until timestamptz,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    last_failure text,
    CHECK ((state = 'paused') = (paused_because IS NOT NULL))
);

-- What did not go well at first. The event is kept here too: its month may be moved away before the
-- receiver is back.
CREATE TABLE webhook_deliveries (
    endpoint_id public_id NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    seq bigint NOT NULL,  -- outbox.seq
    tip_id text NOT NULL,
    event_id uuid NOT NULL,
    event json NOT NULL,
    state text NOT NULL CHECK (state IN ('retrying', 'delivered', 'dead')),
    attempts integer NOT NULL CHECK (attempts > 0),
    next_attempt_at timestamptz,
    last_status integer,
    last_error text,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_attempt_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    PRIMARY KEY (endpoint_id, seq),
    CHECK ((state = 'retrying') = (next_attempt_at IS NOT NULL)),
    CHECK ((state = 'delivered') = (delivered_at IS NOT NULL))
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at)
    WHERE state = 'retrying';
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (endpoint_id, state, seq);
CREATE INDEX webhook_deliveries_of_tip ON webhook_deliveries (tip_id);
