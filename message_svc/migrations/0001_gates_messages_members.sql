-- The gate: the row that every send of its conversation locks. It carries the rights (the snapshot's raw
-- bytes) and the counters, and has no index but its key, so that its updates stay HOT.
CREATE TABLE gate (
    id           uuid        PRIMARY KEY,
    gate_version bigint      NOT NULL,
    snapshot     bytea       NOT NULL,
    last_seq     bigint      NOT NULL DEFAULT 0,
    last_change  bigint      NOT NULL DEFAULT 0,
    last_at      timestamptz
) WITH (fillfactor = 70);

-- A member's row beside the gate: their line of the inbox, written in the send's own transaction.
-- activity_at is null until the conversation's first message: until then it is invisible everywhere.
CREATE TABLE member (
    user_id         text        NOT NULL,
    conversation_id uuid        NOT NULL,
    folder          text        NOT NULL CHECK (folder IN ('none', 'inbox', 'requests', 'sent')),
    state           text        NOT NULL
        CHECK (state IN ('request', 'active', 'declined', 'withdrawn', 'expired')),
    version         bigint      NOT NULL,
    shares_receipts boolean     NOT NULL,
    last_read_seq   bigint      NOT NULL DEFAULT 0,
    -- What others may know of last_read_seq; null = nothing yet.
    shared_read_seq bigint,
    unread          integer     NOT NULL DEFAULT 0 CHECK (unread >= 0),
    left_at         timestamptz,
    activity_at     timestamptz,
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (user_id, conversation_id)
) WITH (fillfactor = 80);

CREATE INDEX member_folder ON member (user_id, folder, activity_at DESC, conversation_id DESC)
    WHERE left_at IS NULL AND activity_at IS NOT NULL;
CREATE INDEX member_unread ON member (user_id, folder) INCLUDE (unread)
    WHERE unread > 0 AND left_at IS NULL;
CREATE INDEX member_changed ON member (user_id, changed_at DESC, conversation_id DESC)
    WHERE activity_at IS NOT NULL;

CREATE TABLE message (
    conversation_id   uuid        NOT NULL,
    seq               bigint      NOT NULL,
    change_seq        bigint      NOT NULL,
    id                uuid        NOT NULL,
    sender_id         text        NOT NULL,
    client_message_id text        NOT NULL,
    kind              text        NOT NULL CHECK (kind IN ('text', 'system')),
    text              text        NOT NULL,
    body_hash         bytea       NOT NULL,
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, seq),
    UNIQUE (conversation_id, sender_id, client_message_id),
    UNIQUE (conversation_id, change_seq)
);

-- Events for the sockets of `recipients`. `refs` are ids only; bodies are read again when published.
CREATE TABLE outbox_realtime (
    event_id        uuid PRIMARY KEY,
    name            text NOT NULL,
    conversation_id uuid,
    recipients      text[] NOT NULL,
    refs            jsonb NOT NULL,
    traceparent     text,
    occurred_at     timestamptz NOT NULL,
    not_before      timestamptz NOT NULL DEFAULT clock_timestamp() + interval '3 seconds',
    attempts        integer NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX outbox_realtime_due ON outbox_realtime (not_before, event_id);

-- Events for RabbitMQ. `data` is the event's protobuf message as JSON: ids and facts, never a body.
CREATE TABLE outbox_bus (
    event_id    uuid PRIMARY KEY,
    name        text NOT NULL,
    subject     text NOT NULL,
    data        jsonb NOT NULL,
    traceparent text,
    occurred_at timestamptz NOT NULL,
    not_before  timestamptz NOT NULL DEFAULT clock_timestamp() + interval '3 seconds',
    attempts    integer NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX outbox_bus_due ON outbox_bus (not_before, event_id);
