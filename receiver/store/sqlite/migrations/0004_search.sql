-- Full text: what was said in the newest version of each transcript, a row a segment, and the words of it.
-- `tags` are what a segment is filtered by, as words: a filter is then one more word of the query.

CREATE TABLE segments (
    id INTEGER PRIMARY KEY,
    transcript_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    start REAL,
    ends REAL,
    speaker TEXT,
    label TEXT,
    role TEXT,
    sentiment TEXT,
    tags TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE INDEX segments_transcript ON segments (transcript_id, id);

CREATE VIRTUAL TABLE words USING fts5(
    text, tags, content = 'segments', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');

CREATE TABLE segment_days (
    day INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT;

CREATE TABLE unindexed (
    transcript_id INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE removed_words (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    since INTEGER NOT NULL,
    times INTEGER NOT NULL
) STRICT;

INSERT INTO unindexed (transcript_id, version) SELECT id, version FROM transcripts;
