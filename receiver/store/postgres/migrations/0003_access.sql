-- Who may look and act: named tokens, of which only digests are kept; and the audit trail of what they did.
-- Releases that know schema 1 run beside it.

CREATE TABLE tokens (
    id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    role text NOT NULL,
    digest bytea NOT NULL,
    expires_at bigint,
    revoked_at bigint
);

CREATE TABLE audit (
    id bigint PRIMARY KEY,
    who text NOT NULL,
    via text NOT NULL,
    what text NOT NULL,
    thing text,
    detail text
);

CREATE INDEX audit_thing ON audit (thing, id) WHERE thing IS NOT NULL;
CREATE INDEX audit_who ON audit (who, id);
