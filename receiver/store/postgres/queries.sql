-- Every statement of the store on PostgreSQL, by the same names as on SQLite. Where many rows are given, each parameter
-- is one column of them. OFFSET 0 keeps the planner from reading a table at once that is better asked row by row.

-- keep_receipts: Keep proven requests; one whose key came within the last eight days is a redelivery and left out.
WITH new AS (
    SELECT * FROM unnest(
        :id::bigint[], :source::text[], :provider::text[], :day::bigint[], :key::bigint[], :key_rest::bigint[],
        :verdict::text[], :state::text[], :received_at::bigint[], :size::bigint[], :checks::text[], :headers::bytea[],
        :body::bytea[])
        AS n (id, source, provider, day, key, key_rest, verdict, state, received_at, size, checks, headers, body)),
once AS MATERIALIZED (
    SELECT nextval('receipts_place') AS place, set_config('synchronous_commit',
        CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
        ELSE current_setting('synchronous_commit') END, true) AS durable)
INSERT INTO receipts (place, id, source, provider, day, key, key_rest, verdict, state, received_at, size, checks, headers,
    body)
SELECT once.place, new.* FROM new CROSS JOIN once
WHERE once.durable <> '' AND NOT EXISTS (
    SELECT 1 FROM receipts AS old
    WHERE old.day = ANY(ARRAY[new.day + 1, new.day - 1, new.day - 2, new.day - 3, new.day - 4, new.day - 5, new.day - 6,
            new.day - 7])
      AND old.key = new.key OFFSET 0)
ORDER BY new.day, new.key
ON CONFLICT (day, key) DO NOTHING;

-- which_kept: Of these ids, those that were kept.
SELECT id FROM receipts WHERE id = ANY(:ids::bigint[]);

-- first_with_key: The receipt that has a redelivery key within the window, and the rest of its key.
SELECT id, key_rest FROM receipts
WHERE day = ANY(ARRAY[:day::bigint, :day + 1, :day - 1, :day - 2, :day - 3, :day - 4, :day - 5, :day - 6, :day - 7])
  AND key = :key
ORDER BY id LIMIT 1;

-- claim_receipts: Write down which receipts are about to be normalized, so that a crash is counted.
UPDATE claims SET receipts = :ids::bigint[] WHERE id = :id;

-- waiting_receipts: Which receipts are in a state, oldest first, with their sizes and tries.
SELECT id, size, tries FROM receipts
WHERE state = :state AND state <> 'normalized' AND id > :after ORDER BY id LIMIT :limit;

-- receipts_by_id: Receipts as the normalizer sees them.
SELECT id, source, provider, verdict, received_at, tries, headers, coalesce(reread, body) FROM receipts
WHERE id = ANY(:ids::bigint[]) ORDER BY place, id;

-- release_claim: The claimed receipts are done, or go back untouched.
DELETE FROM claims WHERE id = :id;

-- crashed_claims: What was being normalized when a worker died.
SELECT id, receipts FROM claims WHERE worker = ANY(:workers::bigint[]) FOR UPDATE;

-- count_tries: A worker died over these receipts.
UPDATE receipts SET tries = tries + 1 WHERE id = ANY(:ids::bigint[]) AND state = 'received';

-- receipt_done: What a receipt became.
UPDATE receipts AS r SET state = n.state, outcome = n.outcome, reason = n.reason
FROM unnest(:id::bigint[], :state::text[], :outcome::text[], :reason::text[]) AS n (id, state, outcome, reason)
WHERE r.id = n.id;

-- readmit_receipts: Some of the receipts that could not be read because their source was not there, and it is again.
UPDATE receipts SET state = 'received', reason = NULL WHERE id IN (
    SELECT id FROM receipts
    WHERE state = 'unreadable' AND state <> 'normalized' AND reason = :reason
      AND source = ANY(:sources::text[])
    LIMIT :limit);

-- receipts_to_reprocess: Receipts that a filter finds, oldest first: how large they are, and what they became.
SELECT id, coalesce(length(reread), size), state, outcome, reason FROM receipts
WHERE {where} ORDER BY id LIMIT :limit;

-- event_contents: What events say of their own: those about a transcript are left out.
SELECT id, type, data FROM events WHERE id = ANY(:ids::bigint[]) AND data IS NOT NULL;

