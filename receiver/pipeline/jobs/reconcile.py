"""Reconcile: a lost callback is a delay and no loss: overdue jobs are asked about, and the answer goes the way of callbacks."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from receiver.asking.callers import Callers
from receiver.contract.api import Api
from receiver.contract.asking import Fetched, Missing, Pending, Polled
from receiver.contract.errors import HookscribeError, UsageError
from receiver.pipeline.jobs.fates import Fates
from receiver.pipeline.jobs.patience import next_wait, planned
from receiver.pipeline.keeping import fetched_receipt
from receiver.store.ids import JOB, encode
from receiver.store.jobs import JobRow, Jobs, JobState
from receiver.store.records import Kept, NewReceipt
from receiver.store.store import Store

log = structlog.get_logger()

_AT_ONCE = 8
_LOOK = 64
_LONGEST = 120.0
"""Seconds that one question may take, waits for the provider's limits included."""
_INTERRUPTED = "the process that submitted it ended before it was sent; `hookscribe submit --resume` goes on"
_DOUBTFUL = (
    "the process that submitted it ended before the provider's answer came: its result, the provider's list, or "
    "`hookscribe jobs settle` decides"
)


class Reconcile:
    """Asks about jobs whose time has come."""

    def __init__(
        self,
        store: Store,
        callers: Callers,
        fates: Fates,
        *,
        alive: Callable[[int], Awaitable[bool]],
        called_back: Callable[[], bool],
        keep: Callable[[list[NewReceipt]], Awaitable[list[Kept]]] | None = None,
    ) -> None:
        """`alive` says whether a start of a process still submits; `called_back` whether callbacks can reach us."""
        self._store = store
        self._jobs = Jobs(store)
        self._callers = callers
        self._fates = fates
        self._alive = alive
        self._called_back = called_back
        self._keep = keep or store.keep

    async def step(self) -> int:
        """Ask about the jobs that are due; return how many changed."""
        changed = await self.settle_dead()
        due = await self._jobs.due(self._callers.sources, _LOOK)
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(job: JobRow) -> bool:
            async with places:
                return await self._look(job)

        return changed + sum(await asyncio.gather(*map(one, due)))

    async def settle_dead(self) -> int:
        """Say of each job whose submitter died in the middle whether it is in doubt; return how many changed."""
        changed = 0
        jobs = await self._jobs.listed(["state = :state"], {"state": JobState.SUBMITTING}, 1000)
        alive = {owner: await self._alive(owner) for owner in {job.owner for job in jobs} - {self._store.start}}
        for job in jobs:
            if alive.get(job.owner, True):
                continue
            if job.sending:
                lost = self._store.now_ms() + int(self._lost_after(job) * 1000)
                changed += await self._fates.becomes(job, JobState.UNCERTAIN, _DOUBTFUL, lost)
            elif job.detail is None:
                await self._jobs.unsent(job.id, _INTERRUPTED)
        return changed

    async def ask(self, job: JobRow) -> bool:
        """Ask about a job now; say whether its result is here. Raises what asking raises."""
        caller = self._callers.of(job.source)
        if job.job_id is None:
            raise UsageError(f"{encode(JOB, job.id)}: the provider's name for it is not known")
        found = await caller.run(caller.api.poll(job.job_id, job.operation))
        return isinstance(found, Fetched) and await self._take(job, found)

    def _lost_after(self, job: JobRow) -> float:
        provider = self._callers.sources.get(job.source)
        return provider.settings.lost_after if provider else 0.0

    async def _look(self, job: JobRow) -> bool:
        first = await self._first(job)
        if not await self._jobs.polled(job, self._store.now_ms() + int(next_wait(job, first) * 1000)):
            return False
        found: Polled | None
        try:
            async with asyncio.timeout(_LONGEST):
                found = await self._asked(job)
        except (HookscribeError, TimeoutError) as error:
            log.warning("job.not_asked", id=encode(JOB, job.id), source=job.source, why=str(error) or "no answer")
            found = None
        if isinstance(found, Fetched):
            return await self._take(job, found)
        return await self._waits(job, found)

    async def _asked(self, job: JobRow) -> Polled | None:
        """Return what the provider says of a job, None where it cannot be asked about it."""
        if job.job_id is None:
            return None
        caller = self._callers.of(job.source)
        if not polls(caller.api):
            return None
        return await caller.run(caller.api.poll(job.job_id, job.operation))

    async def _first(self, job: JobRow) -> float:
        times = await self._jobs.usual_times(job.source, job.operation)
        provider = self._callers.sources[job.source]
        api = provider.api()
        called_back = self._called_back() and (api is None or api.calls_back)
        return planned(provider.settings, times, None, called_back=called_back).first

    async def _take(self, job: JobRow, found: Fetched) -> bool:
        receipt = fetched_receipt(self._store, self._callers.sources[job.source], found, job)
        kept = await self._keep([receipt])
        log.info("job.fetched", id=encode(JOB, job.id), source=job.source, duplicate=kept[0].duplicate)
        if kept[0].duplicate:
            return await self.settle_by_transcript(job)
        return True

    async def settle_by_transcript(self, job: JobRow) -> bool:
        """End a job whose result was here before the job was known; say whether it was."""
        rows = await self._store.engine.rows("transcript_of_job", {"source": job.source, "job_id": job.job_id})
        if not rows:
            return False
        status, operation = rows[0]
        state = JobState.COMPLETED if status == JobState.COMPLETED else JobState.FAILED
        return await self._fates.ended(job, state, operation)

    async def _waits(self, job: JobRow, found: Pending | Missing | None) -> bool:
        """Note that a job has no result yet: overdue after its deadline, lost at last."""
        (now_row,) = await self._jobs.by_id([job.id])
        if not now_row.waits:
            return False
        now = self._store.now_ms()
        since = now_row.submitted_at or now_row.created_at
        late = now_row.deadline is not None and now >= now_row.deadline
        gone = isinstance(found, Missing) and late
        if gone or now >= since + self._lost_after(job) * 1000:
            why = "the provider does not know it" if gone else "no result came in the time that `lost_after` gives it"
            return await self._fates.becomes(now_row, JobState.LOST, why)
        if late and now_row.state is JobState.SUBMITTED:
            said = f"the provider says {found.status}" if isinstance(found, Pending) and found.status else None
            return await self._fates.becomes(now_row, JobState.OVERDUE, said, now_row.next_poll)
        return False


def polls(api: Api) -> bool:
    """Say whether a provider's jobs can be asked about."""
    return type(api).poll is not Api.poll
