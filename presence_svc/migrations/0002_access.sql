-- The number of the last change of who is let in. Whoever makes one holds this row until it is committed, so
-- numbers become visible in their order: who reads those after the last they saw misses none. A sequence would
-- let a later number be seen before an earlier one.
CREATE TABLE access_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint  NOT NULL
);
INSERT INTO access_version (version) VALUES (0);

-- What holds of somebody: one row for their tokens, one for each session that was ended, one for a ban. A change
-- gives its row a new version, so there is never more to read than holds.
CREATE TABLE access_changes (
    user_id    text        COLLATE "C" NOT NULL,
    about      text        COLLATE "C" NOT NULL CHECK (about IN ('tokens', 'session', 'ban')),
    sid        text        COLLATE "C" NOT NULL CHECK ((about = 'session') = (sid <> '')),
    version    bigint      NOT NULL UNIQUE,
    until      timestamptz CHECK (about <> 'tokens' OR until IS NOT NULL),
    lifted     boolean     NOT NULL DEFAULT false CHECK (about = 'ban' OR NOT lifted),
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, about, sid)
);

-- What may be forgotten, the oldest first.
CREATE INDEX access_changes_age ON access_changes (changed_at);
