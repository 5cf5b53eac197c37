"""How many jobs there are of each kind, and how they went, on both engines."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from both_engines import ENGINES, kept_on

from receiver.store.gauges import read_gauges
from receiver.store.job_lists import JobLists
from receiver.store.jobs import JobDoc, Jobs, JobState, NewJob, counts_by_source, job_counts, late_jobs
from receiver.store.store import Store
from receiver.testing.store import NOON, Clock

SECOND = 1000
JOBS = (
    *[("clinic", "transcription", JobState.COMPLETED, late) for late in (-5, 0, 3, 60)],
    ("clinic", "transcription", JobState.LOST, None),
    ("clinic", "summary", JobState.OVERDUE, None),
    ("clinic", "summary", JobState.COMPLETED, 7),
    *[("studio", "transcription", JobState.SUBMITTED, None)] * 3,
    ("studio", "transcription", JobState.FAILED, None),
)
"""Source, operation, state, and how many seconds after its deadline the result came."""


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Give a store with these jobs, on each engine in turn."""
    clock = Clock(NOON)
    async with kept_on(request.param, tmp_path, clock) as store:
        for source, operation, state, late in JOBS:
            await _made(store, source, operation, state, late)
        yield store


async def _made(store: Store, source: str, operation: str, state: JobState, late: int | None) -> None:
    now = store.now_ms()
    fields = {"id": store.ids.next(), "source": source, "provider": "acme", "operation": operation, "owner": 1}
    submitted = {"submitted_at": now - 100 * SECOND, "deadline": now - (late or 0) * SECOND}
    await Jobs(store).add(NewJob(**fields, **submitted, state=state, doc=JobDoc()))  # type: ignore[arg-type]
    if late is not None:
        result = {"id": fields["id"], "state": state, "job_id": None, "at": now, "by_token": 0, "now": now}
        async with store.engine.transaction() as tx:
            await tx.run_many("job_result", [result])


async def test_jobs_are_counted_by_source_operation_and_state(store: Store) -> None:
    """Only what there is, and no more of each than is asked for."""
    transcription, summary = ("clinic", "transcription"), ("clinic", "summary")
    whole = {
        (*transcription, "completed"): 4,
        (*transcription, "lost"): 1,
        (*summary, "overdue"): 1,
        (*summary, "completed"): 1,
        ("studio", "transcription", "submitted"): 3,
        ("studio", "transcription", "failed"): 1,
    }
    assert await job_counts(store.engine) == whole
    assert await job_counts(store.engine, 2) == {kind: min(count, 2) for kind, count in whole.items()}
    assert (await counts_by_source(store.engine))["clinic", "completed"] == 5


async def test_late_results_are_counted_with_the_latest(store: Store) -> None:
    """One that came in time, or with its deadline, is not late; the latest is known however many are counted."""
    assert await late_jobs(store.engine) == {("clinic", "transcription"): (2, 60.0), ("clinic", "summary"): (1, 7.0)}
    assert (await late_jobs(store.engine, 1))["clinic", "transcription"] == (1, 60.0)


async def test_gauges_put_the_operations_of_a_source_together(store: Store) -> None:
    """Counts are added, and the latest is the latest of all."""
    gauges = await read_gauges(store.engine, [], store.now_ms())
    assert (gauges.jobs["clinic", "completed"], gauges.jobs["studio", "submitted"]) == (5, 3)
    assert gauges.late == {"clinic": (3, 60.0)}


async def test_stats_tell_how_jobs_went(store: Store) -> None:
    """A row a source and operation, with the times that are usual."""
    summary, transcription, studio = await JobLists(store).stats()
    assert (summary["source"], summary["operation"], summary["open"], summary["late"]) == ("clinic", "summary", 1, 1)
    assert transcription == {
        "source": "clinic",
        "operation": "transcription",
        "jobs": 5,
        "completed": 4,
        "failed": 0,
        "open": 0,
        "lost": 1,
        "late": 2,
        "latest": 60.0,
        "median": 100.0,
        "ninth_of_ten": 100.0,
    }
    assert (studio["open"], studio["failed"], studio["latest"], studio["median"]) == (3, 1, 0.0, None)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_store_without_jobs_counts_none(engine: str, tmp_path: Path) -> None:
    """Nothing is leapt to."""
    async with kept_on(engine, tmp_path, Clock(NOON)) as store:
        assert (await job_counts(store.engine), await late_jobs(store.engine)) == ({}, {})
        assert await JobLists(store).stats() == []