-- receipt_redone: What a receipt became when it was read again, where nobody else has read it again meanwhile.
UPDATE receipts AS r SET state = n.state, outcome = n.outcome, reason = n.reason
FROM unnest(:id::bigint[], :state::text[], :outcome::text[], :reason::text[], :was_state::text[], :was_outcome::text[])
    AS n (id, state, outcome, reason, was_state, was_outcome)
WHERE r.id = n.id AND r.state = n.was_state AND r.outcome IS NOT DISTINCT FROM n.was_outcome;

-- receipt_confirmed: The provider's own answer, which counts instead of the body that came.
UPDATE receipts SET state = 'received', verdict = 'confirmed', reread = :reread, headers = coalesce(:headers, headers)
WHERE id = :id AND state = 'confirming';

-- receipt_unconfirmed: No confirmation is to be had; the token alone must do.
UPDATE receipts SET state = 'received' WHERE id = ANY(:ids::bigint[]) AND state = 'confirming';

-- known_transcripts: Transcripts by result key, with their newest version and their call; NULL for what is gone.
SELECT t.source, t.operation, t.job_id, t.id, t.kind, t.call_id, t.status, t.version, t.digest, t.dated, v.doc,
    c.key, c.doc, v.receipt_id
FROM (SELECT :keys::text[] AS keys) AS k
CROSS JOIN LATERAL generate_subscripts(k.keys, 1) AS n
CROSS JOIN LATERAL (
    SELECT * FROM transcripts AS one
    WHERE one.source = k.keys[n][1] AND one.operation = k.keys[n][2] AND one.job_id = k.keys[n][3] OFFSET 0) AS t
LEFT JOIN LATERAL (
    SELECT * FROM versions AS one WHERE one.transcript_id = t.id AND one.version = t.version OFFSET 0) AS v ON TRUE
LEFT JOIN LATERAL (SELECT * FROM calls AS one WHERE one.id = t.call_id OFFSET 0) AS c ON TRUE;

-- known_calls: Calls by key.
SELECT key, id, doc FROM calls WHERE key = ANY(:keys::text[]);

-- add_calls: New calls.
INSERT INTO calls (id, key, created_at, updated_at, doc)
SELECT * FROM unnest(:id::bigint[], :key::text[], :created_at::bigint[], :updated_at::bigint[], :doc::bytea[]);

-- change_call: A call about which more is known now, where it still is what it was before; one that was gone is there again.
INSERT INTO calls AS c (id, key, created_at, updated_at, doc)
SELECT n.id, n.key, n.now, n.now, n.doc
FROM unnest(:id::bigint[], :key::text[], :now::bigint[], :doc::bytea[]) AS n (id, key, now, doc)
ORDER BY n.id
ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at, doc = excluded.doc, key = excluded.key
WHERE c.doc = (SELECT b.before FROM unnest(:id::bigint[], :before::bytea[]) AS b (id, before) WHERE b.id = c.id);

-- add_transcripts: Transcripts, new or with a new version; one that another process made or changed stays as it is.
INSERT INTO transcripts
    (id, source, provider, operation, job_id, kind, call_id, status, version, digest, dated, received_at)
SELECT * FROM unnest(
    :id::bigint[], :source::text[], :provider::text[], :operation::text[], :job_id::text[], :kind::text[],
    :call_id::bigint[], :status::text[], :version::integer[], :digest::bytea[], :dated::text[], :received_at::bigint[])
    AS n (id, source, provider, operation, job_id, kind, call_id, status, version, digest, dated, received_at)
ORDER BY n.source, n.operation, n.job_id
ON CONFLICT (source, operation, job_id) DO UPDATE SET
    call_id = excluded.call_id, status = excluded.status, version = excluded.version, digest = excluded.digest,
    dated = excluded.dated, received_at = excluded.received_at
WHERE transcripts.id = excluded.id AND transcripts.version < excluded.version;

-- add_versions: What transcripts say, version by version.
INSERT INTO versions (transcript_id, version, receipt_id, created_at, normalizer, doc)
SELECT * FROM unnest(
    :transcript_id::bigint[], :version::integer[], :receipt_id::bigint[], :created_at::bigint[], :normalizer::text[],
    :doc::bytea[]);

-- amend_version: A version that says more than before, where it still holds the words of the same receipt.
UPDATE versions SET receipt_id = :receipt_id, normalizer = :normalizer, doc = :doc
WHERE transcript_id = :id AND version = :version AND receipt_id = :was;

-- amend_transcript: What routes it, where that is its newest version.
UPDATE transcripts SET call_id = :call_id, digest = :digest, dated = :dated, received_at = coalesce(:received_at, received_at)
WHERE id = :id AND version = :version;

