"""A small provider that is submitted to, asked and swept, and an emulator of it: what the tests of jobs work with."""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
from emulating import Emulator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from receiver.contract.api import Api
from receiver.contract.asking import (
    Answer,
    Ask,
    Fetched,
    Form,
    FormFile,
    Limit,
    Missing,
    Note,
    Pending,
    Polled,
    Steps,
    Submission,
    Submitted,
    Swept,
    ask,
    at_once,
    refused,
)
from receiver.contract.errors import Unreadable, UsageError
from receiver.contract.model import InboundRequest, Outcome, Progress, Receipt, Result, ResultError, Verdict
from receiver.contract.proof import Proven, Reason, Refused, Tokens
from receiver.contract.provider import Provider, SignedRequest
from receiver.contract.settings import Secret, SourceSettings, about

KEY = "studio-key-0123456789"


class StudioSettings(SourceSettings, frozen=True, kw_only=True):
    """Where the studio is, and its key."""

    api: Annotated[str | None, about("address of the API")] = None
    key: Annotated[Secret | None, about("key of the API")] = None
    two_steps: Annotated[bool, about("reserve first, then send")] = False
    confirms: Annotated[bool, about("jobs can be read again")] = False
    fetches: Annotated[bool, about("the studio fetches recordings")] = False


class Body(msgspec.Struct, kw_only=True):
    """What the studio posts and answers."""

    id: str
    status: str
    operation: str = "transcription"
    text: str | None = None
    speakers: tuple[str, ...] = ()


class StudioApi(Api):
    """Submits by one form, or reserves first; polls; lists."""

    name: ClassVar[str] = "studio"
    operations: ClassVar[tuple[str, ...]] = ("transcription", "summary")
    limits: ClassVar[Mapping[str, Limit]] = {"jobs": Limit(count=1000, seconds=1)}

    def __init__(self, settings: StudioSettings) -> None:
        assert settings.api is not None
        assert settings.key is not None
        self._api = settings.api
        self._headers = (("Authorization", f"Bearer {settings.key.value}"),)
        self._two_steps = settings.two_steps
        self._fetches = settings.fetches
        self.rereads = settings.confirms  # type: ignore[misc]

    def fetches(self, operation: str) -> bool:
        """Say so where the settings do."""
        return self._fetches

    def recording(self, recording_id: str) -> Steps[Ask]:
        """Ask for the recording itself."""
        return at_once(self._ask("GET", f"/recordings/{recording_id}"))

    def check(self, submission: Submission) -> None:
        """Refuse what is no audio."""
        if not submission.recording.content_type.startswith("audio/"):
            raise UsageError(f"{submission.recording.name} is {submission.recording.content_type}: convert it to WAV")

    def submit(self, submission: Submission, state: Mapping[str, Any]) -> Steps[Submitted]:
        """Reserve where that is needed, then send the file."""
        place = state.get("place")
        if self._two_steps and place is None:
            reserved = yield from ask(self._ask("POST", "/places"))
            place = reserved.members()["place"]
            yield Note(state={"place": place})
        answer = yield from ask(self._creates(submission, place))
        if not answer.ok:
            raise refused(answer, "the studio did not take it", answer.body.decode()[:100])
        made = answer.members()
        return Submitted(job_id=made["id"], deadline_in=made.get("seconds"), result=_fetched(made.get("result")))

    def poll(self, job_id: str, operation: str) -> Steps[Polled]:
        """Ask for a job."""
        answer = yield from ask(self._ask("GET", f"/jobs/{job_id}"))
        if answer.status == 404:
            return Missing()
        if not answer.ok:
            raise refused(answer, "the studio does not say")
        said = msgspec.json.decode(answer.body, type=Body)
        return Pending(status=said.status) if said.status == "working" else Fetched(job_id=job_id, body=answer.body)

    def sweep(self, since: float) -> Swept:
        """List every job, and yield those that are done."""
        answer = yield self._ask("GET", "/jobs")
        assert isinstance(answer, Answer)
        for one in msgspec.json.decode(answer.body, type=list[dict[str, Any]]):
            serial = (b"hookscribe-serial", str(one.pop("serial")).encode())
            yield Fetched(job_id=one["id"], body=msgspec.json.encode(one), headers=(serial,))

    def _creates(self, submission: Submission, place: str | None) -> Ask:
        fields = (
            ("operation", submission.operation),
            ("serial", submission.serial),
            ("callback", submission.callback_url or ""),
            ("place", place or ""),
            ("url", (submission.recording.url or "") if self._fetches else ""),
        )
        file = FormFile(field="file", name=submission.recording.name, content_type=submission.recording.content_type)
        form = Form(fields=fields, file=None if self._fetches else file)
        return Ask(
            method="POST", url=f"{self._api}/jobs", headers=self._headers, body=form, authorized=False, creates=True,
            bucket="jobs",
        )  # fmt: skip

    def _ask(self, method: Any, path: str) -> Ask:
        return Ask(method=method, url=self._api + path, headers=self._headers, authorized=False)


