-- Every statement of the quarantine's file, by name.

-- put: Keep a refused request; one that is there already stays as it is.
INSERT OR IGNORE INTO quarantined
    (id, source, reason, received_at, size, checks, token_digest, token_length, headers, body)
VALUES (:id, :source, :reason, :received_at, :size, :checks, :token_digest, :token_length, :headers, :body);

-- expired: Those that were kept long enough.
DELETE FROM quarantined WHERE id < :before;

-- kinds: How much is kept of each kind.
SELECT source, reason, requests, bytes FROM kinds WHERE requests > 0;

-- oldest: The oldest requests of a kind, and what each takes.
SELECT id, size + length(headers) FROM quarantined
WHERE source = :source AND reason = :reason AND id > :after ORDER BY id LIMIT :limit;

-- drop: These are admitted, or nobody wants them.
DELETE FROM quarantined WHERE id IN (SELECT value FROM json_each(:ids));

-- newest: What is kept, newest first, without headers and body.
SELECT id, source, reason, received_at, size, checks FROM quarantined WHERE {where} ORDER BY id DESC LIMIT :limit;

-- get: One request with everything.
SELECT id, source, reason, received_at, size, checks, token_digest, token_length, headers, body
FROM quarantined WHERE id = :id;

-- count: So many more were refused in an hour.
INSERT INTO refusals (hour, source, reason, count) VALUES (:hour, :source, :reason, :count)
ON CONFLICT (hour, source, reason) DO UPDATE SET count = count + excluded.count;

-- forget_counts: Hours that nobody asks for any more.
DELETE FROM refusals WHERE hour < :before;

-- refusals: How many were refused since an hour, by source and reason, newest hour first.
SELECT hour, source, reason, count FROM refusals WHERE hour >= :since ORDER BY hour DESC, source, reason;
