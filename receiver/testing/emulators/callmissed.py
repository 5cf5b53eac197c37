"""CallMissed on this machine: uploads analysed at once, questions, sessions, subscriptions with signed deliveries and their log.

Sources as in handlers/providers/callmissed. [D] S1: the delivery log, its replay, five attempts; S2: sessions; S3: analyses;
S13: error bodies; S15: limits. What is open is in `Switches`.
"""

import hmac
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.testing.emulators.callmissed_webhooks import Webhooks
from receiver.testing.emulators.posting import Callbacks, Sending, Window, posted
from receiver.testing.emulators.trouble import Trouble
from receiver.testing.forms import read_form

Handler = Callable[[Request], Awaitable[Response]]
ANALYSED = "voice_analysis.completed"

_LARGEST = 100 * 1000 * 1000
_FORMATS = frozenset({"wav", "mp3", "mp4", "m4a", "ogg", "flac", "webm", "aac", "amr"})


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """What no page of CallMissed says, or pages say differently; the default is the better documented one."""

    speakers: Literal["SPEAKER_1", "SPEAKER_00"] = "SPEAKER_1"
    """[X] S0 counts from 1, the sample of S3 from 00."""
    layout: Literal["lines", "markdown"] = "lines"
    """[X] the free text of an analysis: S0 or S3."""
    errors: Literal["detail", "error"] = "detail"
    """[X] S13 or its older text."""
    retry_after: bool = True
    """[D S15] on /api/v1; absent on /v1."""
    requests_per_minute: int = 60
    """[D S15] of the free plan."""
    restamped: bool = False
    """[U] whether each try has a time of its own, and so another signature."""
    headers: bool = True
    """[I] the names of event and delivery; for the test delivery they are not promised."""
    late: int = 0
    """[I] how often a session is read before its analysis is there."""
    erased: bool = False
    """[D S17] after a retention window the turns are without words, the summary and what was extracted are gone."""
    without_turns: bool = False
    """[D S17] with zero retention; [I] as 404."""
    callbacks: Sending = Sending()
    """[D S1] five attempts; lost, late and twice are what happens."""


