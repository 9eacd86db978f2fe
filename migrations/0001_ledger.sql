-- The token ledger: accounts, transfers, entries, and the tips that they settle, each with its one
-- event for the consumers. Integers only. Everything but a balance and a delivery's end is
-- append-only.

-- protocol/tip_activated.py: Id. The length stands apart: as {0,63} within the expression each
-- check was measured at eight microseconds, ten times as long.
CREATE DOMAIN public_id AS text
    CHECK (VALUE ~ '^[A-Za-z0-9][A-Za-z0-9._:-]*$' AND length(VALUE) <= 64);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: its rows never change', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TABLE accounts (
    account_id text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('user', 'model', 'escrow', 'revenue', 'issuance')),
    owner_id public_id CHECK ((owner_id IS NOT NULL) = (kind IN ('user', 'model'))),
    balance bigint NOT NULL DEFAULT 0 CHECK (balance >= 0 OR kind = 'issuance'),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (account_id = concat_ws(':', kind, owner_id))
) WITH (fillfactor = 70);  -- room on each page for the next version of a hot balance

INSERT INTO accounts (account_id, kind)
VALUES ('escrow', 'escrow'), ('revenue', 'revenue'), ('issuance', 'issuance');

CREATE TABLE transfers (
    transfer_id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('tip', 'deposit')),
    source_ref text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- A deposit can never take the reference of a tip, nor the other way round.
    CHECK (starts_with(source_ref, kind || ':'))
);

CREATE TABLE entries (
    entry_id uuid PRIMARY KEY,
    transfer_id uuid NOT NULL,
    account_id text NOT NULL,
    amount bigint NOT NULL,  -- 0 for a model whose share rounds down to nothing
    balance_after bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX entries_of_transfer ON entries (transfer_id);

-- A transfer's entries are written by one statement, so that one look sees them together: they sum
-- to zero, and what they name exists. In place of foreign keys, which look once for each row and
-- were measured to halve the settlements per second; nothing that is named can ever be deleted.
CREATE FUNCTION check_entries() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    IF EXISTS (SELECT FROM written w GROUP BY w.transfer_id HAVING sum(w.amount) <> 0) THEN
        RAISE EXCEPTION 'entries of a transfer do not sum to zero'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF EXISTS (
        SELECT FROM written w
        LEFT JOIN transfers t ON t.transfer_id = w.transfer_id
        LEFT JOIN accounts a ON a.account_id = w.account_id
        WHERE t.transfer_id IS NULL OR a.account_id IS NULL
    ) THEN
        RAISE EXCEPTION 'an entry without its transfer or its account'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER check_written AFTER INSERT ON entries REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION check_entries();

-- One settled tip. room, broadcast, tipper and amount are what its id stands for, for ever.
CREATE TABLE tips (
    tip_id public_id PRIMARY KEY,
    room_id public_id NOT NULL,
    broadcast_id public_id NOT NULL,
    tipper_id public_id NOT NULL,
    model_id public_id NOT NULL,
    amount integer NOT NULL CHECK (amount BETWEEN 1 AND 99999),
    transfer_id uuid NOT NULL,
    debit_ref uuid NOT NULL,
    credit_ref uuid NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT now()
);

-- What a tip refers to are entries of its own transfer, out of that wallet and into that account.
CREATE FUNCTION check_tips() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM written w
        LEFT JOIN entries d ON d.entry_id = w.debit_ref
        LEFT JOIN entries c ON c.entry_id = w.credit_ref
        WHERE (d.transfer_id, d.account_id, d.amount, c.transfer_id, c.account_id)
            IS DISTINCT FROM
            (w.transfer_id, 'user:' || w.tipper_id, -w.amount::bigint,
             w.transfer_id, 'model:' || w.model_id)
    ) THEN
        RAISE EXCEPTION 'a tip without its entries'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER check_written AFTER INSERT ON tips REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION check_tips();

