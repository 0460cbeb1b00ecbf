-- Plans are generic (see servicekit.db): made once a connection, for a person with an average number of conversations.
-- So that somebody with ten thousand costs no more, what is looked up for each row of a page or a list is a LATERAL
-- subquery with a LIMIT: one read by key, and never a join that begins with all that the person has. A single member
-- row is a subquery of that kind too, with what else is asked of it outside: inside, "activity_at IS NOT NULL" would
-- allow member_changed, which has user_id and conversation_id as well, but all of the person's rows between them.

-- The gate -----------------------------------------------------------------------------------------------

-- name: lock_gates
-- First statement of every content write but place_unless_moved, and of every push. Locks in the order of ids: no deadlocks.
SELECT id, gate_version, snapshot, last_seq, last_change, last_at, told
FROM gate
WHERE id = ANY ($1::uuid[])
ORDER BY id
FOR UPDATE

-- name: insert_missing_gates
-- So that there is a row to lock: version 0 grants nothing and is raised in the same transaction.
INSERT INTO gate (id, gate_version, snapshot)
SELECT id, 0, ''::bytea FROM unnest($1::uuid[]) AS new (id) ORDER BY id
ON CONFLICT (id) DO NOTHING

-- name: raise_gates
-- Whoever writes next is told of anew: there may be somebody who was not there when the last of it was.
UPDATE gate
SET gate_version = raised.gate_version, snapshot = raised.snapshot, told = NULL
FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS raised (id, gate_version, snapshot)
WHERE gate.id = raised.id

-- name: get_gate_versions
SELECT id, gate_version, last_seq FROM gate WHERE id = ANY ($1::uuid[])

-- name: lock_members
-- Only under their gates' locks; flags lock a single row and nothing after it.
SELECT member.*
FROM member
JOIN unnest($1::text[], $2::uuid[]) AS wanted (user_id, conversation_id) USING (user_id, conversation_id)
ORDER BY member.conversation_id, member.user_id
FOR UPDATE OF member

-- name: put_members
INSERT INTO member (user_id, conversation_id, folder, state, version, shares_receipts, last_read_seq,
                    shared_read_seq, unread, left_at, activity_at, changed_at, receipts_hidden, muted, archived)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::boolean[], $7::bigint[],
                     $8::bigint[], $9::integer[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
                     $13::boolean[], $14::boolean[], $15::boolean[])
ON CONFLICT (user_id, conversation_id) DO UPDATE SET
    folder = excluded.folder,
    state = excluded.state,
    version = excluded.version,
    shares_receipts = excluded.shares_receipts,
    last_read_seq = excluded.last_read_seq,
    shared_read_seq = excluded.shared_read_seq,
    unread = excluded.unread,
    left_at = excluded.left_at,
    activity_at = excluded.activity_at,
    changed_at = excluded.changed_at,
    receipts_hidden = excluded.receipts_hidden,
    muted = excluded.muted,
    archived = excluded.archived

-- The send -----------------------------------------------------------------------------------------------

-- name: find_duplicates
-- A later statement than lock_gates: one that waited for the lock reads other rows with its old snapshot.
SELECT message.*
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS sent (conversation_id, sender_id, client_message_id)
JOIN LATERAL (
    SELECT *
    FROM message
    WHERE conversation_id = sent.conversation_id AND sender_id = sent.sender_id
      AND client_message_id = sent.client_message_id
    LIMIT 1
) AS message ON true

