-- What callbacks announce and do not hold: to be fetched once they are normalized.

-- to_follow: Callbacks of a source that became results and were not followed, or whose time to try again has come.
SELECT DISTINCT r.id, coalesce(f.tries, 0)
FROM transcripts AS t
JOIN versions AS v ON v.transcript_id = t.id
JOIN receipts AS r ON r.id = v.receipt_id
LEFT JOIN followed AS f ON f.receipt_id = r.id
WHERE t.source = :source AND t.received_at >= :since AND r.verdict <> 'fetched'
  AND (f.receipt_id IS NULL OR f.due_at <= :now)
ORDER BY r.id LIMIT :limit;

-- put_followed: A callback is followed: `due_at` is when it is tried again, null where that is over; `why` it failed.
INSERT INTO followed (receipt_id, tries, due_at, why) VALUES (:receipt_id, :tries, :due_at, :why)
ON CONFLICT (receipt_id) DO UPDATE SET tries = excluded.tries, due_at = excluded.due_at, why = excluded.why;

-- forget_followed: Callbacks that are too old to be followed again.
DELETE FROM followed WHERE receipt_id < :before;
