-- Loyalty: bonus points, once for each tip, for ever.

CREATE TABLE points_accounts (
    user_id public_id PRIMARY KEY,
    balance bigint NOT NULL CHECK (balance >= 0)
);

CREATE TABLE points_entries (
    tip_id text PRIMARY KEY REFERENCES tips,
    user_id public_id NOT NULL,
    points bigint NOT NULL CHECK (points >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON points_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
