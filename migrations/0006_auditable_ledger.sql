-- The whole ledger: every kind of transfer through one function, escrow, a hash chain over each
-- account's entries, and the growing tables in months. Takes over what 0001 to 0005 hold.
--
-- A transfer's source_ref is its idempotency key, for ever: `tip:{tipId}`, `purchase:{purchaseId}`,
-- `deposit:...`, `hold:{holdId}`, `release:{holdId}`, `refund:{refundId}`. What a transfer is worth to
-- whom is decided outside (server/store/postings.py); here is what holds for all of them: once only,
-- sums of zero, no balance below zero, compare-and-set of a hold, the chain.

-- ---- what is kept for ever, and narrow ---------------------------------------------------------

ALTER TABLE transfers RENAME TO transfers_0001;
ALTER TABLE transfers_0001 RENAME CONSTRAINT transfers_pkey TO transfers_0001_pkey;
ALTER TABLE entries RENAME TO entries_0001;
ALTER TABLE entries_0001 RENAME CONSTRAINT entries_pkey TO entries_0001_pkey;
ALTER INDEX entries_of_transfer RENAME TO entries_0001_of_transfer;
ALTER TABLE outbox RENAME TO outbox_0001;
ALTER TABLE outbox_0001 RENAME CONSTRAINT outbox_pkey TO outbox_0001_pkey;
ALTER TABLE points_entries RENAME TO points_entries_0001;
ALTER TABLE points_entries_0001 RENAME CONSTRAINT points_entries_pkey TO points_entries_0001_pkey;
ALTER TABLE activation_audit RENAME TO activation_audit_0001;
ALTER TABLE activation_audit_0001
    RENAME CONSTRAINT activation_audit_pkey TO activation_audit_0001_pkey;
ALTER INDEX activation_audit_of_tip RENAME TO activation_audit_0001_of_tip;
ALTER INDEX activation_audit_model_toy RENAME TO activation_audit_0001_model_toy;

-- Where each account's chain stands: its last entry's number and hash.
ALTER TABLE accounts
    ADD COLUMN last_seq bigint NOT NULL DEFAULT 0 CHECK (last_seq >= 0),
    ADD COLUMN last_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
        CHECK (length(last_hash) = 32);

CREATE TABLE transfers (
    transfer_id uuid PRIMARY KEY,
    source_ref text NOT NULL CONSTRAINT transfers_once UNIQUE CHECK (length(source_ref) <= 128),
    kind text NOT NULL
        CHECK (kind IN ('tip', 'purchase', 'deposit', 'hold', 'release', 'refund')),
    content json NOT NULL,  -- what source_ref stands for: the same again is a repeat, else refused
    answer json NOT NULL,   -- what was answered the first time, beside `balance`
    balance bigint NOT NULL,  -- of the user's wallet, right after
    refunds text,           -- source_ref of the transfer that this one gives back
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (starts_with(source_ref, kind || ':')),
    CHECK ((refunds IS NOT NULL) = (kind = 'refund'))
);
CREATE INDEX transfers_refunding ON transfers (refunds) WHERE refunds IS NOT NULL;

-- Tokens in escrow. hold_id is also the purchaseId of the settlement, `purchase:{hold_id}`.
CREATE TABLE holds (
    hold_id public_id PRIMARY KEY CHECK (length(hold_id) <= 55),
    user_id public_id NOT NULL,
    room_id public_id NOT NULL,
    broadcast_id public_id NOT NULL,
    model_id public_id NOT NULL,
    amount integer NOT NULL CHECK (amount BETWEEN 1 AND 99999),
    item json NOT NULL,  -- protocol/tip_activated.py: Item
    expires_at timestamptz,
    debit_ref uuid NOT NULL,  -- the entry that took the tokens from the user
    state text NOT NULL DEFAULT 'HELD'
        CHECK (state IN ('HELD', 'SETTLED', 'REFUNDED', 'PARTIALLY_REFUNDED')),
    refunded integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CHECK ((state = 'HELD') = (ended_at IS NULL)),
    CHECK (CASE state WHEN 'REFUNDED' THEN refunded = amount
           WHEN 'PARTIALLY_REFUNDED' THEN refunded > 0 AND refunded < amount
           ELSE refunded = 0 END)
);
CREATE INDEX holds_expiring ON holds (expires_at)
    WHERE state = 'HELD' AND expires_at IS NOT NULL;