-- add_events: What happened.
INSERT INTO events (id, source, type, time, subject, call_id, transcript_id, version, data)
SELECT * FROM unnest(
    :id::bigint[], :source::text[], :type::text[], :time::text[], :subject::text[], :call_id::bigint[],
    :transcript_id::bigint[], :version::integer[], :data::bytea[]);

-- add_deliveries: The outbox: one row for each event and sink.
INSERT INTO deliveries (id, sink, event_id, call_id, state, next_at, updated_at)
SELECT * FROM unnest(
    :id::bigint[], :sink::text[], :event_id::bigint[], :call_id::bigint[], :state::text[], :next_at::bigint[],
    :updated_at::bigint[]);

-- due_deliveries: The next deliveries of a sink whose time has come; of an event above `inline` bytes the size only.
SELECT d.id, d.attempts, e.id, e.source, e.type, e.time, e.subject, e.call_id,
    CASE WHEN coalesce(length(e.data), length(v.doc)) <= :inline THEN coalesce(e.data, v.doc) END,
    coalesce(length(e.data), length(v.doc)), 0, d.place
FROM deliveries AS d
JOIN events AS e ON e.id = d.event_id
LEFT JOIN versions AS v ON v.transcript_id = e.transcript_id AND v.version = e.version
WHERE d.sink = :sink AND d.state = 'pending' AND d.next_at <= :now
ORDER BY d.next_at, d.place LIMIT :limit;

-- due_deliveries_in_order: The same, where an earlier delivery of a call that is not `mine` holds back later ones; looks `window` ahead.
SELECT d.id, d.attempts, e.id, e.source, e.type, e.time, e.subject, e.call_id,
    CASE WHEN coalesce(length(e.data), length(v.doc)) <= :inline THEN coalesce(e.data, v.doc) END,
    coalesce(length(e.data), length(v.doc)),
    (d.call_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM deliveries AS earlier
        WHERE earlier.sink = d.sink AND earlier.call_id = d.call_id AND earlier.place < d.place
          AND earlier.state IN ('pending', 'in_flight')))::integer, d.place
FROM deliveries AS d
JOIN events AS e ON e.id = d.event_id
LEFT JOIN versions AS v ON v.transcript_id = e.transcript_id AND v.version = e.version
WHERE d.sink = :sink AND d.state = 'pending' AND d.next_at <= :now
  AND d.next_at <= coalesce((
    SELECT next_at FROM deliveries WHERE sink = :sink AND state = 'pending' AND next_at <= :now
    ORDER BY next_at, place LIMIT 1 OFFSET :window), :now)
  AND (d.call_id IS NULL OR NOT EXISTS (
    SELECT 1 FROM deliveries AS earlier
    WHERE earlier.sink = d.sink AND earlier.call_id = d.call_id AND earlier.place < d.place
      AND earlier.state IN ('pending', 'in_flight') AND earlier.worker IS DISTINCT FROM :mine))
ORDER BY d.next_at, d.place LIMIT :limit;

-- deliveries_by_id: Deliveries with their events, as they are sent.
SELECT d.id, d.attempts, e.id, e.source, e.type, e.time, e.subject, e.call_id, coalesce(e.data, v.doc)
FROM deliveries AS d
JOIN events AS e ON e.id = d.event_id
LEFT JOIN versions AS v ON v.transcript_id = e.transcript_id AND v.version = e.version
WHERE d.id = ANY(:ids::bigint[]) ORDER BY d.id;

-- next_due: When the next pending delivery of a sink falls due, but for those that are due and held back.
SELECT min(next_at) FROM deliveries WHERE sink = :sink AND state = 'pending' AND next_at > :now;

-- start_deliveries: These are being sent from now on, unless they were moved just now; the attempt is counted before.
WITH alive AS MATERIALIZED (SELECT start FROM workers WHERE start = :worker FOR KEY SHARE)
UPDATE deliveries SET state = 'in_flight', attempts = attempts + 1, worker = (SELECT start FROM alive), updated_at = :now
WHERE id IN (
    SELECT id FROM deliveries
    WHERE id = ANY(:ids::bigint[]) AND state = 'pending' AND sink = :sink AND EXISTS (SELECT 1 FROM alive)
    ORDER BY id FOR UPDATE SKIP LOCKED);

-- taken_deliveries: Of these, those that this worker is sending.
SELECT id FROM deliveries
WHERE id = ANY(:ids::bigint[]) AND state = 'in_flight' AND worker = :worker;

