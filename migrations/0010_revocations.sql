-- Tokens that were revoked: per user, up to when they were issued. Read whole at the start.

CREATE TABLE token_revocations (
    user_id public_id PRIMARY KEY,
    void_until_s bigint NOT NULL CHECK (void_until_s >= 0),  -- seconds since 1970, as in `iat`
    revoked_by public_id NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 200),
    revoked_at timestamptz NOT NULL DEFAULT now()
);
