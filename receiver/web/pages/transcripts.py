"""Transcripts: the list, and one as a conversation with its plot, analysis, versions, exports and recording."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import Transcript
from receiver.export.formats import FORMATS
from receiver.pipeline.operating.differences import as_is, differences
from receiver.store.job_lists import JobLists
from receiver.store.lists import Lists
from receiver.web.pages.conversation import Conversation, conversation
from receiver.web.pages.frame import Frame, asked_for
from receiver.web.reading import read_version

FILTERS = ("source", "provider", "status", "since", "until", "job_id")
_DIFFERENCES = 200
_decode = msgspec.json.Decoder(Transcript).decode


class Transcripts:
    """The pages below /transcripts."""

    def __init__(self, frame: Frame, lists: Lists, jobs: JobLists) -> None:
        self._frame = frame
        self._lists = lists
        self._jobs = jobs

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [self._frame.get("/transcripts", self.list), self._frame.get("/transcripts/{id}", self.one)]

    async def list(self, request: Request) -> Response:
        """Show transcripts, newest first."""
        page = await self._lists.transcripts(asked_for(request, *FILTERS, "cursor"), whole=False)
        return self._frame.page(request, "transcripts.html", page=page, filters=asked_for(request, *FILTERS))

    async def one(self, request: Request) -> Response:
        """Show one transcript, of the version asked for, with what is different from another one."""
        public_id = request.path_params["id"]
        asked = asked_for(request, "version", "against", "from")
        version = read_version(asked)
        raw = await self._lists.transcript(public_id, version)
        versions = await self._lists.versions(public_id)
        shown = conversation(_decode(raw), _from(asked))
        return self._frame.page(
            request,
            "transcript.html",
            shown=shown,
            versions=versions,
            newest=versions[-1]["version"],
            forms=list(FORMATS),
            diff=await self._diff(public_id, raw, asked.get("against")),
            recording=await recording_of(shown, self._jobs),
        )

    async def _diff(self, public_id: str, raw: msgspec.Raw, against: str | None) -> dict[str, Any] | None:
        if against is None:
            return None
        other = read_version({"version": against})
        found = differences(bytes(await self._lists.transcript(public_id, other)), bytes(raw), as_is)
        return {"against": other, "rows": found[:_DIFFERENCES], "count": len(found)}


async def recording_of(shown: Conversation, jobs: JobLists) -> str | None:
    """Return the id of the job whose recording a transcript is of, None where we have none."""
    job = shown.transcript.job
    if job is None:
        return None
    try:
        found = await jobs.job(job.id)
    except NotFound:
        return None
    return job.id if found["has_recording"] else None


def _from(asked: dict[str, str]) -> int:
    text = asked.get("from", "1")
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 8 and int(text) > 0):
        raise UsageError("from: expected the number of a turn, from 1")
    return int(text)
