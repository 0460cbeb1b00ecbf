-- Where people get mail. Apart from profiles, which others see: nobody is shown an address.
CREATE TABLE mail_addresses (
    user_id    text        COLLATE "C" PRIMARY KEY,
    email      text        NOT NULL,
    updated_at timestamptz NOT NULL
);

-- The mail about unread messages, one row for each conversation and person in it.
CREATE TABLE mail_reminders (
    conversation_id uuid        NOT NULL REFERENCES conversations ON DELETE CASCADE,
    user_id         text        COLLATE "C" NOT NULL,
    -- The Message-ID of the mail to come: a repeat carries the same.
    mail_id         uuid        NOT NULL,
    -- Who wrote first_seq, the message that the wait began with.
    sender_id       text        COLLATE "C" NOT NULL,
    first_seq       bigint      NOT NULL,
    -- The latest message heard of.
    last_seq        bigint      NOT NULL,
    -- When to look; null = nothing to remind of. Whoever looks moves it ahead first, as a lease.
    due_at          timestamptz,
    -- Sendings begun whose end is not known.
    tries           integer     NOT NULL DEFAULT 0,
    -- The last message that a mail has been sent for; no other is sent before it is read.
    mailed_seq      bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, user_id)
);
CREATE INDEX mail_reminders_due ON mail_reminders (due_at) WHERE due_at IS NOT NULL;

-- What a consumer has done. A service with a consumer holds this statement word for word in a migration
-- (a contract test compares). A row is inserted in the transaction of the event's effect: both or neither.
CREATE TABLE consumed (
    consumer    text        NOT NULL,
    event_id    uuid        NOT NULL,
    consumed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX consumed_oldest ON consumed (consumed_at);
