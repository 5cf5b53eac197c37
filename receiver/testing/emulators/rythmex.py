"""Rythmex on this machine: uploads in chunks, analyses that are polled and listed, as far as its public pages say.

Evidence: rythmex.com/documentation, call-analytics (upload steps, operation ids), introduction (tokens). Answers, headers and
paths of start, retrieve and list are printed nowhere: each is a switch.
"""

import hashlib
import uuid
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.testing.emulators.trouble import Trouble
from receiver.testing.forms import read_form

CHUNK = 5 * 1024 * 1024
"""Bytes of a chunk in the vendor's sample, and the least that Amazon S3 takes of a part that is not the last."""
_JOB = "/api/v3/transcription/job"


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """What no page says, or pages say differently."""

    access: Literal["Token", "Bearer", "Api-Key"] = "Token"
    """Unknown: the word before the token; candidates that are usual with Django."""
    named: Literal["id", "job_id", "analytic_job_id"] = "id"
    """Unknown: "an analytic job id" is returned, under which name is not said."""
    numbered: bool = False
    """Unknown: ids are whole numbers, as Django's usually are, instead of UUIDs."""
    result: Literal["itself", "member", "address", "job"] = "member"
    """Unknown: the answer is the result, holds it, or holds its address, in Rythmex's words or as Amazon's job object."""
    words: Literal["upper", "lower"] = "upper"
    """Contradiction: Amazon writes COMPLETED, the page of the older API writes completed."""
    listing: Literal["page", "array"] = "page"
    """Unknown: paging of the list."""
    again: Literal["replace", "refuse"] = "replace"
    """Unknown: whether a chunk's number may be sent twice; Amazon S3 allows it."""


class Upload(msgspec.Struct, kw_only=True):
    """A file in the making; its bytes are counted and digested, not kept."""

    chunks: list[str] = []
    """The digest of each chunk."""
    size: int = 0
    whole: Any = msgspec.field(default_factory=hashlib.sha256)
    complete: bool = False


class Analysis(msgspec.Struct, kw_only=True):
    """An analysis under way."""

    name: str
    asked: dict[str, Any]
    polls: int = 0
    failure: str | None = None


