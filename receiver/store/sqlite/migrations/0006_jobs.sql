-- Jobs: work that we asked a provider to do, or adopted. What routes is plain; what was asked for is one blob a row.
-- `recording` is the SHA-256 of a file, or `url:` and that of an address; `token` the digest of the callback's token;
-- `token_used` is 1 once a result came by it; `sending` is 1 from before a request that must not happen twice until something later is known.

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    provider TEXT NOT NULL,
    operation TEXT NOT NULL,
    state TEXT NOT NULL,
    job_id TEXT,
    recording TEXT,
    round INTEGER NOT NULL,
    token BLOB,
    token_used INTEGER NOT NULL DEFAULT 0,
    call_key TEXT,
    owner INTEGER NOT NULL,
    sending INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    submitted_at INTEGER,
    result_at INTEGER,
    deadline INTEGER,
    next_poll INTEGER,
    polls INTEGER NOT NULL DEFAULT 0,
    detail TEXT,
    note BLOB,
    doc BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX jobs_recording ON jobs (source, operation, recording, round) WHERE recording IS NOT NULL;
CREATE UNIQUE INDEX jobs_token ON jobs (token) WHERE token IS NOT NULL;
CREATE INDEX jobs_job ON jobs (source, job_id) WHERE job_id IS NOT NULL;
CREATE INDEX jobs_poll ON jobs (next_poll) WHERE next_poll IS NOT NULL;
CREATE INDEX jobs_call ON jobs (call_key) WHERE call_key IS NOT NULL;
CREATE INDEX jobs_state ON jobs (state, id);
CREATE INDEX jobs_times ON jobs (source, operation, id) WHERE result_at IS NOT NULL;
