"""Joining: which job of ours a result answers, and which call it is about. Pure: it is given what the store knows."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from receiver.contract.errors import NotFound
from receiver.contract.model import JOB_HEADER, Call, Job, Progress, Result, Verdict
from receiver.store.ids import JOB, decode, encode
from receiver.store.jobs import OPEN, JobRow, JobState, call_key_of
from receiver.store.records import StoredReceipt, unpack_headers


def call_key(source: str, call: Call | None) -> str | None:
    """Return what results of one call have in common, or None where the provider names none."""
    return f"{source}:{call.external_id}" if call is not None and call.external_id else None


def job_of(receipt: StoredReceipt) -> int | None:
    """Return the job whose token a receipt came by, or that was asked about; None where none is known."""
    if JOB_HEADER not in receipt.headers:
        return None
    found = next((value for name, value in unpack_headers(receipt.headers) if name == JOB_HEADER), b"")
    try:
        return decode(JOB, found.decode("ascii", "replace"))
    except NotFound:
        return None


class Joined(msgspec.Struct, frozen=True):
    """What a result belongs to: our job, the call's key, and what is known of the call."""

    job: JobRow | None
    key: str | None
    call: Call | None

    @property
    def public(self) -> Job | None:
        """The job as transcripts show it."""
        if self.job is None:
            return None
        return Job(id=encode(JOB, self.job.id), recording=self.job.sha256, metadata=self.job.doc.metadata)


def joined_to(job: JobRow | None, source: str, said: Call | None) -> Joined:
    """Return what a result of a job belongs to, where the provider says this of its call."""
    theirs = call_key(source, said)
    if job is None:
        return Joined(None, theirs, said)
    given = job.doc.call or Call()
    known = {name: value for name, value in msgspec.structs.asdict(given).items() if value is not None}
    call = msgspec.structs.replace(said or Call(), **known)
    return Joined(job, call_key_of(given, None) or theirs or call_key_of(None, job.sha256), call)


class KnownJobs:
    """The jobs that a batch of receipts may speak of, and what becomes of them."""

    def __init__(self, jobs: Collection[JobRow] = (), waiting: Mapping[str, Collection[int]] | None = None) -> None:
        """`waiting`: the jobs that each call still waits for, by the call's key."""
        self._before, self._waited = tuple(jobs), waiting or {}
        self._jobs = {job.id: job for job in jobs}
        self._waiting = {key: set(ids) for key, ids in self._waited.items()}
        self._named: dict[tuple[str, str], list[JobRow]] = {}
        for job in jobs:
            if job.job_id is not None:
                self._named.setdefault((job.source, job.job_id), []).append(job)

    def of(self, receipt: StoredReceipt, said: Result | Progress) -> JobRow | None:
        """Return the job that a receipt speaks of: by the provider's name for it, else by the token it came by."""
        named = self._named.get((receipt.source, said.job_id), [])
        operation = said.operation if isinstance(said, Result) else None
        same = [job for job in named if operation in (None, job.operation)]
        token = job_of(receipt) if self._jobs else None
        by_token = self._jobs.get(token) if token is not None else None
        if by_token is not None and by_token.source != receipt.source:
            by_token = None
        if by_token is not None and (by_token in same or not same):
            return by_token
        return next(reversed(same or named), None)

    def joined(self, receipt: StoredReceipt, result: Result) -> Joined:
        """Return what a result belongs to; what was given with the job counts more than what the provider says."""
        return joined_to(self.of(receipt, result), receipt.source, result.call)

    def fresh(self) -> "KnownJobs":
        """Return the same as it was before anything was noted, for a batch that is planned again."""
        return KnownJobs(self._before, self._waited)

    def ended(self, job: JobRow, status: str) -> bool:
        """Note that a job's result is in; say whether its call waits for nothing any more since now."""
        state = JobState.COMPLETED if JobState.COMPLETED in (status, job.state) else JobState.FAILED
        known = self._jobs[job.id]
        self._jobs[job.id] = msgspec.structs.replace(known, state=state)
        if known.state not in OPEN or known.call_key is None:
            return False
        waiting = self._waiting.get(known.call_key, set())
        waiting.discard(job.id)
        return not waiting


def change(job: JobRow, receipt: StoredReceipt, result: Result) -> dict[str, Any]:
    """Return the row by which a job learns of its result."""
    by_token = job_of(receipt) == job.id and receipt.verdict != Verdict.FETCHED
    told = {"id": job.id, "state": result.status, "job_id": result.job_id, "at": receipt.received_at}
    return {**told, "by_token": int(by_token)}


def wanted(read: Sequence[tuple[StoredReceipt, Any]]) -> tuple[list[int], list[tuple[str, str]]]:
    """Return what to look jobs up by, of receipts and what each says: our ids, and sources with providers' names."""
    said = [(receipt, one) for receipt, one in read if isinstance(one, Result | Progress)]
    ids = {number for receipt, _ in said if (number := job_of(receipt)) is not None}
    return sorted(ids), sorted({(receipt.source, one.job_id) for receipt, one in said})
