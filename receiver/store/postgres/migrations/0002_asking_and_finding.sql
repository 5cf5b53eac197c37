-- What sinks remember, what is asked of providers (limits, secrets, subscriptions, jobs), and the full-text index.
-- Releases that know schema 1 run beside it.

CREATE TABLE sink_memory (
    sink text NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    updated_at bigint NOT NULL
);

CREATE UNIQUE INDEX sink_memory_key ON sink_memory (sink, md5(key));
CREATE INDEX sink_memory_age ON sink_memory (updated_at);

CREATE TABLE buckets (
    source text NOT NULL,
    bucket text NOT NULL,
    taken text NOT NULL,
    frozen_until bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (source, bucket)
);

CREATE TABLE secrets (
    source text NOT NULL,
    name text NOT NULL,
    sealed bytea NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (source, name)
);

CREATE TABLE subscriptions (
    source text NOT NULL,
    id text NOT NULL,
    address text NOT NULL,
    lifetime bigint,
    expires_at bigint,
    told integer NOT NULL DEFAULT 0,
    PRIMARY KEY (source, id)
);

-- The columns of jobs mean what they mean on SQLite.
CREATE TABLE jobs (
    id bigint PRIMARY KEY,
    source text NOT NULL,
    provider text NOT NULL,
    operation text NOT NULL,
    state text NOT NULL,
    job_id text,
    recording text,
    round integer NOT NULL,
    token bytea,
    token_used integer NOT NULL DEFAULT 0,
    call_key text,
    owner bigint NOT NULL,
    sending integer NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    submitted_at bigint,
    result_at bigint,
    deadline bigint,
    next_poll bigint,
    polls integer NOT NULL DEFAULT 0,
    detail text,
    note bytea,
    doc bytea NOT NULL
);

CREATE UNIQUE INDEX jobs_recording ON jobs (source, operation, recording, round) WHERE recording IS NOT NULL;
CREATE UNIQUE INDEX jobs_token ON jobs (token) WHERE token IS NOT NULL;
CREATE INDEX jobs_job ON jobs (source, job_id) WHERE job_id IS NOT NULL;
CREATE INDEX jobs_poll ON jobs (next_poll) WHERE next_poll IS NOT NULL;
CREATE INDEX jobs_call ON jobs (call_key) WHERE call_key IS NOT NULL;
CREATE INDEX jobs_state ON jobs (state, id);
CREATE INDEX jobs_times ON jobs (source, operation, id) WHERE result_at IS NOT NULL;

-- `words` are made by receiver/store/postgres/words.py: what was said, with places, and the tags, without.
CREATE TABLE segments (
    id bigint PRIMARY KEY,
    transcript_id bigint NOT NULL,
    number integer NOT NULL,
    start double precision,
    ends double precision,
    speaker text,
    label text,
    role text,
    sentiment text,
    text text NOT NULL,
    words tsvector NOT NULL
);

CREATE INDEX segments_transcript ON segments (transcript_id, id);
CREATE INDEX segments_words ON segments USING gin (words) WITH (gin_pending_list_limit = 512);

CREATE TABLE segment_days (
    day bigint PRIMARY KEY,
    first bigint NOT NULL,
    last bigint NOT NULL
);

CREATE TABLE unindexed (
    transcript_id bigint PRIMARY KEY,
    version integer NOT NULL
);

CREATE TABLE removed_words (
    one integer PRIMARY KEY CHECK (one = 1),
    since bigint NOT NULL,
    times integer NOT NULL
);

-- An earlier release beside this one does not know that what it writes is to be indexed.
CREATE FUNCTION versions_unindexed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unindexed AS u (transcript_id, version)
    SELECT transcript_id, max(version) FROM added GROUP BY transcript_id ORDER BY transcript_id
    ON CONFLICT (transcript_id) DO UPDATE SET version = excluded.version;
    RETURN NULL;
END
$$;

CREATE TRIGGER versions_unindexed AFTER INSERT ON versions
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION versions_unindexed();

INSERT INTO unindexed (transcript_id, version) SELECT id, version FROM transcripts;
