-- Every statement of the quarantine on PostgreSQL, by the same names as in its file on SQLite.

-- put: Keep a refused request; one that is there already stays as it is.
INSERT INTO quarantined
    (id, source, reason, received_at, size, checks, token_digest, token_length, headers, body)
SELECT * FROM unnest(
    :id::bigint[], :source::text[], :reason::text[], :received_at::bigint[], :size::bigint[], :checks::text[],
    :token_digest::bytea[], :token_length::integer[], :headers::bytea[], :body::bytea[])
ON CONFLICT (id) DO NOTHING;

-- expired: Those that were kept long enough.
DELETE FROM quarantined WHERE id < :before;

-- kinds: How much is kept of each kind.
SELECT source, reason, requests, bytes FROM kinds WHERE requests > 0;

-- oldest: The oldest requests of a kind, and what each takes.
SELECT id, size + length(headers) FROM quarantined
WHERE source = :source AND reason = :reason AND id > :after ORDER BY id LIMIT :limit;

-- drop: These are admitted, or nobody wants them.
DELETE FROM quarantined WHERE id = ANY(:ids::bigint[]);

-- newest: What is kept, newest first, without headers and body.
SELECT id, source, reason, received_at, size, checks FROM quarantined WHERE {where} ORDER BY id DESC LIMIT :limit;

-- get: One request with everything.
SELECT id, source, reason, received_at, size, checks, token_digest, token_length, headers, body
FROM quarantined WHERE id = :id;

-- count: So many more were refused in an hour.
INSERT INTO refusals AS r (hour, source, reason, count)
SELECT * FROM unnest(:hour::bigint[], :source::text[], :reason::text[], :count::bigint[])
    AS n (hour, source, reason, count)
ORDER BY n.hour, n.source, n.reason
ON CONFLICT (hour, source, reason) DO UPDATE SET count = r.count + excluded.count;

-- forget_counts: Hours that nobody asks for any more.
DELETE FROM refusals WHERE hour < :before;

-- refusals: How many were refused since an hour, by source and reason, newest hour first.
SELECT hour, source, reason, count FROM refusals WHERE hour >= :since ORDER BY hour DESC, source, reason;
