"""On a database that has grown, no query looks at more rows than it must."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from postgres_server import database, migrated, needs_postgres

from receiver.pipeline.operating.chosen import Chosen, of_deliveries
from receiver.store import lists, sql
from receiver.store.ids import EPOCH_MS, at
from receiver.store.job_lists import JOBS
from receiver.store.listing import is_state
from receiver.store.postgres.engine import FILES, PACKAGE, PostgresEngine
from receiver.store.postgres.finding import newest
from receiver.store.store import Row
from receiver.testing.store import NOON, Clock

ROWS = int(os.environ.get("HOOKSCRIBE_TEST_ROWS", "50000"))
"""Rows of each large table; a million take a minute to fill."""
LAST = (1 << 63) - 1
FEW = 12_000
"""Rows that one query may look at: what is counted, is counted up to 10,000."""
LARGE = {
    "receipts", "transcripts", "versions", "events", "deliveries", "attempts", "calls", "jobs", "segments", "unindexed"
}  # fmt: skip

_FILL = """
INSERT INTO receipts (id, place, source, provider, day, key, key_rest, verdict, state, received_at, size, headers, body)
SELECT n::bigint << 22, n, 'source' || n % 5, 'acme', 20000 + n / 10000, hashint8extended(n, 0), n, 'token',
    CASE WHEN n % 50000 = 7 THEN 'received' WHEN n % 50000 = 9 THEN 'unreadable' ELSE 'normalized' END, {epoch} + n, 2, '', 'ab'
FROM generate_series(1, {rows}) AS n;
INSERT INTO calls SELECT n::bigint << 22, 'source:' || n, {epoch} + n, {epoch} + n, 'x' FROM generate_series(1, {rows}) AS n;
INSERT INTO transcripts
SELECT n::bigint << 22, 'source' || n % 5, 'acme', 'transcription', 'job' || n, 'transcript', n::bigint << 22,
    CASE WHEN n % 1000 = 1 THEN 'failed' ELSE 'completed' END, 1, 'd', NULL, {epoch} + n
FROM generate_series(1, {rows}) AS n;
INSERT INTO versions SELECT n::bigint << 22, 1, n::bigint << 22, {epoch} + n, 'acme/1', 'x' FROM generate_series(1, {rows}) AS n;
INSERT INTO events (id, source, type, time, subject, call_id, transcript_id, version)
SELECT n::bigint << 22, 'source' || n % 5, 'transcript.' || n % 7, 't', 's', n::bigint << 22, n::bigint << 22, 1
FROM generate_series(1, {rows}) AS n;
INSERT INTO deliveries (id, sink, event_id, call_id, state, next_at, updated_at)
SELECT n::bigint << 22, 'sink' || n % 3, n::bigint << 22, n::bigint << 22,
    CASE WHEN n % 1000 < 3 THEN 'pending' WHEN n % 1000 = 5 THEN 'dead' ELSE 'delivered' END, {epoch} + n, {epoch} + n
FROM generate_series(1, {rows}) AS n;
INSERT INTO attempts
SELECT n::bigint << 22, n::bigint << 22, 1, {epoch} + n, 5, 'delivered', NULL FROM generate_series(1, {rows}) AS n;
INSERT INTO jobs (id, source, provider, operation, state, job_id, recording, round, token, call_key, owner, created_at,
    updated_at, submitted_at, result_at, deadline, next_poll, doc)
SELECT n::bigint << 22, 'source' || n % 5, 'acme', 'transcription', CASE WHEN n % 1000 = 3 THEN 'submitted' ELSE 'completed' END,
    'job' || n, 'recording' || n, 0, decode(md5(n::text), 'hex'), ':call' || n, 1, n, n, n, n + 5, n + n % 50,
    CASE WHEN n % 1000 = 3 THEN n END, 'x'
FROM generate_series(1, {rows}) AS n;
INSERT INTO segments (id, transcript_id, number, text, words)
SELECT n, n::bigint << 22, 1, 'text', ('often:1 =0q0a word' || n || ':2' || CASE WHEN n % 1000 = 1 THEN ' seldom:3' ELSE '' END
    || CASE WHEN n % 300 = 1 THEN ' uncommon:4' ELSE '' END || CASE WHEN n % 100 = 1 THEN ' common:5' ELSE '' END)::tsvector
