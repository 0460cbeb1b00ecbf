-- A person's idempotency keys of starts, kept as long as the conversation that the start made or found.
-- body_hash tells a repeat from another start under the same key.
CREATE TABLE start_keys (
    user_id         text        COLLATE "C" NOT NULL,
    key             text        COLLATE "C" NOT NULL,
    body_hash       bytea       NOT NULL,
    conversation_id uuid        NOT NULL REFERENCES conversations ON DELETE CASCADE,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX start_keys_conversation ON start_keys (conversation_id);