-- deliveries_arrived: These were taken for good.
UPDATE deliveries SET state = 'delivered', worker = NULL, detail = NULL, updated_at = :now
WHERE id = ANY(:ids::bigint[]) AND state = 'in_flight' AND worker = :worker;

-- delivery_waits: This one is tried again later; a probe or a stop gives its attempt back.
UPDATE deliveries AS d SET state = 'pending', worker = NULL, next_at = n.next_at, detail = n.detail,
    attempts = d.attempts - n.give_back, updated_at = n.now
FROM unnest(:id::bigint[], :next_at::bigint[], :detail::text[], :give_back::integer[], :now::bigint[], :worker::bigint[])
    AS n (id, next_at, detail, give_back, now, worker)
WHERE d.id = n.id AND d.state = 'in_flight' AND d.worker = n.worker;

-- delivery_ended: This one is given up, or was discarded while it waited.
UPDATE deliveries AS d SET state = n.state, worker = NULL, detail = n.detail, updated_at = n.now
FROM unnest(:id::bigint[], :state::text[], :detail::text[], :now::bigint[], :worker::bigint[])
    AS n (id, state, detail, now, worker)
WHERE d.id = n.id AND (d.state = 'pending' OR d.state = 'in_flight' AND d.worker = n.worker);

-- reclaim_deliveries: A worker died; what it was sending goes out again.
UPDATE deliveries SET state = 'pending', worker = NULL, next_at = :now, updated_at = :now
WHERE state = 'in_flight' AND worker = ANY(:workers::bigint[]);

-- take_back: The claim of these was made, and its answer lost; they were not sent.
UPDATE deliveries SET state = 'pending', worker = NULL, next_at = :now, attempts = attempts - 1, updated_at = :now
WHERE state = 'in_flight' AND worker = :worker AND sink = :sink;

-- add_attempts: Tries, with how they ended; of a delivery that was erased meanwhile nothing is kept.
INSERT INTO attempts (id, delivery_id, number, started_at, duration, outcome, detail)
SELECT * FROM unnest(
    :id::bigint[], :delivery_id::bigint[], :number::integer[], :started_at::bigint[], :duration::bigint[],
    :outcome::text[], :detail::text[]) AS new (id, delivery_id, number, started_at, duration, outcome, detail)
WHERE EXISTS (SELECT 1 FROM deliveries AS d WHERE d.id = new.delivery_id);

-- sink_states: What is known of each sink.
SELECT name, state, failures, reason, probe_at, updated_at FROM sinks;

-- put_sink_state: What is known of a sink.
INSERT INTO sinks (name, state, failures, reason, probe_at, updated_at)
VALUES (:name, :state, :failures, :reason, :probe_at, :now)
ON CONFLICT (name) DO UPDATE SET state = excluded.state, failures = excluded.failures, reason = excluded.reason,
    probe_at = excluded.probe_at, updated_at = excluded.updated_at;

-- put_sink_health: How a sink fares; an operator's pause stands.
INSERT INTO sinks (name, state, failures, reason, probe_at, updated_at)
VALUES (:name, :state, :failures, :reason, :probe_at, :now)
ON CONFLICT (name) DO UPDATE SET state = excluded.state, failures = excluded.failures, reason = excluded.reason,
    probe_at = excluded.probe_at, updated_at = excluded.updated_at
WHERE sinks.state <> 'paused';

-- sink_backlogs: How much waits for each sink, by state, and since when.
SELECT sink, state, count(*), min(id) FROM deliveries
WHERE state <> 'delivered' GROUP BY state, sink;

-- sink_backlog: How much waits for one sink.
SELECT count(*) FROM deliveries WHERE sink = :sink AND state = 'pending';

-- register_start: Number this start of a process.
INSERT INTO workers (start, name, started_at, until)
SELECT next.start, :name, :now, clock_timestamp() + make_interval(secs => :seconds)
FROM (SELECT nextval('starts') AS start) AS next
WHERE NOT EXISTS (SELECT 1 FROM workers AS w WHERE w.start & 1023 = next.start & 1023)
RETURNING start;

-- last_start: The number of the newest start.
SELECT coalesce(max(start), 0) FROM workers;

-- list_receipts: Receipts, newest first.
SELECT id, source, provider, verdict, state, tries, received_at, size, reason, outcome, checks, headers FROM receipts
WHERE {where} ORDER BY id DESC LIMIT :limit;

