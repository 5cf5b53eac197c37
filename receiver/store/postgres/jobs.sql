-- Jobs: made before the provider can answer, found by token, by the provider's name for them, by recording.

-- add_job: A job that is about to be submitted, or that is adopted.
INSERT INTO jobs
    (id, source, provider, operation, state, job_id, recording, round, token, call_key, owner,
     created_at, updated_at, submitted_at, deadline, next_poll, doc)
VALUES
    (:id, :source, :provider, :operation, :state, :job_id, :recording, :round, :token, :call_key, :owner,
     :now, :now, :submitted_at, :deadline, :next_poll, :doc);

-- job_of_recording: The newest job of a recording.
SELECT id, source, provider, operation, state, job_id, recording, round, call_key, owner, sending, created_at,
    updated_at, submitted_at, result_at, deadline, next_poll, polls, detail, note, doc
FROM jobs WHERE source = :source AND operation = :operation AND recording = :recording ORDER BY round DESC LIMIT 1;

-- job_of_token: Which job a callback's token belongs to, how that stands or that it is gone, and whether a result came by it.
SELECT id, state, token_used FROM jobs WHERE source = :source AND token = :token
UNION ALL
SELECT job_id, 'gone', 1 FROM retired_tokens WHERE source = :source AND token = :token;

-- jobs_by_id: Jobs by their ids.
SELECT id, source, provider, operation, state, job_id, recording, round, call_key, owner, sending, created_at,
    updated_at, submitted_at, result_at, deadline, next_poll, polls, detail, note, doc
FROM jobs WHERE id = ANY(:ids::bigint[]) ORDER BY id;

-- jobs_by_name: Jobs by source and the provider's name for them.
SELECT j.id, j.source, j.provider, j.operation, j.state, j.job_id, j.recording, j.round, j.call_key, j.owner, j.sending,
    j.created_at, j.updated_at, j.submitted_at, j.result_at, j.deadline, j.next_poll, j.polls, j.detail, j.note, j.doc
FROM (SELECT :keys::text[] AS keys) AS k
CROSS JOIN LATERAL generate_subscripts(k.keys, 1) AS n
JOIN jobs AS j ON j.source = k.keys[n][1] AND j.job_id = k.keys[n][2] ORDER BY j.id;

-- list_jobs: Jobs, newest first.
SELECT id, source, provider, operation, state, job_id, recording, round, call_key, owner, sending, created_at,
    updated_at, submitted_at, result_at, deadline, next_poll, polls, detail, note, doc
FROM jobs WHERE {where} ORDER BY id DESC LIMIT :limit;

-- open_jobs_of_calls: Jobs that calls still wait for.
SELECT call_key, id FROM jobs
WHERE call_key = ANY(:keys::text[]) AND state IN ('submitting', 'submitted', 'uncertain', 'overdue');

-- job_sending: From now on nobody knows whether the provider has it, until something later is written.
UPDATE jobs SET sending = 1, updated_at = :now WHERE id = :id AND owner = :owner AND state = 'submitting';

-- job_noted: What is needed to go on after a crash.
UPDATE jobs SET sending = 0, note = :note, job_id = coalesce(:job_id, job_id), updated_at = :now WHERE id = :id;

-- job_unsent: The provider has not got it for sure.
UPDATE jobs SET sending = 0, detail = :detail, updated_at = :now WHERE id = :id AND state = 'submitting';

-- job_taken: Another process goes on with a job that a dead one left.
UPDATE jobs SET owner = :owner, detail = NULL, updated_at = :now
WHERE id = :id AND owner = :was_owner AND state = 'submitting' AND sending = 0;

-- job_submitted: The provider took it; where its result was faster, that stands.
UPDATE jobs SET job_id = :job_id, sending = 0, note = NULL, submitted_at = coalesce(submitted_at, :now),
    deadline = :deadline, updated_at = :now,
    next_poll = CASE WHEN state IN ('submitting', 'uncertain') THEN :next_poll ELSE next_poll END,
    detail = CASE WHEN state IN ('submitting', 'uncertain') THEN :detail ELSE detail END,
    state = CASE WHEN state IN ('submitting', 'uncertain') THEN 'submitted' ELSE state END
WHERE id = :id;

-- job_became: A job is in another state, where it was in one of these before.
UPDATE jobs SET state = :state, detail = :detail, sending = 0, next_poll = :next_poll, updated_at = :now
WHERE id = :id AND state = ANY(:was::text[]);

-- job_result: A result came; `failed` is no news where it was completed before.
UPDATE jobs AS j SET
    state = CASE WHEN j.state = 'completed' THEN j.state ELSE n.state END,
    job_id = coalesce(j.job_id, n.job_id), submitted_at = coalesce(j.submitted_at, j.created_at),
    result_at = coalesce(j.result_at, n.at), token_used = CASE WHEN n.by_token = 1 THEN 1 ELSE j.token_used END,
    sending = 0, note = NULL, next_poll = NULL, detail = NULL, updated_at = n.now
FROM unnest(:id::bigint[], :state::text[], :job_id::text[], :at::bigint[], :by_token::integer[], :now::bigint[])
    AS n (id, state, job_id, at, by_token, now)
WHERE j.id = n.id;

-- job_touched: The provider is at it, so it has it.
UPDATE jobs AS j SET job_id = coalesce(j.job_id, n.job_id), submitted_at = coalesce(j.submitted_at, n.now), sending = 0,
    updated_at = n.now, next_poll = coalesce(j.next_poll, n.next_poll),
    state = CASE WHEN j.state IN ('submitting', 'uncertain') THEN 'submitted' ELSE j.state END
