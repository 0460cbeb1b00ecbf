-- What a consumer has done. A service with a consumer holds this statement word for word in a migration
-- (a contract test compares). A row is inserted in the transaction of the event's effect: both or neither.
CREATE TABLE consumed (
    consumer    text        NOT NULL,
    event_id    uuid        NOT NULL,
    consumed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX consumed_oldest ON consumed (consumed_at);
