-- A callback's token is known for good: where its job is gone, who calls by it is asked about, and not told 404.
-- Releases that know schema 1 run beside it.

CREATE TABLE retired_tokens (
    job_id bigint PRIMARY KEY,
    source text NOT NULL,
    token bytea NOT NULL UNIQUE
);
