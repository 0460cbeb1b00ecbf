ALTER TABLE message
    ADD COLUMN reply_to_id uuid,
    -- [{start, end, url}, …] in UTF-16 units; null when the text has none.
    ADD COLUMN links       jsonb,
    ADD COLUMN edited_at   timestamptz,
    ADD COLUMN redacted_at timestamptz,
    ADD COLUMN redacted_by text;

-- Edits, redactions and replies name a message by its id.
CREATE UNIQUE INDEX message_id ON message (conversation_id, id);

ALTER TABLE member
    ADD COLUMN muted           boolean NOT NULL DEFAULT false,
    ADD COLUMN archived        boolean NOT NULL DEFAULT false,
    -- They hide how far they have read, and see nobody's.
    ADD COLUMN receipts_hidden boolean NOT NULL DEFAULT false;

-- Lists leave the archived out, and totals the muted too.
DROP INDEX member_folder;
CREATE INDEX member_folder ON member (user_id, folder, activity_at DESC, conversation_id DESC)
    WHERE left_at IS NULL AND activity_at IS NOT NULL AND NOT archived;
CREATE INDEX member_archived ON member (user_id, activity_at DESC, conversation_id DESC)
    WHERE left_at IS NULL AND activity_at IS NOT NULL AND archived;
DROP INDEX member_unread;
CREATE INDEX member_unread ON member (user_id, folder) INCLUDE (unread)
    WHERE unread > 0 AND left_at IS NULL AND NOT muted AND NOT archived;
