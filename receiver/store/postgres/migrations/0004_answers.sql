-- What was asked about transcripts; and which callbacks were followed to what they announce.
-- Releases that know schema 1 run beside it.

CREATE TABLE answers (
    id bigint PRIMARY KEY,
    transcript_id bigint NOT NULL,
    version integer NOT NULL,
    source text NOT NULL,
    asked_at bigint NOT NULL,
    said bytea NOT NULL
);

CREATE INDEX answers_transcript ON answers (transcript_id, id);

CREATE TABLE followed (
    receipt_id bigint PRIMARY KEY,
    tries integer NOT NULL,
    due_at bigint,
    why text
);
