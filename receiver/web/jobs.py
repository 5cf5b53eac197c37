"""The admin listener's endpoints of jobs: what was asked of providers, and asking for more."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from receiver.asking.recording import content_type, recording_of
from receiver.contract.asking import Recording
from receiver.contract.errors import ProviderBusy, UsageError
from receiver.contract.model import Call
from receiver.pipeline.jobs.adopt import Adopt, Adoption
from receiver.pipeline.jobs.submit import Order, Registered
from receiver.runtime import Submitting
from receiver.store import shapes
from receiver.store.ids import JOB, encode
from receiver.store.job_lists import JOBS, JobLists
from receiver.store.jobs import JobRow
from receiver.store.listing import milliseconds
from receiver.store.store import Store
from receiver.web.answers import JobItem, PageOf
from receiver.web.audited import seen
from receiver.web.endpoint import FORM, Endpoint
from receiver.web.reading import checked, noted, read_order
from receiver.web.uploads import FILE, Uploads


class JobOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be submitted: a recording under a URL that the provider reaches, or one that lies there (`recording_id`)."""

    source: str
    url: str | None = None
    recording_id: str | None = None
    operation: str | None = None
    call: Call | None = None
    language: str | None = None
    metadata: dict[str, str] = {}
    options: dict[str, Any] = {}
    again: bool = False


class JobForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same for a recording that is sent along, as the part `file`."""

    source: str
    file: Annotated[str, msgspec.Meta(extra_json_schema={"format": "binary"})]
    operation: str | None = None
    call: Annotated[str, msgspec.Meta(description="an id, or an object in JSON as in the other form")] | None = None
    language: str | None = None
    metadata: Annotated[str, msgspec.Meta(description="an object in JSON")] = "{}"
    options: Annotated[str, msgspec.Meta(description="an object in JSON")] = "{}"
    again: Literal["true", "false"] = "false"

    def order(self) -> JobOrder:
        """Return the order in it. Raises UsageError."""
        as_json = {name: self._read(name) for name in ("metadata", "options", "again")}
        call = self.call and (self._read("call") if self.call.startswith("{") else {"external_id": self.call})
        plain = {"source": self.source, "operation": self.operation, "language": self.language}
        try:
            return msgspec.convert({**plain, **as_json, "call": call}, JobOrder)
        except msgspec.ValidationError as error:
            raise UsageError(str(error)) from None

    def _read(self, name: str) -> Any:
        try:
            return msgspec.json.decode(checked(getattr(self, name).encode()))
        except (msgspec.DecodeError, ValueError) as error:
            raise UsageError(f"{name}: expected JSON: {error}") from None


class AdoptOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job that the caller submitted; `deadline` is a time, RFC 3339."""

    source: str
    job_id: str
    operation: str | None = None
    call: Call | None = None
    language: str | None = None
    metadata: dict[str, Any] = {}
    deadline: str | None = None


