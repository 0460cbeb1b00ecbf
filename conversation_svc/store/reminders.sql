-- name: put_mail_address
-- Written, and locked, only when it is another: every visit brings one.
INSERT INTO mail_addresses AS old (user_id, email, updated_at)
SELECT n.user_id, n.email, $3 FROM unnest($1::text[], $2::text[]) AS n(user_id, email)
WHERE NOT EXISTS (SELECT FROM mail_addresses same WHERE same.user_id = n.user_id AND same.email = n.email)
ORDER BY n.user_id
ON CONFLICT (user_id) DO UPDATE SET email = excluded.email, updated_at = excluded.updated_at
WHERE old.email <> excluded.email;

-- name: record_reminders
-- Messages: $1 conversation, $2 seq, $3 sender, $4 due, $5 covered until, of each. Everybody in the conversation but the sender, from
-- the first message on that they did not write; who is being waited for already is not waited for longer. In the
-- order of their key, so that two batches do not wait for each other.
INSERT INTO mail_reminders AS old (conversation_id, user_id, mail_id, sender_id, first_seq, last_seq, due_at,
    covered_until)
SELECT p.conversation_id, p.user_id, gen_random_uuid(), (array_agg(m.sender_id ORDER BY m.seq))[1],
    min(m.seq), max(m.seq), min(m.due_at), max(m.covered_until)
FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[], $5::timestamptz[])
    AS m(conversation_id, seq, sender_id, due_at, covered_until)
JOIN participants p ON p.conversation_id = m.conversation_id AND p.user_id <> m.sender_id AND p.left_at IS NULL
GROUP BY p.conversation_id, p.user_id
ORDER BY p.conversation_id, p.user_id
ON CONFLICT (conversation_id, user_id) DO UPDATE SET
    last_seq = greatest(old.last_seq, excluded.last_seq),
    mail_id = CASE WHEN old.due_at IS NULL THEN excluded.mail_id ELSE old.mail_id END,
    sender_id = CASE WHEN old.due_at IS NULL THEN excluded.sender_id ELSE old.sender_id END,
    first_seq = CASE WHEN old.due_at IS NULL THEN excluded.first_seq ELSE old.first_seq END,
    due_at = coalesce(old.due_at, excluded.due_at),
    covered_until = greatest(old.covered_until, excluded.covered_until);

-- name: claim_reminders
-- $1 now, $2 end of the lease, $3 most.
UPDATE mail_reminders r
SET due_at = $2
FROM (
    SELECT conversation_id, user_id FROM mail_reminders
    WHERE due_at <= $1
    ORDER BY due_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
) due
WHERE r.conversation_id = due.conversation_id AND r.user_id = due.user_id
RETURNING r.conversation_id, r.user_id, r.mail_id, r.first_seq, r.last_seq, r.tries, r.mailed_seq,
    r.due_at AS lease,
    (SELECT a.email FROM mail_addresses a WHERE a.user_id = r.user_id) AS email,
    (SELECT p.role FROM profiles p WHERE p.user_id = r.user_id) AS role,
    (SELECT p.display_name FROM profiles p WHERE p.user_id = r.sender_id) AS sender_name,
    EXISTS (SELECT FROM blocks b
            WHERE b.blocker_id = r.user_id AND b.blocked_id = r.sender_id AND b.removed_at IS NULL) AS sender_blocked;

-- name: begin_sending
-- $1 conversation, $2 person, $3 lease. True while the lease holds.
UPDATE mail_reminders SET tries = tries + 1
WHERE conversation_id = $1 AND user_id = $2 AND due_at = $3
RETURNING true;

-- name: finish_reminder
-- $1 conversation, $2 person, $3 lease, $4 the last message mailed for, $5 the last message seen, $6 when to
-- look again if another has come meanwhile, $7 when it was looked. Before covered_until others may come of which
-- nothing is heard: the look after that gives each its full time, $8.
UPDATE mail_reminders
SET tries = 0,
    mail_id = gen_random_uuid(),
    mailed_seq = greatest(mailed_seq, $4),
    first_seq = CASE WHEN last_seq > $5 OR covered_until > $7 THEN $5 + 1 ELSE first_seq END,
    due_at = CASE
        WHEN last_seq > $5 THEN $6::timestamptz
        WHEN covered_until > $7 THEN covered_until + $8::interval
    END
WHERE conversation_id = $1 AND user_id = $2 AND due_at = $3;

-- name: postpone_reminder
-- $1 conversation, $2 person, $3 lease, $4 when, $5 tries.
UPDATE mail_reminders SET due_at = $4, tries = $5
WHERE conversation_id = $1 AND user_id = $2 AND due_at = $3;

-- name: restart_reminder
-- $1 conversation, $2 person, $3 lease, $4 when, $5 first message. The mail to come is another: it has its own id, and
-- what became of the one before is of no account.
UPDATE mail_reminders SET due_at = $4, first_seq = $5, tries = 0, mail_id = gen_random_uuid()
WHERE conversation_id = $1 AND user_id = $2 AND due_at = $3;

-- name: clear_reminders
UPDATE mail_reminders SET due_at = NULL, tries = 0 WHERE due_at IS NOT NULL;
