-- Messages that could not be sent, and that somebody has looked into: they are failed for ever.

CREATE TABLE message_reviews (
    message_id uuid PRIMARY KEY REFERENCES mood_messages,
    dismissed_by text NOT NULL,
    dismissed_at timestamptz NOT NULL DEFAULT now(),
    note text NOT NULL CHECK (length(note) BETWEEN 1 AND 200)
);
