"""Jobs in the store: rows, and the verbs that bring a job from one state to the next."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from receiver.contract.errors import Conflict
from receiver.contract.model import Call
from receiver.store.store import Engine, Row, Store, Tx


class JobState(StrEnum):
    """What became of a job."""

    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    UNCERTAIN = "uncertain"
    """Sent, and the answer never read: the provider may have it."""
    OVERDUE = "overdue"
    LOST = "lost"
    COMPLETED = "completed"
    FAILED = "failed"


COUNTED = 10_000
"""Jobs of one source, operation and state are counted up to here."""
OPEN = (JobState.SUBMITTING, JobState.SUBMITTED, JobState.UNCERTAIN, JobState.OVERDUE)
"""States in which a result is still waited for."""
ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.LOST)


class JobDoc(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for: the recording and everything that goes with it."""

    name: str | None = None
    """The recording's file name."""
    path: str | None = None
    url: str | None = None
    recording_id: str | None = None
    """The provider's own name for the recording, where it lies there."""
    size: int | None = None
    content_type: str | None = None
    sample_rate: int | None = None
    duration: float | None = None
    call: Call | None = None
    language: str | None = None
    metadata: dict[str, Any] = {}
    options: dict[str, Any] = {}
    adopted: bool = False


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands; times in Unix milliseconds."""

    id: int
    source: str
    provider: str
    operation: str
    state: JobState
    job_id: str | None
    recording: str | None
    round: int
    call_key: str | None
    owner: int
    sending: int
    created_at: int
    updated_at: int
    submitted_at: int | None
    result_at: int | None
    deadline: int | None
    next_poll: int | None
    polls: int
    detail: str | None
    note: bytes | None
    doc: JobDoc

    @property
    def sha256(self) -> str | None:
        """The recording's digest, where it was a file of ours."""
        return None if self.recording is None or ":" in self.recording else self.recording

    @property
    def waits(self) -> bool:
        """Whether a result is still waited for."""
        return self.state in OPEN


def call_key_of(call: Call | None, recording: str | None) -> str | None:
    """Return what results of a job's call have in common: the given id, else the recording; of all sources together.

    Keys of providers' own calls begin with a source's name, these with a colon.
    """
    if call is not None and call.external_id:
        return f":{call.external_id}"
    return f":sha256:{recording}" if recording else None


def job_row(row: Row) -> JobRow:
    """Make a job of a row."""
    fields = dict(zip(JobRow.__struct_fields__, row, strict=True))
    doc = msgspec.json.decode(fields.pop("doc"), type=JobDoc)
    return JobRow(**{**fields, "state": JobState(fields["state"])}, doc=doc)


async def job_counts(engine: Engine, most: int = COUNTED) -> dict[tuple[str, str, str], int]:
    """Return how many jobs of each source and operation are in each state that some are in; counted up to `most`."""
    rows = await engine.rows("job_counts", {"states": list(JobState), "most": most})
    return {(source, operation, state): count for source, operation, state, count in rows if count}


async def counts_by_source(engine: Engine) -> Counter[tuple[str, str]]:
    """Return how many jobs each source has in each state; of each operation, up to `COUNTED` are counted."""
    found: Counter[tuple[str, str]] = Counter()
    for (source, _, state), count in (await job_counts(engine)).items():
        found[source, state] += count
    return found


async def late_jobs(engine: Engine, most: int = COUNTED) -> dict[tuple[str, str], tuple[int, float]]:
    """Return of each source and operation how many results came late, up to `most`, and by how many seconds the latest."""
    rows = await engine.rows("late_jobs", {"most": most})
    return {(source, operation): (late, latest / 1000) for source, operation, late, latest in rows if late}


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job about to be made; `token` is the digest of its callback's token."""

    id: int
    source: str
    provider: str
    operation: str
    state: JobState
    owner: int
    doc: JobDoc
    job_id: str | None = None
    recording: str | None = None
    token: bytes | None = None
    call_key: str | None = None
    submitted_at: int | None = None
    deadline: int | None = None
    next_poll: int | None = None