class RythmexEmulator:
    """One account. `app` is what is served."""

    def __init__(
        self,
        switches: Switches = Switches(),  # noqa: B008 -- frozen
        *,
        token: str = "emulator-token",  # noqa: S107 -- of an emulator
        polls: int = 1,
        result: Callable[[str], dict[str, Any]] | None = None,
    ) -> None:
        """`token` is the API token or an access token; an analysis goes on for `polls` polls; `result` makes its result."""
        self.token = token
        self.switches = switches
        self.polls = polls
        self.result = result or conversation
        self.uploads: dict[str, Upload] = {}
        self.analyses: dict[str, Analysis] = {}
        self.fails_with: str | None = None
        """The reason with which analyses that are started from now on fail."""
        post, get = ["POST"], ["GET"]
        self.app = Trouble(
            Starlette(
                routes=[
                    Route(_JOB + "/create-multipart-upload/", self._create, methods=post),
                    Route(_JOB + "/upload-file-chunk/", self._chunk, methods=post),
                    Route(_JOB + "/complete-multipart-upload/", self._complete, methods=post),
                    Route(_JOB + "/call-analytics/start/", self._start, methods=post),
                    Route(_JOB + "/call-analytics/{id}/", self._retrieve, methods=get),
                    Route("/api/v3/transcription/call-analytics-list/", self._list, methods=get),
                    Route("/files/{id}.json", self._file, methods=get),
                    Route("/login/", self._login, methods=post),
                ]
            )
        )

    def configuration(self, base: str) -> str:
        """Return a source's settings, as TOML, for a server that listens at `base`."""
        return (
            f'[sources.rythmex]\nprovider = "rythmex"\napi_url = "{base}/api/v3/"\napi_private = true\n'
            f'api_token = "{self.token}"\nauth_prefix = "{self.switches.access}"\n'
        )

    def _refusal(self, request: Request) -> Response | None:
        """Return the answer to a request without the token, or None; the body is Django REST Framework's."""
        if request.headers.get("authorization") == f"{self.switches.access} {self.token}":
            return None
        return JSONResponse({"detail": "Authentication credentials were not provided."}, 401)

    async def _login(self, request: Request) -> Response:
        """Inferred: the usual form of Django's JWT; the path and the members are printed nowhere."""
        given = await request.json()
        if given != {"username": "us", "password": "secret"}:
            return JSONResponse({"detail": "No active account found with the given credentials"}, 401)
        return JSONResponse({"access": self.token, "refresh": "refresh"})

    async def _create(self, request: Request) -> Response:
        if refused := self._refusal(request):
            return refused
        name = (await request.json())["file_name"]
        self.uploads[name] = Upload()
        return JSONResponse({"file_name": name}, 201)

    async def _chunk(self, request: Request) -> Response:
        if refused := self._refusal(request):
            return refused
        form = read_form(await request.body()) or {}
        upload = self.uploads.get(form.get("file_name", b"").decode())
        if upload is None or upload.complete:
            return JSONResponse({"detail": "Upload not found."}, 404)
        number, piece = int(form["chunk_number"]), form["file_chunk"]
        known = len(upload.chunks)
        if number == known - 1 and self.switches.again == "replace":
            same = hashlib.sha256(piece).hexdigest() == upload.chunks[number]
            return JSONResponse({} if same else {"chunk_number": ["Another content."]}, 200 if same else 400)
        if number != known:
            return JSONResponse({"chunk_number": [f"Expected {known}."]}, 400)
        upload.chunks.append(hashlib.sha256(piece).hexdigest())
        upload.whole.update(piece)
        upload.size += len(piece)
        return JSONResponse({}, 200)

    async def _complete(self, request: Request) -> Response:
        if refused := self._refusal(request):
            return refused
        upload = self.uploads.get((await request.json())["file_name"])
        if upload is None or not upload.chunks:
            return JSONResponse({"detail": "Upload not found."}, 404)
        upload.complete = True
        return JSONResponse({}, 200)

    async def _start(self, request: Request) -> Response:
        if refused := self._refusal(request):
            return refused
        asked = await request.json()
        upload = self.uploads.get(asked.get("file_name"))
        if upload is None or not upload.complete:
            return JSONResponse({"file_name": ["No such file."]}, 400)
        made: int | str = len(self.analyses) + 1 if self.switches.numbered else str(uuid.uuid4())
        self.analyses[str(made)] = Analysis(name=asked["file_name"], asked=asked, failure=self.fails_with)
        return JSONResponse({self.switches.named: made, "file_name": asked["file_name"]}, 201)

    async def _retrieve(self, request: Request) -> Response:
        if refused := self._refusal(request):
            return refused
        name = request.path_params["id"]
        analysis = self.analyses.get(name)
        if analysis is None:
            return JSONResponse({"detail": "Not found."}, 404)
        analysis.polls += 1
        return JSONResponse(self._shown(name, analysis, str(request.base_url)))

    def _shown(self, name: str, analysis: Analysis, base: str) -> dict[str, Any]:
        """Return what is known of an analysis, in the form that the switches say."""
        word = "IN_PROGRESS" if analysis.polls <= self.polls else "FAILED" if analysis.failure else "COMPLETED"
        said = word if self.switches.words == "upper" else word.lower()
        address, result = f"{base}files/{name}.json", self.result(name)
        if self.switches.result == "job":
            job = {"CallAnalyticsJobName": name, "CallAnalyticsJobStatus": word, "LanguageCode": "en-US"}
            more = {"COMPLETED": {"Transcript": {"TranscriptFileUri": address}}, "FAILED": self._reason(analysis)}
            return {"CallAnalyticsJob": {**job, **more.get(word, {})}}
        own = {self.switches.named: int(name) if self.switches.numbered else name, "status": said}
        if word == "FAILED":
            return {**own, **self._reason(analysis)}
        if word != "COMPLETED":
            return own
        if self.switches.result == "itself":
            return result
        return {**own, **({"results": result} if self.switches.result == "member" else {"result_url": address})}

    def _reason(self, analysis: Analysis) -> dict[str, Any]:
        return {"FailureReason": analysis.failure}

    async def _file(self, request: Request) -> Response:
        """Give a result without credentials, as a signed address does."""
        if "authorization" in request.headers:
            return Response("<Error><Code>InvalidArgument</Code></Error>", 400, media_type="application/xml")
        return JSONResponse(self.result(request.path_params["id"]))

    async def _list(self, request: Request) -> Response:
        if refused := self._refusal(request):
            return refused
        names = list(self.analyses)
        own = self.switches.named
        rows: list[dict[str, Any]] = [{own: int(name) if self.switches.numbered else name} for name in names]
        if self.switches.listing == "array":
            return JSONResponse(rows)
        page = int(request.query_params.get("page", "1"))
        onward = str(request.url.include_query_params(page=page + 1)) if page * 2 < len(rows) else None
        return JSONResponse({"count": len(rows), "next": onward, "results": rows[page * 2 - 2 : page * 2]})


def conversation(name: str) -> dict[str, Any]:
    """Return a small result of Call Analytics (tca-output-batch), the same for every analysis but for its name."""
    said = (("AGENT", 0, 1800, "Good morning."), ("CUSTOMER", 2000, 4100, "My ticket is lost."))
    return {
        "JobStatus": "COMPLETED",
        "LanguageCode": "en-US",
        "JobName": f"analysis-{name}",
        "Transcript": [
            {
                "Id": str(number),
                "ParticipantRole": role,
                "BeginOffsetMillis": begin,
                "EndOffsetMillis": end,
                "Content": words,
                "Sentiment": "NEUTRAL",
            }
            for number, (role, begin, end, words) in enumerate(said)
        ],
        "ConversationCharacteristics": {"TotalConversationDurationMillis": 4100},
    }
