-- Statements of the outbox. `$1` of the inserts is one jsonb array, made by `realtime_rows` and
-- `bus_rows`; a service that writes its rows inside its own CTE uses the same two statements there.

-- name: add_realtime
INSERT INTO outbox_realtime (event_id, name, conversation_id, recipients, refs, traceparent, occurred_at)
SELECT event_id, name, conversation_id, recipients, refs, traceparent, occurred_at
FROM jsonb_to_recordset($1::jsonb) AS e(event_id uuid, name text, conversation_id uuid, recipients text[],
                                        refs jsonb, traceparent text, occurred_at timestamptz);

-- name: add_bus
INSERT INTO outbox_bus (event_id, name, subject, data, traceparent, occurred_at)
SELECT event_id, name, subject, data, traceparent, occurred_at
FROM jsonb_to_recordset($1::jsonb) AS e(event_id uuid, name text, subject text, data jsonb,
                                        traceparent text, occurred_at timestamptz);

-- What is due, oldest first; rows that another relay holds are skipped.
-- name: take_realtime
SELECT event_id, name, conversation_id, recipients, refs, traceparent, occurred_at, attempts
FROM outbox_realtime
WHERE not_before <= now()
ORDER BY not_before, event_id
LIMIT $1
FOR UPDATE SKIP LOCKED;

-- name: take_bus
SELECT event_id, name, subject, data, traceparent, occurred_at, attempts
FROM outbox_bus
WHERE not_before <= now()
ORDER BY not_before, event_id
LIMIT $1
FOR UPDATE SKIP LOCKED;

-- Deleting needs no wait for the disk: a delete lost in a crash is an event published twice, which
-- every receiver tolerates. The setting lasts as long as this statement's transaction.
-- name: delete_realtime
DELETE FROM outbox_realtime
WHERE event_id = ANY ($1::uuid[]) AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL;

-- name: delete_bus
DELETE FROM outbox_bus
WHERE event_id = ANY ($1::uuid[]) AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL;

-- A row that cannot be published waits 2, 4, 8 ... seconds, at most 10 minutes, so that it holds up no other.
-- name: postpone_realtime
UPDATE outbox_realtime
SET attempts = attempts + 1,
    not_before = now() + least(interval '10 minutes', interval '1 second' * 2 ^ least(attempts + 1, 10))
WHERE event_id = ANY ($1::uuid[]);

-- name: postpone_bus
UPDATE outbox_bus
SET attempts = attempts + 1,
    not_before = now() + least(interval '10 minutes', interval '1 second' * 2 ^ least(attempts + 1, 10))
WHERE event_id = ANY ($1::uuid[]);