-- name: place_messages
-- Everything that a batch of accepted sends writes, in one statement: messages, their gates' counters, their
-- members' rows, and the events owed to both sinks.
WITH new_messages AS (
    INSERT INTO message (conversation_id, seq, change_seq, id, sender_id, client_message_id, kind, text,
                         body_hash, created_at, reply_to_id, links)
    SELECT conversation_id, seq, change_seq, id, sender_id, client_message_id, kind, text, body_hash, created_at,
           reply_to_id, links -> 'links'
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::bytea[], $10::timestamptz[], $21::uuid[], $22::jsonb[])
        AS new (conversation_id, seq, change_seq, id, sender_id, client_message_id, kind, text, body_hash,
                created_at, reply_to_id, links)
), moved_gates AS (
    UPDATE gate
    SET last_seq = moved.last_seq, last_change = moved.last_change, last_at = moved.last_at, told = moved.told
    FROM unnest($11::uuid[], $12::bigint[], $13::bigint[], $14::timestamptz[], $23::jsonb[])
        AS moved (id, last_seq, last_change, last_at, told)
    WHERE gate.id = moved.id
), moved_members AS (
    UPDATE member
    SET unread = member.unread + moved.added, activity_at = moved.at, changed_at = greatest(changed_at, moved.at),
        archived = member.archived AND member.muted
    FROM unnest($15::text[], $16::uuid[], $17::integer[], $18::timestamptz[])
        AS moved (user_id, conversation_id, added, at)
    WHERE member.user_id = moved.user_id AND member.conversation_id = moved.conversation_id
), owed_realtime AS (
    INSERT INTO outbox_realtime (event_id, name, conversation_id, recipients, refs, traceparent, occurred_at)
    SELECT event_id, name, conversation_id, recipients, refs, traceparent, occurred_at
    FROM jsonb_to_recordset($19::jsonb)
        AS owed (event_id uuid, name text, conversation_id uuid, recipients text[], refs jsonb, traceparent text,
                 occurred_at timestamptz)
)
INSERT INTO outbox_bus (event_id, name, subject, data, traceparent, occurred_at)
SELECT event_id, name, subject, data, traceparent, occurred_at
FROM jsonb_to_recordset($20::jsonb)
    AS owed (event_id uuid, name text, subject text, data jsonb, traceparent text, occurred_at timestamptz)

-- name: place_unless_moved
-- As place_messages, of conversations whose gates stand as their senders were told; answers with the others, of which
-- nothing is written. No lock is taken before: this takes them, in the order of $11, which are sorted ids, and compares
-- again with the newest row when it waited for one. A gate changes with one of these numbers, whoever changes it.
WITH moved_gates AS (
    UPDATE gate
    SET last_seq = moved.last_seq, last_change = moved.last_change, last_at = moved.last_at, told = moved.told
    FROM (
        SELECT *
        FROM unnest($11::uuid[], $12::bigint[], $13::bigint[], $14::timestamptz[], $23::jsonb[], $24::bigint[],
                    $25::bigint[], $26::bigint[])
            AS sorted (id, last_seq, last_change, last_at, told, version_before, seq_before, change_before)
        ORDER BY id
    ) AS moved
    WHERE gate.id = moved.id AND gate.gate_version = moved.version_before AND gate.last_seq = moved.seq_before
      AND gate.last_change = moved.change_before
    RETURNING gate.id
), held AS MATERIALIZED (
    SELECT coalesce(array_agg(id), '{}') AS ids, count(*) = cardinality($11) AS whole FROM moved_gates
), new_messages AS (
    INSERT INTO message (conversation_id, seq, change_seq, id, sender_id, client_message_id, kind, text,
                         body_hash, created_at, reply_to_id, links)
    SELECT conversation_id, seq, change_seq, id, sender_id, client_message_id, kind, text, body_hash, created_at,
           reply_to_id, links -> 'links'
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::bytea[], $10::timestamptz[], $21::uuid[], $22::jsonb[])
        AS new (conversation_id, seq, change_seq, id, sender_id, client_message_id, kind, text, body_hash,
                created_at, reply_to_id, links)
    WHERE (SELECT whole FROM held) OR conversation_id = ANY ((SELECT ids FROM held)::uuid[])
), moved_members AS (
    UPDATE member
    SET unread = member.unread + moved.added, activity_at = moved.at, changed_at = greatest(changed_at, moved.at),
        archived = member.archived AND member.muted
    FROM unnest($15::text[], $16::uuid[], $17::integer[], $18::timestamptz[])
        AS moved (user_id, conversation_id, added, at)
    WHERE member.user_id = moved.user_id AND member.conversation_id = moved.conversation_id
      AND ((SELECT whole FROM held) OR moved.conversation_id = ANY ((SELECT ids FROM held)::uuid[]))
), owed_realtime AS (
    INSERT INTO outbox_realtime (event_id, name, conversation_id, recipients, refs, traceparent, occurred_at)
    SELECT event_id, name, conversation_id, recipients, refs, traceparent, occurred_at
    FROM jsonb_to_recordset($19::jsonb)
        AS owed (event_id uuid, name text, conversation_id uuid, recipients text[], refs jsonb, traceparent text,
                 occurred_at timestamptz)
    WHERE (SELECT whole FROM held) OR conversation_id = ANY ((SELECT ids FROM held)::uuid[])
), owed_bus AS (
    INSERT INTO outbox_bus (event_id, name, subject, data, traceparent, occurred_at)
    SELECT event_id, name, subject, data, traceparent, occurred_at
    FROM jsonb_to_recordset($20::jsonb)
        AS owed (event_id uuid, name text, subject text, data jsonb, traceparent text, occurred_at timestamptz)
    WHERE (SELECT whole FROM held) OR subject = ANY ((SELECT ids FROM held)::text[])
)
SELECT wanted.id
FROM held, unnest($11) AS wanted (id)
WHERE NOT held.whole AND wanted.id <> ALL (held.ids)

