-- Questions about transcripts and their answers; and what callbacks announce and do not hold, as on SQLite.

-- put_answer: A question was answered.
INSERT INTO answers (id, transcript_id, version, source, asked_at, said)
VALUES (:id, :transcript_id, :version, :source, :asked_at, :said);

-- answers_of: What was asked about a transcript, oldest first.
SELECT version, source, asked_at, said FROM answers WHERE transcript_id = :transcript_id ORDER BY id LIMIT :limit;

-- drop_answers: What was asked about these transcripts; it goes when they go.
DELETE FROM answers WHERE transcript_id = ANY(:ids::bigint[]);

-- to_follow: Callbacks of a source that became results and were not followed, or whose time to try again has come.
SELECT r.id, coalesce(f.tries, 0)
FROM receipts AS r
LEFT JOIN followed AS f ON f.receipt_id = r.id
WHERE r.id = ANY(ARRAY(
    SELECT v.receipt_id FROM versions AS v WHERE v.transcript_id = ANY(ARRAY(
        SELECT t.id FROM transcripts AS t WHERE t.source = :source AND t.received_at >= :since))))
  AND r.verdict <> 'fetched' AND (f.receipt_id IS NULL OR f.due_at <= :now)
ORDER BY r.id LIMIT :limit;

-- put_followed: A callback is followed: `due_at` is when it is tried again, null where that is over; `why` it failed.
INSERT INTO followed (receipt_id, tries, due_at, why) VALUES (:receipt_id, :tries, :due_at, :why)
ON CONFLICT (receipt_id) DO UPDATE SET tries = excluded.tries, due_at = excluded.due_at, why = excluded.why;

-- forget_followed: Callbacks that are too old to be followed again.
DELETE FROM followed WHERE receipt_id < :before;
