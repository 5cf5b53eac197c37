-- Callbacks that announce more than they hold: which were followed, how often it was tried, and when it is tried again.

CREATE TABLE followed (
    receipt_id INTEGER PRIMARY KEY,
    tries INTEGER NOT NULL,
    due_at INTEGER,
    why TEXT
) STRICT;
