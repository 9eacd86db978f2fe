-- Performance menus, their purchases, and the stage on which what is bought is performed.

-- ---- menus -------------------------------------------------------------------------------------

CREATE TABLE menus (
    menu_id public_id PRIMARY KEY,
    model_id public_id NOT NULL REFERENCES models,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 65),
    description text NOT NULL CHECK (length(description) <= 200),
    queue_mode text NOT NULL CHECK (queue_mode IN ('ON', 'OFF')),
    visibility text NOT NULL CHECK (visibility IN ('public', 'subscribers_only', 'private')),
    card_style text NOT NULL CHECK (card_style IN ('modern', 'premium', 'luxury', 'minimal')),
    active boolean NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX menus_of_model ON menus (model_id, seq);

CREATE TABLE menu_items (
    menu_id public_id NOT NULL REFERENCES menus ON DELETE CASCADE,
    item_id public_id NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 65),
    description text NOT NULL CHECK (length(description) <= 200),
    token_value integer NOT NULL CHECK (token_value BETWEEN 1 AND 99999),
    bonus_points integer NOT NULL CHECK (bonus_points >= 0),
    vibration json,  -- protocol/vibration.py: Vibration
    start_offset_ms integer NOT NULL CHECK (start_offset_ms BETWEEN 0 AND 60000),
    duration_sec integer NOT NULL CHECK (duration_sec BETWEEN 1 AND 3600),
    active boolean NOT NULL,
    position integer NOT NULL CHECK (position >= 0),
    category text NOT NULL CHECK (length(category) <= 40),
    icon text NOT NULL CHECK (length(icon) <= 16),
    max_daily_purchases integer CHECK (max_daily_purchases > 0),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (menu_id, item_id)
);

-- Who sees a private menu.
CREATE TABLE menu_whitelists (
    menu_id public_id NOT NULL REFERENCES menus ON DELETE CASCADE,
    user_id public_id NOT NULL,
    place integer NOT NULL,
    PRIMARY KEY (menu_id, user_id)
);

-- As the platform's back end says; a past moment ends one.
CREATE TABLE subscriptions (
    user_id public_id NOT NULL,
    model_id public_id NOT NULL REFERENCES models,
    active_until timestamptz NOT NULL,
    PRIMARY KEY (user_id, model_id)
);

-- ---- stages ------------------------------------------------------------------------------------

-- One for each model. Its row is the lock that keeps the depth.
CREATE TABLE stages (
    model_id public_id PRIMARY KEY REFERENCES models,
    stage_order text NOT NULL DEFAULT 'fifo' CHECK (stage_order IN ('fifo', 'priority', 'batch'))
);
INSERT INTO stages (model_id) SELECT model_id FROM models;

CREATE FUNCTION add_stage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stages (model_id) VALUES (NEW.model_id);
    RETURN NULL;
END $$;
CREATE TRIGGER add_stage AFTER INSERT ON models FOR EACH ROW EXECUTE FUNCTION add_stage();

-- ---- purchases ---------------------------------------------------------------------------------

-- What was bought, as it was then: menus may change and go. protocol/stage.py says which state
-- follows which; FAILED is a purchase that was not paid, and never was one.
CREATE TABLE menu_purchases (
    purchase_id uuid PRIMARY KEY,  -- grows with time; the ledger's is `purchase:{purchase_id}`
    user_id public_id NOT NULL,
    username text NOT NULL,
    idempotency_key public_id NOT NULL,
    model_id public_id NOT NULL,
    room_id public_id NOT NULL,
    broadcast_id public_id NOT NULL,
    menu_id public_id NOT NULL,
    item_id public_id NOT NULL,
    item json NOT NULL,  -- protocol/tip_activated.py: Item
    tokens integer NOT NULL CHECK (tokens BETWEEN 1 AND 99999),
    queue_mode text NOT NULL CHECK (queue_mode IN ('ON', 'OFF')),
    start_offset_ms integer NOT NULL,
    duration_sec integer NOT NULL,
    state text NOT NULL DEFAULT 'CREATED' CHECK (state IN
        ('CREATED', 'READY', 'STARTED', 'FINISHED', 'ABANDONED', 'CANCELLED', 'FAILED')),
    node uuid NOT NULL,  -- the server that is having it paid
    attempted_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    answer json,  -- the first one, for every repeat
    failed_code text,
    ready_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    settled boolean NOT NULL DEFAULT false,  -- a move has ordered that the model gets the tokens
    abandon_kind text CHECK (abandon_kind IN ('FULL_REFUND', 'FULL_SETTLE', 'PARTIAL_REFUND')),
    abandon_tokens integer,
    CHECK ((state IN ('CREATED', 'FAILED')) = (ready_at IS NULL)),
    CHECK ((ready_at IS NULL) = (answer IS NULL)),
    CHECK ((state = 'FAILED') = (failed_code IS NOT NULL)),
    CHECK ((state = 'ABANDONED') = (abandon_kind IS NOT NULL)),
    CHECK ((abandon_kind IS NOT DISTINCT FROM 'PARTIAL_REFUND') = (abandon_tokens IS NOT NULL)),
    CHECK (abandon_tokens BETWEEN 1 AND tokens)
);
CREATE UNIQUE INDEX menu_purchases_once ON menu_purchases (user_id, idempotency_key)
    WHERE state <> 'FAILED';
