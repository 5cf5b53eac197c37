"""Submit: hand recordings to providers, each a job that is on disk before the provider can have it.

Nothing is sent twice by itself: before a request that must not happen twice, the job says so on disk; where its answer is
never read, the job is `uncertain` until a callback, the provider's list or an operator says what became of it.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from receiver.asking.body import Progress
from receiver.asking.callers import Callers
from receiver.contract.api import Api
from receiver.contract.asking import Answer, Ask, Note, Recording, Steps, Submission, Submitted
from receiver.contract.errors import Conflict, NoAccess, NotFound, ProviderBusy, ProviderRefused, Unanswered, UsageError
from receiver.contract.model import Call
from receiver.contract.proof import digest
from receiver.contract.settings import Secret
from receiver.pipeline.jobs.fates import Fates
from receiver.pipeline.jobs.patience import FIRST, planned
from receiver.pipeline.keeping import fetched_receipt
from receiver.pipeline.said import check_name
from receiver.store.ids import JOB, encode
from receiver.store.jobs import JobDoc, JobRow, Jobs, JobState, NewJob, call_key_of
from receiver.store.sealed import seal, unseal
from receiver.store.store import Store

log = structlog.get_logger()

T = TypeVar("T")

_LARGEST_TEXT = 16 << 20


Reach = Callable[[str], Awaitable[str | None]]
"""Says why an address does not give what it should by a plain GET; None where it does."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A recording and what is asked for: a local file that was looked at (`path`), or an address."""

    source: str
    recording: Recording
    path: Path | None = None
    operation: str | None = None
    call: Call | None = None
    language: str | None = None
    metadata: dict[str, str] = {}
    options: dict[str, Any] = {}
    again: bool = False


class Registered(msgspec.Struct, frozen=True):
    """A job; `known` where it was there before, for the same recording."""

    job: JobRow
    known: bool


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses that providers are given, and the key that makes tokens."""

    public_url: str | None
    key: Callable[[], Secret]
    media: Callable[[int], str] | None = None
    """Makes the last part of the address under which a job's recording can be fetched."""

    def token(self, job: int) -> str:
        """Return the token of a job's callback: unguessable, and the same each time."""
        made = hmac.digest(self.key().raw, b"job\0" + encode(JOB, job).encode(), "sha256")
        return hashlib.blake2b(made, digest_size=20).hexdigest()

    def callback(self, source: str, job: int) -> str | None:
        """Return where a job's result is to be posted, None where nobody can reach us."""
        return f"{self.public_url.rstrip('/')}/hooks/{source}/{self.token(job)}" if self.public_url else None

    def recording(self, job: int) -> str | None:
        """Return where a job's recording can be fetched, None where nobody can reach us."""
        return f"{self.public_url.rstrip('/')}/media/{self.media(job)}" if self.public_url and self.media else None


