-- Requests that proved nothing, how much of each kind is kept, and how many were refused hour by hour.
-- Ids are those of receiver/store/ids.py, times Unix milliseconds. A token is kept as its digest and length.

CREATE TABLE quarantined (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    size INTEGER NOT NULL,
    checks TEXT NOT NULL,
    token_digest BLOB,
    token_length INTEGER,
    headers BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE INDEX quarantined_kind ON quarantined (source, reason, id);

CREATE TABLE kinds (
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    requests INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (source, reason)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER quarantined_more AFTER INSERT ON quarantined BEGIN
    INSERT INTO kinds (source, reason, requests, bytes)
    VALUES (new.source, new.reason, 1, new.size + length(new.headers))
    ON CONFLICT (source, reason) DO UPDATE SET requests = requests + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER quarantined_less AFTER DELETE ON quarantined BEGIN
    UPDATE kinds SET requests = requests - 1, bytes = bytes - old.size - length(old.headers)
    WHERE source = old.source AND reason = old.reason;
END;

CREATE TABLE refusals (
    hour INTEGER NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, source, reason)
) STRICT, WITHOUT ROWID;
