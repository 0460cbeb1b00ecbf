-- What comes late or twice changes nothing: only a later moment is written.
-- name: save_last_seen
INSERT INTO last_seen AS held (user_id, at)
SELECT user_id, at FROM unnest($1::text[], $2::timestamptz[]) AS seen (user_id, at)
ORDER BY user_id  -- two replicas lock in the same order
ON CONFLICT (user_id) DO UPDATE SET at = excluded.at WHERE held.at < excluded.at;

-- name: get_last_seen
SELECT user_id, at FROM last_seen WHERE user_id = ANY ($1::text[]);