class Submit:
    """Registers jobs and sends them."""

    def __init__(
        self,
        store: Store,
        callers: Callers,
        fates: Fates,
        places: Places,
        reach: Reach,
    ) -> None:
        """`reach` is asked whether a recording can be fetched by everybody who has its link."""
        self._store = store
        self._jobs = Jobs(store)
        self._callers = callers
        self._fates = fates
        self._reach = reach
        self.places = places
        """As the settings are now."""
        self.heard = True
        """Whether callbacks may come in: not to a command that waits where no `serve` runs."""

    async def register(self, order: Order, number: int | None = None) -> Registered:
        """Write a job down, under this id where one is given, or find the one that there is of the same recording.

        Raises UsageError.
        """
        api = self._callers.of(order.source).api
        operation = _operation(order, api)
        check_name("call.external_id", (order.call and order.call.external_id) or None)
        if order.path is not None and api.takes_text(operation):
            order = await asyncio.to_thread(_with_text, order, api, operation, order.path)
        number = number or self._store.ids.next()
        recording = order.recording
        doc = JobDoc(
            name=recording.name,
            path=str(order.path.absolute()) if order.path else None,
            url=recording.url,
            recording_id=recording.id,
            size=recording.size,
            content_type=recording.content_type,
            sample_rate=recording.sample_rate,
            duration=recording.duration,
            call=order.call,
            language=order.language,
            metadata=order.metadata,
            options=order.options,
        )
        job = NewJob(
            id=number,
            source=order.source,
            provider=self._callers.sources[order.source].name,
            operation=operation,
            state=JobState.SUBMITTING,
            owner=self._store.start,
            doc=doc,
            recording=recording.sha256 or _of_address(recording.id or recording.url),
            token=digest(self.places.token(number).encode()),
            call_key=call_key_of(order.call, recording.sha256),
        )
        api.check(self._submission(api, job))
        found = await self._jobs.add(job, again=order.again)
        if found is not None:
            return Registered(found, known=True)
        return Registered(await self.job(number), known=False)

    async def job(self, number: int) -> JobRow:
        """Return a job as it is now. Raises NotFound."""
        found = await self._jobs.by_id([number])
        if not found:
            raise NotFound(f"there is no {encode(JOB, number)}")
        return found[0]

    async def send(self, job: JobRow, progress: Progress | None = None) -> JobRow:
        """Hand a job over that is `submitting`, from where its last note says; return it as it is then.

        Raises ProviderBusy where the provider cannot take it now: then it can be sent again.
        """
        caller = self._callers.of(job.source)
        if (wait := self.waits(job.source)) > 0:
            raise ProviderBusy(f"{job.source} is not submitted to outside of its off_peak hours", wait)
        noted = self._noted(job)
        careful = Careful(noted)
        submission = self._submission(caller.api, job)
        path = Path(job.doc.path) if job.doc.path else None
        try:
            await self._reachable(job, submission)
            done = await caller.run(
                careful.run(caller.api.submit(submission, noted)),
                path=path,
                remember=partial(self._remember, job.id),
                progress=progress,
            )
        except ProviderBusy as error:
            await self._jobs.unsent(job.id, str(error))
            raise
        except Conflict:
            log.info("job.answered", id=encode(JOB, job.id), why="its result was faster than its submission")
        except (Unanswered, ProviderRefused, UsageError, OSError) as error:
            sent = careful.sending and not isinstance(error, NoAccess)
            await self._refused(job, error, doubtful=isinstance(error, Unanswered) or sent)
        else:
            heard = self.heard and submission.callback_url is not None
            await self._taken(job, done, called_back=heard and caller.api.calls_back)
        return await self.job(job.id)

    def waits(self, source: str) -> float:
        """Return the seconds until recordings may be submitted to a source; 0 or less: at once."""
        now = self._store.now_ms() / 1000
        return self._callers.of(source).api.not_before(now) - now

    async def take_over(self, job: JobRow) -> bool:
        """Become the owner of a job that a dead process left; say whether it can be sent."""
        return await self._jobs.take(job)

    async def leave(self, job: JobRow) -> None:
        """Leave a job that is not sent now to who resumes it."""
        await self._jobs.leave(job.id)

    async def _reachable(self, job: JobRow, submission: Submission) -> None:
        """Raise UsageError where a provider would not get the recording that we serve."""
        url = submission.recording.url
        if url is not None and url != job.doc.url and (why := await self._reach(url)):
            raise UsageError(
                f"{job.doc.name} cannot be fetched under public_url: {why}; `hookscribe serve` must run, and be reached there"
            )

    async def _remember(self, number: int, note: Note) -> None:
        if isinstance(note, Sending):
            await self._jobs.sending(number)
        else:
            sealed = seal(self.places.key(), msgspec.json.encode(note.state))
            await self._jobs.noted(number, sealed, note.job_id)

    def _noted(self, job: JobRow) -> dict[str, Any]:
        """Return what the submission left for going on, empty where nothing; sealed, for an upload's address is a secret."""
        if job.note is None:
            return {}
        return msgspec.json.decode(unseal(self.places.key(), job.note), type=dict[str, Any])

    async def _refused(self, job: JobRow, error: Exception, *, doubtful: bool) -> None:
        state = JobState.UNCERTAIN if doubtful else JobState.FAILED
        said = str(error)
        if isinstance(error, OSError):
            said = f"{job.doc.path or job.doc.name}: {error.strerror or error}"
        elif job.doc.name and job.doc.name not in said:
            said = f"{job.doc.name}: {said}"
        log.warning("job.not_submitted", id=encode(JOB, job.id), source=job.source, state=str(state), why=said)
        now = await self.job(job.id)
        wait = FIRST if now.job_id else self._callers.sources[job.source].settings.lost_after
        look = self._store.now_ms() + int(wait * 1000) if doubtful else None
        await self._fates.becomes(now, state, said, look)

    async def _taken(self, job: JobRow, done: Submitted, *, called_back: bool) -> None:
        provider = self._callers.sources[job.source]
        if done.result is not None:
            named = msgspec.structs.replace(job, job_id=done.job_id)
            await self._store.keep([fetched_receipt(self._store, provider, done.result, named)])
        times = await self._jobs.usual_times(job.source, job.operation)
        plan = planned(provider.settings, times, done.deadline_in, called_back=called_back)
        await self._fates.submitted(job, done, plan)

    def _submission(self, api: Api, job: NewJob | JobRow) -> Submission:
        doc, operation, number = job.doc, job.operation, job.id
        url = doc.url
        if url is None and api.fetches(operation):
            url = self.places.recording(number)
            if url is None:
                raise UsageError(
                    f"{api.name} fetches recordings for {operation} from a URL: set public_url, so that it can get "
                    f"{doc.name} here, or name a URL that it can reach"
                )
        recording = Recording(
            name=doc.name or "recording",
            size=doc.size,
            sha256=None if job.recording is None or ":" in job.recording else job.recording,
            content_type=doc.content_type or "application/octet-stream",
            url=url,
            sample_rate=doc.sample_rate,
            duration=doc.duration,
            id=doc.recording_id,
        )
        return Submission(
            recording=recording,
            operation=operation,
            callback_url=self.places.callback(job.source, number),
            serial=encode("", number),
            call=doc.call,
            language=doc.language,
            metadata=doc.metadata,
            options=doc.options,
        )


