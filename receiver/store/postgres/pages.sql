-- What the page counts: ranges of ids, which are ranges of time, and never more rows than it says.

-- attempts_between: How many attempts arrived with ids from one to another; looks at so many at most.
SELECT count(*) FROM (SELECT outcome FROM attempts WHERE id >= :since AND id < :until LIMIT :most) AS seen
WHERE outcome = 'delivered';

-- events_between: How many events of a type have ids from one to another, so many at most.
SELECT count(*) FROM (SELECT 1 FROM events WHERE type = :type AND id >= :since AND id < :until LIMIT :most) AS seen;

-- overdue_by_source: How many jobs of each source are overdue, and the earliest deadline; looks at so many at most.
SELECT source, count(*), min(deadline)
FROM (SELECT source, deadline FROM jobs WHERE state = 'overdue' ORDER BY id LIMIT :most) AS late GROUP BY source;

-- jobs_in_states: How many jobs are in each of these states, so many at most.
SELECT s.value, (SELECT count(*) FROM (SELECT 1 FROM jobs AS j WHERE j.state = s.value LIMIT :most) AS seen)
FROM unnest(:states::text[]) AS s (value);
