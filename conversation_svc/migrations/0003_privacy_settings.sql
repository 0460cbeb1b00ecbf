-- What a person shows of themself; no row = everything. Gates carry what concerns message_svc: whoever changes
-- it raises the gates of all their conversations in the same transaction.
CREATE TABLE privacy_settings (
    user_id           text        COLLATE "C" PRIMARY KEY,
    read_receipts     boolean     NOT NULL DEFAULT true,
    typing_indicators boolean     NOT NULL DEFAULT true,
    presence          boolean     NOT NULL DEFAULT true,
    updated_at        timestamptz NOT NULL
);

-- All conversations that somebody is in.
CREATE INDEX participants_person ON participants (user_id, conversation_id) WHERE left_at IS NULL;