class JobsApi:
    """The endpoints below /api/v1/jobs."""

    def __init__(self, store: Store, asks: Submitting, uploads: Uploads) -> None:
        self._store = store
        self._asks = asks
        self._uploads = uploads
        self._lists = JobLists(store)

    def endpoints(self) -> list[Endpoint]:
        """Return what there is."""
        place = "/api/v1/jobs"
        query = JOBS.parameters()
        return [
            Endpoint(
                path=place, run=self.list, about="What was asked of providers.", answer=PageOf[JobItem], query=query
            ),
            Endpoint(path=f"{place}/{{id}}", run=self.one, about="One job.", answer=JobItem),
            Endpoint(
                path=place,
                run=self.submit,
                about="Submit a recording, sent as a form or by its URL; 200 where the same was submitted before.",
                answer=JobItem,
                method="POST",
                order=JobOrder,
                order_needed=True,
                form=JobForm,
                statuses=(200, 201),
                also=(502,),
            ),
            Endpoint(
                path=f"{place}/adopt",
                run=self.adopt,
                about="Take over a job that was submitted elsewhere.",
                answer=JobItem,
                method="POST",
                order=AdoptOrder,
                order_needed=True,
                statuses=(201,),
                also=(502,),
            ),
        ]

    async def list(self, request: Request) -> Response:
        """Answer with jobs, newest first."""
        page = await self._lists.jobs(dict(request.query_params))
        return _json({"items": page.items, "next": page.next})

    async def one(self, request: Request) -> Response:
        """Answer with one job."""
        return _json(await self._lists.job(request.path_params["id"]))

    async def submit(self, request: Request) -> Response:
        """Submit a recording: 201 with the job, 200 where the same was submitted before."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
            return await self._uploaded(request)
        order = await read_order(request, JobOrder)
        if (order.url is None) == (order.recording_id is None):
            raise UsageError(f"say either url or recording_id, or send the recording as the part {FILE} of a form")
        if order.url is not None and not order.url.startswith(("https://", "http://")):
            raise UsageError(f"url: expected https://…; a file is sent as the part {FILE} of a form")
        name = order.recording_id or (order.url or "").partition("?")[0].rpartition("/")[2] or "recording"
        recording = Recording(
            name=name,
            size=None,
            sha256=None,
            content_type=content_type(name, b""),
            url=order.url,
            id=order.recording_id,
        )
        made = await self._asks.submit.register(_order(order, recording, None))
        return await self._made(request, made)

    async def _uploaded(self, request: Request) -> Response:
        """Submit the recording in a form: looked at as `hookscribe submit` does, and kept as long as its job."""
        number = self._store.ids.next()
        async with self._uploads.read(request, number) as upload:
            if upload.name is None:
                raise UsageError(f"the form has no part {FILE}: the recording, with its file name")
            try:
                form = msgspec.convert({**upload.texts, FILE: upload.name}, JobForm)
            except msgspec.ValidationError as error:
                raise UsageError(f"expected a form with {', '.join(JobForm.__struct_fields__)}: {error}") from None
            order = noted(request, form.order())
            recording = await asyncio.to_thread(recording_of, upload.path, name=upload.name)
            made = await self._asks.submit.register(_order(order, recording, upload.path), number)
            upload.kept = not made.known
        return await self._made(request, made)

    async def _made(self, request: Request, made: Registered) -> Response:
        seen(request, [encode(JOB, made.job.id)])
        job = made.job if made.known else await self._sent(made.job)
        return _job(job, 200 if made.known else 201)

    async def _sent(self, job: JobRow) -> JobRow:
        try:
            return await self._asks.submit.send(job)
        except ProviderBusy as error:
            await self._asks.submit.leave(job)
            raise ProviderBusy(
                f"{encode(JOB, job.id)} was not taken: {error}; `hookscribe submit {job.source} --resume` goes on with it"
            ) from None

    async def adopt(self, request: Request) -> Response:
        """Adopt a job: 201 with it."""
        order = await read_order(request, AdoptOrder)
        kept = {
            name: getattr(order, name) for name in ("source", "job_id", "operation", "call", "language", "metadata")
        }
        adoption = Adoption(deadline_in=self._left(order.deadline), **kept)
        verbs = Adopt(self._store, self._asks.callers, self._asks.fates, self._asks.reconcile)
        reachable = self._asks.submit.places.public_url is not None
        job = await verbs.adopt(adoption, called_back=reachable)
        seen(request, [encode(JOB, job.id)])
        return _job(job, 201)

    def _left(self, deadline: str | None) -> float | None:
        if deadline is None:
            return None
        try:
            left = (milliseconds(deadline) - self._store.now_ms()) / 1000
        except (ValueError, OverflowError) as error:
            raise UsageError(f"deadline: {error}") from None
        if left <= 0:
            raise UsageError("deadline: this time is over")
        return left


def _order(order: JobOrder, recording: Recording, path: Path | None) -> Order:
    kept = ("source", "operation", "call", "language", "metadata", "options", "again")
    return Order(recording=recording, path=path, **{name: getattr(order, name) for name in kept})


def _job(job: JobRow, status: int) -> Response:
    return Response(msgspec.json.encode(shapes.job(job)), status, media_type="application/json")


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