FROM generate_series(1, {rows}) AS n;
"""
_IDS = [number << 22 for number in (7, 9, 5005, 6006)]
_MORE = dict.fromkeys(("last_receipts", "job_counts", "late_jobs"), 5 * FEW)
"""Where that many are counted of each source."""
_SAMPLES: dict[str, Any] = {
    "ids": _IDS, "id": _IDS[0], "limit": 50, "most": 10_000, "window": 10_000, "after": 0, "after_ms": 0, "now": EPOCH_MS + ROWS,
    "state": "received", "states": ["received", "pending", "dead", "completed", "submitted"], "reason": "r", "sources": ["source1"], "source": "source1",
    "day": 20_001, "key": 5, "sink": "sink1", "sinks": ["sink1", "sink2"], "to": "sink2", "from": "sink1", "since": at(EPOCH_MS),
    "until": at(EPOCH_MS + 5000), "type": "transcript.3", "before": at(EPOCH_MS + 5000), "before_ms": EPOCH_MS + 5000,
    "before_failed": at(EPOCH_MS + 5000), "done_ms": EPOCH_MS + 5000, "failed_ms": EPOCH_MS + 5000, "detail": "d", "version": 1,
    "keys": ["source:7"], "workers": [99], "worker": 99, "thing": "evt_", "headers": b"", "name": "n", "failures": 0, "probe_at": 0,
    "names": ["trn_0000000000000"], "calls": _IDS, "events": _IDS, "job_id": "job7", "operation": "transcription", "owner": 1,
    "recording": "recording7", "token": b"t", "next_poll": 5, "was": 3, "was_owner": 1, "deadline": 5, "note": b"", "round": 0,
    "bucket": "jobs", "taken": "[]", "address": "a", "lifetime": 1, "expires_at": 1, "sealed": b"", "times": 1, "call": _IDS[0],
    "provider": "acme", "submitted_at": 1, "call_key": ":c", "doc": b"",
    "inline": 16_384, "asked_at": 1, "said": b"", "transcript_id": _IDS[0], "receipt_id": _IDS[0], "tries": 1, "due_at": 1, "why": None,
    "normalizer": "acme/1", "digest": b"d", "dated": None, "reread": b"x", "seq": 100, "task": "t", "who": "w", "start": 99, "seconds": 5.0,
}  # fmt: skip
_OWN: dict[str, dict[str, Any]] = {
    "keep_receipts": {"id": [1, 2]},
    "known_transcripts": {"keys": [["source1", "transcription", "job6"], ["source2", "transcription", "none"]]},
    "sink_remembers": {"key": "k"},
    "remember": {"key": "k", "value": "v"},
    **{name: {"id": "s1"} for name in ("put_subscription", "told_subscription", "drop_subscription")},
    "job_became": {"was": ["submitted"]},
    "jobs_by_name": {"keys": [["source1", "job6"], ["source2", "none"]]},
    "amend_transcript": {"call_id": _IDS[0], "received_at": None},
    "due_deliveries_in_order": {"window": 100, "mine": 0},
    "last_event": {"since": at(EPOCH_MS + ROWS - 1000)},
    "to_follow": {"since": EPOCH_MS + ROWS - 1000},
}
_ROWS_OF: dict[str, Any] = {
    "id": _IDS[:2], "source": ["source1"] * 2, "provider": ["acme"] * 2, "day": [20_001, 20_001], "key": [1, 2], "key_rest": [1, 2],
    "verdict": ["token"] * 2, "state": ["received"] * 2, "received_at": [1, 2], "size": [1, 1], "checks": [None, None],
    "headers": [b"", b""], "body": [b"", b""], "outcome": [None, None], "reason": [None, None], "was_state": ["received"] * 2,
    "was_outcome": [None, None], "now": [1, 1], "doc": [b"", b""], "before": [b"", b""], "next_at": [1, 1], "detail": [None, None],
    "give_back": [0, 0], "worker": [99, 99], "job_id": ["job1", "job2"], "next_poll": [1, 1], "at": [1, 1], "by_token": [1, 0],
}  # fmt: skip


@pytest.fixture(scope="module")
def grown() -> Iterator[str]:
    """Give a database with many rows."""
    with database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            _migrate(url)
            for statement in _FILL.format(rows=ROWS, epoch=EPOCH_MS).strip().split(";\n"):
                connection.execute(statement.encode())
            connection.execute("VACUUM ANALYZE")
        yield url


def _migrate(url: str) -> None:
    import asyncio  # noqa: PLC0415 -- a fixture of a module has no loop

    async def made() -> None:
        async with migrated(url, Clock(NOON)):
            pass

    asyncio.run(made())


def looked_at(url: str, text: str, params: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Run a query, undo it; return how many rows of large tables its busiest step looked at, and which it scanned whole."""
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        whole = re.sub(r"%\((\w+)\)b", r"%(\1)s", sql.for_psycopg(text))
        row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {whole}".encode(), params).fetchone()
        connection.rollback()
    assert row
    most, scanned = 0, []
    steps = [row[0][0]["Plan"]]
    while steps:
        step = steps.pop()
        steps += step.get("Plans", [])
        if step.get("Relation Name") not in LARGE:
            continue
        removed = step.get("Rows Removed by Filter", 0) + step.get("Rows Removed by Index Recheck", 0)
        most = max(most, int((step["Actual Rows"] + removed) * step["Actual Loops"]))
        if step["Node Type"] == "Seq Scan":
            scanned.append(step["Relation Name"])
    return most, scanned


QUERIES = {
    name: text
    for file in FILES
    for name, text in sql.load(PACKAGE, file).items()
    if "{where}" not in text and not name.startswith(("add_", "put_segment"))
}