class Jobs:
    """The verbs about jobs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.engine = store.engine

    async def add(self, job: NewJob, *, again: bool = False) -> JobRow | None:
        """Make a job, unless there is one of the same recording that did not fail: then return that one.

        `again` makes one all the same.
        """
        async with self.store.engine.transaction(alone=True) as tx:
            found = None
            if job.recording is not None:
                key = {"source": job.source, "operation": job.operation, "recording": job.recording}
                found = next(map(job_row, await tx.rows("job_of_recording", key)), None)
            if found is not None and found.state is not JobState.FAILED and not again:
                return found
            await self._insert(tx, job, found.round + 1 if found else 0)
        return None

    async def _insert(self, tx: Tx, job: NewJob, number: int) -> None:
        fields = {**msgspec.structs.asdict(job), "doc": msgspec.json.encode(job.doc)}
        await tx.run("add_job", {**fields, "round": number, "now": self.store.now_ms()})

    async def of_token(self, source: str, digest: bytes) -> Row | None:
        """Return id and state of the job that a token was made for, and whether a result came by it."""
        rows = await self.engine.rows("job_of_token", {"source": source, "token": digest})
        return rows[0] if rows else None

    async def by_id(self, ids: Sequence[int]) -> list[JobRow]:
        """Return jobs by id, oldest first."""
        return [job_row(row) for row in await self.engine.rows("jobs_by_id", {"ids": list(ids)})] if ids else []

    async def by_name(self, names: Sequence[tuple[str, str]]) -> list[JobRow]:
        """Return jobs by source and the provider's name for them, oldest first."""
        keys = [list(name) for name in names]
        return [job_row(row) for row in await self.engine.rows("jobs_by_name", {"keys": keys})] if keys else []

    async def open_of(self, call_keys: Sequence[str]) -> dict[str, set[int]]:
        """Return the jobs that calls still wait for, by the calls' keys."""
        found: dict[str, set[int]] = {}
        rows = await self.engine.rows("open_jobs_of_calls", {"keys": list(call_keys)}) if call_keys else []
        for key, number in rows:
            found.setdefault(key, set()).add(number)
        return found

    async def sending(self, number: int) -> None:
        """Write down that the provider may have the job from now on. Raises Conflict where it is not ours any more."""
        if not await self._write("job_sending", id=number, owner=self.store.start):
            raise Conflict("another process went on with this job, or its result is here already")

    async def noted(self, number: int, note: bytes, job_id: str | None) -> None:
        """Keep what is needed to go on after a crash, sealed, and the provider's name for the job where it is known."""
        await self._write("job_noted", id=number, note=note, job_id=job_id)

    async def unsent(self, number: int, detail: str) -> None:
        """The provider has not got it for sure; it can be tried again."""
        await self._write("job_unsent", id=number, detail=detail)

    async def leave(self, number: int) -> None:
        """Own a job no more that is not sent now."""
        await self._write("job_left", id=number, owner=self.store.start)

    async def take(self, job: JobRow) -> bool:
        """Go on with a job that a dead process left; say whether nobody else was faster."""
        return bool(await self._write("job_taken", id=job.id, owner=self.store.start, was_owner=job.owner))

    async def due(self, sources: Iterable[str], limit: int) -> list[JobRow]:
        """Return the jobs of some sources whose time to be asked about has come."""
        params = {"now": self.store.now_ms(), "sources": list(sources), "limit": limit}
        rows = await self.engine.rows("due_jobs", params)
        return [job_row(row) for row in rows]

    async def polled(self, job: JobRow, next_poll: int | None) -> bool:
        """Write down that a job is asked about now, and when next; say whether nobody else was faster."""
        return bool(await self.engine.write("job_polled", {"id": job.id, "next_poll": next_poll, "was": job.next_poll}))

    async def usual_times(self, source: str, operation: str) -> list[float]:
        """Return how long the newest jobs took from submit to result, in seconds, shortest first.

        A result that came before the answer to its submission took no time.
        """
        rows = await self.engine.rows("usual_times", {"source": source, "operation": operation})
        return sorted(max(0, row[0]) / 1000 for row in rows)

    async def listed(self, where: Sequence[str], params: Mapping[str, Any], limit: int) -> list[JobRow]:
        """Return jobs that conditions find, newest first."""
        return [job_row(row) for row in await self.engine.rows("list_jobs", {**params, "limit": limit}, where)]

    async def _write(self, name: str, **params: Any) -> int:
        return await self.engine.write(name, {**params, "now": self.store.now_ms()})


async def drop_jobs(tx: Tx, ids: Sequence[int]) -> None:
    """Delete jobs; the digests of their tokens stay, so that who calls by one is asked about and not told 404."""
    await tx.run("retire_tokens", {"ids": [*ids]})
    await tx.run("drop_jobs", {"ids": [*ids]})