-- name: find_replied
-- Which of the answered messages exist in their conversations.
SELECT conversation_id, id
FROM unnest($1::uuid[], $2::uuid[]) AS answered (conversation_id, id)
WHERE EXISTS (SELECT FROM message WHERE conversation_id = answered.conversation_id AND id = answered.id)

-- Changes ------------------------------------------------------------------------------------------------

-- name: find_message
-- Under the gate's lock, in a later statement.
SELECT * FROM message WHERE conversation_id = $1 AND id = $2

-- name: find_linked
-- Under the gates' locks.
SELECT * FROM message WHERE conversation_id = ANY ($1::uuid[]) AND links IS NOT NULL ORDER BY conversation_id, seq

-- name: change_messages
-- Changed messages of locked gates, the gates' counters, and the members' rows: something changed for all who are
-- present, and what was redacted is unread no more.
WITH changed_messages AS (
    UPDATE message
    SET change_seq = changed.change_seq, text = changed.text, links = changed.links -> 'links',
        edited_at = changed.edited_at, redacted_at = changed.redacted_at, redacted_by = changed.redacted_by
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::jsonb[], $6::timestamptz[],
                $7::timestamptz[], $8::text[])
        AS changed (conversation_id, seq, change_seq, text, links, edited_at, redacted_at, redacted_by)
    WHERE message.conversation_id = changed.conversation_id AND message.seq = changed.seq
), moved_gates AS (
    UPDATE gate
    SET last_change = moved.last_change
    FROM unnest($9::uuid[], $10::bigint[]) AS moved (id, last_change)
    WHERE gate.id = moved.id
)
UPDATE member
SET changed_at = greatest(changed_at, $13),
    unread = member.unread - (redacted.seq IS NOT NULL AND member.last_read_seq < redacted.seq
                              AND member.user_id <> redacted.sender_id)::integer
FROM unnest($11::text[], $12::uuid[]) AS present (user_id, conversation_id)
LEFT JOIN unnest($14::uuid[], $15::bigint[], $16::text[]) AS redacted (conversation_id, seq, sender_id)
    USING (conversation_id)
WHERE member.user_id = present.user_id AND member.conversation_id = present.conversation_id

-- name: count_bodies_owed
-- Events of a message, other than those named, that somebody may be publishing right now.
SELECT count(*)
FROM outbox_realtime
WHERE conversation_id = $1 AND refs ->> 'messageId' = $2 AND event_id <> ALL ($3::uuid[])

-- name: wait_for_relay
-- A relay holds the rows that it publishes locked: this returns when it is done with them. Not with those that were
-- not due before the last $4: whoever took them since has read the message as it is now.
SELECT event_id
FROM outbox_realtime
WHERE conversation_id = $1 AND refs ->> 'messageId' = $2 AND event_id <> ALL ($3::uuid[])
  AND not_before <= now() - $4::interval
FOR UPDATE

-- Flags --------------------------------------------------------------------------------------------------

-- name: lock_member
SELECT member.*
FROM (SELECT * FROM member WHERE user_id = $1 AND conversation_id = $2 LIMIT 1 FOR UPDATE) AS member
WHERE left_at IS NULL AND activity_at IS NOT NULL

-- name: set_flags
UPDATE member
SET muted = $3, archived = $4, changed_at = greatest(changed_at, $5)
WHERE user_id = $1 AND conversation_id = $2

-- Read marks ---------------------------------------------------------------------------------------------

-- name: find_reader
-- Under the gate's lock, in a later statement. With what is unread after $3, or after where the pointer stands.
SELECT member.*,
       (SELECT count(*)
        FROM message
        WHERE message.conversation_id = $2
          AND message.seq > greatest(member.last_read_seq, $3::bigint)
          AND message.kind = 'text'
          AND message.redacted_at IS NULL
          AND message.sender_id <> $1) AS unread_after