-- receipt_window: Where a look at so many receipts ends, newest first, and how many there were.
SELECT min(id), count(*) FROM (SELECT id FROM receipts WHERE {where} ORDER BY id DESC LIMIT :window) AS seen;

-- receipt_body: The exact bytes of a receipt, and its state.
SELECT body, state FROM receipts WHERE id = :id;

-- whole_receipt: A receipt as the normalizer sees it.
SELECT id, source, provider, verdict, received_at, tries, headers, coalesce(reread, body) FROM receipts WHERE id = :id;

-- list_transcripts: What routes each transcript, and how large its newest version is, newest first.
SELECT t.id, t.source, t.provider, t.operation, t.job_id, t.kind, t.call_id, t.status, t.version, t.received_at,
    length(v.doc)
FROM transcripts AS t JOIN versions AS v ON v.transcript_id = t.id AND v.version = t.version
WHERE {where} ORDER BY t.received_at DESC, t.id DESC LIMIT :limit;

-- transcript_docs: The newest versions of transcripts.
SELECT t.id, v.doc FROM transcripts AS t JOIN versions AS v ON v.transcript_id = t.id AND v.version = t.version
WHERE t.id = ANY(:ids::bigint[]);

-- one_transcript: One version of a transcript, the newest where none is named.
SELECT v.doc FROM transcripts AS t
JOIN versions AS v ON v.transcript_id = t.id AND v.version = coalesce(:version, t.version) WHERE t.id = :id;

-- transcript_versions: The versions of a transcript.
SELECT version, receipt_id, created_at, normalizer FROM versions WHERE transcript_id = :id ORDER BY version;

-- list_calls: Calls, newest first.
SELECT id, created_at, updated_at, doc FROM calls WHERE {where} ORDER BY id DESC LIMIT :limit;

-- call_transcripts: Everything said about a call, oldest first, as far as it routes.
SELECT id, source, provider, operation, job_id, kind, call_id, status, version, received_at FROM transcripts AS t
WHERE call_id = :id AND EXISTS (SELECT 1 FROM versions AS v WHERE v.transcript_id = t.id) ORDER BY id LIMIT :limit;

-- list_events: Events and how large they are, newest first.
SELECT e.id, e.source, e.type, e.time, e.subject, e.call_id, coalesce(length(e.data), length(v.doc), 0) FROM events AS e
LEFT JOIN versions AS v ON v.transcript_id = e.transcript_id AND v.version = e.version
WHERE {where} ORDER BY e.id DESC LIMIT :limit;

-- event_data: What events say.
SELECT e.id, coalesce(e.data, v.doc) FROM events AS e
LEFT JOIN versions AS v ON v.transcript_id = e.transcript_id AND v.version = e.version
WHERE e.id = ANY(:ids::bigint[]);

-- events_after: Events in the order in which they were written, behind one.
SELECT seq, id, source, type FROM events WHERE seq > :seq ORDER BY seq LIMIT :limit;

-- event_types: Which types of events there are; leaps through the index from one to the next.
WITH RECURSIVE found (type) AS (
    SELECT min(type) FROM events
    UNION ALL
    SELECT (SELECT min(type) FROM events WHERE type > found.type) FROM found WHERE found.type IS NOT NULL)
SELECT type FROM found WHERE type IS NOT NULL;

-- event_sources: Which sources there are events of; leaps through the index as well.
WITH RECURSIVE found (source) AS (
    SELECT min(source) FROM events
    UNION ALL
    SELECT (SELECT min(source) FROM events WHERE source > found.source) FROM found WHERE found.source IS NOT NULL)
SELECT source FROM found WHERE source IS NOT NULL;

-- list_deliveries: Deliveries, newest first.
SELECT d.id, d.sink, d.event_id, e.type, e.source, d.state, d.attempts, d.next_at, d.detail, d.updated_at
FROM deliveries AS d JOIN events AS e ON e.id = d.event_id
WHERE {where} ORDER BY d.id DESC LIMIT :limit;

-- delivery_attempts: The tries of a delivery, oldest first.
SELECT id, number, started_at, duration, outcome, detail FROM attempts WHERE delivery_id = :id ORDER BY id;

-- deliveries_matching: Deliveries to replay or discard, by a filter, oldest first.
SELECT d.id FROM deliveries AS d JOIN events AS e ON e.id = d.event_id WHERE {where} ORDER BY d.id LIMIT :limit;