-- A hold ends once; nothing else of it ever changes.
CREATE FUNCTION check_hold_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'HELD' OR NEW.state = 'HELD'
       OR (OLD.hold_id, OLD.user_id, OLD.room_id, OLD.broadcast_id, OLD.model_id, OLD.amount,
           OLD.item::text, OLD.expires_at, OLD.debit_ref, OLD.created_at) IS DISTINCT FROM
          (NEW.hold_id, NEW.user_id, NEW.room_id, NEW.broadcast_id, NEW.model_id, NEW.amount,
           NEW.item::text, NEW.expires_at, NEW.debit_ref, NEW.created_at) THEN
        RAISE EXCEPTION 'a hold ends once, and only its end is a change'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ends_once BEFORE UPDATE ON holds FOR EACH ROW EXECUTE FUNCTION check_hold_end();

-- ---- what grows: in months, by the time of the row ---------------------------------------------

CREATE TABLE entries (
    account_id text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),  -- 1, 2, 3 ... in each account
    entry_id uuid NOT NULL,
    transfer_id uuid NOT NULL,
    amount bigint NOT NULL,  -- 0 for a model whose share rounds down to nothing
    balance_after bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),  -- entry_hash()
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, seq, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX entries_of_transfer ON entries (transfer_id);

-- The whole TipActivated, as json and not jsonb: the same bytes come back. Transfers are single
-- file, so a smaller seq never commits after a larger one.
CREATE SEQUENCE outbox_seq;
CREATE TABLE outbox (
    seq bigint NOT NULL DEFAULT nextval('outbox_seq'),
    tip_id text NOT NULL,
    room_id text NOT NULL,
    event json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (seq, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX outbox_of_tip ON outbox (tip_id);
CREATE INDEX outbox_of_room ON outbox (room_id, seq);

-- protocol/audit.py, TargetRecord. Written by COPY.
CREATE SEQUENCE activation_audit_seq;
CREATE TABLE activation_audit (
    record_id uuid NOT NULL,
    seq bigint NOT NULL DEFAULT nextval('activation_audit_seq'),
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
    at_utc timestamptz NOT NULL,
    PRIMARY KEY (record_id, at_utc)
) PARTITION BY RANGE (at_utc);
CREATE INDEX activation_audit_model_toy ON activation_audit (room_id, seq)
    WHERE target_type = 'MODEL_TOY' AND state = 'SENT';
CREATE INDEX activation_audit_of_tip ON activation_audit (tip_id);

-- A transfer's entries are written by one statement, so that one look sees them together.
CREATE OR REPLACE FUNCTION check_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM written w GROUP BY w.transfer_id HAVING sum(w.amount) <> 0) THEN
        RAISE EXCEPTION 'entries of a transfer do not sum to zero'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
-- A partition of its own refuses what its parent refuses.
CREATE FUNCTION add_partition(parent text, child text, bounds text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF %I %s', child, parent, bounds);
    EXECUTE format('CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', child);
END $$;

-- Tables in months. Rows outside of all months go to the default partition: money never waits for
-- an operator.
CREATE TABLE monthly_tables (name text PRIMARY KEY, time_column text NOT NULL);
INSERT INTO monthly_tables VALUES
    ('entries', 'created_at'), ('outbox', 'created_at'), ('activation_audit', 'at_utc');

-- Rows that went to the default partition before their month was there go where they belong.
CREATE FUNCTION add_month_of_default(parent text, child text, bounds text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    spare text := parent || '_default';
BEGIN
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, spare);
    -- No row is deleted, which its own trigger would refuse: the whole table is replaced.
    EXECUTE format('ALTER TABLE %I RENAME TO %I', spare, spare || '_before');
    PERFORM add_partition(parent, child, bounds);
    PERFORM add_partition(parent, spare, 'DEFAULT');
    EXECUTE format('INSERT INTO %I SELECT * FROM %I', parent, spare || '_before');
    EXECUTE format('DROP TABLE %I', spare || '_before');
END $$;

-- Bring about the partitions of `months` months, from that of `first` on; how many are new. Gives
-- up after `lock_timeout`, with nothing changed.
CREATE FUNCTION add_months(first timestamptz, months int) RETURNS int LANGUAGE plpgsql
-- Less than deadlock_timeout: where it and a reader wait for each other, the reader goes on.
SET timezone = 'UTC' SET lock_timeout = '800ms' AS $$
DECLARE
    added int := 0;
    month timestamptz;
    child text;
    bounds text;
    misplaced boolean;
    wanted record;
BEGIN
    -- One at a time, on all servers.
    PERFORM pg_advisory_xact_lock(8466838);
    FOR wanted IN
        SELECT t.name AS parent, t.time_column,
               date_trunc('month', first) + n * interval '1 month' AS month
        FROM monthly_tables t CROSS JOIN generate_series(0, months - 1) n
        ORDER BY t.name, n
    LOOP
        month := wanted.month;
        child := wanted.parent || to_char(month, '_YYYY_MM');
        CONTINUE WHEN to_regclass(child) IS NOT NULL;
        bounds := format('FOR VALUES FROM (%L) TO (%L)', month, month + interval '1 month');
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I >= %L AND %2$I < %4$L)',
            wanted.parent || '_default', wanted.time_column, month, month + interval '1 month')
        INTO misplaced;
        IF misplaced THEN
            PERFORM add_month_of_default(wanted.parent, child, bounds);
        ELSE
            PERFORM add_partition(wanted.parent, child, bounds);
        END IF;
        added := added + 1;
    END LOOP;
    RETURN added;