FROM (SELECT * FROM member WHERE user_id = $1 AND conversation_id = $2 LIMIT 1) AS member
WHERE left_at IS NULL AND activity_at IS NOT NULL

-- name: move_read_pointer
-- Under the gate's lock. Something changed for those who are told of it too.
WITH told AS (
    UPDATE member
    SET changed_at = greatest(changed_at, $6)
    WHERE user_id = ANY ($7::text[]) AND conversation_id = $2
)
UPDATE member
SET last_read_seq = $3, shared_read_seq = $4, unread = $5, changed_at = greatest(changed_at, $6)
WHERE user_id = $1 AND conversation_id = $2

-- name: count_totals
SELECT coalesce(sum(unread) FILTER (WHERE unread > 0), 0) AS messages,
       count(*) FILTER (WHERE unread > 0) AS conversations,
       (SELECT count(*) FROM member
        WHERE user_id = $1 AND folder = 'requests' AND left_at IS NULL AND activity_at IS NOT NULL
          AND NOT archived AND NOT muted) AS requests
FROM member
WHERE user_id = $1 AND folder IN ('inbox', 'requests', 'sent') AND unread > 0 AND left_at IS NULL
  AND NOT muted AND NOT archived

-- Reading ------------------------------------------------------------------------------------------------

-- name: is_member
SELECT gate.last_seq, gate.last_change, gate.snapshot
FROM (SELECT * FROM member WHERE user_id = $1 AND conversation_id = $2 LIMIT 1) AS member
JOIN gate ON gate.id = member.conversation_id
WHERE member.left_at IS NULL AND member.activity_at IS NOT NULL

-- name: list_before
SELECT * FROM message WHERE conversation_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3

-- name: list_after
SELECT * FROM message WHERE conversation_id = $1 AND seq > $2 ORDER BY seq LIMIT $3

-- name: list_changes
SELECT * FROM message WHERE conversation_id = $1 AND change_seq > $2 ORDER BY change_seq LIMIT $3

-- name: list_archived
WITH page AS MATERIALIZED (
    SELECT *
    FROM member
    WHERE user_id = $1 AND left_at IS NULL AND activity_at IS NOT NULL AND archived
      AND (activity_at, conversation_id) < ($2, $3)
    ORDER BY activity_at DESC, conversation_id DESC
    LIMIT $4
)
SELECT page.*, gate.last_seq AS gate_last_seq, gate.last_change AS gate_last_change, gate.snapshot AS gate_snapshot,
       message.*
FROM page
JOIN LATERAL (SELECT * FROM gate WHERE id = page.conversation_id LIMIT 1) AS gate ON true
JOIN LATERAL (SELECT * FROM message WHERE conversation_id = gate.id AND seq = gate.last_seq LIMIT 1) AS message ON true
ORDER BY page.activity_at DESC, page.conversation_id DESC

-- name: list_inbox
-- One index range, then keys: the page is cut before anything is joined.
WITH page AS MATERIALIZED (
    SELECT *
    FROM member
    WHERE user_id = $1 AND folder = $2 AND left_at IS NULL AND activity_at IS NOT NULL AND NOT archived
      AND (activity_at, conversation_id) < ($3, $4)
    ORDER BY activity_at DESC, conversation_id DESC
    LIMIT $5
)
SELECT page.*, gate.last_seq AS gate_last_seq, gate.last_change AS gate_last_change, gate.snapshot AS gate_snapshot,
       message.*
FROM page
JOIN LATERAL (SELECT * FROM gate WHERE id = page.conversation_id LIMIT 1) AS gate ON true
JOIN LATERAL (SELECT * FROM message WHERE conversation_id = gate.id AND seq = gate.last_seq LIMIT 1) AS message ON true
ORDER BY page.activity_at DESC, page.conversation_id DESC

-- name: get_member_views
SELECT member.*, gate.last_seq AS gate_last_seq, gate.last_change AS gate_last_change,
       gate.snapshot AS gate_snapshot, message.*
FROM unnest($2::uuid[]) AS wanted (id)
JOIN LATERAL (SELECT * FROM member WHERE user_id = $1 AND conversation_id = wanted.id LIMIT 1) AS member
    ON member.left_at IS NULL AND member.activity_at IS NOT NULL
