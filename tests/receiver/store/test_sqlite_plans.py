"""On SQLite, whose plans do not depend on how much there is, no query reads a whole table that grows."""

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept import kept_in

from receiver.store import sql
from receiver.store.job_lists import JOBS
from receiver.store.opening import PACKAGE
from receiver.testing.store import Clock

GROW = {
    "receipts",
    "transcripts",
    "versions",
    "events",
    "deliveries",
    "attempts",
    "calls",
    "jobs",
    "segments",
    "followed",
}
WHOLE = {
    "job_counts": ["SCAN jobs USING COVERING INDEX jobs_counted"],
    "late_jobs": ["SCAN jobs USING COVERING INDEX jobs_counted"],
    "sink_backlogs": ["SCAN deliveries USING COVERING INDEX deliveries_state"],
}
"""Of jobs they take the first of an index and leap on from there; of deliveries, an index of those that are not delivered."""
QUERIES = {name: text for name, text in sql.load_all(PACKAGE).items() if "{where}" not in text}
"""Lists are looked at filter by filter."""
_TABLES = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO) (\w+)(?: AS (\w+))?")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store with its schema."""
    path = tmp_path_factory.mktemp("plans") / "store.db"

    async def made() -> None:
        async with kept_in(path, Clock()):
            pass

    asyncio.run(made())
    return path


def steps(path: Path, text: str) -> Iterator[str]:
    """Yield what SQLite would do, step by step."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        if "{rows}" in text:
            columns = re.search(r"\(([a-z_, ]+)\)", text)
            assert columns is not None
            width = columns[1].count(",") + 1
            found = connection.execute(
                "EXPLAIN QUERY PLAN " + text.replace("{rows}", sql.rows(2, width)), [0] * 2 * width
            )
        else:
            found = connection.execute("EXPLAIN QUERY PLAN " + text, dict.fromkeys(sql.names(text), 0))
        yield from (row[3] for row in found)


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_scans_what_grows(store: Path, name: str) -> None:
    """Every statement can be planned, and finds its rows by an index."""
    called = {alias or table: table for table, alias in _TABLES.findall(QUERIES[name])}
    scanned = [
        step
        for step in steps(store, QUERIES[name])
        if step.startswith("SCAN ") and called.get(step.split()[1]) in GROW and "VIRTUAL TABLE" not in step
    ]
    assert scanned == WHOLE.get(name, [])


@pytest.mark.parametrize(
    ("given", "by"),
    [
        ({}, "INTEGER PRIMARY KEY (rowid<?)"),
        ({"source": "a"}, "jobs_source (source=? AND id<?)"),
        ({"state": "overdue"}, "jobs_state (state=? AND id<?)"),
        ({"job_id": "a"}, "jobs_name (job_id=? AND id<?)"),
        ({"recording": "a"}, "jobs_same (recording=? AND id<?)"),
        ({"call": "a"}, "jobs_call (call_key=? AND rowid<?)"),
        ({"since": "2026-11-20"}, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    ],
)
def test_jobs_are_listed_by_an_index(store: Path, given: dict[str, str], by: str) -> None:
    """Unfiltered, and by each filter alone, in the order in which they are shown."""
    text = sql.load_all(PACKAGE)["list_jobs"].replace("{where}", sql.for_sqlite(JOBS.read(given).where))
    (step,) = steps(store, text)
    assert step.startswith("SEARCH jobs USING ")
    assert by in step
