-- Locks --------------------------------------------------------------------------------------------------

-- name: lock_start_key
-- A second call under the same key waits, and then reads what the first one kept.
SELECT pg_advisory_xact_lock($1::bigint)

-- name: lock_settings
-- One person's settings, and with them the list of their conversations: who adds one shares this lock.
SELECT pg_advisory_xact_lock($1::bigint)

-- name: share_settings
-- In the order of keys, which the caller gives: two creations of the same people cannot lock each other out.
SELECT pg_advisory_xact_lock_shared(key) FROM unnest($1::bigint[]) AS key

-- name: lock_pair
-- Serializes all that may begin or end between two people: create, block, unblock. A statement of its own, so
-- that the next one reads all that was committed before.
SELECT pg_advisory_xact_lock($1::bigint)

-- name: lock_pair_conversations
-- After the pair's lock.
SELECT id FROM conversations WHERE pair_low = $1 AND pair_high = $2 ORDER BY id FOR UPDATE

-- name: lock_conversations
-- In the order of ids. What is read with them is read by the next statement: one that waited for a lock reads
-- all other rows with its old snapshot.
SELECT id FROM conversations WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE

-- name: lock_conversations_of
-- All that somebody is in. After their settings' lock, so that none is added meanwhile.
SELECT id
FROM conversations
WHERE id IN (SELECT conversation_id FROM participants WHERE user_id = $1 AND left_at IS NULL)
ORDER BY id
FOR UPDATE

-- name: lock_expiring
-- Requests whose time is over. One that is locked just now is being answered or expired by somebody else; if it
-- is still here afterwards, the next time finds it. Nothing is waited for, so the order of locks does not matter.
SELECT id
FROM conversations
WHERE opened AND state IN ('request', 'declined') AND expires_at <= $1
ORDER BY expires_at, id
LIMIT $2
FOR UPDATE SKIP LOCKED

-- Reading ------------------------------------------------------------------------------------------------

-- name: get_pair
SELECT initiator_id, recipient_id FROM conversations WHERE id = $1 AND opened

-- name: get_situations
-- One row a participant, in one statement and so of one moment. `blocked` are those whom the participant blocks
-- on the other side.
SELECT c.id, c.kind, c.state, c.initiator_id, c.recipient_id, c.job_id, c.context, c.gate_version, c.gate_pushed,
       c.opened, c.gate_applied, c.declined_at, c.created_at, c.expires_at,
       p.user_id, p.side, p.joined_at, p.left_at, p.version, p.updated_at,
       u.display_name, u.avatar_url, u.role, u.org_id, u.org_name, u.org_verified,
       NOT coalesce(s.read_receipts, true) AS hides_receipts,
       ARRAY(SELECT b.blocked_id
             FROM participants o
             JOIN blocks b ON b.blocker_id = p.user_id AND b.blocked_id = o.user_id
             WHERE o.conversation_id = p.conversation_id AND o.side <> p.side AND b.removed_at IS NULL) AS blocked
FROM conversations c
JOIN participants p ON p.conversation_id = c.id
LEFT JOIN profiles u ON u.user_id = p.user_id
LEFT JOIN privacy_settings s ON s.user_id = p.user_id
WHERE c.id = ANY ($1::uuid[])
ORDER BY c.id, p.side, p.user_id

-- name: is_blocked
SELECT EXISTS (SELECT FROM blocks WHERE blocker_id = $1 AND blocked_id = $2 AND removed_at IS NULL)
    OR EXISTS (SELECT FROM blocks WHERE blocker_id = $2 AND blocked_id = $1 AND removed_at IS NULL)

-- name: is_connected
SELECT EXISTS (SELECT FROM connections WHERE user_low = $1 AND user_high = $2)

-- name: list_companies
-- Viewings in their order, and in each the others; one row with nobody where the viewer is alone, none where
-- they are not in it. By keys alone: it reads as much whatever else is stored.
SELECT asked.place, c.state, other.user_id,
       EXISTS (SELECT FROM blocks
               WHERE blocker_id = viewer.user_id AND blocked_id = other.user_id AND removed_at IS NULL)
           OR EXISTS (SELECT FROM blocks
                      WHERE blocker_id = other.user_id AND blocked_id = viewer.user_id AND removed_at IS NULL)
           AS blocked,
       coalesce(mine.presence, true) AS my_presence,
       coalesce(mine.typing_indicators, true) AS my_typing_indicators,
       coalesce(theirs.presence, true) AS their_presence,
       coalesce(theirs.typing_indicators, true) AS their_typing_indicators
FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS asked (viewer_id, conversation_id, place)
JOIN conversations c ON c.id = asked.conversation_id AND c.opened
JOIN participants viewer
    ON viewer.conversation_id = c.id AND viewer.user_id = asked.viewer_id AND viewer.left_at IS NULL
LEFT JOIN participants other
    ON other.conversation_id = c.id AND other.user_id <> viewer.user_id AND other.left_at IS NULL
LEFT JOIN privacy_settings mine ON mine.user_id = viewer.user_id
LEFT JOIN privacy_settings theirs ON theirs.user_id = other.user_id
ORDER BY asked.place, other.user_id

-- name: list_acquainted
-- Those pairs of a viewer ($1) and another ($2) who share an active conversation that both are in. Written so that it
-- can be read by the keys of pairs and of participants alone, whatever else these have: LIMIT and the count keep the
-- planner from going through all of a viewer's. A pair of keys is the two whom a conversation began with: whoever is added
-- to a team's later is company in it (list_companies) and not found here. Nobody can be added yet (ADR 0027).
SELECT asked.viewer_id, asked.user_id,
       EXISTS (SELECT FROM blocks
               WHERE blocker_id = asked.viewer_id AND blocked_id = asked.user_id AND removed_at IS NULL)
           OR EXISTS (SELECT FROM blocks
                      WHERE blocker_id = asked.user_id AND blocked_id = asked.viewer_id AND removed_at IS NULL)
           AS blocked,
       coalesce(mine.presence, true) AS my_presence,
       coalesce(mine.typing_indicators, true) AS my_typing_indicators,
       coalesce(theirs.presence, true) AS their_presence,
       coalesce(theirs.typing_indicators, true) AS their_typing_indicators
FROM unnest($1::text[], $2::text[]) AS asked (viewer_id, user_id)
CROSS JOIN LATERAL (
    SELECT
    FROM conversations c
    WHERE c.pair_low = least(asked.viewer_id COLLATE "C", asked.user_id COLLATE "C")
      AND c.pair_high = greatest(asked.viewer_id COLLATE "C", asked.user_id COLLATE "C")
      AND c.opened AND c.state = 'active'
      AND (SELECT count(*)
           FROM participants
           WHERE conversation_id = c.id AND user_id IN (asked.viewer_id, asked.user_id) AND left_at IS NULL) = 2
    LIMIT 1
) AS shared
LEFT JOIN privacy_settings mine ON mine.user_id = asked.viewer_id
LEFT JOIN privacy_settings theirs ON theirs.user_id = asked.user_id

-- Writing conversations ----------------------------------------------------------------------------------

-- name: insert_conversation
INSERT INTO conversations (id, kind, state, initiator_id, recipient_id, pair_low, pair_high, job_id, context,
                           created_at, expires_at, opening_at, push_due_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $10, $12)

-- name: insert_participants
INSERT INTO participants (conversation_id, user_id, side, joined_at, updated_at)
SELECT $1, new.user_id, new.side, $4, $4 FROM unnest($2::text[], $3::text[]) AS new (user_id, side)

-- name: save_conversations
-- Under their locks. A gate that is raised before the conversation is open is pushed without a message:
-- gate_applied, except where the change itself is an opening ($6).
UPDATE conversations
SET state = saved.state, gate_version = saved.gate_version, declined_at = saved.declined_at, push_due_at = $5,
    push_attempts = 0, gate_applied = gate_applied OR (NOT opened AND NOT $6)
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[])
    AS saved (id, state, gate_version, declined_at)
WHERE conversations.id = saved.id

-- name: save_participants
UPDATE participants
SET version = saved.version, updated_at = saved.updated_at
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[])
    AS saved (conversation_id, user_id, version, updated_at)
WHERE participants.conversation_id = saved.conversation_id AND participants.user_id = saved.user_id

-- name: set_decline_reason
UPDATE conversations SET decline_reason = $2 WHERE id = $1

-- name: set_opening
-- Its time begins with its first message.
UPDATE conversations SET opening_at = $2, push_due_at = $3, expires_at = $4 WHERE id = $1

-- Keys of starts -----------------------------------------------------------------------------------------

-- name: get_start_key
SELECT k.body_hash, k.conversation_id, c.opened
FROM start_keys k
JOIN conversations c ON c.id = k.conversation_id
WHERE k.user_id = $1 AND k.key = $2