@needs_postgres
@pytest.mark.parametrize("name", QUERIES)
def test_no_query_reads_a_whole_table(grown: str, name: str) -> None:
    """Every statement finds its rows by an index."""
    text = QUERIES[name]
    many = "unnest(:id::bigint[]" in text.replace("\n        ", "")
    params = {**_SAMPLES, **(_ROWS_OF if many else {}), **_OWN.get(name, {})}
    if name == "readmit_receipts":
        params["reason"] = "its source is not there"
    most, scanned = looked_at(grown, text, params)
    assert scanned == []
    assert most <= _MORE.get(name, FEW)


LISTS = {
    one.name: one for one in (lists.RECEIPTS, lists.TRANSCRIPTS, lists.CALLS, lists.EVENTS, lists.DELIVERIES, JOBS)
}
GIVEN = {
    "receipts": ["", "source=source1", "state=received", "state=unreadable", "since=2024-01-01", "until=2024-06-05"],
    "transcripts": ["", "source=source1", "provider=acme", "job_id=job7", "call=call_0000000000000", "status=failed"],
    "calls": ["", "since=2024-01-01"],
    "events": ["", "type=transcript.3", "source=source1", "call=call_0000000000000", "since=2024-01-01"],
    "deliveries": ["", "sink=sink1", "state=pending", "state=dead", "event=evt_0000000000000"],
    "jobs": [
        *("", "source=source1", "source=none", "state=submitted", "state=lost", "job_id=job7", "job_id=none"),
        *("recording=recording7", "recording=none", "call=call7", "since=2024-01-01"),
    ],
}


@needs_postgres
@pytest.mark.parametrize(("name", "given"), [(name, given) for name, kinds in GIVEN.items() for given in kinds])
def test_no_list_reads_a_whole_table(grown: str, name: str, given: str) -> None:
    """Unfiltered, and by each filter alone, a page is found by an index, in its order."""
    asked = LISTS[name].read(dict([given.split("=")]) if given else {})
    text = sql.load_all(PACKAGE)[f"list_{name}"].replace("{where}", " AND ".join(asked.where))
    most, scanned = looked_at(grown, text, asked.params)
    assert (scanned, most <= 1000) == ([], True)


class _NoTypes(PostgresEngine):
    async def rows(self, *_: object, **__: object) -> list[tuple[Any, ...]]:
        raise AssertionError("only a filter by type asks which types there are")


@needs_postgres
@pytest.mark.parametrize("query", ["deliveries_matching", "count_deliveries_matching"])
@pytest.mark.parametrize(
    "given",
    [
        *({}, {"state": "pending"}, {"sink": "sink1"}, {"source": "source1"}, {"since": "2024-01-01"}),
        {"state": "delivered", "event": "evt_0000000000000"},
    ],
)
async def test_who_replays_or_discards_reads_what_is_meant(grown: str, query: str, given: dict[str, str]) -> None:
    """What is in the state, or belongs to the event, however much was delivered."""
    where = await of_deliveries(_NoTypes(grown), Chosen(**given), LAST)
    text = sql.load(PACKAGE, "queries.sql")[query].replace("{where}", " AND ".join(where.conditions))
    most, scanned = looked_at(grown, text, {**where.params, "limit": 500})
    assert (scanned, most <= FEW) == ([], True)


@needs_postgres
@pytest.mark.parametrize("state", ["unreadable", "normalized"])
@pytest.mark.parametrize("more", ["TRUE", "source = 'source1'", f"id < {2000 << 22}"])
def test_who_reprocesses_reads_what_is_meant(grown: str, state: str, more: str) -> None:
    """A step reads on where the one before ended."""
    conditions = ["id > :after", "id < :end", is_state("state", state, "normalized"), more]
    text = sql.load(PACKAGE, "queries.sql")["receipts_to_reprocess"].replace("{where}", " AND ".join(conditions))
    most, scanned = looked_at(grown, text, {"after": 1000 << 22, "end": LAST, "limit": 500})
    assert (scanned, most <= FEW) == ([], True)


@needs_postgres
@pytest.mark.parametrize("name", ["search", "search_transcripts"])
@pytest.mark.parametrize(
    ("match", "fitting", "more"),
    [
        ("'often'", 51, 0),
        ("'word7'", 1, 5),
        ("'seldom'", min(51, ROWS // 1000), ROWS // 100),
        ("'often' & 'word7'", 1, 5),
        ("'nowhere'", 0, 5),
        ("'=0q0a'", 51, 0),
    ],
)
async def test_a_search_reads_what_it_finds(grown: str, name: str, match: str, fitting: int, more: int) -> None:
    """The newest 512 segments; a rare word then by the index of words, as far back as it must be."""
    text = sql.load(PACKAGE, "search.sql")[name].replace("{where}", "TRUE")
    looked = []

    async def look(low: int, before: int, limit: int) -> list[Row]:
        params = {"match": match, "before": before, "low": low, "limit": limit}
        most, scanned = looked_at(grown, text, params)
        assert scanned == []
        looked.append(most)
        with psycopg.connect(grown) as connection:
            return connection.execute(sql.for_psycopg(text).encode(), params).fetchall()

    assert len(await newest(look, 1, ROWS + 1, 51)) == fitting
    assert looked[0] <= 512
    assert sum(looked[1:]) <= more