def _fetched(result: Any) -> Fetched | None:
    return None if result is None else Fetched(body=msgspec.json.encode(result))


class Studio(Provider[StudioSettings]):
    """Proves by the token in the URL; every body is one result."""

    name = "studio"
    Settings = StudioSettings
    normalizer = "studio/1"
    api_settings = ("api", "key")

    def __init__(self, source: str, settings: StudioSettings) -> None:
        super().__init__(source, settings)
        self._tokens = Tokens(settings.token)

    def proofs(self) -> tuple[str, ...]:
        return ("token in the URL",)

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        if request.header("x-seal") == "broken":
            return Refused(reason=Reason.SIGNATURE_MISMATCH)
        return self._tokens.refusal(request.token) or Proven(request=request, verdict=Verdict.TOKEN)

    def api(self) -> StudioApi | None:
        return StudioApi(self.settings) if self.settings.api and self.settings.key else None

    def message_key(self, proven: Proven) -> bytes:
        return sha256(proven.request.body).digest()

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        try:
            said = msgspec.json.decode(receipt.body, type=Body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unreadable("not the studio's") from error
        if said.status == "working":
            return (Progress(job_id=said.id, status=said.status),)
        failed = said.status == "failed"
        result = Result(
            kind="transcript",
            operation=said.operation,
            job_id=said.id,
            status="failed" if failed else "completed",
            text=said.text,
            error=ResultError(code=None, message="noise") if failed else None,
            metadata={"speakers": list(said.speakers)} if said.speakers else {},
        )
        return (result,)

    def sign(self, body: bytes, now: float) -> SignedRequest:
        return SignedRequest(token=self.settings.token[0].value, headers=(), body=body)


class StudioEmulator(Emulator):
    """The studio: takes jobs, calls back when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[dict[str, Any]] = []
        self.calls_back: bool = True
        """Call back at once, before the submission is answered."""
        self.answers_at_once = False
        self.done = True
        """Whether a poll finds the result."""
        self.refuses: Response | None = None
        """What submissions are answered instead."""
        self.hangs: asyncio.Event | None = None
        """Take the job, and answer once this is set."""
        self.taken = asyncio.Event()
        """Set once a job was taken."""
        self.seconds: float | None = None
        self.recording: Path | None = None
        """What lies there under the name r1."""
        self.polls = 0
        self.places = 0

    def app(self) -> Starlette:
        """Return the API."""
        return Starlette(
            routes=[
                Route("/places", self._place, methods=["POST"]),
                Route("/jobs", self._take, methods=["POST"]),
                Route("/jobs", self._list, methods=["GET"]),
                Route("/jobs/{id}", self._poll),
                Route("/recordings/{id}", self._recording),
            ]
        )

    def body(self, job: dict[str, Any], **changes: Any) -> bytes:
        """Return what is posted about a job."""
        said = Body(id=job["id"], status="done", operation=job["operation"], text=f"words of {job['file']}")
        return msgspec.json.encode(msgspec.structs.replace(said, **{"speakers": ("A", "B"), **changes}))

    async def _place(self, _: Request) -> Response:
        self.places += 1
        return JSONResponse({"place": f"p{self.places}"})

    async def _take(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": "who are you?"}, 401)
        form = await read_form(request)
        if self.refuses is not None:
            return self.refuses
        job = {"id": f"j{len(self.jobs) + 1}", **form}
        self.jobs.append(job)
        self.taken.set()
        if self.calls_back and job["callback"]:
            self.post(job["callback"], self.body(job))
            await self.posted()
        if self.hangs is not None:
            await self.hangs.wait()
        result = msgspec.json.decode(self.body(job)) if self.answers_at_once else None
        return JSONResponse({"id": job["id"], "seconds": self.seconds, "result": result})

    async def _poll(self, request: Request) -> Response:
        self.polls += 1
        job = next((one for one in self.jobs if one["id"] == request.path_params["id"]), None)
        if job is None:
            return JSONResponse({"error": "unknown"}, 404)
        return Response(self.body(job, speakers=(), **({} if self.done else {"status": "working", "text": None})))

    async def _recording(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": "who are you?"}, 401)
        if self.recording is None or request.path_params["id"] != "r1":
            return JSONResponse({"error": "unknown"}, 404)
        return FileResponse(self.recording, media_type="audio/mpeg")

    async def _list(self, _: Request) -> Response:
        return JSONResponse([{**msgspec.json.decode(self.body(job)), "serial": job["serial"]} for job in self.jobs])


async def read_form(request: Request) -> dict[str, Any]:
    """Read a small multipart form; of a file, its name and digest."""
    body = await request.body()
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    found: dict[str, Any] = {"file": ""}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n")
        words = dict(
            item.partition("=")[::2] for item in head.decode().replace("\r\n", "; ").split("; ") if "=" in item
        )
        name = words["name"].strip('"')
        if "filename" in words:
            found |= {"file": words["filename"].strip('"'), "sha256": sha256(value).hexdigest(), "bytes": len(value)}
        else:
            found[name] = value.decode()
    return found
