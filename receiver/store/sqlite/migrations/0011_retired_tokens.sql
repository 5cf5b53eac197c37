-- A callback's token is known for good: where its job is gone, who calls by it is asked about, and not told 404.

CREATE TABLE retired_tokens (
    job_id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    token BLOB NOT NULL UNIQUE
) STRICT;
