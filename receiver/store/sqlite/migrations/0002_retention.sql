-- What retention took: up to which id things of a kind may be gone; and the way from a transcript to its events.

CREATE TABLE retention (
    thing TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT;

CREATE INDEX events_transcript ON events (transcript_id) WHERE transcript_id IS NOT NULL;
