-- Until when there may be messages of which the worker is not told (ADR 0035): who looks before it looks again. Null: none.
ALTER TABLE mail_reminders ADD COLUMN covered_until timestamptz;
