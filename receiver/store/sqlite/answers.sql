-- Questions about transcripts and their answers; `said` is JSON, {"question": …, "answer": …}.

-- put_answer: A question was answered.
INSERT INTO answers (id, transcript_id, version, source, asked_at, said)
VALUES (:id, :transcript_id, :version, :source, :asked_at, :said);

-- answers_of: What was asked about a transcript, oldest first.
SELECT version, source, asked_at, said FROM answers WHERE transcript_id = :transcript_id ORDER BY id LIMIT :limit;

-- drop_answers: What was asked about these transcripts; it goes when they go.
DELETE FROM answers WHERE transcript_id IN (SELECT value FROM json_each(:ids));