CREATE INDEX menu_purchases_of_user ON menu_purchases (user_id, purchase_id);
CREATE INDEX menu_purchases_of_item ON menu_purchases (user_id, item_id, created_at);
CREATE INDEX menu_purchases_on_stage ON menu_purchases (model_id)
    WHERE queue_mode = 'ON' AND state IN ('CREATED', 'READY', 'STARTED');
CREATE UNIQUE INDEX menu_purchases_one_started ON menu_purchases (model_id)
    WHERE state = 'STARTED';
CREATE INDEX menu_purchases_moved ON menu_purchases (model_id, greatest(started_at, ended_at))
    WHERE queue_mode = 'ON';
CREATE INDEX menu_purchases_unpaid ON menu_purchases (attempted_at) WHERE state = 'CREATED';

-- Every move, with who and when. Each state is reached once.
CREATE TABLE stage_moves (
    purchase_id uuid NOT NULL REFERENCES menu_purchases,
    before text NOT NULL,
    after text NOT NULL,
    who text NOT NULL,  -- a userId, or `system`
    moved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (purchase_id, after)
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON stage_moves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What moves owe, written with the move: so that a crash forgets no token. The ledger takes each
-- once, however often it is asked.
CREATE TABLE stage_payments (
    purchase_id uuid NOT NULL REFERENCES menu_purchases,
    step smallint NOT NULL,  -- 1 ends the hold; 2 gives back what has settled
    kind text NOT NULL CHECK (kind IN ('SETTLE', 'RELEASE', 'REFUND')),
    refund_tokens integer NOT NULL CHECK (refund_tokens >= 0),
    owed_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (purchase_id, step),
    CHECK (step = CASE WHEN kind = 'REFUND' THEN 2 ELSE 1 END),
    CHECK (CASE kind WHEN 'RELEASE' THEN refund_tokens = 0 WHEN 'REFUND' THEN refund_tokens > 0
           ELSE true END)
);
CREATE INDEX stage_payments_owed ON stage_payments (owed_at) WHERE done_at IS NULL;

-- Attempts that were refused. Three in a row make a dead letter.
CREATE TABLE stage_failures (
    purchase_id uuid NOT NULL,
    step smallint NOT NULL,
    code text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (purchase_id, step) REFERENCES stage_payments
);
CREATE INDEX stage_failures_by_time ON stage_failures (failed_at);

CREATE TABLE stage_dead_letters (
    letter_id uuid PRIMARY KEY,  -- grows with time
    purchase_id uuid NOT NULL,
    step smallint NOT NULL,
    code text NOT NULL,  -- of the last refusal
    died_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retried', 'dismissed')),
    decided_by text,
    decided_at timestamptz,
    note text CHECK (length(note) BETWEEN 1 AND 200),
    FOREIGN KEY (purchase_id, step) REFERENCES stage_payments,
    CHECK ((state = 'open') = (decided_at IS NULL)),
    CHECK ((state = 'open') = (decided_by IS NULL)),
    CHECK ((state = 'open') = (note IS NULL))
);
CREATE INDEX stage_dead_letters_by_state ON stage_dead_letters (state, letter_id);
CREATE UNIQUE INDEX stage_dead_letters_standing ON stage_dead_letters (purchase_id, step)
    WHERE state <> 'retried';

-- ---- on air ------------------------------------------------------------------------------------

-- A broadcast does not end while something is performed. The stage starts nothing without holding
-- the broadcast's row, so that of a start and an end that race one comes first.
CREATE FUNCTION refuse_end_while_performing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM rooms r JOIN menu_purchases p ON p.model_id = r.model_id
               WHERE r.room_id = NEW.room_id AND p.state = 'STARTED') THEN
        RAISE EXCEPTION 'a performance is running' USING ERRCODE = 'TR001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER performing BEFORE UPDATE ON broadcasts FOR EACH ROW
    WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL)
    EXECUTE FUNCTION refuse_end_while_performing();