class Sending(Note, frozen=True, kw_only=True):
    """The next request must not happen twice."""


class Careful:
    """Runs a submission's steps, with a note before each request that must not happen twice."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state
        self.sending = False
        """Whether the provider may have the job without our knowing."""

    def run(self, steps: Steps[T]) -> Steps[T]:
        """Yield what the steps yield, and the notes."""
        answer: Answer | None = None
        while True:
            try:
                wanted = steps.send(answer)
            except StopIteration as ended:
                return ended.value  # type: ignore[no-any-return]
            creates = isinstance(wanted, Ask) and wanted.creates
            if creates and not self.sending:
                self.sending = True
                yield Sending(state=self._state)
            answer = yield wanted
            if isinstance(wanted, Note) or (creates and answer is not None and not answer.ok):
                self.sending = False


def _operation(order: Order, api: Api) -> str:
    if not api.operations:
        raise UsageError(f"sources.{order.source}: {api.name} takes no submissions that Hookscribe knows of")
    operation = order.operation or api.operations[0]
    if operation not in api.operations:
        raise UsageError(f"--operation: {api.name} has {', '.join(api.operations)}, not {operation[:40]!r}")
    return operation


def _with_text(order: Order, api: Api, operation: str, path: Path) -> Order:
    """Give an operation on texts what the file says, as options. Raises UsageError, which names the file."""
    name = order.recording.name
    if (order.recording.size or 0) > _LARGEST_TEXT:
        raise UsageError(f"{name} has more than {_LARGEST_TEXT >> 20} MiB; no text is that long: split it")
    try:
        said = api.text(operation, path.read_bytes())
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    return msgspec.structs.replace(order, options=said | order.options)


def _of_address(url: str | None) -> str | None:
    """Return what tells a recording apart that only the provider can reach: its address, never shown again."""
    return None if url is None else "url:" + hashlib.sha256(url.encode()).hexdigest()
