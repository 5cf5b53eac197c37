-- Named tokens and the audit trail.

-- add_token: A new token; its name was never used.
INSERT INTO tokens (id, name, role, digest, expires_at) VALUES {rows};

-- token_by_id: What a token that is shown is compared with.
SELECT id, name, role, digest, expires_at, revoked_at FROM tokens WHERE id = :id;

-- list_tokens: Tokens, the newest first, those that are over included.
SELECT id, name, role, NULL, expires_at, revoked_at FROM tokens WHERE {where} ORDER BY id DESC LIMIT :limit;

-- revoke_token: End a token.
UPDATE tokens SET revoked_at = :now WHERE name = :name AND revoked_at IS NULL;

-- add_audit: What somebody did.
INSERT INTO audit (id, who, via, what, thing, detail) VALUES {rows};

-- list_audit: What was done, the newest first.
SELECT id, who, via, what, thing, detail FROM audit WHERE {where} ORDER BY id DESC LIMIT :limit;

-- drop_audit: The oldest of what was done before a moment.
DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < :before ORDER BY id LIMIT :limit);

-- stream_events: What happened, in the order in which it was written, behind one event.
SELECT seq, id, source, type, time, subject, call_id FROM events WHERE seq > :seq ORDER BY seq LIMIT :limit;

-- last_number: The number of the newest event, 0 where there is none.
SELECT coalesce(max(seq), 0) FROM events;

-- token_by_name: The token of a name.
SELECT id, name, role, NULL, expires_at, revoked_at FROM tokens WHERE name = :name;
