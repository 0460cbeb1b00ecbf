-- People as the chat shows them: from a verified token or from the marketplace, never from a client.
CREATE TABLE profiles (
    user_id      text        COLLATE "C" PRIMARY KEY,
    display_name text        NOT NULL,
    avatar_url   text        NOT NULL,
    role         text        NOT NULL
        CHECK (role IN ('recruiter', 'company', 'candidate', 'moderator', 'admin')),
    org_id       text        NOT NULL,
    org_name     text        NOT NULL,
    org_verified boolean     NOT NULL,
    updated_at   timestamptz NOT NULL
);

-- Who talks to whom, about what. Ids of people have "C" collation: the service puts pairs in order itself.
--
-- gate_version rises with each change of rights, under this row's lock; gate_pushed is what message_svc
-- has confirmed to hold. Where it is lower, a push is owed.
CREATE TABLE conversations (
    id             uuid        PRIMARY KEY,
    kind           text        NOT NULL CHECK (kind IN ('direct', 'team')),
    state          text        NOT NULL
        CHECK (state IN ('request', 'active', 'declined', 'withdrawn', 'expired')),
    initiator_id   text        COLLATE "C" NOT NULL,
    recipient_id   text        COLLATE "C" NOT NULL,
    pair_low       text        COLLATE "C" NOT NULL,
    pair_high      text        COLLATE "C" NOT NULL,
    job_id         text        NOT NULL DEFAULT '',
    context        jsonb,
    gate_version   bigint      NOT NULL DEFAULT 1 CHECK (gate_version >= 1),
    gate_pushed    bigint      NOT NULL DEFAULT 0 CHECK (gate_pushed BETWEEN 0 AND gate_version),
    -- When the sweeper may push what is owed; it moves this on with each try.
    push_due_at    timestamptz NOT NULL,
    push_attempts  integer     NOT NULL DEFAULT 0,
    -- message_svc holds the first message. Until then the conversation is invisible everywhere.
    opened         boolean     NOT NULL DEFAULT false,
    -- The last time its first message was on its way.
    opening_at     timestamptz NOT NULL,
    -- A gate of this conversation was sent without a message while it was not open: that message_svc holds
    -- one proves nothing about the first message then.
    gate_applied   boolean     NOT NULL DEFAULT false,
    -- Set once the recipient declines, and kept through withdrawal and expiry: the recipient goes on reading
    -- "declined", and the initiator is still cooling down.
    declined_at    timestamptz,
    decline_reason text        NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL,
    -- A request ends here, for every reason that can hold it up at the same time.
    expires_at     timestamptz NOT NULL,
    CHECK (pair_low < pair_high),
    CHECK (least(initiator_id, recipient_id) = pair_low AND greatest(initiator_id, recipient_id) = pair_high),
    CONSTRAINT one_conversation_a_pair_and_job UNIQUE (pair_low, pair_high, job_id)
);
CREATE INDEX conversations_push_owed ON conversations (push_due_at, id) WHERE gate_pushed < gate_version;

-- Who is or was in a conversation. `version` and `updated_at` are what this person may know of its changes:
-- what is hidden from them does not move these.
CREATE TABLE participants (
    conversation_id uuid        NOT NULL REFERENCES conversations ON DELETE CASCADE,
    user_id         text        COLLATE "C" NOT NULL,
    side            text        NOT NULL CHECK (side IN ('initiator', 'recipient')),
    joined_at       timestamptz NOT NULL,
    left_at         timestamptz,
    version         bigint      NOT NULL DEFAULT 1,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
);

-- Who blocked whom. The row outlives the block, so that `version` goes on rising when it is made again.
CREATE TABLE blocks (
    blocker_id text        COLLATE "C" NOT NULL,
    blocked_id text        COLLATE "C" NOT NULL CHECK (blocked_id <> blocker_id),
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    version    bigint      NOT NULL DEFAULT 1,
    PRIMARY KEY (blocker_id, blocked_id)
);
CREATE INDEX blocks_newest ON blocks (blocker_id, created_at DESC, blocked_id DESC) WHERE removed_at IS NULL;

-- People who know each other, as the marketplace says: they start without a request.
CREATE TABLE connections (
    user_low   text        COLLATE "C" NOT NULL,
    user_high  text        COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_low, user_high),
    CHECK (user_low < user_high)
);

-- Events of a change of rights wait here until message_svc holds every gate that the change raised; then they
-- move to the outbox. `payload` is the refs of a realtime event or the data of a bus event.
CREATE TABLE owed_events (
    event_id        uuid        PRIMARY KEY,
    position        bigint      GENERATED ALWAYS AS IDENTITY,
    sink            text        NOT NULL CHECK (sink IN ('realtime', 'bus')),
    name            text        NOT NULL,
    conversation_id uuid        REFERENCES conversations ON DELETE CASCADE,
    recipients      text[]      NOT NULL,
    subject         text        NOT NULL,
    payload         jsonb       NOT NULL,
    traceparent     text,
    occurred_at     timestamptz NOT NULL
);
CREATE INDEX owed_events_conversation ON owed_events (conversation_id);

-- What an owed event waits for.
CREATE TABLE owed_waits (
    conversation_id uuid   NOT NULL REFERENCES conversations ON DELETE CASCADE,
    event_id        uuid   NOT NULL REFERENCES owed_events ON DELETE CASCADE,
    gate_version    bigint NOT NULL,
    PRIMARY KEY (conversation_id, event_id)
);
CREATE INDEX owed_waits_event ON owed_waits (event_id);

-- The outbox tables. Each service's first migration holds these statements word for word (a contract
-- test compares), because a migration that has run never changes.
--
-- A row is committed with the change that it tells of, and deleted once it is published. `not_before`
-- gives the committing process three seconds to publish it itself; what it did not, the relay does.
-- clock_timestamp(), not now(): taken under the lock that orders the changes, so the relay's order
-- is theirs.

-- Events for the sockets of `recipients`. `refs` are ids only; bodies are read again when published.
CREATE TABLE outbox_realtime (
    event_id        uuid PRIMARY KEY,
    name            text NOT NULL,
    conversation_id uuid,
    recipients      text[] NOT NULL,
    refs            jsonb NOT NULL,
    traceparent     text,
    occurred_at     timestamptz NOT NULL,
    not_before      timestamptz NOT NULL DEFAULT clock_timestamp() + interval '3 seconds',
    attempts        integer NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX outbox_realtime_due ON outbox_realtime (not_before, event_id);

-- Events for RabbitMQ. `data` is the event's protobuf message as JSON: ids and facts, never a body.
CREATE TABLE outbox_bus (
    event_id    uuid PRIMARY KEY,
    name        text NOT NULL,
    subject     text NOT NULL,
    data        jsonb NOT NULL,
    traceparent text,
    occurred_at timestamptz NOT NULL,
    not_before  timestamptz NOT NULL DEFAULT clock_timestamp() + interval '3 seconds',
    attempts    integer NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX outbox_bus_due ON outbox_bus (not_before, event_id);