JOIN LATERAL (SELECT * FROM gate WHERE id = member.conversation_id LIMIT 1) AS gate ON true
JOIN LATERAL (SELECT * FROM message WHERE conversation_id = gate.id AND seq = gate.last_seq LIMIT 1) AS message ON true

-- name: get_read_pointers
SELECT member.conversation_id, member.user_id, member.shared_read_seq
FROM member
JOIN unnest($1::text[], $2::uuid[]) AS wanted (user_id, conversation_id) USING (user_id, conversation_id)
WHERE member.shared_read_seq IS NOT NULL AND member.left_at IS NULL AND NOT member.receipts_hidden

-- name: get_watch_list
WITH page AS MATERIALIZED (
    SELECT *
    FROM member
    WHERE user_id = $1 AND activity_at IS NOT NULL AND (changed_at, conversation_id) < ($2, $3)
      AND changed_at > $5
    ORDER BY changed_at DESC, conversation_id DESC
    LIMIT $4
)
-- Who left learns nothing of what came after.
SELECT page.*,
       CASE WHEN page.left_at IS NULL THEN gate.last_seq ELSE page.last_read_seq END AS gate_last_seq,
       CASE WHEN page.left_at IS NULL THEN gate.last_change ELSE 0 END AS gate_last_change
FROM page
JOIN LATERAL (SELECT * FROM gate WHERE id = page.conversation_id LIMIT 1) AS gate ON true
ORDER BY page.changed_at DESC, page.conversation_id DESC

-- name: count_totals_together
-- As count_totals, for several people; a person's totals cost what they cost there.
SELECT totals.*
FROM unnest($1::text[]) WITH ORDINALITY AS person (id, place)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(unread) FILTER (WHERE unread > 0), 0) AS messages,
           count(*) FILTER (WHERE unread > 0) AS conversations,
           (SELECT count(*) FROM member
            WHERE user_id = person.id AND folder = 'requests' AND left_at IS NULL AND activity_at IS NOT NULL
              AND NOT archived AND NOT muted) AS requests
    FROM member
    WHERE user_id = person.id AND folder IN ('inbox', 'requests', 'sent') AND unread > 0 AND left_at IS NULL
      AND NOT muted AND NOT archived
) AS totals
ORDER BY person.place

-- name: get_watch_lists
-- As get_watch_list, the newest of several people.
SELECT person.place, page.*,
       CASE WHEN page.left_at IS NULL THEN gate.last_seq ELSE page.last_read_seq END AS gate_last_seq,
       CASE WHEN page.left_at IS NULL THEN gate.last_change ELSE 0 END AS gate_last_change
FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS person (id, after, place)
CROSS JOIN LATERAL (
    SELECT *
    FROM member
    WHERE user_id = person.id AND activity_at IS NOT NULL AND changed_at > person.after
    ORDER BY changed_at DESC, conversation_id DESC
    LIMIT $3
) AS page
JOIN LATERAL (SELECT * FROM gate WHERE id = page.conversation_id LIMIT 1) AS gate ON true
ORDER BY person.place, page.changed_at DESC, page.conversation_id DESC

-- name: get_messages_for_member
-- As a replay shows them: only of conversations that the person is in.
SELECT message.*, gate.snapshot AS gate_snapshot
FROM unnest($2::uuid[], $3::bigint[]) AS wanted (conversation_id, seq)
JOIN LATERAL (SELECT * FROM member WHERE user_id = $1 AND conversation_id = wanted.conversation_id LIMIT 1) AS member
    ON member.left_at IS NULL AND member.activity_at IS NOT NULL
JOIN LATERAL (SELECT * FROM gate WHERE id = wanted.conversation_id LIMIT 1) AS gate ON true
JOIN LATERAL (
    SELECT * FROM message WHERE conversation_id = wanted.conversation_id AND seq = wanted.seq LIMIT 1
) AS message ON true

-- name: get_messages
-- For the relay, which reads again what it publishes.
SELECT message.*, gate.snapshot AS gate_snapshot
FROM unnest($1::uuid[], $2::bigint[]) AS wanted (conversation_id, seq)
JOIN LATERAL (
    SELECT * FROM message WHERE conversation_id = wanted.conversation_id AND seq = wanted.seq LIMIT 1
) AS message ON true
JOIN LATERAL (SELECT * FROM gate WHERE id = wanted.conversation_id LIMIT 1) AS gate ON true
