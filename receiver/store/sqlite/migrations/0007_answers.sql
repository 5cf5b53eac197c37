-- Questions that were asked about transcripts, and what a provider answered.

CREATE TABLE answers (
    id INTEGER PRIMARY KEY,
    transcript_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    source TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    said BLOB NOT NULL
) STRICT;

CREATE INDEX answers_transcript ON answers (transcript_id, id);