-- count_deliveries_matching: How many deliveries a filter finds.
SELECT count(*) FROM deliveries AS d JOIN events AS e ON e.id = d.event_id WHERE {where};

-- replayable: Of these deliveries, those to send again: in one of these states, and their event not on its way already.
SELECT d.id, d.sink, d.event_id, d.call_id, d.state FROM deliveries AS d
WHERE d.id = ANY(:ids::bigint[]) AND d.state = ANY(:states::text[])
  AND NOT EXISTS (
    SELECT 1 FROM deliveries AS other
    WHERE other.event_id = d.event_id AND other.sink = d.sink AND other.state IN ('pending', 'in_flight'))
ORDER BY d.id;

-- delivery_replayed: A dead delivery that was sent again under another id is history.
UPDATE deliveries AS d SET state = 'discarded', detail = n.detail, updated_at = n.now
FROM unnest(:id::bigint[], :detail::text[], :now::bigint[]) AS n (id, detail, now)
WHERE d.id = n.id AND d.state = 'dead';

-- events_matching: Events to deliver to a sink, by a filter, oldest first.
SELECT e.id FROM events AS e WHERE {where} ORDER BY e.id LIMIT :limit;

-- count_events_matching: How many events a filter finds.
SELECT count(*) FROM events AS e WHERE {where};

-- events_for_replay: Of these events, those with nothing under way to the sink.
SELECT e.id, e.call_id FROM events AS e
WHERE e.id = ANY(:ids::bigint[]) AND NOT EXISTS (
    SELECT 1 FROM deliveries AS d
    WHERE d.event_id = e.id AND d.sink = :sink AND d.state IN ('pending', 'in_flight'))
ORDER BY e.id;

-- event_sinks: Where an event went.
SELECT DISTINCT sink FROM deliveries WHERE event_id = :id ORDER BY sink;

-- discard_deliveries: Give up these, on an operator's word.
UPDATE deliveries SET state = 'discarded', worker = NULL, detail = :detail, updated_at = :now
WHERE id = ANY(:ids::bigint[]) AND state = ANY(:states::text[]);

-- movable: Of these deliveries of a sink, those in one of the states, and whether another sink has their event already.
SELECT d.id, d.event_id, EXISTS (
    SELECT 1 FROM deliveries AS other
    WHERE other.event_id = d.event_id AND other.sink = :to AND other.state <> 'discarded')
FROM deliveries AS d
WHERE d.id = ANY(:ids::bigint[]) AND d.sink = :from AND d.state = ANY(:states::text[])
ORDER BY d.id;

-- move_deliveries: These go to another sink, as if they had never been tried; they keep their ids, and so their order.
UPDATE deliveries SET sink = :to, state = 'pending', attempts = 0, next_at = :now, detail = :detail, updated_at = :now
WHERE id = ANY(:ids::bigint[]);

-- receipt_counts: How many receipts each source has that are not normalized, by state, and since when; looks at 10,000 of each state.
WITH seen (source, state, id) AS (
    SELECT * FROM (
        SELECT source, state, id FROM receipts
        WHERE state = 'received' AND state <> 'normalized' ORDER BY id LIMIT 10000) AS a
    UNION ALL SELECT * FROM (
        SELECT source, state, id FROM receipts
        WHERE state = 'confirming' AND state <> 'normalized' ORDER BY id LIMIT 10000) AS a
    UNION ALL SELECT * FROM (
        SELECT source, state, id FROM receipts
        WHERE state = 'unreadable' AND state <> 'normalized' ORDER BY id LIMIT 10000) AS a)
SELECT source, state, count(*), min(id) FROM seen GROUP BY source, state;

-- last_receipts: When each source was last heard, and how often since a moment, 10,000 at most.
WITH RECURSIVE found (source) AS (
    SELECT min(source) FROM receipts
    UNION ALL
    SELECT (SELECT min(source) FROM receipts WHERE source > found.source) FROM found WHERE found.source IS NOT NULL)
SELECT source, (SELECT max(id) FROM receipts AS r WHERE r.source = found.source),
    (SELECT count(*) FROM (
        SELECT 1 FROM receipts AS r WHERE r.source = found.source AND r.id >= :since LIMIT 10000) AS seen)
FROM found WHERE source IS NOT NULL;

-- open_receipts: How many receipts are in each of these states, so many at most, and which is the oldest.
SELECT s.value,
    (SELECT count(*) FROM (SELECT 1 FROM receipts AS r
        WHERE r.state = s.value AND r.state <> 'normalized' LIMIT :most) AS seen),
    (SELECT min(id) FROM receipts AS r WHERE r.state = s.value AND r.state <> 'normalized')