END $$;

DO $$
DECLARE
    parent text;
    began timestamptz := coalesce((SELECT min(created_at) FROM entries_0001), now());
BEGIN
    FOR parent IN SELECT name FROM monthly_tables LOOP
        PERFORM add_partition(parent, parent || '_default', 'DEFAULT');
        EXECUTE format('CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', parent);
    END LOOP;
    PERFORM add_months(began, 3 + (12 * (extract(year FROM now()) - extract(year FROM began))
                                   + extract(month FROM now()) - extract(month FROM began))::int);
END $$;

-- ---- the chain ---------------------------------------------------------------------------------

-- An entry's hash covers the whole entry and the hash before it in its account (the first: 32 zero
-- bytes). `tiproom ledger verify` computes the same in Python.
CREATE FUNCTION entry_hash(previous bytea, account_id text, seq bigint, entry_id uuid,
    transfer_id uuid, source_ref text, amount bigint, balance_after bigint, created_us bigint
) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
-- concat_ws, which is no more than stable, takes a third of the time of so many ||.
RETURN sha256(previous || convert_to(concat_ws('|', account_id, seq, entry_id, transfer_id,
    source_ref, amount, balance_after, created_us), 'UTF8'));

CREATE FUNCTION epoch_us(moment timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (extract(epoch FROM moment) * 1000000)::bigint;

-- Months that were moved away: each account's last entry in them, where the chain goes on.
CREATE TABLE archived_accounts (
    account_id text PRIMARY KEY,
    last_seq bigint NOT NULL,
    last_hash bytea NOT NULL,
    balance bigint NOT NULL,
    archived_until timestamptz NOT NULL
);

-- ---- consumers ---------------------------------------------------------------------------------

-- All events up to its cursor are done by a consumer; above it, those that event_done names. So a
-- settlement writes nothing for a consumer, and one more consumer is one more row here.
ALTER TABLE event_consumers ADD COLUMN cursor bigint NOT NULL DEFAULT 0;

-- One row for each event and consumer, kept for ever: tipId is each consumer's idempotency key.
CREATE TABLE event_done (
    consumer text NOT NULL REFERENCES event_consumers (name),
    tip_id text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, tip_id)
);

