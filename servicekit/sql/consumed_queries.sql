-- name: mark_consumed
-- $1 consumer, $2 event. True the first time. While another transaction marks the same event this waits
-- for its end: after a rollback there the answer here is true.
INSERT INTO consumed (consumer, event_id) VALUES ($1, $2)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: forget_consumed
-- $1 age, $2 most rows. Any number of workers at once.
DELETE FROM consumed
WHERE (consumer, event_id) IN (
    SELECT consumer, event_id FROM consumed
    WHERE consumed_at < now() - $1::interval
    ORDER BY consumed_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
);
