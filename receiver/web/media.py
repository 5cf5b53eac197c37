"""Media: one recording under a signed, expiring link, for providers that fetch what they work on."""

from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from receiver.contract.errors import Gone, HookscribeError, NotFound
from receiver.links import Links
from receiver.making import links
from receiver.runtime import Running
from receiver.store.audit import READ, Entry
from receiver.store.ids import JOB, decode, encode
from receiver.store.jobs import JobRow, Jobs
from receiver.web.audited import Reads

log = structlog.get_logger()

MEDIA = "media"
_PASSED_ON = ("content-type", "content-length", "content-range", "accept-ranges", "etag", "last-modified")


class Media:
    """`GET /media/{signed}`: the recording of one job; every fetch is logged, without the link."""

    def __init__(self, run: Running, reads: Reads) -> None:
        """`reads` are told of what links opened; who has a token is seen anyway."""
        self._run = run
        self._reads = reads
        self._links: Links | None = None
        self._jobs = Jobs(run.runtime.store)

    def routes(self) -> list[Route]:
        """Return the route of the public listener."""
        return [Route("/media/{signed}", self.fetch, methods=["GET", "HEAD"])]

    def for_people(self) -> list[Route]:
        """Return the route of the admin listener: the recording of a job, by its id."""
        return [Route("/recordings/{id}", self.play, methods=["GET", "HEAD"])]

    async def play(self, request: Request) -> Response:
        """Answer with the recording of a job, or the stretch of it that is asked for. Raises NotFound."""
        found = await self._jobs.by_id([decode(JOB, request.path_params["id"])])
        if not found:
            raise NotFound(f"there is no {request.path_params['id']}")
        return await self._answer(found[0], request)

    async def fetch(self, request: Request) -> Response:
        """Answer with the recording, or the stretch of it that is asked for."""
        try:
            job = await self._job(request.path_params["signed"])
            answer = await self._answer(job, request)
            entry = Entry(who=f"link of source {job.source}", via="link", what=READ, thing=encode(JOB, job.id))
            await self._reads.add([entry])
        except Gone:
            return _plain(410, "this link has expired")
        except NotFound:
            return _plain(404, "not found")
        except HookscribeError as error:
            log.error("media.failed", why=str(error))
            return _plain(502, "the recording cannot be had now")
        log.info(
            "media.fetched",
            id=encode(JOB, job.id),
            source=job.source,
            method=request.method,
            status=answer.status_code,
            range=request.headers.get("range"),
            agent=request.headers.get("user-agent"),
        )
        return answer

    async def _job(self, signed: str) -> JobRow:
        """Return the job of a link. Raises NotFound or Gone."""
        self._links = self._links or links(self._run.runtime.config)
        name = self._links.open(MEDIA, signed)
        found = await self._jobs.by_id([decode(JOB, name)])
        if not found:
            raise NotFound
        return found[0]

    async def _answer(self, job: JobRow, request: Request) -> Response:
        doc = job.doc
        if doc.recording_id is not None:
            return await self._passed_on(job, doc.recording_id, request)
        path = Path(doc.path) if doc.path else None
        if path is None or not path.is_file() or path.stat().st_size != doc.size:
            raise NotFound  # gone, or another file than the one that was looked at
        return FileResponse(path, media_type=doc.content_type, headers={"cache-control": "private, no-store"})

    async def _passed_on(self, job: JobRow, recording_id: str, request: Request) -> Response:
        """Stream a recording that lies at the provider, with our credentials in the header of our own request."""
        caller = self._run.asks.callers.of(job.source)
        ask = await caller.run(caller.api.recording(recording_id))
        wanted = request.headers.get("range")
        stretch = caller.streamed(ask, (("Range", wanted),) if wanted else ())
        answer = await stretch.__aenter__()
        headers = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
        if answer.status_code not in {200, 206}:
            await stretch.__aexit__(None, None, None)
            log.warning("media.refused", id=encode(JOB, job.id), status=answer.status_code)
            raise NotFound

        async def pieces() -> AsyncIterator[bytes]:
            try:
                if request.method != "HEAD":
                    async for piece in answer.aiter_raw():
                        yield piece
            finally:
                await stretch.__aexit__(None, None, None)

        return StreamingResponse(pieces(), answer.status_code, {**headers, "cache-control": "private, no-store"})


def _plain(status: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", status)