FROM unnest(:states::text[]) AS s (value);

-- open_deliveries: How many deliveries of each sink wait, are being sent, or are dead, and which is the oldest.
SELECT sink, state, count(*), min(id) FROM deliveries
WHERE state IN ('pending', 'in_flight', 'dead') AND state <> 'delivered' GROUP BY state, sink;

-- oldest_pending: When the earliest pending delivery of each of these sinks falls or fell due.
SELECT s.value, (SELECT min(next_at) FROM deliveries AS d WHERE d.sink = s.value AND d.state = 'pending')
FROM unnest(:sinks::text[]) AS s (value);

-- last_receipt: The newest receipt of a source.
SELECT max(id) FROM receipts WHERE source = :source;

-- receipts_between: How many receipts a source has with ids from one to another, so many at most.
SELECT count(*) FROM (SELECT 1 FROM receipts WHERE source = :source AND id >= :since AND id < :until LIMIT :most) AS seen;

-- last_event: The newest event of a type about a source, not older than an id; by the index of types, for types that are rare.
SELECT max(id) FROM events WHERE type = :type AND id >= :since AND source = :source;

-- expired_receipts: Receipts of a source before a moment, oldest first, with what they take; those that are gone too.
SELECT id, size, state FROM receipts
WHERE source = :source AND id > :after AND id < :before ORDER BY id LIMIT :limit;

-- expired_unreadable: Unreadable receipts of a source before a moment, oldest first, with what they take.
SELECT id, size, state FROM receipts
WHERE state = 'unreadable' AND state <> 'normalized' AND source = :source AND id > :after AND id < :before
ORDER BY id LIMIT :limit;

-- receipts_gone: Of these receipts only what tells a redelivery stays.
UPDATE receipts SET state = 'gone', headers = :headers, body = '\x', reread = NULL, checks = NULL, outcome = NULL,
    reason = NULL
WHERE id = ANY(:ids::bigint[]) AND state = :state;

-- expired_events: Events of a source before a moment, oldest first.
SELECT id FROM events WHERE source = :source AND id > :after AND id < :before ORDER BY id LIMIT :limit;

-- settled_events: Of these events, those whose time has passed and of which nothing waits for a sink.
SELECT e.id FROM events AS e
WHERE e.id = ANY(:ids::bigint[])
  AND NOT EXISTS (
    SELECT 1 FROM deliveries AS d WHERE d.event_id = e.id AND d.state IN ('pending', 'in_flight'))
  AND e.id < CASE
    WHEN e.type LIKE '%.failed' OR e.type = 'ops.receipt_unreadable'
      OR EXISTS (SELECT 1 FROM deliveries AS d WHERE d.event_id = e.id AND d.state = 'dead')
    THEN :before_failed::bigint ELSE :before::bigint END;

-- last_delivery: The newest delivery of these events.
SELECT max(id) FROM deliveries WHERE event_id = ANY(:ids::bigint[]);

-- drop_attempts: The tries of these events' deliveries.
DELETE FROM attempts
WHERE delivery_id IN (SELECT id FROM deliveries WHERE event_id = ANY(:ids::bigint[]));

-- drop_deliveries: The deliveries of these events.
DELETE FROM deliveries WHERE event_id = ANY(:ids::bigint[]);

-- drop_events: These events.
DELETE FROM events WHERE id = ANY(:ids::bigint[]);

-- expired_transcripts: Transcripts of a source before a moment, oldest first, and whether anything is left of them.
SELECT t.id, t.received_at, EXISTS (SELECT 1 FROM versions AS v WHERE v.transcript_id = t.id OFFSET 0) FROM transcripts AS t
WHERE t.source = :source AND (t.received_at, t.id) > (:after_ms, :after) AND t.received_at < :before_ms
ORDER BY t.received_at, t.id LIMIT :limit;

-- settled_transcripts: Of these transcripts, those whose time has passed and that no event is about.
SELECT t.id FROM transcripts AS t
WHERE t.id = ANY(:ids::bigint[])
  AND t.received_at < CASE WHEN t.status = 'failed' THEN :failed_ms::bigint ELSE :done_ms::bigint END
  AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.transcript_id = t.id);

-- drop_versions: What these transcripts said; their result keys stay.
DELETE FROM versions WHERE transcript_id = ANY(:ids::bigint[]);

