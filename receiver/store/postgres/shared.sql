-- What only several processes on one database need: leases by the database's clock, and who leads what.

-- unfinished_copies: Copies into this database that have not ended.
SELECT origin FROM copied WHERE NOT done;

-- renew_lease: This process is alive; a lease that has run out is not renewed.
UPDATE workers SET until = clock_timestamp() + make_interval(secs => :seconds)
WHERE start = :start AND until > clock_timestamp();

-- alone_at_midnight: Nobody else keeps receipts around midnight before this transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('hookscribe midnight ' || current_schema(), 0));

-- lives: Whether the lease of a start still runs.
SELECT 1 FROM workers WHERE start = :start AND until > clock_timestamp();

-- living_workers: The processes at work that normalize and deliver.
SELECT start FROM workers WHERE until > clock_timestamp() AND (name LIKE 'worker %' OR name LIKE 'all %');

-- end_lease: This process stops: what it holds is free, without waiting for its lease to run out.
UPDATE workers SET until = '-infinity' WHERE start = :start;

-- tell: Wake those who listen; its own commit need not be on disk, and so holds nobody up.
SELECT set_config('synchronous_commit', 'off', true), pg_notify('hookscribe', :who);

-- dead_workers: The processes whose lease has run out, but for those that somebody else is burying.
SELECT start FROM workers WHERE until <= clock_timestamp() ORDER BY start FOR UPDATE SKIP LOCKED;

-- drop_workers: These are dead; what they had is free from now on.
DELETE FROM workers WHERE start = ANY(:workers::bigint[]);

-- drop_leads: What dead processes led is free.
DELETE FROM leads WHERE worker = ANY(:workers::bigint[]);

-- take_lead: One process at a time does a task; who leads it does until it is dead.
INSERT INTO leads AS l (task, worker)
SELECT :task, start FROM workers WHERE start = :worker FOR KEY SHARE
ON CONFLICT (task) DO UPDATE SET worker = excluded.worker WHERE l.worker = excluded.worker;

-- waiting_sources: Sources with receipts to normalize that no other process has in hand, the longest waiting first.
WITH RECURSIVE found (source) AS (
    SELECT min(source) FROM receipts WHERE state = 'received'
    UNION ALL
    SELECT (SELECT min(r.source) FROM receipts AS r WHERE r.state = 'received' AND r.source > found.source)
    FROM found WHERE found.source IS NOT NULL)
SELECT found.source FROM found
CROSS JOIN LATERAL (
    SELECT place, id FROM receipts AS r WHERE r.state = 'received' AND r.source = found.source
    ORDER BY place, id LIMIT 1) AS oldest
WHERE NOT EXISTS (SELECT 1 FROM claims AS c WHERE c.source = found.source AND c.worker <> :worker)
ORDER BY oldest.place, oldest.id;

-- take_source: A source's receipts are normalized by one process at a time, so that they keep their order.
INSERT INTO claims AS c (source, id, worker, receipts)
SELECT :source, :id, start, '{}' FROM workers WHERE start = :worker FOR KEY SHARE
ON CONFLICT (source) DO UPDATE SET id = excluded.id, receipts = '{}' WHERE c.worker = excluded.worker;

-- waiting_of_source: The receipts of a source that are to be normalized, in the order of their commits, with sizes and tries.
SELECT id, size, tries FROM receipts
WHERE state = 'received' AND source = :source ORDER BY place, id LIMIT :limit;

-- segment_ends: The oldest and the newest segment.
SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM segments;
