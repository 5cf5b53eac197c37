-- Jobs are found by every filter of their list, and counted in an index.
-- Releases that know schema 1 run beside it.

CREATE INDEX jobs_source ON jobs (source, id);
CREATE INDEX jobs_name ON jobs (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX jobs_same ON jobs (recording, id) WHERE recording IS NOT NULL;
CREATE INDEX jobs_counted ON jobs (source, operation, state);
CREATE INDEX jobs_late ON jobs (source, operation, (result_at - deadline)) WHERE result_at > deadline;

-- A search takes the newest and stops; several processes at it read on where nobody needs it.
ALTER TABLE segments SET (parallel_workers = 0);