-- Points: one row for each transfer that earned them or took them back.
CREATE TABLE points_entries (
    source_ref text PRIMARY KEY REFERENCES transfers (source_ref),
    user_id public_id NOT NULL,
    points bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- ---- what 0001 to 0005 hold --------------------------------------------------------------------

INSERT INTO transfers (transfer_id, source_ref, kind, content, answer, balance, created_at)
SELECT t.transfer_id, t.source_ref, t.kind,
    -- As server/store/postings.py writes it: compared as text.
    concat('{"roomId":', to_json(tip.room_id::text), ',"broadcastId":',
        to_json(tip.broadcast_id::text), ',"userId":', to_json(tip.tipper_id::text),
        ',"amount":', tip.amount, '}')::json,
    concat('{"itemName":', o.event -> 'item' -> 'itemName', ',"timestamp":',
        o.event -> 'timestamp', '}')::json,
    e.balance_after, t.created_at
FROM transfers_0001 t
JOIN tips tip ON tip.transfer_id = t.transfer_id
JOIN outbox_0001 o ON o.tip_id = tip.tip_id
JOIN entries_0001 e ON e.entry_id = tip.debit_ref
UNION ALL
SELECT t.transfer_id, t.source_ref, t.kind,
    concat('{"userId":', to_json(substr(e.account_id, 6)), ',"amount":', e.amount, '}')::json,
    '{}'::json, e.balance_after, t.created_at
FROM transfers_0001 t
JOIN entries_0001 e ON e.transfer_id = t.transfer_id AND e.amount > 0
WHERE t.kind = 'deposit';

-- The old entries have no number, and a time from before the wait for the locks: what the account's
-- balance was before an entry tells which one it follows. Of several, the oldest; rows of that
-- table never moved, so ctid tells those of one moment apart.
CREATE TEMPORARY TABLE unchained ON COMMIT DROP AS
SELECT e.*, e.balance_after - e.amount AS balance_before, t.source_ref,
       row_number() OVER (ORDER BY e.created_at, e.ctid) AS place
FROM entries_0001 e JOIN transfers t USING (transfer_id);
CREATE INDEX ON unchained (account_id, balance_before, place);
CREATE INDEX ON unchained (account_id, place);
ANALYZE unchained;

DO $$
DECLARE
    account text;
    last_seq bigint;
    tokens bigint;
    last_hash bytea;
    next_place bigint;
    old record;
BEGIN
    FOR account IN SELECT a.account_id FROM accounts a LOOP
        last_seq := 0;
        tokens := 0;
        last_hash := decode(repeat('00', 32), 'hex');
        LOOP
            SELECT u.place INTO next_place FROM unchained u
            WHERE u.account_id = account AND u.balance_before = tokens
            ORDER BY u.place LIMIT 1;
            IF NOT FOUND THEN  -- balances that met twice misled: by time alone
                SELECT u.place INTO next_place FROM unchained u
                WHERE u.account_id = account ORDER BY u.place LIMIT 1;
            END IF;
            EXIT WHEN NOT FOUND;
            DELETE FROM unchained u WHERE u.account_id = account AND u.place = next_place
            RETURNING u.* INTO old;
            last_seq := last_seq + 1;
            tokens := tokens + old.amount;
            last_hash := entry_hash(last_hash, account, last_seq, old.entry_id, old.transfer_id,
                old.source_ref, old.amount, tokens, epoch_us(old.created_at));
            INSERT INTO entries VALUES (account, last_seq, old.entry_id, old.transfer_id,
                old.amount, tokens, last_hash, old.created_at);
        END LOOP;
    END LOOP;
END $$;

-- Only now: above, a transfer's entries were written one by one.
CREATE TRIGGER check_written AFTER INSERT ON entries REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION check_entries();

UPDATE accounts a SET last_seq = e.seq, last_hash = e.hash
FROM (SELECT DISTINCT ON (account_id) account_id, seq, hash FROM entries
      ORDER BY account_id, seq DESC) e
WHERE e.account_id = a.account_id;

INSERT INTO outbox (seq, tip_id, room_id, event, created_at)
SELECT seq, tip_id, room_id, event, created_at FROM outbox_0001;
SELECT setval('outbox_seq', coalesce((SELECT max(seq) FROM outbox), 1),
              EXISTS (SELECT FROM outbox));

INSERT INTO activation_audit
SELECT record_id, seq, tip_id, event_id, ledger_id, room_id, target_type, target_id, attempt,
       state, reason, code, call, fit, at_utc FROM activation_audit_0001;
SELECT setval('activation_audit_seq', coalesce((SELECT max(seq) FROM activation_audit), 1),
              EXISTS (SELECT FROM activation_audit));

INSERT INTO event_done (consumer, tip_id, done_at)
SELECT consumer, tip_id, done_at FROM event_deliveries WHERE done_at IS NOT NULL;

INSERT INTO points_entries (source_ref, user_id, points, created_at)
SELECT 'tip:' || tip_id, user_id, points, created_at FROM points_entries_0001;

DROP FUNCTION settle_tips;
DROP FUNCTION deposit_tokens;
DROP TABLE points_entries_0001, event_deliveries, outbox_0001, tips, entries_0001, transfers_0001,
    activation_audit_0001;
DROP FUNCTION check_tips;

CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE DELETE OR TRUNCATE ON holds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON event_done
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON points_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ---- writing -----------------------------------------------------------------------------------

-- Post a batch of transfers in one transaction; one row for each request, in order.
--
-- touched        the distinct accounts of the batch; `openable`: may be brought into being
-- per request    `first_ats` is the position of the batch's first request with the same source_ref;
--                a request without transfer_id asks only whether its source_ref is known.
--                `wallets` is the position in `touched` of the balance that is answered.
--                `refunded_refs` names the transfer to give back, of which `refunded_befores` tokens were
--                given back before. `hold_states`: what becomes of the hold `hold_ids`, which the
--                first leg takes out of escrow; HELD makes it, out of `contents` and `answers`.
--                `events` go to the outbox, with `tip_ids` and `room_ids`.
-- per leg        request `i` has the legs after those of `i - 1` up to `leg_ends[i]`: position in
--                `touched`, tokens, the entry's id
--
-- outcome        transfer_id, balance, answer
-- 'posted'       the new transfer; the wallet after it; null
-- 'repeat'       all three as they were the first time
-- 'conflict', 'not_known', 'account_unknown', 'insufficient', 'hold_ended', 'refund_moved':
--                null; nothing was written
CREATE FUNCTION post_transfers(
    touched text[], openable boolean[],
    source_refs text[], first_ats int[], transfer_ids uuid[], contents text[],
    answers text[], wallets int[], refunded_refs text[], refunded_befores int[], hold_ids text[],
    hold_states text[], tip_ids text[], room_ids text[], events text[], leg_ends int[],
    leg_accounts int[], leg_amounts bigint[], leg_entries uuid[]
) RETURNS TABLE (outcome text, transfer_id uuid, balance bigint, answer text)
LANGUAGE plpgsql
-- A plan is made while the tables are small and kept while they grow: every look-up below is to
-- go by its index from the start.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    batch int := cardinality(source_refs);
    moment timestamptz;  -- of all that is written here
    now_us bigint;
    balances bigint[];  -- these three: as touched
    last_seqs bigint[];
    last_hashes bytea[];
    written boolean[] := array_fill(false, ARRAY[cardinality(touched)]);
    posted_ats int[] := array_fill(NULL::int, ARRAY[batch]);  -- by first_at: who posted it
    posted_balances bigint[] := array_fill(NULL::bigint, ARRAY[batch]);  -- null: not posted here
    entry_seqs bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(leg_entries)]);
    entry_balances bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(leg_entries)]);
    entry_hashes bytea[] := array_fill(NULL::bytea, ARRAY[cardinality(leg_entries)]);
    entry_transfers uuid[] := array_fill(NULL::uuid, ARRAY[cardinality(leg_entries)]);
    refunded_now text[] := '{}';  -- given back by this batch; not in the table yet
    i int;
    leg int;
    leg_start int;
    slot int;
    first int;
    request record;
