"""Looking at jobs: lists page by page, one job, and how jobs of each source went; for API and command line."""

from collections.abc import Mapping
from typing import Any

from receiver.store import shapes
from receiver.store.gone import missing
from receiver.store.ids import CALL, JOB, decode, is_one
from receiver.store.jobs import OPEN, Jobs, JobState, job_counts, job_row, late_jobs
from receiver.store.listing import Condition, Filter, Listing, equal, since, until, word
from receiver.store.lists import COUNTED, Page
from receiver.store.store import Store

_MANY = 1_000_000
"""Jobs of one kind that are counted for somebody who wants to know how they went."""


def _call(text: str) -> Condition:
    if is_one(text):
        return "call_key = (SELECT key FROM calls WHERE id = :call)", {"call": decode(CALL, text)}
    return "call_key = :call", {"call": f":{text}"}


JOBS = Listing(
    name="jobs",
    order=("id",),
    filters={
        "source": equal("source", "source"),
        "state": word("state", JobState),
        "job_id": equal("job_id", "job_id"),
        "recording": equal("recording", "recording"),
        "call": Filter(_call, {"type": "string", "description": "call_…, or the ID that was given with it"}),
        "since": since("id"),
        "until": until("id"),
    },
)


class JobLists:
    """Reads jobs for people and programs."""

    def __init__(self, store: Store) -> None:
        self._jobs = Jobs(store)
        self._engine = store.engine

    async def jobs(self, given: Mapping[str, str]) -> Page:
        """Return jobs by when they were made."""
        asked = JOBS.read(given)
        rows = await self._engine.rows("list_jobs", asked.params, asked.where)
        shown = rows[: asked.limit]
        more = JOBS.cursor([shown[-1][0]]) if len(rows) > len(shown) else None
        return Page([shapes.job(job_row(row)) for row in shown], more)

    async def job(self, public_id: str) -> dict[str, Any]:
        """Return one job. Raises NotFound or Gone."""
        number = decode(JOB, public_id)
        found = await self._jobs.by_id([number])
        if not found:
            raise await missing(self._engine, JOB, number, public_id)
        return shapes.job(found[0])

    async def waiting(self) -> dict[str, int]:
        """Return how many jobs wait for something, by state; counted up to `COUNTED`."""
        states = [*OPEN, JobState.LOST]
        return dict(await self._engine.rows("jobs_in_states", {"states": states, "most": COUNTED}))

    async def overdue(self) -> dict[str, tuple[int, int]]:
        """Return of each source how many jobs are overdue, and the earliest deadline in Unix milliseconds."""
        rows = await self._engine.rows("overdue_by_source", {"most": COUNTED})
        return {source: (count, deadline) for source, count, deadline in rows}

    async def stats(self) -> list[dict[str, Any]]:
        """Return how jobs went, by source and operation: counts, usual seconds to a result, lateness in seconds."""
        counts, late = await job_counts(self._engine, _MANY), await late_jobs(self._engine, _MANY)
        return [
            await self._went(*of, {state: counts.get((*of, state), 0) for state in JobState}, *late.get(of, (0, 0.0)))
            for of in sorted({(source, operation) for source, operation, _ in counts})
        ]

    async def _went(
        self, source: str, operation: str, counts: Mapping[str, int], late: int, latest: float
    ) -> dict[str, Any]:
        times = await self._jobs.usual_times(source, operation)
        return {
            "source": source,
            "operation": operation,
            "jobs": sum(counts.values()),
            "completed": counts[JobState.COMPLETED],
            "failed": counts[JobState.FAILED],
            "open": sum(counts[state] for state in OPEN),
            "lost": counts[JobState.LOST],
            "late": late,
            "latest": latest,
            "median": times[len(times) // 2] if times else None,
            "ninth_of_ten": times[len(times) * 9 // 10] if times else None,
        }
