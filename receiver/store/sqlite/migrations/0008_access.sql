-- Who may look and act: named tokens, of which only digests are kept; and the audit trail of what they did.

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    digest BLOB NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    who TEXT NOT NULL,
    via TEXT NOT NULL,
    what TEXT NOT NULL,
    thing TEXT,
    detail TEXT
) STRICT;

CREATE INDEX audit_thing ON audit (thing, id) WHERE thing IS NOT NULL;
CREATE INDEX audit_who ON audit (who, id);

-- A number of an event is never given again, also where the newest events were erased: who reads on by it misses none.

CREATE TABLE event_numbers (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    given INTEGER NOT NULL
) STRICT;

INSERT INTO event_numbers (one, given) VALUES (1, 0);

CREATE TRIGGER events_dropped AFTER DELETE ON events WHEN old.seq > (SELECT given FROM event_numbers)
BEGIN
    UPDATE event_numbers SET given = old.seq;
END;

CREATE TRIGGER events_numbered AFTER INSERT ON events WHEN new.seq <= (SELECT given FROM event_numbers)
BEGIN
    UPDATE events SET seq = 1 + max((SELECT given FROM event_numbers), (SELECT max(seq) FROM events)) WHERE seq = new.seq;
END;