BEGIN
    -- Transfers are single file through this row, on all servers. Nearly each of them touches it
    -- anyway; taken first, it also means that what is not known below stays so until the commit,
    -- that two servers never wait for each other in a circle, and that outbox.seq commits in order.
    PERFORM FROM accounts a WHERE a.account_id = 'revenue' FOR UPDATE;
    -- One order for everyone who locks several accounts: by id.
    PERFORM FROM accounts a WHERE a.account_id = ANY (touched) ORDER BY a.account_id FOR UPDATE;
    SELECT array_agg(CASE WHEN t.openable THEN coalesce(a.balance, 0) ELSE a.balance END
                     ORDER BY t.slot),
           array_agg(coalesce(a.last_seq, 0) ORDER BY t.slot),
           array_agg(coalesce(a.last_hash, decode(repeat('00', 32), 'hex')) ORDER BY t.slot)
    INTO balances, last_seqs, last_hashes
    FROM unnest(touched, openable) WITH ORDINALITY t(id, openable, slot)
    LEFT JOIN accounts a ON a.account_id = t.id;
    -- Not now(), which is from before the wait for the locks: in each account a later number has a
    -- later time, so that a month ends between two of them.
    moment := clock_timestamp();
    now_us := epoch_us(moment);

    FOR request IN
        SELECT r.at, known.*
        FROM unnest(source_refs) WITH ORDINALITY r(source_ref, at)
        LEFT JOIN LATERAL (
            SELECT t.transfer_id, t.content::text AS content, t.answer::text AS answer, t.balance
            FROM transfers t WHERE t.source_ref = r.source_ref LIMIT 1
        ) known ON true
        ORDER BY r.at
    LOOP
        i := request.at;
        first := posted_ats[first_ats[i]];
        leg_start := CASE WHEN i = 1 THEN 1 ELSE leg_ends[i - 1] + 1 END;
        transfer_id := NULL;
        balance := NULL;
        answer := NULL;
        outcome := NULL;
        IF request.transfer_id IS NOT NULL THEN
            IF request.content = contents[i] THEN
                outcome := 'repeat';
                transfer_id := request.transfer_id;
                balance := request.balance;
                answer := request.answer;
            ELSE
                outcome := 'conflict';
            END IF;
        ELSIF first IS NOT NULL THEN
            IF contents[first] = contents[i] THEN
                outcome := 'repeat';
                transfer_id := transfer_ids[first];
                balance := posted_balances[first];
                answer := answers[first];
            ELSE
                outcome := 'conflict';
            END IF;
        ELSIF transfer_ids[i] IS NULL THEN
            outcome := 'not_known';
        END IF;
        -- Before its legs, which rest on what was given back before.
        IF outcome IS NULL AND refunded_refs[i] IS NOT NULL THEN
            IF refunded_refs[i] = ANY (refunded_now) OR refunded_befores[i] <> (
                SELECT coalesce(sum((t.content ->> 'tokens')::int), 0)
                FROM transfers t WHERE t.refunds = refunded_refs[i]
            ) THEN
                outcome := 'refund_moved';
            END IF;
        END IF;
        IF outcome IS NULL THEN
            FOR leg IN leg_start..leg_ends[i] LOOP
                slot := leg_accounts[leg];
                IF balances[slot] IS NULL THEN
                    outcome := 'account_unknown';
                -- Whether the escrow has a hold's tokens is what the hold itself says, below.
                ELSIF balances[slot] + leg_amounts[leg] < 0
                      AND touched[slot] NOT IN ('issuance', 'escrow') THEN
                    outcome := coalesce(outcome, 'insufficient');
                END IF;
            END LOOP;
        END IF;
        IF outcome IS NULL AND refunded_refs[i] IS NOT NULL THEN
            refunded_now := refunded_now || refunded_refs[i];
        END IF;
        -- Its settlement's tipId may be an old tip's: tips could be named so before 0006.
        IF outcome IS NULL AND hold_states[i] = 'HELD' THEN
            IF EXISTS (SELECT FROM transfers t
                       WHERE t.source_ref = 'tip:purchase:' || hold_ids[i]) THEN
                outcome := 'conflict';
            END IF;
        END IF;
        IF outcome IS NULL AND hold_states[i] = 'HELD' THEN
            INSERT INTO holds (hold_id, user_id, room_id, amount, item, broadcast_id, model_id,
                               expires_at, debit_ref)
            SELECT hold_ids[i], c.said ->> 'userId', c.said ->> 'roomId',
                   (c.said ->> 'amount')::int, c.said -> 'item', a.said ->> 'broadcastId',
                   a.said ->> 'modelId', (a.said ->> 'expiresAt')::timestamptz,
                   leg_entries[leg_start]
            FROM (SELECT contents[i]::json AS said) c, (SELECT answers[i]::json AS said) a;
        ELSIF outcome IS NULL AND hold_states[i] IS NOT NULL THEN
            UPDATE holds h SET state = hold_states[i], ended_at = moment,
                refunded = CASE hold_states[i] WHEN 'REFUNDED' THEN h.amount
                    WHEN 'PARTIALLY_REFUNDED' THEN (contents[i]::json ->> 'refundTokens')::int
                    ELSE 0 END
            WHERE h.hold_id = hold_ids[i] AND h.state = 'HELD'
              AND h.amount = -leg_amounts[leg_start]
              AND (hold_states[i] = 'REFUNDED' OR h.expires_at IS NULL OR h.expires_at > moment);
            IF NOT FOUND THEN
                outcome := 'hold_ended';
            END IF;
        END IF;
        IF outcome IS NULL THEN
            FOR leg IN leg_start..leg_ends[i] LOOP
                slot := leg_accounts[leg];
                written[slot] := true;
                balances[slot] := balances[slot] + leg_amounts[leg];
                last_seqs[slot] := last_seqs[slot] + 1;
                last_hashes[slot] := entry_hash(last_hashes[slot], touched[slot],
                    last_seqs[slot], leg_entries[leg], transfer_ids[i], source_refs[i],
                    leg_amounts[leg], balances[slot], now_us);
                entry_seqs[leg] := last_seqs[slot];
                entry_balances[leg] := balances[slot];
                entry_hashes[leg] := last_hashes[slot];
                entry_transfers[leg] := transfer_ids[i];
            END LOOP;
            posted_ats[first_ats[i]] := i;
            posted_balances[i] := balances[wallets[i]];
            outcome := 'posted';
            transfer_id := transfer_ids[i];
            balance := posted_balances[i];
        END IF;
        RETURN NEXT;
    END LOOP;

    INSERT INTO transfers (transfer_id, source_ref, kind, content, answer, balance, refunds,
                           created_at)
    SELECT r.transfer_id, r.source_ref, split_part(r.source_ref, ':', 1), r.content::json,
           r.answer::json, r.balance, r.refunds, moment
    FROM unnest(transfer_ids, source_refs, contents, answers, posted_balances, refunded_refs)
         r(transfer_id, source_ref, content, answer, balance, refunds)
    WHERE r.balance IS NOT NULL;

    INSERT INTO entries (account_id, seq, entry_id, transfer_id, amount, balance_after, hash,
                         created_at)
    SELECT touched[l.account], l.seq, l.entry_id, l.transfer_id, l.amount, l.balance, l.hash, moment
    FROM unnest(leg_accounts, entry_seqs, leg_entries, entry_transfers, leg_amounts,
                entry_balances, entry_hashes)
         l(account, seq, entry_id, transfer_id, amount, balance, hash)
    WHERE l.seq IS NOT NULL;

    INSERT INTO outbox (tip_id, room_id, event, created_at)
    SELECT r.tip_id, r.room_id, r.event::json, moment
    FROM unnest(tip_ids, room_ids, events, posted_balances) WITH ORDINALITY
         r(tip_id, room_id, event, balance, at)
    WHERE r.balance IS NOT NULL AND r.event IS NOT NULL
    ORDER BY r.at;

    INSERT INTO accounts (account_id, kind, owner_id, balance, last_seq, last_hash)
    SELECT t.id, split_part(t.id, ':', 1), nullif(substr(t.id, strpos(t.id || ':', ':') + 1), ''),
           t.balance, t.last_seq, t.last_hash
    FROM unnest(touched, written, balances, last_seqs, last_hashes)
         t(id, written, balance, last_seq, last_hash)
    WHERE t.written
    ON CONFLICT (account_id) DO UPDATE SET
        balance = excluded.balance, last_seq = excluded.last_seq, last_hash = excluded.last_hash;