-- expired_calls: Calls before a moment, oldest first.
SELECT id FROM calls WHERE id > :after AND id < :before ORDER BY id LIMIT :limit;

-- settled_calls: Of these calls, those that nothing was heard of since a moment, and nothing is left of.
SELECT c.id FROM calls AS c
WHERE c.id = ANY(:ids::bigint[]) AND c.updated_at < :before_ms
  AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.call_id = c.id)
  AND NOT EXISTS (
    SELECT 1 FROM transcripts AS t JOIN versions AS v ON v.transcript_id = t.id WHERE t.call_id = c.id);

-- drop_calls: These calls.
DELETE FROM calls WHERE id = ANY(:ids::bigint[]);

-- put_retention: Up to here things of a kind may be gone.
INSERT INTO retention (thing, until) VALUES (:thing, :until)
ON CONFLICT (thing) DO UPDATE SET until = greatest(retention.until, excluded.until);

-- gone_until: Up to which id things of a kind may be gone.
SELECT until FROM retention WHERE thing = :thing;

-- result_key: The transcript of an id, whether anything is left of it or not.
SELECT version FROM transcripts WHERE id = :id;

-- event_rows: Events as they are sent, under no delivery.
SELECT 0, 0, e.id, e.source, e.type, e.time, e.subject, e.call_id, coalesce(e.data, v.doc)
FROM events AS e
LEFT JOIN versions AS v ON v.transcript_id = e.transcript_id AND v.version = e.version
WHERE e.id = ANY(:ids::bigint[]) ORDER BY e.id;

-- transcripts_by_id: What routes these transcripts, and how large their newest versions are.
SELECT t.id, t.source, t.provider, t.operation, t.job_id, t.kind, t.call_id, t.status, t.version, t.received_at,
    length(v.doc)
FROM transcripts AS t JOIN versions AS v ON v.transcript_id = t.id AND v.version = t.version
WHERE t.id = ANY(:ids::bigint[]);

-- sink_remembers: What a sink wrote under a key.
SELECT value FROM sink_memory WHERE sink = :sink AND md5(key) = md5(:key) AND key = :key;

-- remember: A text that a sink wants back later.
INSERT INTO sink_memory (sink, key, value, updated_at) VALUES (:sink, :key, :value, :now)
ON CONFLICT (sink, md5(key)) DO UPDATE SET key = excluded.key, value = excluded.value, updated_at = excluded.updated_at;

-- forget: Some of what sinks wrote before a moment.
DELETE FROM sink_memory WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM sink_memory WHERE updated_at < :before ORDER BY updated_at LIMIT :limit FOR UPDATE SKIP LOCKED));

-- receipt_states: What became of these receipts.
SELECT id, state, outcome FROM receipts WHERE id = ANY(:ids::bigint[]);

-- which_calls: Of these calls, those that there are.
SELECT id FROM calls WHERE id = ANY(:ids::bigint[]);

-- calls_of_only: The calls of these transcripts of which nothing else is left.
SELECT DISTINCT t.call_id FROM transcripts AS t JOIN calls AS c ON c.id = t.call_id
WHERE t.id = ANY(:ids::bigint[])
  AND NOT EXISTS (
    SELECT 1 FROM transcripts AS other JOIN versions AS v ON v.transcript_id = other.id
    WHERE other.call_id = t.call_id AND other.id <> ALL(:ids::bigint[]))
  AND NOT EXISTS (
    SELECT 1 FROM events AS e
    WHERE e.call_id = t.call_id AND e.transcript_id IS NULL AND e.type NOT LIKE 'call.%');

-- events_about: The events about these transcripts, and those of these calls.
SELECT id FROM events WHERE transcript_id IS NOT NULL AND transcript_id = ANY(:ids::bigint[])
UNION
SELECT id FROM events WHERE call_id IS NOT NULL AND call_id = ANY(:calls::bigint[]);

-- sources_of: Where these transcripts and events come from.
SELECT source FROM transcripts WHERE id = ANY(:ids::bigint[])
UNION
SELECT source FROM events WHERE id = ANY(:events::bigint[]);

-- receipts_naming: Receipts of a source, oldest first, and whether they became anything of these names.
SELECT r.id, r.outcome IS NOT NULL AND EXISTS (
    SELECT 1 FROM unnest(:names::text[]) AS one (name) WHERE strpos(r.outcome, one.name) > 0)
FROM receipts AS r WHERE r.source = :source AND r.id > :after ORDER BY r.id LIMIT :limit;
