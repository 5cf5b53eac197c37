-- The full-text index on PostgreSQL. A segment's words stand in its own row; so nothing is to be done for them beside it.

-- add_unindexed: Versions whose words are not in the index yet; a trigger has mostly written the same before.
INSERT INTO unindexed AS u (transcript_id, version) SELECT * FROM unnest(:transcript_id::bigint[], :version::integer[])
ON CONFLICT (transcript_id) DO UPDATE SET version = excluded.version WHERE u.version <> excluded.version;

-- list_unindexed: The next transcripts to index, oldest first, and how large they are.
SELECT u.transcript_id, u.version, coalesce(length(v.doc), 0)
FROM (SELECT * FROM unindexed ORDER BY transcript_id LIMIT :limit) AS u
LEFT JOIN versions AS v ON v.transcript_id = u.transcript_id AND v.version = u.version
ORDER BY u.transcript_id;

-- to_index: What is indexed of transcripts, each in its newest version.
SELECT t.id, t.version, t.source, t.provider, t.operation, t.status, t.received_at, v.doc, v.receipt_id
FROM transcripts AS t
JOIN versions AS v ON v.transcript_id = t.id AND v.version = t.version
WHERE t.id = ANY(:ids::bigint[]) ORDER BY t.id;

-- still_unindexed: Of these transcripts, those that wait to be indexed; nobody changes that before this transaction ends.
SELECT transcript_id, version FROM unindexed
WHERE transcript_id = ANY(:ids::bigint[]) ORDER BY transcript_id FOR UPDATE;

-- said_by: Whose words the newest versions of these transcripts hold.
SELECT t.id, v.receipt_id FROM transcripts AS t JOIN versions AS v ON v.transcript_id = t.id AND v.version = t.version
WHERE t.id = ANY(:ids::bigint[]);

-- last_segment: The newest segment.
SELECT coalesce(max(id), 0) FROM segments;

-- add_segments: Segments of transcripts, with their words.
INSERT INTO segments (id, transcript_id, number, start, ends, speaker, label, role, sentiment, words, text)
SELECT id, transcript_id, number, start, ends, speaker, label, role, sentiment, words::tsvector, text FROM unnest(
    :id::bigint[], :transcript_id::bigint[], :number::integer[], :start::float8[], :ends::float8[], :speaker::text[],
    :label::text[], :role::text[], :sentiment::text[], :words::text[], :text::text[])
    AS n (id, transcript_id, number, start, ends, speaker, label, role, sentiment, words, text);

-- add_words: Nothing: the words of the segments behind one came with them.
SELECT 1 WHERE :after::bigint IS NULL;

-- put_segment_day: Between which segments those of a day are.
INSERT INTO segment_days AS d (day, first, last)
SELECT * FROM unnest(:day::bigint[], :first::bigint[], :last::bigint[])
ON CONFLICT (day) DO UPDATE SET first = least(d.first, excluded.first), last = greatest(d.last, excluded.last);

-- drop_words: Nothing: the words of transcripts go with their segments.
SELECT 1 WHERE :ids::bigint[] IS NULL;

-- drop_segments: The segments of transcripts.
DELETE FROM segments WHERE transcript_id = ANY(:ids::bigint[]);

-- drop_unindexed: These transcripts need not be indexed any more.
DELETE FROM unindexed WHERE transcript_id = ANY(:ids::bigint[]);

-- words_removed: Words were taken out of the index; they stand in its pages until these are vacuumed.
INSERT INTO removed_words AS r (one, since, times) VALUES (1, :now, 1)
ON CONFLICT (one) DO UPDATE SET since = least(r.since, excluded.since), times = r.times + 1;

-- removed_words: Since when removed words wait to be vacuumed, and how often some were removed.
SELECT since, times FROM removed_words;

-- words_purged: No removed word is left, unless some were removed again meanwhile.
DELETE FROM removed_words WHERE times = :times;

-- segment_bounds: Between which segments those of some days are.
SELECT min(first), max(last) FROM segment_days WHERE day BETWEEN :since AND :until;

-- call_segments: Between which segments those about a call are.
SELECT min(s.id), max(s.id) FROM transcripts AS t JOIN segments AS s ON s.transcript_id = t.id WHERE t.call_id = :call;

-- job_segments: Between which segments those of a provider's job are.
SELECT min(s.id), max(s.id) FROM transcripts AS t JOIN segments AS s ON s.transcript_id = t.id WHERE t.job_id = :job_id;

-- search: Segments with words in them, newest first, each with its transcript looked up as it comes.
SELECT s.id, s.text
FROM (
    SELECT id + 0 AS id, transcript_id, text FROM segments
    WHERE words @@ :match::tsquery AND id < :before AND id >= :low
    ORDER BY 1 DESC OFFSET 0) AS s
CROSS JOIN LATERAL (SELECT * FROM transcripts WHERE id = s.transcript_id OFFSET 0) AS t
WHERE {where}
ORDER BY s.id DESC LIMIT :limit;

-- segments_by_id: Where these segments are, and who said them.
SELECT s.id, s.transcript_id, s.number, s.start, s.ends, s.speaker, s.label, s.role, s.sentiment,
    t.source, t.provider, t.operation, t.job_id, t.call_id, t.status, t.received_at
FROM segments AS s JOIN transcripts AS t ON t.id = s.transcript_id
WHERE s.id = ANY(:ids::bigint[]);

-- search_transcripts: In which transcripts segments with words in them are, the newest segment first.
SELECT s.transcript_id, s.id
FROM (
    SELECT id + 0 AS id, transcript_id FROM segments
    WHERE words @@ :match::tsquery AND id < :before AND id >= :low
    ORDER BY 1 DESC OFFSET 0) AS s
CROSS JOIN LATERAL (SELECT * FROM transcripts WHERE id = s.transcript_id OFFSET 0) AS t
WHERE {where}
ORDER BY s.id DESC LIMIT :limit;

-- first_segment: The first segment of a transcript.
SELECT min(id) FROM segments WHERE transcript_id = :id;
