"""CallCov: submissions in both generations, reading, listing, callbacks; sources as in handlers/providers/callcov.

[D] one key, agent and contact required, limits by plan, formats and sizes, free reading. What is open is in `Switches`.
"""

import asyncio
import hmac
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from receiver.testing.emulators.callcov_objects import Analysis, error
from receiver.testing.emulators.callcov_switches import Switches
from receiver.testing.emulators.posting import Callbacks, Window
from receiver.testing.forms import read_form

Handler = Callable[[Request], Awaitable[Response]]

_MIB = 1 << 20
_LARGEST = {"calls": 100 * _MIB, "analysis": 500 * _MIB}
_ENDLESS = 1 << 62
_FORMATS = {
    "calls": {"wav", "mp3", "m4a", "flac", "ogg"},
    "analysis": {"flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"},
}


class CallCovEmulator:
    """One account with one key."""

    def __init__(
        self,
        switches: Switches = Switches(),  # noqa: B008 -- frozen
        *,
        key: str = "sk_test_emulator",
        secret: str = "emulator-secret",  # noqa: S107 -- of an emulator
        now: Callable[[], float] = time.time,
    ) -> None:
        """`secret` signs callbacks, where a signature is switched on; `now` is Unix time in seconds."""
        self.switches = switches
        self.analyses: dict[str, Analysis] = {}
        self.submissions: list[float] = []
        """When each was taken."""
        self.most_at_once = 0
        self.callbacks = Callbacks(switches.callbacks)
        self._key, self._secret, self._now = key, secret, now
        self._submits = Window(switches.submissions_per_minute, 60, now)
        self._asks = Window(switches.requests_per_minute, 60, now)
        self._places = asyncio.Semaphore(switches.processed_at_once)
        self._busy = self._working = 0
        self.app = Starlette(routes=self._routes())

    def configuration(self, base: str) -> str:
        """Return a source's settings for an emulator that listens at `base`."""
        return (
            '[sources.callcov]\nprovider = "callcov"\ntoken = "emulator-token-0123456789"\n'
            f'api_url = "{base}"\napi_private = true\napi_key = "{self._key}"\nroles = {{ A = "agent", B = "customer" }}\n'
        )

    @property
    def refused(self) -> int:
        """How many requests came faster than the limits allow."""
        return self._submits.refused + self._asks.refused

    def _routes(self) -> list[Route]:
        top = "/api/v1/"
        return [
            Route(top + "analysis", self._slash, methods=["GET", "POST"]),
            Route(top + "analysis/", self._guarded(self._create("analysis")), methods=["POST"]),
            Route(top + "analysis/", self._guarded(self._list), methods=["GET"]),
            Route(top + "analysis/{id}", self._guarded(self._one("analysis")), methods=["GET"]),
            Route(top + "calls", self._guarded(self._list), methods=["GET"]),
            Route(top + "calls/analyze", self._guarded(self._create("calls")), methods=["POST"]),
            Route(top + "calls/analyze/{id}", self._guarded(self._one("calls")), methods=["GET"]),
        ]

    async def _slash(self, request: Request) -> Response:
        if self.switches.slash == "redirect":
            return RedirectResponse(f"{request.url.path}/", 307)
        create = request.method == "POST"
        return await self._guarded(self._create("analysis") if create else self._list)(request)

    def _guarded(self, handler: Handler) -> Handler:
        """Ask for the key and keep the limit of all requests."""

        async def guarded(request: Request) -> Response:
            given = request.headers.get(self.switches.key_header.lower())
            wanted = self._key if self.switches.key_header == "X-API-Key" else f"Bearer {self._key}"
            if given != wanted:
                return error(self.switches, 401, "unauthorized", "Invalid or missing API key")
            wait = self._asks.wait()
            return self._too_many(wait) if wait else await handler(request)

        return guarded

    def _too_many(self, wait: float) -> Response:
        seconds = int(wait) + 1
        headers = {"Retry-After": str(seconds)} if self.switches.retry_after else {}
        words = f"Rate limit exceeded. Please try again in {seconds} seconds."
        return error(self.switches, 429, "rate_limit_exceeded", words, headers)

    def _create(self, generation: str) -> Handler:
        async def create(request: Request) -> Response:
            if int(request.headers.get("content-length", _ENDLESS)) > _LARGEST[generation] + _MIB:
                return error(self.switches, 413, "file_too_large", "File exceeds the limit")
            found = await self._read(request, generation)
            if isinstance(found, Response):
                return found
            if self.switches.beyond == "refuse" and self._busy >= self.switches.processed_at_once:
                return self._too_many(1)
            wait = self._submits.wait()
            return self._too_many(wait) if wait else await self._take(generation, *found)

        return create

    async def _read(self, request: Request, generation: str) -> tuple[dict[str, str], bytes, str] | Response:
        """Return members, audio and format of a submission, or the error."""
        body = await request.body()
        if request.headers.get("content-type", "").startswith("application/json"):
            if generation == "analysis" and not self.switches.json_create:
                return error(self.switches, 422, "missing", "Field required", audio_file=None)
            try:
                members = msgspec.json.decode(body, type=dict[str, str])
            except msgspec.DecodeError:
                return error(self.switches, 422, "json_invalid", "JSON decode error")
            audio, kind = await _fetched(members.get("audio_url", ""))
        else:
            form = read_form(body) or {}
            audio = form.pop("audio_file", b"")
            name = body.partition(b'filename="')[2].partition(b'"')[0].decode()
            kind = name.rpartition(".")[2].lower()
            members = {key: value.decode() for key, value in form.items()}
        missing = [key for key in ("agent_id", "contact_id") if not members.get(key)] + ["audio_file"] * (not audio)
        if missing:
            status = 400 if self.switches.errors == "error" else 422
            return error(self.switches, status, "validation_error", "Missing required fields", missing_fields=missing)
        if kind not in _FORMATS[generation]:
            return error(
                self.switches, 400, "invalid_file_format", "Unsupported audio format", provided_format=kind[:20]
            )
        return members, audio, kind

    async def _take(self, generation: str, members: dict[str, str], audio: bytes, kind: str) -> Response:
        name = str(uuid.uuid4()) if generation == "analysis" else f"anl_{secrets.token_hex(5)}"
        made = Analysis(
            id=name, generation=generation, members=members, created=self._now(), size=len(audio), format=kind
        )
        self.analyses[name] = made
        self.submissions.append(made.created)
        answer = JSONResponse(made.made(self.switches), 201 if generation == "analysis" else self.switches.calls_status)
        self._busy += 1
        await self.callbacks.done(self._work(made))
        return answer

    async def _work(self, made: Analysis) -> None:
        async with self._places:
            self._working += 1
            self.most_at_once = max(self.most_at_once, self._working)
            await asyncio.sleep(self.switches.processing)
            self._working -= 1
            made.status, made.ended = self.switches.outcome, made.ended or self._now()
        self._busy -= 1
        url = made.members.get("webhook_url")
        if url and (made.status == "completed" or self.switches.failures_called_back):
            shown = "analysis" if self.switches.delivered == "analysis" else made.generation
            body = msgspec.json.encode(made.shown(self.switches, shown))
            await self.callbacks.send(url, self._proof(body), body)

    def _proof(self, body: bytes) -> Mapping[str, str]:
        """Sign as the switch says; the header's name is ours, for none is documented."""
        headers = {"Content-Type": "application/json"}
        stamp = str(int(self._now()))
        signed = f"{stamp}.".encode() + body if self.switches.signature == "timestamp" else body
        mac = hmac.new(self._secret.encode(), signed, "sha256").hexdigest()
        if self.switches.signature == "none":
            return headers
        if self.switches.signature == "timestamp":
            headers["X-Emulated-Timestamp"] = stamp
        prefix = "sha256=" if self.switches.signature == "prefixed" else ""
        return {**headers, "X-Emulated-Signature": prefix + mac}

    def _one(self, generation: str) -> Handler:
        async def one(request: Request) -> Response:
            found = self.analyses.get(request.path_params["id"])
            if found is None or found.generation != generation:
                return error(self.switches, 404, "not_found", "Analysis not found")
            return JSONResponse(found.shown(self.switches, generation, speakers=self.switches.polled_speakers))

        return one

    async def _list(self, request: Request) -> Response:
        generation = "analysis" if "/analysis" in request.url.path else "calls"
        limit, offset = (
            _number(request.query_params.get(key, or_)) for key, or_ in (("limit", "100"), ("offset", "0"))
        )
        if not 1 <= limit <= 1000 or offset < 0:
            return error(self.switches, 422, "less_than_equal", "Input should be at most 1000", limit=limit)
        found = [one for one in self.analyses.values() if one.generation == generation]
        found = found[::-1] if self.switches.newest_first else found
        whole, speakers = self.switches.listed == "whole", self.switches.polled_speakers
        page = [
            one.shown(self.switches, generation, whole=whole, speakers=speakers)
            for one in found[offset : offset + limit]
        ]
        keys: dict[str, dict[str, Any]] = {
            "total": {"total": len(found)},
            "has_more": {"has_more": offset + limit < len(found)},
            "none": {},
        }
        return JSONResponse({"object": "list", "data": page, **keys[self.switches.list_keys]})


def _number(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() else -1


async def _fetched(url: str) -> tuple[bytes, str]:
    """Fetch a recording by a plain GET: it must answer with `audio/*` (S0). Returns audio and format."""
    try:
        async with httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL):
        return b"", ""
    kind = answer.headers.get("content-type", "")
    if answer.status_code != 200 or not kind.startswith("audio/"):
        return b"", ""
    return answer.content, {"x-wav": "wav", "mpeg": "mp3", "mp4": "m4a"}.get(kind[6:], kind[6:])
