-- name: lock_access
-- A statement of its own: what is read after it has all that was committed before.
SELECT version FROM access_version FOR UPDATE

-- name: get_access_change
-- Locked: who says it again must not meet a row that is being forgotten. It waits, and then there is none.
SELECT about, sid, until, lifted FROM access_changes WHERE user_id = $1 AND about = $2 AND sid = $3 FOR UPDATE

-- name: renew_access_change
-- The clock of another replica may be behind.
UPDATE access_changes SET changed_at = greatest(changed_at, $4::timestamptz)
WHERE user_id = $1 AND about = $2 AND sid = $3

-- name: put_access_change
WITH next AS (UPDATE access_version SET version = version + 1 RETURNING version)
INSERT INTO access_changes AS held (user_id, about, sid, version, until, lifted, changed_at)
SELECT $1, $2, $3, next.version, $4::timestamptz, $5::boolean, $6::timestamptz FROM next
ON CONFLICT (user_id, about, sid) DO UPDATE
SET version = excluded.version, until = excluded.until, lifted = excluded.lifted, changed_at = excluded.changed_at
RETURNING version

-- name: list_access_changes
-- One row at least. In one statement and so of one moment: a change that is committed between two would be
-- counted by one and not be in the other.
SELECT v.version AS newest, c.user_id, c.about, c.sid, c.version, c.until, c.lifted
FROM access_version v
LEFT JOIN LATERAL (SELECT * FROM access_changes WHERE version > $1 ORDER BY version LIMIT $2) c ON true
ORDER BY c.version

-- name: forget_access_changes
-- Not what was said again meanwhile: that has another version, or at least is not as old any more, which the row
-- itself is asked once nobody else holds it.
DELETE FROM access_changes
WHERE changed_at < $1 AND version IN (
    SELECT version
    FROM access_changes
    WHERE changed_at < $1 AND (about <> 'ban' OR lifted OR until < $1)
    ORDER BY changed_at
    LIMIT $2
)
