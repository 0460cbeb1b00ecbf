-- What is not open yet, for the walk that asks whether it should be: few of all conversations.
CREATE INDEX IF NOT EXISTS conversations_unopened ON conversations (id) WHERE NOT opened;
