-- What the bus has been told of who wrote: {"until": time, "senders": [ids]} (ADR 0035). In the row that each send locks
-- and writes anyway, and in no index, so that its updates stay HOT. An earlier release leaves it as it is.
ALTER TABLE gate ADD COLUMN told jsonb;