END $$;

-- Up to which event the outbox was moved away: who reads on from an earlier one would miss some.
CREATE TABLE archived_events (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    last_seq bigint NOT NULL
);
INSERT INTO archived_events (last_seq) VALUES (0);

-- ---- moving old months away --------------------------------------------------------------------

-- Close the oldest month that is attached, which must be over and done, and detach its partitions:
-- `{table}_{YYYY}_{MM}` stay as tables of their own. Keys, holds and accounts stay: what was settled
-- then is a repeat for ever. The chain goes on from archived_accounts. One row for each table.
CREATE FUNCTION archive_month(month timestamptz) RETURNS SETOF text LANGUAGE plpgsql
-- Less than deadlock_timeout: where it and a reader wait for each other, the reader goes on.
SET timezone = 'UTC' SET lock_timeout = '800ms' AS $$
DECLARE
    begins timestamptz := date_trunc('month', month);
    ends timestamptz := date_trunc('month', month) + interval '1 month';
    behind text;
    detached record;
BEGIN
    -- One at a time.
    PERFORM pg_advisory_xact_lock(8466839);
    -- What began before the end of the month has committed or failed a minute later: no session of
    -- ours may run a statement for that long.
    IF ends > now() - interval '1 minute' THEN
        RAISE EXCEPTION 'the month is not over' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF to_regclass('entries' || to_char(begins, '_YYYY_MM')) IS NULL THEN
        RAISE EXCEPTION 'there are no tables of this month'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_inherits i WHERE i.inhparent = 'entries'::regclass
            AND i.inhrelid = to_regclass('entries' || to_char(begins, '_YYYY_MM'))
    ) THEN
        RAISE EXCEPTION 'the month was moved away before'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (SELECT FROM entries WHERE created_at < begins)
       OR EXISTS (SELECT FROM outbox WHERE created_at < begins) THEN
        RAISE EXCEPTION 'an older month is still there'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT string_agg(DISTINCT c.name, ', ') INTO behind
    FROM event_consumers c
    JOIN outbox o ON o.created_at < ends AND o.seq > c.cursor
    WHERE NOT EXISTS (
        SELECT FROM event_done d WHERE d.consumer = c.name AND d.tip_id = o.tip_id);
    IF behind IS NOT NULL THEN
        RAISE EXCEPTION 'events of this month are not done by: %', behind
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO archived_accounts AS a (account_id, last_seq, last_hash, balance, archived_until)
    SELECT DISTINCT ON (e.account_id) e.account_id, e.seq, e.hash, e.balance_after, ends
    FROM entries e WHERE e.created_at < ends
    ORDER BY e.account_id, e.seq DESC
    ON CONFLICT (account_id) DO UPDATE SET last_seq = excluded.last_seq,
        last_hash = excluded.last_hash, balance = excluded.balance,
        archived_until = excluded.archived_until;
    -- A clock that was set back by an operator: the chain cannot be cut here.
    IF EXISTS (
        SELECT FROM archived_accounts a
        JOIN entries e ON e.account_id = a.account_id AND e.seq <= a.last_seq
        WHERE a.archived_until = ends AND e.created_at >= ends
    ) THEN
        RAISE EXCEPTION 'an account has a later entry with a smaller number'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE archived_events SET last_seq = greatest(
        last_seq, (SELECT coalesce(max(o.seq), 0) FROM outbox o WHERE o.created_at < ends));
    -- Only from here on does posting wait, for as long as a commit takes.
    PERFORM FROM accounts a WHERE a.account_id = 'revenue' FOR UPDATE;
    LOCK TABLE activation_audit, entries, outbox IN ACCESS EXCLUSIVE MODE;
    FOR detached IN
        SELECT t.name AS parent, t.name || to_char(begins, '_YYYY_MM') AS name
        FROM monthly_tables t
        JOIN pg_inherits i ON i.inhparent = t.name::regclass
                          AND i.inhrelid = to_regclass(t.name || to_char(begins, '_YYYY_MM'))
        ORDER BY t.name
    LOOP
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', detached.parent, detached.name);
        RETURN NEXT detached.name;
    END LOOP;
END $$;
