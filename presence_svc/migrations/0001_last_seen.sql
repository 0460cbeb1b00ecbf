-- When somebody was last seen: what is told of people whom Redis does not know (any more).
-- Written at most once a minute a person, and never backwards.
CREATE TABLE last_seen (
    user_id text COLLATE "C" PRIMARY KEY,
    at      timestamptz NOT NULL
) WITH (fillfactor = 80);  -- updates that touch no index stay in their page
