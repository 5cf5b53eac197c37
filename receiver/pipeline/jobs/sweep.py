"""Sweep: what a provider has and we do not, taken as if it had called; jobs in doubt are found by their serial."""

import contextlib

import msgspec

from receiver.asking.callers import Callers
from receiver.contract.asking import Fetched
from receiver.contract.errors import NotFound
from receiver.pipeline.jobs.fates import Fates
from receiver.pipeline.keeping import fetched_receipt
from receiver.store.ids import decode
from receiver.store.jobs import JobRow, Jobs, JobState
from receiver.store.store import Store

SERIAL_HEADER = b"hookscribe-serial"
"""A result of a sweep may carry under this name the `serial` of the submission that it answers."""
CALLBACK_HEADER = b"hookscribe-callback"
"""Or under this one the SHA-256, in hexadecimal, of the token in the callback's address that it was submitted with."""


class Swept(msgspec.Struct, kw_only=True):
    """How many results the provider had, how many were new, and how many jobs in doubt were found among them."""

    found: int = 0
    new: int = 0
    settled: int = 0


class Sweep:
    """Takes what a source's provider lists."""

    def __init__(self, store: Store, callers: Callers, fates: Fates) -> None:
        self._store = store
        self._jobs = Jobs(store)
        self._callers = callers
        self._fates = fates

    async def run(self, source: str, since: float) -> Swept:
        """List what the provider has since a moment (Unix seconds), and keep what is new. Raises UsageError where the
        provider has no list, and ProviderError.
        """
        caller = self._callers.of(source)
        swept = Swept()
        async for found in caller.sweep(caller.api.sweep(since)):
            swept.found += 1
            job = await self._job(source, found)
            if job is not None and job.state is JobState.UNCERTAIN and found.job_id:
                await self._fates.named(job, found.job_id)
                swept.settled += 1
            if not await self._is_known(source, found):
                receipt = fetched_receipt(self._store, self._callers.sources[source], found, job)
                (kept,) = await self._store.keep([receipt])
                swept.new += not kept.duplicate
        return swept

    async def _job(self, source: str, found: Fetched) -> JobRow | None:
        if found.job_id and (named := await self._jobs.by_name([(source, found.job_id)])):
            return named[-1]
        number = await self._number(source, dict(found.headers))
        jobs = await self._jobs.by_id([number]) if number is not None else []
        return jobs[0] if jobs and jobs[0].source == source else None

    async def _number(self, source: str, headers: dict[bytes, bytes]) -> int | None:
        with contextlib.suppress(NotFound, ValueError):
            if SERIAL_HEADER in headers:
                return decode("", headers[SERIAL_HEADER].decode("ascii", "replace"))
            if CALLBACK_HEADER in headers:
                row = await self._jobs.of_token(source, bytes.fromhex(headers[CALLBACK_HEADER].decode("ascii")))
                return row[0] if row else None
        return None

    async def _is_known(self, source: str, found: Fetched) -> bool:
        if found.job_id is None:
            return False
        key = {"source": source, "job_id": found.job_id}
        rows = await self._store.engine.rows("transcript_of_job", key)
        return bool(rows) and rows[0][0] == JobState.COMPLETED
