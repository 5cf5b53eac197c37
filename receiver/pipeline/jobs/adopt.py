"""Adopt and settle: jobs that others submitted, and jobs of which an operator knows what became of them."""

from typing import Any

import msgspec

from receiver.asking.callers import Callers
from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import Call
from receiver.pipeline.jobs.fates import Fates
from receiver.pipeline.jobs.patience import planned
from receiver.pipeline.jobs.reconcile import Reconcile
from receiver.pipeline.said import check_name
from receiver.store.ids import JOB, encode
from receiver.store.jobs import JobDoc, JobRow, Jobs, JobState, NewJob, call_key_of
from receiver.store.store import Store

_UNNAMED = "transcription"
_SETTLED = (JobState.SUBMITTING, JobState.UNCERTAIN, JobState.OVERDUE, JobState.LOST)
_NOBODY = 0


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """A job that somebody else submitted; `deadline_in` in seconds."""

    source: str
    job_id: str
    operation: str | None = None
    call: Call | None = None
    language: str | None = None
    metadata: dict[str, Any] = {}
    deadline_in: float | None = None


class Adopt:
    """Takes over jobs, and settles those in doubt."""

    def __init__(self, store: Store, callers: Callers, fates: Fates, reconcile: Reconcile) -> None:
        self._store = store
        self._jobs = Jobs(store)
        self._callers = callers
        self._fates = fates
        self._reconcile = reconcile

    async def adopt(self, order: Adoption, *, called_back: bool = True) -> JobRow:
        """Write a job down; where its result is here already, it is done at once. Raises UsageError."""
        provider = self._callers.sources.get(order.source)
        if provider is None:
            raise NotFound(f"there is no source {order.source[:40]!r}; known are {', '.join(self._callers.sources)}")
        check_name("the provider's name for the job", order.job_id)
        check_name("operation", order.operation or None)
        check_name("call.external_id", (order.call and order.call.external_id) or None)
        if found := await self._jobs.by_name([(order.source, order.job_id)]):
            raise UsageError(f"{encode(JOB, found[-1].id)} is this job already")
        api = provider.api()
        operation = order.operation or (api.operations[0] if api is not None and api.operations else _UNNAMED)
        times = await self._jobs.usual_times(order.source, operation)
        called_back = called_back and (api is None or api.calls_back)
        plan = planned(provider.settings, times, order.deadline_in, called_back=called_back)
        now = self._store.now_ms()
        job = NewJob(
            id=self._store.ids.next(),
            source=order.source,
            provider=provider.name,
            operation=operation,
            state=JobState.SUBMITTED,
            owner=_NOBODY,
            doc=JobDoc(call=order.call, language=order.language, metadata=order.metadata, adopted=True),
            job_id=order.job_id,
            call_key=call_key_of(order.call, None),
            submitted_at=now,
            deadline=now + int(plan.overdue * 1000),
            next_poll=now + int(plan.first * 1000),
        )
        await self._jobs.add(job)
        (made,) = await self._jobs.by_id([job.id])
        await self._reconcile.settle_by_transcript(made)
        return (await self._jobs.by_id([job.id]))[0]

    async def settle(self, number: int, *, job_id: str | None) -> JobRow:
        """Say of a job in doubt what the provider calls it, or (None) that the provider does not have it.

        Raises NotFound and UsageError.
        """
        found = await self._jobs.by_id([number])
        if not found:
            raise NotFound(f"there is no {encode(JOB, number)}")
        job = found[0]
        if job.state not in _SETTLED:
            raise UsageError(f"{encode(JOB, number)} is {job.state}: there is nothing to settle")
        if job_id is None:
            await self._fates.becomes(job, JobState.FAILED, "an operator said that the provider does not have it")
        else:
            await self._fates.named(job, job_id)
            (named,) = await self._jobs.by_id([number])
            await self._reconcile.settle_by_transcript(named)
        return (await self._jobs.by_id([number]))[0]
