-- What sinks remember between sends, such as which thread of a chat belongs to a call.

CREATE TABLE sink_memory (
    sink TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (sink, key)
) STRICT;

CREATE INDEX sink_memory_age ON sink_memory (updated_at);
