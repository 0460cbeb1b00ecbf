-- Pushes -------------------------------------------------------------------------------------------------

-- name: confirm_pushes
-- What message_svc holds. `foreign_gate`: not what we computed, as after a restore of this schema - see raise_gates.
UPDATE conversations c
SET gate_pushed = CASE WHEN held.version > c.gate_version OR held.differs THEN c.gate_pushed
                       ELSE greatest(c.gate_pushed, held.version) END,
    opened = c.opened OR held.opened, gate_applied = c.gate_applied OR held.refused, push_attempts = 0
FROM unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::boolean[], $5::boolean[])
    AS held (id, version, differs, opened, refused)
WHERE c.id = held.id
RETURNING c.id, held.version > c.gate_version OR held.differs AS foreign_gate

-- name: raise_gates
-- Above what is held, so that the next push is enforced.
UPDATE conversations
SET gate_version = greatest(gate_version, held.version) + 1, push_due_at = $3
FROM unnest($1::uuid[], $2::bigint[]) AS held (id, version)
WHERE conversations.id = held.id

-- name: lower_pushed
-- message_svc holds less than it once confirmed, as after a restore of its schema: the push is owed again.
UPDATE conversations
SET gate_pushed = least(gate_pushed, held.version), push_due_at = $3
FROM unnest($1::uuid[], $2::bigint[]) AS held (id, version)
WHERE conversations.id = held.id

-- name: claim_owed_pushes
-- Each try puts the next one off, 2, 4, 8 and then 15 seconds: one that cannot be pushed holds up no other, and
-- two sweepers do not take the same.
UPDATE conversations
SET push_attempts = push_attempts + 1,
    push_due_at = $1::timestamptz + least(interval '15 seconds', interval '1 second' * 2 ^ least(push_attempts + 1, 4))
WHERE id IN (SELECT id
             FROM conversations
             WHERE gate_pushed < gate_version AND push_due_at <= $1
             ORDER BY push_due_at, id
             LIMIT $2
             FOR UPDATE SKIP LOCKED)
RETURNING id, opened OR gate_applied AS pushable

-- name: set_gates_applied
-- One that somebody holds is in use, and waited for by nobody.
UPDATE conversations
SET gate_applied = true
WHERE id IN (SELECT id
             FROM conversations
             WHERE id = ANY ($1::uuid[]) AND NOT opened AND NOT gate_applied
             ORDER BY id
             FOR UPDATE SKIP LOCKED)

-- name: delete_unopened
-- Its first message never arrived and is on its way no more: as if nobody had tried. One that somebody holds is in
-- use, and waited for by nobody.
DELETE FROM conversations
WHERE id IN (SELECT id
             FROM conversations
             WHERE id = ANY ($1::uuid[]) AND NOT opened AND NOT gate_applied AND opening_at < $2
             ORDER BY id
             FOR UPDATE SKIP LOCKED)

-- name: list_unopened
SELECT id FROM conversations WHERE NOT opened AND opening_at < $2 AND id > $1 ORDER BY id LIMIT $3

-- name: list_gate_versions
SELECT id, gate_version FROM conversations WHERE opened AND id > $1 ORDER BY id LIMIT $2

-- Owed events --------------------------------------------------------------------------------------------

-- name: add_owed_events
INSERT INTO owed_events (event_id, sink, name, conversation_id, recipients, subject, payload, traceparent,
                         occurred_at)
SELECT event_id, sink, name, conversation_id, recipients, subject, payload, traceparent, occurred_at
FROM ROWS FROM (jsonb_to_recordset($1::jsonb)
                AS (event_id uuid, sink text, name text, conversation_id uuid, recipients text[], subject text,
                    payload jsonb, traceparent text, occurred_at timestamptz)) WITH ORDINALITY
ORDER BY ordinality

-- name: add_owed_waits
INSERT INTO owed_waits (event_id, conversation_id, gate_version)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])

-- name: lock_owed_events
-- Those that wait for any of these conversations. Two confirmations of one event's different conversations meet
-- here, so that the second sees what the first has done.
SELECT event_id
FROM owed_events
WHERE event_id IN (SELECT event_id FROM owed_waits WHERE conversation_id = ANY ($1::uuid[]))
ORDER BY event_id
FOR UPDATE

-- name: end_waits
-- Events about a conversation also wait until it is open; before that it is invisible.
DELETE FROM owed_waits w
USING conversations c, owed_events e
WHERE w.event_id = ANY ($1::uuid[]) AND c.id = w.conversation_id AND e.event_id = w.event_id
  AND c.gate_pushed >= w.gate_version AND (c.opened OR e.conversation_id IS NULL)

-- name: take_ripe_events
WITH ripe AS (
    DELETE FROM owed_events e
    WHERE e.event_id = ANY ($1::uuid[]) AND NOT EXISTS (SELECT FROM owed_waits w WHERE w.event_id = e.event_id)
    RETURNING *
)
SELECT * FROM ripe ORDER BY position
