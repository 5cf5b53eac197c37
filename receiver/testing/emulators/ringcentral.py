"""RingCentral on this machine: tokens, AI jobs that fetch, work and call back, the call log, recordings, ACE insights.

Sources: the guide's pages under developers.ringcentral.com/guide (ai, voice/call-log/recordings, basics/rate-limits,
basics/errors) and SPEC, the public OpenAPI file. [D] the Heavy bucket of ten a minute for everything below but
subscriptions and ACE; a request during the penalty begins it anew; jobs are kept a week. What is open is in `Switches`.
"""

import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.testing.emulators.posting import Callbacks, Sending, Window
from receiver.testing.emulators.ringcentral_results import RESULTS
from receiver.testing.emulators.ringcentral_subscriptions import Subscriptions
from receiver.testing.emulators.trouble import Trouble

Handler = Callable[[Request], Awaitable[Response]]
CLIENT = ("emulator-client", "emulator-client-secret", "emulator-jwt")

_ACCOUNT = "/restapi/v1.0/account/~"
_WEEK = 7 * 86_400
_PENALTY = 60


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """What pages of RingCentral leave open, or contradict; the default is the better documented one."""

    running: Literal["InProgress", "Running"] = "InProgress"
    """[X] the guide's word; SPEC has Success and Fail only."""
    api: bool = True
    """[X] in every sample, in no specification."""
    webhook: Literal["required", "optional"] = "required"
    """[X] SPEC and guide, or an old landing page."""
    polled: Literal["same", "poorer"] = "same"
    """[U] whether the status gives all that the callback had: here without utterances, or not."""
    errors: Literal["cai", "platform", "empty"] = "cai"
    """[D] the AI API's form; [I] the gateway's, or no body."""
    limit_headers: bool = True
    """[D] X-Rate-Limit-… may be absent."""
    retry_after: bool = True
    """[D] on a 429; without it 30 s at least are to be waited."""
    heavy_per_minute: int = 10
    """[D] the default; it can be changed by app."""
    sessions: Literal["many", "five"] = "many"
    """[D] about five parallel sessions; [U] which one is ended: here the oldest."""
    outcome: Literal["Success", "Fail"] = "Success"
    """[D] how jobs end."""
    polls: int = 0
    """[D] after how many polls a job is done, where no callback says so before."""
    pages: int = 1
    """[D] how many records a page of the call log has at most."""
    scope: str = "AI ReadCallLog ReadCallRecording RingSense SubscriptionWebhook Video"
    """[D] space-separated, in the token's answer."""
    callbacks: Sending = Sending(retries=5)
    """[D] five tries, any status but 200 is a failure; lost, late and twice are what happens."""


class Job(msgspec.Struct, kw_only=True):
    """An AI job."""

    path: str
    asked: dict[str, Any]
    began: float
    done: bool = False
    polls: int = 0
    fetched: int | None = None
    """Bytes of the recording."""