class CallMissedEmulator:
    """One tenant with one key."""

    def __init__(
        self,
        switches: Switches = Switches(),  # noqa: B008 -- frozen
        *,
        key: str = "cm_live_emulator",
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` is Unix time in seconds."""
        self.switches = switches
        self.webhooks = Webhooks(key=key)
        self.sessions: dict[str, dict[str, Any]] = {}
        self.log: dict[str, list[dict[str, Any]]] = {}
        """The deliveries of each subscription, newest first."""
        self.analysed: list[tuple[str, int, str | None]] = []
        """Name, size and language of every upload."""
        self.callbacks = Callbacks(switches.callbacks)
        self.key, self._now = key, now
        self._asks = Window(switches.requests_per_minute, 60, now)
        self._reads: dict[str, int] = {}
        self.app = Trouble(Starlette(routes=self._routes()))

    def configuration(self, base: str) -> str:
        """Return a source's settings, as TOML, for a server that listens at `base`."""
        return (
            '[sources.callmissed]\nprovider = "callmissed"\n'
            f'api_url = "{base}"\napi_private = true\napi_key = "{self.key}"\n'
        )

    @property
    def refused(self) -> int:
        """How many requests came faster than the limit allows."""
        return self._asks.refused

    def _routes(self) -> list[Route]:
        hooks, sessions = "/api/v1/webhooks/{id}/deliveries", "/v1/voice/sessions/{id}"
        return [
            Route("/api/v1/analytics/calls/analyze", self._guarded(self._analyze), methods=["POST"]),
            Route("/api/v1/analytics/calls/question", self._guarded(self._question), methods=["POST"]),
            Route(sessions, self._guarded(self._session), methods=["GET"]),
            Route(sessions + "/transcript", self._guarded(self._turns), methods=["GET"]),
            Route(hooks, self._guarded(self._deliveries), methods=["GET"]),
            Route(hooks + "/{delivery}", self._guarded(self._delivery), methods=["GET"]),
            Route(hooks + "/{delivery}/replay", self._guarded(self._replay), methods=["POST"]),
            *self.webhooks.routes,
        ]

    def _guarded(self, work: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {self.key}":
                return self.failure(401, "Invalid API key", "invalid_api_key")
            wait = self._asks.wait()
            if wait:
                headers = {"Retry-After": str(int(wait) + 1)} if self.switches.retry_after else {}
                return self.failure(429, "Rate limit exceeded", "rate_limit_exceeded", headers)
            return await work(request)

        return guarded

    def failure(self, status: int, words: str, code: str, headers: dict[str, str] | None = None) -> Response:
        """Return an error in the form that the switches say."""
        old = {"error": {"code": code, "message": words, "type": "invalid_request_error"}}
        return JSONResponse({"detail": words} if self.switches.errors == "detail" else old, status, headers)

    async def _analyze(self, request: Request) -> Response:
        head = (await request.body())[: 1 << 16]
        form = read_form(await request.body()) or {}
        name = head.partition(b'filename="')[2].partition(b'"')[0].decode("utf-8", "replace")
        if "file" not in form or not form["file"]:
            return self.failure(400, "The file is empty", "invalid_request")
        if len(form["file"]) > _LARGEST:
            return self.failure(413, "File too large", "file_too_large")
        if name.rpartition(".")[2].lower() not in _FORMATS:
            return self.failure(400, "Unsupported audio format", "invalid_request")
        language = form["language"].decode() if "language" in form else None
        self.analysed.append((name, len(form["file"]), language))
        return JSONResponse(self._analysis())

    def _analysis(self) -> dict[str, Any]:
        first, second = (
            ("SPEAKER_1", "SPEAKER_2") if self.switches.speakers == "SPEAKER_1" else ("SPEAKER_00", "SPEAKER_01")
        )
        lines = "Sentiment: positive\nResolution: resolved"
        return {
            "transcript": f"{first}: Good morning.\n{second}: My invoice is wrong.\n{first}: I will correct it.",
            "speaker_timing": {first: 12.5, second: 8},
            "analysis": lines
            if self.switches.layout == "lines"
            else "## Sentiment\n- positive\n## Resolution\n- resolved",
            "summary": "A wrong invoice is corrected.",
            "generated_at": "2026-09-14T10:12:00Z",
        }

    async def _question(self, request: Request) -> Response:
        asked = await request.json()
        missing = [name for name in ("transcript", "question") if not isinstance(asked.get(name), str)]
        if missing:
            wrong = [{"loc": ["body", name], "msg": "Field required", "type": "missing"} for name in missing]
            return JSONResponse({"detail": wrong}, 422)
        words = len(asked["transcript"].split())
        return JSONResponse({"answer": f"{asked['question']} The transcript has {words} words."})

    def hold(self, session: str) -> str:
        """Hold a conversation that is analysed; return the id of the analysis."""
        self.sessions[session] = {
            "id": session,
            "status": "completed",
            "turn_count": 1,
            "duration_seconds": 31,
            "created_at": "2026-09-14T10:00:00Z",
            "ws_url": "",
            "token": "",
        }
        return f"an-{session}"

    async def announce(self, session: str) -> None:
        """Deliver the event of a completed analysis to every subscription that asked for it."""
        data = {"analysis_id": f"an-{session}", "session_id": session, "bot_id": None, "disposition": "resolved"}
        await self.deliver(ANALYSED, {**data, "sentiment": "positive", "goal_met": True})

    async def deliver(self, event: str, data: dict[str, Any]) -> None:
        """Send an event to the subscriptions, and write it in their logs, whether it arrives or not."""
        for name, record in self.webhooks.records.items():
            if record["is_active"] and (event in record["events"] or not record["events"]):
                row = self._row(name, event, data)
                how = self.switches.callbacks
                for _ in range(0 if how.lost else how.copies):
                    await self._attempts(record, row)

    def _row(self, subscription: str, event: str, data: dict[str, Any]) -> dict[str, Any]:
        row = {
            "id": str(uuid.uuid4()),
            "webhook_id": subscription,
            "event": event,
            "status_code": None,
            "attempts": 0,
            "success": False,
            "error": None,
            "created_at": _stamp(self._now()),
            "delivered_at": None,
            "payload": {"event": event, "data": data},
        }
        self.log.setdefault(subscription, []).insert(0, row)
        return row

    async def _attempts(self, record: dict[str, Any], row: dict[str, Any]) -> None:
        stamp = _stamp(self._now())
        for attempt in range(1, 6):
            stamp = _stamp(self._now() + attempt) if self.switches.restamped else stamp
            body = msgspec.json.encode({**row["payload"], "timestamp": stamp})
            row |= {"attempts": attempt, "status_code": await self._post(record, row, body)}
            if 200 <= row["status_code"] < 300:
                row |= {"success": True, "delivered_at": stamp}
                return

    async def _post(self, record: dict[str, Any], row: dict[str, Any], body: bytes) -> int:
        signature = hmac.new(record["secret"].encode(), body, "sha256").hexdigest()
        headers = {"Content-Type": "application/json", "X-CallMissed-Signature": f"sha256={signature}"}
        if self.switches.headers:
            headers |= {"X-CallMissed-Event": row["event"], "X-CallMissed-Delivery": row["id"]}
        return await posted(record["url"], headers, body)

    async def _session(self, request: Request) -> Response:
        name = request.path_params["id"]
        session = self.sessions.get(name)
        if session is None:
            return self.failure(404, "Session not found", "not_found")
        self._reads[name] = self._reads.get(name, 0) + 1
        if self._reads[name] <= self.switches.late:
            return JSONResponse({**session, "analysis": None})
        told = {"summary": "The caller's ticket was found.", "extracted": {"ticket": "T-7"}}
        kept = {"summary": "", "extracted": {}} if self.switches.erased else told
        found = {"status": "completed", "sentiment": "positive", "disposition": "resolved", "goal_met": True}
        return JSONResponse({**session, "analysis": {**found, **kept, "updated_at": "2026-09-14T10:01:00Z"}})

    async def _turns(self, request: Request) -> Response:
        if request.path_params["id"] not in self.sessions or self.switches.without_turns:
            return self.failure(404, "Transcript not found", "not_found")
        said = ("", "") if self.switches.erased else ("Where is my ticket?", "I have found it.")
        turn = {"id": "t-1", "turn_index": 0, "user_transcript": said[0], "agent_response": said[1], "stt_ms": 310}
        return JSONResponse([{**turn, "created_at": "2026-09-14T10:00:05Z"}])

    async def _deliveries(self, request: Request) -> Response:
        rows = self.log.get(request.path_params["id"], [])[: int(request.query_params.get("limit", "50"))]
        return JSONResponse([{key: value for key, value in row.items() if key != "payload"} for row in rows])

    def _find(self, request: Request) -> dict[str, Any] | None:
        rows = self.log.get(request.path_params["id"], [])
        return next((row for row in rows if row["id"] == request.path_params["delivery"]), None)

    async def _delivery(self, request: Request) -> Response:
        row = self._find(request)
        return self.failure(404, "Delivery not found", "not_found") if row is None else JSONResponse(row)

    async def _replay(self, request: Request) -> Response:
        """[D S1] A new row, to the present URL, by the present secret."""
        row, record = self._find(request), self.webhooks.records.get(request.path_params["id"])
        if row is None or record is None:
            return self.failure(404, "Delivery not found", "not_found")
        if not record["is_active"]:
            return self.failure(400, "Webhook is inactive", "invalid_request")
        again = self._row(row["webhook_id"], row["event"], row["payload"]["data"])
        self.callbacks.begin(self._attempts(record, again))
        return JSONResponse({"delivery_id": again["id"], "status": "queued"}, 202)


def _stamp(now: float) -> str:
    """Write a time as CallMissed's envelopes do: microseconds and +00:00 (S1)."""
    whole, rest = divmod(int(now * 1_000_000), 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest:06d}+00:00"