FROM unnest(:id::bigint[], :job_id::text[], :next_poll::bigint[], :now::bigint[]) AS n (id, job_id, next_poll, now)
WHERE j.id = n.id AND j.state IN ('submitting', 'submitted', 'uncertain', 'overdue', 'lost');

-- due_jobs: Jobs of these sources whose time to be asked about has come, oldest first.
SELECT id, source, provider, operation, state, job_id, recording, round, call_key, owner, sending, created_at,
    updated_at, submitted_at, result_at, deadline, next_poll, polls, detail, note, doc
FROM jobs WHERE next_poll IS NOT NULL AND next_poll <= :now AND source = ANY(:sources::text[])
ORDER BY next_poll, id LIMIT :limit;

-- job_polled: It is being asked about; the next time is written before.
UPDATE jobs SET polls = polls + 1, next_poll = :next_poll WHERE id = :id AND next_poll = :was;

-- usual_times: How long the newest jobs of a source took from submit to result, milliseconds.
SELECT result_at - submitted_at FROM jobs
WHERE source = :source AND operation = :operation AND result_at IS NOT NULL AND submitted_at IS NOT NULL
ORDER BY id DESC LIMIT 100;

-- job_counts: How many jobs of each source and operation are in each of these states, so many at most; leaps through the index.
WITH RECURSIVE found (source, operation) AS (
    SELECT source, operation FROM (SELECT source, operation FROM jobs ORDER BY source, operation LIMIT 1) AS first
    UNION ALL
    SELECT j.source, j.operation FROM found JOIN jobs AS j ON j.id = (
        SELECT next.id FROM jobs AS next WHERE (next.source, next.operation) > (found.source, found.operation)
        ORDER BY next.source, next.operation LIMIT 1))
SELECT f.source, f.operation, s.value, (
    SELECT count(*) FROM (
        SELECT 1 FROM jobs AS j WHERE j.source = f.source AND j.operation = f.operation AND j.state = s.value
        LIMIT :most) AS seen)
FROM found AS f CROSS JOIN unnest(:states::text[]) AS s (value);

-- transcript_of_job: Whether a result of a job was here before the job was known.
SELECT status, operation FROM transcripts WHERE source = :source AND job_id = :job_id ORDER BY id DESC LIMIT 1;

-- job_named: It turned out what the provider calls a job in doubt.
UPDATE jobs SET job_id = :job_id, state = :state, sending = 0, detail = NULL, next_poll = :next_poll, updated_at = :now,
    submitted_at = coalesce(submitted_at, created_at)
WHERE id = :id AND state IN ('submitting', 'uncertain', 'overdue', 'lost');

-- late_jobs: Of each source and operation, how many results came after the deadline, so many at most, and how much the latest.
WITH RECURSIVE found (source, operation) AS (
    SELECT source, operation FROM (SELECT source, operation FROM jobs ORDER BY source, operation LIMIT 1) AS first
    UNION ALL
    SELECT j.source, j.operation FROM found JOIN jobs AS j ON j.id = (
        SELECT next.id FROM jobs AS next WHERE (next.source, next.operation) > (found.source, found.operation)
        ORDER BY next.source, next.operation LIMIT 1))
SELECT f.source, f.operation,
    (SELECT count(*) FROM (
        SELECT 1 FROM jobs AS j WHERE j.source = f.source AND j.operation = f.operation AND j.result_at > j.deadline
        LIMIT :most) AS seen),
    (SELECT max(j.result_at - j.deadline) FROM jobs AS j
        WHERE j.source = f.source AND j.operation = f.operation AND j.result_at > j.deadline)
FROM found AS f;

-- job_left: Nobody sends this job at the moment; whoever resumes may take it.
UPDATE jobs SET owner = 0, updated_at = :now WHERE id = :id AND owner = :owner AND state = 'submitting' AND sending = 0;

-- expired_jobs: Jobs of a source in a state, made before a moment, oldest first.
SELECT id FROM jobs WHERE state = :state AND source = :source AND id > :after AND id < :before ORDER BY id LIMIT :limit;

-- settled_jobs: Of these jobs, those that ended before a moment and of whose results nothing is left.
SELECT j.id FROM jobs AS j
WHERE j.id = ANY(:ids::bigint[]) AND j.state IN ('completed', 'failed', 'lost')
  AND j.updated_at < CASE WHEN j.state = 'completed' THEN :done_ms::bigint ELSE :failed_ms::bigint END
  AND NOT EXISTS (
    SELECT 1 FROM transcripts AS t JOIN versions AS v ON v.transcript_id = t.id
    WHERE t.source = j.source AND t.job_id = j.job_id);

-- jobs_about: The jobs that these transcripts are all results of, and those of these calls that ended without one.
SELECT j.id FROM transcripts AS t JOIN jobs AS j ON j.source = t.source AND j.job_id = t.job_id
WHERE t.id = ANY(:ids::bigint[]) AND j.state <> 'submitting'
  AND NOT EXISTS (
    SELECT 1 FROM transcripts AS other JOIN versions AS v ON v.transcript_id = other.id
    WHERE other.source = j.source AND other.job_id = j.job_id AND other.id <> ALL(:ids::bigint[]))
UNION
SELECT j.id FROM calls AS c JOIN jobs AS j ON j.call_key = c.key
WHERE c.id = ANY(:calls::bigint[]) AND j.state IN ('failed', 'lost');

-- retire_tokens: The tokens of these jobs stay, as the digests that they are.
INSERT INTO retired_tokens (job_id, source, token)
SELECT id, source, token FROM jobs WHERE id = ANY(:ids::bigint[]) AND token IS NOT NULL;

-- drop_jobs: These jobs.
DELETE FROM jobs WHERE id = ANY(:ids::bigint[]);
