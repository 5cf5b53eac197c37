-- The path as tables: receipts, what they became (calls, transcripts, versions), what goes out (events, deliveries).
-- Ids are those of receiver/store/ids.py, times Unix milliseconds. What routes is plain; what was said is one blob a row.

CREATE TABLE receipts (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    provider TEXT NOT NULL,
    day INTEGER NOT NULL,
    key INTEGER NOT NULL,
    key_rest INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    received_at INTEGER NOT NULL,
    size INTEGER NOT NULL,
    reason TEXT,
    outcome TEXT,
    checks TEXT,
    headers BLOB NOT NULL,
    body BLOB NOT NULL,
    reread BLOB,
    UNIQUE (day, key)
) STRICT;

CREATE TABLE claims (
    id INTEGER PRIMARY KEY,
    receipts TEXT NOT NULL
) STRICT;

CREATE INDEX receipts_open ON receipts (state, id) WHERE state <> 'normalized';
CREATE INDEX receipts_source ON receipts (source, id);

CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    key TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    doc BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX calls_key ON calls (key) WHERE key IS NOT NULL;

CREATE TABLE transcripts (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    provider TEXT NOT NULL,
    operation TEXT NOT NULL,
    job_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    call_id INTEGER NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    dated TEXT,
    received_at INTEGER NOT NULL,
    UNIQUE (source, operation, job_id)
) STRICT;

CREATE INDEX transcripts_received ON transcripts (received_at, id);
CREATE INDEX transcripts_source ON transcripts (source, received_at, id);
CREATE INDEX transcripts_provider ON transcripts (provider, received_at, id);
CREATE INDEX transcripts_failed ON transcripts (received_at, id) WHERE status = 'failed';
CREATE INDEX transcripts_call ON transcripts (call_id);
CREATE INDEX transcripts_job ON transcripts (job_id);

CREATE TABLE versions (
    transcript_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    receipt_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    normalizer TEXT NOT NULL,
    doc BLOB NOT NULL,
    UNIQUE (transcript_id, version)
) STRICT;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id INTEGER NOT NULL UNIQUE,
    source TEXT NOT NULL,
    type TEXT NOT NULL,
    time TEXT NOT NULL,
    subject TEXT NOT NULL,
    call_id INTEGER,
    transcript_id INTEGER,
    version INTEGER,
    data BLOB
) STRICT;

CREATE INDEX events_type ON events (type, id);
CREATE INDEX events_source ON events (source, id);
CREATE INDEX events_call ON events (call_id, id) WHERE call_id IS NOT NULL;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    sink TEXT NOT NULL,
    event_id INTEGER NOT NULL,
    call_id INTEGER,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    worker INTEGER,
    detail TEXT,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX deliveries_due ON deliveries (sink, next_at, id) WHERE state = 'pending';
CREATE INDEX deliveries_call ON deliveries (sink, call_id, id) WHERE state IN ('pending', 'in_flight');
CREATE INDEX deliveries_state ON deliveries (state, id, sink) WHERE state <> 'delivered';
CREATE INDEX deliveries_event ON deliveries (event_id);
CREATE INDEX deliveries_sink ON deliveries (sink, id);

CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    delivery_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT
) STRICT;

CREATE INDEX attempts_delivery ON attempts (delivery_id);

CREATE TABLE sinks (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    failures INTEGER NOT NULL,
    reason TEXT,
    probe_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE workers (
    start INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    started_at INTEGER NOT NULL
) STRICT;
