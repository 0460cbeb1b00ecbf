-- name: mark_consumed
-- $1 consumer, $2 events, some of them perhaps twice. Those that are marked for the first time. While another
-- transaction marks the same event this waits for its end: after a rollback there it is the first here. In
-- their order, so that two batches with the same events do not wait for each other.
INSERT INTO consumed (consumer, event_id)
SELECT $1, event_id FROM unnest($2::uuid[]) AS e(event_id) ORDER BY event_id
ON CONFLICT DO NOTHING
RETURNING event_id;

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
