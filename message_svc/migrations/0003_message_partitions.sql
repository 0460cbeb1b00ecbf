-- Messages in eight tables by the hash of their conversation: each is vacuumed, rebuilt and moved by itself, and a
-- conversation's messages are in one of them. Why, why eight, and how one is split: docs/adr/0023.
--
-- Statements of the release that runs wait for the lock and then find the new table by its name: every key begins
-- with conversation_id, and the columns are the same in the same order.
ALTER TABLE message RENAME TO message_whole;

CREATE TABLE message (LIKE message_whole INCLUDING CONSTRAINTS) PARTITION BY HASH (conversation_id);
CREATE TABLE message_0 PARTITION OF message FOR VALUES WITH (MODULUS 8, REMAINDER 0);
CREATE TABLE message_1 PARTITION OF message FOR VALUES WITH (MODULUS 8, REMAINDER 1);
CREATE TABLE message_2 PARTITION OF message FOR VALUES WITH (MODULUS 8, REMAINDER 2);
CREATE TABLE message_3 PARTITION OF message FOR VALUES WITH (MODULUS 8, REMAINDER 3);
CREATE TABLE message_4 PARTITION OF message FOR VALUES WITH (MODULUS 8, REMAINDER 4);
CREATE TABLE message_5 PARTITION OF message FOR VALUES WITH (MODULUS 8, REMAINDER 5);
CREATE TABLE message_6 PARTITION OF message FOR VALUES WITH (MODULUS 8, REMAINDER 6);
CREATE TABLE message_7 PARTITION OF message FOR VALUES WITH (MODULUS 8, REMAINDER 7);

-- A table of rows cannot become a partition by hash; they are copied, and sorted into the indexes afterwards.
INSERT INTO message SELECT * FROM message_whole;
DROP TABLE message_whole;

ALTER TABLE message ADD PRIMARY KEY (conversation_id, seq);
ALTER TABLE message ADD UNIQUE (conversation_id, sender_id, client_message_id);
ALTER TABLE message ADD UNIQUE (conversation_id, change_seq);
CREATE UNIQUE INDEX message_id ON message (conversation_id, id);
