-- How often providers were asked, shared by all processes; and secrets that providers showed once, sealed.

CREATE TABLE buckets (
    source TEXT NOT NULL,
    bucket TEXT NOT NULL,
    taken TEXT NOT NULL,
    frozen_until INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (source, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriptions (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    address TEXT NOT NULL,
    lifetime INTEGER,
    expires_at INTEGER,
    told INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
