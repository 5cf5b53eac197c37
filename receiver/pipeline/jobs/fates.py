"""Fates: what becomes of jobs, written together with the events that tell of it."""

from collections.abc import Callable, Sequence

import msgspec

from receiver.contract.asking import Submitted
from receiver.contract.errors import Conflict
from receiver.pipeline.jobs.patience import Plan
from receiver.pipeline.outbox import Outbox
from receiver.pipeline.outbox import Plan as Outgoing
from receiver.store.ids import JOB, encode
from receiver.store.jobs import JobRow, Jobs, JobState
from receiver.store.records import KnownTranscript
from receiver.store.shapes import job as shape
from receiver.store.store import Store

_EVENTS = {JobState.OVERDUE: "job.overdue", JobState.LOST: "job.lost"}


class Fates:
    """Brings jobs from one state to the next."""

    def __init__(self, store: Store, outbox: Outbox) -> None:
        self.store = store
        self._jobs = Jobs(store)
        self._outbox = outbox
        self.wake: Callable[[], None] = _nobody
        """Told that events were written."""

    async def submitted(self, job: JobRow, done: Submitted, plan: Plan) -> None:
        """The provider took a job; a result that was faster stands."""
        now = self.store.now_ms()
        outgoing = self._outbox.plan(now)
        detail = "; ".join(done.warnings) or None
        change = {
            "id": job.id,
            "job_id": done.job_id,
            "deadline": now + int(plan.overdue * 1000),
            "next_poll": now + int(plan.first * 1000),
            "detail": detail,
        }
        outgoing.writes.submitted_jobs.append(change)
        taken = msgspec.structs.replace(
            job, state=JobState.SUBMITTED, job_id=done.job_id, submitted_at=now, deadline=change["deadline"]
        )
        self._tell(outgoing, "job.submitted", taken)
        await self.store.write(outgoing.writes)
        self.wake()

    async def becomes(
        self, job: JobRow, state: JobState, detail: str | None = None, next_poll: int | None = None
    ) -> bool:
        """Bring a job into another state, where it is still as it was; say whether it was."""
        return await self._becomes(job, state, detail, next_poll)

    async def ended(self, job: JobRow, state: JobState, operation: str) -> bool:
        """The result was here before the job was known: it ends, and the transcript names it; say whether it did."""
        known = await self.store.known_transcripts([(job.source, operation, job.job_id or "")])
        return await self._becomes(job, state, None, None, known)

    async def _becomes(
        self,
        job: JobRow,
        state: JobState,
        detail: str | None,
        next_poll: int | None,
        results: Sequence[KnownTranscript] = (),
    ) -> bool:
        keys = [job.call_key] if job.call_key else []
        waiting = await self._jobs.open_of(keys)
        outgoing = self._outbox.plan(self.store.now_ms(), results, await self.store.known_calls(keys))
        for known in results:
            outgoing.adopted(known, job)
        change = {"id": job.id, "was": [job.state], "state": state, "detail": detail, "next_poll": next_poll}
        outgoing.writes.became_jobs.append(change)
        now = msgspec.structs.replace(job, state=state, detail=detail)
        if state in _EVENTS:
            self._tell(outgoing, _EVENTS[state], now)
        if job.waits and not now.waits and job.call_key and waiting.get(job.call_key, set()) <= {job.id}:
            outgoing.call_completed(job.source, job.call_key, job.doc.call)
        try:
            await self.store.write(outgoing.writes)
        except Conflict:
            return False
        self.wake()
        return True

    async def named(self, job: JobRow, job_id: str) -> None:
        """It is known now what the provider calls a job that was in doubt: it is asked about soon."""
        now = self.store.now_ms()
        change = {"id": job.id, "job_id": job_id, "next_poll": now, "state": str(JobState.SUBMITTED)}
        await self.store.engine.write("job_named", {**change, "now": now})

    def _tell(self, outgoing: Outgoing, event: str, job: JobRow) -> None:
        if self._outbox.makes(event, job.source):
            outgoing.event(event, job.source, encode(JOB, job.id), data=shape(job))


def _nobody() -> None:
    """Wake nobody: a worker in another process sees the commit by itself."""