-- The whole TipActivated, as json and not jsonb: the same bytes come back. `seq` has no gaps that
-- matter: settlements are single file, so a smaller number never commits after a larger one.
CREATE TABLE outbox (
    tip_id text PRIMARY KEY,
    seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    room_id text NOT NULL,
    event json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Who gets every event. A further consumer is one more row here, no change of the ledger.
CREATE TABLE event_consumers (name text PRIMARY KEY);
INSERT INTO event_consumers VALUES ('room'), ('loyalty');

-- One row for each event and consumer, kept for ever: tipId is each consumer's idempotency key.
CREATE TABLE event_deliveries (
    consumer text NOT NULL,
    tip_id text NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (consumer, tip_id)
);
CREATE INDEX event_deliveries_pending ON event_deliveries (consumer, seq) WHERE done_at IS NULL;

CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON tips
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE DELETE OR TRUNCATE ON event_deliveries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE DELETE OR TRUNCATE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Settle a batch of tips in one transaction; one row for each request, in order.
--
-- The arrays hold one element per request, but for `touched`: the distinct wallet and model
-- accounts of the batch. `wallets` and `model_accounts` are positions in it; `first_ats` is the
-- position of the batch's first request with the same tip id. A request without event
-- asks only whether its tip is known.
--
-- outcome        balance, event
-- 'settled'      wallet after this tip; null (the caller has the event)
-- 'repeat'       wallet right after the first time; the first event
-- 'conflict', 'not_known', 'user_unknown', 'insufficient': null; nothing was written
CREATE FUNCTION settle_tips(
    touched text[], tip_ids text[], first_ats int[], room_ids text[], broadcast_ids text[],
    tipper_ids text[], model_ids text[], amounts int[], model_tokens int[], wallets int[],
    model_accounts int[], source_refs text[], transfer_ids uuid[], debit_refs uuid[],
    credit_refs uuid[], revenue_refs uuid[], events text[]
) RETURNS TABLE (outcome text, balance bigint, event text)
LANGUAGE plpgsql
-- A plan is made while the tables are small and kept while they grow: every look-up below is to
-- go by its index from the start.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    batch int := cardinality(tip_ids);
    revenue bigint;
    balances bigint[];                                             -- as touched
    settled_ats int[] := array_fill(NULL::int, ARRAY[batch]);      -- by first_at: who settled it
    debit_afters bigint[] := array_fill(NULL::bigint, ARRAY[batch]);  -- null: not settled here
    credit_afters bigint[] := array_fill(NULL::bigint, ARRAY[batch]);
    revenue_afters bigint[] := array_fill(NULL::bigint, ARRAY[batch]);
    i int;
    first int;
    request record;
BEGIN
    -- Settlements are single file through this row, on all servers. Nearly each of them credits
    -- it anyway; taken first, it also means that what is not known below stays so until the
    -- commit, that two servers never wait for each other in a circle, and that `seq` commits in
    -- order.
    SELECT a.balance INTO STRICT revenue
    FROM accounts a WHERE a.account_id = 'revenue' FOR UPDATE;

    INSERT INTO accounts (account_id, kind, owner_id)
    SELECT t.id, 'model', substr(t.id, length('model:') + 1)
    FROM unnest(touched) t(id) WHERE starts_with(t.id, 'model:')
    ON CONFLICT DO NOTHING;
    -- One order for everyone who locks several accounts: by id.
    PERFORM FROM accounts a WHERE a.account_id = ANY (touched) ORDER BY a.account_id FOR UPDATE;
    SELECT array_agg(a.balance ORDER BY t.slot) INTO balances
    FROM unnest(touched) WITH ORDINALITY t(id, slot)
    LEFT JOIN accounts a ON a.account_id = t.id;

    FOR request IN
        SELECT r.at, known.content, known.balance_after, known.event
        FROM unnest(tip_ids) WITH ORDINALITY r(tip_id, at)
        LEFT JOIN LATERAL (
            SELECT ROW(t.room_id, t.broadcast_id, t.tipper_id, t.amount)::text AS content,
                   e.balance_after, o.event
            FROM tips t
            JOIN entries e ON e.entry_id = t.debit_ref
            JOIN outbox o ON o.tip_id = t.tip_id
            WHERE t.tip_id = r.tip_id
            LIMIT 1
        ) known ON true
        ORDER BY r.at
    LOOP
        i := request.at;
        first := settled_ats[first_ats[i]];
        balance := NULL;
        event := NULL;
        IF request.content IS NOT NULL THEN
            IF request.content
               = ROW(room_ids[i], broadcast_ids[i], tipper_ids[i], amounts[i])::text THEN
                outcome := 'repeat';
                balance := request.balance_after;
                event := request.event;
            ELSE
                outcome := 'conflict';
            END IF;
        ELSIF first IS NOT NULL THEN
            IF room_ids[first] = room_ids[i] AND broadcast_ids[first] = broadcast_ids[i]
               AND tipper_ids[first] = tipper_ids[i] AND amounts[first] = amounts[i] THEN
                outcome := 'repeat';
                balance := debit_afters[first];
                event := events[first];
            ELSE
                outcome := 'conflict';
            END IF;
        ELSIF events[i] IS NULL THEN
            outcome := 'not_known';
        ELSIF balances[wallets[i]] IS NULL THEN
            outcome := 'user_unknown';
        ELSIF balances[wallets[i]] < amounts[i] THEN
            outcome := 'insufficient';
        ELSE
            balances[wallets[i]] := balances[wallets[i]] - amounts[i];
            debit_afters[i] := balances[wallets[i]];
            balances[model_accounts[i]] := balances[model_accounts[i]] + model_tokens[i];
            credit_afters[i] := balances[model_accounts[i]];
            revenue := revenue + amounts[i] - model_tokens[i];
            revenue_afters[i] := revenue;
            settled_ats[first_ats[i]] := i;
            outcome := 'settled';
            balance := debit_afters[i];
        END IF;
        RETURN NEXT;
    END LOOP;

    INSERT INTO transfers (transfer_id, kind, source_ref)
    SELECT r.transfer_id, 'tip', r.source_ref
    FROM unnest(transfer_ids, source_refs, debit_afters) r(transfer_id, source_ref, debit_after)
    WHERE r.debit_after IS NOT NULL;

    INSERT INTO entries (entry_id, transfer_id, account_id, amount, balance_after)
    SELECT side.entry_id, r.transfer_id, side.account_id, side.amount, side.balance_after
    FROM unnest(transfer_ids, tipper_ids, model_ids, amounts, model_tokens, debit_refs,
                credit_refs, revenue_refs, debit_afters, credit_afters, revenue_afters)
         r(transfer_id, tipper_id, model_id, amount, model_tokens, debit_ref,
           credit_ref, revenue_ref, debit_after, credit_after, revenue_after)
    CROSS JOIN LATERAL (VALUES
        (r.debit_ref, 'user:' || r.tipper_id, -r.amount, r.debit_after),
        (r.credit_ref, 'model:' || r.model_id, r.model_tokens, r.credit_after),
        (r.revenue_ref, 'revenue', r.amount - r.model_tokens, r.revenue_after)
    ) side(entry_id, account_id, amount, balance_after)
    WHERE r.debit_after IS NOT NULL AND side.entry_id IS NOT NULL;

    INSERT INTO tips (tip_id, room_id, broadcast_id, tipper_id, model_id, amount, transfer_id,
                      debit_ref, credit_ref)
    SELECT r.tip_id, r.room_id, r.broadcast_id, r.tipper_id, r.model_id, r.amount, r.transfer_id,
           r.debit_ref, r.credit_ref
    FROM unnest(tip_ids, room_ids, broadcast_ids, tipper_ids, model_ids, amounts, transfer_ids,
                debit_refs, credit_refs, debit_afters)
         r(tip_id, room_id, broadcast_id, tipper_id, model_id, amount, transfer_id,
           debit_ref, credit_ref, debit_after)
    WHERE r.debit_after IS NOT NULL;

    WITH emitted AS (
        INSERT INTO outbox (tip_id, room_id, event)
        SELECT r.tip_id, r.room_id, r.event::json
        FROM unnest(tip_ids, room_ids, events, debit_afters) WITH ORDINALITY
             r(tip_id, room_id, event, debit_after, at)
        WHERE r.debit_after IS NOT NULL
        ORDER BY r.at
        RETURNING tip_id, seq
    )
    INSERT INTO event_deliveries (consumer, tip_id, seq)
    SELECT c.name, o.tip_id, o.seq FROM emitted o CROSS JOIN event_consumers c;

    UPDATE accounts a SET balance = t.balance
    FROM unnest(touched, balances) t(id, balance)
    WHERE a.account_id = t.id AND a.balance <> t.balance;
    UPDATE accounts a SET balance = revenue
    WHERE a.account_id = 'revenue' AND a.balance <> revenue;
END $$;

-- Bring tokens into circulation: issuance -> wallet, once per source_ref.
--
-- outcome        transfer_id, balance
-- 'settled'      the new transfer; the wallet after it
-- 'repeat'       the first transfer; the wallet right after it
-- 'conflict', 'user_unknown': null; nothing was written
CREATE FUNCTION deposit_tokens(user_id text, tokens bigint, ref text)
RETURNS TABLE (outcome text, transfer_id uuid, balance bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    wallet_id text := 'user:' || user_id;
    issued bigint;
    first record;
BEGIN
    -- Deposits are single file, so that the check of the reference holds until the commit.
    SELECT a.balance INTO STRICT issued
    FROM accounts a WHERE a.account_id = 'issuance' FOR UPDATE;

    SELECT t.transfer_id, e.account_id, e.amount, e.balance_after INTO first
    FROM transfers t JOIN entries e ON e.transfer_id = t.transfer_id AND e.amount > 0
    WHERE t.source_ref = ref;
    IF FOUND THEN
        IF first.account_id = wallet_id AND first.amount = tokens THEN
            RETURN QUERY SELECT 'repeat', first.transfer_id, first.balance_after;
        ELSE
            RETURN QUERY SELECT 'conflict', NULL::uuid, NULL::bigint;
        END IF;
        RETURN;
    END IF;

    SELECT a.balance + tokens INTO balance
    FROM accounts a WHERE a.account_id = wallet_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'user_unknown', NULL::uuid, NULL::bigint;
        RETURN;
    END IF;

    outcome := 'settled';
    transfer_id := gen_random_uuid();
    INSERT INTO transfers (transfer_id, kind, source_ref) VALUES (transfer_id, 'deposit', ref);
    INSERT INTO entries (entry_id, transfer_id, account_id, amount, balance_after) VALUES
        (gen_random_uuid(), transfer_id, 'issuance', -tokens, issued - tokens),
        (gen_random_uuid(), transfer_id, wallet_id, tokens, balance);
    UPDATE accounts a SET balance = issued - tokens WHERE a.account_id = 'issuance';
    UPDATE accounts a SET balance = deposit_tokens.balance WHERE a.account_id = wallet_id;
    RETURN NEXT;
END $$;
