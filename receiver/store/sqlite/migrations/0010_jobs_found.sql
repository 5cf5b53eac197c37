-- Jobs are found by every filter of their list, and counted in an index.

CREATE INDEX jobs_source ON jobs (source, id);
CREATE INDEX jobs_name ON jobs (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX jobs_same ON jobs (recording, id) WHERE recording IS NOT NULL;
CREATE INDEX jobs_counted ON jobs (source, operation, state);
CREATE INDEX jobs_late ON jobs (source, operation, (result_at - deadline)) WHERE result_at > deadline;
