-- The outbox tables. Each service's first migration holds these statements word for word (a contract
-- test compares), because a migration that has run never changes.
--
-- A row is committed with the change that it tells of, and deleted once it is published. `not_before`
-- gives the committing process three seconds to publish it itself; what it did not, the relay does.
-- clock_timestamp(), not now(): taken under the lock that orders the changes, so the relay's order
-- is theirs.

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