-- name: put_start_key
-- There already where an opening is repeated.
INSERT INTO start_keys (user_id, key, body_hash, conversation_id, created_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id, key) DO UPDATE SET conversation_id = excluded.conversation_id

-- name: delete_start_key
-- Of a start that was refused: nothing stands behind it.
DELETE FROM start_keys k
USING conversations c
WHERE k.user_id = $1 AND k.key = $2 AND c.id = k.conversation_id AND NOT c.opened

-- Blocks and connections ---------------------------------------------------------------------------------

-- name: put_block
-- The block's new version; no row when it stands already.
INSERT INTO blocks AS b (blocker_id, blocked_id, created_at)
VALUES ($1, $2, $3)
ON CONFLICT (blocker_id, blocked_id) DO UPDATE
    SET created_at = excluded.created_at, removed_at = NULL, version = b.version + 1
    WHERE b.removed_at IS NOT NULL
RETURNING version

-- name: delete_block
-- The block's new version; no row when there is none.
UPDATE blocks
SET removed_at = $3, version = version + 1
WHERE blocker_id = $1 AND blocked_id = $2 AND removed_at IS NULL
RETURNING version

-- name: list_blocks
-- The profile only of people whom the blocker shares a conversation with: anybody can block any id.
SELECT b.blocked_id AS user_id, b.created_at, u.display_name, u.avatar_url, u.role, u.org_id, u.org_name,
       u.org_verified
FROM blocks b
LEFT JOIN profiles u ON u.user_id = b.blocked_id
    AND EXISTS (SELECT FROM conversations c
                WHERE c.pair_low = least(b.blocker_id, b.blocked_id)
                  AND c.pair_high = greatest(b.blocker_id, b.blocked_id) AND c.opened)
WHERE b.blocker_id = $1 AND b.removed_at IS NULL AND (b.created_at, b.blocked_id) < ($2::timestamptz, $3::text)
ORDER BY b.created_at DESC, b.blocked_id DESC
LIMIT $4

-- name: list_newest_blocks
-- As list_blocks.
SELECT b.blocked_id AS user_id, b.created_at, u.display_name, u.avatar_url, u.role, u.org_id, u.org_name,
       u.org_verified
FROM blocks b
LEFT JOIN profiles u ON u.user_id = b.blocked_id
    AND EXISTS (SELECT FROM conversations c
                WHERE c.pair_low = least(b.blocker_id, b.blocked_id)
                  AND c.pair_high = greatest(b.blocker_id, b.blocked_id) AND c.opened)
WHERE b.blocker_id = $1 AND b.removed_at IS NULL
ORDER BY b.created_at DESC, b.blocked_id DESC
LIMIT $2

-- name: connect_people
INSERT INTO connections (user_low, user_high, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- Settings -----------------------------------------------------------------------------------------------

-- name: get_settings
SELECT read_receipts, typing_indicators, presence FROM privacy_settings WHERE user_id = $1

-- name: put_settings
INSERT INTO privacy_settings (user_id, read_receipts, typing_indicators, presence, updated_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id) DO UPDATE
    SET read_receipts = excluded.read_receipts, typing_indicators = excluded.typing_indicators,
        presence = excluded.presence, updated_at = excluded.updated_at

-- Profiles -----------------------------------------------------------------------------------------------

-- name: get_profiles
SELECT user_id, display_name, avatar_url, role, org_id, org_name, org_verified
FROM profiles
WHERE user_id = ANY ($1::text[])

-- name: put_profiles
-- In the order of ids, so that two batches cannot lock each other out. A row that would stay as it is, is not
-- written.
INSERT INTO profiles AS old (user_id, display_name, avatar_url, role, org_id, org_name, org_verified, updated_at)
SELECT new.*, $8
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[])
    AS new (user_id, display_name, avatar_url, role, org_id, org_name, org_verified)
ORDER BY new.user_id COLLATE "C"
ON CONFLICT (user_id) DO UPDATE
    SET display_name = excluded.display_name, avatar_url = excluded.avatar_url, role = excluded.role,
        org_id = excluded.org_id, org_name = excluded.org_name, org_verified = excluded.org_verified,
        updated_at = excluded.updated_at
    WHERE (old.display_name, old.avatar_url, old.role, old.org_id, old.org_name, old.org_verified)
        IS DISTINCT FROM (excluded.display_name, excluded.avatar_url, excluded.role, excluded.org_id,
                          excluded.org_name, excluded.org_verified)