class RingCentralEmulator:
    """One user of one app, and the account's recordings."""

    def __init__(
        self,
        switches: Switches = Switches(),  # noqa: B008 -- frozen
        *,
        client: tuple[str, str, str] = CLIENT,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`client` is the app's id and secret, and the user's JWT; `now` is Unix time in seconds."""
        self.switches = switches
        self.subscriptions = Subscriptions(now=now, client=client, scope=switches.scope)
        self.subscriptions.most_tokens = 5 if switches.sessions == "five" else None
        self.jobs: dict[str, Job] = {}
        self.calls: list[dict[str, Any]] = []
        """The call log, newest first."""
        self.recordings: dict[str, bytes] = {}
        self.insights: dict[str, dict[str, Any]] = {}
        self.callbacks = Callbacks(switches.callbacks)
        self.queries: list[str] = []
        """The query of each request for a recording's bytes."""
        self._client, self._now = client, now
        self._heavy = Window(switches.heavy_per_minute, 60, now)
        self._frozen = 0.0
        self.app = Trouble(Starlette(routes=self._routes()))

    def configuration(self, base: str) -> str:
        """Return a source's settings, as TOML, for a server that listens at `base`."""
        name, secret, jwt = self._client
        return (
            '[sources.ringcentral]\nprovider = "ringcentral"\ntoken = "emulator-token-0123456789"\n'
            f'api_url = "{base}"\nmedia_url = "{base}"\napi_private = true\n'
            f'client_id = "{name}"\nclient_secret = "{secret}"\njwt = "{jwt}"\n'
        )

    @property
    def refused(self) -> int:
        """How many requests came faster than the limit allows."""
        return self._heavy.refused

    def _routes(self) -> list[Route]:
        recording = _ACCOUNT + "/recording/{id}"
        heavy = {
            "/ai/status/v1/jobs/{id}": self._status,
            _ACCOUNT + "/call-log": self._log,
            _ACCOUNT + "/extension/~/call-log": self._log,
            recording: self._described,
            recording + "/content": self._content,
        }
        insights = "/ai/ringsense/v1/public/accounts/~/domains/{domain}/records/{id}/insights"
        return [
            *(Route(path, self._guarded(self._submit), methods=["POST"]) for path in RESULTS),
            *(Route(path, self._guarded(work), methods=["GET"]) for path, work in heavy.items()),
            Route(insights, self._insights, methods=["GET"]),
            *self.subscriptions.routes,
        ]

    def _guarded(self, work: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if refused := self.subscriptions.refusal(request):
                return refused
            wait = self._wait()
            if wait:
                return self._too_many(wait)
            answer = await work(request)
            if self.switches.limit_headers:
                answer.headers["X-Rate-Limit-Group"] = "heavy"
                answer.headers["X-Rate-Limit-Window"] = "60"
            return answer

        return guarded

    def _wait(self) -> float:
        """Return how long nothing may be asked; asking during it begins it anew [D]."""
        now = self._now()
        if now < self._frozen or self._heavy.wait():
            self._frozen = now + _PENALTY
            return _PENALTY
        return 0.0

    def _too_many(self, wait: float) -> Response:
        headers = {"Retry-After": str(int(wait))} if self.switches.retry_after else {}
        if self.switches.limit_headers:
            headers |= {"X-Rate-Limit-Group": "heavy", "X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Window": "60"}
        return JSONResponse({"errorCode": "CMN-301", "message": "Request rate exceeded"}, 429, headers)

    def failure(self, status: int, words: str, parameter: str) -> Response:
        """Return an error in the form that the switches say."""
        if self.switches.errors == "empty":
            return Response(status_code=status)
        inner = {"errorCode": "CAI-101", "message": words, "parameterName": parameter}
        outer = {"errorCode": "InvalidParameter", "message": words} if self.switches.errors == "platform" else {}
        return JSONResponse({**outer, "errors": [inner]}, status)

    async def _submit(self, request: Request) -> Response:
        asked = await request.json()
        webhook = request.query_params.get("webhook")
        audio = "/text/" not in request.url.path
        if webhook is None and self.switches.webhook == "required":
            return self.failure(400, "Parameter [webhook] is missing", "webhook")
        for key in ("encoding", "languageCode", "contentUri") if audio else ():
            if not isinstance(asked.get(key), str):
                return self.failure(400, f"Parameter [{key}] is invalid", key)
        name = str(uuid.uuid1())
        self.jobs[name] = Job(path=request.url.path, asked=asked, began=self._now())
        await self.callbacks.done(self._work(name, webhook))
        return JSONResponse({"jobId": name}, 202)

    async def _work(self, name: str, webhook: str | None) -> None:
        """Fetch the recording by one plain GET [D], and post the result."""
        job = self.jobs[name]
        if "contentUri" in job.asked:
            job.fetched = await _fetched(job.asked["contentUri"])
        if webhook is not None and not self.switches.polls:
            job.done = True
            headers = {"Content-Type": "application/json", "RCRequestId": str(uuid.uuid4())}
            await self.callbacks.send(webhook, headers, msgspec.json.encode(self._body(name, job)))
        job.done = job.done or not self.switches.polls

    def _body(self, name: str, job: Job) -> dict[str, Any]:
        head = {"jobId": name, **({"api": job.path} if self.switches.api else {})}
        times = {"creationTime": _stamp(job.began), "expirationTime": _stamp(job.began + _WEEK)}
        if not job.done:
            return {**head, **times, "status": self.switches.running}
        unreachable = "contentUri" in job.asked and job.fetched is None
        words = "Parameter [contentUri] cannot be fetched" + f": {job.asked.get('contentUri')}" * unreachable
        error = {"errorCode": "CAI-101", "message": words, "parameterName": "contentUri"}
        failed = unreachable or self.switches.outcome == "Fail"
        return {
            **head,
            **times,
            "completionTime": _stamp(job.began + 13.7),
            "status": "Fail" if failed else "Success",
            "response": {"errors": [error]} if failed else RESULTS[job.path],
        }

    async def _status(self, request: Request) -> Response:
        name = request.path_params["id"]
        job = self.jobs.get(name)
        if job is None or self._now() > job.began + _WEEK:
            return self.failure(404, "Job not found", "jobId")
        job.polls += 1
        job.done = job.done or job.polls > self.switches.polls > 0
        body = self._body(name, job)
        if self.switches.polled == "poorer" and "utterances" in body.get("response", {}):
            body["response"] = {key: value for key, value in body["response"].items() if key != "utterances"}
        return JSONResponse(body)

    def record(self, recording_id: str, content: bytes, *, at: float, **more: Any) -> dict[str, Any]:
        """Hold a recorded call; return its record in the call log."""
        self.recordings[recording_id] = content
        record = {
            "id": f"log-{recording_id}",
            "telephonySessionId": f"s-{recording_id}",
            "startTime": _stamp(at),
            "duration": 61,
            "type": "Voice",
            "direction": "Inbound",
            "from": {"phoneNumber": "+15550100", "name": "A caller"},
            "to": {"extensionNumber": "101"},
            "recording": {"id": recording_id, "type": "Automatic"},
            **more,
        }
        self.calls.insert(0, record)
        return record

    async def _log(self, request: Request) -> Response:
        since, page = request.query_params["dateFrom"], int(request.query_params.get("page", "1"))
        size = min(self.switches.pages, int(request.query_params.get("perPage", "100")))
        rows = [one for one in self.calls if one["startTime"] >= since and "recording" in one]
        onward = {"nextPage": {"uri": str(request.url)}} if page * size < len(rows) else {}
        return JSONResponse({"records": rows[(page - 1) * size : page * size], "navigation": onward})

    async def _described(self, request: Request) -> Response:
        name = request.path_params["id"]
        if name not in self.recordings:
            return self.failure(404, "Resource for parameter [recordingId] is not found", "recordingId")
        uri = f"{str(request.base_url).rstrip('/')}{_ACCOUNT}/recording/{name}/content"
        return JSONResponse({"id": name, "contentUri": uri, "contentType": "audio/wav", "duration": 61})

    async def _content(self, request: Request) -> Response:
        """Give the bytes, or the stretch of them that `Range` names [D]."""
        self.queries.append(request.url.query)
        content = self.recordings.get(request.path_params["id"])
        if content is None:
            return self.failure(404, "Resource for parameter [recordingId] is not found", "recordingId")
        first, _, last = request.headers.get("range", "").removeprefix("bytes=").partition("-")
        if not first.isdigit():
            return Response(content, media_type="audio/wav")
        end = min(int(last or len(content) - 1), len(content) - 1)
        headers = {"Content-Range": f"bytes {first}-{end}/{len(content)}"}
        return Response(content[int(first) : end + 1], 206, headers, "audio/wav")

    async def _insights(self, request: Request) -> Response:
        if refused := self.subscriptions.refusal(request):
            return refused
        found = self.insights.get(request.path_params["id"])
        return JSONResponse(found) if found else self.failure(404, "Record not found", "sourceRecordId")


async def _fetched(url: str) -> int | None:
    """Fetch a recording as the AI API does, redirects followed; return its bytes' number, None where it cannot be had."""
    if not urlsplit(url).scheme.startswith("http"):
        return None
    try:
        async with httpx.AsyncClient(timeout=30.0, follow_redirects=True) as client:
            answer = await client.get(url)
    except httpx.HTTPError:
        return None
    return len(answer.content) if answer.status_code == 200 else None


def _stamp(now: float) -> str:
    """Write a time as RingCentral does: UTC, milliseconds."""
    whole, rest = divmod(int(now * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest:03d}Z"
