-- What may end when its time is over, in the order of that.
CREATE INDEX conversations_expiring ON conversations (expires_at, id)
    WHERE opened AND state IN ('request', 'declined');
